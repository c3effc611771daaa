"""Charts beside others: published results, and earlier campaigns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, SymmetricalLogLocator

from runbook import show
from runbook.bench import charts_frame as frame
from runbook.bench import published, style
from runbook.bench.campaign import Campaign
from runbook.bench.charts_frame import NotDrawn
from runbook.bench.design import Cell
from runbook.bench.effects import Effect
from runbook.bench.figure import Figure, Sheet
from runbook.bench.stats import Interval

__all__ = ["Course", "Past", "history", "reference"]

_OURS = 8
_SHARES = (0.5, 0.99)
_MARKS = {"linkerd-2021-05": "o", "linkerd-2021-11": "s", "linkerd-2025-04": "D", "istio-docs": "^"}


def reference(campaign: Campaign, effects: Sequence[Effect]) -> Figure:
    """Draw what others published that a mesh added, and ours; no comparison on equal terms.

    Raises:
        NotDrawn: Neither p50 nor p99 has enough requests.
    """
    own = [
        effect
        for effect in frame.of_arm(effects)
        if effect.quantile in _SHARES and effect.claim != "too few"
    ]
    if not own:
        raise NotDrawn("neither p50 nor p99 has enough blocks and requests")
    cells = _chosen(list(dict.fromkeys(effect.cell for effect in own)))
    others = list(dict.fromkeys((a.source, a.mesh, a.rps) for q in _SHARES for a in
                                published.added(q)))  # fmt: skip
    names = [f"here: {name}" for name in frame.labels(cells)]
    theirs = [f"{mesh}, {rps} RPS" for _, mesh, rps in others]
    notes = (
        f"filled: here; {frame.basis(own)}; lines are 95 % intervals (block bootstrap)",
        f"hollow: published, {published.REMARK} (loader, application): not "
        "comparable on equal terms; lines are 1 SD of runs, where it was given",
        *(
            ["of this campaign, the cells with the least and the most load of each node"]
            if len(cells) < len({effect.cell for effect in own})
            else []
        ),
    )
    rows = len(cells) + len(others) + 1
    title = "Latency added by a mesh: here, and as published elsewhere"
    with Sheet(title, tuple(notes), frame.stamp(campaign), height=0.185 * rows + 0.6) as sheet:
        made = sheet.drawing.subplots(1, 2, sharey=True)
        for axes, share in zip(made, _SHARES, strict=True):
            for place, cell in enumerate(cells):
                effect = frame.among(own, cell, "meshed", share)
                if effect is not None:
                    hollow = effect.claim == "unresolved"
                    look = style.arm("meshed")
                    difference = effect.difference
                    frame.errorbar(axes, place, difference, look, across=True, hollow=hollow)
                    axes.annotate(
                        frame.ranged(difference),
                        (max(frame.reach([difference])), place),
                        xytext=(7, 0),
                        textcoords="offset points",
                        verticalalignment="center",
                        fontsize=8,
                    )
            _others(axes, others, share, len(cells) + 1)
            axes.axvline(0, color=style.INK, linewidth=0.9, zorder=1)
            axes.axhline(len(cells), color=style.MUTED, linewidth=0.6, linestyle=":")
            axes.set_title(f"{style.percentile(share)} added")
            axes.set_xlabel("ms")
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0)
            _scale(axes, [e.difference for e in own if e.quantile == share], share)
        made[0].set_yticks(
            [*range(len(cells)), *range(len(cells) + 1, rows)], names + theirs, fontsize=7.5
        )
        for label, name in zip(made[0].get_yticklabels(), names + theirs, strict=True):
            label.set_color(style.INK if name in names else style.PUBLISHED)
        made[0].set_ylim(rows - 0.4, -0.6)
        _sources(made[1], others, len(cells) + 1)
        alt = "Latency added here: " + "; ".join(
            f"{e.cell.title} {e.percentile} {e.wording}" for e in own if e.cell in cells[:4]
        )
        table = published.table(
            tuple(r for r in published.load() if r.metric in ("latency_p50", "latency_p99")
                  or r.metric.startswith("latency_added")),
            "Latency, published",
        )  # fmt: skip
        return sheet.finish("published", f"{alt}. Published: see the table.", table)


def _chosen(cells: list[Cell]) -> list[Cell]:
    if len(cells) <= _OURS:
        return cells
    kept = []
    for node in dict.fromkeys(cell.node for cell in cells):
        own = sorted((c for c in cells if c.node == node), key=lambda c: (c.rps, c.payload))
        kept += [own[0], own[-1]]
    return list(dict.fromkeys(kept))[:_OURS]


def _scale(axes: Axes, ours: Sequence[Interval], share: float) -> None:
    """Choose a logarithmic axis when ours would squeeze all others to nothing."""
    theirs = max(added.ms for added in published.added(share))
    if max((abs(end) for end in frame.reach(ours)), default=0.0) > 4 * theirs:
        axes.set_xscale("symlog", linthresh=10.0)
        axes.xaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=10.0))
        axes.xaxis.set_major_formatter(FuncFormatter(style.signed))
    else:
        style.few_ticks(axes.xaxis, 6)


def _others(axes: Axes, others: Sequence[tuple[str, str, int]], share: float, first: int) -> None:
    found = {(a.source, a.mesh, a.rps): a for a in published.added(share)}
    for place, key in enumerate(others, first):
        added = found.get(key)
        if added is None:
            continue
        spread = added.sd or 0.0
        interval = Interval(added.ms, added.ms - spread, added.ms + spread)
        look = style.Look("", style.PUBLISHED, _MARKS[added.source], "none")
        frame.errorbar(axes, place, interval, look, across=True, hollow=True, size=4.5)


def _sources(axes: Axes, others: Sequence[tuple[str, str, int]], first: int) -> None:
    """Name each source once, beside its rows."""
    for source in dict.fromkeys(key[0] for key in others):
        places = [n for n, key in enumerate(others, first) if key[0] == source]
        axes.text(
            1.02,
            sum(places) / len(places),
            published.SOURCES[source].label.replace(" blog ", "\nblog ")
            + ("\nother hardware" if len(places) > 2 else ", other hw."),
            transform=axes.get_yaxis_transform(),
            verticalalignment="center",
            fontsize=7.5,
            color=style.PUBLISHED,
        )
        axes.plot(
            [1.01, 1.01],
            [places[0] - 0.35, places[-1] + 0.35],
            transform=axes.get_yaxis_transform(),
            color=style.PUBLISHED,
            linewidth=1,
            clip_on=False,
        )


@dataclass(frozen=True)
class Past:
    """What an arm added to latency in one campaign.

    Attributes:
        day: When it began.
        version: Of the mesh, and whatever else tells it from the others.
        difference: In ms, with its interval.
        floor: A/A noise, ms.
        flag: ``regression`` or ``improvement`` against the campaign before; else empty.
        resolved: Whether the effect could be claimed.
    """

    day: str
    version: str
    difference: Interval
    floor: float
    flag: str = ""
    resolved: bool = True


@dataclass(frozen=True)
class Course:
    """The campaigns of one cell, oldest first.

    Attributes:
        title: Of the cell.
        points: At least two.
    """

    title: str
    points: tuple[Past, ...]


def history(campaign: Campaign, courses: Sequence[Course]) -> Figure:
    """Draw what the mesh added in each campaign, with its versions below.

    Args:
        campaign: The newest.
        courses: One for each cell, campaigns oldest first.

    Raises:
        NotDrawn: There is no earlier campaign of any cell.
    """
    shown = [course for course in courses if len(course.points) > 1][:6]
    if not shown:
        raise NotDrawn("there is no earlier campaign to compare with")
    percentile = style.percentile(campaign.design.quantile)
    notes = (
        "lines are 95 % intervals; grey: A/A noise of the campaign; hollow: not resolved",
        "▲ regression, ▼ improvement against the campaign before: the interval of the change "
        "excludes 0, and it is larger than the noise and than 5 %",
    )
    title = f"What the mesh added to {percentile}, campaign by campaign"
    height = 2.0 * len(shown) + 0.3
    with Sheet(title, notes, frame.stamp(campaign), height=height) as sheet:
        made = sheet.drawing.subplots(len(shown), 1, squeeze=False)
        for (axes,), course in zip(made, shown, strict=True):
            _course(axes, course)
        alt = "; ".join(
            f"{course.title}: {style.ms(course.points[-1].difference.value)} ms, before "
            f"{style.ms(course.points[-2].difference.value)} ms {course.points[-1].flag}".strip()
            for course in shown
        )
        return sheet.finish(
            "history", f"Added latency over campaigns. {alt}.", _courses(campaign, shown)
        )


def _course(axes: Axes, course: Course) -> None:
    points = course.points[-12:]
    look = style.arm("meshed")
    for place, point in enumerate(points):
        if math.isfinite(point.floor):
            axes.bar(place, 2 * point.floor, bottom=-point.floor, width=0.6, color=style.BAND)
        frame.errorbar(axes, place, point.difference, look, hollow=not point.resolved)
        if point.flag:
            top = max(frame.reach([point.difference]))
            axes.annotate(
                ("▲ " if point.flag == "regression" else "▼ ") + point.flag,
                (place, top),
                xytext=(0, 5),
                textcoords="offset points",
                horizontalalignment="center",
                fontsize=8,
                fontweight="bold",
            )
    axes.axhline(0, color=style.INK, linewidth=0.9, zorder=1)
    axes.set_title(course.title, fontsize=8)
    axes.set_xticks(range(len(points)), [f"{p.version}\n{p.day}" for p in points], fontsize=7)
    axes.set_xlim(-0.6, len(points) - 0.4)
    axes.margins(y=0.22)
    axes.set_ylabel("added (ms)")
    axes.grid(visible=False, axis="x")
    style.few_ticks(axes.yaxis, 5)


def _courses(campaign: Campaign, courses: Sequence[Course]) -> show.Table:
    return show.Table(
        title="Campaign by campaign",
        columns=("cell", "began", "version", "added, ms", "A/A floor, ms", ""),
        rows=[
            (
                course.title,
                point.day,
                point.version,
                frame.ranged(point.difference),
                frame.said(point.floor),
                point.flag,
            )
            for course in courses
            for point in course.points
        ],
        badge=frame.badge(campaign),
    )
