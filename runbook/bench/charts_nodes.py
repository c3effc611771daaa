"""Charts of what the mesh costs besides its proxies: the control plane, and whole nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from runbook import show
from runbook.bench import charts_frame as frame
from runbook.bench import style
from runbook.bench.campaign import Campaign
from runbook.bench.charts_frame import NotDrawn
from runbook.bench.components import Component
from runbook.bench.design import Cell
from runbook.bench.figure import Figure, Sheet
from runbook.bench.footprint import Footprint
from runbook.bench.stats import Interval
from runbook.linkerd.pods import PROXY

__all__ = ["control_plane", "hosts"]

_CELLS = 5


def control_plane(campaign: Campaign, costs: Footprint) -> Figure:
    """Draw CPU and memory of the control plane by component, its containers stacked.

    Raises:
        NotDrawn: Neither was measured.
    """
    parts = costs.components
    if not any(part.loaded is not None or part.working_set for part in parts):
        raise NotDrawn("neither CPU nor memory of the control plane could be read")
    names = sorted({part.name for part in parts})
    containers = sorted({part.container for part in parts}, key=lambda c: (c == PROXY, c))
    notes = (
        f"all replicas together; CPU: mean over the campaign, | while there was no load; memory: "
        f"mean of {max((p.working_set.samples for p in parts if p.working_set), default=0)} "
        "snapshots, working set",
    )
    height = 0.36 * len(names) + 1.2
    with Sheet("The control plane", notes, frame.stamp(campaign), height=height) as sheet:
        spec = sheet.drawing.add_gridspec(2, 2, height_ratios=[height - 0.45, 0.24])
        left = sheet.drawing.add_subplot(spec[0, 0])
        right = sheet.drawing.add_subplot(spec[0, 1], sharey=left)
        right.tick_params(labelleft=False)
        below = sheet.drawing.add_subplot(spec[1, :])
        below.set_axis_off()
        cpu = {(p.name, p.container): p.loaded for p in parts}
        memory = {
            (p.name, p.container): p.working_set.mean if p.working_set else None for p in parts
        }
        _stacked(left, names, containers, cpu, "CPU (mcore)")
        _stacked(right, names, containers, memory, "memory, working set (MiB)")
        for place, name in enumerate(names):
            idle = [part.idle for part in parts if part.name == name]
            known = [use for use in idle if use is not None]
            if known and len(known) == len(idle):
                left.plot([sum(known)], [place], marker="|", color="black", markersize=13)
        left.set_yticks(range(len(names)), names)
        left.set_ylim(len(names) - 0.4, -0.6)
        handles, texts = left.get_legend_handles_labels()
        below.legend(handles, texts, loc="center", ncols=min(6, len(texts)), fontsize=7.5)
        alt = "Control plane by component: " + "; ".join(
            f"{name} {_total(parts, name)}" for name in names
        )
        return sheet.finish("control-plane", f"{alt}.", _component_table(campaign, parts))


def _stacked(
    axes: Axes,
    names: Sequence[str],
    containers: Sequence[str],
    values: dict[tuple[str, str], float | None],
    label: str,
) -> None:
    starts = [0.0] * len(names)
    for number, container in enumerate(containers):
        widths = [values.get((name, container)) or 0.0 for name in names]
        axes.barh(
            range(len(names)),
            widths,
            left=starts,
            height=0.62,
            color=style.SERIES[number % len(style.SERIES)],
            hatch=style.HATCHES[number % len(style.HATCHES)],
            edgecolor="white",
            linewidth=0.5,
            label=container,
        )
        starts = [start + width for start, width in zip(starts, widths, strict=True)]
    for place, (name, total) in enumerate(zip(names, starts, strict=True)):
        known = [values.get((name, container)) is not None for container in containers]
        text = f" {style.ms(total)}" if any(known) else " not read"
        axes.text(total, place, text, verticalalignment="center", fontsize=8)
    axes.set_xlim(0, (max(starts) or 1.0) * 1.14)
    axes.set_xlabel(label)
    axes.grid(visible=False, axis="y")
    style.few_ticks(axes.xaxis, 5)


def _total(parts: Sequence[Component], name: str) -> str:
    own = [part for part in parts if part.name == name]
    cpu = [part.loaded for part in own if part.loaded is not None]
    memory = [part.working_set.mean for part in own if part.working_set]
    return f"{style.ms(sum(cpu))} mcore and {style.ms(sum(memory))} MiB"


def _component_table(campaign: Campaign, parts: Sequence[Component]) -> show.Table:
    return show.Table(
        title="The control plane",
        columns=("component", "container", "replicas", "idle, mcore", "CPU, mcore",
                 "working set, MiB", "highest, MiB"),
        rows=[
            (
                part.name,
                part.container,
                str(part.replicas),
                frame.said(part.idle),
                frame.said(part.loaded),
                frame.said(part.working_set.mean if part.working_set else None),
                frame.said(part.working_set.highest if part.working_set else None),
            )
            for part in parts
        ],
        badge=frame.badge(campaign),
    )  # fmt: skip


def hosts(campaign: Campaign, costs: Footprint) -> Figure:
    """Draw the CPU of whole nodes while each arm was under load, soft interrupts apart.

    Raises:
        NotDrawn: No probe spoke while the load ran.
    """
    cells = [cell for number, cell in enumerate(campaign.design.cells) if campaign.valid(number)]
    picked = cells if len(cells) <= _CELLS else _heaviest(cells)
    bars = [bar for cell in picked for bar in _bars(campaign, cell)]
    if not bars:
        raise NotDrawn("no probe said what nodes spent while the load ran")
    chosen = "" if len(picked) == len(cells) else "; the highest load of each node"
    notes = (
        f"{frame.common(picked)}; whole node, from /proc/stat, mean of valid blocks; hatched: in "
        f"soft interrupts{chosen}".lstrip("; "),
        "right: what an arm adds to baseline for each request, with 95 % intervals over blocks",
    )
    height = 0.25 * len(bars) + 0.7
    title = "CPU of whole nodes, meshed and baseline"
    with Sheet(title, notes, frame.stamp(campaign), height=height) as sheet:
        axes = sheet.drawing.add_subplot()
        most = max(bar.busy for bar in bars)
        for place, bar in enumerate(bars):
            _host_bar(axes, place, bar, costs, most)
        axes.set_yticks(range(len(bars)), [_bar_name(bar, picked) for bar in bars])
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.set_xlim(0, most * 1.12)
        axes.set_xlabel("CPU of the node (mcore)")
        axes.grid(visible=False, axis="y")
        style.few_ticks(axes.xaxis, 6)
        alt = "CPU of whole nodes: " + "; ".join(
            f"{bar.cell.title}, {bar.side}, {bar.arm}: {style.ms(bar.busy)} mcore"
            for bar in bars[:8]
        )
        return sheet.finish("nodes-cpu", f"{alt}.", _host_table(campaign, costs))


@dataclass(frozen=True)
class _Bar:
    """CPU of a node in an arm, mcore."""

    cell: Cell
    side: str
    arm: str
    busy: float
    softirq: float


def _heaviest(cells: Sequence[Cell]) -> list[Cell]:
    best: dict[str, Cell] = {}
    for cell in cells:
        if cell.node not in best or cell.rps > best[cell.node].rps:
            best[cell.node] = cell
    return list(best.values())[:_CELLS]


def _bars(campaign: Campaign, cell: Cell) -> list[_Bar]:
    number = campaign.design.cells.index(cell)
    found = []
    for side, node in cell.sides.items():
        for arm in campaign.design.arms:
            runs = campaign.runs(number, arm)
            spent = [run.spent[node] for run in runs if node in run.spent]
            seconds = sum(one.seconds for one in spent)
            if seconds > 0:
                busy = 1000 * sum(one.busy for one in spent) / seconds
                softirq = 1000 * sum(one.softirq for one in spent) / seconds
                found.append(_Bar(cell, side, arm, busy, softirq))
    return found


def _bar_name(bar: _Bar, cells: Sequence[Cell]) -> str:
    node = bar.cell.client if bar.side == "client" else bar.cell.node
    name = frame.labels(cells)[cells.index(bar.cell)] if len(cells) > 1 else ""
    name = name.removeprefix(bar.cell.node).removeprefix(" · ")
    return " · ".join(filter(None, (f"{node} ({bar.side})", name, bar.arm)))


def _host_bar(axes: Axes, place: int, bar: _Bar, costs: Footprint, most: float) -> None:
    look = style.arm(bar.arm)
    axes.barh(place, bar.busy, height=0.72, color=look.colour, alpha=0.45)
    axes.barh(place, bar.softirq, height=0.72, color=look.colour, hatch="////", edgecolor="white",
              linewidth=0.5)  # fmt: skip
    axes.text(bar.busy + 0.01 * most, place, style.ms(bar.busy), verticalalignment="center",
              fontsize=8)  # fmt: skip
    for cost in costs.nodes:
        if (cost.cell, cost.arm, cost.side) == (bar.cell, bar.arm, bar.side) and cost.busy:
            softirq = f", softirq {_added(cost.softirq, short=True)}" if cost.softirq else ""
            axes.text(
                1.015,
                place,
                f"{_added(cost.busy)} µs a request{softirq}",
                transform=axes.get_yaxis_transform(),
                verticalalignment="center",
                fontsize=8,
            )


def _added(interval: Interval, *, short: bool = False) -> str:
    """Give a difference with its sign."""
    text = _micro(interval)
    return ("+ " if interval.value >= 0 else "") + (text.partition(" ")[0] if short else text)


def _micro(interval: Interval) -> str:
    return frame.ranged(interval, lambda value: f"{value:.0f}".replace("-", "−"))  # noqa: RUF001


def _host_table(campaign: Campaign, costs: Footprint) -> show.Table:
    bars = [bar for cell in campaign.design.cells for bar in _bars(campaign, cell)]
    added = {(cost.cell, cost.arm, cost.side): cost for cost in costs.nodes}
    rows = []
    for bar in bars:
        cost = added.get((bar.cell, bar.arm, bar.side))
        rows.append(
            (
                bar.cell.title,
                bar.side,
                bar.arm,
                style.ms(bar.busy),
                style.ms(bar.softirq),
                _micro(cost.busy) if cost and cost.busy else "",
                _micro(cost.softirq) if cost and cost.softirq else "",
            )
        )
    return show.Table(
        title="CPU of whole nodes",
        columns=("cell", "side", "arm", "busy, mcore", "softirq, mcore", "added a request, µs",
                 "softirq added, µs"),
        rows=rows,
        badge=frame.badge(campaign),
    )  # fmt: skip
