"""Charts of whole distributions: every percentile of both arms, and what waiting hides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from runbook import show
from runbook.bench import charts_frame as frame
from runbook.bench import stats, style
from runbook.bench.bootstrap import MIN_BLOCKS, Resampling
from runbook.bench.campaign import Campaign
from runbook.bench.charts_frame import NotDrawn
from runbook.bench.figure import Figure, Sheet
from runbook.bench.histogram import Histogram, aligned

__all__ = ["omission", "percentiles"]

_DRAWS = 300
"""Of the bands, which are looked at, not read off; claims rest on seven times as many."""
_POINTS = 40
_TICKS = (0.5, 0.9, 0.99, 0.999, 0.9999)


def percentiles(campaign: Campaign) -> Figure:
    """Draw the latency of each percentile, to the last one the requests support.

    Raises:
        NotDrawn: No cell has a valid block.
    """
    cells = [n for n in range(len(campaign.design.cells)) if campaign.valid(n)]
    if not cells:
        raise NotDrawn("no cell has a valid block")
    cells, left = cells[: frame.MOST_PANELS], cells[frame.MOST_PANELS :]
    shown = [campaign.design.cells[n] for n in cells]
    counts = [len(campaign.valid(n)) for n in cells]
    n = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    notes = [
        f"{frame.common(shown)}; n = {n} valid blocks; latency from when a request was due".lstrip(
            "; "
        ),
        "bands are 95 % intervals (block bootstrap, each percentile for itself); a line ends where "
        "fewer than 10 requests are slower",
        *([f"{len(left)} more cells are in the table"] if left else []),
    ]
    rows = frame.rows_of(len(cells), _columns(len(cells)))
    height = 3.6 if rows == 1 else 1.75 * rows + 0.5
    title = "Latency of each arm at every percentile"
    with Sheet(title, tuple(notes), frame.stamp(campaign), height=height) as sheet:
        made, columns = frame.grid(sheet.drawing, len(cells))
        ends = []
        for number, (cell, name, axes) in enumerate(
            zip(cells, frame.labels(shown), made, strict=True)
        ):
            ends += [_curve(axes, campaign, cell, arm) for arm in campaign.design.arms]
            if len(cells) > 1:
                axes.set_title(name, fontsize=8)
            if number % columns == 0:
                axes.set_ylabel("latency (ms)")
            if number + columns >= len(cells):
                axes.set_xlabel("percentile")
        _percent_axis(made, [end for end in ends if end])
        sheet.key([style.arm(arm) for arm in campaign.design.arms])
        alt = "Latency by percentile, " + "; ".join(
            _said(campaign, cell, name)
            for cell, name in zip(cells[:4], frame.labels(shown), strict=False)
        )
        return sheet.finish("percentiles", f"{alt}.", _table(campaign))


def _columns(count: int) -> int:
    return 3 if count in (5, 6, 9) else 2 if count == 4 else min(count, 4)


def _curve(axes: Axes, campaign: Campaign, cell: int, arm: str) -> tuple[float, float, float]:
    """Draw one arm; give the end of its line, its lowest and its highest latency."""
    histograms = _blocks(campaign, cell, arm)
    merged = Histogram.merged(histograms)
    if merged.count < 20:
        return ()  # type: ignore[return-value]
    last = 1 - 10 / merged.count
    marked = [p for p in _TICKS if p <= last]
    shares = np.union1d(1 - np.geomspace(0.9, 1 - last, _POINTS), marked)
    look = style.arm(arm)
    x = _place(shares)
    y = merged.quantiles(shares.tolist()) * 1e3
    axes.plot(x, y, color=look.colour, linestyle=look.dash, zorder=3)
    axes.plot(
        _place(np.array(marked)),
        merged.quantiles(marked) * 1e3,
        color=look.colour,
        marker=look.marker,
        linestyle="none",
        markersize=4.5,
        zorder=4,
    )
    band = _band(histograms, shares, y, (int(campaign.design.digest, 16), cell))
    if band is not None:
        axes.fill_between(x, band[0], band[1], color=look.colour, alpha=0.18, linewidth=0)
    highest = float(max(y[-1], band[1][-1] if band is not None else 0.0))
    return float(x[-1]), float(y[0]), highest


def _blocks(campaign: Campaign, cell: int, arm: str) -> list[Histogram]:
    merged = [
        Histogram.merged(run.response for run in block.of(arm)) for block in campaign.valid(cell)
    ]
    return [histogram for histogram in merged if histogram.count]


def _place(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the place of percentiles on an axis where 90, 99 and 99.9 % lie evenly."""
    return -np.log10(1 - shares)


