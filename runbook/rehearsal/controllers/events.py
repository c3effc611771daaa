"""Events, counted together when they repeat, as ``kubectl describe`` shows them."""

from __future__ import annotations

import hashlib
import logging
import threading
from queue import SimpleQueue

from runbook.errors import ConflictError, NotFoundError, RunbookError
from runbook.rehearsal.client import Client, Object, Resource
from runbook.rehearsal.controllers import kinds

__all__ = ["Recorder"]

_LOG = logging.getLogger(__name__)


class Recorder:
    """Write Events about objects, one after the other and off the controllers' way.

    Args:
        client: Where to write them.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._counts: dict[str, int] = {}
        self._queue: SimpleQueue[tuple[str, Object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="events", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, then end."""
        self._queue.put(None)
        self._thread.join(10)

    def normal(self, resource: Resource, obj: Object, source: str, reason: str, text: str) -> None:
        """Record that something happened as it should."""
        self._record(resource, obj, source, {"type": "Normal", "reason": reason, "message": text})

    def warning(self, resource: Resource, obj: Object, source: str, reason: str, text: str) -> None:
        """Record that something did not happen as it should."""
        self._record(resource, obj, source, {"type": "Warning", "reason": reason, "message": text})

    def _record(self, resource: Resource, obj: Object, source: str, said: Object) -> None:
        meta = obj["metadata"]
        seen = f"{meta.get('uid')}/{source}/{said['reason']}/{said['message']}"
        # The name repeats with the event, so a repetition finds its first occurrence again.
        name = f"{meta['name']}.{hashlib.sha256(seen.encode()).hexdigest()[:16]}"
        event = {**said, **_about(resource, obj, source)}
        event["metadata"] = {"name": name, "namespace": meta.get("namespace") or "default"}
        self._queue.put((seen, event))

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            self._write(*item)

    def _write(self, seen: str, event: Object) -> None:
        namespace, name = kinds.key(event)
        count = self._counts[seen] = self._counts.get(seen, 0) + 1
        try:
            if count > 1:
                patch = {"count": count, "lastTimestamp": event["lastTimestamp"]}
                self._client.patch(kinds.EVENTS, name, patch, namespace)
            else:
                self._client.create(kinds.EVENTS, event)
        except (ConflictError, NotFoundError):
            _LOG.debug("event %s is not new or no longer welcome", name)
        except RunbookError as error:
            _LOG.info("event %s: %s", name, error)


def _about(resource: Resource, obj: Object, source: str) -> Object:
    meta = obj["metadata"]
    involved = {
        "kind": resource.kind,
        "namespace": meta.get("namespace"),
        "name": meta["name"],
        "uid": meta.get("uid"),
        "apiVersion": resource.api_version,
        "resourceVersion": meta.get("resourceVersion"),
    }
    stamp = kinds.now()
    return {
        "count": 1,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "involvedObject": {k: v for k, v in involved.items() if v},
        "source": {"component": source},
        "reportingComponent": source,
        "reportingInstance": "",
    }
