"""Longhorn's resources, and what a pod of its manager says about itself."""

from __future__ import annotations

import re

from runbook.rehearsal.client import Object, Resource

__all__ = [
    "CSI_DRIVERS",
    "CSI_NODES",
    "DRIVER",
    "ENGINE_IMAGES",
    "INSTANCE_MANAGERS",
    "NODES",
    "accepts",
    "sees_propagation",
    "version",
]

_GROUP = "longhorn.io"
NODES = Resource(_GROUP, "v1beta2", "nodes", "Node")
INSTANCE_MANAGERS = Resource(_GROUP, "v1beta2", "instancemanagers", "InstanceManager")
ENGINE_IMAGES = Resource(_GROUP, "v1beta2", "engineimages", "EngineImage")
CSI_DRIVERS = Resource("storage.k8s.io", "v1", "csidrivers", "CSIDriver", namespaced=False)
CSI_NODES = Resource("storage.k8s.io", "v1", "csinodes", "CSINode", namespaced=False)

DRIVER = "driver.longhorn.io"
_MANAGER, _PROXY = "longhorn-manager", "linkerd-proxy"
_FIXED = (1, 5, 4)
"""First version that looks at the manager's container by its name (longhorn-manager,
``controller/node_controller.go``; issue longhorn/longhorn#3809)."""


def version(pod: Object) -> tuple[int, ...]:
    """Give the version of a manager, told by the tag of its image."""
    image = next((c["image"] for c in _containers(pod) if c["name"] == _MANAGER), "")
    return tuple(int(part) for part in re.findall(r"\d+", image.rpartition(":")[2])[:3])


def accepts(pod: Object) -> bool:
    """Tell whether a manager accepts connections at port 9500.

    It listens on the address in ``POD_IP`` alone (longhorn-manager, ``app/daemon.go``, in every
    version so far). Linkerd's proxy passes what comes in on to 127.0.0.1.
    """
    env = next((c.get("env") or [] for c in _containers(pod) if c["name"] == _MANAGER), [])
    address = next((entry.get("value") for entry in env if entry["name"] == "POD_IP"), None)
    meshed = any(c["name"] == _PROXY for c in [*_containers(pod), *_inits(pod)])
    return not meshed or address in ("0.0.0.0", "::", "127.0.0.1")  # noqa: S104 - compared only


def sees_propagation(pod: Object) -> bool:
    """Tell whether a node's mount propagation is seen, without which no CSI driver is deployed.

    Before 1.5.4 the mounts of the pod's first container were looked at, whatever it was.
    """
    first = _containers(pod)[0]["name"]
    return first == _MANAGER or version(pod) >= _FIXED


def _containers(pod: Object) -> list[Object]:
    found: list[Object] = pod["spec"]["containers"]
    return found


def _inits(pod: Object) -> list[Object]:
    return pod["spec"].get("initContainers") or []
