"""Proxies: to a node's kubelet, to a pod, to a service."""

from __future__ import annotations

from typing import Any

from tornado.httpclient import HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from runbook.rehearsal.apiserver.requests import Request, Response, Target
from runbook.rehearsal.apiserver.resources import Resource
from runbook.rehearsal.apiserver.services import NoEndpointError, NoServiceError, Services
from runbook.rehearsal.apiserver.statuses import Refusal, missing
from runbook.rehearsal.apiserver.store import Store

__all__ = ["Proxies"]

_TIMEOUT_SECONDS = 60
_METRICS = "text/plain; version=0.0.4"
_OWN = {"connection", "content-encoding", "content-length", "content-type", "date"} | {
    "keep-alive", "server", "transfer-encoding",
}  # fmt: skip
"""Headers of an answer that are about its own connection, or that the API server sets."""


class Proxies:
    """Passes requests on to what runs in the cluster.

    Args:
        store: Nodes, pods and services.
        services: Finds where they listen.
    """

    def __init__(self, store: Store, services: Services) -> None:
        self._store = store
        self._services = services

    async def answer(self, resource: Resource, target: Target, request: Request) -> Response:
        """Answer a request on a ``proxy`` subresource.

        Raises:
            Refusal: 404 when the object is missing, 503 when nothing listens.
        """
        if resource.plural == "nodes":
            return self._node(resource, target)
        scheme, name, port = _address(target.name)
        if self._store.get(resource.key, target.namespace, name) is None:
            raise missing(resource, name)
        if resource.plural == "services":
            address = self._service(target.namespace, name, port)
        else:
            number = self._number(target.namespace, name, port)
            page = self._services.backend.page(target.namespace, name, number, target.rest)
            if page is not None:
                return Response(body=page, content_type=_METRICS)
            address = self._pod(target.namespace, name, number)
        return await self._forward(scheme, address, target.rest, request)

    def _node(self, resource: Resource, target: Target) -> Response:
        name = target.name.partition(":")[0]
        if self._store.get(resource.key, "", name) is None:
            raise missing(resource, name)
        match target.rest.rstrip("/"):
            case "stats/summary":
                return Response(body=self._services.backend.stats(name))
            case "metrics/resource" | "metrics/cadvisor" as path:
                text = self._services.backend.metrics(name, path.partition("/")[2])
                return Response(body=text, content_type=_METRICS)
            case "healthz":
                return Response(body="ok")
        return Response(404, "404 page not found\n")

    def _service(self, namespace: str, name: str, port: str) -> tuple[str, int]:
        try:
            return self._services.resolve(namespace, name, port)
        except NoEndpointError as error:
            raise _unavailable(str(error)) from None
        except NoServiceError:
            raise _unavailable(f'no endpoints available for service "{name}:{port}"') from None

    def _number(self, namespace: str, name: str, port: str) -> int:
        pod = self._store.get(("", "pods"), namespace, name) or {}
        return int(port) if port.isdigit() else _first_port(pod, port)

    def _pod(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        found = self._services.backend.endpoint(namespace, name, port)
        if found is None:
            raise _unavailable(f"error trying to reach service: dial tcp: no port {port}")
        return found

    async def _forward(
        self, scheme: str, address: tuple[str, int], path: str, request: Request
    ) -> Response:
        query = request.query_string
        url = f"{scheme}://{address[0]}:{address[1]}/{path}{'?' + query if query else ''}"
        # The client's Host goes on, as a real API server has it: some who are asked look at it.
        dropped = ("authorization", "content-length", "connection", "accept-encoding")
        headers = {k: v for k, v in request.headers.items() if k not in dropped}
        client = SimpleAsyncHTTPClient(force_instance=True)
        try:
            response = await client.fetch(
                HTTPRequest(
                    url,
                    request.method,
                    headers,
                    request.body or None,
                    allow_nonstandard_methods=True,
                    follow_redirects=False,
                    validate_cert=False,
                    request_timeout=_TIMEOUT_SECONDS,
                ),
                raise_error=False,
            )
        except OSError as error:
            raise _unavailable(f"error trying to reach service: {error}") from None
        finally:
            client.close()
        if response.code == 599:
            raise _unavailable(f"error trying to reach service: {response.error}")
        media = response.headers.get("Content-Type", "text/plain")
        kept = {k: v for k, v in response.headers.items() if k.lower() not in _OWN}
        return Response(response.code, bytes(response.body or b""), media, kept)


def _address(name: str) -> tuple[str, str, str]:
    """Take ``[scheme:]name[:port]`` apart."""
    parts = name.split(":")
    if len(parts) == 3:
        return parts[0] or "http", parts[1], parts[2]
    return ("http", parts[0], parts[1]) if len(parts) == 2 else ("http", parts[0], "")


def _first_port(pod: dict[str, Any], name: str) -> int:
    ports = [
        port
        for c in (pod.get("spec") or {}).get("containers") or ()
        for port in c.get("ports") or ()
    ]
    named = [p["containerPort"] for p in ports if not name or p.get("name") == name]
    return int(named[0]) if named else 80


def _unavailable(message: str) -> Refusal:
    return Refusal(503, message, "ServiceUnavailable")
