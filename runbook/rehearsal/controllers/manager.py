"""What runs the controllers: one cache, one queue, a few workers."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from runbook.errors import ApiError, ConflictError, NotFoundError, RunbookError
from runbook.rehearsal.client import Client, Object, Resource
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.cache import Cache, Change
from runbook.rehearsal.controllers.events import Recorder
from runbook.rehearsal.controllers.informers import Informers
from runbook.rehearsal.controllers.queue import WorkQueue

__all__ = ["Cluster", "Controller", "Key", "Manager"]

Key = tuple[str, ...]
"""Namespace and name of what a controller works on, or whatever else tells it apart."""

_LOG = logging.getLogger(__name__)
_FIRST_RETRY, _LAST_RETRY = 0.05, 10.0


class Cluster:
    """What a controller has at hand.

    Args:
        client: Writes go through it; what they return is in the cache at once.
        cache: Reads come from here.
        record: Takes Events.
    """

    def __init__(self, client: Client, cache: Cache, record: Recorder) -> None:
        self.client = client
        self.cache = cache
        self.record = record

    def acting_as(self, agent: str) -> Cluster:
        """Give the same cluster, written to under another field manager."""
        return Cluster(self.client.acting_as(agent), self.cache, self.record)

    def set_status(self, resource: Resource, obj: Object, status: Object) -> None:
        """Make the status of an object this one, if it is not already.

        Keys that are None or absent from ``status`` are removed.
        """
        live = obj.get("status") or {}
        wanted = {k: v for k, v in status.items() if v is not None}
        if live == wanted:
            return
        patch = {k: wanted.get(k) for k in {**live, **wanted} if live.get(k) != wanted.get(k)}
        namespace, name = kinds.key(obj)
        body = {"metadata": {"uid": obj["metadata"]["uid"]}, "status": patch}
        self.client.patch(resource, name, body, namespace, subresource="status")


class Controller(Protocol):
    """A level-triggered reconciler."""

    @property
    def name(self) -> str:
        """Give a name for logs and for the queue."""

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Say which changes matter, and which keys to look at after one."""

    def reconcile(self, key: Key) -> float | None:
        """Bring one thing closer to what is wanted.

        Returns:
            Seconds after which to look again, or None to wait for the next change.
        """


class Manager:
    """Run controllers against one API server.

    Args:
        client: How to reach it.
        workers: Threads that reconcile; several, so that one slow request holds up little.
    """

    def __init__(self, client: Client, *, workers: int = 3) -> None:
        self.cache = Cache(self._changed)
        self._client = client
        self._awaited: dict[str, threading.Event] = {}
        self.cluster = Cluster(client.observed_by(self.cache.put), self.cache, Recorder(client))
        self._controllers: dict[str, Controller] = {}
        self._routes: dict[Resource, list[tuple[str, Callable[[Object], Iterable[Key]]]]] = {}
        self._watchers: list[Callable[[Change], None]] = []
        self._queue: WorkQueue[tuple[str, Key]] = WorkQueue()
        self._failures: dict[tuple[str, Key], int] = {}
        self._informers = Informers(client, self.cache)
        self._threads = [
            threading.Thread(target=self._work, name=f"controller-{n}", daemon=True)
            for n in range(workers)
        ]

    def add(self, controller: Controller) -> None:
        """Add a controller; before ``start``."""
        self._controllers[controller.name] = controller
        for resource, keys in controller.interests().items():
            self._routes.setdefault(resource, []).append((controller.name, keys))

    def observe(self, watcher: Callable[[Change], None]) -> None:
        """Tell ``watcher`` of every change of every resource; before ``start``."""
        self._watchers.append(watcher)

    def start(self, timeout: float = 30) -> None:
        """List everything once, then let the controllers work.

        Args:
            timeout: Seconds to wait for the first lists.
        """
        for resource in kinds.FOLLOWED:
            self._informers.follow(resource)
        self._informers.synced(timeout)
        for thread in self._threads:
            thread.start()

    def look(self, controller: str, key: Key, after: float = 0.0) -> None:
        """Ask a controller to look at a key, now or later."""
        self._queue.add((controller, key), after)

    def settled(self, timeout: float) -> bool:
        """Wait until the controllers have nothing left to do.

        Twice nothing to do, with a write in between that has come back through its watch: then
        whatever was written before has been seen as well.

        Args:
            timeout: Seconds to wait at most.
        """
        end = time.monotonic() + timeout
        while self._queue.idle(end - time.monotonic()):
            before = self._queue.work
            self._catch_up(end - time.monotonic())
            if self._queue.idle(end - time.monotonic()) and self._queue.work == before:
                return True
        return False

    def _catch_up(self, timeout: float) -> None:
        """Write something and wait until the watches have told of it."""
        name = f"settling-{uuid.uuid4().hex[:8]}"
        seen = self._awaited[name] = threading.Event()
        space = "kube-system"
        try:
            self._client.create(kinds.CONFIGMAPS, {"metadata": {"name": name, "namespace": space}})
            seen.wait(timeout)
            self._client.delete(kinds.CONFIGMAPS, name, space)
        except RunbookError as error:
            _LOG.debug("cannot tell whether the watches are up to date: %s", error)
        finally:
            del self._awaited[name]

    def stop(self) -> None:
        """Stop the workers and the watches."""
        self._queue.close()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(10)
        self.cluster.record.stop()
        self._informers.stop()

    def _changed(self, change: Change) -> None:
        if change.resource == kinds.CRDS:
            self._definition(change)
        awaited = self._awaited.get(change.obj["metadata"]["name"])
        if awaited is not None:
            awaited.set()
        for watcher in self._watchers:
            watcher(change)
        for name, keys in self._routes.get(change.resource, ()):
            seen: set[Key] = set()
            for obj in (change.old, change.new):
                if obj is not None:
                    seen.update(keys(obj))
            for key in seen:
                self._queue.add((name, key))

    def _definition(self, change: Change) -> None:
        """Follow the custom resources of an established CRD for as long as it exists."""
        resource = custom(change.obj)
        if change.new is None:
            self._informers.unfollow(resource)
        elif kinds.holds(change.new, "Established") and not kinds.deleted(change.new):
            self._informers.follow(resource)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            name, key = item
            try:
                after = self._controllers[name].reconcile(key)
            except (ConflictError, NotFoundError) as error:
                _LOG.debug("%s %s: %s", name, key, error)
                after = self._retry(item)
            except RunbookError as error:
                expected = isinstance(error, ApiError)
                _LOG.log(logging.INFO if expected else logging.WARNING, "%s %s: %s", *item, error)
                after = self._retry(item)
            except Exception:
                _LOG.exception("%s %s", name, key)
                after = self._retry(item)
            else:
                self._failures.pop(item, None)
            self._queue.done(item)
            if after is not None:
                self._queue.add(item, max(after, 0.001))

    def _retry(self, item: tuple[str, Key]) -> float:
        count = self._failures.get(item, 0)
        self._failures[item] = count + 1
        return float(min(_FIRST_RETRY * 2**count, _LAST_RETRY))


def custom(definition: Object) -> Resource:
    """Give the resource a CRD defines, in the version that is stored."""
    spec = definition["spec"]
    version = next(v["name"] for v in spec["versions"] if v.get("storage"))
    names = spec["names"]
    return Resource(
        spec["group"], version, names["plural"], names["kind"], spec["scope"] == "Namespaced"
    )
