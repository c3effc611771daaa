"""What all charts share: where it was measured, names of cells, how an interval is drawn."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from runbook import show
from runbook.bench import style
from runbook.bench.campaign import Campaign
from runbook.bench.design import Cell
from runbook.bench.effects import Effect
from runbook.bench.figure import Stamp
from runbook.bench.stats import Interval

__all__ = [
    "NotDrawn",
    "among",
    "badge",
    "basis",
    "common",
    "errorbar",
    "grid",
    "labels",
    "of_arm",
    "reach",
    "stamp",
]

MOST_PANELS = 16
"""Small multiples of one figure; with more none can be read."""


class NotDrawn(Exception):  # noqa: N818 - no error: a chart less
    """The data does not support this chart; the text says why."""


def stamp(campaign: Campaign) -> Stamp:
    """Say where a campaign ran, for the bottom of a chart."""
    where = campaign.environment
    models = Counter(
        (node.get("model", ""), node.get("arch", ""), node.get("kernel", ""))
        for node in where.nodes.values()
    )
    nodes = ", ".join(
        f"{count} × {model or 'unknown model'} ({arch}, kernel {kernel})"  # noqa: RUF001 - times
        for (model, arch, kernel), count in sorted(models.items(), key=lambda item: -item[1])
    )
    cluster = where.cluster
    versions = [
        f"cluster {cluster.get('name', '')}, Kubernetes {cluster.get('version', '')}",
        f"Linkerd {where.linkerd}" if where.linkerd else "",
        campaign.generator,
    ]
    began = f"{campaign.began:%Y-%m-%d %H:%M} UTC"
    run = [nodes, began, f"campaign {campaign.id}", f"runbook {where.runbook}"]
    if not campaign.complete:
        run.append("not complete")
    lines = tuple(" · ".join(filter(None, parts)) for parts in (versions, run))
    return Stamp(lines, where.rehearsal)


def badge(campaign: Campaign) -> str:
    """Give the word that warns of a rehearsal's numbers, if they are."""
    return show.REHEARSAL if campaign.environment.rehearsal else ""


def common(cells: Sequence[Cell]) -> str:
    """Name what all cells have in common; of a single one, everything."""
    columns = zip(*map(_factors, cells), strict=True)
    return " · ".join(column[0] for column in columns if len(set(column)) == 1 and column[0])


def labels(cells: Sequence[Cell]) -> list[str]:
    """Name what tells each cell from the others; a single one has its whole name."""
    if len(set(cells)) < 2:
        return [cell.title for cell in cells]
    varying = [i for i, v in enumerate(zip(*map(_factors, cells), strict=True)) if len(set(v)) > 1]
    return [" · ".join(_factors(cell)[i] for i in varying) or cell.title for cell in cells]


def _factors(cell: Cell) -> tuple[str, ...]:
    return (cell.node, f"{cell.rps} RPS", cell.protocol_title, cell.payload_title)


def basis(effects: Iterable[Effect]) -> str:
    """Say how many blocks and requests effects rest on."""
    found = list(effects)
    blocks = _range(effect.blocks for effect in found)
    requests = _range(effect.requests for effect in found)
    each = " of each cell" if len({effect.cell for effect in found}) > 1 else ""
    return f"n = {blocks} valid blocks{each}, {requests} requests of each arm"


def _range(values: Iterable[int]) -> str:
    found = sorted(set(values))
    if not found:
        return "0"
    return f"{found[0]}" if len(found) == 1 else f"{found[0]} to {found[-1]}"


def of_arm(effects: Iterable[Effect], arm: str = "meshed") -> list[Effect]:
    """Give the effects of one arm."""
    return [effect for effect in effects if effect.arm == arm]


def among(effects: Iterable[Effect], cell: Cell, arm: str, quantile: float) -> Effect | None:
    """Find one effect."""
    for effect in effects:
        if (effect.cell, effect.arm, effect.quantile) == (cell, arm, quantile):
            return effect
    return None


def reach(intervals: Iterable[Interval]) -> list[float]:
    """Give every value and end that is a number."""
    ends = [end for one in intervals for end in (one.value, one.low, one.high)]
    return [end for end in ends if math.isfinite(end)]


def errorbar(
    axes: Axes,
    at: float,
    interval: Interval,
    look: style.Look,
    *,
    across: bool = False,
    hollow: bool = False,
    size: float = 5.5,
) -> None:
    """Draw an estimate with its interval; without an interval the point stands alone.

    Args:
        axes: Where.
        at: Place on the other axis.
        interval: To draw.
        look: Of the arm.
        across: Whether the interval lies along x.
        hollow: Whether the mark is hollow.
        size: Of the mark, points.
    """
    if not math.isfinite(interval.value):
        return
    ends = [end if math.isfinite(end) else interval.value for end in (interval.low, interval.high)]
    line: dict[str, Any] = {"color": look.colour, "linewidth": 1.5, "zorder": 3}
    mark: dict[str, Any] = {
        "marker": look.marker,
        "markersize": size,
        "color": look.colour,
        "markerfacecolor": "white" if hollow else look.colour,
        "markeredgewidth": 1.3,
        "linestyle": "none",
        "zorder": 4,
    }
    if across:
        axes.plot(ends, [at, at], **line)
        axes.plot([interval.value], [at], **mark)
    else:
        axes.plot([at, at], ends, **line)
        axes.plot([at], [interval.value], **mark)


def grid(
    drawing: Drawing, count: int, *, most: int = 4, share_y: bool = True
) -> tuple[list[Axes], int]:
    """Make small multiples that share their axes.

    Returns:
        The axes in use, and how many columns they have.
    """
    columns = min(count, most) if count != 4 else min(2, most)
    columns = 3 if count in (5, 6, 9) and most >= 3 else columns
    rows = -(-count // columns)
    made = drawing.subplots(rows, columns, sharex=True, sharey=share_y, squeeze=False)
    every = [axes for row in made for axes in row]
    for number, axes in enumerate(every):
        if number >= count:
            axes.set_axis_off()
        elif number + columns >= count:
            axes.tick_params(labelbottom=True)
    return every[:count], columns


def rows_of(count: int, columns: int) -> int:
    """Give how many rows small multiples need."""
    return -(-count // columns)


def said(value: float | None, form: Callable[[float], str] = style.ms) -> str:
    """Give a number for a table; nothing for one that is not known."""
    return "" if value is None or not math.isfinite(value) else form(value)


def ranged(interval: Interval | None, form: Callable[[float], str] = style.ms) -> str:
    """Give an interval for a table."""
    return "" if interval is None else interval.said(form)
