"""The chart of what proxies cost in CPU and memory, beside what others published."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from runbook import show
from runbook.bench import charts_frame as frame
from runbook.bench import published, style
from runbook.bench.campaign import Campaign
from runbook.bench.charts_frame import NotDrawn
from runbook.bench.consumption import MIB
from runbook.bench.figure import Figure, Sheet
from runbook.bench.footprint import Cost, Fit, Footprint
from runbook.bench.stats import Interval
from runbook.linkerd.pods import PROXY

__all__ = ["proxies"]

_NODES = 5


@dataclass(frozen=True)
class _Mark:
    """A published number, or several of one series."""

    label: str
    points: tuple[tuple[float, float], ...]
    marker: str


def proxies(campaign: Campaign, costs: Footprint) -> Figure:
    """Draw CPU and memory of a server's proxy against the rate, beside what others published.

    Raises:
        NotDrawn: Neither was measured.
    """
    own = [cost for cost in costs.costs if cost.container == PROXY and cost.arm == "meshed"]
    cpu = [(cost, cost.mcore) for cost in own if cost.mcore is not None]
    memory = [cost for cost in own if cost.working_set is not None]
    if not cpu and not memory:
        raise NotDrawn("neither CPU nor memory of the proxies could be read")
    fits = [fit for fit in costs.fits if fit.arm == "meshed"]
    blocks = sum(cost.blocks for cost in own)
    notes = [
        f"one proxy in a server's pod, as its kubelet accounts for it; n = {blocks} blocks of "
        f"{len(own)} cell{'s' if len(own) > 1 else ''}; lines are 95 % intervals over blocks",
        f"hollow with dots: published by others, {published.REMARK}; their memory is the largest "
        "at any moment",
        *_fitted(fits),
    ]
    title = "CPU and memory of a proxy"
    with Sheet(title, tuple(notes), frame.stamp(campaign), height=4.6) as sheet:
        made = sheet.drawing.subplots(
            2, 2, squeeze=False, gridspec_kw={"width_ratios": [1.0, 0.34]}
        )
        nodes = list(dict.fromkeys(cost.cell.node for cost in own))
        upper, lower = made[0][0], made[1][0]
        for cost, mcore in cpu:
            frame.errorbar(upper, _at(nodes, cost), mcore, _look(nodes, cost.cell.node))
        for fit in fits[:_NODES]:
            _line(upper, fit, campaign, _look(nodes, fit.node))
        for cost in memory:
            _memory(lower, cost, _at(nodes, cost), _look(nodes, cost.cell.node))
        upper.set_ylabel("CPU (mcore)")
        lower.set_ylabel("memory, working set (MiB)")
        lower.set_xlabel("requests a second")
        _references(upper, made[0][1], _published_cpu() if cpu else [], sheet)
        _references(lower, made[1][1], _published_memory() if memory else [], sheet)
        _nothing(upper, cpu, "CPU of the proxies could not be read, or not their idle use")
        _nothing(lower, memory, "memory of the proxies could not be read")
        sheet.settle()
        _name(upper, made[0][1])
        _name(lower, made[1][1])
        _nodes_key(sheet, nodes)
        alt = "CPU and memory of a proxy against the rate: " + "; ".join(
            f"{cost.cell.title}: {frame.ranged(cost.mcore)} mcore" for cost in own[:6]
        )
        return sheet.finish("proxies", f"{alt}.", _proxy_table(campaign, own, fits))


def _look(nodes: Sequence[str], node: str) -> style.Look:
    """Give a node its look; of a single one, or of too many to tell apart, that of the arm."""
    if len(nodes) == 1 or len(nodes) > _NODES:
        return style.arm("meshed")
    at = nodes.index(node) % len(style.SERIES)
    return style.Look(node, style.SERIES[at], "sDo^vPX*"[at], ("-", "--", "-.", ":")[at % 4])


def _nodes_key(sheet: Sheet, nodes: Sequence[str]) -> None:
    if 1 < len(nodes) <= _NODES:
        sheet.key([_look(nodes, node) for node in nodes])


def _fitted(fits: Sequence[Fit], most: int = 2) -> list[str]:
    texts = [
        f"{fit.node} {fit.payload if len({f.payload for f in fits}) > 1 else ''}".strip()
        + f" {style.ms(fit.line.idle.value)} mcore idle + "
        f"{style.ms(fit.line.per_request.value / 10)} for each 100 RPS "
        f"({fit.line.per_request.value:.0f} µs a request, {fit.line.per_request.low:.0f} to "
        f"{fit.line.per_request.high:.0f})"
        for fit in fits[:most]
    ]
    if not texts:
        return ["one rate only: no line is fitted"]
    more = f"; {len(fits) - most} more in the table" if len(fits) > most else ""
    return [f"fitted: {'; '.join(texts)}{more}"]


def _line(axes: Axes, fit: Fit, campaign: Campaign, look: style.Look) -> None:
    rates = [cell.rps for cell in campaign.design.cells if cell.node == fit.node]
    x = np.geomspace(min(rates), max(rates), 40)
    y = fit.line.idle.value + fit.line.per_request.value * x / 1000
    axes.plot(x[y > 0], y[y > 0], color=look.colour, linestyle=look.dash, linewidth=1.1)


def _at(nodes: Sequence[str], cost: Cost) -> float:
    """Give the place of a node's mark: beside those of other nodes at the same rate."""
    step = min(0.035, 0.15 / len(nodes))
    return float(
        cost.cell.rps * math.exp(step * (nodes.index(cost.cell.node) - (len(nodes) - 1) / 2))
    )


