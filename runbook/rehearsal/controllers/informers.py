"""Watches: one thread, one connection per resource, all of them feeding the cache."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
from collections.abc import AsyncGenerator
from random import Random
from typing import Any
from urllib.parse import urlencode, urlsplit

from runbook.rehearsal.client import Client, Object, Resource
from runbook.rehearsal.controllers.cache import Cache

__all__ = ["Informers"]

_SYNCED = "k8s.io/initial-events-end"
_SHORTEST, _LONGEST = 0.05, 5.0


class Informers:
    """Keep a cache equal to the API server, through dropped watches and expired versions.

    A watch starts with ``sendInitialEvents`` (watch-list, Kubernetes 1.32 and later), so one
    request both lists and follows. When it ends, for whatever reason, it starts anew.
    """

    def __init__(self, client: Client, cache: Cache) -> None:
        self._client = client
        self._cache = cache
        self._tls = client.ssl_context()
        self._jitter = Random(0)  # noqa: S311  # spreads reconnects, not a secret
        self._tasks: dict[Resource, asyncio.Task[None]] = {}
        self._synced: dict[Resource, threading.Event] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="informers", daemon=True)
        self._thread.start()

    def follow(self, resource: Resource) -> None:
        """Start following a resource, once."""
        if resource in self._synced:
            return
        self._synced[resource] = threading.Event()
        self._cache.follows(resource)
        self._loop.call_soon_threadsafe(self._start, resource)

    def unfollow(self, resource: Resource) -> None:
        """Stop following a resource whose definition is gone."""
        if self._synced.pop(resource, None) is not None:
            self._loop.call_soon_threadsafe(self._cancel, resource)
            self._cache.forget(resource)

    def synced(self, timeout: float) -> bool:
        """Wait until every followed resource has been listed once.

        Args:
            timeout: Seconds to wait for each of them.
        """
        return all(event.wait(timeout) for event in list(self._synced.values()))

    def stop(self) -> None:
        """End all watches and the thread."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _start(self, resource: Resource) -> None:
        self._tasks[resource] = self._loop.create_task(self._follow(resource))

    def _cancel(self, resource: Resource) -> None:
        task = self._tasks.pop(resource, None)
        if task is not None:
            task.cancel()

    async def _end(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, resource: Resource) -> None:
        pause = _SHORTEST
        while True:
            try:
                await self._watch(resource)
                pause = _SHORTEST
            except (OSError, EOFError, ValueError, ssl.SSLError):
                pause = min(pause * 2, _LONGEST)
            await asyncio.sleep(pause)

    async def _watch(self, resource: Resource) -> None:
        initial: list[Object] | None = []
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "sendInitialEvents": "true",
            "resourceVersionMatch": "NotOlderThan",
            "timeoutSeconds": str(1800 + self._jitter.randrange(600)),
        }
        async with contextlib.aclosing(self._events(resource.path(), query)) as events:
            async for event in events:
                obj = event["object"]
                if event["type"] == "ERROR":
                    raise ValueError(obj.get("message", "watch error"))
                if event["type"] == "BOOKMARK":
                    notes = obj["metadata"].get("annotations") or {}
                    if initial is not None and _SYNCED in notes:
                        version = int(obj["metadata"]["resourceVersion"])
                        self._cache.replace(resource, initial, version)
                        initial = None
                        self._synced[resource].set()
                elif initial is not None:
                    initial.append(obj)
                elif event["type"] == "DELETED":
                    self._cache.remove(resource, obj)
                else:
                    self._cache.put(resource, obj)

    async def _events(
        self, path: str, query: dict[str, str]
    ) -> AsyncGenerator[dict[str, Any], None]:
        rest = b""
        async with contextlib.aclosing(self._chunks(f"{path}?{urlencode(query)}")) as chunks:
            async for chunk in chunks:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line.strip():
                        yield json.loads(line)

    async def _chunks(self, target: str) -> AsyncGenerator[bytes, None]:
        where = urlsplit(self._client.server)
        reader, writer = await asyncio.open_connection(where.hostname, where.port, ssl=self._tls)
        try:
            headers = {"Host": where.netloc, **self._client.headers()}
            lines = [f"GET {target} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            if head.split(" ", 2)[1] != "200":
                raise ValueError(head.split("\r\n", 1)[0])
            if "transfer-encoding: chunked" not in head.lower():
                raise ValueError("the watch is not a chunked stream")
            while size := int((await reader.readline()).split(b";")[0] or b"0", 16):
                yield await reader.readexactly(size)
                await reader.readexactly(2)
        finally:
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
