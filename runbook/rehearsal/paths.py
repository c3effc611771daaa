"""Paths that are no resources: health, version, discovery, OpenAPI."""

from __future__ import annotations

import re

from runbook.rehearsal.discovery import Discovery
from runbook.rehearsal.openapi import OpenApi
from runbook.rehearsal.registry import Registry
from runbook.rehearsal.requests import Request, Response
from runbook.rehearsal.resources import minor

__all__ = ["Paths", "version"]

_HEALTH = ("healthz", "livez", "readyz")
_CHECKS = (
    "ping",
    "log",
    "etcd",
    "poststarthook/start-apiextensions-controllers",
    "poststarthook/crd-informer-synced",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/apiservice-registration-controller",
    "autoregister-completion",
)
_OTHERS = (
    "/.well-known/openid-configuration",
    "/logs",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/",
    "/openid/v1/jwks",
    "/version",
)


def version(kubernetes: str) -> dict[str, str]:
    """Give the document at ``/version`` of a K3s server.

    >>> version("1.35")["gitVersion"], version("1.29.4")["gitVersion"]
    ('v1.35.0+k3s1', 'v1.29.4+k3s1')
    """
    number = minor(kubernetes)
    patch = (re.findall(r"\d+", kubernetes) + ["0", "0"])[2]
    found = {"major": "1", "minor": str(number)}
    if number >= 34:
        found |= {
            "emulationMajor": "1",
            "emulationMinor": str(number),
            "minCompatibilityMajor": "1",
            "minCompatibilityMinor": str(number - 1),
        }
    return found | {
        "gitVersion": f"v1.{number}.{patch}+k3s1",
        "gitCommit": "0" * 40,
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "go1.25.0",
        "compiler": "gc",
        "platform": "linux/arm64",
    }


class Paths:
    """Answers paths that are no resources.

    Args:
        registry: What is served.
        address: ``host:port`` the server announces.
    """

    def __init__(self, registry: Registry, address: str) -> None:
        self._registry = registry
        self._discovery = Discovery(registry, address)
        self._openapi = OpenApi(registry)

    def answer(self, request: Request) -> Response:
        """Answer a path; unknown ones get the plain 404 of a Go server."""
        parts = [part for part in request.path.split("/") if part]
        if not parts:
            return Response(body={"paths": self._all()})
        found: Response | None = None
        match parts:
            case [check, *rest] if check in _HEALTH and "/".join(rest) in ("", *_CHECKS):
                found = _health(check, request)
            case ["version"]:
                found = Response(body=version(self._registry.version))
            case ["api"]:
                found = self._discovery.legacy(request.accept)
            case ["api", number]:
                found = self._discovery.resources("", number)
            case ["apis"]:
                found = self._discovery.groups(request.accept)
            case ["apis", group]:
                found = self._discovery.group(group)
            case ["apis", group, number]:
                found = self._discovery.resources(group, number)
            case ["openapi", "v2"]:
                found = self._openapi.legacy(request)
            case ["openapi", "v3"]:
                found = self._openapi.index(request)
            case ["openapi", "v3", *rest]:
                found = self._openapi.document(request, "/".join(rest))
        return found or Response(404, "404 page not found\n")

    def _all(self) -> list[str]:
        """List what there is, as ``/`` does."""
        found = ["/api", "/api/v1", "/apis", "/apis/", *_OTHERS]
        for group, versions in self._registry.groups().items():
            if group:
                found.append(f"/apis/{group}")
                found += [f"/apis/{group}/{number}" for number in versions]
        for check in _HEALTH:
            found.append(f"/{check}")
            found += [f"/{check}/{name}" for name in _CHECKS]
        return sorted(found)


def _health(check: str, request: Request) -> Response:
    if "verbose" not in request.query:
        return Response(body="ok")
    lines = "".join(f"[+]{name} ok\n" for name in _CHECKS)
    return Response(body=f"{lines}{check} check passed\n")
