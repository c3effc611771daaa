"""The API server: who asks, may they, and which part answers."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from runbook.rehearsal.bodies import Bodies, Options, options
from runbook.rehearsal.discovery import Discovery
from runbook.rehearsal.identities import Identities
from runbook.rehearsal.reads import Reads
from runbook.rehearsal.registry import Registry
from runbook.rehearsal.requests import Request, Response, Stream, Target, target
from runbook.rehearsal.resources import Resource
from runbook.rehearsal.statuses import Refusal, method_not_allowed, no_such_resource
from runbook.rehearsal.store import Store
from runbook.rehearsal.watches import Watches
from runbook.rehearsal.writes import Call, Writes

__all__ = ["Api", "Settings"]

Answer = Response | Stream


@dataclass(frozen=True, repr=False)
class Settings:
    """What an API server is started with."""

    version: str
    address: str
    token: str
    key: ec.EllipticCurvePrivateKey
    ca: str


class _Open:
    async def mutate(self, call, operation, obj, old):
        return obj

    async def validate(self, call, operation, obj, old):
        return None


class Api:
    """Answers requests; knows nothing of HTTP.

    Args:
        settings: Version, address and credentials.
        store: The objects.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store
        self.registry = Registry(settings.version)
        self.identities = Identities(store, settings.token, settings.key)
        self.watches = Watches(store)
        self.faults: Any = None
        self._discovery = Discovery(self.registry, settings.address)
        self._reads = Reads(store)
        self._writes = Writes(store, Bodies(settings.version), _Open())

    async def serve(self, request: Request) -> Answer:
        """Answer a request, whatever happens."""
        try:
            return await self._serve(request)
        except Refusal as refusal:
            return Response.refuse(refusal)

    async def _serve(self, request: Request) -> Answer:
        request = replace(request, user=self.identities.identify(request))
        if self.faults is not None:
            fault = self.faults.intercept(request)
            if inspect.isawaitable(fault):
                fault = await fault
            if fault is not None:
                return fault
        wanted = target(request)
        if not wanted.resource:
            return self._document(request)
        return await self._resource(request, wanted)

    def _document(self, request: Request) -> Response:
        path = request.path.rstrip("/") or "/"
        parts = path.strip("/").split("/")
        found: Response | None = None
        if path in ("/readyz", "/healthz", "/livez", "/ping"):
            return Response(body="ok")
        if path == "/version":
            number = self.settings.version.split(".")[1]
            return Response(
                body={
                    "major": "1",
                    "minor": number,
                    "gitVersion": f"v1.{number}.0+k3s1",
                    "gitCommit": "0" * 40,
                    "gitTreeState": "clean",
                    "buildDate": "1970-01-01T00:00:00Z",
                    "goVersion": "go1.25.0",
                    "compiler": "gc",
                    "platform": "linux/arm64",
                }
            )
        if path == "/api":
            found = self._discovery.legacy(request.accept)
        elif path == "/apis":
            found = self._discovery.groups(request.accept)
        elif parts[0] == "api" and len(parts) == 2:
            found = self._discovery.resources("", parts[1])
        elif parts[0] == "apis" and len(parts) == 2:
            found = self._discovery.group(parts[1])
        elif parts[0] == "apis" and len(parts) == 3:
            found = self._discovery.resources(parts[1], parts[2])
        return found or Response(404, "404 page not found\n")

    async def _resource(self, request: Request, wanted: Target) -> Answer:
        resource = self.registry.find(wanted.group, wanted.version, wanted.resource)
        if resource is None:
            raise no_such_resource()
        reading = wanted.verb in ('get','list','watch')
        call = Call(request, resource, wanted, Options('') if reading else options(request))
        if wanted.subresource not in ("", "status"):
            raise no_such_resource()
        match wanted.verb:
            case "get":
                return self._reads.get(resource, wanted, request)
            case "list":
                return self._reads.list(resource, wanted, request)
            case "watch":
                return Stream(self.watches.open(resource, wanted, request))
            case "create":
                if wanted.name:
                    raise method_not_allowed()
                return await self._writes.create(call)
            case "update":
                return await self._writes.update(call)
            case "patch":
                return await self._writes.patch(call)
            case "delete":
                return await self._writes.delete(call)
            case "deletecollection":
                return await self._writes.delete_collection(call)
        raise method_not_allowed()
