"""The benchmark's own pods as they are: servers by node and arm, probes by node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runbook.bench.deploy import PART_OF, server_name
from runbook.bench.targets import Targets
from runbook.linkerd import pods as pod_facts

if TYPE_CHECKING:
    from runbook.cluster import Cluster

__all__ = ["Pods", "find_pods"]

Object = dict[str, Any]
_NAME = "app.kubernetes.io/name"
_OVER = ("Succeeded", "Failed")  # an eviction or a reboot leaves the old pod beside the new one
_SELECTOR = ",".join(f"{key}={value}" for key, value in PART_OF.items())


@dataclass(frozen=True)
class Pods:
    """Pods that run, or are to.

    Attributes:
        servers: By name of their Deployment, ``echo-<arm>-<node>``.
        probes: By node.
    """

    servers: Mapping[str, Object]
    probes: Mapping[str, Object]

    def server(self, arm: str, node: str) -> Object | None:
        """Give the server of an arm on a node."""
        return self.servers.get(server_name(arm, node))

    def proxies(self, node: str, arms: tuple[str, ...]) -> list[str]:
        """Give the meshed servers of a node, as ``namespace/pod``."""
        found = (self.server(arm, node) for arm in arms if arm != "baseline")
        return [_path(pod) for pod in found if pod is not None]

    def probe_paths(self) -> dict[str, str]:
        """Give the probes as ``namespace/pod``, by node."""
        return {node: _path(pod) for node, pod in self.probes.items()}

    def lives(self, node: str, arms: tuple[str, ...]) -> dict[str, tuple[str, int]]:
        """Give what tells whether a server is still the same: UID and restarts, by Deployment."""
        names = [server_name(arm, node) for arm in arms]
        return {
            name: (str(pod["metadata"]["uid"]), _restarts(pod))
            for name, pod in self.servers.items()
            if name in names
        }


def find_pods(cluster: Cluster, namespace: str, targets: Targets) -> Pods:
    """Find them; of two of one kind the one that is neither over nor about to go."""
    servers: dict[str, Object] = {}
    probes: dict[str, Object] = {}
    wanted = {server_name(arm, node) for node in targets.servers for arm in targets.arms}
    for pod in cluster.list("v1", "Pod", namespace, selector=_SELECTOR):
        over = (pod.get("status") or {}).get("phase") in _OVER
        if over or pod["metadata"].get("deletionTimestamp"):
            continue
        name = str(pod["metadata"].get("labels", {}).get(_NAME, ""))
        if name in wanted:
            servers[name] = pod
        elif name == "probe" and pod["spec"].get("nodeName"):
            probes[str(pod["spec"]["nodeName"])] = pod
    return Pods(servers, probes)


def _path(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _restarts(pod: Object) -> int:
    return sum(int(status.get("restartCount") or 0) for _, status, _ in pod_facts.containers(pod))
