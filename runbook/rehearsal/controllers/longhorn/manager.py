"""The reconciler: one installation of Longhorn.

What matters to meshing is real: whether a manager accepts connections once a proxy is in front of
it, and whether the CSI driver gets deployed. Volumes are not: nothing is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds, pods
from runbook.rehearsal.controllers.longhorn import objects
from runbook.rehearsal.controllers.longhorn.kinds import (
    CSI_NODES,
    DRIVER,
    INSTANCE_MANAGERS,
    NODES,
    accepts,
    sees_propagation,
)
from runbook.rehearsal.controllers.manager import Cluster, Key
from runbook.rehearsal.faults import Fault, Faults

__all__ = ["Longhorn"]

_MANAGER, _DEPLOYER = "longhorn-manager", "longhorn-driver-deployer"
_REFUSED = (
    "Failed to initialize Longhorn API client: Get http://longhorn-backend:9500/v1: dial tcp: "
    "connect: connection refused"
)
_PROPAGATION = "Error deploying driver: failed to deploy CSI: MountPropagation is not enabled"


class Longhorn:
    """Make what the managers make, and keep the CSI driver as healthy as they allow.

    Args:
        cluster: Where.
        faults: Containers that cannot reach the managers crash through them.
    """

    name = "longhorn"

    def __init__(self, cluster: Cluster, faults: Faults) -> None:
        self._cluster = cluster.acting_as(_MANAGER)
        self._faults = faults
        self._crashing: dict[tuple[str, str], int] = {}

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Look at Longhorn when its managers or its own objects change."""
        return {
            kinds.DAEMON_SETS: lambda obj: self._of(obj, _MANAGER),
            kinds.PODS: lambda obj: self._homes(kinds.key(obj)[0]),
            NODES: lambda obj: self._homes(kinds.key(obj)[0]),
            INSTANCE_MANAGERS: lambda obj: self._homes(kinds.key(obj)[0]),
        }

    def reconcile(self, key: Key) -> float | None:
        """Bring one installation to where its managers would."""
        namespace = key[0]
        manager = self._cluster.cache.get(kinds.DAEMON_SETS, _MANAGER, namespace)
        if manager is None or kinds.deleted(manager):
            return None
        owned = self._cluster.cache.owned(manager["metadata"]["uid"], kinds.PODS)
        living = [pod for pod in owned if pods.ready(pod) and not kinds.deleted(pod)]
        for pod in living:
            self._node(namespace, pod)
        if not living:
            return None
        answers = all(accepts(pod) for pod in living)
        seen = all(sees_propagation(pod) for pod in living)
        if answers and seen:
            self._deploy(namespace, living)
        deployed = self._cluster.cache.get(kinds.DAEMON_SETS, objects.PLUGIN, namespace)
        self._crash(namespace, objects.PLUGIN, objects.PLUGIN, "" if answers else _REFUSED)
        stuck = "" if answers and (seen or deployed) else _REFUSED if not answers else _PROPAGATION
        self._crash(namespace, _DEPLOYER, _DEPLOYER, stuck)
        return None

    def _of(self, obj: Object, name: str) -> list[Key]:
        return [kinds.key(obj)] if obj["metadata"]["name"] == name else []

    def _homes(self, namespace: str) -> list[Key]:
        found = self._cluster.cache.get(kinds.DAEMON_SETS, _MANAGER, namespace)
        return [(namespace, _MANAGER)] if found is not None else []

    def _node(self, namespace: str, pod: Object) -> None:
        """Keep what a manager keeps of its node: its object and its instance manager."""
        node = pod["spec"]["nodeName"]
        meta = {"name": node, "namespace": namespace}
        live = self._ensure(NODES, {"metadata": meta, "spec": {"allowScheduling": True}})
        answers, seen = accepts(pod), sees_propagation(pod)
        conditions = (live.get("status") or {}).get("conditions")
        for kind, holds, reason in (
            ("Ready", answers, "ManagerPodDown"),
            ("MountPropagation", seen, "NoMountPropagationSupport"),
            ("Schedulable", True, ""),
        ):
            entry = {"type": kind, "status": str(holds), "reason": "" if holds else reason}
            conditions = kinds.with_condition(conditions, entry)
        self._cluster.set_status(NODES, live, {"conditions": conditions})
        manager = self._ensure(INSTANCE_MANAGERS, objects.instance_manager(namespace, node))
        self._cluster.set_status(INSTANCE_MANAGERS, manager, {"currentState": "running"})
        self._ensure(kinds.PODS, objects.instance_manager_pod(manager))
        self._ensure(kinds.DAEMON_SETS, objects.engine_image(namespace))

    def _deploy(self, namespace: str, managers: list[Object]) -> None:
        for resource, wanted in objects.driver(namespace):
            self._ensure(resource, wanted)
        for pod in managers:
            node = pod["spec"]["nodeName"]
            entry = {"name": DRIVER, "nodeID": node, "topologyKeys": []}
            self._ensure(CSI_NODES, {"metadata": {"name": node}, "spec": {"drivers": [entry]}})

    def _crash(self, namespace: str, app: str, container: str, why: str) -> None:
        """Have the pods of an app crash with a reason, or run again without one."""
        key = (namespace, app)
        if bool(why) == (key in self._crashing):
            return
        if why:
            fault = Fault(
                "crash", namespace=namespace, labels={"app": app}, container=container, message=why
            )
            self._crashing[key] = self._faults.set(fault)
        else:
            self._faults.clear(self._crashing.pop(key))
        for pod in self._cluster.cache.all(kinds.PODS, namespace):
            # Their probes fail, and the kubelet starts them anew.
            if (pod["metadata"].get("labels") or {}).get("app") == app and not kinds.deleted(pod):
                self._cluster.client.delete(kinds.PODS, pod["metadata"]["name"], namespace)

    def _ensure(self, resource: Resource, wanted: Object) -> Object:
        namespace, name = kinds.key(wanted)
        live = self._cluster.client.find(resource, name, namespace)
        return live or self._cluster.client.create(resource, wanted)
