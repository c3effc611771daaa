"""The three PodMonitors of the seed, corrected (notebook 23, "Step 5" of Viz).

A PodMonitor's relabelings run over what Prometheus discovers of every container port of every pod
(``__meta_kubernetes_pod_*``). They end in the labels that Linkerd's Grafana dashboards select:
``job``, ``namespace``, ``pod``, ``component``, ``k8s_job``, ``control_plane_ns``, and the kind of
the workload (``deployment``, ``statefulset``...), which the injector writes as
``linkerd.io/proxy-<kind>``.

Errata of the seed: ``source_labels`` is Prometheus' own spelling, the field of a PodMonitor is
``sourceLabels`` (a strict API server refuses the other, an older one drops it unseen); the admin
ports have been called ``admin-http`` only up to 2.18.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbook.manifests import scrape_timeout
from runbook.monitoring import API_VERSION
from runbook.params import Params
from runbook.releases import Line

__all__ = ["CONTROLLER", "MIRROR", "NAMES", "PROXY", "admin_ports", "pod_monitors"]

Object = dict[str, Any]

CONTROLLER, MIRROR, PROXY = "linkerd-controller", "linkerd-service-mirror", "linkerd-proxy"
NAMES = (CONTROLLER, MIRROR, PROXY)
"""Names of the PodMonitors, and what the label ``job`` of their targets becomes."""

_META = "__meta_kubernetes_pod"
_PORT = f"{_META}_container_port_name"
_CONTAINER = f"{_META}_container_name"
_COMPONENT = f"{_META}_label_linkerd_io_control_plane_component"


def pod_monitors(line: Line, params: Params, labels: Mapping[str, str]) -> list[Object]:
    """Give the PodMonitors of the control plane and Viz, the service mirror, and the proxies.

    Args:
        line: Its names of the admin ports.
        params: Namespaces and the scrape interval.
        labels: What the Prometheus object selects PodMonitors by, such as
            ``{"release": "kube-prometheus-stack"}``.
    """
    spaces = sorted({params.linkerd_namespace, params.viz_namespace})
    rules = {
        CONTROLLER: _controller(line),
        MIRROR: _mirror(line),
        PROXY: _proxy(params.linkerd_namespace),
    }
    selectors: dict[str, Object] = {CONTROLLER: {"matchNames": spaces}}
    return [
        {
            "apiVersion": API_VERSION,
            "kind": "PodMonitor",
            "metadata": {
                "name": name,
                "namespace": params.monitoring_namespace,
                "labels": {"app": "linkerd", **labels},
            },
            "spec": {
                "namespaceSelector": selectors.get(name, {"any": True}),
                "selector": {"matchLabels": {}},
                "podMetricsEndpoints": [
                    {
                        "interval": params.scrape_interval,
                        "scrapeTimeout": scrape_timeout(params.scrape_interval),
                        "relabelings": [*rules[name], _job(name)],
                    }
                ],
            },
        }
        for name in NAMES
    ]


def admin_ports(line: Line) -> tuple[str, ...]:
    """Give the names of the admin ports of the control plane and of Viz on a line.

    >>> from runbook.releases import find
    >>> admin_ports(find("stable-2.11"))
    ('admin', 'admin-http')
    """
    return tuple(sorted({*line.admin_ports.values(), line.viz_admin_port}))


def _controller(line: Line) -> list[Object]:
    # Each name in full: a pattern such as `.*-admin` misses Viz, whose ports are plain `admin`
    # since 2.19, and catches the proxies' own `linkerd-admin`.
    return [_keep("|".join(admin_ports(line)), _PORT), _replace(_CONTAINER, "component")]


def _mirror(line: Line) -> list[Object]:
    """Give the rules of the multicluster extension, whose pods may be in any namespace."""
    renamed = any(port.endswith("-admin") for port in line.admin_ports.values())  # edge-25.6.3
    ports = "(svcmi|ctrl|locsm)-admin" if renamed else "admin-http"
    return [
        _keep(f"(linkerd-service-mirror|controller);{ports}", _COMPONENT, _PORT),
        _replace(_CONTAINER, "component"),
    ]


def _proxy(linkerd_namespace: str) -> list[Object]:
    """Give the rules of the data plane: the order matters.

    Linkerd's own labels come first, ``k8s_job`` before the label ``job`` would be taken for the
    scrape job; then the pods' other labels, by way of ``__tmp_pod_label_``, so that one called
    ``linkerd.io/...`` is not mapped twice.
    """
    proxy = f"{_META}_label_linkerd_io_proxy"
    return [
        _keep(
            f"linkerd-proxy;linkerd-admin;{linkerd_namespace}",
            _CONTAINER,
            _PORT,
            f"{_META}_label_linkerd_io_control_plane_ns",
        ),
        _replace("__meta_kubernetes_namespace", "namespace"),
        _replace(f"{_META}_name", "pod"),
        _replace(f"{proxy}_job", "k8s_job"),
        {"action": "labeldrop", "regex": f"{proxy}_job"},
        {"action": "labelmap", "regex": f"{proxy}_(.+)"},
        {"action": "labeldrop", "regex": f"{proxy}_(.+)"},
        {"action": "labelmap", "regex": f"{_META}_label_linkerd_io_(.+)"},
        _map(f"{_META}_label_(.+)", "__tmp_pod_label_$1"),
        _map("__tmp_pod_label_linkerd_io_(.+)", "__tmp_pod_label_$1"),
        {"action": "labeldrop", "regex": "__tmp_pod_label_linkerd_io_(.+)"},
        {"action": "labelmap", "regex": "__tmp_pod_label_(.+)"},
    ]


def _job(name: str) -> Object:
    """Name the job as the dashboards do; the operator would call it ``namespace/podmonitor``."""
    return {"action": "replace", "targetLabel": "job", "replacement": name}


def _keep(regex: str, *labels: str) -> Object:
    return {"action": "keep", "sourceLabels": list(labels), "regex": regex}


def _replace(label: str, target: str) -> Object:
    return {"action": "replace", "sourceLabels": [label], "targetLabel": target}


def _map(regex: str, replacement: str) -> Object:
    return {"action": "labelmap", "regex": regex, "replacement": replacement}
