"""The Prometheus and Grafana that are there already, as their operator's objects say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runbook.checks import Context
from runbook.readiness import condition
from runbook.selectors import selects

__all__ = [
    "API_VERSION",
    "GrafanaService",
    "Monitoring",
    "find_grafana",
    "find_monitoring",
    "monitor_labels",
    "prometheus_url",
    "selects_namespace",
]

Object = dict[str, Any]

API_VERSION = "monitoring.coreos.com/v1"

_PORTS = ("http-web", "web", "http")  # names of the web port, in the order of preference


@dataclass(frozen=True)
class Monitoring:
    """One Prometheus object and the Service its server is reached at.

    Attributes:
        name: Of the object.
        namespace: Of the object.
        url: Address inside the cluster; empty if no Service leads to it.
        spec: Its ``spec``.
        problem: Why it does not run, empty if it does.
    """

    name: str
    namespace: str
    url: str
    spec: Mapping[str, Any] = field(repr=False)
    problem: str = ""

    @property
    def title(self) -> str:
        """As in messages."""
        return f"Prometheus {self.namespace}/{self.name}"


@dataclass(frozen=True)
class GrafanaService:
    """Grafana's Service.

    Attributes:
        name: Of the Service.
        namespace: Of the Service.
        port: Its port.
    """

    name: str
    namespace: str
    port: int

    @property
    def address(self) -> str:
        """Give ``name.namespace.svc.cluster.local:port``."""
        return f"{self.name}.{self.namespace}.svc.cluster.local:{self.port}"


def find_monitoring(context: Context) -> list[Monitoring]:
    """Find the Prometheus objects of ``monitoring_namespace``."""
    namespace = context.params.monitoring_namespace
    services = list(context.cluster.list("v1", "Service", namespace))
    return [
        Monitoring(
            name=one["metadata"]["name"],
            namespace=namespace,
            url=_address(one, services),
            spec=one.get("spec") or {},
            problem=_problem(one),
        )
        for one in context.cluster.list(API_VERSION, "Prometheus", namespace)
    ]


def find_grafana(context: Context) -> GrafanaService | None:
    """Find Grafana's Service in ``monitoring_namespace``, ``None`` if there is none."""
    namespace = context.params.monitoring_namespace
    selector = "app.kubernetes.io/name=grafana"
    for service in context.cluster.list("v1", "Service", namespace, selector=selector):
        port = _port(service)
        if port and service["spec"].get("clusterIP") != "None":
            return GrafanaService(service["metadata"]["name"], namespace, port)
    return None


def prometheus_url(context: Context) -> str:
    """Give the address of Prometheus: the parameter, or the Service of the first object found.

    Empty if there is neither.
    """
    if context.params.prometheus_url:
        return context.params.prometheus_url
    return next((one.url for one in find_monitoring(context) if one.url), "")


def monitor_labels(found: Sequence[Monitoring]) -> dict[str, str]:
    """Give the labels a PodMonitor needs to be selected by the first Prometheus object.

    They come from the object's own ``podMonitorSelector``; where that asks for more than equality
    the first value it allows is taken.
    """
    if not found:
        return {}
    selector = found[0].spec.get("podMonitorSelector") or {}
    labels = dict(selector.get("matchLabels") or {})
    for rule in selector.get("matchExpressions") or []:
        if rule.get("operator") == "In" and rule.get("values"):
            labels.setdefault(rule["key"], rule["values"][0])
        elif rule.get("operator") == "Exists":
            labels.setdefault(rule["key"], "linkerd")
    return labels


def selects_namespace(context: Context, one: Monitoring, namespace: str) -> bool:
    """Tell whether a Prometheus object looks for PodMonitors in a namespace.

    An absent ``podMonitorNamespaceSelector`` means the object's own namespace.
    """
    selector = one.spec.get("podMonitorNamespaceSelector")
    if selector is None:
        return namespace == one.namespace
    live = context.cluster.find("v1", "Namespace", namespace) or {"metadata": {}}
    return selects(selector, live["metadata"].get("labels") or {})


def _problem(obj: Object) -> str:
    found = condition(obj, "Available")
    if not found or found.get("status") == "True":
        return ""
    return str(found.get("message") or found.get("reason") or "not available")


def _address(obj: Object, services: Sequence[Object]) -> str:
    """Find the Service that leads to the pods of a Prometheus object; one with an IP comes first.

    The operator's own Service ``prometheus-operated`` is headless and leads to every Prometheus of
    the namespace.
    """
    name, namespace = obj["metadata"]["name"], obj["metadata"]["namespace"]
    pods = {"operator.prometheus.io/name": name, "prometheus": name, "operated-prometheus": "true"}
    leading = [
        service
        for service in services
        if any(pods.get(k) == v for k, v in (service["spec"].get("selector") or {}).items())
    ]
    leading.sort(key=lambda s: (s["spec"].get("clusterIP") == "None", s["metadata"]["name"]))
    spec = obj.get("spec") or {}
    scheme = "https" if (spec.get("web") or {}).get("tlsConfig") else "http"
    prefix = str(spec.get("routePrefix") or "").rstrip("/")
    for service in leading:
        if port := _port(service):
            host = f"{service['metadata']['name']}.{namespace}.svc.cluster.local"
            return f"{scheme}://{host}:{port}{prefix}"
    return ""


def _port(service: Object) -> int:
    """Give the port of a Service's web interface, 0 if it has no port."""
    ports = service["spec"].get("ports") or []
    named = {one.get("name"): one["port"] for one in ports}
    first = next((named[name] for name in _PORTS if name in named), None)
    return int(first or (ports[0]["port"] if ports else 0))
