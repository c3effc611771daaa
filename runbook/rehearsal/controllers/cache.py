"""What the API server holds, as far as the watches have told."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers.kinds import key

__all__ = ["Cache", "Change"]

_TOMBSTONES = 4096


@dataclass(frozen=True)
class Change:
    """One change of the cache: ``old`` is None for a new object, ``new`` for a removed one."""

    resource: Resource
    old: Object | None
    new: Object | None

    @property
    def obj(self) -> Object:
        """Give the object as it is, or as it last was."""
        obj = self.new if self.new is not None else self.old
        assert obj is not None  # noqa: S101  # one of the two is always there
        return obj


@dataclass
class Cache:
    """Objects by resource, namespace and name, with an index by owner.

    Objects are shared, never copied: whoever wants to change one copies it first. A controller's
    own writes are put here at once, so it never acts twice on what it has just done.
    """

    changed: Callable[[Change], None]
    _objects: dict[Resource, dict[tuple[str, str], Object]] = field(default_factory=dict)
    _owned: dict[str, dict[str, tuple[Resource, tuple[str, str]]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    _tombs: deque[str] = field(default_factory=lambda: deque(maxlen=_TOMBSTONES))
    _dead: set[str] = field(default_factory=set)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        """Find one object."""
        with self._lock:
            return self._objects.get(resource, {}).get((namespace, name))

    def all(self, resource: Resource, namespace: str | None = None) -> list[Object]:
        """Give all objects, or those of one namespace."""
        with self._lock:
            known = self._objects.get(resource, {})
            if namespace is None:
                return list(known.values())
            return [obj for (space, _), obj in known.items() if space == namespace]

    def owned(self, uid: str, resource: Resource | None = None) -> list[Object]:
        """Give the objects with an owner reference to a uid."""
        return [obj for kind, obj in self.dependents(uid) if resource in (None, kind)]

    def dependents(self, uid: str) -> list[tuple[Resource, Object]]:
        """Give the objects with an owner reference to a uid, with their resources."""
        with self._lock:
            return [
                (resource, self._objects[resource][where])
                for resource, where in self._owned.get(uid, {}).values()
            ]

    def gone(self, uid: str) -> bool:
        """Tell whether an object was seen to go, not too long ago."""
        with self._lock:
            return uid in self._dead

    def resources(self) -> list[Resource]:
        """Give the resources that are followed at the moment."""
        with self._lock:
            return list(self._objects)

    def follows(self, resource: Resource) -> None:
        """Note that a resource is followed, before its first object is known."""
        with self._lock:
            self._objects.setdefault(resource, {})

    def forget(self, resource: Resource) -> None:
        """Drop a resource whose definition is gone, and its objects with it."""
        for old in self.all(resource):
            self.remove(resource, old)
        with self._lock:
            self._objects.pop(resource, None)

    def put(self, resource: Resource, obj: Object) -> None:
        """Take in an object unless a newer one, or its end, is known."""
        with self._lock:
            known = self._objects.get(resource)
            if known is None or obj["metadata"]["uid"] in self._dead:
                return
            where = key(obj)
            old = known.get(where)
            if old is not None and _version(old) >= _version(obj):
                return
            if old is not None and old["metadata"]["uid"] != obj["metadata"]["uid"]:
                self._bury(old)
            known[where] = obj
            self._index(resource, old, obj)
        self.changed(Change(resource, old, obj))

    def remove(self, resource: Resource, obj: Object) -> None:
        """Take out an object that is gone."""
        with self._lock:
            self._bury(obj)
            known = self._objects.get(resource, {})
            old = known.get(key(obj))
            if old is None or old["metadata"]["uid"] != obj["metadata"]["uid"]:
                return
            del known[key(obj)]
            self._index(resource, old, None)
        self.changed(Change(resource, old, None))

    def replace(self, resource: Resource, objects: Iterable[Object], version: int) -> None:
        """Make the objects of a resource exactly these, after a new list.

        Args:
            resource: What they are.
            objects: All of them, as they were at ``version``.
            version: Resource version of the list; what is newer stays.
        """
        fresh = list(objects)
        present = {obj["metadata"]["uid"] for obj in fresh}
        for old in self.all(resource):
            if old["metadata"]["uid"] not in present and _version(old) <= version:
                self.remove(resource, old)
        for obj in fresh:
            self.put(resource, obj)

    def _bury(self, obj: Object) -> None:
        uid = obj["metadata"]["uid"]
        if uid in self._dead:
            return
        if len(self._tombs) == _TOMBSTONES:
            self._dead.discard(self._tombs[0])
        self._tombs.append(uid)
        self._dead.add(uid)

    def _index(self, resource: Resource, old: Object | None, new: Object | None) -> None:
        for obj in (old, new):
            if obj is None:
                continue
            uid = obj["metadata"]["uid"]
            for owner in obj["metadata"].get("ownerReferences") or []:
                if obj is old:
                    self._owned[owner["uid"]].pop(uid, None)
                    if not self._owned[owner["uid"]]:
                        del self._owned[owner["uid"]]
                else:
                    self._owned[owner["uid"]][uid] = (resource, key(obj))


def _version(obj: Object) -> int:
    return int(obj["metadata"].get("resourceVersion") or 0)
