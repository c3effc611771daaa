"""Whether the figures can be believed: requests counted twice, CPU accounted for twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from runbook.bench.campaign import Block, Campaign
from runbook.bench.deploy import server_name
from runbook.bench.snapshot import Proxy, Snapshot, Usage
from runbook.checks import Outcome
from runbook.linkerd.outcomes import judge
from runbook.linkerd.pods import PROXY

__all__ = ["accounts", "proven"]

_CONNECTIONS = 64  # of one run at most, see :attr:`Cell.connections`
_SHARE, _TICKS = 0.05, 0.02  # 5 % and two clock ticks of 10 ms
_FEW = 0.01  # share of the requests that may pass a proxy that should see none


def proven(block: Block, connections: int = _CONNECTIONS) -> str:
    """Say what is wrong with the claim that the meshed arm's requests came over mTLS.

    The server's proxy counts requests whose client has shown a certificate of the mesh. They must
    have grown by what the client sent. The client may have sent a few more than it counts: fortio
    opens each connection with a request that is in none of its figures.

    Args:
        block: The block.
        connections: Most connections of one run.

    Returns:
        Empty if it is proven.
    """
    return "; ".join(_doubts(block, connections))


def accounts(campaign: Campaign) -> list[Outcome]:
    """Compare, over the whole campaign, the CPU a proxy and its kubelet each account for.

    They are independent: the proxy reads its process, in ticks of 10 ms, the kubelet its cgroup.
    A block is too short for the ticks; the longest time without a restart is compared.
    """
    snapshots = [*campaign.idle, *campaign.snapshots]
    snapshots.sort(key=lambda snapshot: snapshot.at)
    pods = sorted({pod for snapshot in snapshots for pod in snapshot.proxies})
    return [_account(pod, snapshots) for pod in pods]


def _doubts(block: Block, connections: int) -> Iterator[str]:
    for arm in ("meshed", "skipped"):
        runs = block.of(arm)
        if not runs:
            continue
        found = _grown(block, arm)
        if isinstance(found, str):
            yield f"{arm}: {found}"
            continue
        secured, plain = found
        sent, failed = sum(run.sent for run in runs), sum(run.errors for run in runs)
        more = connections * len(runs)
        if arm == "skipped":
            if secured + plain > _FEW * sent + more:
                yield f"skipped: {secured + plain:.0f} requests of {sent} went through the proxy"
        elif secured < sent - failed:
            yield (
                f"meshed: the server's proxy saw {secured:.0f} of {sent} requests over mTLS"
                + (f", and {plain:.0f} in plain" if plain else "")
            )
        elif secured > sent + more:
            yield f"meshed: {secured - sent:.0f} requests came from elsewhere"


def _grown(block: Block, arm: str) -> tuple[float, float] | str:
    """Give by how much the proxy's counts of requests grew: over mTLS, and others."""
    before, after = _server(block.before, arm), _server(block.after, arm)
    if before is None or after is None:
        return "the server's proxy was not read"
    if before.started != after.started:
        return "the server's proxy was restarted"
    counts = (before.requests, before.plain, after.requests, after.plain)
    if None in counts:
        return "the server's proxy does not count requests"
    first, first_plain, last, last_plain = (count or 0.0 for count in counts)
    if last < first or last_plain < first_plain:
        return "the server's proxy has dropped counters meanwhile"
    return last - first, last_plain - first_plain


def _server(snapshot: Snapshot, arm: str) -> Proxy | None:
    """Give the proxy of an arm's server: a block's snapshots hold those of its own node only."""
    found = [
        proxy
        for pod, proxy in snapshot.proxies.items()
        if pod.partition("/")[2].startswith(server_name(arm, ""))
    ]
    return found[0] if len(found) == 1 else None


def _account(pod: str, snapshots: Sequence[Snapshot]) -> Outcome:
    id_, title = f"accounts-{pod}", f"{pod}: proxy and kubelet account for the same CPU"
    pairs = [
        (snapshot.proxies[pod], snapshot.containers[key])
        for snapshot in snapshots
        if pod in snapshot.proxies and (key := f"{pod}/{PROXY}") in snapshot.containers
    ]
    lives = [list(life) for _, life in groupby(filter(_complete, pairs), key=_life)]
    longest = max(lives, key=_by_kubelet, default=[])
    if len(longest) < 2:
        return judge(id_, title, "skip", seen="not read by both at two times of one process")
    theirs, ours = _by_proxy(longest), _by_kubelet(longest)
    agree = abs(theirs - ours) <= _SHARE * max(theirs, ours) + _TICKS
    return judge(
        id_,
        title,
        "pass" if agree else "warn",
        expected="within 5 % and 20 ms",
        seen=f"{theirs:.2f} s by the proxy, {ours:.2f} s by the kubelet",
        why="one of them was read at another time than it says, or the container does more than "
        "its proxy",
        fix="trust the difference of whole nodes; compare with the container's cpu.stat",
    )


def _complete(pair: tuple[Proxy, Usage]) -> bool:
    proxy, usage = pair
    return proxy.cpu_seconds is not None and usage.cpu_seconds is not None


def _life(pair: tuple[Proxy, Usage]) -> tuple[float | None, str]:
    return pair[0].started, pair[1].started


def _by_proxy(pairs: Sequence[tuple[Proxy, Usage]]) -> float:
    return (pairs[-1][0].cpu_seconds or 0.0) - (pairs[0][0].cpu_seconds or 0.0)


def _by_kubelet(pairs: Sequence[tuple[Proxy, Usage]]) -> float:
    return (pairs[-1][1].cpu_seconds or 0.0) - (pairs[0][1].cpu_seconds or 0.0)
