"""The API server: who asks, may they, and which part answers."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from runbook.rehearsal.apiserver import bootstrap, lifecycle, targets
from runbook.rehearsal.apiserver.admission import BuiltIn
from runbook.rehearsal.apiserver.backend import NodeBackend
from runbook.rehearsal.apiserver.bodies import Bodies, Options, options
from runbook.rehearsal.apiserver.definitions import Definitions
from runbook.rehearsal.apiserver.gate import Gate
from runbook.rehearsal.apiserver.identities import Identities
from runbook.rehearsal.apiserver.paths import Paths
from runbook.rehearsal.apiserver.proxies import Proxies
from runbook.rehearsal.apiserver.rbac import Access, Authorizer
from runbook.rehearsal.apiserver.reads import Reads
from runbook.rehearsal.apiserver.registry import Registry
from runbook.rehearsal.apiserver.requests import Request, Response, Stream, Target, target
from runbook.rehearsal.apiserver.resources import Resource
from runbook.rehearsal.apiserver.reviews import Reviews
from runbook.rehearsal.apiserver.services import Services
from runbook.rehearsal.apiserver.statuses import (
    Refusal,
    internal,
    method_not_allowed,
    no_such_resource,
)
from runbook.rehearsal.apiserver.store import Store
from runbook.rehearsal.apiserver.subresources import Subresources
from runbook.rehearsal.apiserver.watches import Watches
from runbook.rehearsal.apiserver.webhooks import Webhooks
from runbook.rehearsal.apiserver.writes import Call, Writes

__all__ = ["Api", "Interceptor", "Settings"]

Answer = Response | Stream
_LOG = logging.getLogger(__name__)
_READS = ("get", "list", "watch")


class Interceptor(Protocol):
    """May answer a request in the API server's place, to rehearse its failures."""

    def intercept(self, request: Request) -> Answer | Awaitable[Answer | None] | None:
        """Give the answer, or None to let the request through."""


@dataclass(frozen=True, repr=False)
class Settings:
    """What an API server is started with."""

    version: str
    port: int
    token: str
    key: ec.EllipticCurvePrivateKey

    @property
    def address(self) -> str:
        """Give ``host:port``."""
        return f"127.0.0.1:{self.port}"


