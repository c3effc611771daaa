"""ReplicaSets: as many pods as they say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from runbook.errors import ApiError
from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds, pods
from runbook.rehearsal.controllers.manager import Cluster, Key

__all__ = ["ReplicaSets"]

_SOURCE = "replicaset-controller"


class ReplicaSets:
    """Create and delete pods until a ReplicaSet has its replicas."""

    name = "replicaset"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Look after ReplicaSets when they or their pods change."""
        return {
            kinds.REPLICA_SETS: lambda obj: [kinds.key(obj)],
            kinds.PODS: pods.owner_keys("ReplicaSet"),
        }

    def reconcile(self, key: Key) -> float | None:
        """Bring the number of pods to ``spec.replicas`` and report on them."""
        namespace, name = key
        replica_set = self._cluster.cache.get(kinds.REPLICA_SETS, name, namespace)
        if replica_set is None:
            return None
        owned = self._cluster.cache.owned(replica_set["metadata"]["uid"], kinds.PODS)
        living = [pod for pod in owned if pods.active(pod)]
        failure: Exception | None = None
        if not kinds.deleted(replica_set):
            try:
                living = self._scale(replica_set, living)
            except ApiError as error:
                failure = error
        after = self._report(replica_set, living, owned, failure)
        if failure is not None:
            raise failure
        return after

    def _scale(self, replica_set: Object, living: list[Object]) -> list[Object]:
        wanted = replica_set["spec"].get("replicas", 1)
        missing = range(wanted - len(living))
        result = [*living, *(self._create(replica_set) for _ in missing)]
        if wanted < len(living):
            result.sort(key=_worth)
            surplus, result = result[: len(living) - wanted], result[len(living) - wanted :]
            for pod in surplus:
                self._delete(replica_set, pod)
        return result

    def _create(self, replica_set: Object) -> Object:
        template = replica_set["spec"]["template"]
        record = self._cluster.record
        try:
            pod = pods.create(self._cluster, kinds.REPLICA_SETS, replica_set, template)
        except ApiError as error:
            text = f"Error creating: {error.what}"
            record.warning(kinds.REPLICA_SETS, replica_set, _SOURCE, "FailedCreate", text)
            raise
        text = f"Created pod: {pod['metadata']['name']}"
        record.normal(kinds.REPLICA_SETS, replica_set, _SOURCE, "SuccessfulCreate", text)
        return pod

    def _delete(self, replica_set: Object, pod: Object) -> None:
        namespace, name = kinds.key(pod)
        if self._cluster.client.delete(kinds.PODS, name, namespace):
            self._cluster.record.normal(
                kinds.REPLICA_SETS, replica_set, _SOURCE, "SuccessfulDelete", f"Deleted pod: {name}"
            )

    def _report(
        self,
        replica_set: Object,
        living: list[Object],
        owned: list[Object],
        failure: Exception | None,
    ) -> float | None:
        spec = replica_set["spec"]
        waits = [pods.available(pod, spec.get("minReadySeconds", 0)) for pod in living]
        wanted = (spec["template"].get("metadata") or {}).get("labels") or {}
        labelled = [
            pod for pod in living if wanted.items() <= (pod["metadata"].get("labels") or {}).items()
        ]
        conditions = [
            entry
            for entry in (replica_set.get("status") or {}).get("conditions") or []
            if entry["type"] != "ReplicaFailure"
        ]
        if failure is not None:
            bad = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}
            bad["message"] = getattr(failure, "what", str(failure))
            conditions = kinds.with_condition(conditions, bad)
        status = {
            "replicas": len(living),
            "fullyLabeledReplicas": len(labelled) or None,
            "readyReplicas": sum(wait is not None for wait in waits) or None,
            "availableReplicas": sum(wait == 0 for wait in waits) or None,
            "terminatingReplicas": sum(kinds.deleted(pod) for pod in owned),
            "observedGeneration": replica_set["metadata"].get("generation"),
            "conditions": conditions or None,
        }
        self._cluster.set_status(kinds.REPLICA_SETS, replica_set, status)
        return min((wait for wait in waits if wait), default=None)


def _worth(pod: Object) -> tuple[int, int, int, str]:
    """Rank pods by how much would be lost with them, the least first."""
    assigned = bool(pod["spec"].get("nodeName"))
    running = (pod.get("status") or {}).get("phase") == "Running"
    return (assigned, running, pods.ready(pod), _reversed(pod["metadata"]["creationTimestamp"]))


def _reversed(stamp: str) -> str:
    """Turn a timestamp so that the youngest sorts first."""
    return "".join(chr(255 - ord(char)) for char in stamp)
