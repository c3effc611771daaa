"""A node's own account of CPU and memory: the Summary API of its kubelet.

``GET /api/v1/nodes/NODE/proxy/stats/summary``, types of ``k8s.io/kubelet/pkg/apis/stats/v1alpha1``.
CPU is a counter (``usageCoreNanoSeconds``); the rate that stands beside it is an average over an
unknown window and is not used. A sample is up to 15 s old (housekeeping of cAdvisor) and says so:
every figure has its own time, cut to the second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import quote

from runbook.bench.snapshot import Usage
from runbook.errors import ForbiddenError, RunbookError
from runbook.linkerd.pods import PROXY

__all__ = ["Clock", "Reader", "Summary", "fresh", "parse", "read", "seconds", "summary"]

_NANO = 1e-9
_TURN = 1.0  # seconds between two looks at a sample that is still old
_AHEAD = 2.0  # seconds a node's clock may be ahead of ours before we doubt what it says
_FIX_MEMORY = (
    "its memory cgroup is off: append cgroup_memory=1 cgroup_enable=memory to the line of "
    "/boot/firmware/cmdline.txt and reboot it"
)


class Reader(Protocol):
    """What is needed of a cluster."""

    def read(self, path: str) -> Any:
        """Read any path of the API server."""


class Clock:
    """Time as a wait for a sample sees it; another one is given in tests."""

    def time(self) -> float:
        """Give seconds since 1970."""
        return time.time()

    def sleep(self, length: float) -> None:
        """Let seconds pass."""
        time.sleep(length)


@dataclass(frozen=True)
class Summary:
    """What the kubelet of a node says.

    Attributes:
        node: The node as a whole.
        containers: By ``namespace/pod/container``.
        missing: What it does not say, a sentence each.
    """

    node: Usage | None = None
    containers: Mapping[str, Usage] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


def read(cluster: Reader, node: str) -> Any:
    """Ask the kubelet of a node, for CPU and memory alone: less work for it than for everything.

    Raises:
        RunbookError: Refused, or not reached.
        ValueError: What answered is no kubelet.
    """
    name = quote(node, safe="")
    return cluster.read(f"/api/v1/nodes/{name}/proxy/stats/summary?only_cpu_and_memory=true")


def summary(
    cluster: Reader, node: str, namespaces: Collection[str], proxies: Collection[str] = ()
) -> Summary:
    """Read a node's usage; whatever goes wrong becomes a sentence.

    Args:
        cluster: Where the node is.
        node: Its name.
        namespaces: Whose containers are kept.
        proxies: Pods (``namespace/pod``) whose proxy must be among them, if they run there.
    """
    try:
        found = read(cluster, node)
    except ForbiddenError as error:
        return _nothing(node, f"{error.what} (needs get on nodes/proxy)")
    except RunbookError as error:
        return _nothing(node, error.brief)
    except ValueError:
        return _nothing(node, "the answer is no JSON")
    return parse(found, node, namespaces, proxies)


def parse(
    found: Any, node: str, namespaces: Collection[str], proxies: Collection[str] = ()
) -> Summary:
    """Take from a summary what is measured, see :func:`summary`.

    A figure of 0 is none: whatever runs has used CPU and holds memory, and a kubelet without
    cgroups answers with zeroes or leaves the field out, depending on its version.
    """
    if not isinstance(found, Mapping) or not isinstance(found.get("node"), Mapping):
        return _nothing(node, "the answer is no summary")
    missing: list[str] = []
    whole = _usage(found["node"])
    for title, lacks in _LACKS.items():
        if lacks(whole):
            missing.append(f"node {node}: its kubelet says no {title} of the node")
    containers: dict[str, Usage] = {}
    for pod in found.get("pods") or ():
        reference = pod.get("podRef") or {}
        if reference.get("namespace") not in namespaces:
            continue
        name = f"{reference['namespace']}/{reference.get('name')}"
        own = _containers(pod)
        if name in proxies and (own.get(PROXY) or Usage()).cpu_seconds is None:
            own, said = _less_the_others(pod, own)
            missing.append(f"pod {name}: {said}")
        containers |= {f"{name}/{container}": usage for container, usage in own.items()}
    missing += _gaps(node, containers)
    return Summary(whole, containers, tuple(missing))


def fresh(
    cluster: Reader,
    node: str,
    since: float,
    timeout: float,
    *,
    namespaces: Collection[str] = (),
    clock: Clock | None = None,
) -> str:
    """Wait until everything a kubelet says was sampled after some moment.

    A node whose clock is ahead would pass too early: where a sample is from the future, it has to
    change once before it counts, which needs no clock at all.

    Args:
        cluster: Where the node is.
        node: Its name.
        since: The moment, in seconds since 1970.
        timeout: Seconds after which to give up.
        namespaces: Whose containers must be fresh, besides the node itself.
        clock: Another one in tests.

    Returns:
        Empty when it is so, else why it is not, for :attr:`Snapshot.missing`.
    """
    clock = clock or Clock()
    end = clock.time() + timeout
    first: dict[str, float] = {}
    while True:
        now, why = clock.time(), ""
        try:
            times = _times(read(cluster, node), namespaces)
        except (RunbookError, ValueError) as error:
            times, why = {}, error.what if isinstance(error, RunbookError) else "no JSON"
        for key, sampled in times.items():
            first.setdefault(key, sampled)
        old = [key for key in times if not _is_new(times[key], first[key], since, now)]
        if times and not old:
            return ""
        if now >= end:
            return f"node {node}: {why or _stale(times, old, since)}, after {timeout:.0f} s"
        clock.sleep(min(_TURN, max(end - now, 0.0)))


def seconds(text: str) -> float | None:
    """Read a time as kubelets write it (RFC 3339), ``None`` if it is none.

    >>> seconds("1970-01-01T00:01:00Z"), seconds("soon")
    (60.0, None)
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def _usage(entry: Mapping[str, Any]) -> Usage:
    cpu, memory = entry.get("cpu") or {}, entry.get("memory") or {}
    used = cpu.get("usageCoreNanoSeconds")
    return Usage(
        cpu_seconds=used * _NANO if used else None,
        time=str(cpu.get("time") or memory.get("time") or ""),
        working_set=memory.get("workingSetBytes") or None,
        rss=memory.get("rssBytes") or None,
        started=str(entry.get("startTime") or ""),
    )


