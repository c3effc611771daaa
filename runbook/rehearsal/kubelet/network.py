"""Who really listens behind a name in the cluster: Services, pods, and the proxies before them."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runbook.rehearsal.client import Object
from runbook.rehearsal.controllers import kinds, pods
from runbook.rehearsal.controllers.cache import Cache
from runbook.rehearsal.controllers.services import target_port
from runbook.rehearsal.kubelet.containers import PROXY

if TYPE_CHECKING:
    from runbook.rehearsal.kubelet.sandbox import Sandbox

__all__ = ["Network", "Place", "UnreachableError"]

_DOMAIN = ("svc", "cluster", "local")


class UnreachableError(Exception):
    """A name leads nowhere; the text is what a client in the cluster would be told."""


@dataclass(frozen=True)
class Place:
    """Where a connection really goes.

    Args:
        port: Port on 127.0.0.1.
        address: Address and port of the pod, as seen in the cluster.
        name: Identity of the proxy that listens there; empty when none does.
        authority: Name and port that were asked for.
        labels: What a proxy's metrics say of the destination.
    """

    port: int
    address: str
    name: str
    authority: str
    labels: dict[str, str] = field(default_factory=dict)

    def route(self) -> Object:
        """Give it as the file of a proxy's routes has it."""
        return {
            "port": self.port,
            "address": self.address,
            "name": self.name,
            "authority": self.authority,
            "labels": self.labels,
        }


class Network:
    """The pod network and the cluster's DNS in one.

    Args:
        cache: Services and pods.
        sandboxes: Gives the pods that run.
    """

    def __init__(self, cache: Cache, sandboxes: Callable[[], list[Sandbox]]) -> None:
        self._cache = cache
        self._sandboxes = sandboxes

    def resolve(self, target: str, namespace: str) -> Place:
        """Find a ready pod behind a target.

        One pod is chosen for good, the first by name: connections are not spread.

        Args:
            target: ``host:port``; the host is a Service's name, in any form the cluster's DNS
                knows, its cluster IP, or a pod's IP.
            namespace: Of the pod that asks.

        Raises:
            UnreachableError: There is no such Service, or no ready pod behind it.
        """
        host, _, number = target.rpartition(":")
        port = int(number)
        service = self._service(host, namespace)
        if service is None:
            return self._pod(host, port, target)
        entry = next((p for p in service["spec"].get("ports") or [] if p["port"] == port), None)
        if entry is None:
            raise UnreachableError(f"dial tcp: {target}: i/o timeout (no such port)")
        for pod in self._ready(service):
            found = target_port(entry, pod)
            place = self._at(pod, found, target, kinds.key(service)[1]) if found else None
            if place is not None:
                return place
        raise UnreachableError(f"dial tcp {target}: connect: connection refused (no ready pod)")

    def _service(self, host: str, namespace: str) -> Object | None:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            pass
        else:
            services = self._cache.all(kinds.SERVICES)
            return next((s for s in services if s["spec"].get("clusterIP") == host), None)
        name, *rest = host.rstrip(".").split(".")
        space = rest.pop(0) if rest else namespace
        found = None
        if tuple(rest) in (_DOMAIN[:n] for n in range(len(_DOMAIN) + 1)):
            found = self._cache.get(kinds.SERVICES, name, space)
        if found is None:
            raise UnreachableError(f"lookup {host} on 10.43.0.10:53: no such host")
        return found

    def _ready(self, service: Object) -> list[Object]:
        selector = (service["spec"].get("selector") or {}).items()
        found = [
            pod
            for pod in self._cache.all(kinds.PODS, service["metadata"]["namespace"])
            if selector
            and selector <= (pod["metadata"].get("labels") or {}).items()
            and pods.ready(pod)
            and pods.active(pod)
        ]
        return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))

    def _pod(self, host: str, port: int, target: str) -> Place:
        for sandbox in self._sandboxes():
            namespace, name = sandbox.key
            pod = self._cache.get(kinds.PODS, name, namespace)
            if sandbox.address == host and pod is not None and pods.active(pod):
                place = self._at(pod, port, target, "")
                if place is not None:
                    return place
        raise UnreachableError(f"dial tcp {target}: connect: no route to host")

    def _at(self, pod: Object, port: int, authority: str, service: str) -> Place | None:
        """Find a port of a pod: before its proxy where it has one, else behind."""
        uid = pod["metadata"]["uid"]
        sandbox = next((s for s in self._sandboxes() if s.uid == uid), None)
        found = sandbox.listener(port) if sandbox is not None else None
        if sandbox is None or found is None:
            return None
        container, number = found
        name = ""
        if container.name == PROXY:
            name = container.env().get("LINKERD2_PROXY_IDENTITY_LOCAL_NAME", "")
            name = name if container.leaf is not None else ""
        labels = {"dst_namespace": sandbox.key[0], "dst_pod": sandbox.key[1]}
        if service:
            labels["dst_service"] = service
        return Place(number, f"{sandbox.address}:{port}", name, authority, labels)
