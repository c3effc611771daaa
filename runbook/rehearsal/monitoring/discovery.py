"""Pods as targets, with the labels that Prometheus' discovery of Kubernetes gives them (role pod).

As there, each port of a container is a target, and a container without ports is one without a port.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["targets"]

Object = Mapping[str, Any]

_META = "__meta_kubernetes_"
_POD = f"{_META}pod_"


def targets(pods: Iterable[Object]) -> Iterator[dict[str, str]]:
    """Give the labels of every target.

    Args:
        pods: Pods as the API has them; those without an address are left out.
    """
    for pod in pods:
        address = (pod.get("status") or {}).get("podIP")
        if not address:
            continue
        common = _of_pod(pod)
        spec = pod["spec"]
        for container in spec["containers"]:
            yield from _of_container(pod, container, address, common, init=False)
        for container in spec.get("initContainers") or []:
            yield from _of_container(pod, container, address, common, init=True)


def _of_pod(pod: Object) -> dict[str, str]:
    meta, status = pod["metadata"], pod["status"]
    labels = {
        f"{_META}namespace": meta["namespace"],
        f"{_POD}name": meta["name"],
        f"{_POD}ip": status["podIP"],
        f"{_POD}ready": _ready(status),
        f"{_POD}phase": status.get("phase", ""),
        f"{_POD}node_name": pod["spec"].get("nodeName", ""),
        f"{_POD}host_ip": status.get("hostIP", ""),
        f"{_POD}uid": meta["uid"],
    }
    for owner in meta.get("ownerReferences") or []:
        if owner.get("controller"):
            labels |= {
                f"{_POD}controller_kind": owner["kind"],
                f"{_POD}controller_name": owner["name"],
            }
    for field, kind in (("labels", "label"), ("annotations", "annotation")):
        for name, value in (meta.get(field) or {}).items():
            own = re.sub(r"[^a-zA-Z0-9_]", "_", name)
            labels |= {f"{_POD}{kind}_{own}": value, f"{_POD}{kind}present_{own}": "true"}
    return labels


def _of_container(
    pod: Object, container: Object, address: str, common: Mapping[str, str], *, init: bool
) -> Iterator[dict[str, str]]:
    field = "initContainerStatuses" if init else "containerStatuses"
    statuses = {found["name"]: found for found in pod["status"].get(field) or []}
    labels = {
        **common,
        "__address__": address,
        f"{_POD}container_name": container["name"],
        f"{_POD}container_id": statuses.get(container["name"], {}).get("containerID", ""),
        f"{_POD}container_image": container.get("image", ""),
        f"{_POD}container_init": "true" if init else "false",
    }
    if not container.get("ports"):
        yield labels
    for port in container.get("ports") or []:
        number = str(port["containerPort"])
        yield {
            **labels,
            "__address__": f"{address}:{number}",
            f"{_POD}container_port_name": port.get("name", ""),
            f"{_POD}container_port_number": number,
            f"{_POD}container_port_protocol": port.get("protocol", "TCP"),
        }


def _ready(status: Object) -> str:
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or []}
    return str(conditions.get("Ready", "unknown")).lower()
