"""Garbage collection by owner references: background, foreground and orphan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.cache import Change
from runbook.rehearsal.controllers.manager import Cluster, Key

__all__ = ["GarbageCollector"]

_FOREGROUND = "foregroundDeletion"
_ORPHAN = "orphan"


class GarbageCollector:
    """Delete what nobody owns any more, and finish deletions that wait for dependents."""

    name = "garbage"

    def __init__(self, cluster: Cluster, look: Callable[[Key], None]) -> None:
        self._cluster = cluster
        self._look = look

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Give nothing: ``changed`` hears of every resource instead."""
        return {}

    def changed(self, change: Change) -> None:
        """Note what a change may have left without an owner, or free to go."""
        obj = change.obj
        if change.new is None:
            for resource, dependent in self._cluster.cache.dependents(obj["metadata"]["uid"]):
                self._look(_key(resource, dependent))
            for owner in obj["metadata"].get("ownerReferences") or []:
                found = self._owner(obj, owner)
                if found is not None and kinds.deleted(found[1]):
                    self._look(_key(*found))
        elif obj["metadata"].get("ownerReferences") and change.old is None:
            self._look(_key(change.resource, obj))
        if kinds.deleted(obj) and _held(obj):
            self._look(_key(change.resource, obj))

    def reconcile(self, key: Key) -> float | None:
        """Delete one ownerless object, or let one go whose dependents are done with."""
        group, version, plural, namespace, name = key
        resource = next(
            (
                known
                for known in self._cluster.cache.resources()
                if (known.group, known.version, known.plural) == (group, version, plural)
            ),
            None,
        )
        obj = self._cluster.cache.get(resource, name, namespace) if resource else None
        if resource is None or obj is None:
            return None
        if kinds.deleted(obj):
            if _FOREGROUND in _held(obj):
                return self._foreground(resource, obj)
            if _ORPHAN in _held(obj):
                self._orphan(resource, obj)
            return None
        self._collect(resource, obj)
        return None

    def _collect(self, resource: Resource, obj: Object) -> None:
        owners = obj["metadata"].get("ownerReferences") or []
        if not owners:
            return
        left = [owner for owner in owners if self._exists(obj, owner)]
        namespace, name = kinds.key(obj)
        if not left:
            uid = obj["metadata"]["uid"]
            policy = "Foreground" if _FOREGROUND in _held(obj) else "Background"
            self._cluster.client.delete(resource, name, namespace, policy=policy, uid=uid)
        elif len(left) < len(owners):
            patch = {"metadata": {"uid": obj["metadata"]["uid"], "ownerReferences": left}}
            self._cluster.client.patch(resource, name, patch, namespace)

    def _foreground(self, resource: Resource, obj: Object) -> float | None:
        blocking = False
        uid = obj["metadata"]["uid"]
        for kind, dependent in self._cluster.cache.dependents(uid):
            reference = next(o for o in dependent["metadata"]["ownerReferences"] if o["uid"] == uid)
            blocking = blocking or bool(reference.get("blockOwnerDeletion"))
            if not kinds.deleted(dependent):
                namespace, name = kinds.key(dependent)
                self._cluster.client.delete(kind, name, namespace, policy="Foreground")
        if not blocking:
            self._release(resource, obj, _FOREGROUND)
        # Dependents whose end is missed are seen at the next look.
        return 5.0 if blocking else None

    def _orphan(self, resource: Resource, obj: Object) -> None:
        uid = obj["metadata"]["uid"]
        for kind, dependent in self._cluster.cache.dependents(uid):
            left = [o for o in dependent["metadata"]["ownerReferences"] if o["uid"] != uid]
            namespace, name = kinds.key(dependent)
            patch = {"metadata": {"ownerReferences": left or None}}
            self._cluster.client.patch(kind, name, patch, namespace)
        self._release(resource, obj, _ORPHAN)

    def _release(self, resource: Resource, obj: Object, finalizer: str) -> None:
        left = [entry for entry in _held(obj) if entry != finalizer]
        namespace, name = kinds.key(obj)
        patch = {"metadata": {"uid": obj["metadata"]["uid"], "finalizers": left or None}}
        self._cluster.client.patch(resource, name, patch, namespace)

    def _owner(self, obj: Object, owner: Object) -> tuple[Resource, Object] | None:
        resource = self._resource(owner)
        if resource is None:
            return None
        namespace = obj["metadata"].get("namespace", "") if resource.namespaced else ""
        found = self._cluster.cache.get(resource, owner["name"], namespace)
        if found is None or found["metadata"]["uid"] != owner["uid"]:
            return None
        return resource, found

    def _exists(self, obj: Object, owner: Object) -> bool:
        if self._owner(obj, owner) is not None:
            return True
        resource = self._resource(owner)
        if resource is None:
            # Not a kind we follow, or one whose definition is gone: was it seen to go?
            return not self._cluster.cache.gone(owner["uid"])
        namespace = obj["metadata"].get("namespace", "") if resource.namespaced else ""
        live = self._cluster.client.find(resource, owner["name"], namespace)
        return live is not None and live["metadata"]["uid"] == owner["uid"]

    def _resource(self, owner: Object) -> Resource | None:
        group = owner["apiVersion"].rpartition("/")[0]
        for resource in self._cluster.cache.resources():
            if resource.group == group and resource.kind == owner["kind"]:
                return resource
        return None


def _key(resource: Resource, obj: Object) -> Key:
    return (resource.group, resource.version, resource.plural, *kinds.key(obj))


def _held(obj: Object) -> list[str]:
    return obj["metadata"].get("finalizers") or []
