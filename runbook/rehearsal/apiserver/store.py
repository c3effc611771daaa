"""The objects of the rehearsal cluster, their revisions and what happened to them.

Everything here runs on one event loop, so nothing is locked. Objects are values: they are replaced,
never changed in place, so readers need no copies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Change", "Store", "Table", "TooOldError"]

Object = dict[str, Any]
Objects = list[Object]
Table = tuple[str, str]
Slot = tuple[str, str]


class TooOldError(Exception):
    """The wanted revision is no longer in the history.

    Args:
        oldest: The oldest revision that still is.
    """

    def __init__(self, oldest: int) -> None:
        super().__init__(f"revisions before {oldest} are gone")
        self.oldest = oldest


@dataclass(frozen=True)
class Change:
    """One write: the object after it, before it, or both."""

    revision: int
    table: Table
    slot: Slot
    before: Object | None
    after: Object | None

    @property
    def object(self) -> Object:
        """Give the object after the change, or the last one with the deletion's revision."""
        if self.after is not None:
            return self.after
        assert self.before is not None  # noqa: S101 - one of the two is always there
        gone = dict(self.before)
        gone["metadata"] = {**gone["metadata"], "resourceVersion": str(self.revision)}
        return gone


class Store:
    """A revisioned object store with a bounded history.

    Args:
        history: How many changes are kept for watches and lists of the past.
    """

    def __init__(self, history: int = 20_000) -> None:
        self.revision = 1
        self._floor = 1
        self._tables: dict[Table, dict[Slot, Object]] = {}
        self._log: deque[Change] = deque()
        self._history = history
        self._listeners: dict[int, Callable[[Change], None]] = {}
        self._next_listener = 0

    def get(self, table: Table, namespace: str, name: str) -> Object | None:
        """Give one object, or None."""
        return self._tables.get(table, {}).get((namespace, name))

    def list(self, table: Table, namespace: str = "") -> Objects:
        """List a table's objects in key order; all namespaces when none is named."""
        return _ordered(self._tables.get(table, {}), namespace)

    def list_at(self, table: Table, namespace: str, revision: int) -> Objects:
        """List a table as it was at a revision.

        Raises:
            TooOldError: The history does not reach back that far.
        """
        if revision < self._floor:
            raise TooOldError(self._floor)
        slots = dict(self._tables.get(table, {}))
        for change in reversed(self._log):
            if change.revision <= revision:
                break
            if change.table != table:
                continue
            if change.before is None:
                slots.pop(change.slot, None)
            else:
                slots[change.slot] = change.before
        return _ordered(slots, namespace)

    def put(self, table: Table, obj: Object) -> Object:
        """Write an object and give it back with its new resourceVersion."""
        metadata = obj["metadata"]
        slot = (metadata.get("namespace", ""), metadata["name"])
        self.revision += 1
        stored = {**obj, "metadata": {**metadata, "resourceVersion": str(self.revision)}}
        slots = self._tables.setdefault(table, {})
        before = slots.get(slot)
        slots[slot] = stored
        self._record(Change(self.revision, table, slot, before, stored))
        return stored

    def remove(self, table: Table, namespace: str, name: str) -> Object:
        """Remove an object and give what it was, with the deletion's revision."""
        slot = (namespace, name)
        before = self._tables[table].pop(slot)
        self.revision += 1
        change = Change(self.revision, table, slot, before, None)
        self._record(change)
        return change.object

    def since(self, table: Table, revision: int) -> Iterator[Change]:
        """Give a table's changes after a revision, oldest first.

        Raises:
            TooOldError: The history does not reach back that far.
        """
        if revision < self._floor:
            raise TooOldError(self._floor)
        found: deque[Change] = deque()
        for change in reversed(self._log):
            if change.revision <= revision:
                break
            if change.table == table:
                found.appendleft(change)
        return iter(found)

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call a listener on every change; gives the function that ends this."""
        number = self._next_listener
        self._next_listener += 1
        self._listeners[number] = listener

        def end() -> None:
            self._listeners.pop(number, None)

        return end

    def compact(self) -> None:
        """Forget the history, so that older revisions are gone (410)."""
        self._log.clear()
        self._floor = self.revision

    def _record(self, change: Change) -> None:
        self._log.append(change)
        while len(self._log) > self._history:
            self._floor = self._log.popleft().revision
        for listener in list(self._listeners.values()):
            listener(change)

    def snapshot(self) -> dict[str, Any]:
        """Give everything worth keeping as plain data."""
        tables = [
            {"group": group, "resource": plural, "items": list(slots.values())}
            for (group, plural), slots in sorted(self._tables.items())
            if slots
        ]
        return {"revision": self.revision, "tables": tables}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take a snapshot's objects and revision; its history is gone."""
        self.revision = int(snapshot["revision"])
        self._tables = {
            (entry["group"], entry["resource"]): {
                (o["metadata"].get("namespace", ""), o["metadata"]["name"]): o
                for o in entry["items"]
            }
            for entry in snapshot["tables"]
        }
        self.compact()


def _ordered(slots: Mapping[Slot, Object], namespace: str) -> Objects:
    """Give objects in the order of their keys, ``namespace/name``, as lists and pages need it."""
    chosen = [slot for slot in slots if not namespace or slot[0] == namespace]
    return [slots[slot] for slot in sorted(chosen, key="/".join)]
