"""APIServices: whether the Service that an aggregated API names has somebody behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.manager import Cluster, Key

__all__ = ["ApiServices"]

_SERVICE = "kubernetes.io/service-name"
_HTTPS = 443


class ApiServices:
    """Keep the condition Available of APIServices that name a Service.

    The rules and texts are those of kube-aggregator, but for its last check: nobody asks the
    Service for its API, as most of what stands behind one here is simulated.
    """

    name = "apiservice"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Look at an APIService when it, its Service or the slices of that change."""
        return {
            kinds.API_SERVICES: lambda obj: [kinds.key(obj)],
            kinds.SERVICES: lambda obj: self._naming(*kinds.key(obj)),
            kinds.SLICES: self._of_slice,
        }

    def reconcile(self, key: Key) -> float | None:
        """Write the condition of one APIService."""
        found = self._cluster.cache.get(kinds.API_SERVICES, key[1])
        reference = found["spec"].get("service") if found is not None else None
        if found is None or reference is None or kinds.deleted(found):
            return None
        reason, message = self._state(reference)
        entry = {
            "type": "Available",
            "status": str(reason == "Passed"),
            "reason": reason,
            "message": message,
        }
        before = (found.get("status") or {}).get("conditions")
        status = {"conditions": kinds.with_condition(before, entry)}
        self._cluster.set_status(kinds.API_SERVICES, found, status)
        return None

    def _state(self, reference: Object) -> tuple[str, str]:
        """Give reason and message of the condition."""
        name, namespace = reference["name"], reference["namespace"]
        text = f'service/{name} in "{namespace}"'
        service = self._cluster.cache.get(kinds.SERVICES, name, namespace)
        if service is None:
            return "ServiceNotFound", f"{text} is not present"
        number = reference.get("port", _HTTPS)
        port = next((p for p in service["spec"].get("ports") or [] if p["port"] == number), None)
        if port is None:
            return "ServicePortError", f"{text} is not listening on port {number}"
        slices = [
            entry
            for entry in self._cluster.cache.all(kinds.SLICES, namespace)
            if _service_of(entry) == name
        ]
        if not slices:
            return "EndpointsNotFound", f"cannot find endpointslices for {text}"
        wanted = port.get("name", "")
        if not any(_serves(entry, wanted) for entry in slices):
            told = f'endpointslices for {text} have no addresses with port name "{wanted}"'
            return "MissingEndpoints", told
        return "Passed", "all checks passed"

    def _of_slice(self, entry: Object) -> Iterable[Key]:
        return self._naming(entry["metadata"]["namespace"], _service_of(entry))

    def _naming(self, namespace: str, name: str) -> Iterable[Key]:
        for found in self._cluster.cache.all(kinds.API_SERVICES):
            reference = found["spec"].get("service") or {}
            if (reference.get("namespace"), reference.get("name")) == (namespace, name):
                yield kinds.key(found)


def _service_of(entry: Object) -> str:
    return str((entry["metadata"].get("labels") or {}).get(_SERVICE, ""))


def _serves(entry: Object, port: str) -> bool:
    """Tell whether a slice has a ready address with a port of this name."""
    named = any(p.get("name", "") == port for p in entry.get("ports") or [])
    ready = any(e["conditions"].get("ready") for e in entry.get("endpoints") or [])
    return named and ready
