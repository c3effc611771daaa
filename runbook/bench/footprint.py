"""What the mesh costs in CPU and memory, from the snapshots of a campaign.

Each arm has a server pod of its own, so that what a pod used over a block was used for the
requests of its arm, and for being there. The latter is taken off with what the same container used
while there was no load at all (:attr:`Campaign.idle`). Requests are counted by the client, warm-up
included.

Containers are charged for their own work and for system calls, not for packets handled in soft
interrupts: the difference of whole nodes between arms (:class:`NodeCost`) has everything in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runbook.bench.campaign import Block, Campaign
from runbook.bench.components import Component, components
from runbook.bench.consumption import (
    Line,
    Memory,
    Used,
    container,
    estimate,
    line,
    memory,
    ratio,
    used,
)
from runbook.bench.crosscheck import accounts, proven
from runbook.bench.deploy import server_name
from runbook.bench.design import Cell
from runbook.bench.snapshot import Snapshot, Usage
from runbook.bench.stats import Interval
from runbook.linkerd.pods import PROXY

__all__ = ["APP", "Cost", "Fit", "Footprint", "NodeCost", "accounts", "of", "proven"]

APP = "fortio"
"""Name of the server's own container."""

_MICRO = 1e6


@dataclass(frozen=True)
class Cost:
    """What a server's container costs in one arm of a cell.

    Attributes:
        cell: Which cell.
        arm: Which arm.
        container: ``linkerd-proxy``, or the server itself.
        per_request: CPU that each request adds, in µs; includes the idle use if that is not known.
        idle: Use without load, in mcore; ``None`` if it was not measured.
        mcore: Use at the cell's rate, idle use included; ``None`` without it. The interval is that
            of the requests: idle use was measured once.
        working_set: Memory that cannot be reclaimed.
        rss: Anonymous memory.
        blocks: How many count.
        requests: Over these blocks.
        left_out: Blocks that do not count here, and why.
    """

    cell: Cell
    arm: str
    container: str
    per_request: Interval | None
    idle: float | None
    mcore: Interval | None
    working_set: Memory | None
    rss: Memory | None
    blocks: int
    requests: int
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodeCost:
    """What an arm costs a whole node, beyond the baseline, from the probe on it.

    Attributes:
        cell: Which cell.
        arm: ``meshed`` or ``skipped``.
        node: Which node.
        side: ``server`` or ``client``.
        busy: CPU of everything on the node, difference for each request, in µs.
        softirq: Of this, in soft interrupts.
        uncharged: Of ``busy``, what no container of the server's pods was charged for; only for
            the server's side, and where their idle use is known.
        blocks: With figures of both arms.
    """

    cell: Cell
    arm: str
    node: str
    side: str
    busy: Interval | None
    softirq: Interval | None
    uncharged: Interval | None
    blocks: int


@dataclass(frozen=True)
class Fit:
    """CPU of the proxies on one node against the rate, for one protocol and payload."""

    node: str
    arm: str
    protocol: str
    payload: str
    line: Line


@dataclass(frozen=True)
class Footprint:
    """All of it.

    Attributes:
        costs: Of servers' containers, by cell and arm.
        nodes: Of whole nodes.
        fits: CPU against rate.
        components: Of the control plane.
        missing: What could not be read, each sentence once, with how often.
    """

    costs: tuple[Cost, ...]
    nodes: tuple[NodeCost, ...]
    fits: tuple[Fit, ...]
    components: tuple[Component, ...]
    missing: tuple[str, ...]


def of(campaign: Campaign) -> Footprint:
    """Work out what the mesh costs."""
    return Footprint(
        costs=tuple(_costs(campaign)),
        nodes=tuple(_node_costs(campaign)),
        fits=tuple(_fits(campaign)),
        components=components(campaign),
        missing=_missing(campaign),
    )


def _costs(campaign: Campaign) -> Iterator[Cost]:
    for index, cell in enumerate(campaign.design.cells):
        blocks = campaign.valid(index)
        for arm in campaign.design.arms:
            for name in (APP,) if arm == "baseline" else (APP, PROXY):
                if blocks:
                    yield _cost(campaign, cell, blocks, arm, name)


def _cost(campaign: Campaign, cell: Cell, blocks: list[Block], arm: str, name: str) -> Cost:
    deployment = server_name(arm, cell.node)
    idle = _idle(campaign, deployment, name)
    rest = 0.0 if idle is None else idle.mcore / 1000
    spans, requests, left_out = _spans(blocks, arm, deployment, name)
    per_request = (
        ratio([span.cpu - rest * span.length for span in spans], requests).scaled(_MICRO)
        if spans
        else None
    )
    seen = [_usage_of(s, deployment, name) for block in blocks for s in (block.before, block.after)]
    usages = [usage for usage in seen if usage is not None]
    return Cost(
        cell=cell,
        arm=arm,
        container=name,
        per_request=per_request,
        idle=None if idle is None else idle.mcore,
        mcore=None
        if per_request is None or idle is None
        else _at_rate(per_request, cell.rps, idle.mcore),
        working_set=memory(usage.working_set for usage in usages),
        rss=memory(usage.rss for usage in usages),
        blocks=len(spans),
        requests=sum(requests),
        left_out=left_out,
    )


