"""Server-side tables: what ``kubectl get`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runbook.rehearsal.apiserver import columns, printers
from runbook.rehearsal.apiserver.columns import AGE_DESCRIPTION, NAME, Column, age
from runbook.rehearsal.apiserver.resources import Resource

__all__ = ["partial", "table"]

Object = Mapping[str, Any]
_JSON_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


def partial(obj: Object) -> dict[str, Any]:
    """Give an object's metadata alone."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj["metadata"],
    }


def table(
    resource: Resource,
    objects: Sequence[Object],
    metadata: Mapping[str, Any],
    *,
    include: str = "Metadata",
    headers: bool = True,
) -> dict[str, Any]:
    """Show objects as a Table.

    Args:
        resource: Decides the columns.
        objects: The rows.
        metadata: Metadata of the list.
        include: ``Metadata``, ``Object`` or ``None``: what each row carries of its object.
        headers: False leaves the columns out, as a watch does after its first event.
    """
    layout = _layout(resource)
    found: dict[str, Any] = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    found["columnDefinitions"] = [c.definition for c in layout] if headers else None
    rows = []
    for obj in objects:
        row: dict[str, Any] = {"cells": [column.cell(obj) for column in layout]}
        if include == "Object":
            row["object"] = obj
        elif include != "None":
            row["object"] = partial(obj)
        rows.append(row)
    found["rows"] = rows
    return found


def _layout(resource: Resource) -> Sequence[Column]:
    if resource.crd is None:
        return printers.layout(resource)
    return _custom(resource)


@dataclass(frozen=True)
class _Path:
    """Reads a cell of a custom resource by the JSONPath of its printer column."""

    path: str
    kind: str

    def __call__(self, obj: Object) -> Any:
        found = columns.json_path(obj, self.path)
        if not found:
            return None
        value = found[0]
        if self.kind == "date":
            return age(str(value))
        if self.kind in _JSON_TYPES:
            return value if isinstance(value, _JSON_TYPES[self.kind]) else None
        if len(found) > 1:
            return ",".join(columns.text(v) for v in found)
        return columns.text(value)


def _custom(resource: Resource) -> Sequence[Column]:
    assert resource.crd is not None  # noqa: S101 - the caller looked
    for version in resource.crd["spec"]["versions"]:
        declared = version.get("additionalPrinterColumns")
        if version["name"] != resource.version or not declared:
            continue
        return [NAME] + [
            Column(
                c["name"],
                _Path(c["jsonPath"], c["type"]),
                type=c["type"],
                format=c.get("format", ""),
                description=c.get("description")
                or f"Custom resource definition column (in JSONPath format): {c['jsonPath']}",
                priority=c.get("priority", 0),
            )
            for c in declared
        ]
    return [NAME, Column("Age", columns.created, type="date", description=AGE_DESCRIPTION)]