def _band(
    histograms: Sequence[Histogram],
    shares: NDArray[np.float64],
    values: NDArray[np.float64],
    seed: tuple[int, int],
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Give both ends of the bootstrap interval of each percentile, in ms."""
    if len(histograms) < MIN_BLOCKS:
        return None
    resampling = Resampling(len(histograms), seed=seed, resamples=_DRAWS)
    us, counts = aligned(histograms)
    ends = np.cumsum(resampling.weights @ counts.astype(np.float64), axis=1)
    draws = np.array([us[np.searchsorted(row, shares * row[-1])] for row in ends]) / 1e3
    found = [
        resampling.interval(float(value), column)
        for value, column in zip(values, draws.T, strict=True)
    ]
    low = np.array([max(interval.low, 0.0) for interval in found])
    return low, np.array([interval.high for interval in found])


def _percent_axis(made: Sequence[Axes], ends: Sequence[tuple[float, float, float]]) -> None:
    """Label percentiles; use a logarithmic axis for latencies that span more than a decade."""
    right = max((end[0] for end in ends), default=3.0)
    low = min((end[1] for end in ends), default=1.0)
    high = max((end[2] for end in ends), default=1.0)
    ticks = [p for p in _TICKS if -math.log10(1 - p) <= right + 0.01]
    for axes in made:
        axes.xaxis.set_major_locator(FixedLocator([-math.log10(1 - p) for p in ticks]))
        axes.xaxis.set_major_formatter(FuncFormatter(_percent))
        axes.set_xlim(0, right * 1.04)
    style.latency_axis(made, "y", low, high, above=1.3)


def _percent(place: float, _position: int = 0) -> str:
    return f"{100 * (1 - 10**-place):.6g}"


def _said(campaign: Campaign, cell: int, name: str) -> str:
    share = campaign.design.quantile
    parts = []
    for arm in campaign.design.arms:
        merged = Histogram.merged(_blocks(campaign, cell, arm))
        if merged.count:
            parts.append(f"{arm} {style.ms(1e3 * merged.quantile(share))} ms")
    return f"{name}, {style.percentile(share)}: {', '.join(parts)}"


def _table(campaign: Campaign) -> show.Table:
    rows = []
    for number, cell in enumerate(campaign.design.cells):
        for arm in campaign.design.arms:
            merged = Histogram.merged(_blocks(campaign, number, arm))
            cells = [
                style.ms(1e3 * merged.quantile(p)) if merged.count >= stats.needed(p) else ""
                for p in _TICKS
            ]
            rows.append((cell.title, arm, *cells, str(merged.count)))
    return show.Table(
        title="Latency by percentile, ms",
        columns=("cell", "arm", *map(style.percentile, _TICKS), "requests"),
        rows=rows,
        badge=frame.badge(campaign),
        note="empty: too few requests for this percentile",
    )


def omission(campaign: Campaign) -> Figure:
    """Draw how long answers took from when requests were due, and from when they were sent.

    A generator that waits for a slow answer sends the next requests late; who times them from when
    they were sent hides the wait (coordinated omission).

    Raises:
        NotDrawn: No cell has a valid block.
    """
    found = []
    for number in range(len(campaign.design.cells)):
        for arm in campaign.design.arms:
            runs = campaign.runs(number, arm)
            both = [Histogram.merged(getattr(run, kind) for run in runs)
                    for kind in ("response", "service")]  # fmt: skip
            if all(histogram.count >= 100 for histogram in both):
                late = float(np.mean([run.late for run in runs]))
                found.append((number, arm, both[0], both[1], late))
    if not found:
        raise NotDrawn("no cell has a valid block of 100 requests")
    share = campaign.design.quantile
    worst = max(found, key=lambda one: one[2].quantile(share) / max(one[3].quantile(share), 1e-9))
    chosen = [one for one in found if one[0] == worst[0]]
    cell = campaign.design.cells[worst[0]]
    several = len({one[0] for one in found}) > 1
    percentile = style.percentile(share)
    notes = (
        f"{cell.title}{': the cell where both differ most' if several else ''}; "
        f"n = {len(campaign.valid(worst[0]))} valid blocks, {worst[2].count} requests of "
        f"{worst[1]}",
        f"{percentile} from when it was due is {_ratio(worst, share)} times that from when it was "
        f"sent; {100 * worst[4]:.2g} % of requests were sent more than 2 ms late",
    )
    title = "Latency from when a request was due, and from when it was sent"
    with Sheet(title, notes, frame.stamp(campaign), height=2.9) as sheet:
        made = sheet.drawing.subplots(1, len(chosen), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (_, arm, response, service, _) in zip(made, chosen, strict=True):
            look = style.arm(arm)
            _tail(axes, response, color=look.colour, linewidth=2.2, label="from when it was due")
            _tail(axes, service, color="black", linestyle=":", label="from when it was sent")
            axes.set_title(look.label)
            axes.set_xlabel("latency (ms)")
            axes.legend(loc="best", handlelength=3.2)
        made[0].set_ylabel("slower than that (%)")
        made[0].set_yscale("log")
        made[0].set_ylim(top=130)
        style.log_axis(made[0].yaxis)
        made[0].yaxis.set_minor_locator(NullLocator())
        _tail_axis(made, chosen)
        alt = f"{cell.title}: share of requests slower than a latency. {notes[1]}."
        return sheet.finish("omission", alt, _omission_table(campaign, found))


_Both = tuple[int, str, Histogram, Histogram, float]


def _ratio(both: _Both, share: float) -> str:
    return f"{both[2].quantile(share) / max(both[3].quantile(share), 1e-9):.2f}"


def _tail(axes: Axes, histogram: Histogram, **look: Any) -> None:
    """Draw the share of requests slower than each latency, down to 10 of them."""
    slower = histogram.count - np.cumsum(histogram.counts)
    kept = slower >= min(10, histogram.count / 10)
    axes.plot(
        histogram.values_us[kept] / 1e3,
        100 * slower[kept] / histogram.count,
        drawstyle="steps-post",
        zorder=3,
        **look,
    )


def _tail_axis(made: Sequence[Axes], chosen: Sequence[_Both]) -> None:
    both = [histogram for one in chosen for histogram in one[2:4]]
    low = min(histogram.quantile(0.01) for histogram in both) * 1e3
    high = max(histogram.quantile(1 - 10 / histogram.count) for histogram in both) * 1e3
    style.latency_axis(made, "x", low, high, above=1.25, room=1.08, ticks=6)


def _omission_table(campaign: Campaign, found: Sequence[_Both]) -> show.Table:
    share = campaign.design.quantile
    return show.Table(
        title=f"{style.percentile(share)} from when requests were due, and from when sent",
        columns=("cell", "arm", "from due, ms", "from sent, ms", "ratio", "sent late, %"),
        rows=[
            (
                campaign.design.cells[one[0]].title,
                one[1],
                style.ms(1e3 * one[2].quantile(share)),
                style.ms(1e3 * one[3].quantile(share)),
                _ratio(one, share),
                f"{100 * one[4]:.2g}",
            )
            for one in found
        ],
        badge=frame.badge(campaign),
    )
