"""Node heartbeats: Leases every ten seconds, status now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.manager import Cluster, Key

__all__ = ["Nodes"]

_LEASES = "kube-node-lease"
_RENEW = 10.0
"""Seconds between two renewals of a node's Lease, as a kubelet does it."""
_STATUS = 300.0
"""Seconds between two reports of an unchanged node status."""
_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory",
     "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)  # fmt: skip


class Nodes:
    """Keep nodes Ready and their Leases fresh."""

    name = "node"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster.acting_as("kubelet")

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Look at nodes that appear; afterwards the clock decides."""
        return {kinds.NODES: lambda obj: [kinds.key(obj)]}

    def reconcile(self, key: Key) -> float | None:
        """Renew one node's Lease and, when it is time, its conditions."""
        node = self._cluster.cache.get(kinds.NODES, key[1])
        if node is None or kinds.deleted(node):
            return None
        ready = kinds.condition(node, "Ready")
        if ready is None or kinds.age(ready["lastHeartbeatTime"]) >= _STATUS:
            self._beat(node)
        self._renew(node)
        return _RENEW

    def _beat(self, node: Object) -> None:
        conditions = (node.get("status") or {}).get("conditions")
        for kind, state, reason, message in _CONDITIONS:
            entry = {"type": kind, "status": state, "reason": reason, "message": message}
            entry["lastHeartbeatTime"] = kinds.now()
            conditions = kinds.with_condition(conditions, entry)
        status = {**(node.get("status") or {}), "conditions": conditions}
        self._cluster.set_status(kinds.NODES, node, status)

    def _renew(self, node: Object) -> None:
        name = node["metadata"]["name"]
        spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": kinds.micro_now()}
        if self._cluster.client.find(kinds.LEASES, name, _LEASES) is not None:
            self._cluster.client.patch(kinds.LEASES, name, {"spec": spec}, _LEASES)
            return
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}
        meta = {"name": name, "namespace": _LEASES, "ownerReferences": [owner]}
        self._cluster.client.create(kinds.LEASES, {"metadata": meta, "spec": spec})
