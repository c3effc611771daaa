"""Namespaces: what every one contains, and how one ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from runbook.errors import ConflictError
from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.cache import Change
from runbook.rehearsal.controllers.manager import Cluster, Key

__all__ = ["Namespaces"]

_ROOT_CA = "kube-root-ca.crt"
_ORDER = ("pods", "persistentvolumeclaims")


class Namespaces:
    """Give namespaces their ServiceAccount and CA, and empty those that are deleted."""

    name = "namespace"

    def __init__(self, cluster: Cluster, look: Callable[[Key], None]) -> None:
        self._cluster = cluster
        self._look = look

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Look at a namespace when it or one of its two fixtures changes."""

        def fixture(name: str) -> Callable[[Object], Iterable[Key]]:
            def keys(obj: Object) -> Iterable[Key]:
                meta = obj["metadata"]
                return [("", meta["namespace"])] if meta["name"] == name else []

            return keys

        return {
            kinds.NAMESPACES: lambda obj: [kinds.key(obj)],
            kinds.SERVICE_ACCOUNTS: fixture("default"),
            kinds.CONFIGMAPS: fixture(_ROOT_CA),
        }

    def changed(self, change: Change) -> None:
        """Look again at a dying namespace when something in it is gone."""
        space = change.obj["metadata"].get("namespace")
        if change.new is None and space:
            found = self._cluster.cache.get(kinds.NAMESPACES, space)
            if found is not None and kinds.deleted(found):
                self._look(("", space))

    def reconcile(self, key: Key) -> float | None:
        """Complete a living namespace or empty a dying one."""
        _, name = key
        namespace = self._cluster.cache.get(kinds.NAMESPACES, name)
        if namespace is None:
            return None
        if kinds.deleted(namespace):
            return self._empty(namespace)
        if self._cluster.cache.get(kinds.SERVICE_ACCOUNTS, "default", name) is None:
            self._create(kinds.SERVICE_ACCOUNTS, {}, "default", name)
        if self._cluster.cache.get(kinds.CONFIGMAPS, _ROOT_CA, name) is None:
            about = (
                "Contains a CA bundle that can be used to verify the kube-apiserver when using "
                "internal endpoints such as the internal service IP or kubernetes.default.svc. "
                "No other usage is guaranteed across distributions of Kubernetes clusters."
            )
            body = {"data": {"ca.crt": self._cluster.client.ca}}
            notes = {"kubernetes.io/description": about}
            self._create(kinds.CONFIGMAPS, body, _ROOT_CA, name, notes)
        return None

    def _create(
        self,
        resource: Resource,
        body: Object,
        name: str,
        namespace: str,
        annotations: dict[str, str] | None = None,
    ) -> None:
        meta: Object = {"name": name, "namespace": namespace}
        if annotations:
            meta["annotations"] = annotations
        try:
            self._cluster.client.create(resource, {"metadata": meta, **body})
        except ConflictError:
            return  # somebody was faster

    def _empty(self, namespace: Object) -> float | None:
        """Delete what a namespace contains; when nothing is left, let it go."""
        name = namespace["metadata"]["name"]
        cache = self._cluster.cache
        if self._live(namespace) is None:
            return None  # the cache lags behind: it is gone, and a successor is not ours to empty
        known = [resource for resource in cache.resources() if resource.namespaced]
        left = {resource: found for resource in known if (found := cache.all(resource, name))}
        for resource in kinds.UNFOLLOWED:
            self._cluster.client.request("DELETE", resource.path(name))
        for resource in sorted(left, key=lambda r: r.plural not in _ORDER):
            for obj in left[resource]:
                if not kinds.deleted(obj):
                    self._cluster.client.delete(resource, obj["metadata"]["name"], name)
        self._report(namespace, left)
        if left:
            return 5.0
        if self._occupied(name):  # the watches have not told yet
            return 0.1
        live = self._live(namespace)
        finalizers = ((live or {}).get("spec") or {}).get("finalizers") or []
        if live is not None and "kubernetes" in finalizers:
            live["spec"]["finalizers"] = [entry for entry in finalizers if entry != "kubernetes"]
            self._cluster.client.update(kinds.NAMESPACES, live, "finalize")
        return None

    def _live(self, namespace: Object) -> Object | None:
        """Give this very namespace as it is now, not another that has taken its name since."""
        meta = namespace["metadata"]
        live = self._cluster.client.find(kinds.NAMESPACES, meta["name"])
        return live if live is not None and live["metadata"]["uid"] == meta["uid"] else None

    def _occupied(self, name: str) -> bool:
        """Ask the API server itself whether anything is left in a namespace."""
        for resource in self._cluster.cache.resources():
            if not resource.namespaced:
                continue
            path = resource.path(name)
            if self._cluster.client.request("GET", path, query={"limit": "1"})["items"]:
                return True
        return False

    def _report(self, namespace: Object, left: dict[Resource, list[Object]]) -> None:
        counts = ", ".join(
            f"{kind.plural}.{kind.group} has {len(found)} resource instances".replace(". ", " ")
            for kind, found in left.items()
        )
        held: dict[str, int] = {}
        for obj in (obj for found in left.values() for obj in found):
            for entry in obj["metadata"].get("finalizers") or []:
                held[entry] = held.get(entry, 0) + 1
        waiting = ", ".join(f"{entry} in {n} resource instances" for entry, n in held.items())
        rows = (
            ("NamespaceDeletionDiscoveryFailure", False, "ResourcesDiscovered",
             "All resources successfully discovered"),
            ("NamespaceDeletionGroupVersionParsingFailure", False, "ParsedGroupVersions",
             "All legacy kube types successfully parsed"),
            ("NamespaceDeletionContentFailure", False, "ContentDeleted",
             "All content successfully deleted, may be waiting on finalization"),
            ("NamespaceContentRemaining", bool(left), "SomeResourcesRemain" if left
             else "ContentRemoved", f"Some resources are remaining: {counts}" if left
             else "All content successfully removed"),
            ("NamespaceFinalizersRemaining", bool(held), "SomeFinalizersRemain" if held
             else "ContentHasNoFinalizers",
             f"Some content in the namespace has finalizers remaining: {waiting}" if held
             else "All content-preserving finalizers finished"),
        )  # fmt: skip
        conditions = (namespace.get("status") or {}).get("conditions")
        for kind, state, reason, message in rows:
            entry = {"type": kind, "status": str(state), "reason": reason, "message": message}
            conditions = kinds.with_condition(conditions, entry)
        status = {"phase": "Terminating", "conditions": conditions}
        self._cluster.set_status(kinds.NAMESPACES, namespace, status)
