"""A copy of the API server's objects of one kind, kept up to date by a watch in a thread.

Standard library only, and no work while nothing changes.
"""

from __future__ import annotations

import functools
import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

from runbook.rehearsal.images.settings import Settings

__all__ = ["Watch", "connect"]

Object = dict[str, Any]

_SECONDS = 10.0
_PAUSE = 1.0
"""Seconds after which an API server that refuses, or does not know the kind, is asked again."""
_AGAIN = 0.2
"""The same, where it only ended the watch."""


def connect(settings: Settings, seconds: float | None) -> http.client.HTTPSConnection:
    """Prepare a connection to the API server.

    Args:
        settings: How to reach it.
        seconds: How long to wait for it; None for ever.
    """
    where = urlsplit(settings.server)
    return http.client.HTTPSConnection(
        where.hostname or "", where.port, timeout=seconds, context=_context(settings.ca)
    )


@functools.cache
def _context(ca: str) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=ca)


class Watch:
    """Follows the objects at one path of the API.

    Args:
        settings: How to reach the API server.
        path: Such as ``/api/v1/configmaps``.
        hear: Told what happened (``ADDED``, ``MODIFIED``, ``DELETED``) to which object; called
            from the thread of the watch.
        agent: User agent.
        selector: Labels the objects must have.

    Attributes:
        synced: Set once all objects have been read, or the kind is known not to be served.
    """

    def __init__(
        self,
        settings: Settings,
        path: str,
        hear: Callable[[str, Object], None],
        *,
        agent: str,
        selector: str = "",
    ) -> None:
        self._settings = settings
        self._headers = {
            "Authorization": f"Bearer {settings.token}",
            "Accept": "application/json",
            "User-Agent": agent,
        }
        self._path = path
        self._hear = hear
        self._query = f"labelSelector={quote(selector)}" if selector else ""
        self._known: dict[tuple[str, str], Object] = {}
        self.synced = threading.Event()

    def start(self) -> None:
        """Begin, in a thread that ends with the process."""
        threading.Thread(target=self._run, name=self._path, daemon=True).start()

    @property
    def objects(self) -> list[Object]:
        """Give the objects as they are known, by namespace and name."""
        return [obj for _, obj in sorted(self._known.copy().items())]

    def _run(self) -> None:
        while True:
            pause = _PAUSE
            try:
                version = self._list()
                self.synced.set()
                if version:
                    self._follow(version)
                    pause = _AGAIN
            except (OSError, http.client.HTTPException, ValueError):
                pass  # it is asked again
            time.sleep(pause)

    def _list(self) -> str:
        """Read all objects; give the version to go on from, empty if the kind is not served."""
        connection = connect(self._settings, _SECONDS)
        try:
            answer = self._ask(connection, self._query)
            body = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status not in (200, 404):
            raise ConnectionError(body.get("message", ""))
        items = body.get("items") or [] if answer.status == 200 else []
        found = {_key(item): item for item in items}
        for key in self._known.keys() - found.keys():
            self._note("DELETED", self._known[key])
        for item in found.values():
            self._note("MODIFIED" if _key(item) in self._known else "ADDED", item)
        return str(body["metadata"]["resourceVersion"]) if answer.status == 200 else ""

    def _follow(self, version: str) -> None:
        """Hear of changes until the server ends the watch."""
        connection = connect(self._settings, None)
        try:
            answer = self._ask(connection, f"watch=true&resourceVersion={version}&{self._query}")
            for line in answer if answer.status == 200 else ():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                self._note(event["type"], event["object"])
        finally:
            connection.close()

    def _ask(self, connection: http.client.HTTPSConnection, query: str) -> http.client.HTTPResponse:
        connection.request("GET", f"{self._path}?{query}", headers=self._headers)
        return connection.getresponse()

    def _note(self, kind: str, obj: Object) -> None:
        key = _key(obj)
        if kind == "DELETED":
            self._known.pop(key, None)
        elif kind in ("ADDED", "MODIFIED"):
            before = self._known.get(key)
            if before is not None and _version(before) == _version(obj):
                return
            self._known[key] = obj
        else:
            return
        self._hear(kind, obj)


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _version(obj: Object) -> str:
    return str(obj["metadata"]["resourceVersion"])
