"""What goes wrong when services are meshed, brought about through the API.

Each function leaves the cluster as it would be found after the mishap.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from runbook.errors import RehearsalError
from runbook.rehearsal.client import Client, Object, Resource
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.longhorn.kinds import CSI_DRIVERS, CSI_NODES, DRIVER
from runbook.rehearsal.controllers.longhorn.objects import driver

__all__ = [
    "age_longhorn",
    "mesh_longhorn_early",
    "name_it_restic",
    "stick_admission_job",
    "stick_cronjob",
]

_LONGHORN, _MANAGER = "longhorn-system", "longhorn-manager"
_INJECT = "linkerd.io/inject"
_PROXY = "linkerd-proxy"
_PATIENCE = 60.0


def age_longhorn(client: Client, version: str = "1.4.2") -> None:
    """Let Longhorn be an old one.

    Args:
        client: Where.
        version: Which.
    """
    images = {_MANAGER: f"longhornio/longhorn-manager:v{version}"}
    _strategic(client, kinds.DAEMON_SETS, _MANAGER, _containers(images))
    _settled(client, lambda pod: _image(pod).endswith(version))


def mesh_longhorn_early(client: Client, version: str = "1.4.2") -> None:
    """Let an old Longhorn have been meshed before it was complete: its CSI driver never came.

    Args:
        client: Where.
        version: Of Longhorn.
    """
    template = _containers({_MANAGER: f"longhornio/longhorn-manager:v{version}"})
    template["metadata"] = {"annotations": {_INJECT: "enabled"}}
    _strategic(client, kinds.DAEMON_SETS, _MANAGER, template)
    _settled(client, _meshed)
    # The controller may still be at work with what it saw before.
    _wait(lambda: _without_driver(client), "the CSI driver came back")


def name_it_restic(client: Client) -> None:
    """Let Velero be as before 1.10, when its node agents were called restic.

    Args:
        client: Where.
    """
    agent = client.get(kinds.DAEMON_SETS, "node-agent", "velero")
    client.delete(kinds.DAEMON_SETS, "node-agent", "velero")
    meta = {"name": "restic", "namespace": "velero", "labels": agent["metadata"]["labels"]}
    client.create(kinds.DAEMON_SETS, {"metadata": meta, "spec": agent["spec"]})


def stick_admission_job(client: Client, namespace: str = "k3s-monitoring") -> None:
    """Let an upgrade of kube-prometheus-stack hang in its first Job, meshed with a plain sidecar.

    Args:
        client: Where.
        namespace: Of the stack.
    """
    name = "kube-prometheus-stack-admission-create"
    notes = {"helm.sh/hook": "pre-install,pre-upgrade"}
    meta = {"name": name, "namespace": namespace, "annotations": notes}
    client.create(kinds.JOBS, {"metadata": meta, "spec": {"template": _run("create")}})
    _stuck(client, namespace, name)


def stick_cronjob(client: Client, namespace: str, name: str = "backup") -> None:
    """Let a run of a CronJob have done its work, and go on for its proxy's sake.

    Args:
        client: Where.
        namespace: Of the CronJob.
        name: Its name.
    """
    template = {"spec": {"template": _run("backup")}}
    spec = {"schedule": "* * * * *", "concurrencyPolicy": "Forbid", "jobTemplate": template}
    found = client.create(
        kinds.CRON_JOBS, {"metadata": {"name": name, "namespace": namespace}, "spec": spec}
    )
    job = f"{name}-29400000"
    owner = kinds.owner_reference(kinds.CRON_JOBS, found)
    meta = {"name": job, "namespace": namespace, "ownerReferences": [owner]}
    client.create(kinds.JOBS, {"metadata": meta, "spec": template["spec"]})
    _stuck(client, namespace, job)


def _without_driver(client: Client) -> bool:
    """Delete what the driver deployer made, and tell whether it stays away."""
    for resource, obj in driver(_LONGHORN):
        client.delete(resource, obj["metadata"]["name"], _LONGHORN if resource.namespaced else "")
    for node in list(client.list(CSI_NODES)):
        client.delete(CSI_NODES, node["metadata"]["name"])
    time.sleep(0.3)
    made = [obj["metadata"]["name"] for r, obj in driver(_LONGHORN) if r == kinds.DEPLOYMENTS]
    left = [name for name in made if client.find(kinds.DEPLOYMENTS, name, _LONGHORN)]
    return not left and client.find(CSI_DRIVERS, DRIVER) is None


def _run(name: str) -> Object:
    pod = {"restartPolicy": "OnFailure", "containers": [{"name": name, "image": f"{name}:1"}]}
    return {"metadata": {"annotations": {_INJECT: "enabled"}}, "spec": pod}


def _containers(images: dict[str, str]) -> Object:
    entries = [{"name": name, "image": image} for name, image in images.items()]
    return {"spec": {"containers": entries}}


def _strategic(client: Client, resource: Resource, name: str, template: Object) -> None:
    patch = {"spec": {"template": template}}
    client.patch(resource, name, patch, _LONGHORN, strategic=True)


def _image(pod: Object) -> str:
    return next(str(c["image"]) for c in pod["spec"]["containers"] if c["name"] == _MANAGER)


def _meshed(pod: Object) -> bool:
    spec = pod["spec"]
    return any(
        c["name"] == _PROXY for c in [*spec["containers"], *(spec.get("initContainers") or [])]
    )


def _settled(client: Client, told: Callable[[Object], bool]) -> None:
    """Wait until every manager is ready and as it should be."""

    def done() -> bool:
        pods = [
            pod
            for pod in client.list(kinds.PODS, _LONGHORN)
            if (pod["metadata"].get("labels") or {}).get("app") == _MANAGER
        ]
        return bool(pods) and all(told(pod) and kinds.holds(pod, "Ready") for pod in pods)

    _wait(done, "Longhorn's managers were not replaced")


def _stuck(client: Client, namespace: str, job: str) -> None:
    """Wait until a Job's own container has ended while its proxy runs on."""

    def done() -> bool:
        for pod in client.list(kinds.PODS, namespace):
            owner = kinds.controller_of(pod)
            if owner is None or owner["name"] != job:
                continue
            states = (pod.get("status") or {}).get("containerStatuses") or []
            ended = [s["name"] for s in states if "terminated" in (s.get("state") or {})]
            return bool(ended) and len(ended) < len(states)
        return False

    _wait(done, f"Job {job} is not stuck: is its proxy a native sidecar?")


def _wait(done: Callable[[], bool], told: str) -> None:
    end = time.monotonic() + _PATIENCE
    while not done():
        if time.monotonic() > end:
            raise RehearsalError(told)
        time.sleep(0.1)
