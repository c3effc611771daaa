"""Taking a snapshot: everything at once, so that five nodes take about as long as one.

The transport's connections are a pool that threads may share. Nothing that fails here ends a
campaign: it becomes a sentence of :attr:`Snapshot.missing`, and the figures it would have given
are absent. Only containers of the control plane and of the benchmark are kept.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol

from runbook.bench import hosts, kubelet, proxy_metrics
from runbook.bench.snapshot import Host, Proxy, Snapshot, Usage
from runbook.errors import RunbookError
from runbook.linkerd.metrics import PORT

__all__ = ["Reader", "take"]

_THREADS = 8  # more than connections are kept would be opened and closed each time
_LONGEST = 45.0  # seconds for all readings together; a kubelet that hangs costs no more
_LINES = 2  # of a probe: the last one may be cut
_SILENT = 30.0  # seconds after which a probe has stopped; clocks of nodes may differ by a few
_CONTROL_PLANE = "linkerd"
_PROBE = "probe"


class Reader(kubelet.Reader, Protocol):
    """What a snapshot needs of a cluster."""

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str = "",
        *,
        previous: bool = False,
        tail: int = 0,
    ) -> str:
        """Read a container's log."""


@dataclass
class _Found:
    """What the readings gave; each adds its own part under the lock."""

    containers: dict[str, Usage] = field(default_factory=dict)
    nodes: dict[str, Usage] = field(default_factory=dict)
    proxies: dict[str, Proxy] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def take(
    cluster: Reader,
    *,
    nodes: Iterable[str],
    proxies: Iterable[str],
    probes: Mapping[str, str],
    control_plane: str = _CONTROL_PLANE,
    clock: Callable[[], float] = time.time,
    longest: float = _LONGEST,
) -> Snapshot:
    """Read CPU, memory, proxies and the state of nodes at one moment.

    Args:
        cluster: Where to look.
        nodes: Whose kubelets are asked.
        proxies: Pods (``namespace/pod``) whose proxies are asked themselves.
        probes: The probe's pod (``namespace/pod``) on each node, by node.
        control_plane: Namespace of the control plane.
        clock: Seconds since 1970; another one in tests.
        longest: Seconds after which what has not answered is missing.
    """
    wanted = tuple(proxies)
    now = clock()
    namespaces = {control_plane, *(name.partition("/")[0] for name in (*wanted, *probes.values()))}
    found = _Found()
    readings: dict[str, Callable[[], None]] = {}
    for node in nodes:
        readings[f"node {node}"] = partial(_node, found, cluster, node, namespaces, wanted)
    for pod in wanted:
        readings[f"proxy of {pod}"] = partial(_proxy, found, cluster, pod, clock)
    for node, pod in probes.items():
        readings[f"probe on {node}"] = partial(_probe, found, cluster, node, pod, clock)
    failed = _together(readings, longest)
    with found.lock:
        return Snapshot(
            at=_iso(now),
            containers=dict(sorted(found.containers.items())),
            nodes=dict(sorted(found.nodes.items())),
            proxies=dict(sorted(found.proxies.items())),
            hosts=dict(sorted(found.hosts.items())),
            missing=tuple(sorted((*found.missing, *failed))),
        )


def _node(
    found: _Found, cluster: Reader, node: str, namespaces: Collection[str], proxies: Collection[str]
) -> None:
    said = kubelet.summary(cluster, node, namespaces, proxies)
    with found.lock:
        if said.node is not None:
            found.nodes[node] = said.node
        found.containers.update(said.containers)
        found.missing.extend(said.missing)


def _proxy(found: _Found, cluster: Reader, pod: str, clock: Callable[[], float]) -> None:
    namespace, _, name = pod.partition("/")
    path = f"/api/v1/namespaces/{namespace}/pods/{name}:{PORT}/proxy/metrics"
    text = cluster.read(path)
    proxy, absent = proxy_metrics.read(text if isinstance(text, str) else "", clock())
    with found.lock:
        if proxy.requests is None:
            found.missing.append(f"proxy of {pod}: its answer holds no metrics of a proxy")
            return
        found.proxies[pod] = proxy
        if absent:
            found.missing.append(f"proxy of {pod}: it does not tell its {' nor its '.join(absent)}")


def _probe(found: _Found, cluster: Reader, node: str, pod: str, clock: Callable[[], float]) -> None:
    namespace, _, name = pod.partition("/")
    spoken = hosts.history(cluster.logs(namespace, name, _PROBE, tail=_LINES))
    with found.lock:
        if not spoken:
            found.missing.append(f"probe on {node}: it says nothing that can be read")
            return
        last = spoken[-1]
        age = clock() - (last.time or 0.0)
        if age > _SILENT:
            found.missing.append(f"probe on {node}: it last spoke {age:.0f} s ago")
            return
        found.hosts[node] = last
        if last.busy is None:
            found.missing.append(f"probe on {node}: it does not tell the node's CPU time")


def _together(readings: Mapping[str, Callable[[], None]], longest: float) -> list[str]:
    """Run readings side by side; give a sentence for each that failed or did not end in time.

    Threads, not a pool: a pool's threads are waited for when Python ends, a hanging one for ever.
    """
    queue: SimpleQueue[tuple[str, Callable[[], None]]] = SimpleQueue()
    for item in readings.items():
        queue.put(item)
    waiting = {name: f"{name}: no answer within {longest:.0f} s" for name in readings}

    def work() -> None:
        while True:
            try:
                name, reading = queue.get_nowait()
            except Empty:
                return
            try:
                reading()
                del waiting[name]
            except Exception as error:  # a campaign of hours must not end with one odd answer
                waiting[name] = f"{name}: {_reason(error)}"

    count = min(_THREADS, len(readings))
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    end = time.monotonic() + longest
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return list(waiting.copy().values())


def _reason(error: Exception) -> str:
    if isinstance(error, RunbookError):
        return error.brief
    return f"the answer cannot be read ({type(error).__name__}: {error})"


def _iso(moment: float) -> str:
    stamp = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return stamp.replace("+00:00", "Z")
