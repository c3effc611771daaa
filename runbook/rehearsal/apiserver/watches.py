"""Watches: past and coming changes of one resource as a stream of events."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from runbook.rehearsal.apiserver import tables
from runbook.rehearsal.apiserver.reads import form, present, selector
from runbook.rehearsal.apiserver.requests import Request, Target
from runbook.rehearsal.apiserver.resources import Resource
from runbook.rehearsal.apiserver.selectors import Selector
from runbook.rehearsal.apiserver.statuses import Refusal, expired, invalid
from runbook.rehearsal.apiserver.store import Change, Object, Store, TooOldError
from runbook.rehearsal.objects.schema import Cause

__all__ = ["Watches"]

Event = Mapping[str, Any]
_BOOKMARK_SECONDS = 55.0
_DEFAULT_SECONDS = (1800, 3600)
_INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclass(frozen=True)
class _Watch:
    """What one watch request asked for."""

    resource: Resource
    namespace: str
    selector: Selector
    form: str
    include: str
    bookmarks: bool

    def event(self, change: Change) -> Event | None:
        """Turn a change into the event this watch sees, if it sees one.

        An object that comes to match is ADDED, one that ceases to match is DELETED.
        """
        if self.namespace and change.slot[0] != self.namespace:
            return None
        before = change.before is not None and self.selector.matches(change.before)
        after = change.after is not None and self.selector.matches(change.after)
        if before and after:
            return self.show("MODIFIED", change.object)
        if after:
            return self.show("ADDED", change.object)
        if not before:
            return None
        if change.after is None:
            return self.show("DELETED", change.object)
        assert change.before is not None  # noqa: S101 - it matched
        revision = {"resourceVersion": str(change.revision)}
        gone = {**change.before, "metadata": {**change.before["metadata"], **revision}}
        return self.show("DELETED", gone)

    def show(self, kind: str, obj: Object) -> Event:
        """Give an event in the form the Accept header asked for."""
        if self.form == "Table":
            metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
            return {
                "type": kind,
                "object": tables.table(self.resource, [obj], metadata, include=self.include),
            }
        if self.form.startswith("PartialObjectMetadata"):
            return {"type": kind, "object": tables.partial(obj)}
        return {"type": kind, "object": present(self.resource, obj)}

    def bookmark(self, revision: int, *, initial: bool = False) -> Event:
        """Give a BOOKMARK event; ``initial`` marks the end of the initial events."""
        metadata: dict[str, Any] = {"resourceVersion": str(revision)}
        if initial:
            metadata["annotations"] = {_INITIAL_EVENTS_END: "true"}
        if self.form.startswith("PartialObjectMetadata"):
            return {"type": "BOOKMARK", "object": tables.partial({"metadata": metadata})}
        if self.form == "Table":
            return {"type": "BOOKMARK", "object": tables.table(self.resource, [], metadata)}
        obj = {
            "kind": self.resource.kind,
            "apiVersion": self.resource.api_version,
            "metadata": metadata,
        }
        return {"type": "BOOKMARK", "object": obj}


class Watches:
    """Opens watches on a store.

    Args:
        store: Where changes come from.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: dict[asyncio.Queue[Change | None], str] = {}

    def open(self, resource: Resource, target: Target, request: Request) -> AsyncIterator[Event]:
        """Answer a watch request.

        Raises:
            Refusal: The request's selectors or resourceVersion make no sense.
        """
        namespace = target.place(resource)
        watch = _Watch(
            resource,
            namespace,
            _selector(request, resource, target.name),
            form(request.accept),
            request.query.get("includeObject", "Metadata"),
            request.flag("allowWatchBookmarks"),
        )
        revision = _revision(request.query.get("resourceVersion", ""))
        initial = request.flag("sendInitialEvents")
        if initial and request.query.get("resourceVersionMatch") != "NotOlderThan":
            raise _bad_initial()
        seconds = request.number("timeoutSeconds") or random.uniform(*_DEFAULT_SECONDS)  # noqa: S311
        queue: asyncio.Queue[Change | None] = asyncio.Queue()
        return self._events(watch, queue, revision, seconds, initial)

    @property
    def count(self) -> int:
        """Give the number of open watches."""
        return len(self._open)

    def drop(self, resource: str = "") -> None:
        """End the open watches of a resource, or all of them, as a restarting server does.

        Args:
            resource: Plural name; empty for all.
        """
        for queue, plural in list(self._open.items()):
            if resource in ("", plural):
                queue.put_nowait(None)

    async def _events(
        self,
        watch: _Watch,
        queue: asyncio.Queue[Change | None],
        revision: int,
        seconds: float,
        initial: bool,
    ) -> AsyncIterator[Event]:
        table = watch.resource.key

        def listen(change: Change) -> None:
            if change.table == table:
                queue.put_nowait(change)

        stop = self._store.subscribe(listen)
        self._open[queue] = watch.resource.plural
        try:
            async for event in self._run(watch, queue, revision, seconds, initial):
                yield event
        finally:
            stop()
            del self._open[queue]

    async def _run(
        self,
        watch: _Watch,
        queue: asyncio.Queue[Change | None],
        revision: int,
        seconds: float,
        initial: bool,
    ) -> AsyncIterator[Event]:
        if initial or revision == 0:
            revision = self._store.revision
            for obj in self._store.list(watch.resource.key, watch.namespace):
                if watch.selector.matches(obj):
                    yield watch.show("ADDED", obj)
            if initial and watch.bookmarks:
                yield watch.bookmark(revision, initial=True)
        else:
            try:
                for change in self._store.since(watch.resource.key, revision):
                    revision = change.revision
                    if (event := watch.event(change)) is not None:
                        yield event
            except TooOldError as error:
                message = f"too old resource version: {revision} ({error.oldest})"
                yield {"type": "ERROR", "object": expired(message).body}
                return
        async for event in self._live(watch, queue, revision, seconds):
            yield event

    async def _live(
        self, watch: _Watch, queue: asyncio.Queue[Change | None], revision: int, seconds: float
    ) -> AsyncIterator[Event]:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left := end - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(left, _BOOKMARK_SECONDS)):
                    change = await queue.get()
            except TimeoutError:
                if watch.bookmarks and self._store.revision >= revision:
                    yield watch.bookmark(self._store.revision)
                continue
            if change is None:
                return
            if change.revision <= revision:
                continue
            if (event := watch.event(change)) is not None:
                yield event


def _selector(request: Request, resource: Resource, name: str) -> Selector:
    """Read the selectors; a watch of one object is a watch by its name."""
    wanted = selector(request, resource)
    if not name:
        return wanted
    return Selector(wanted.labels, (*wanted.fields, ("metadata.name", True, name)))


def _revision(text: str) -> int:
    if not text:
        return 0
    try:
        return int(text)
    except ValueError:
        raise Refusal(
            500,
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": '
            "invalid syntax",
        ) from None


def _bad_initial() -> Refusal:
    detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
    cause = Cause("FieldValueForbidden", f"Forbidden: {detail}", "sendInitialEvents")
    return invalid("meta.k8s.io", "ListOptions", "", [cause])