class Api:
    """Answers requests; knows nothing of HTTP.

    Args:
        settings: Version, port and credentials.
        store: The objects.
        backend: Runs the pods.
        faults: May answer in its place.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        backend: NodeBackend,
        faults: Interceptor | None = None,
    ) -> None:
        self.store = store
        self.registry = Registry(settings.version)
        self.watches = Watches(store)
        self._settings = settings
        self._faults = faults
        self._bodies = Bodies(settings.version)
        self._identities = Identities(store, settings.token, settings.key)
        self._authorizer = Authorizer(store)
        self._paths = Paths(self.registry, self._identities, settings.address)
        self._reads = Reads(store)
        services = Services(store, backend)
        namespaces = self._table(("", "namespaces"))
        built_in = BuiltIn(store, namespaces)
        gate = Gate(built_in, Webhooks(store, self.registry, services), self._bodies)
        self._writes = Writes(store, self._bodies, gate)
        self._reviews = Reviews(self._bodies, self._authorizer, self._identities)
        self._proxies = Proxies(store, services)
        self._definitions = Definitions(store, self.registry, self._bodies)
        self._subresources = Subresources(
            store, self._writes, self._bodies, self._identities, backend
        )

    def start(self) -> None:
        """Create what every API server has and serve the definitions in the store."""
        for obj in bootstrap.objects(self.registry, self._settings.port):
            self._create(obj)
        self._definitions.start()

    def _table(self, table: tuple[str, str]) -> Resource:
        found = self.registry.stored(table)
        assert found is not None  # noqa: S101 - asked for built-in resources only
        return found

    def _create(self, obj: dict[str, Any]) -> None:
        """Store an object of the server's own, unless it is there; its endpoint always changes."""
        group, _, version = obj["apiVersion"].rpartition("/")
        resource = self.registry.of_kind(group, version, obj["kind"])
        assert resource is not None  # noqa: S101 - bootstrap objects are built in
        metadata = obj["metadata"]
        known = self.store.get(resource.key, metadata.get("namespace", ""), metadata["name"])
        if known is not None:
            if obj["kind"] == "Endpoints":
                self.store.put(resource.key, {**known, "subsets": obj["subsets"]})
            return
        obj = self._bodies.complete(resource, obj)
        obj = self._bodies.track(resource, None, obj, Options("kube-apiserver"))
        self.store.put(resource.key, {**obj, **lifecycle.new(resource, obj)})

    async def serve(self, request: Request) -> Answer:
        """Answer a request, whatever happens."""
        try:
            return await self._serve(request)
        except Refusal as refusal:
            return Response.refuse(refusal)
        except Exception:
            _LOG.exception("%s %s", request.method, request.path)
            return Response.refuse(internal("the rehearsal server failed, see its log"))

    async def _serve(self, request: Request) -> Answer:
        request = self._identified(request)
        if self._faults is not None:
            fault = self._faults.intercept(request)
            if inspect.isawaitable(fault):
                fault = await fault
            if fault is not None:
                return fault
        wanted = target(request)
        self._authorize(request, wanted)
        if wanted.path == targets.PATH:
            return targets.answer(self.store, request)
        if not wanted.resource:
            return self._paths.answer(request)
        return await self._resource(request, wanted)

    def _identified(self, request: Request) -> Request:
        """Give the request with who asks, or whom that one impersonates."""
        user = self._identities.identify(request)
        other = self._identities.impersonated(request)
        if other is not None:
            access = Access("impersonate", resource="users", name=other.name)
            if not self._authorizer.allows(user, access):
                raise _forbidden("users", "", other.name, access.denial(user))
            user = other
        return replace(request, user=user)

    def _authorize(self, request: Request, wanted: Target) -> None:
        access = Access.of(wanted)
        if self._authorizer.allows(request.user, access):
            return
        denial = access.denial(request.user)
        if not wanted.resource:
            raise Refusal(403, f"forbidden: {denial}", "Forbidden", {})
        raise _forbidden(wanted.resource, wanted.group, wanted.name, denial)

    async def _resource(self, request: Request, wanted: Target) -> Answer:
        resource = self.registry.find(wanted.group, wanted.version, wanted.resource)
        if resource is None or not _routed(resource, wanted):
            raise no_such_resource()
        if wanted.subresource == "proxy":
            return await self._proxies.answer(resource, wanted, request)
        reading = wanted.verb in _READS
        call = Call(request, resource, wanted, Options("") if reading else options(request))
        if wanted.subresource:
            return await self._subresources.answer(call)
        if wanted.verb not in resource.verbs or not _fits(wanted):
            raise method_not_allowed()
        if resource.namespaced and not wanted.namespace and wanted.verb not in ("list", "watch"):
            raise method_not_allowed()
        answer = self._read(call) if reading else await self._write(call)
        if resource.deprecated and isinstance(answer, Response):
            answer.warnings = (resource.deprecated, *answer.warnings)
        return answer

    def _read(self, call: Call) -> Answer:
        place = (call.resource, call.target, call.request)
        match call.target.verb:
            case "get":
                return self._reads.get(*place)
            case "list":
                return self._reads.list(*place)
        return Stream(self.watches.open(*place))

    async def _write(self, call: Call) -> Response:
        if self._reviews.answers(call.resource):
            return self._reviews.answer(call)
        if call.resource.plural == "bindings":
            return await self._subresources.bind_named(call, self._table(("", "pods")))
        verbs = {
            "create": self._writes.create,
            "update": self._writes.update,
            "patch": self._writes.patch,
            "delete": self._writes.delete,
            "deletecollection": self._writes.delete_collection,
        }
        return await verbs[call.target.verb](call)


def _fits(wanted: Target) -> bool:
    """Tell whether a verb goes with the path: some need a name, some must not have one."""
    if wanted.verb in ("update", "patch"):
        return bool(wanted.name)
    return wanted.verb != "create" or not wanted.name


def _routed(resource: Resource, wanted: Target) -> bool:
    """Tell whether a real server has a route: names need a namespace where there is one."""
    if resource.plural == "namespaces" and not resource.group:
        return True
    if resource.namespaced:
        return bool(wanted.namespace) or not wanted.name
    return not wanted.namespace


def _forbidden(resource: str, group: str, name: str, why: str) -> Refusal:
    qualified = f"{resource}.{group}" if group else resource
    details = {"name": name, "group": group, "kind": resource}
    subject = f'{qualified} "{name}"' if name else qualified
    return Refusal(
        403,
        f"{subject} is forbidden: {why}",
        "Forbidden",
        {key: value for key, value in details.items() if value},
    )