def _spans(
    blocks: list[Block], arm: str, deployment: str, name: str
) -> tuple[list[Used], list[int], tuple[str, ...]]:
    """Give CPU and requests of each block that has both, and why the others do not count."""
    spans, requests, left_out = [], [], []
    for block in blocks:
        found = _span(block.before, block.after, deployment, name)
        sent = _sent(block, arm)
        if isinstance(found, str):
            left_out.append(f"block {block.number}: {name} of {deployment}: {found}")
        elif sent <= 0:
            left_out.append(f"block {block.number}: no requests were sent to {deployment}")
        else:
            spans.append(found)
            requests.append(sent)
    return spans, requests, tuple(left_out)


def _span(before: Snapshot, after: Snapshot, deployment: str, name: str) -> Used | str:
    first, last = container(before, deployment, name), container(after, deployment, name)
    if first and last and first != last:
        return "its pod was replaced"
    return used(before.containers.get(first), after.containers.get(last))


def _usage_of(snapshot: Snapshot, deployment: str, name: str) -> Usage | None:
    return snapshot.containers.get(container(snapshot, deployment, name))


def _sent(block: Block, arm: str) -> int:
    return sum(run.sent for run in block.of(arm))


def _idle(campaign: Campaign, deployment: str, name: str) -> Used | None:
    """Give the use of a container over the time without load."""
    if len(campaign.idle) < 2:
        return None
    found = _span(campaign.idle[0], campaign.idle[-1], deployment, name)
    return None if isinstance(found, str) or not found.long else found


def _at_rate(per_request: Interval, rps: int, idle: float) -> Interval:
    loaded = per_request.scaled(rps / 1000)  # µs a request times requests a second: µcore
    return Interval(loaded.value + idle, loaded.low + idle, loaded.high + idle)


def _fits(campaign: Campaign) -> Iterator[Fit]:
    groups: dict[tuple[str, str, str, str], list[int]] = {}
    for index, cell in enumerate(campaign.design.cells):
        for loaded in campaign.design.arms[1:]:
            key = (cell.node, loaded, cell.protocol_title, cell.payload_title)
            groups.setdefault(key, []).append(index)
    for (node, arm, protocol, payload), indices in groups.items():
        blocks = [block for index in indices for block in campaign.valid(index)]
        spans, requests, _ = _spans(blocks, arm, server_name(arm, node), PROXY)
        fitted = line(spans, requests) if spans else None
        if fitted is not None:
            yield Fit(node, arm, protocol, payload, fitted)


def _node_costs(campaign: Campaign) -> Iterator[NodeCost]:
    arms: tuple[str, ...] = campaign.design.arms[1:]
    for index, cell in enumerate(campaign.design.cells):
        for arm in arms if campaign.valid(index) else ():
            for side, node in cell.sides.items():
                yield _node_cost(campaign, index, arm, node, side)


def _node_cost(campaign: Campaign, index: int, arm: str, node: str, side: str) -> NodeCost:
    cell = campaign.design.cells[index]
    busy, softirq, uncharged = [], [], []
    for block in campaign.valid(index):
        loaded, baseline = _spent(block, arm, node), _spent(block, "baseline", node)
        if loaded is None or baseline is None:
            continue
        busy.append(loaded[0] - baseline[0])
        softirq.append(loaded[1] - baseline[1])
        charged = _charged(campaign, block, cell, arm) if side == "server" else None
        if charged is not None:
            uncharged.append(busy[-1] - charged)
    return NodeCost(
        cell=cell,
        arm=arm,
        node=node,
        side=side,
        busy=estimate(busy),
        softirq=estimate(softirq),
        uncharged=estimate(uncharged),
        blocks=len(busy),
    )


def _spent(block: Block, arm: str, node: str) -> tuple[float, float] | None:
    """Give busy and softirq CPU of a node for each request of an arm, in µs.

    What else runs on the node is in it, in both arms alike: their rates are the same.
    """
    pairs = [(run, run.spent[node]) for run in block.of(arm) if node in run.spent]
    requests = sum(spent.seconds * run.achieved_rps for run, spent in pairs)
    if requests <= 0:
        return None
    busy = sum(spent.busy for _, spent in pairs)
    softirq = sum(spent.softirq for _, spent in pairs)
    return _MICRO * busy / requests, _MICRO * softirq / requests


def _charged(campaign: Campaign, block: Block, cell: Cell, arm: str) -> float | None:
    """Give what an arm's containers were charged beyond the baseline's, for each request, in µs.

    Without their idle use, which is in both arms of the node's own difference and cancels there;
    ``None`` if it is not known.
    """
    total = 0.0
    parts: tuple[tuple[str, str, int], ...] = (
        (arm, APP, 1),
        (arm, PROXY, 1),
        ("baseline", APP, -1),
    )
    for one, name, sign in parts:
        deployment = server_name(one, cell.node)
        found = _span(block.before, block.after, deployment, name)
        idle, sent = _idle(campaign, deployment, name), _sent(block, one)
        if isinstance(found, str) or idle is None or sent <= 0:
            return None
        total += sign * _MICRO * (found.cpu - idle.mcore / 1000 * found.length) / sent
    return total


def _missing(campaign: Campaign) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    snapshots = [*campaign.idle, *campaign.snapshots]
    for snapshot in snapshots:
        for text in snapshot.missing:
            counts[text] = counts.get(text, 0) + 1
    return tuple(
        text if count == 1 else f"{text} ({count} of {len(snapshots)} snapshots)"
        for text, count in counts.items()
    )
