"""A request to the API server and the answer to it, apart from any HTTP library."""

from __future__ import annotations

import datetime
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from runbook.rehearsal.apiserver.resources import Resource
from runbook.rehearsal.apiserver.statuses import Refusal, bad_request

__all__ = ["Request", "Response", "Stream", "Target", "User", "stamp", "target"]

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True)
class User:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One HTTP request.

    ``query`` keeps the last value of a repeated parameter. ``headers`` have lower-case names.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    query_string: str = ""
    user: User = field(default_factory=lambda: User("system:anonymous"))

    @classmethod
    def parse(cls, method: str, uri: str, headers: Mapping[str, str], body: bytes = b"") -> Request:
        """Take a request line apart."""
        parts = urlsplit(uri)
        query = {k: v[-1] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        lowered = {name.lower(): value for name, value in headers.items()}
        return cls(method, unquote(parts.path), query, lowered, body, parts.query)

    def flag(self, name: str) -> bool:
        """Read a boolean query parameter: present and neither ``0`` nor ``false``."""
        return self.query.get(name, "false").lower() not in ("0", "false")

    def number(self, name: str) -> int:
        """Read a whole number from the query; 0 when absent.

        Raises:
            Refusal: 400 when it is not a number.
        """
        text = self.query.get(name, "")
        try:
            return int(text) if text else 0
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None

    @property
    def accept(self) -> str:
        """Give the Accept header, ``*/*`` when absent."""
        return self.headers.get("accept", "*/*")

    @property
    def content_type(self) -> str:
        """Give the media type of the body without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip()

    @property
    def watching(self) -> bool:
        """Tell whether a list request asks for a watch."""
        return self.flag("watch")


@dataclass
class Response:
    """One complete answer; a dict or list becomes JSON, text stays text."""

    status: int = 200
    body: Any = None
    content_type: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def media_type(self) -> str:
        """Give the Content-Type to send."""
        if self.content_type:
            return self.content_type
        return "text/plain; charset=utf-8" if isinstance(self.body, str) else "application/json"

    def encode(self) -> bytes:
        """Give the body as bytes."""
        if isinstance(self.body, bytes):
            return self.body
        if isinstance(self.body, str):
            return self.body.encode()
        return encode(self.body) + b"\n"

    @classmethod
    def refuse(cls, refusal: Refusal) -> Response:
        """Turn a refusal into an answer."""
        return cls(refusal.code, refusal.body, headers=refusal.headers)


@dataclass
class Stream:
    """An answer that goes on: a watch. Each item is written as one line of JSON."""

    events: AsyncIterator[Mapping[str, Any] | bytes]
    content_type: str = "application/json"


def encode(body: Any) -> bytes:
    """Write JSON as compactly as the real server does."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def stamp(when: datetime.datetime | None = None) -> str:
    """Give a time as objects carry it: UTC, whole seconds.

    >>> stamp(datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC))
    '2026-01-02T03:04:05Z'
    """
    moment = when or datetime.datetime.now(datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Target:
    """What a path is about, as the authorizer and the handlers see it.

    For a path that is no resource, ``resource`` is empty and only ``path`` counts.
    ``rest`` is what follows a ``proxy`` subresource.
    """

    verb: str
    path: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    rest: str = ""

    def place(self, resource: Resource) -> str:
        """Give the namespace an object is stored under: none for cluster-wide resources."""
        return self.namespace if resource.namespaced else ""


def target(request: Request) -> Target:
    """Work out what a request is about.

    >>> target(Request.parse("GET", "/apis/apps/v1/namespaces/t1/deployments/web/scale", {}))
    ... # doctest: +ELLIPSIS
    Target(verb='get', ..., resource='deployments', subresource='scale', namespace='t1', ...)
    """
    parts = [part for part in request.path.split("/") if part]
    method = "get" if request.method in ("GET", "HEAD") else request.method.lower()
    plain = Target(method, request.path)
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return plain
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 2:
        namespace = rest[1]
        if len(rest) >= 3 and not (len(rest) == 3 and rest[2] in ("status", "finalize")):
            rest = rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    tail = "/".join(rest[3:])
    if tail and request.path.endswith("/"):
        tail += "/"
    if len(rest) > 3 and subresource != "proxy":
        return plain
    verb = _verb(request, name)
    return Target(verb, request.path, group, version, rest[0], subresource, namespace, name, tail)


def _verb(request: Request, name: str) -> str:
    if request.method in ("GET", "HEAD"):
        if request.watching:
            return "watch"
        return "get" if name else "list"
    if request.method == "DELETE" and not name:
        return "deletecollection"
    return _VERBS.get(request.method, request.method.lower())
