"""What a kubelet answers at ``/stats/summary``: processes as measured, the rest as assumed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from runbook.rehearsal.client import Object
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.kubelet.containers import Container

__all__ = ["summary"]

_IDLE_CPU = 1_000_000
"""Nanocores an idle simulated container is said to use."""
_IDLE_MEMORY = 12 * 2**20
"""Bytes a simulated container is said to hold."""
_NODE_CPU, _NODE_MEMORY = 150_000_000, 900 * 2**20
"""What the system of a node is said to use besides its pods."""


def summary(node: Object, pods: Iterable[tuple[Object, str, Sequence[Container]]]) -> Object:
    """Build the summary of one node.

    Args:
        node: The node.
        pods: Its pods, each with its start time and its containers.
    """
    stamp = kinds.now()
    entries = [_pod(pod, started, containers, stamp) for pod, started, containers in pods]
    cpu = _NODE_CPU + sum(entry["cpu"]["usageNanoCores"] for entry in entries)
    memory = _NODE_MEMORY + sum(entry["memory"]["workingSetBytes"] for entry in entries)
    total = sum(entry["cpu"]["usageCoreNanoSeconds"] for entry in entries)
    begun = node["metadata"].get("creationTimestamp") or stamp
    total += int(_NODE_CPU * kinds.age(begun))
    own = {
        "nodeName": node["metadata"]["name"],
        "startTime": begun,
        "cpu": {"time": stamp, "usageNanoCores": cpu, "usageCoreNanoSeconds": total},
        "memory": _memory(memory, stamp),
        "rlimit": {"time": stamp, "maxpid": 32768, "curproc": 150 + len(entries)},
    }
    return {"node": own, "pods": entries}


def _pod(pod: Object, started: str, containers: Sequence[Container], stamp: str) -> Object:
    meta = pod["metadata"]
    entries = [_container(c, started, stamp) for c in containers if c.running_since]
    return {
        "podRef": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
        "startTime": started,
        "containers": entries,
        "cpu": {
            "time": stamp,
            "usageNanoCores": sum(entry["cpu"]["usageNanoCores"] for entry in entries),
            "usageCoreNanoSeconds": sum(e["cpu"]["usageCoreNanoSeconds"] for e in entries),
        },
        "memory": _memory(sum(e["memory"]["workingSetBytes"] for e in entries), stamp),
        "process_stats": {"process_count": len(entries)},
    }


def _container(container: Container, started: str, stamp: str) -> Object:
    elapsed = max(kinds.age(container.running_since or started), 1.0)
    used, memory = int(_IDLE_CPU * elapsed), _IDLE_MEMORY
    if container.process is not None:
        used, memory = _measure(container.process.pid) or (used, memory)
    return {
        "name": container.name,
        "startTime": container.running_since,
        "cpu": {
            "time": stamp,
            "usageNanoCores": int(used / elapsed),
            "usageCoreNanoSeconds": used,
        },
        "memory": _memory(memory, stamp),
    }


def _memory(size: int, stamp: str) -> Object:
    return {"time": stamp, "usageBytes": size, "workingSetBytes": size, "rssBytes": size}


def _measure(pid: int) -> tuple[int, int] | None:
    """Read CPU nanoseconds and resident bytes of a process; None where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    ticks = int(fields[11]) + int(fields[12])
    return ticks * 10**9 // os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE")
