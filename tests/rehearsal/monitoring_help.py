"""What the tests of Prometheus in the rehearsal share: monitors, pods to scrape, questions."""

from __future__ import annotations

import gzip
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml
from controllers_help import deployment, rolled_out, until

from runbook.errors import ApiError
from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.prometheusoperator.kinds import CONFIG, POD_MONITORS

Object = dict[str, Any]
SPACE, NAME, RELEASE = "k3s-monitoring", "kube-prometheus-stack-prometheus", "kube-prometheus-stack"
PORT_NAME = "__meta_kubernetes_pod_container_port_name"
CONTAINER = "__meta_kubernetes_pod_container_name"


@dataclass(frozen=True)
class Server:
    """A Prometheus that is asked through the service proxy."""

    client: Client
    namespace: str
    service: str

    def get(self, path: str, **query: str) -> Any:
        place = f"/api/v1/namespaces/{self.namespace}/services/{self.service}:9090/proxy"
        return self.client.request("GET", place + path, query=query)

    def query(self, text: str, **more: str) -> list[Object]:
        found: list[Object] = self.get("/api/v1/query", query=text, **more)["data"]["result"]
        return found

    def targets(self) -> list[Object]:
        found: list[Object] = self.get("/api/v1/targets")["data"]["activeTargets"]
        return sorted(found, key=lambda one: (one["scrapePool"], one["scrapeUrl"]))

    def healthy(self, count: int, health: str = "up") -> Callable[[], list[Object] | None]:
        """Make a look at whether there are so many targets, all of one health."""

        def look() -> list[Object] | None:
            try:
                found = self.targets()
            except ApiError:
                return None
            return found if [one["health"] for one in found] == [health] * count else None

        return look


def monitor(
    name: str, *relabelings: Object, namespace: str = SPACE, release: str = RELEASE, **spec: Any
) -> Object:
    """Write a PodMonitor of the namespace ``linkerd``."""
    endpoint = {"interval": "1s", "scrapeTimeout": "1s", "relabelings": list(relabelings)}
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"release": release}},
        "spec": {
            "selector": {},
            "namespaceSelector": {"matchNames": ["linkerd"]},
            "podMetricsEndpoints": [endpoint],
            **spec,
        },
    }


def monitors() -> list[Object]:
    """Write the monitors of control plane and proxies."""
    named = {"action": "keep", "sourceLabels": [PORT_NAME], "regex": "(.*-)?admin"}
    others = {"action": "drop", "sourceLabels": [PORT_NAME], "regex": "linkerd-admin"}
    component = {"sourceLabels": [CONTAINER], "targetLabel": "component"}
    proxies = {
        "action": "keep",
        "sourceLabels": [CONTAINER, PORT_NAME],
        "regex": "^linkerd-proxy;linkerd-admin$",
    }
    kind = {"action": "labelmap", "regex": "__meta_kubernetes_pod_label_linkerd_io_proxy_(.+)"}
    return [
        monitor("linkerd-controller", named, others, component),
        monitor("linkerd-proxy", proxies, kind, {"targetLabel": "job", "replacement": "proxies"}),
    ]


def control_plane(client: Client, name: str, by: str, **more: Any) -> None:
    """Start a simulated control-plane pod with its proxy in namespace ``linkerd``."""
    probe = {"httpGet": {"path": "/ready", "port": "own-admin"}, "periodSeconds": 1}
    anchors = "-----BEGIN CERTIFICATE-----"
    env = {
        "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS": anchors,
        "LINKERD2_PROXY_IDENTITY_LOCAL_NAME": f"{name}.linkerd.serviceaccount",
    }
    ports = [
        {"name": "own-grpc", "containerPort": 8080},
        {"name": "own-admin", "containerPort": 9990},
    ]
    proxy = [{"name": "linkerd-proxy", "containerPort": 4143}]
    proxy.append({"name": "linkerd-admin", "containerPort": 4191})
    containers = [
        {"name": name, "image": "controller:1", "ports": ports, "readinessProbe": probe},
        {
            "name": "linkerd-proxy",
            "image": "proxy:edge-26.6.3",
            "ports": proxy,
            "env": [{"name": key, "value": value} for key, value in env.items()],
        },
    ]
    template = {
        "metadata": {
            "labels": {
                "app": name,
                "linkerd.io/control-plane-component": name,
                "linkerd.io/proxy-deployment": name,
            },
            "annotations": {"linkerd.io/created-by": by},
        },
        "spec": {"containers": containers, **more},
    }
    deployment(client, "linkerd", name)
    client.patch(kinds.DEPLOYMENTS, name, {"spec": {"template": template}}, "linkerd")
    until(lambda: rolled_out(client, "linkerd", name))


def configuration(client: Client, namespace: str = SPACE, name: str = NAME) -> Object:
    """Read what the operator wrote."""
    secret = client.get(kinds.SECRETS, f"prometheus-{name}", namespace)
    text = gzip.decompress(b64decode(secret["data"][CONFIG]))
    read: Object = yaml.safe_load(text)
    return read


def jobs(client: Client, namespace: str = SPACE, name: str = NAME) -> dict[str, Object]:
    """Give the jobs of the configuration by name."""
    found = configuration(client, namespace, name)["scrape_configs"]
    return {job["job_name"]: job for job in found}


def remove_monitors(client: Client) -> None:
    for one in list(client.list(POD_MONITORS)):
        client.delete(POD_MONITORS, *reversed(kinds.key(one)))
