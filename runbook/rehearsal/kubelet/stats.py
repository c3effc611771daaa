"""What a kubelet measures: its Summary API, and its metrics in Prometheus' text format.

Processes are measured, at the moment of asking; what is simulated is assumed. A real kubelet
samples every 10 s and says so in the time of each sample.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from runbook.rehearsal.client import Object
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.kubelet.containers import Account, Container

__all__ = ["Running", "cadvisor", "resource", "summary"]

_NODE_CPU, _NODE_MEMORY = 150_000_000, 900 * 2**20
"""Nanocores and bytes that the system of a node is said to use besides its pods."""


@dataclass(frozen=True)
class Running:
    """One pod of a node.

    Args:
        pod: The pod.
        started: When the kubelet took it on.
        containers: All its containers; those that do not run are left out of all figures.
    """

    pod: Object
    started: str
    containers: Sequence[Container]

    def measure(self, stamp: str) -> tuple[Object, int]:
        """Give its entry in the summary, and the CPU nanoseconds of its runs that are over."""
        accounts = [(container.name, container.account()) for container in self.containers]
        spent = sum(account.spent for _, account in accounts)
        entries = [_container(name, found, stamp) for name, found in accounts if found.since]
        return _pod(self, entries, stamp), spent


def summary(node: Object, pods: Sequence[Running], spent: int = 0) -> Object:
    """Build the answer at ``/stats/summary``.

    Args:
        node: The node.
        pods: Its pods.
        spent: CPU nanoseconds of the pods it had before.
    """
    stamp = kinds.now()
    measured = [running.measure(stamp) for running in pods]
    entries = [entry for entry, _ in measured]
    cpu = _NODE_CPU + sum(entry["cpu"]["usageNanoCores"] for entry in entries)
    memory = _NODE_MEMORY + sum(entry["memory"]["workingSetBytes"] for entry in entries)
    own = _NODE_MEMORY + sum(entry["memory"]["rssBytes"] for entry in entries)
    begun = node["metadata"].get("creationTimestamp") or stamp
    total = spent + sum(over for _, over in measured)
    total += sum(entry["cpu"]["usageCoreNanoSeconds"] for entry in entries)
    total += int(_NODE_CPU * kinds.age(begun))
    return {
        "node": {
            "nodeName": node["metadata"]["name"],
            "startTime": begun,
            "cpu": {"time": stamp, "usageNanoCores": cpu, "usageCoreNanoSeconds": total},
            "memory": _memory(memory, own, stamp),
            "rlimit": {"time": stamp, "maxpid": 32768, "curproc": 150 + len(entries)},
        },
        "pods": entries,
    }


def resource(figures: Object) -> str:
    """Give the answer at ``/metrics/resource``.

    Args:
        figures: The summary of the node.
    """
    rows: dict[str, list[str]] = {}

    def add(name: str, labels: str, value: float) -> None:
        rows.setdefault(name, []).append(f"{name}{labels} {value:.9g} {_now()}")

    node = figures["node"]
    add("node_cpu_usage_seconds_total", "", node["cpu"]["usageCoreNanoSeconds"] / 1e9)
    add("node_memory_working_set_bytes", "", node["memory"]["workingSetBytes"])
    for pod in figures["pods"]:
        place = f'namespace="{pod["podRef"]["namespace"]}",pod="{pod["podRef"]["name"]}"'
        for prefix, labels, entry in (
            ("pod", f"{{{place}}}", pod),
            *(("container", f'{{container="{c["name"]}",{place}}}', c) for c in pod["containers"]),
        ):
            cpu = entry["cpu"]["usageCoreNanoSeconds"] / 1e9
            add(f"{prefix}_cpu_usage_seconds_total", labels, cpu)
            size = entry["memory"]["workingSetBytes"]
            add(f"{prefix}_memory_working_set_bytes", labels, size)
            if prefix == "container":
                begun = kinds.parse_time(entry["startTime"]).timestamp()
                add("container_start_time_seconds", labels, begun)
    return _text(rows) + "# TYPE scrape_error gauge\nscrape_error 0\n"


def cadvisor(pods: Sequence[Running], *, labelled: bool) -> str:
    """Give the answer at ``/metrics/cadvisor``: a row per container, and one per pod.

    Args:
        pods: The pods of the node.
        labelled: Whether the rows of containers name container and image; on K3s they often do
            not, and can be told by their cgroup alone.
    """
    rows: dict[str, list[str]] = {}
    for running in pods:
        accounts = [(container, container.account()) for container in running.containers]
        accounts = [(container, account) for container, account in accounts if account.since]
        own = [container for container, _ in accounts]
        for name, values in (
            ("container_cpu_usage_seconds_total", [a.cpu / 1e9 for _, a in accounts]),
            ("container_memory_working_set_bytes", [float(a.resident) for _, a in accounts]),
            ("container_memory_rss", [float(a.own) for _, a in accounts]),
        ):
            found = rows.setdefault(name, [])
            for container, value in zip((None, *own), (sum(values), *values), strict=True):
                labels = _labels(running.pod, container, labelled=labelled)
                found.append(f"{name}{labels} {value:.9g} {_now()}")
    return _text(rows)


def _labels(pod: Object, container: Container | None, *, labelled: bool) -> str:
    meta = pod["metadata"]
    place = f"/kubepods/besteffort/pod{meta['uid']}"
    name = image = ""
    if container is not None:
        place += "/" + container.identity.removeprefix("containerd://")
        if labelled:
            name, image = container.name, str(container.spec.get("image", ""))
    values = {
        "container": name,
        "cpu": "total",
        "id": place,
        "image": image,
        "namespace": meta["namespace"],
        "pod": meta["name"],
    }
    return "{" + ",".join(f'{key}="{value}"' for key, value in values.items()) + "}"


def _text(rows: dict[str, list[str]]) -> str:
    return "".join(line + "\n" for line in _lines(rows))


def _lines(rows: dict[str, list[str]]) -> Iterator[str]:
    for name, found in rows.items():
        yield f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}"
        yield from found


def _now() -> int:
    """Give the time of a sample as Prometheus' text format has it: milliseconds."""
    return time.time_ns() // 10**6


def _pod(running: Running, entries: list[Object], stamp: str) -> Object:
    meta = running.pod["metadata"]
    return {
        "podRef": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
        "startTime": running.started,
        "containers": entries,
        "cpu": {
            "time": stamp,
            "usageNanoCores": sum(entry["cpu"]["usageNanoCores"] for entry in entries),
            "usageCoreNanoSeconds": sum(e["cpu"]["usageCoreNanoSeconds"] for e in entries),
        },
        "memory": _memory(
            sum(e["memory"]["workingSetBytes"] for e in entries),
            sum(e["memory"]["rssBytes"] for e in entries),
            stamp,
        ),
        "process_stats": {"process_count": len(entries)},
    }


def _container(name: str, account: Account, stamp: str) -> Object:
    return {
        "name": name,
        "startTime": account.since,
        "cpu": {
            "time": stamp,
            "usageNanoCores": int(account.cpu / max(kinds.age(account.since), 1.0)),
            "usageCoreNanoSeconds": account.cpu,
        },
        "memory": _memory(account.resident, account.own, stamp),
    }


def _memory(size: int, own: int, stamp: str) -> Object:
    return {"time": stamp, "usageBytes": size, "workingSetBytes": size, "rssBytes": own}
