"""PodDisruptionBudgets: how many pods may be missed at the moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds, pods
from runbook.rehearsal.controllers.manager import Cluster, Key

__all__ = ["Budgets"]


class Budgets:
    """Keep the status of PodDisruptionBudgets, which evictions ask."""

    name = "disruption"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Look at a budget when it or a pod it selects changes."""
        return {kinds.BUDGETS: lambda obj: [kinds.key(obj)], kinds.PODS: self._of_pod}

    def reconcile(self, key: Key) -> float | None:
        """Count the healthy pods of one budget."""
        namespace, name = key
        budget = self._cluster.cache.get(kinds.BUDGETS, name, namespace)
        if budget is None:
            return None
        chosen = [
            pod
            for pod in self._cluster.cache.all(kinds.PODS, namespace)
            if kinds.matches(budget["spec"].get("selector"), pod["metadata"].get("labels"))
            and pods.active(pod)
        ]
        healthy = sum(pods.ready(pod) for pod in chosen)
        expected = len(chosen)
        spec = budget["spec"]
        if "maxUnavailable" in spec:
            desired = expected - pods.scaled(spec["maxUnavailable"], expected, up=True)
        else:
            desired = pods.scaled(spec.get("minAvailable", 1), expected, up=True)
        allowed = max(0, healthy - max(0, desired)) if expected else 0
        entry = {
            "type": "DisruptionAllowed",
            "status": str(allowed > 0),
            "reason": "SufficientPods" if allowed else "InsufficientPods",
            "message": "",
            "observedGeneration": budget["metadata"].get("generation"),
        }
        before = (budget.get("status") or {}).get("conditions")
        status = {
            "currentHealthy": healthy,
            "desiredHealthy": max(0, desired),
            "disruptionsAllowed": allowed,
            "expectedPods": expected,
            "observedGeneration": budget["metadata"].get("generation"),
            "conditions": kinds.with_condition(before, entry),
        }
        self._cluster.set_status(kinds.BUDGETS, budget, status)
        return None

    def _of_pod(self, pod: Object) -> Iterable[Key]:
        for budget in self._cluster.cache.all(kinds.BUDGETS, pod["metadata"]["namespace"]):
            if kinds.matches(budget["spec"].get("selector"), pod["metadata"].get("labels")):
                yield kinds.key(budget)
