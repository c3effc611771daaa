"""What a pod says about itself: ready, and if not, why not.

Init containers with ``restartPolicy: Always`` are sidecars: they count as containers that must be
ready, which ``linkerd check`` does not do for the control plane although its proxies are such
sidecars from 2.20 on.
"""

from __future__ import annotations

from collections.abc import Iterator

from runbook.linkerd.outcomes import Object, condition

__all__ = [
    "PROXY",
    "containers",
    "has_proxy",
    "image_tag",
    "name",
    "problem",
    "ready",
    "unschedulable",
]

PROXY = "linkerd-proxy"
_BAD_WAITS = ("CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError")


def name(pod: Object) -> str:
    """Give a pod's name."""
    return str(pod["metadata"]["name"])


def containers(pod: Object) -> Iterator[tuple[Object, Object, bool]]:
    """Give each container: its spec, its status (empty if none) and whether it must be ready."""
    status = pod.get("status") or {}
    for specs, statuses, init in (
        (pod["spec"].get("initContainers"), status.get("initContainerStatuses"), True),
        (pod["spec"].get("containers"), status.get("containerStatuses"), False),
    ):
        by_name = {one["name"]: one for one in statuses or []}
        for spec in specs or []:
            runs_on = not init or spec.get("restartPolicy") == "Always"
            yield spec, by_name.get(spec["name"], {}), runs_on


def has_proxy(pod: Object) -> bool:
    """Tell whether a pod has Linkerd's proxy, as a container or as a sidecar."""
    return any(spec["name"] == PROXY for spec, _, _ in containers(pod))


def ready(pod: Object) -> bool:
    """Tell whether a pod runs with every container and sidecar ready."""
    if (pod.get("status") or {}).get("phase") != "Running" or pod["metadata"].get(
        "deletionTimestamp"
    ):
        return False
    return all(status.get("ready") for _, status, runs_on in containers(pod) if runs_on)


def problem(pod: Object) -> str:
    """Say in one line why a pod is not ready, empty when it is."""
    if ready(pod):
        return ""
    if told := unschedulable(pod):
        return f"{name(pod)} cannot be scheduled: {told}"
    status = pod.get("status") or {}
    if status.get("phase") == "Failed":
        return f"{name(pod)} failed: {status.get('reason') or status.get('message') or 'no reason'}"
    for spec, state, runs_on in containers(pod):
        told = _container_problem(spec, state, runs_on)
        if told:
            return f"{name(pod)}: {told}"
    return f"{name(pod)} is {status.get('phase', 'unknown')}"


def unschedulable(pod: Object) -> str:
    """Give the scheduler's message when no node takes a pod."""
    found = condition(pod, "PodScheduled")
    if found.get("reason") == "Unschedulable" and found.get("status") != "True":
        return str(found.get("message") or "no node fits")
    return ""


def image_tag(pod: Object, container: str) -> str:
    """Give the tag of a container's image, empty when it has none or the image is a digest."""
    for spec, _, _ in containers(pod):
        if spec["name"] == container:
            image = str(spec.get("image", ""))
            tag = image.rpartition("/")[2].partition(":")[2]
            return "" if "@" in image else tag
    return ""


def _container_problem(spec: Object, status: Object, runs_on: bool) -> str:
    state = status.get("state") or {}
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
    last = (status.get("lastState") or {}).get("terminated") or {}
    restarts = status.get("restartCount", 0)
    if waiting.get("reason") in _BAD_WAITS or (waiting and restarts):
        told = last.get("message") or waiting.get("message") or last.get("reason") or ""
        return f"{spec['name']} {waiting.get('reason')}, {restarts} restarts: {told}".rstrip(": ")
    if ended and (runs_on or ended.get("exitCode")):
        return (
            f"{spec['name']} ended with {ended.get('exitCode')}: {ended.get('message', '')}".rstrip(
                ": "
            )
        )
    if runs_on and not status.get("ready"):
        return f"{spec['name']} is not ready" + (
            f" ({waiting['reason']})" if "reason" in waiting else ""
        )
    return ""
