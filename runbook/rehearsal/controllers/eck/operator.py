"""The reconcilers of ECK: workloads as the objects say, pods replaced one by one, a status."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds, pods
from runbook.rehearsal.controllers.eck import objects
from runbook.rehearsal.controllers.eck.objects import ELASTICSEARCHES, KIBANAS
from runbook.rehearsal.controllers.manager import Cluster, Key

__all__ = ["Elasticsearches", "Kibanas"]

_OPERATOR = {"control-plane": "elastic-operator"}
_REVISION = "controller-revision-hash"


class _Eck:
    """What both have in common.

    Args:
        cluster: Where.
    """

    resource: Resource
    workloads: Resource
    make: Callable[[Object], Iterator[tuple[Resource, Object]]]

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster.acting_as("elastic-operator")

    @property
    def name(self) -> str:
        """Give a name for logs and for the queue."""
        return f"eck-{self.resource.plural}"

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Look at an object when it or its workload changes, at all when the operator does."""
        own = pods.owner_keys(self.resource.kind)
        found: dict[Resource, Callable[[Object], Iterable[Key]]] = {
            self.resource: lambda obj: [kinds.key(obj)],
            self.workloads: lambda obj: self._all() if _is_operator(obj) else own(obj),
            kinds.PODS: lambda _: self._all(),
        }
        if self.workloads != kinds.STATEFUL_SETS:
            found[kinds.STATEFUL_SETS] = lambda obj: self._all() if _is_operator(obj) else []
        return found

    def reconcile(self, key: Key) -> float | None:
        """Bring one object's workloads to where ECK would."""
        namespace, name = key
        obj = self._cluster.cache.get(self.resource, name, namespace)
        if obj is None or kinds.deleted(obj) or not self._running():
            return None
        ready = wanted = 0
        seen = True
        for resource, made in self.make(obj):
            live = self._ensure(resource, made)
            if resource == self.workloads:
                wanted += int(made["spec"]["replicas"])
                ready += self._roll(live)
                seen = seen and _observed(live)
        health = "green" if ready >= wanted else "yellow" if ready else "red"
        status = {
            "availableNodes": ready,
            "health": health,
            "phase": "Ready" if seen and ready >= wanted else "ApplyingChanges",
            "version": obj["spec"]["version"],
            "observedGeneration": obj["metadata"].get("generation"),
        }
        self._cluster.set_status(self.resource, obj, status)
        return None

    def _roll(self, live: Object) -> int:
        """Count the ready pods of a workload; replace one that has an old template."""
        owned = [pod for pod in self._pods(live) if not kinds.deleted(pod)]
        ready = [pod for pod in owned if pods.ready(pod)]
        newest = (live.get("status") or {}).get("updateRevision")
        old = [pod for pod in owned if (pod["metadata"].get("labels") or {}).get(_REVISION)]
        old = [pod for pod in old if newest and pod["metadata"]["labels"][_REVISION] != newest]
        if old and len(ready) == len(owned) and _observed(live):
            self._cluster.client.delete(kinds.PODS, old[0]["metadata"]["name"], kinds.key(live)[0])
        return len(ready) - (1 if old else 0)

    def _pods(self, live: Object) -> list[Object]:
        uid = live["metadata"]["uid"]
        cache = self._cluster.cache
        if self.workloads == kinds.STATEFUL_SETS:
            return cache.owned(uid, kinds.PODS)
        sets = cache.owned(uid, kinds.REPLICA_SETS)
        return [pod for one in sets for pod in cache.owned(one["metadata"]["uid"], kinds.PODS)]

    def _ensure(self, resource: Resource, wanted: Object) -> Object:
        """Create an object, or put it back as it should be."""
        namespace, name = kinds.key(wanted)
        live = self._cluster.cache.get(resource, name, namespace)
        if live is None:
            return self._cluster.client.create(resource, wanted)
        template = wanted["spec"].get("template")
        if template is None or _same(template, live["spec"]["template"]):
            return live
        patch = [{"op": "replace", "path": "/spec/template", "value": template}]
        return self._cluster.client.patch(resource, name, patch, namespace)

    def _running(self) -> bool:
        return any(
            (one.get("status") or {}).get("readyReplicas")
            for one in self._cluster.cache.all(kinds.STATEFUL_SETS)
            if _is_operator(one)
        )

    def _all(self) -> list[Key]:
        return [kinds.key(obj) for obj in self._cluster.cache.all(self.resource)]


class Elasticsearches(_Eck):
    """Elasticsearch clusters: a StatefulSet for each node set."""

    resource, workloads = ELASTICSEARCHES, kinds.STATEFUL_SETS
    make = staticmethod(objects.elasticsearch)


class Kibanas(_Eck):
    """Kibanas: a Deployment each."""

    resource, workloads = KIBANAS, kinds.DEPLOYMENTS
    make = staticmethod(objects.kibana)


def _observed(live: Object) -> bool:
    """Tell whether a workload's controller has seen its newest template."""
    seen = (live.get("status") or {}).get("observedGeneration")
    return bool(seen == live["metadata"].get("generation"))


def _is_operator(obj: Object) -> bool:
    return kinds.matches({"matchLabels": _OPERATOR}, obj["metadata"].get("labels"))


def _same(wanted: Object, live: Object) -> bool:
    """Tell whether a template is the wanted one; the API server's defaults do not count."""
    notes = [(one.get("metadata") or {}).get("annotations") or {} for one in (wanted, live)]
    return notes[0] == notes[1] and kinds.within(wanted, live)
