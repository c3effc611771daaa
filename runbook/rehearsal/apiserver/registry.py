"""What is served right now: the built-in resources and those of CustomResourceDefinitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbook.rehearsal.apiserver.resources import ALL_VERBS, Resource, Subresource, builtin

__all__ = ["Registry"]

_CRD_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_STATUS = ("get", "patch", "update")


class Registry:
    """Finds the resource of a path.

    Args:
        version: Kubernetes version such as ``1.35``; decides which built-in resources exist.
    """

    def __init__(self, version: str) -> None:
        self.version = version
        self.generation = 0
        self._builtin = builtin(version)
        self._custom: dict[str, tuple[Resource, ...]] = {}
        self._index: dict[tuple[str, str, str], Resource] = {}
        self._versions: dict[str, list[str]] = {}
        self._rebuild()

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """Find a served resource."""
        return self._index.get((group, version, plural))

    def of_kind(self, group: str, version: str, kind: str) -> Resource | None:
        """Find a served resource by its kind."""
        return next((r for r in self.resources(group, version) if r.kind == kind), None)

    def stored(self, table: tuple[str, str]) -> Resource | None:
        """Find a resource that serves a store table, in its preferred version."""
        return next((r for r in self.all() if r.key == table), None)

    def all(self) -> list[Resource]:
        """List every served resource."""
        return list(self._index.values())

    def resources(self, group: str, version: str) -> list[Resource]:
        """List the resources of one group and version."""
        return [r for (g, v, _), r in self._index.items() if (g, v) == (group, version)]

    def groups(self) -> dict[str, list[str]]:
        """Give the served groups with their versions, preferred first; core is ``""``."""
        return self._versions

    def define(self, crd: Mapping[str, Any]) -> None:
        """Serve a CustomResourceDefinition's versions."""
        self._custom[crd["metadata"]["name"]] = _custom(crd)
        self._rebuild()

    def drop(self, name: str) -> None:
        """Stop serving a CustomResourceDefinition."""
        if self._custom.pop(name, None) is not None:
            self._rebuild()

    def _rebuild(self) -> None:
        rows = list(self._builtin)
        for resources in self._custom.values():
            rows += resources
        self._index = {(r.group, r.version, r.plural): r for r in rows}
        versions: dict[str, list[str]] = {}
        for row in rows:
            known = versions.setdefault(row.group, [])
            if row.version not in known:
                known.append(row.version)
        builtin_groups = {r.group for r in self._builtin}
        for group, known in versions.items():
            if group not in builtin_groups:
                known.sort(key=_priority)
        self._versions = versions
        self.generation += 1


def _priority(version: str) -> tuple[int, int, int]:
    """Order versions as Kubernetes does: v2, v1, v1beta2, v1beta1, v1alpha1, others."""
    rest = version.removeprefix("v")
    for rank, word in ((1, "beta"), (2, "alpha")):
        head, found, tail = rest.partition(word)
        if found and head.isdigit() and tail.isdigit():
            return (rank, -int(head), -int(tail))
    return (0, -int(rest), 0) if rest.isdigit() else (3, 0, 0)


def _custom(crd: Mapping[str, Any]) -> tuple[Resource, ...]:
    spec = crd["spec"]
    names = spec["names"]
    return tuple(
        Resource(
            group=spec["group"],
            version=version["name"],
            plural=names["plural"],
            kind=names["kind"],
            namespaced=spec["scope"] == "Namespaced",
            singular=names.get("singular") or names["kind"].lower(),
            verbs=_CRD_VERBS,
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            subresources=_subresources(names["kind"], version),
            list_kind=names.get("listKind") or f"{names['kind']}List",
            generation=True,
            unconditional=False,
            deprecated=_deprecation(spec, version),
            crd=crd,
        )
        for version in spec["versions"]
        if version.get("served")
    )


def _deprecation(spec: Mapping[str, Any], version: Mapping[str, Any]) -> str:
    if not version.get("deprecated"):
        return ""
    default = f"{spec['group']}/{version['name']} {spec['names']['kind']} is deprecated"
    return str(version.get("deprecationWarning") or default)


def _subresources(kind: str, version: Mapping[str, Any]) -> tuple[Subresource, ...]:
    declared = version.get("subresources") or {}
    found = []
    if declared.get("status") is not None:
        found.append(Subresource("status", kind, _STATUS))
    if declared.get("scale") is not None:
        found.append(Subresource("scale", "Scale", _STATUS, "autoscaling", "v1"))
    return tuple(found)


assert set(_CRD_VERBS) == set(ALL_VERBS)  # noqa: S101 - the order differs, the set must not
