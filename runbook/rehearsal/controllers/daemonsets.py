"""DaemonSets: one pod on every node that fits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds, pods, scheduler
from runbook.rehearsal.controllers.manager import Cluster, Key

__all__ = ["DaemonSets"]

_SOURCE = "daemonset-controller"
_HASH = "controller-revision-hash"
_GENERATION = "pod-template-generation"
_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
"""What every daemon pod tolerates, as the real controller adds it."""


class DaemonSets:
    """Keep one pod of a DaemonSet on each node, exchanging them one by one."""

    name = "daemonset"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Look after DaemonSets when they, their pods or the nodes change."""
        return {
            kinds.DAEMON_SETS: lambda obj: [kinds.key(obj)],
            kinds.PODS: pods.owner_keys("DaemonSet"),
            kinds.NODES: lambda _: map(kinds.key, self._cluster.cache.all(kinds.DAEMON_SETS)),
        }

    def reconcile(self, key: Key) -> float | None:
        """Create, delete or exchange pods and report on them."""
        namespace, name = key
        daemons = self._cluster.cache.get(kinds.DAEMON_SETS, name, namespace)
        if daemons is None:
            return None
        digest = pods.safe_hash(daemons["spec"]["template"])
        owned = self._cluster.cache.owned(daemons["metadata"]["uid"], kinds.PODS)
        by_node: dict[str, Object] = {}
        for pod in owned:
            by_node[_target(pod)] = pod
        nodes = [
            node["metadata"]["name"]
            for node in self._cluster.cache.all(kinds.NODES)
            if self._fits(daemons, node)
        ]
        if not kinds.deleted(daemons):
            self._place(daemons, by_node, nodes, digest)
        self._report(daemons, by_node, nodes, digest)
        return None

    def _fits(self, daemons: Object, node: Object) -> bool:
        template = daemons["spec"]["template"]["spec"]
        pod = {"spec": {**template, "tolerations": _tolerations(template)}}
        return scheduler.suits(pod, node) is None

    def _place(
        self, daemons: Object, by_node: dict[str, Object], nodes: list[str], digest: str
    ) -> None:
        for name, pod in list(by_node.items()):
            if (name not in nodes or pods.terminal(pod)) and not kinds.deleted(pod):
                self._delete(daemons, pod)
        for name in nodes:
            if name not in by_node:
                by_node[name] = self._create(daemons, name, digest)
        strategy = daemons["spec"].get("updateStrategy") or {}
        if strategy.get("type", "RollingUpdate") != "RollingUpdate":
            return
        limit = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", 1)
        room = max(1, pods.scaled(limit, len(nodes), up=True))
        room -= sum(not pods.ready(by_node[n]) or kinds.deleted(by_node[n]) for n in nodes)
        for name in nodes:
            pod = by_node[name]
            stale = pod["metadata"]["labels"].get(_HASH) != digest
            if stale and not kinds.deleted(pod) and (room > 0 or not pods.ready(pod)):
                room -= pods.ready(pod)
                self._delete(daemons, pod)

    def _create(self, daemons: Object, node: str, digest: str) -> Object:
        def pin(pod: Object) -> None:
            spec = pod["spec"]
            spec["tolerations"] = _tolerations(spec)
            term = {"key": "metadata.name", "operator": "In", "values": [node]}
            affinity = spec.setdefault("affinity", {})
            affinity["nodeAffinity"] = {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchFields": [term]}]
                }
            }

        generation = str(daemons["metadata"].get("generation", 1))
        pod = pods.create(
            self._cluster,
            kinds.DAEMON_SETS,
            daemons,
            daemons["spec"]["template"],
            labels={_HASH: digest, _GENERATION: generation},
            change=pin,
        )
        text = f"Created pod: {pod['metadata']['name']}"
        self._cluster.record.normal(kinds.DAEMON_SETS, daemons, _SOURCE, "SuccessfulCreate", text)
        return pod

    def _delete(self, daemons: Object, pod: Object) -> None:
        namespace, name = kinds.key(pod)
        if self._cluster.client.delete(kinds.PODS, name, namespace):
            self._cluster.record.normal(
                kinds.DAEMON_SETS, daemons, _SOURCE, "SuccessfulDelete", f"Deleted pod: {name}"
            )

    def _report(
        self, daemons: Object, by_node: dict[str, Object], nodes: list[str], digest: str
    ) -> None:
        living = [by_node[name] for name in nodes if name in by_node]
        living = [pod for pod in living if pods.active(pod)]
        working = sum(pods.ready(pod) for pod in living)
        updated = sum(pod["metadata"]["labels"].get(_HASH) == digest for pod in living)
        status = {
            "currentNumberScheduled": len(living),
            "desiredNumberScheduled": len(nodes),
            "numberMisscheduled": sum(name not in nodes for name in by_node),
            "numberReady": working,
            "numberAvailable": working or None,
            "numberUnavailable": (len(nodes) - working) or None,
            "updatedNumberScheduled": updated or None,
            "observedGeneration": daemons["metadata"].get("generation"),
        }
        self._cluster.set_status(kinds.DAEMON_SETS, daemons, status)


def _tolerations(spec: Object) -> list[Object]:
    result = list(spec.get("tolerations") or [])
    wanted = list(_TOLERATED)
    if spec.get("hostNetwork"):
        wanted.append(("node.kubernetes.io/network-unavailable", "NoSchedule"))
    for name, effect in wanted:
        entry = {"key": name, "operator": "Exists", "effect": effect}
        if entry not in result:
            result.append(entry)
    return result


def _target(pod: Object) -> str:
    """Give the node a daemon pod is for, scheduled or not."""
    if pod["spec"].get("nodeName"):
        return str(pod["spec"]["nodeName"])
    affinity = pod["spec"]["affinity"]["nodeAffinity"]
    term = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"][0]
    return str(term["matchFields"][0]["values"][0])
