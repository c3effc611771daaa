"""Changes to objects that others made: JSON patches that change what was seen and nothing else.

A patch (RFC 6902) says what it expects before it changes it, so that it fails rather than change
an object that has moved on; and it can be turned round, which gives back every byte.
"""

from __future__ import annotations

import copy
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonpatch

from runbook.diff import without_server_fields

__all__ = ["Patch", "edit", "holds", "inverse"]

Object = dict[str, Any]


@dataclass(frozen=True)
class Patch:
    """A change to one object that is there.

    Attributes:
        api_version: Of the object.
        kind: Of the object.
        name: Its name.
        namespace: Its namespace, empty at the cluster scope.
        operations: RFC 6902, each ``replace`` and ``remove`` after a ``test`` of what it changes.
            None if nothing is to change.
        note: What a reader of the plan should know.
    """

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    operations: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    note: str = ""

    @property
    def reference(self) -> Object:
        """Give a manifest that names the object and says nothing else of it."""
        scope = {"namespace": self.namespace} if self.namespace else {}
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "metadata": {"name": self.name, **scope},
        }

    def command(self) -> str:
        """Give the command of kubectl that does the same."""
        scope = f"-n {self.namespace} " if self.namespace else ""
        group = self.api_version.rpartition("/")[0].partition(".")
        # Kinds of a CRD by their full name: others may share the short one.
        kind = self.kind.lower() + (f".{''.join(group)}" if group[1] else "")
        text = shlex.quote(json.dumps(list(self.operations), separators=(",", ":")))
        return f"kubectl {scope}patch {kind} {self.name} --type=json -p {text}"


def edit(live: Mapping[str, Any], change: Callable[[Object], None], note: str = "") -> Patch:
    """Give the patch that makes a change to an object.

    Args:
        live: The object as the API server gave it.
        change: Changes a copy of it in place.
        note: What a reader of the plan should know.
    """
    wanted = copy.deepcopy(dict(live))
    change(wanted)
    return _patch(live, _difference(live, wanted), note)


def inverse(before: Mapping[str, Any], after: Mapping[str, Any]) -> Patch:
    """Give the patch that leads back from one state of an object to an earlier one.

    What the API server keeps of its own accord (versions, status, managed fields) is left out.

    Args:
        before: The state to go back to.
        after: The state to go back from.
    """
    here, there = without_server_fields(after), without_server_fields(before)
    return _patch(before, _difference(here, there), "")


def holds(patch: Patch, live: Mapping[str, Any]) -> bool:
    """Tell whether an object is still as a patch expects it."""
    try:
        jsonpatch.apply_patch(dict(live), list(patch.operations))
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException):
        return False
    return True


def _patch(obj: Mapping[str, Any], operations: tuple[Mapping[str, Any], ...], note: str) -> Patch:
    meta = obj["metadata"]
    return Patch(
        str(obj["apiVersion"]),
        str(obj["kind"]),
        str(meta["name"]),
        str(meta.get("namespace", "")),
        operations,
        note,
    )


def _difference(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[Mapping[str, Any], ...]:
    """Give the operations from one state to another, each guarded by a test of what it changes."""
    document: Any = copy.deepcopy(dict(before))
    guarded: list[Mapping[str, Any]] = []
    for operation in jsonpatch.make_patch(document, after):
        if operation["op"] != "add":
            path = operation.get("from", operation["path"])
            value = copy.deepcopy(jsonpatch.JsonPointer(path).resolve(document))
            guarded.append({"op": "test", "path": path, "value": value})
        guarded.append(operation)
        document = jsonpatch.apply_patch(document, [operation])
    return tuple(guarded)
