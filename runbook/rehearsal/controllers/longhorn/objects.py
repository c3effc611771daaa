"""The objects that Longhorn's managers and its driver deployer make."""

from __future__ import annotations

from collections.abc import Iterator

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.longhorn.kinds import CSI_DRIVERS, DRIVER, INSTANCE_MANAGERS
from runbook.rehearsal.controllers.pods import safe_hash

__all__ = ["PLUGIN", "driver", "engine_image", "instance_manager", "instance_manager_pod"]

PLUGIN = "longhorn-csi-plugin"
"""DaemonSet of the CSI driver."""

_SIDECARS = {
    "csi-attacher": "v4.9.0",
    "csi-provisioner": "v5.3.0",
    "csi-resizer": "v1.14.0",
    "csi-snapshotter": "v8.3.0",
}
_ACCOUNT = "longhorn-service-account"


def driver(namespace: str) -> Iterator[tuple[Resource, Object]]:
    """Give what the driver deployer makes: the CSI driver and its workloads."""
    meta = {"name": DRIVER}
    yield CSI_DRIVERS, {"metadata": meta, "spec": {"attachRequired": True, "podInfoOnMount": True}}
    for name, tag in _SIDECARS.items():
        container = {"name": name, "image": f"longhornio/{name}:{tag}"}
        yield (
            kinds.DEPLOYMENTS,
            {
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"replicas": 3, **_workload({"app": name}, container)},
            },
        )
    labels = {"app": PLUGIN}
    plugin = {"name": PLUGIN, "image": "longhornio/longhorn-manager:v1.10.0"}
    registrar = {
        "name": "node-driver-registrar",
        "image": "longhornio/csi-node-driver-registrar:v2.14.0",
    }
    spec = _workload(labels, registrar, plugin)
    yield kinds.DAEMON_SETS, {"metadata": {"name": PLUGIN, "namespace": namespace}, "spec": spec}


def engine_image(namespace: str) -> Object:
    """Give the DaemonSet that brings the binaries of engines to each node."""
    name = "engine-image-ei-3154f3aa"
    labels = {"longhorn.io/component": "engine-image", "longhorn.io/engine-image": name[13:]}
    container = {"name": name, "image": "longhornio/longhorn-engine:v1.10.0"}
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": _workload(labels, container),
    }


def instance_manager(namespace: str, node: str) -> Object:
    """Give the object of a node's instance manager, which runs engines and replicas."""
    return {
        "metadata": {"name": f"instance-manager-{safe_hash(node)}", "namespace": namespace},
        "spec": {"nodeID": node, "type": "aio"},
    }


def instance_manager_pod(owner: Object) -> Object:
    """Give its pod."""
    meta, node = owner["metadata"], owner["spec"]["nodeID"]
    image = "longhornio/longhorn-instance-manager:v1.10.0"
    return {
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "labels": {
                "longhorn.io/component": "instance-manager",
                "longhorn.io/instance-manager-type": "aio",
                "longhorn.io/node": node,
            },
            "ownerReferences": [kinds.owner_reference(INSTANCE_MANAGERS, owner)],
        },
        "spec": {
            "nodeName": node,
            "serviceAccountName": _ACCOUNT,
            "containers": [{"name": "instance-manager", "image": image}],
        },
    }


def _workload(labels: dict[str, str], *containers: Object) -> Object:
    pod = {"serviceAccountName": _ACCOUNT, "containers": list(containers)}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {"selector": {"matchLabels": labels}, "template": template}