def _containers(pod: Mapping[str, Any]) -> dict[str, Usage]:
    """Give the containers of a pod; of two of one name the one that was started last."""
    found: dict[str, Usage] = {}
    for entry in pod.get("containers") or ():
        usage = _usage(entry)
        earlier = found.get(entry["name"])
        if earlier is None or (seconds(usage.started) or 0) >= (seconds(earlier.started) or 0):
            found[entry["name"]] = usage
    return found


def _less_the_others(
    pod: Mapping[str, Any], containers: Mapping[str, Usage]
) -> tuple[dict[str, Usage], str]:
    """Take the proxy's share as what the pod used less what its other containers did.

    The pod's own sandbox is in it, which does nothing; samples of a pod and of its containers may
    be some seconds apart.
    """
    whole = _usage(pod)
    others = [usage for name, usage in containers.items() if name != PROXY]
    if not others or any(usage.cpu_seconds is None for usage in (whole, *others)):
        return dict(containers), f"its kubelet says no CPU time of {PROXY}, nor of the whole pod"
    rest = Usage(
        cpu_seconds=_rest(whole.cpu_seconds, [usage.cpu_seconds for usage in others]),
        time=whole.time,
        working_set=_bytes(whole.working_set, [usage.working_set for usage in others]),
        rss=_bytes(whole.rss, [usage.rss for usage in others]),
        started=whole.started,
    )
    said = f"no figures of {PROXY} itself; taken as the pod's less those of its other containers"
    return {**containers, PROXY: rest}, said


def _rest(whole: float | None, others: Iterable[float | None]) -> float | None:
    left = whole
    for one in others:
        if left is None or one is None:
            return None
        left -= one
    return left if left is not None and left > 0 else None


def _bytes(whole: int | None, others: Iterable[int | None]) -> int | None:
    left = _rest(whole, others)
    return None if left is None else int(left)


def _gaps(node: str, containers: Mapping[str, Usage]) -> Iterator[str]:
    for title, lacks in _LACKS.items():
        without = [name for name, usage in containers.items() if lacks(usage)]
        if not without:
            continue
        if len(without) == len(containers):
            hint = f": {_FIX_MEMORY}" if title == "memory" else ""
            yield f"node {node}: its kubelet says no {title} of any container{hint}"
        else:
            for name in without:
                yield f"container {name}: its kubelet says no {title}"


_LACKS: Mapping[str, Callable[[Usage], bool]] = {
    "CPU time": lambda usage: usage.cpu_seconds is None,
    "memory": lambda usage: usage.working_set is None,
}


def _nothing(node: str, why: str) -> Summary:
    return Summary(missing=(f"node {node}: {why}",))


def _times(found: Any, namespaces: Collection[str]) -> dict[str, float]:
    """Give when the CPU time of the node and of each container was sampled."""
    read_as = parse(found, "", namespaces)
    usages = {"the node": read_as.node or Usage(), **read_as.containers}
    times = {name: seconds(usage.time) for name, usage in usages.items()}
    return {name: sampled for name, sampled in times.items() if sampled is not None}


def _is_new(sampled: float, first: float, since: float, now: float) -> bool:
    if sampled > now + _AHEAD:
        return sampled > first
    return sampled >= since


def _stale(times: Mapping[str, float], old: list[str], since: float) -> str:
    if not times:
        return "its kubelet gives no time of any sample"
    oldest = min(old, key=lambda key: times[key])
    return f"the sample of {oldest} is still {since - times[oldest]:.0f} s too old"