def _memory(axes: Axes, cost: Cost, at: float, look: style.Look) -> None:
    if cost.working_set is None:
        return
    mean, highest = cost.working_set.mean, cost.working_set.highest
    frame.errorbar(axes, at, Interval(mean, mean, highest), look)


def _published_cpu() -> list[_Mark]:
    rows = published.select("proxy_cpu_per_1000rps", source="istio-docs")
    return [
        _Mark(row.label, ((1000.0, 1000 * row.value),), "^")
        for row in rows
        if row.version == "1.24" and not row.note
    ]


def _published_memory() -> list[_Mark]:
    marks = []
    for source, marker in (("linkerd-2021-05", "o"), ("linkerd-2021-11", "s")):
        for mesh in ("linkerd", "istio"):
            rows = published.select("proxy_memory_max", source=source, mesh=mesh)
            rows = tuple(row for row in rows if row.version != "2.11.0")
            points = tuple((float(row.rps or 0), row.value * 1e6 / MIB) for row in rows)
            marks.append(_Mark(rows[0].label, points, marker))
    rows = published.select("proxy_memory", source="istio-docs", mesh="istio-sidecar")
    newest = [row for row in rows if row.version == "1.24"]
    marks += [_Mark(row.label, ((1000.0, row.value * 1e6 / MIB),), "^") for row in newest]
    return marks


def _references(axes: Axes, beside: Axes, marks: Sequence[_Mark], sheet: Sheet) -> None:
    """Draw published numbers hollow; their names go beside, once places are final."""
    beside.set_axis_off()
    for mark in marks:
        axes.plot(
            *zip(*mark.points, strict=True),
            color=style.PUBLISHED,
            marker=mark.marker,
            markerfacecolor="white",
            linestyle=":",
            linewidth=0.8,
            markersize=5,
            gid=mark.label,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    low, high = axes.dataLim.x0, axes.dataLim.x1
    if math.isfinite(low) and low > 0:
        axes.set_xlim(low / 1.3, high * 1.35)
        bottom, top = axes.dataLim.minposy, axes.dataLim.y1
        axes.set_ylim(bottom / 1.6, top * 1.6)
    style.log_axis(axes.xaxis)
    style.log_axis(axes.yaxis)


def _name(axes: Axes, beside: Axes) -> None:
    """Write the name of each published series to the right of its last mark."""
    lines = [line for line in axes.get_lines() if line.get_gid()]
    if not lines:
        return
    inverse = axes.transAxes.inverted()
    places: list[tuple[float, float]] = []
    for line in lines:
        data: Any = line.get_xydata()
        at = inverse.transform(axes.transData.transform(data[-1]))
        places.append((float(at[0]), float(at[1])))
    moved = style.spread([place[1] for place in places], 0.105)
    shift = min(0.0, 0.98 - max(moved))
    for line, place, y in zip(lines, places, moved, strict=True):
        beside.annotate(
            f"{line.get_gid()} (other hardware)",
            xy=(place[0] + 0.012, place[1]),
            xycoords=axes.transAxes,
            xytext=(0.04, y + shift),
            textcoords=beside.transAxes,
            verticalalignment="center",
            fontsize=7,
            color=style.PUBLISHED,
            arrowprops={"arrowstyle": "-", "color": style.PUBLISHED, "linewidth": 0.5},
        ).set_in_layout(False)


def _nothing(axes: Axes, found: Sequence[Any], text: str) -> None:
    if not found:
        axes.text(
            0.5,
            0.5,
            text,
            transform=axes.transAxes,
            horizontalalignment="center",
            color=style.MUTED,
        )


def _proxy_table(campaign: Campaign, own: Sequence[Cost], fits: Sequence[Fit]) -> show.Table:
    return show.Table(
        title="CPU and memory of a proxy",
        columns=("cell", "CPU a request, µs", "idle, mcore", "CPU, mcore", "working set, MiB",
                 "highest, MiB", "blocks"),
        rows=[
            (
                cost.cell.title,
                frame.ranged(cost.per_request),
                frame.said(cost.idle),
                frame.ranged(cost.mcore),
                frame.said(cost.working_set.mean if cost.working_set else None),
                frame.said(cost.working_set.highest if cost.working_set else None),
                str(cost.blocks),
            )
            for cost in own
        ],
        badge=frame.badge(campaign),
        note="\n".join(_fitted(fits, len(fits))),
    )  # fmt: skip
