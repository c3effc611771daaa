"""The status of a pod, as a kubelet reports it."""

from __future__ import annotations

from runbook.rehearsal.client import Object
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.kubelet.containers import Container

__all__ = ["build", "quality"]


def build(
    pod: Object,
    *,
    address: str,
    host: str,
    started: str,
    init: list[Container],
    main: list[Container],
) -> Object:
    """Build the status of a pod from its containers.

    Args:
        pod: The pod as the API has it.
        address: Its IP address; empty before its sandbox exists.
        host: The IP address of its node.
        started: When the kubelet took it on.
        init: Its init containers and native sidecars.
        main: Its containers.
    """
    if not address:
        waiting = "PodInitializing" if init else "ContainerCreating"
        for container in main:
            container.waiting = container.waiting and waiting
    elif init and not all(container.ready for container in init):
        for container in main:
            if not container.running_since and container.ended is None:
                container.waiting = container.waiting and "PodInitializing"
        _name_next(init)
    phase = _phase(pod, init, main)
    status: Object = {
        "observedGeneration": pod["metadata"].get("generation"),
        "phase": phase,
        "conditions": _conditions(pod, phase, bool(address), init, main),
        "hostIP": host,
        "hostIPs": [{"ip": host}],
        "podIP": address or None,
        "podIPs": [{"ip": address}] if address else None,
        "startTime": started,
        "initContainerStatuses": [c.status(pod) for c in init] or None,
        "containerStatuses": [c.status(pod) for c in main],
        "qosClass": (pod.get("status") or {}).get("qosClass") or quality(pod),
    }
    return status


def quality(pod: Object) -> str:
    """Give the quality-of-service class of a pod."""
    containers = [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or [])]
    resources = [container.get("resources") or {} for container in containers]
    if not any(entry.get("requests") or entry.get("limits") for entry in resources):
        return "BestEffort"
    for entry in resources:
        limits = entry.get("limits") or {}
        requests = {**limits, **(entry.get("requests") or {})}
        if any(name not in limits or limits[name] != requests[name] for name in ("cpu", "memory")):
            return "Burstable"
    return "Guaranteed"


def _name_next(init: list[Container]) -> None:
    for index, container in enumerate(init):
        begun = container.running_since or container.ended is not None
        if index and not init[index - 1].ready and not begun and container.waiting:
            container.waiting = "PodInitializing"


def _phase(pod: Object, init: list[Container], main: list[Container]) -> str:
    policy = pod["spec"].get("restartPolicy", "Always")
    steps = [container for container in init if not container.sidecar]
    if policy == "Never" and any(c.ended is not None and not c.succeeded for c in steps):
        return "Failed"
    begun = any(c.running_since or c.ended or c.last for c in main)
    if not begun:
        return "Pending"
    if policy != "Always" and all(c.ended is not None for c in main):
        if all(c.succeeded for c in main):
            return "Succeeded"
        if policy == "Never":
            return "Failed"
    return "Running"


def _conditions(
    pod: Object, phase: str, sandbox: bool, init: list[Container], main: list[Container]
) -> list[Object]:
    over = phase in ("Succeeded", "Failed")
    sidecars = [container for container in init if container.sidecar]
    unready = [c.name for c in [*sidecars, *main] if not c.ready]
    unfinished = [c.name for c in init if not c.ready]
    ready, reason, message = "True", "", ""
    if over:
        ready = "False"
        reason = "PodCompleted" if phase == "Succeeded" else "PodFailed"
    elif unready:
        ready, reason = "False", "ContainersNotReady"
        message = f"containers with unready status: [{' '.join(unready)}]"
    if unfinished and not over:
        first = ("False", "ContainersNotInitialized",
                 f"containers with incomplete status: [{' '.join(unfinished)}]")  # fmt: skip
    else:
        first = ("True", "PodCompleted" if phase == "Succeeded" else "", "")
    rows = (
        ("PodReadyToStartContainers", str(sandbox and not over), "", ""),
        ("Initialized", *first),
        ("Ready", ready, reason, message),
        ("ContainersReady", ready, reason, message),
        ("PodScheduled", "True", "", ""),
    )
    conditions: list[Object] = list((pod.get("status") or {}).get("conditions") or [])
    for kind, state, why, text in rows:
        entry: Object = {"type": kind, "status": state, "lastProbeTime": None}
        entry["observedGeneration"] = pod["metadata"].get("generation")
        if why:
            entry["reason"] = why
        if text:
            entry["message"] = text
        conditions = kinds.with_condition(conditions, entry)
    return conditions
