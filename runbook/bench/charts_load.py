"""The chart of latency against load, and of whether the load was kept up with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from runbook import show
from runbook.bench import charts_frame as frame
from runbook.bench import stats, style
from runbook.bench.campaign import Campaign
from runbook.bench.charts_frame import NotDrawn
from runbook.bench.design import KEPT_UP, Cell
from runbook.bench.effects import Effect
from runbook.bench.figure import Figure, Sheet

__all__ = ["load"]


def load(campaign: Campaign, effects: Sequence[Effect]) -> Figure:
    """Draw latency against the offered load, and whether it was kept up with.

    Raises:
        NotDrawn: No combination of node, protocol and payload has two levels of load.
    """
    groups: dict[tuple[str, str, str], list[int]] = {}
    for number, cell in enumerate(campaign.design.cells):
        if campaign.valid(number):
            key = (cell.node, cell.protocol_title, cell.payload_title)
            groups.setdefault(key, []).append(number)
    groups = {
        key: numbers
        for key, numbers in groups.items()
        if len({campaign.design.cells[n].rps for n in numbers}) > 1
    }
    if not groups:
        raise NotDrawn("there is only one level of load")
    shown = list(groups.items())[: frame.MOST_PANELS // 2]
    drawn = [e for e in effects if e.quantile in (0.5, campaign.design.quantile) and e.blocks]
    columns = min(len(shown), 4)
    bands = -(-len(shown) // columns)
    percentile = style.percentile(campaign.design.quantile)
    firsts = [campaign.design.cells[numbers[0]] for _, numbers in shown]
    names = _without_load(firsts)
    notes = (
        f"{frame.basis(drawn)}; p50 small marks, {percentile} large; lines are 95 % intervals",
        f"below: requests sent, of those requested (smallest, mean and largest of runs); shaded: "
        f"less than {KEPT_UP:.0%} on average",
        *((f"{len(groups) - len(shown)} more not shown",) if len(groups) > len(shown) else ()),
    )
    title = "Latency against load"
    height = 3.3 if bands == 1 else 2.6 * bands
    with Sheet(title, notes, frame.stamp(campaign), height=height) as sheet:
        made = sheet.drawing.subplots(
            2 * bands,
            columns,
            sharex=True,
            squeeze=False,
            gridspec_kw={"height_ratios": [3, 1] * bands},
        )
        tops, lows = [], []
        for number in range(bands * columns):
            top = made[2 * (number // columns)][number % columns]
            low = made[2 * (number // columns) + 1][number % columns]
            if number >= len(shown):
                top.set_axis_off()
                low.set_axis_off()
                continue
            (_, members) = shown[number]
            _loads(top, campaign, members, drawn)
            _kept_up(low, top, campaign, members)
            top.set_title(names[number], fontsize=8)
            if number % columns == 0:
                top.set_ylabel("latency (ms)")
                low.set_ylabel("sent (%)")
            low.set_xlabel("RPS requested")
            tops.append(top)
            lows.append(low)
        _load_axes(campaign, tops, lows, [n for _, members in shown for n in members])
        sheet.key([style.arm(arm) for arm in campaign.design.arms])
        said = "; ".join(f"{e.cell.title} {e.percentile} {e.wording}" for e in drawn[:6])
        table = _load_table(campaign, drawn)
        return sheet.finish("load", f"Latency against load: {said}.", table)


def _without_load(cells: Sequence[Cell]) -> list[str]:
    same = [cell.model_copy(update={"rps": 1}) for cell in cells]
    names = frame.labels(same)
    return [name.replace(" · 1 RPS", "") for name in names]


def _loads(
    axes: Axes, campaign: Campaign, members: Sequence[int], effects: Sequence[Effect]
) -> None:
    primary = campaign.design.quantile
    for share, size in ((0.5, 3.5), (primary, 6.0)):
        for arm in campaign.design.arms:
            look = style.arm(arm)
            points = []
            for number in sorted(members, key=lambda n: campaign.design.cells[n].rps):
                cell = campaign.design.cells[number]
                loaded = arm if arm != "baseline" else campaign.design.arms[1]
                effect = frame.among(effects, cell, loaded, share)
                if effect is None or effect.requests < stats.needed(share):
                    continue
                points.append((cell.rps, effect.baseline if arm == "baseline" else effect.loaded))
            axes.plot(
                [x for x, _ in points],
                [interval.value for _, interval in points],
                color=look.colour,
                linestyle=look.dash,
                linewidth=1.0 if share == 0.5 else 1.6,
            )
            for x, interval in points:
                frame.errorbar(axes, x, interval, look, size=size)


def _kept_up(low: Axes, top: Axes, campaign: Campaign, members: Sequence[int]) -> None:
    levels = sorted({campaign.design.cells[n].rps for n in members})
    saturated = set()
    for shift, arm in enumerate(campaign.design.arms):
        look = style.arm(arm)
        means = []
        for number in sorted(members, key=lambda n: campaign.design.cells[n].rps):
            runs = campaign.runs(number, arm)
            shares = [100 * run.achieved_rps / run.requested_rps for run in runs]
            rps = campaign.design.cells[number].rps
            x = rps * (1.0 + 0.025 * (shift - 0.5))
            if not shares:
                continue
            mean = float(np.mean(shares))
            means.append((x, mean))
            frame.errorbar(low, x, stats.Interval(mean, min(shares), max(shares)), look, size=3.5)
            if mean < 100 * KEPT_UP:
                saturated.add(rps)
        low.plot(*zip(*means, strict=True), color=look.colour, linestyle=look.dash, linewidth=1.0)
    for rps in saturated:
        at = levels.index(rps)
        left = math.sqrt(levels[at - 1] * rps) if at else rps / 1.4
        right = math.sqrt(levels[at + 1] * rps) if at + 1 < len(levels) else rps * 1.4
        for axes in (low, top):
            axes.axvspan(left, right, color=style.BAND, zorder=0, linewidth=0)


def _load_axes(
    campaign: Campaign, tops: Sequence[Axes], lows: Sequence[Axes], members: Sequence[int]
) -> None:
    levels = sorted({campaign.design.cells[n].rps for n in members})
    high = max(axes.dataLim.y1 for axes in tops)
    small = min(axes.dataLim.y0 for axes in tops)
    least = min(axes.dataLim.y0 for axes in lows)
    most = max(axes.dataLim.y1 for axes in lows)
    for axes in (*tops, *lows):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(levels))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(style.plain))
        axes.set_xlim(levels[0] / 1.4, levels[-1] * 1.4)
    style.latency_axis(tops, "y", small, high, above=1.4)
    for axes in lows:
        room = max(0.08 * (most - least), 0.5)
        axes.set_ylim(min(least, 99.0) - room, max(most, 100.0) + room)
        axes.axhline(100, color=style.MUTED, linewidth=0.8, zorder=1)
        style.few_ticks(axes.yaxis, 3)


def _load_table(campaign: Campaign, effects: Sequence[Effect]) -> show.Table:
    rows = []
    for number, cell in enumerate(campaign.design.cells):
        for arm in campaign.design.arms:
            runs = campaign.runs(number, arm)
            if not runs:
                continue
            loaded = arm if arm != "baseline" else campaign.design.arms[1]
            own = [frame.among(effects, cell, loaded, p) for p in (0.5, campaign.design.quantile)]
            latencies = [
                frame.ranged(e.baseline if arm == "baseline" else e.loaded) if e else ""
                for e in own
            ]
            kept = 100 * float(np.mean([run.achieved_rps / run.requested_rps for run in runs]))
            rows.append((cell.title, arm, *latencies, f"{kept:.2f}"))
    return show.Table(
        title="Latency against load",
        columns=("cell", "arm", "p50, ms", f"{style.percentile(campaign.design.quantile)}, ms",
                 "sent of requested, %"),
        rows=rows,
        badge=frame.badge(campaign),
    )  # fmt: skip
