"""StatefulSets: numbered pods, one after the other."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping

from runbook.errors import ConflictError
from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds, pods
from runbook.rehearsal.controllers.manager import Cluster, Key

__all__ = ["StatefulSets"]

_SOURCE = "statefulset-controller"
_HASH = "controller-revision-hash"


class StatefulSets:
    """Create numbered pods in order, delete and exchange them from the highest down."""

    name = "statefulset"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Look after StatefulSets when they or their pods change."""
        return {
            kinds.STATEFUL_SETS: lambda obj: [kinds.key(obj)],
            kinds.PODS: pods.owner_keys("StatefulSet"),
        }

    def reconcile(self, key: Key) -> float | None:
        """Take the next step and report on it."""
        namespace, name = key
        stateful = self._cluster.cache.get(kinds.STATEFUL_SETS, name, namespace)
        if stateful is None:
            return None
        digest = f"{name}-{pods.safe_hash(stateful['spec']['template'])}"
        owned = {
            int(pod["metadata"]["name"].rpartition("-")[2]): pod
            for pod in self._cluster.cache.owned(stateful["metadata"]["uid"], kinds.PODS)
        }
        if not kinds.deleted(stateful):
            self._step(stateful, owned, digest)
        self._report(stateful, owned, digest)
        return None

    def _step(self, stateful: Object, owned: dict[int, Object], digest: str) -> None:
        spec = stateful["spec"]
        start = (spec.get("ordinals") or {}).get("start", 0)
        wanted = range(start, start + spec.get("replicas", 1))
        ordered = spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady"
        for number in wanted:
            pod = owned.get(number)
            if pod is None:
                owned[number] = self._create(stateful, number, digest)
            elif pods.terminal(pod) and not kinds.deleted(pod):
                self._delete(stateful, pod)
            if ordered and not pods.ready(owned[number]):
                self._exchange(stateful, owned, wanted, digest)
                return
        for number in sorted(set(owned) - set(wanted), reverse=True):
            if not kinds.deleted(owned[number]):
                self._delete(stateful, owned[number])
            if ordered:
                return
        self._exchange(stateful, owned, wanted, digest)

    def _exchange(
        self, stateful: Object, owned: dict[int, Object], wanted: range, digest: str
    ) -> None:
        strategy = stateful["spec"].get("updateStrategy") or {}
        if strategy.get("type", "RollingUpdate") != "RollingUpdate":
            return
        first = (strategy.get("rollingUpdate") or {}).get("partition", 0)
        for number in reversed(wanted):
            pod = owned.get(number)
            if pod is None or number < first:
                continue
            if pod["metadata"]["labels"].get(_HASH) != digest and not kinds.deleted(pod):
                self._delete(stateful, pod)
                return
            if not pods.ready(pod) or kinds.deleted(pod):
                return

    def _create(self, stateful: Object, number: int, digest: str) -> Object:
        name = f"{stateful['metadata']['name']}-{number}"
        claims = stateful["spec"].get("volumeClaimTemplates") or []

        def identify(pod: Object) -> None:
            spec = pod["spec"]
            spec["hostname"] = name
            if stateful["spec"].get("serviceName"):
                spec["subdomain"] = stateful["spec"]["serviceName"]
            volumes = spec.setdefault("volumes", [])
            for claim in claims:
                volume = claim["metadata"]["name"]
                source = {"claimName": f"{volume}-{name}"}
                volumes.append({"name": volume, "persistentVolumeClaim": source})

        for claim in claims:
            self._claim(stateful, claim, name)
        labels = {
            "statefulset.kubernetes.io/pod-name": name,
            "apps.kubernetes.io/pod-index": str(number),
            _HASH: digest,
        }
        template = stateful["spec"]["template"]
        pod = pods.create(
            self._cluster,
            kinds.STATEFUL_SETS,
            stateful,
            template,
            name=name,
            labels=labels,
            change=identify,
        )
        text = f"create Pod {name} in StatefulSet {stateful['metadata']['name']} successful"
        self._cluster.record.normal(
            kinds.STATEFUL_SETS, stateful, _SOURCE, "SuccessfulCreate", text
        )
        return pod

    def _claim(self, stateful: Object, template: Object, pod: str) -> None:
        claim = copy.deepcopy(template)
        claim.pop("status", None)
        name = f"{template['metadata']['name']}-{pod}"
        namespace = stateful["metadata"]["namespace"]
        if self._cluster.cache.get(kinds.CLAIMS, name, namespace) is not None:
            return
        labels = (stateful["spec"]["selector"] or {}).get("matchLabels")
        claim["metadata"] = {**claim["metadata"], "name": name, "namespace": namespace}
        claim["metadata"].setdefault("labels", labels or {})
        try:
            self._cluster.client.create(kinds.CLAIMS, claim)
        except ConflictError:
            return  # it outlived an earlier pod of this number, as it should

    def _delete(self, stateful: Object, pod: Object) -> None:
        namespace, name = kinds.key(pod)
        if self._cluster.client.delete(kinds.PODS, name, namespace):
            text = f"delete Pod {name} in StatefulSet {stateful['metadata']['name']} successful"
            self._cluster.record.normal(
                kinds.STATEFUL_SETS, stateful, _SOURCE, "SuccessfulDelete", text
            )

    def _report(self, stateful: Object, owned: dict[int, Object], digest: str) -> None:
        living = [pod for pod in owned.values() if pods.active(pod)]
        working = sum(pods.ready(pod) for pod in living)
        updated = sum(pod["metadata"]["labels"].get(_HASH) == digest for pod in living)
        wanted = stateful["spec"].get("replicas", 1)
        before = (stateful.get("status") or {}).get("currentRevision") or digest
        done = updated == len(living) == wanted == working
        current = digest if done else before
        old = sum(pod["metadata"]["labels"].get(_HASH) == current for pod in living)
        status = {
            "observedGeneration": stateful["metadata"].get("generation"),
            "replicas": len(living),
            "readyReplicas": working or None,
            "availableReplicas": working,
            "currentReplicas": old or None,
            "updatedReplicas": updated or None,
            "currentRevision": current,
            "updateRevision": digest,
            "collisionCount": 0,
        }
        self._cluster.set_status(kinds.STATEFUL_SETS, stateful, status)
