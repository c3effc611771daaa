"""Deployments: one ReplicaSet per template, exchanged step by step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds, pods
from runbook.rehearsal.controllers.manager import Cluster, Key

__all__ = ["Deployments"]

_SOURCE = "deployment-controller"
_REVISION = "deployment.kubernetes.io/revision"
_DESIRED = "deployment.kubernetes.io/desired-replicas"
_MAXIMUM = "deployment.kubernetes.io/max-replicas"
_HASH = "pod-template-hash"
_NOT_COPIED = (
    "kubectl.kubernetes.io/last-applied-configuration",
    _REVISION,
    "deployment.kubernetes.io/revision-history",
    _DESIRED,
    _MAXIMUM,
    "deprecated.deployment.rollback.to",
)
"""Annotations of a Deployment that its ReplicaSets do not get."""


@dataclass
class _Rollout:
    """One Deployment with its ReplicaSets, and the limits of its strategy."""

    deployment: Object
    new: Object | None
    old: list[Object]

    @property
    def replicas(self) -> int:
        return int(self.deployment["spec"].get("replicas", 1))

    @property
    def all(self) -> list[Object]:
        return [*self.old, *([self.new] if self.new is not None else [])]

    @property
    def recreate(self) -> bool:
        strategy = self.deployment["spec"].get("strategy") or {}
        return bool(strategy.get("type") == "Recreate")

    def limits(self) -> tuple[int, int]:
        """Give how many pods there may be too many, and too few."""
        if self.recreate:
            return 0, self.replicas
        rolling = (self.deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
        surge = pods.scaled(rolling.get("maxSurge", "25%"), self.replicas, up=True)
        missing = pods.scaled(rolling.get("maxUnavailable", "25%"), self.replicas, up=False)
        if not surge and not missing:
            missing = 1
        return surge, min(missing, self.replicas)


class Deployments:
    """Bring the pods of a Deployment from one template to the next."""

    name = "deployment"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Look after Deployments when they or their ReplicaSets change."""
        return {
            kinds.DEPLOYMENTS: lambda obj: [kinds.key(obj)],
            kinds.REPLICA_SETS: pods.owner_keys("Deployment"),
            kinds.PODS: self._of_pod,
        }

    def reconcile(self, key: Key) -> float | None:
        """Take the next step of the rollout and report on it."""
        namespace, name = key
        deployment = self._cluster.cache.get(kinds.DEPLOYMENTS, name, namespace)
        if deployment is None:
            return None
        owned = self._cluster.cache.owned(deployment["metadata"]["uid"], kinds.REPLICA_SETS)
        digest = pods.safe_hash(deployment["spec"]["template"])
        new = next((rs for rs in owned if _digest(rs) == digest), None)
        rollout = _Rollout(deployment, new, [rs for rs in owned if rs is not new])
        if kinds.deleted(deployment) or deployment["spec"].get("paused"):
            return self._report(rollout)
        rollout.new = self._renew(rollout, digest)
        if rollout.recreate:
            self._recreate(rollout)
        else:
            self._roll(rollout)
        self._clean(rollout)
        self._annotate(rollout)
        return self._report(rollout)

    def _of_pod(self, pod: Object) -> Iterable[Key]:
        # Only a Recreate rollout waits for pods themselves to be gone.
        owner = kinds.controller_of(pod)
        if owner is None or owner["kind"] != "ReplicaSet" or not kinds.deleted(pod):
            return []
        namespace = pod["metadata"]["namespace"]
        parent = self._cluster.cache.get(kinds.REPLICA_SETS, owner["name"], namespace)
        return pods.owner_keys("Deployment")(parent) if parent is not None else []

    def _renew(self, rollout: _Rollout, digest: str) -> Object:
        """Find or create the ReplicaSet of the present template, with the highest revision."""
        deployment = rollout.deployment
        revision = str(max((_revision(rs) for rs in rollout.old), default=0) + 1)
        if rollout.new is None:
            return self._create(rollout, digest, revision)
        new = rollout.new
        if _revision(new) >= int(revision):
            return new
        patch = {"metadata": {"annotations": {**_copied(deployment), _REVISION: revision}}}
        namespace, name = kinds.key(new)
        return self._cluster.client.patch(kinds.REPLICA_SETS, name, patch, namespace)

    def _create(self, rollout: _Rollout, digest: str, revision: str) -> Object:
        deployment = rollout.deployment
        namespace, name = kinds.key(deployment)
        spec = deployment["spec"]
        template = copy.deepcopy(spec["template"])
        template.setdefault("metadata", {}).setdefault("labels", {})[_HASH] = digest
        selector = copy.deepcopy(spec["selector"])
        selector.setdefault("matchLabels", {})[_HASH] = digest
        surge, _ = rollout.limits()
        total = sum(rs["spec"].get("replicas", 0) for rs in rollout.old)
        first = max(0, min(rollout.replicas, rollout.replicas + surge - total))
        if rollout.recreate and total:
            first = 0
        new: Object = {
            "metadata": {
                "name": f"{name}-{digest}",
                "namespace": namespace,
                "labels": template["metadata"]["labels"],
                "annotations": {
                    **_copied(deployment),
                    _REVISION: revision,
                    _DESIRED: str(rollout.replicas),
                    _MAXIMUM: str(rollout.replicas + surge),
                },
                "ownerReferences": [kinds.owner_reference(kinds.DEPLOYMENTS, deployment)],
            },
            "spec": {"replicas": first, "selector": selector, "template": template},
        }
        if spec.get("minReadySeconds"):
            new["spec"]["minReadySeconds"] = spec["minReadySeconds"]
        created = self._cluster.client.create(kinds.REPLICA_SETS, new)
        if first:
            self._say(deployment, created, 0, first)
        return created

    def _recreate(self, rollout: _Rollout) -> None:
        for old in rollout.old:
            self._scale(rollout, old, 0)
        gone = not any(
            not pods.terminal(pod)
            for old in rollout.old
            for pod in self._cluster.cache.owned(old["metadata"]["uid"], kinds.PODS)
        )
        if gone and rollout.new is not None:
            rollout.new = self._scale(rollout, rollout.new, rollout.replicas)

    def _roll(self, rollout: _Rollout) -> None:
        assert rollout.new is not None  # noqa: S101  # _renew has just set it
        surge, missing = rollout.limits()
        total = sum(rs["spec"].get("replicas", 0) for rs in rollout.all)
        size = rollout.new["spec"].get("replicas", 0)
        if size > rollout.replicas:
            rollout.new = self._scale(rollout, rollout.new, rollout.replicas)
            return
        if size < rollout.replicas:
            room = rollout.replicas + surge - total
            if room > 0:
                more = min(room, rollout.replicas - size)
                rollout.new = self._scale(rollout, rollout.new, size + more)
        self._shrink(rollout, missing)

    def _shrink(self, rollout: _Rollout, missing: int) -> None:
        """Take down old pods: first those that do not work, then as many as can be spared."""
        assert rollout.new is not None  # noqa: S101
        total = sum(rs["spec"].get("replicas", 0) for rs in rollout.all)
        floor = rollout.replicas - missing
        unavailable = rollout.new["spec"].get("replicas", 0) - _available(rollout.new)
        spare = total - floor - unavailable
        rollout.old.sort(key=lambda rs: str(rs["metadata"]["creationTimestamp"]))
        for index, old in enumerate(rollout.old):
            size = old["spec"].get("replicas", 0)
            broken = min(spare, size - _available(old))
            if broken > 0:
                rollout.old[index] = self._scale(rollout, old, size - broken)
                spare -= broken
        spare = min(spare, sum(_available(rs) for rs in rollout.all) - floor)
        for index, old in enumerate(rollout.old):
            size = old["spec"].get("replicas", 0)
            if spare > 0 and size > 0:
                fewer = min(spare, size)
                rollout.old[index] = self._scale(rollout, old, size - fewer)
                spare -= fewer

    def _scale(self, rollout: _Rollout, replica_set: Object, size: int) -> Object:
        before = replica_set["spec"].get("replicas", 0)
        if before == size:
            return replica_set
        surge, _ = rollout.limits()
        notes = {_DESIRED: str(rollout.replicas), _MAXIMUM: str(rollout.replicas + surge)}
        patch = {"metadata": {"annotations": notes}, "spec": {"replicas": size}}
        namespace, name = kinds.key(replica_set)
        changed = self._cluster.client.patch(kinds.REPLICA_SETS, name, patch, namespace)
        self._say(rollout.deployment, replica_set, before, size)
        return changed

    def _say(self, deployment: Object, replica_set: Object, before: int, after: int) -> None:
        way = "up" if after > before else "down"
        name = replica_set["metadata"]["name"]
        text = f"Scaled {way} replica set {name} from {before} to {after}"
        self._cluster.record.normal(
            kinds.DEPLOYMENTS, deployment, _SOURCE, "ScalingReplicaSet", text
        )

    def _clean(self, rollout: _Rollout) -> None:
        keep = rollout.deployment["spec"].get("revisionHistoryLimit", 10)
        done = [rs for rs in rollout.old if not (rs.get("status") or {}).get("replicas")]
        done = [rs for rs in done if not rs["spec"].get("replicas") and not kinds.deleted(rs)]
        done.sort(key=_revision)
        for replica_set in done[: max(0, len(done) - keep)]:
            namespace, name = kinds.key(replica_set)
            self._cluster.client.delete(kinds.REPLICA_SETS, name, namespace)

    def _annotate(self, rollout: _Rollout) -> None:
        assert rollout.new is not None  # noqa: S101
        revision = str(_revision(rollout.new))
        notes = rollout.deployment["metadata"].get("annotations") or {}
        if notes.get(_REVISION) != revision:
            namespace, name = kinds.key(rollout.deployment)
            patch = {"metadata": {"annotations": {_REVISION: revision}}}
            rollout.deployment = self._cluster.client.patch(
                kinds.DEPLOYMENTS, name, patch, namespace
            )

    def _report(self, rollout: _Rollout) -> float | None:
        deployment, sets = rollout.deployment, rollout.all
        total = sum((rs.get("status") or {}).get("replicas", 0) for rs in sets)
        working = sum(_available(rs) for rs in sets)
        updated = (rollout.new or {}).get("status") or {}
        status: Object = {
            "observedGeneration": deployment["metadata"].get("generation"),
            "replicas": total or None,
            "updatedReplicas": updated.get("replicas") or None,
            "readyReplicas": sum((rs.get("status") or {}).get("readyReplicas", 0) for rs in sets)
            or None,
            "availableReplicas": working or None,
            "unavailableReplicas": max(0, max(total, rollout.replicas) - working) or None,
            "terminatingReplicas": sum(
                (rs.get("status") or {}).get("terminatingReplicas", 0) for rs in sets
            ),
            "collisionCount": (deployment.get("status") or {}).get("collisionCount"),
        }
        status["conditions"] = self._conditions(rollout, status)
        self._cluster.set_status(kinds.DEPLOYMENTS, deployment, status)
        return self._deadline(rollout, status["conditions"])

    def _conditions(self, rollout: _Rollout, status: Object) -> list[Object]:
        before = (rollout.deployment.get("status") or {}).get("conditions")
        _, missing = rollout.limits()
        enough = (status["availableReplicas"] or 0) >= rollout.replicas - missing
        result = _set(
            before,
            "Available",
            enough,
            "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
            f"Deployment {'has' if enough else 'does not have'} minimum availability.",
        )
        failing = next((rs for rs in rollout.all if kinds.holds(rs, "ReplicaFailure")), None)
        if failing is not None:
            cause = kinds.condition(failing, "ReplicaFailure") or {}
            result = _set(
                result, "ReplicaFailure", True, cause.get("reason", ""), cause.get("message", "")
            )
        else:
            result = [entry for entry in result if entry["type"] != "ReplicaFailure"]
        return self._progress(rollout, status, result)

    def _progress(self, rollout: _Rollout, status: Object, result: list[Object]) -> list[Object]:
        if rollout.new is None:
            return result
        shown = f'ReplicaSet "{rollout.new["metadata"]["name"]}"'
        old = rollout.deployment.get("status") or {}
        complete = (
            (status["updatedReplicas"] or 0) == rollout.replicas
            and (status["replicas"] or 0) == rollout.replicas
            and (status["availableReplicas"] or 0) == rollout.replicas
        )
        if complete:
            text = f"{shown} has successfully progressed."
            return _set(result, "Progressing", True, "NewReplicaSetAvailable", text)
        counts = ("updatedReplicas", "readyReplicas", "availableReplicas", "replicas")
        moved = any(old.get(name) != status[name] for name in counts)
        present = next((entry for entry in result if entry["type"] == "Progressing"), None)
        finished = present is not None and present["reason"] == "NewReplicaSetAvailable"
        if moved or present is None or finished:
            text = f"{shown} is progressing."
            return _set(result, "Progressing", True, "ReplicaSetUpdated", text, stamp=True)
        limit = rollout.deployment["spec"].get("progressDeadlineSeconds", 600)
        if kinds.age(present["lastUpdateTime"]) >= limit:
            text = f"{shown} has timed out progressing."
            return _set(result, "Progressing", False, "ProgressDeadlineExceeded", text)
        return result

    def _deadline(self, rollout: _Rollout, conditions: list[Object]) -> float | None:
        present = next((entry for entry in conditions if entry["type"] == "Progressing"), None)
        if present is None or present["reason"] != "ReplicaSetUpdated":
            return None
        limit = rollout.deployment["spec"].get("progressDeadlineSeconds", 600)
        return float(max(1.0, limit - kinds.age(present["lastUpdateTime"]) + 1))


def _set(
    conditions: list[Object] | None,
    kind: str,
    status: bool,
    reason: str,
    message: str,
    *,
    stamp: bool = False,
) -> list[Object]:
    """Set a Deployment condition, whose lastUpdateTime moves with any change."""
    old = next((entry for entry in conditions or [] if entry["type"] == kind), {})
    new = {"type": kind, "status": str(status), "reason": reason, "message": message}
    same = all(old.get(field) == value for field, value in new.items())
    new["lastUpdateTime"] = old["lastUpdateTime"] if same and not stamp else kinds.now()
    return kinds.with_condition(conditions, new)


def _available(replica_set: Object) -> int:
    return int((replica_set.get("status") or {}).get("availableReplicas", 0))


def _digest(replica_set: Object) -> str:
    return str((replica_set["metadata"].get("labels") or {}).get(_HASH, ""))


def _revision(replica_set: Object) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(_REVISION, 0))


def _copied(deployment: Object) -> dict[str, str]:
    notes = deployment["metadata"].get("annotations") or {}
    return {name: value for name, value in notes.items() if name not in _NOT_COPIED}
