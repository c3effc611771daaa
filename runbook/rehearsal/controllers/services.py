"""EndpointSlices and Endpoints: which pods stand behind a Service."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds, pods
from runbook.rehearsal.controllers.manager import Cluster, Key

__all__ = ["Services", "target_port"]

_SERVICE = "kubernetes.io/service-name"
_MANAGER = "endpointslice-controller.k8s.io"
_TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"


class Services:
    """Keep one EndpointSlice and one Endpoints object per Service with a selector."""

    name = "service"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Look at Services when they, their pods or their slices change."""
        return {
            kinds.SERVICES: lambda obj: [kinds.key(obj)],
            kinds.PODS: self._of_pod,
            kinds.SLICES: pods.owner_keys("Service"),
        }

    def reconcile(self, key: Key) -> float | None:
        """Write the addresses of the ready pods of one Service."""
        namespace, name = key
        service = self._cluster.cache.get(kinds.SERVICES, name, namespace)
        if service is None:
            if self._cluster.cache.get(kinds.ENDPOINTS, name, namespace) is not None:
                self._cluster.client.delete(kinds.ENDPOINTS, name, namespace)
            return None
        if not service["spec"].get("selector") or kinds.deleted(service):
            return None
        chosen = [pod for pod in self._chosen(service) if _address(pod)]
        chosen.sort(key=lambda pod: str(pod["metadata"]["name"]))
        self._slice(service, chosen)
        self._endpoints(service, chosen)
        return None

    def _of_pod(self, pod: Object) -> Iterable[Key]:
        labels = (pod["metadata"].get("labels") or {}).items()
        for service in self._cluster.cache.all(kinds.SERVICES, pod["metadata"]["namespace"]):
            selector = service["spec"].get("selector")
            if selector and selector.items() <= labels:
                yield kinds.key(service)

    def _chosen(self, service: Object) -> list[Object]:
        selector = service["spec"]["selector"].items()
        return [
            pod
            for pod in self._cluster.cache.all(kinds.PODS, service["metadata"]["namespace"])
            if selector <= (pod["metadata"].get("labels") or {}).items() and not pods.terminal(pod)
        ]

    def _slice(self, service: Object, chosen: list[Object]) -> None:
        namespace, name = kinds.key(service)
        anyway = bool(service["spec"].get("publishNotReadyAddresses"))
        body: Object = {
            "addressType": "IPv4",
            "endpoints": [_endpoint(pod, anyway) for pod in chosen],
            "ports": _ports(service, chosen),
        }
        labels = {
            **(service["metadata"].get("labels") or {}),
            "endpointslice.kubernetes.io/managed-by": _MANAGER,
            _SERVICE: name,
        }
        if service["spec"].get("clusterIP") == "None":
            labels["service.kubernetes.io/headless"] = ""
        owned = self._cluster.cache.owned(service["metadata"]["uid"], kinds.SLICES)
        present = next((entry for entry in owned if not kinds.deleted(entry)), None)
        if present is None:
            meta = {
                "generateName": f"{name}-",
                "namespace": namespace,
                "labels": labels,
                "ownerReferences": [kinds.owner_reference(kinds.SERVICES, service)],
            }
            self._cluster.client.create(kinds.SLICES, {"metadata": meta, **body})
            return
        if any((present.get(field) or []) != value for field, value in body.items()):
            own = present["metadata"]["name"]
            patch = {"metadata": {"labels": labels}, **body}
            self._cluster.client.patch(kinds.SLICES, own, patch, namespace)

    def _endpoints(self, service: Object, chosen: list[Object]) -> None:
        namespace, name = kinds.key(service)
        anyway = bool(service["spec"].get("publishNotReadyAddresses"))
        up = [_target(pod) for pod in chosen if anyway or pods.ready(pod)]
        down = [_target(pod) for pod in chosen if not (anyway or pods.ready(pod))]
        subset: Object = {"addresses": up, "notReadyAddresses": down}
        subset["ports"] = [
            {k: v for k, v in port.items() if v != ""} for port in _ports(service, chosen)
        ]
        subsets = [{k: v for k, v in subset.items() if v}] if up or down else []
        present = self._cluster.cache.get(kinds.ENDPOINTS, name, namespace)
        if present is None:
            labels = dict(service["metadata"].get("labels") or {})
            labels["endpoints.kubernetes.io/managed-by"] = "endpoint-controller"
            meta = {"name": name, "namespace": namespace, "labels": labels}
            body = {"metadata": meta, **({"subsets": subsets} if subsets else {})}
            self._cluster.client.create(kinds.ENDPOINTS, body)
        elif (present.get("subsets") or []) != subsets:
            patch = {"subsets": subsets or None}
            self._cluster.client.patch(kinds.ENDPOINTS, name, patch, namespace)


def target_port(port: Object, pod: Object) -> int | None:
    """Resolve the target of a Service port in a pod.

    Args:
        port: Entry of the Service's ``spec.ports``.
        pod: The pod; its sidecars count as well.
    """
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target or int(port["port"])
    spec = pod["spec"]
    sidecars = [c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"]
    for container in [*spec["containers"], *sidecars]:
        for entry in container.get("ports") or []:
            if entry.get("name") == target:
                return int(entry["containerPort"])
    return None


def _ports(service: Object, chosen: list[Object]) -> list[Object]:
    result = []
    for port in service["spec"].get("ports") or []:
        numbers = [target_port(port, pod) for pod in chosen] or [None]
        number = next((n for n in numbers if n is not None), None)
        if number is None:
            if chosen or not isinstance(port.get("targetPort"), int):
                continue
            number = port["targetPort"]
        entry = {
            "name": port.get("name", ""),
            "protocol": port.get("protocol", "TCP"),
            "port": number,
        }
        result.append(entry)
    return result


def _address(pod: Object) -> str:
    return str((pod.get("status") or {}).get("podIP") or "")


def _reference(pod: Object) -> Object:
    meta = pod["metadata"]
    return {
        "kind": "Pod",
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
    }


def _endpoint(pod: Object, anyway: bool) -> Object:
    leaving = kinds.deleted(pod)
    return {
        "addresses": [_address(pod)],
        "conditions": {
            "ready": anyway or (pods.ready(pod) and not leaving),
            "serving": anyway or pods.ready(pod),
            "terminating": leaving,
        },
        "targetRef": _reference(pod),
        "nodeName": pod["spec"].get("nodeName"),
    }


def _target(pod: Object) -> Object:
    return {
        "ip": _address(pod),
        "nodeName": pod["spec"].get("nodeName"),
        "targetRef": _reference(pod),
    }
