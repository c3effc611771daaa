"""The tables of the benchmark notebooks: the proposal, the blocks, the overhead, the footprint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runbook.bench.campaign import Campaign
from runbook.bench.components import Component
from runbook.bench.consumption import Memory
from runbook.bench.design import Design
from runbook.bench.effects import Effect
from runbook.bench.footprint import Cost, Footprint, NodeCost
from runbook.bench.stats import Interval, percentile
from runbook.linkerd.outcomes import few
from runbook.show import Table, duration

__all__ = ["blocks", "effects", "footprint", "note", "proposal"]

_MOST_MISSING = 10


def note(title: str, text: str) -> Table:
    """Give a table that only says something."""
    return Table(title=title, columns=("",), rows=[(text,)])


def proposal(
    design: Design, overhead: float, *, done: int, changed: Sequence[str] = (), badge: str
) -> Table:
    """Say what a campaign will measure, and for how long.

    Args:
        design: Of the campaign.
        overhead: Seconds a run takes besides its load.
        done: Blocks that are there already.
        changed: Why a campaign of this design that was stopped is not gone on with.
        badge: Of the table.
    """
    block = design.block_seconds(overhead)
    pilot = design.pilot * len(design.cells)
    most = min(design.most * len(design.cells) * block, design.budget_minutes * 60)
    rows = [
        (cell.node, cell.client, cell.protocol_title, cell.payload_title, f"{cell.rps} RPS",
         str(cell.connections))
        for cell in design.cells
    ]  # fmt: skip
    arms = " against ".join(reversed(design.arms[:2]))
    more = ", and skipped" if "skipped" in design.arms else ""
    text = (
        f"{arms}{more}; a block runs each arm twice, {design.warmup:g} s to warm up and "
        f"{design.seconds:g} s measured each: {duration(block)}\n"
        f"{pilot} blocks to begin with ({design.pilot} a cell): "
        f"{duration(min(pilot * block, most))}; then as many as {percentile(design.quantile)} "
        f"needs for ±{design.half_width_ms:g} ms, at most {duration(most)} in all"
    )
    if done:
        text += f"\ngoes on with a campaign that was stopped: {done} blocks are there"
    if changed:
        text += f"\na campaign that was stopped is not gone on with: {few(changed)}"
    return Table(
        title=f"A campaign of {len(design.cells)} cell{'s' if len(design.cells) > 1 else ''}",
        columns=("servers on", "load from", "protocol", "answer", "rate", "connections"),
        rows=rows,
        badge=badge,
        note=text,
    )


def blocks(campaign: Campaign, *, badge: str) -> Table:
    """Say what was measured of each cell, and why no more."""
    rows = []
    for number, cell in enumerate(campaign.design.cells):
        own = [block for block in campaign.blocks if block.cell == number]
        bad = [block for block in own if block.invalid]
        requests = sum(run.requests for block in campaign.valid(number) for run in block.runs)
        reasons = dict.fromkeys(reason for block in bad for reason in block.invalid)
        rows.append(
            (
                cell.title,
                f"{len(own) - len(bad)}",
                f"{len(bad)}: {few(reasons, 2)}" if bad else "",
                f"{requests}",
                duration(sum(block.seconds for block in own)),
                campaign.stop.get(str(number), "not at its end"),
            )
        )
    return Table(
        title=f"Campaign {campaign.id}",
        columns=("cell", "blocks", "do not count", "requests", "time", "why no more"),
        rows=rows,
        badge=badge,
    )


def effects(found: Sequence[Effect], *, margin: float = 0.0, badge: str) -> Table:
    """Say what the mesh adds to latency, a row for each cell, arm and percentile.

    Args:
        found: The effects.
        margin: Overhead below which an arm counts as equal to baseline, in ms; 0 if nobody asked.
        badge: Of the table.
    """
    equal = {True: "shown", False: "not shown", None: ""}
    rows = [
        (
            effect.cell.title,
            f"{effect.arm} {effect.percentile}",
            _span(effect.baseline.value, effect.claim),
            _span(effect.loaded.value, effect.claim),
            effect.wording,
            equal[effect.equivalent],
            _span(effect.floor, effect.claim),
            f"{effect.blocks} / {effect.requests}",
        )
        for effect in found
    ]
    return Table(
        title="What the mesh adds to latency",
        columns=("cell", "percentile", "baseline, ms", "this arm, ms", "difference, ms",
                 f"within ±{margin:g} ms", "A/A floor, ms", "blocks / requests"),
        rows=rows,
        badge=badge,
        note="latency from the moment a request was due; 95 % intervals over blocks; "
        "floor: what baseline against itself resolves",
    )  # fmt: skip


def _span(value: float, claim: str) -> str:
    return "" if claim == "too few" else f"{value:.2f}"


def footprint(found: Footprint, *, badge: str) -> Iterator[Table]:
    """Say what the mesh costs in CPU and memory: servers, whole nodes, control plane."""
    yield Table(
        title="CPU and memory of a server, by container",
        columns=("cell", "arm", "container", "CPU a request, µs", "at this rate, mcore",
                 "idle, mcore", "working set, MiB", "RSS, MiB", "blocks"),
        rows=[_cost(cost) for cost in found.costs],
        badge=badge,
        note="what kubelets charged to each container, over whole blocks, less what it uses idle; "
        "95 % intervals over blocks; memory: mean, and the highest that was seen",
    )  # fmt: skip
    measured = [cost for cost in found.nodes if cost.blocks]
    if measured:
        yield Table(
            title="CPU of whole nodes, more than baseline",
            columns=("cell", "arm", "node", "side", "CPU a request, µs", "in soft interrupts, µs",
                     "charged to no container, µs", "blocks"),
            rows=[_node(cost) for cost in measured],
            badge=badge,
            note="from /proc/stat; traffic of a proxy crosses the node's own network twice more, "
            "work that no container is charged for",
        )  # fmt: skip
    elif found.nodes:
        text = "runs are too short for it: the probe on a node speaks every 2 s"
        yield note("CPU of whole nodes, more than baseline", text)
    if found.components:
        yield Table(
            title="Control plane",
            columns=("Deployment", "container", "replicas", "idle, mcore", "in the campaign, mcore",
                     "working set, MiB", "RSS, MiB"),
            rows=[_component(part) for part in found.components],
            badge=badge,
        )  # fmt: skip
    if found.missing:
        more = len(found.missing) - _MOST_MISSING
        rest = (f"and {more} more",) if more > 0 else ()
        yield note("Could not be read", "\n".join((*found.missing[:_MOST_MISSING], *rest)))


def _cost(cost: Cost) -> tuple[str, ...]:
    return (
        cost.cell.title,
        cost.arm,
        cost.container,
        _interval(cost.per_request, 0),
        _interval(cost.mcore, 1),
        "" if cost.idle is None else f"{cost.idle:.1f}",
        _memory(cost.working_set),
        _memory(cost.rss),
        f"{cost.blocks}" + (f"; left out: {few(cost.left_out, 2)}" if cost.left_out else ""),
    )


def _node(cost: NodeCost) -> tuple[str, ...]:
    spent = (_interval(value, 0) for value in (cost.busy, cost.softirq, cost.uncharged))
    return (cost.cell.title, cost.arm, cost.node, cost.side, *spent, f"{cost.blocks}")


def _component(part: Component) -> tuple[str, ...]:
    used = ("" if value is None else f"{value:.1f}" for value in (part.idle, part.loaded))
    memory = (_memory(part.working_set), _memory(part.rss))
    return (part.name, part.container, f"{part.replicas}", *used, *memory)


def _interval(found: Interval | None, digits: int) -> str:
    return "" if found is None else found.said(lambda value: f"{value:.{digits}f}")


def _memory(found: Memory | None) -> str:
    return "" if found is None else f"{found.mean:.1f}, at most {found.highest:.1f}"
