"""Charts of what the mesh adds: the headline, nodes side by side, loads against payloads."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import FuncFormatter, SymmetricalLogLocator

from runbook import show
from runbook.bench import charts_frame as frame
from runbook.bench import style
from runbook.bench.campaign import Campaign
from runbook.bench.charts_frame import NotDrawn
from runbook.bench.effects import Effect
from runbook.bench.figure import Figure, Sheet
from runbook.bench.stats import Interval

__all__ = ["forest", "heat", "nodes"]

_ROW = 0.21  # inches
_ALL, _SOME = 5, 8
"""Cells up to which every percentile has a row, and up to which the median has one."""

_NOWHERE = {"node": "", "client": ""}

_SPREAD = 25.0
"""How much the largest effect may exceed a usual one on a linear axis."""


def forest(campaign: Campaign, effects: Sequence[Effect]) -> Figure:
    """Draw each effect with its interval on the band of what noise alone can do.

    Raises:
        NotDrawn: No cell has a valid block.
    """
    every = [effect for effect in effects if effect.blocks]
    if not every:
        raise NotDrawn("no cell has a valid block")
    quantiles = _shown(every, campaign.design.quantile)
    drawn = [effect for effect in every if effect.quantile in quantiles]
    rows = _rows(drawn)
    notes = [
        f"{_common(drawn)}{frame.basis(drawn)}; lines are 95 % intervals (block bootstrap)",
        "grey: what baseline differs from itself (A/A noise); filled: resolved from 0 and from the "
        "noise (secondary endpoints by Holm's rule); hollow: not",
    ]
    if len(drawn) < len(every):
        notes.append("other percentiles: see the table")
    title = "What the mesh adds to latency"
    headline = _headline(every)
    if len({effect.cell for effect in every}) == 1:
        title += f": {headline}"
    elif headline:
        notes.insert(0, f"primary endpoint: {headline}")
    height = _ROW * len(rows) + 0.55
    with Sheet(title, tuple(notes), frame.stamp(campaign), height=height) as sheet:
        axes = sheet.drawing.add_subplot()
        for place, (_, effect) in enumerate(rows):
            if effect is not None:
                _row(axes, place, effect)
        _names(axes, rows)
        unit = _scale(axes, drawn)
        axes.set_xlabel(f"faster  ←  added latency: an arm less baseline ({unit})  →  slower")
        return sheet.finish("overhead", _forest_alt(every), _table(campaign, every))


def _shown(effects: Sequence[Effect], primary: float) -> set[float]:
    """Choose percentiles so that the rows fit on a page."""
    cells = len({effect.cell for effect in effects})
    quantiles = {effect.quantile for effect in effects}
    if cells <= _ALL:
        return quantiles
    return {primary, 0.5} & quantiles if cells <= _SOME else {primary}


def _rows(effects: Sequence[Effect]) -> list[tuple[str, Effect | None]]:
    """Give the rows from the top: a heading for each cell unless it is one or has one row."""
    cells = list(dict.fromkeys(effect.cell for effect in effects))
    names = frame.labels(cells)
    arms = {effect.arm for effect in effects}
    rows: list[tuple[str, Effect | None]] = []
    for cell, name in zip(cells, names, strict=True):
        own = [effect for effect in effects if effect.cell == cell]
        if len(cells) > 1 and len(own) > 1:
            rows.append((name, None))
        for effect in own:
            text = effect.percentile if len(own) > 1 or len(cells) == 1 else name
            text += f" {effect.arm}" if len(arms) > 1 else ""
            rows.append((f"{text} (primary)" if effect.primary else text, effect))
    return rows


def _row(axes: Axes, place: int, effect: Effect) -> None:
    look = style.arm(effect.arm)
    muted = effect.claim in ("unresolved", "too few")
    if effect.claim != "too few":
        if math.isfinite(effect.floor):
            axes.barh(place, 2 * effect.floor, left=-effect.floor, height=0.86, color=style.BAND)
        hollow = effect.claim == "unresolved"
        frame.errorbar(axes, place, effect.difference, look, across=True, hollow=hollow)
    axes.text(
        1.015,
        place,
        effect.wording,
        transform=axes.get_yaxis_transform(),
        verticalalignment="center",
        fontsize=8,
        color=style.MUTED if muted else style.INK,
    )


def _names(axes: Axes, rows: Sequence[tuple[str, Effect | None]]) -> None:
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    for (_, effect), label in zip(rows, axes.get_yticklabels(), strict=True):
        if effect is None or effect.primary:
            label.set_fontweight("bold")
    axes.axvline(0, color=style.INK, linewidth=1, zorder=1)


def _scale(axes: Axes, effects: Sequence[Effect]) -> str:
    """Choose a linear axis, or one that is logarithmic beyond the smallest; give its unit."""
    shown = [effect for effect in effects if effect.claim != "too few"]
    ends = frame.reach(effect.difference for effect in shown)
    floors = [effect.floor for effect in shown if math.isfinite(effect.floor)]
    low, high = min([*ends, 0.0]), max([*ends, 0.0])
    # A floor wider than all effects would squeeze them: its ends may leave the picture.
    widest = max(floors, default=0.0)
    reach = max(abs(low), abs(high), 1e-3)
    low, high = min(low, -min(widest, reach)), max(high, min(widest, reach))
    # Only what is resolved may ask for a logarithmic axis, where noise would look as wide as it.
    found = [e.difference for e in shown if e.claim != "unresolved"]
    sizes = sorted(max(abs(one.low), abs(one.high)) for one in found)
    sizes = [size for size in sizes if math.isfinite(size) and size > 0]
    if sizes and reach / sizes[len(sizes) // 4] > _SPREAD:
        threshold = 10.0 ** math.floor(math.log10(sizes[0]))
        axes.set_xscale("symlog", linthresh=threshold, linscale=0.6)
        axes.set_xlim(1.6 * low if low < 0 else 0.0, 1.6 * high if high > 0 else 0.0)
        axes.xaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=threshold))
        axes.xaxis.set_major_formatter(FuncFormatter(style.signed))
        return f"ms, logarithmic beyond ± {style.plain(threshold)}"
    room = 0.06 * (high - low) or 1.0  # nothing to show but words
    axes.set_xlim(low - room, high + room)
    style.few_ticks(axes.xaxis, 8)
    return "ms"


def _common(effects: Sequence[Effect]) -> str:
    text = frame.common(list(dict.fromkeys(effect.cell for effect in effects)))
    return f"{text}; " if text else ""


def _headline(effects: Sequence[Effect]) -> str:
    """Say the primary endpoint, in the words it may be said with."""
    for effect in effects:
        if effect.primary:
            where = f", {effect.cell.title}" if len({e.cell for e in effects}) > 1 else ""
            if effect.claim == "too few" and not where:
                return effect.wording
            return f"{effect.percentile}{where}: {effect.wording}".replace(": ", " ", not where)
    return ""


def _forest_alt(effects: Sequence[Effect]) -> str:
    said = "; ".join(
        f"{effect.cell.title}, {effect.arm}, {effect.percentile}: {effect.wording}"
        for effect in effects[:8]
    )
    more = f"; and {len(effects) - 8} more in the table" if len(effects) > 8 else ""
    return f"Latency the mesh adds, with 95 % intervals and the A/A noise band. {said}{more}."


def _table(campaign: Campaign, effects: Sequence[Effect]) -> show.Table:
    return show.Table(
        title="What the mesh adds to latency",
        columns=("cell", "arm", "percentile", "baseline, ms", "with it, ms", "added, ms",
                 "A/A floor, ms", "blocks", "requests", "may be said"),
        rows=[
            (
                effect.cell.title,
                effect.arm,
                effect.percentile,
                frame.ranged(effect.baseline),
                frame.ranged(effect.loaded),
                frame.ranged(effect.difference),
                frame.said(effect.floor),
                str(effect.blocks),
                str(effect.requests),
                effect.wording,
            )
            for effect in effects
        ],
        badge=frame.badge(campaign),
    )  # fmt: skip


def nodes(campaign: Campaign, effects: Sequence[Effect]) -> Figure:
    """Draw what the mesh adds on each node, on shared axes.

    Raises:
        NotDrawn: Fewer than two nodes were measured.
    """
    share = campaign.design.quantile
    own = [e for e in frame.of_arm(effects) if e.quantile == share and e.blocks]
    names = list(dict.fromkeys(effect.cell.node for effect in own))
    if len(names) < 2:
        raise NotDrawn("only one node was measured")
    names, left = names[: frame.MOST_PANELS], names[frame.MOST_PANELS :]
    kinds = list(dict.fromkeys(e.cell.model_copy(update=_NOWHERE) for e in own))
    same = frame.common(kinds)
    texts = [f"{name}".replace(" · ", "\n") for name in frame.labels(kinds)]
    texts = [text.removeprefix("\n") for text in texts]
    percentile = style.percentile(share)
    notes = (
        f"{same}; {frame.basis(own)}; lines are 95 % intervals (block bootstrap)".lstrip("; "),
        "grey: A/A noise of the cell; hollow: not resolved; × too few requests or blocks",  # noqa: RUF001
        *((f"not shown: {', '.join(left)}",) if left else ()),
    )
    columns = min(len(names), 4)
    rows = -(-len(names) // columns)
    title = f"What the mesh adds to {percentile} on each node"
    sheet = Sheet(title, notes, frame.stamp(campaign), height=1.5 * rows + 0.6)
    with sheet:
        made, columns = frame.grid(sheet.drawing, len(names), most=4)
        for number, (name, axes) in enumerate(zip(names, made, strict=True)):
            for effect in (e for e in own if e.cell.node == name):
                kind = effect.cell.model_copy(update=_NOWHERE)
                _column(axes, kinds.index(kind), effect)
            axes.axhline(0, color=style.INK, linewidth=0.9, zorder=1)
            axes.set_title(name)
            axes.set_xlim(-0.6, len(kinds) - 0.4)
            axes.set_xticks(range(len(kinds)), texts)
            axes.grid(visible=False, axis="x")
            style.few_ticks(axes.yaxis, 5)
            if number % columns == 0:
                axes.set_ylabel("added (ms)")
        alt = f"Added {percentile} by node: " + "; ".join(
            f"{effect.cell.title}: {effect.wording}" for effect in own[:8]
        )
        return sheet.finish("nodes", f"{alt}.", _table(campaign, own))


def _column(axes: Axes, place: int, effect: Effect) -> None:
    if effect.claim == "too few":
        axes.plot(
            [place],
            [0.04],
            marker="x",
            color=style.INVALID,
            transform=axes.get_xaxis_transform(),
            linestyle="none",
        )
        return
    if math.isfinite(effect.floor):
        axes.bar(place, 2 * effect.floor, bottom=-effect.floor, width=0.7, color=style.BAND)
    look = style.arm(effect.arm)
    frame.errorbar(axes, place, effect.difference, look, hollow=effect.claim == "unresolved")


def heat(campaign: Campaign, effects: Sequence[Effect]) -> Figure:
    """Draw load against payload, where both vary.

    Raises:
        NotDrawn: One of them does not.
    """
    share = campaign.design.quantile
    own = [e for e in frame.of_arm(effects) if e.quantile == share and e.blocks]
    loads = sorted({effect.cell.rps for effect in own})
    payloads = sorted({effect.cell.payload for effect in own})
    if len(loads) < 2 or len(payloads) < 2:
        raise NotDrawn("load and payload do not both vary")
    groups = list(dict.fromkeys((e.cell.node, e.cell.protocol_title) for e in own))
    groups = groups[: frame.MOST_PANELS]
    most = max((abs(e.difference.value) for e in own if e.claim != "too few"), default=0.0) or 1.0
    percentile = style.percentile(share)
    notes = (
        f"{frame.basis(own)}; ms added, ± half the 95 % interval; darker: more of it",
        "in brackets: not resolved from noise",
    )
    columns = min(len(groups), 4 if len(loads) < 4 else 2)
    rows = -(-len(groups) // columns)
    height = (0.5 * len(payloads) + 0.75) * rows + 0.2
    title = f"What the mesh adds to {percentile}, by load and payload"
    with Sheet(title, notes, frame.stamp(campaign), height=height) as sheet:
        made = sheet.drawing.subplots(rows, columns, squeeze=False)
        for axes in (axes for row in made for axes in row):
            axes.set_axis_off()
        flat = [axes for row in made for axes in row]
        for group, axes in zip(groups, flat, strict=False):
            axes.set_axis_on()
            picked = [e for e in own if (e.cell.node, e.cell.protocol_title) == group]
            _heat_panel(axes, picked, loads, payloads, most)
            axes.set_title(" · ".join(group))
        alt = f"Added {percentile} by load and payload; the numbers are in the table."
        return sheet.finish("matrix", alt, _table(campaign, own))


def _heat_panel(
    axes: Axes, effects: Sequence[Effect], loads: list[int], payloads: list[int], most: float
) -> None:
    shades = LinearSegmentedColormap.from_list("added", ["#ffffff", "#f6c9a8", "#8a3c00"])
    names = {effect.cell.payload: effect.cell.payload_title for effect in effects}
    for effect in effects:
        x, y = loads.index(effect.cell.rps), payloads.index(effect.cell.payload)
        share = 0.0 if effect.claim == "too few" else abs(effect.difference.value) / most
        axes.fill(
            [x - 0.5, x + 0.5, x + 0.5, x - 0.5],
            [y - 0.5, y - 0.5, y + 0.5, y + 0.5],
            facecolor=shades(share),
            edgecolor="#bbbbbb",
            linewidth=0.7,
        )
        axes.text(
            x,
            y,
            _heat_text(effect),
            horizontalalignment="center",
            verticalalignment="center",
            fontsize=8,
            color=_readable(shades(share)),
        )
    axes.set_xticks(range(len(loads)), [str(load) for load in loads])
    axes.set_yticks(range(len(payloads)), [names.get(p, f"{p} B") for p in payloads])
    axes.set_xlim(-0.5, len(loads) - 0.5)
    axes.set_ylim(-0.5, len(payloads) - 0.5)
    axes.set_xlabel("RPS")
    axes.grid(visible=False)
    axes.tick_params(length=0)


def _readable(background: tuple[float, float, float, float]) -> str:
    """Give the colour of a text, by the luminance of what it lies on (WCAG 2, 1.4.3)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in background[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "white" if luminance < 0.18 else "black"


def _heat_text(effect: Effect) -> str:
    if effect.claim == "too few":
        return "too few"
    difference: Interval = effect.difference
    half = difference.half
    decimals = max(0, -math.floor(math.log10(half / 2))) if half > 0 else 2
    text = f"{difference.value:.{decimals}f} ± {half:.{decimals}f}".replace("-", "−")  # noqa: RUF001
    return f"[{text}]" if effect.claim == "unresolved" else text
