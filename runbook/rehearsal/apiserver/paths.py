"""Paths that are no resources: health, version, discovery, OpenAPI."""

from __future__ import annotations

import re

from runbook.rehearsal.apiserver.discovery import Discovery
from runbook.rehearsal.apiserver.identities import Identities
from runbook.rehearsal.apiserver.openapi import OpenApi
from runbook.rehearsal.apiserver.registry import Registry
from runbook.rehearsal.apiserver.requests import Request, Response
from runbook.rehearsal.apiserver.resources import minor

__all__ = ["Paths", "version"]

_JWKS = "application/jwk-set+json"
_HEALTH = ("healthz", "livez", "readyz")
_HOOKS = (
    "apiservice-discovery-controller",
    "apiservice-openapi-controller",
    "apiservice-openapiv3-controller",
    "apiservice-registration-controller",
    "apiservice-status-local-available-controller",
    "apiservice-status-remote-available-controller",
    "apiservice-wait-for-first-sync",
    "bootstrap-controller",
    "crd-informer-synced",
    "generic-apiserver-start-informers",
    "kube-apiserver-autoregistration",
    "priority-and-fairness-config-consumer",
    "priority-and-fairness-config-producer",
    "priority-and-fairness-filter",
    "rbac/bootstrap-roles",
    "scheduling/bootstrap-system-priority-classes",
    "start-apiextensions-controllers",
    "start-apiextensions-informers",
    "start-apiserver-admission-initializer",
)
_CHECKS = (
    "ping",
    "log",
    "etcd",
    "loopback-serving-certificate",
    *(f"poststarthook/{hook}" for hook in _HOOKS),
    "autoregister-completion",
)
_OTHERS = (
    "/.well-known/openid-configuration",
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
    patch = [*re.findall(r"\d+", kubernetes), "0"][2]
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
        identities: Issue service-account tokens, which others may verify.
        address: ``host:port`` the server announces.
    """

    def __init__(self, registry: Registry, identities: Identities, address: str) -> None:
        self._registry = registry
        self._identities = identities
        self._discovery = Discovery(registry, address)
        self._openapi = OpenApi(registry)

    def answer(self, request: Request) -> Response:
        """Answer a path; unknown ones get the plain 404 of a Go server."""
        parts = [part for part in request.path.split("/") if part]
        if not parts:
            return Response(body={"paths": self._all()})
        found: Response | None = None
        if parts[0] in ("api", "apis"):
            found = self._discover(parts, request)
        elif parts[0] == "openapi":
            found = self._describe(parts[1:], request)
        elif parts[0] in _HEALTH and "/".join(parts[1:]) in ("", *_CHECKS):
            found = _health(parts[0], request)
        elif parts == ["version"]:
            found = Response(body=version(self._registry.version))
        elif parts == [".well-known", "openid-configuration"]:
            found = Response(body=self._identities.issuer())
        elif parts == ["openid", "v1", "jwks"]:
            found = Response(body=self._identities.keys(), content_type=_JWKS)
        return found or Response(404, "404 page not found\n")

    def _discover(self, parts: list[str], request: Request) -> Response | None:
        match parts:
            case ["api"]:
                return self._discovery.legacy(request.accept)
            case ["apis"]:
                return self._discovery.groups(request.accept)
            case ["api", number]:
                return self._discovery.resources("", number)
            case ["apis", group]:
                return self._discovery.group(group)
            case [_, group, number]:
                return self._discovery.resources(group, number)
        return None

    def _describe(self, parts: list[str], request: Request) -> Response | None:
        match parts:
            case ["v2"]:
                return self._openapi.legacy(request)
            case ["v3"]:
                return self._openapi.index(request)
            case ["v3", *rest]:
                return self._openapi.document(request, "/".join(rest))
        return None

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
