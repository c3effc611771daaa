"""The kinds an API server knows, and what their schemas say about an object.

Built-in kinds come from the published schemas of the package kubernetes-validate; each version is
read once, each kind compiled when first asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from runbook.rehearsal.objects import decoding, validation
from runbook.rehearsal.objects.shapes import Shape, custom_shape, definitions, object_meta, shape_of
from runbook.rehearsal.objects.validation import Cause

__all__ = ["Cause", "Type", "Types", "builtin", "custom"]

Object = dict[str, Any]


class Type:
    """One version of one kind, built in or defined by a CustomResourceDefinition.

    Attributes:
        group: API group, empty for the core group.
        version: Version within the group.
        kind: Such as ``Deployment``.
        shape: The compiled schema.
        has_status: Whether ``status`` is written only through the status subresource.
    """

    def __init__(
        self, group: str, version: str, kind: str, shape: Shape, *, has_status: bool
    ) -> None:
        self.group = group
        self.version = version
        self.kind = kind
        self.shape = shape
        self.has_status = has_status

    def __repr__(self) -> str:
        return f"Type({self.api_version} {self.kind})"

    @property
    def api_version(self) -> str:
        """Group and version as they stand in an object."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def custom(self) -> bool:
        """Whether the kind comes from a CustomResourceDefinition."""
        return self.shape.custom

    def check(self, obj: Mapping[str, Any]) -> list[Cause]:
        """Validate the values of an object against the schema."""
        if self.shape.custom:
            return validation.check_custom(self.shape, obj)
        return list(validation.check_builtin(self.shape, obj))

    def misfits(self, obj: Mapping[str, Any]) -> str | None:
        """Give the decoding error for a value of the wrong JSON type, or ``None``.

        Custom resources decode into anything but their metadata; their other types are part of
        :meth:`check`.
        """
        if not self.shape.custom:
            return decoding.misfit(self.shape, obj)
        metadata = decoding.misfit(object_meta(), obj.get("metadata"))
        if metadata is None or isinstance(obj.get("metadata"), Mapping):
            return metadata
        return metadata.replace("Go value", "Go struct field ObjectMeta.metadata", 1)

    def unconvertible(self, obj: Mapping[str, Any]) -> str | None:
        """Give the conversion error of an object patched by strategic merge, or ``None``."""
        return decoding.unconvertible(self.shape, obj)

    def unknown(self, obj: Mapping[str, Any]) -> list[str]:
        """Name undeclared fields as strict decoding does: ``unknown field "spec.colour"``."""
        found = decoding.unknown(self.shape, obj)
        return sorted(found) if self.shape.custom else found

    def prune(self, obj: Mapping[str, Any]) -> Object:
        """Give a copy without undeclared fields and without what Go's encoder leaves out."""
        pruned: Object = decoding.prune(self.shape, obj)
        return pruned

    def default(self, obj: Mapping[str, Any]) -> Object:
        """Give a copy with the schema's defaults filled in.

        For built-in kinds these are only the structs that are always written, such as
        ``status: {}``; see :mod:`runbook.rehearsal.objects.defaults` for the rest.
        """
        filled: Object = decoding.default(self.shape, obj)
        return filled


class Types:
    """All built-in kinds of one Kubernetes version."""

    def __init__(self, version: str) -> None:
        self.version = version
        self._names = _names(version)
        self._types: dict[tuple[str, str, str], Type] = {}

    def of(self, group: str, version: str, kind: str) -> Type | None:
        """Give a kind, or ``None`` if this Kubernetes version does not know it."""
        key = (group, version, kind)
        found = self._types.get(key)
        if found is None and key in self._names:
            shape = shape_of(self.version, self._names[key])
            found = Type(group, version, kind, shape, has_status="status" in shape.fields)
            self._types[key] = found
        return found


@cache
def builtin(version: str) -> Types:
    """Give the built-in kinds of a Kubernetes version, such as ``1.35``.

    Raises:
        RehearsalError: No schemas are published for that version.
    """
    return Types(version)


@cache
def _names(version: str) -> dict[tuple[str, str, str], str]:
    """Map ``(group, version, kind)`` to the name of the definition."""
    names: dict[tuple[str, str, str], str] = {}
    for name, schema in definitions(version).items():
        for entry in schema.get("x-kubernetes-group-version-kind", ()):
            key = (entry.get("group", ""), entry["version"], entry["kind"])
            # DeleteOptions and WatchEvent name every group; an own definition wins.
            names.setdefault(key, name)
    return names


def custom(
    group: str, version: str, kind: str, schema: Mapping[str, Any], *, has_status: bool
) -> Type:
    """Build a kind from the ``openAPIV3Schema`` of a CustomResourceDefinition version."""
    shape = custom_shape(schema, root=True)
    return Type(group, version, kind, shape, has_status=has_status)
