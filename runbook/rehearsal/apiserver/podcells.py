"""How a pod is summed up in one line: readiness, status, restarts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbook.rehearsal.apiserver.columns import Object, age

__all__ = ["ready", "restarts", "status"]


def _containers(pod: Object) -> list[Mapping[str, Any]]:
    return list((pod.get("status") or {}).get("containerStatuses") or ())


def _sidecars(pod: Object) -> set[str]:
    """Name the init containers that keep running beside the others."""
    init = (pod.get("spec") or {}).get("initContainers") or ()
    return {c["name"] for c in init if c.get("restartPolicy") == "Always"}


def _init(pod: Object) -> list[Mapping[str, Any]]:
    return list((pod.get("status") or {}).get("initContainerStatuses") or ())


def ready(pod: Object) -> str:
    """Give ready and all containers, native sidecars included: ``1/2``."""
    sidecars = _sidecars(pod)
    total = len((pod.get("spec") or {}).get("containers") or ()) + len(sidecars)
    running = [
        s for s in _containers(pod) if s.get("ready") and "running" in (s.get("state") or {})
    ]
    beside = [s for s in _init(pod) if s["name"] in sidecars and s.get("ready")]
    return f"{len(running) + len(beside)}/{total}"


def restarts(pod: Object) -> str:
    """Give how often containers were restarted, and when last: ``3 (5s ago)``."""
    sidecars = _sidecars(pod)
    counted = [s for s in _init(pod) if s["name"] in sidecars] + _containers(pod)
    total = sum(s.get("restartCount", 0) for s in counted)
    ended = [
        s["lastState"]["terminated"]["finishedAt"]
        for s in counted
        if ((s.get("lastState") or {}).get("terminated") or {}).get("finishedAt")
    ]
    return f"{total} ({age(max(ended))} ago)" if total and ended else str(total)


def status(pod: Object) -> str:
    """Give the one word that says most about a pod, as kubectl chooses it."""
    found = pod.get("status") or {}
    reason: str = found.get("reason") or found.get("phase", "Unknown")
    for condition in found.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            reason = "SchedulingGated"
    starting = _initializing(pod)
    if starting:
        reason = starting
    if not starting or _initialized(pod):
        reason = _main(pod, reason)
    if pod["metadata"].get("deletionTimestamp"):
        return "Unknown" if found.get("reason") == "NodeLost" else "Terminating"
    return reason


def _initializing(pod: Object) -> str:
    """Give the state of the first init container that is not done; empty when all are."""
    sidecars = _sidecars(pod)
    total = len((pod.get("spec") or {}).get("initContainers") or ())
    for position, state in enumerate(_init(pod)):
        now = state.get("state") or {}
        ended = now.get("terminated")
        if ended is not None and ended.get("exitCode", 0) == 0:
            continue
        if state["name"] in sidecars and state.get("started"):
            continue
        if ended is not None:
            return f"Init:{_ending(ended)}"
        waiting = (now.get("waiting") or {}).get("reason")
        if waiting and waiting != "PodInitializing":
            return f"Init:{waiting}"
        return f"Init:{position}/{total}"
    return ""


def _initialized(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Initialized" and c["status"] == "True" for c in conditions)


def _ending(ended: Mapping[str, Any]) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    if ended.get("signal"):
        return f"Signal:{ended['signal']}"
    return f"ExitCode:{ended.get('exitCode', 0)}"


def _main(pod: Object, reason: str) -> str:
    """Give the state of the last main container that has something to say."""
    running = False
    for state in reversed(_containers(pod)):
        now = state.get("state") or {}
        if (now.get("waiting") or {}).get("reason"):
            reason = str(now["waiting"]["reason"])
        elif now.get("terminated"):
            reason = _ending(now["terminated"])
        elif state.get("ready") and "running" in now:
            running = True
    if reason == "Completed" and running:
        conditions = (pod.get("status") or {}).get("conditions") or ()
        alive = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        return "Running" if alive else "NotReady"
    return reason
