"""The run chart: every block in the order it ran, and what its nodes were like meanwhile."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from runbook import show
from runbook.bench import charts_frame as frame
from runbook.bench import hosts, style
from runbook.bench.campaign import Block, Campaign
from runbook.bench.charts_frame import NotDrawn
from runbook.bench.effects import Effect
from runbook.bench.figure import Figure, Sheet
from runbook.bench.histogram import Histogram
from runbook.bench.snapshot import Host, Spent

__all__ = ["blocks"]

_REASONS = 5
_NODES = 6


@dataclass(frozen=True)
class _Point:
    """A block's difference, ms; not a number if it has none."""

    block: Block
    ms: float


@dataclass(frozen=True)
class _State:
    """What a node was like during a block."""

    number: int
    temperature: float | None
    mhz: float | None
    throttled: bool


def blocks(campaign: Campaign, effects: Sequence[Effect]) -> Figure:
    """Draw what the mesh added in each block, in order, with heat and clock below.

    Raises:
        NotDrawn: There is no block.
    """
    if not campaign.blocks:
        raise NotDrawn("no block has been measured")
    numbers = sorted({block.cell for block in campaign.blocks})
    numbers, left = numbers[: frame.MOST_PANELS], numbers[frame.MOST_PANELS :]
    cells = [campaign.design.cells[n] for n in numbers]
    states = _states(campaign)
    letters = _letters(campaign)
    valid = sum(not block.invalid for block in campaign.blocks)
    percentile = style.percentile(campaign.design.quantile)
    notes = [
        f"{frame.common(cells)}; blocks: n = {len(campaign.blocks)}, {valid} of them valid; line "
        "and band: the effect and its 95 % interval".lstrip("; "),
        *_reasons(letters),
        *(["neither temperature nor frequency of the nodes could be read"] if not states else []),
        *([f"{len(left)} more cells are in the table"] if left else []),
        *([f"below: the {_NODES} hottest of {len(states)} nodes"] if len(states) > _NODES else []),
    ]
    columns = 1 if len(numbers) == 1 else 2 if len(numbers) <= 4 else 4
    rows = -(-len(numbers) // columns)
    strip = [1.0, 0.7] if states else []
    tall = 2.3 if rows == 1 else 1.25
    height = tall * rows + 0.85 * len(strip) + 0.3
    title = f"What the mesh added to {percentile} in each block, in the order they ran"
    with Sheet(title, tuple(notes), frame.stamp(campaign), height=height) as sheet:
        spec = sheet.drawing.add_gridspec(
            rows + len(strip), columns, height_ratios=[tall] * rows + strip
        )
        made: list[Axes] = []
        for place, (number, name) in enumerate(zip(numbers, frame.labels(cells), strict=True)):
            first = made[0] if made else None
            axes = sheet.drawing.add_subplot(
                spec[place // columns, place % columns], sharex=first, sharey=first
            )
            _panel(axes, campaign, effects, number, letters)
            if len(numbers) > 1:
                axes.set_title(name, fontsize=8)
            if place % columns == 0:
                axes.set_ylabel("added (ms)")
            else:
                axes.tick_params(labelleft=False)
            below = place + columns < len(numbers) or (columns == 1 and bool(states))
            axes.tick_params(labelbottom=not below)
            if not below:
                axes.set_xlabel("block")
            made.append(axes)
        style.few_ticks(made[0].yaxis, 5)
        style.few_ticks(made[0].xaxis, 6, whole=True)
        last = max(block.number for block in campaign.blocks)
        room = max(0.7, 0.03 * last)
        made[0].set_xlim(-room, last + room)
        if states:
            above = made[0] if columns == 1 else None
            heat = sheet.drawing.add_subplot(spec[rows, :], sharex=above)
            clock = sheet.drawing.add_subplot(spec[rows + 1, :], sharex=heat)
            _strip(heat, clock, states)
            heat.set_xlim(made[0].get_xlim())
        alt = (
            f"Difference of {percentile} in each of {len(campaign.blocks)} blocks, "
            f"{len(campaign.blocks) - valid} of them invalid."
        )
        return sheet.finish("blocks", alt, _table(campaign))


def _points(campaign: Campaign, cell: int) -> list[_Point]:
    arms, share = campaign.design.arms, campaign.design.quantile
    found = []
    for block in campaign.blocks:
        if block.cell != cell:
            continue
        merged = [Histogram.merged(run.response for run in block.of(arm)) for arm in arms[:2]]
        ms = math.nan
        if all(histogram.count for histogram in merged):
            ms = 1e3 * (merged[1].quantile(share) - merged[0].quantile(share))
        found.append(_Point(block, ms))
    return found


def _panel(
    axes: Axes,
    campaign: Campaign,
    effects: Sequence[Effect],
    cell: int,
    letters: dict[str, tuple[str, str, int]],
) -> None:
    look = style.arm(campaign.design.arms[1])
    points = _points(campaign, cell)
    share = campaign.design.quantile
    effect = frame.among(effects, campaign.design.cells[cell], campaign.design.arms[1], share)
    axes.axhline(0, color=style.INK, linewidth=0.9, zorder=1)
    if effect is not None and math.isfinite(effect.difference.value):
        low, high = effect.difference.low, effect.difference.high
        if math.isfinite(low) and math.isfinite(high):
            axes.axhspan(low, high, color=look.colour, alpha=0.15, linewidth=0)
        axes.axhline(effect.difference.value, color=look.colour, linewidth=1, linestyle=look.dash)
    good = [p for p in points if not p.block.invalid and math.isfinite(p.ms)]
    axes.plot(
        [p.block.number for p in good],
        [p.ms for p in good],
        color=look.colour,
        marker=look.marker,
        linestyle="none",
        markersize=4.5,
    )
    for point in points:
        if not point.block.invalid:
            continue
        # A block without a difference still has its place, on the zero line.
        at = point.ms if math.isfinite(point.ms) else 0.0
        axes.plot(
            [point.block.number],
            [at],
            marker=look.marker,
            markerfacecolor="white",
            color=style.INVALID,
            markersize=5,
            linestyle="none",
        )
        axes.annotate(
            letters[_kind(point.block.invalid[0])][0],
            (point.block.number, at),
            xytext=(0, 5),
            textcoords="offset points",
            horizontalalignment="center",
            fontsize=7.5,
            color=style.MUTED,
        )
    axes.margins(y=0.16)


def _kind(reason: str) -> str:
    """Give a reason without its numbers, so that the same trouble counts as one."""
    return re.sub(r"\d+(\.\d+)?", "#", reason)


def _letters(campaign: Campaign) -> dict[str, tuple[str, str, int]]:
    """Give each kind of reason a letter, its first wording, and how many blocks have it."""
    found: dict[str, tuple[str, str, int]] = {}
    for block in campaign.blocks:
        if block.invalid:
            kind = _kind(block.invalid[0])
            letter = "abcdefghijklmnopqrstuvwxyz"[min(len(found), 25)]
            old = found.get(kind, (letter, block.invalid[0], 0))
            found[kind] = (old[0], old[1], old[2] + 1)
    return found


def _reasons(letters: dict[str, tuple[str, str, int]]) -> list[str]:
    if not letters:
        return []
    parts = [
        f"{letter}: {text}" + (f" ({count} blocks)" if count > 1 else "")
        for letter, text, count in list(letters.values())[:_REASONS]
    ]
    more = len(letters) - _REASONS
    return [f"hollow: invalid; {'; '.join(parts)}" + (f"; and {more} more" if more > 0 else "")]


def _states(campaign: Campaign) -> dict[str, list[_State]]:
    """Give what is known of each node that serves or loads, by block."""
    wanted = dict.fromkeys(
        node for cell in campaign.design.cells for node in (cell.node, cell.client)
    )
    found = {node: [_state(block, node) for block in campaign.blocks] for node in wanted}
    return {
        node: states
        for node, states in found.items()
        if any(state.temperature is not None or state.mhz is not None for state in states)
    }


def _state(block: Block, node: str) -> _State:
    seen = [s.hosts[node] for s in (block.before, block.after) if node in s.hosts]
    during = [run.spent[node] for run in block.runs if node in run.spent]
    every: list[Host | Spent] = [*seen, *during]
    bits = 0
    for one in every:
        bits |= one.throttled or 0
    return _State(
        number=block.number,
        temperature=_most(one.temperature for one in every),
        mhz=_least(one.mhz for one in every),
        throttled=bool(hosts.throttling(bits)),
    )


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _least(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _strip(heat: Axes, clock: Axes, states: dict[str, list[_State]]) -> None:
    shown = sorted(states.items(), key=lambda item: -(_most(s.temperature for s in item[1]) or 0))
    shown = sorted(shown[:_NODES])
    for place, (node, known) in enumerate(shown):
        colour = style.SERIES[place % len(style.SERIES)]
        look: dict[str, Any] = {
            "color": colour,
            "linestyle": ("-", "--", ":", "-.")[place % 4],
            "linewidth": 1.2,
        }
        for axes, field in ((heat, "temperature"), (clock, "mhz")):
            points = [(s.number, getattr(s, field)) for s in known if getattr(s, field) is not None]
            if points:
                mark = "." if len(points) < 40 else ""
                axes.plot(*zip(*points, strict=True), label=node, marker=mark, **look)
    throttled = sorted({s.number for known in states.values() for s in known if s.throttled})
    for axes in (heat, clock):
        axes.margins(y=0.25)
        low, high = axes.get_ylim()
        least = 4.0 if axes is heat else 100.0
        if high - low < least:
            axes.set_ylim((low + high - least) / 2, (low + high + least) / 2)
        style.few_ticks(axes.yaxis, 3)
    low, high = heat.get_ylim()
    if high > hosts.HOTTEST - 12:
        heat.axhline(hosts.HOTTEST, color=style.INK, linestyle=":", linewidth=1)
        heat.set_ylim(low, max(high, hosts.HOTTEST + 3))
    if throttled:
        clock.plot(
            throttled,
            [0.9] * len(throttled),
            transform=clock.get_xaxis_transform(),
            marker="v",
            color="black",
            linestyle="none",
            markersize=4,
            label="throttled or under-voltage",
        )
    heat.set_ylabel("hottest\n(°C)")
    clock.set_ylabel("slowest\n(MHz)")
    heat.tick_params(labelbottom=False)
    clock.set_xlabel("block")
    style.few_ticks(clock.xaxis, 10, whole=True)
    heat.legend(loc="center left", bbox_to_anchor=(1.0, 0.4), fontsize=7, handlelength=2.6)
    if throttled:
        handles = [line for line in clock.get_lines() if line.get_marker() == "v"]
        clock.legend(
            handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7,
            labels=["throttled or\nunder-voltage"],
        )  # fmt: skip


def _table(campaign: Campaign) -> show.Table:
    rows = []
    for number, cell in enumerate(campaign.design.cells):
        for point in _points(campaign, number):
            state = _state(point.block, cell.node)
            rows.append(
                (
                    str(point.block.number),
                    cell.title,
                    point.block.started,
                    "".join(run.arm[0].upper() for run in point.block.runs),
                    frame.said(point.ms),
                    frame.said(state.temperature),
                    frame.said(state.mhz, style.plain),
                    "yes" if state.throttled else "",
                    "; ".join(point.block.invalid),
                )
            )
    rows.sort(key=lambda row: int(row[0]))
    return show.Table(
        title="Blocks in the order they ran",
        columns=("block", "cell", "started", "order", "added, ms", "hottest, °C", "slowest, MHz",
                 "throttled", "invalid"),
        rows=rows,
        badge=frame.badge(campaign),
    )  # fmt: skip
