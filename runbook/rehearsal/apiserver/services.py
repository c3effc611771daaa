"""From a service to where one of its ready pods really listens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runbook.rehearsal.apiserver.backend import NodeBackend
from runbook.rehearsal.apiserver.store import Object, Store

__all__ = ["NoEndpointError", "NoServiceError", "Services"]

_SLICES = ("discovery.k8s.io", "endpointslices")


class NoServiceError(LookupError):
    """There is no such service, or it has no such port."""


class NoEndpointError(LookupError):
    """The service has no ready endpoint."""


class Services:
    """Resolves services the way kube-proxy does.

    Args:
        store: Services, EndpointSlices and Endpoints.
        backend: Knows where pods listen.
    """

    def __init__(self, store: Store, backend: NodeBackend) -> None:
        self._store = store
        self.backend = backend

    def find(self, namespace: str, name: str) -> Object | None:
        """Give a service, or None."""
        return self._store.get(("", "services"), namespace, name)

    def resolve(self, namespace: str, name: str, port: str | int) -> tuple[str, int]:
        """Give the address behind a service's port.

        Args:
            namespace: Of the service.
            name: Of the service.
            port: Number or name of a port of the service; empty if it has only one.

        Raises:
            NoServiceError: The service or the port does not exist.
            NoEndpointError: No ready pod listens.
        """
        service = self.find(namespace, name)
        if service is None:
            raise NoServiceError(f'service "{name}" not found')
        wanted = _port(service, port)
        if wanted is None:
            raise NoServiceError(f'no service port "{port}" found for service "{name}"')
        for pod, number in self._ready(namespace, name, wanted.get("name", "")):
            found = self.backend.endpoint(namespace, pod, number)
            if found is not None:
                return found
        raise NoEndpointError(f'no endpoints available for service "{name}"')

    def _ready(self, namespace: str, name: str, port: str) -> Iterator[tuple[str, int]]:
        """Give pods and port numbers of the ready endpoints."""
        for piece in self._store.list(_SLICES, namespace):
            labels = piece["metadata"].get("labels") or {}
            if labels.get("kubernetes.io/service-name") != name:
                continue
            number = _number(piece.get("ports"), port)
            for endpoint in piece.get("endpoints") or ():
                if number and (endpoint.get("conditions") or {}).get("ready") is not False:
                    yield from _pod(endpoint, number)
        endpoints = self._store.get(("", "endpoints"), namespace, name)
        for subset in (endpoints or {}).get("subsets") or ():
            number = _number(subset.get("ports"), port)
            for address in subset.get("addresses") or ():
                if number:
                    yield from _pod(address, number)


def _pod(endpoint: dict[str, Any], number: int) -> Iterator[tuple[str, int]]:
    target = endpoint.get("targetRef") or {}
    if target.get("kind") == "Pod":
        yield target["name"], number


def _number(ports: list[dict[str, Any]] | None, name: str) -> int | None:
    return next((p["port"] for p in ports or () if (p.get("name") or "") == name), None)


def _port(service: Object, wanted: str | int) -> dict[str, Any] | None:
    ports: list[dict[str, Any]] = service["spec"].get("ports") or []
    if wanted == "":
        return ports[0] if len(ports) == 1 else None
    text = str(wanted)
    return next((p for p in ports if text in (str(p["port"]), p.get("name"))), None)
