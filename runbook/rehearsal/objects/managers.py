"""The managedFields of an object: field managers and the sets of fields they own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from runbook.rehearsal.objects.fieldsets import Fields

__all__ = ["LAST_APPLIED", "STRIPPED", "Managed", "Manager", "is_reset"]

#: The annotation in which ``kubectl apply`` keeps what it applied last.
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

#: Fields nobody can own: they identify the object or are the server's.
STRIPPED = Fields(
    ["f:apiVersion", "f:kind", "f:metadata"],
    {
        "f:metadata": Fields(
            f"f:{name}"
            for name in (
                "name",
                "namespace",
                "creationTimestamp",
                "selfLink",
                "uid",
                "clusterName",
                "generation",
                "managedFields",
                "resourceVersion",
            )
        )
    },
)

#: Update managers an object keeps; the oldest beyond that are merged into one.
_MAX_UPDATE_MANAGERS = 10
_ANCIENT = "ancient-changes"


@dataclass(frozen=True)
class Manager:
    """Who wrote, and how: the identity under which fields are owned.

    Attributes:
        name: The field manager.
        operation: ``Apply`` or ``Update``.
        api_version: API version of an update; empty for an applier, which keeps its identity
            over versions.
        subresource: Such as ``status``.
    """

    name: str
    operation: str
    api_version: str = ""
    subresource: str = ""

    def __str__(self) -> str:
        return json.dumps([self.name, self.operation, self.api_version, self.subresource])

    def text(self) -> str:
        """Name the manager as conflicts do."""
        text = json.dumps(self.name)
        if self.subresource:
            text += f" with subresource {json.dumps(self.subresource)}"
        return f"{text} using {self.api_version}" if self.operation == "Update" else text


@dataclass(frozen=True)
class Entry:
    """What one manager owns.

    Attributes:
        fields: The set.
        api_version: API version in which the fields are named.
        time: Last change, RFC 3339; empty if unknown.
    """

    fields: Fields
    api_version: str
    time: str = ""


@dataclass(frozen=True)
class Managed:
    """The managers of one object. Changing methods give a changed copy."""

    entries: Mapping[Manager, Entry] = field(default_factory=dict)

    @classmethod
    def decode(cls, obj: Mapping[str, Any] | None) -> Managed:
        """Read an object's managedFields; entries that make no sense count as none at all."""
        entries: dict[Manager, Entry] = {}
        for raw in ((obj or {}).get("metadata") or {}).get("managedFields") or ():
            operation, version = raw.get("operation", ""), raw.get("apiVersion", "")
            if operation not in ("Apply", "Update") or raw.get("fieldsType") != "FieldsV1":
                return cls()
            manager = Manager(
                raw.get("manager", ""),
                operation,
                version if operation == "Update" else "",
                raw.get("subresource", ""),
            )
            entry = Entry(Fields.decode(raw.get("fieldsV1") or {}), version, raw.get("time") or "")
            known = entries.get(manager)
            if known is not None:
                entry = replace(entry, fields=known.fields.union(entry.fields))
            entries[manager] = entry
        return cls(entries)

    def encode(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Write the managedFields into a copy of an object, in the real server's order."""
        capped = self._capped()
        listed = sorted(capped.items(), key=lambda pair: _order(*pair))
        metadata = {k: v for k, v in (obj.get("metadata") or {}).items() if k != "managedFields"}
        if listed:
            metadata["managedFields"] = [_encoded(manager, entry) for manager, entry in listed]
        result = dict(obj)
        if metadata or "metadata" in obj:
            result["metadata"] = metadata
        return result

    def _capped(self) -> dict[Manager, Entry]:
        updates = [m for m in self.entries if m.operation == "Update"]
        surplus = len(updates) - _MAX_UPDATE_MANAGERS
        if surplus <= 0:
            return dict(self.entries)
        entries = dict(self.entries)
        oldest = sorted(updates, key=lambda m: _order(m, entries[m]))[: surplus + 1]
        for manager in oldest:
            entry = entries.pop(manager)
            target = Manager(_ANCIENT, "Update", manager.api_version, manager.subresource)
            known = entries.get(target)
            fields = entry.fields if known is None else known.fields.union(entry.fields)
            entries[target] = replace(entry, fields=fields)
        return entries

    def fields(self, manager: Manager) -> Fields:
        """Give what a manager owns, possibly nothing."""
        entry = self.entries.get(manager)
        return entry.fields if entry is not None else Fields()

    def sets(self) -> Iterator[tuple[Manager, Fields]]:
        """Iterate over managers and what they own."""
        return ((manager, entry.fields) for manager, entry in self.entries.items())

    def claiming(self, manager: Manager, fields: Fields, api_version: str) -> Managed:
        """Replace what a manager owns, even by nothing."""
        entry = self.entries.get(manager, Entry(fields, api_version))
        changed = replace(entry, fields=fields, api_version=api_version)
        return Managed({**self.entries, manager: changed})

    def owning(self, manager: Manager, fields: Fields) -> Managed:
        """Replace what a manager owns; one that owns nothing is dropped."""
        if fields:
            entry = self.entries.get(manager, Entry(fields, manager.api_version))
            return Managed({**self.entries, manager: replace(entry, fields=fields)})
        return Managed({m: e for m, e in self.entries.items() if m != manager})

    def at(self, manager: Manager, time: str) -> Managed:
        """Set the time of a manager's last change, if it owns anything."""
        entry = self.entries.get(manager)
        if entry is None:
            return self
        return Managed({**self.entries, manager: replace(entry, time=time)})


def _order(manager: Manager, entry: Entry) -> tuple[str, ...]:
    return (
        manager.operation,
        entry.time,
        manager.name,
        entry.api_version,
        manager.subresource,
    )


def _encoded(manager: Manager, entry: Entry) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": entry.api_version,
    }
    if entry.time:
        raw["time"] = entry.time
    raw["fieldsType"] = "FieldsV1"
    raw["fieldsV1"] = entry.fields.encode()
    if manager.subresource:
        raw["subresource"] = manager.subresource
    return raw


def is_reset(obj: Mapping[str, Any]) -> bool:
    """Tell whether a request clears managedFields: it sends ``[{}]``."""
    return ((obj.get("metadata") or {}).get("managedFields")) == [{}]
