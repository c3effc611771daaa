"""Which request goes where: routers made of Ingresses, by Traefik's rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["SECURE", "Asked", "Backend", "Router", "routers"]

Object = dict[str, Any]

SECURE = "websecure"
"""The entry point whose routers all have TLS, as the packaged chart sets it up."""
CONTROLLER = "traefik.io/ingress-controller"
_CLASS = "kubernetes.io/ingress.class"
_NOTE = "traefik.ingress.kubernetes.io/router."
_HTTPS = ("443", "https")


@dataclass(frozen=True)
class Asked:
    """What routers look at.

    Args:
        entry: Name of the entry point.
        secure: Whether it came over TLS.
        host: Host header.
        path: Path without the query.
    """

    entry: str
    secure: bool
    host: str
    path: str


@dataclass(frozen=True)
class Backend:
    """The Service behind a router.

    Args:
        namespace: Its namespace.
        service: Its name.
        port: Number or name of its port.
    """

    namespace: str
    service: str
    port: str

    @property
    def proxy(self) -> str:
        """Give the path of the API server's proxy to it."""
        scheme = "https:" if self.port in _HTTPS else ""
        where = f"/api/v1/namespaces/{self.namespace}/services"
        return f"{where}/{scheme}{self.service}:{self.port}/proxy"


@dataclass(frozen=True)
class Router:
    """One rule of an Ingress.

    Args:
        name: As Traefik calls it.
        host: Host it is for, in lower case; empty for any, ``*.`` before a domain for its names.
        path: Path, or beginning of one.
        exact: Whether the path must be that one.
        entry_points: Where it listens; empty for everywhere.
        tls: Whether it takes requests over TLS, instead of those without.
        middlewares: Names of what a request passes first.
        backend: Where it goes.
    """

    name: str
    host: str
    path: str
    exact: bool
    entry_points: frozenset[str]
    tls: bool
    middlewares: tuple[str, ...]
    backend: Backend

    @property
    def priority(self) -> int:
        """Give its rank among those that take a request: the length of its rule."""
        return len(self.host) + len(self.path)

    def takes(self, asked: Asked) -> bool:
        """Tell whether a request is for it."""
        tls = self.tls or asked.entry == SECURE
        here = not self.entry_points or asked.entry in self.entry_points
        return here and tls == asked.secure and self._hosts(asked.host) and self._paths(asked.path)

    def _hosts(self, header: str) -> bool:
        host = re.sub(r":\d+$", "", header).lower()
        if self.host.startswith("*."):
            return host.partition(".")[2] == self.host[2:]
        return self.host in ("", host)

    def _paths(self, path: str) -> bool:
        if self.exact:
            return path == self.path
        return path == self.path or path.startswith(self.path.rstrip("/") + "/")


def routers(ingress: Object, classes: list[Object]) -> Iterator[Router]:
    """Make the routers of an Ingress; none where it belongs to another controller.

    Args:
        ingress: The Ingress.
        classes: All IngressClasses.
    """
    if not _is_ours(ingress, classes):
        return
    spec = ingress["spec"]
    for rule in spec.get("rules") or []:
        for path in (rule.get("http") or {}).get("paths") or []:
            yield _router(ingress, rule.get("host", ""), path)
    if spec.get("defaultBackend"):
        yield _router(ingress, "", {"backend": spec["defaultBackend"]})


def _is_ours(ingress: Object, classes: list[Object]) -> bool:
    name = ingress["spec"].get("ingressClassName")
    if name is None:
        noted = (ingress["metadata"].get("annotations") or {}).get(_CLASS, "")
        return noted in ("", "traefik")
    controllers = {entry["metadata"]["name"]: entry["spec"].get("controller") for entry in classes}
    return controllers.get(name) == CONTROLLER


def _router(ingress: Object, host: str, path: Object) -> Router:
    meta = ingress["metadata"]
    notes = meta.get("annotations") or {}
    service = path["backend"].get("service") or {}
    port = service.get("port") or {}
    where = path.get("path") or "/"
    whole = f"{meta['namespace']}-{meta['name']}-{host}{where}"
    return Router(
        name="-".join(part for part in re.split(r"[^\w]+", whole) if part) + "@kubernetes",
        host=host.lower(),
        path=where,
        exact=path.get("pathType") == "Exact",
        entry_points=frozenset(_words(notes.get(f"{_NOTE}entrypoints", ""))),
        tls=notes.get(f"{_NOTE}tls", "") == "true",
        middlewares=_words(notes.get(f"{_NOTE}middlewares", "")),
        backend=Backend(
            meta["namespace"], service.get("name", ""), str(port.get("name") or port.get("number"))
        ),
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
