"""The reconciler: one Prometheus object at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds, pods
from runbook.rehearsal.controllers.manager import Cluster, Key
from runbook.rehearsal.controllers.prometheusoperator import objects, scrape
from runbook.rehearsal.controllers.prometheusoperator.kinds import (
    POD_MONITORS,
    PROMETHEUSES,
    is_operator,
    prefixed,
    running,
)
from runbook.rehearsal.controllers.prometheusoperator.monitors import problem, selected

__all__ = ["Prometheuses"]

_SOURCE = "prometheus-controller"
_CHECKED = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
"""Conditions of a pod that tell why it is not ready, in the order to look at them."""


class Prometheuses:
    """Keep server and configuration of Prometheus objects as they and the PodMonitors say."""

    name = "prometheus-operator"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster.acting_as("PrometheusOperator")
        self._refused: dict[tuple[str, str], str] = {}

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Look at Prometheus objects when anything changes that they are about."""
        own = pods.owner_keys("Prometheus")
        return {
            PROMETHEUSES: lambda obj: [kinds.key(obj)],
            POD_MONITORS: lambda _: self._all(),
            kinds.NAMESPACES: lambda _: self._all(),
            kinds.SECRETS: own,
            kinds.SERVICES: own,
            kinds.STATEFUL_SETS: own,
            kinds.DEPLOYMENTS: lambda obj: self._all() if is_operator(obj) else [],
        }

    def reconcile(self, key: Key) -> float | None:
        """Write configuration, Service and StatefulSet of one object, and its status."""
        namespace, name = key
        prometheus = self._cluster.cache.get(PROMETHEUSES, name, namespace)
        if prometheus is None or kinds.deleted(prometheus) or not running(self._cluster.cache):
            return None
        if not prometheus["spec"].get("paused"):
            configuration = scrape.configuration(prometheus, self._monitors(prometheus))
            self._ensure(kinds.SECRETS, objects.secret(prometheus, configuration), "data")
            self._ensure(kinds.SERVICES, objects.service(prometheus))
            self._ensure(kinds.STATEFUL_SETS, self._without_others(prometheus), "spec")
        self._report(prometheus)
        return None

    def _all(self) -> list[Key]:
        return [kinds.key(obj) for obj in self._cluster.cache.all(PROMETHEUSES)]

    def _monitors(self, prometheus: Object) -> list[Object]:
        """Give the valid ones among the selected PodMonitors; an Event names the others."""
        result = []
        for monitor in selected(prometheus, self._cluster.cache):
            wrong = problem(monitor, prometheus)
            if not wrong:
                result.append(monitor)
            elif self._refused.get(kinds.key(monitor)) != wrong:
                place = "/".join(kinds.key(monitor))
                text = f'"{place}" was rejected due to invalid configuration: {wrong}'
                record = self._cluster.record
                record.warning(POD_MONITORS, monitor, _SOURCE, "InvalidConfiguration", text)
            self._refused[kinds.key(monitor)] = wrong
        return result

    def _ensure(self, resource: Resource, wanted: Object, *fields: str) -> None:
        """Create an object, or set those of its fields that are not as wanted."""
        namespace, name = kinds.key(wanted)
        live = self._cluster.cache.get(resource, name, namespace)
        if live is None:
            self._cluster.client.create(resource, wanted)
            return
        patch = {
            field: wanted[field]
            for field in fields
            if not kinds.within(wanted[field], live.get(field))
        }
        if patch:
            self._cluster.client.patch(resource, name, patch, namespace)

    def _without_others(self, prometheus: Object) -> Object:
        """Give the StatefulSet that takes away what others have annotated its template with."""
        wanted = objects.stateful_set(prometheus)
        namespace, name = kinds.key(wanted)
        live = self._cluster.cache.get(kinds.STATEFUL_SETS, name, namespace)
        if live is not None:
            notes = wanted["spec"]["template"]["metadata"]["annotations"]
            found = live["spec"]["template"]["metadata"].get("annotations") or {}
            notes |= dict.fromkeys(set(found) - set(notes))
        return wanted

    def _report(self, prometheus: Object) -> None:
        """Write the status, with the conditions Available and Reconciled."""
        namespace, name = prometheus["metadata"]["namespace"], prefixed(prometheus)
        live = self._cluster.cache.get(kinds.STATEFUL_SETS, name, namespace)
        owned = self._cluster.cache.owned(live["metadata"]["uid"], kinds.PODS) if live else []
        ready = [pod for pod in owned if pods.ready(pod)]
        wanted = prometheus["spec"].get("replicas", 1)
        reason = "" if len(ready) >= wanted else "SomePodsNotReady" if ready else "NoPodReady"
        if live is None:
            reason = "StatefulSetNotFound"
        state = "True" if not reason else "Degraded" if ready else "False"
        messages = [f"shard 0: pod {p['metadata']['name']}: {w}" for p in owned if (w := _why(p))]
        if live is None:
            messages = [f"shard 0: statefulset {namespace}/{name} not found"]
        counts = {
            "replicas": len(owned),
            "updatedReplicas": len(owned),
            "availableReplicas": len(ready),
            "unavailableReplicas": len(owned) - len(ready),
        }
        generation = prometheus["metadata"].get("generation")
        said = {"reason": reason, "message": "\n".join(messages), "observedGeneration": generation}
        conditions = (prometheus.get("status") or {}).get("conditions")
        for entry in (
            {"type": "Available", "status": state, **said},
            {"type": "Reconciled", "status": "True", **said, "reason": "", "message": ""},
        ):
            conditions = kinds.with_condition(conditions, entry)
        status = {
            "paused": bool(prometheus["spec"].get("paused")),
            **counts,
            "shards": 1,
            "shardStatuses": [{"shardID": "0", **counts}],
            "conditions": conditions,
        }
        self._cluster.set_status(PROMETHEUSES, prometheus, status)


def _why(pod: Object) -> str:
    """Say in the pod's own words why it is not ready."""
    found = (kinds.condition(pod, kind) or {} for kind in _CHECKED)
    return next((str(c.get("message", "")) for c in found if c.get("status") == "False"), "")
