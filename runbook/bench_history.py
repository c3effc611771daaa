"""The history of campaigns as notebook 64 shows it: tables, a chart, checks."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from runbook import campaigns, notebooks
from runbook.bench.campaign import Campaign
from runbook.bench.stats import Interval
from runbook.checks import Check, Context, Outcome, Verdict
from runbook.linkerd.outcomes import judge
from runbook.show import Cell, Table
from runbook.trend import History, Series, Word, of

if TYPE_CHECKING:
    from runbook.bench.charts import Past
    from runbook.bench.figure import Figure
    from runbook.step import Step

__all__ = ["chart", "checks", "no_regression", "show", "tables"]

_TONES = {"regression": "fail", "improvement": "pass"}
_SHOWN = 10  # campaigns of a series, and records that were skipped, in tables


def show(step: Step, campaign: Campaign | None, output: Path | None = None) -> History:
    """Show a campaign beside those of earlier records, and hand the numbers to the record.

    Args:
        step: At work.
        campaign: To compare; by default the newest of all records.
        output: Directory of the records; by default that of the run this is part of, else that
            of the clone.
    """
    place = output or Path(os.environ.get("RUNBOOK_OUTPUT") or notebooks.outputs())
    with step.part("History"):
        rehearsal = None if campaign is None else campaign.environment.rehearsal
        found, skipped = campaigns.read(place, rehearsal=rehearsal)
        history = of(found, skipped, campaign)
        step.display(*tables(history, step.badge))
        drawn = chart(history)
        step.display(*([drawn] if drawn else []))
        step.keep("history.json", history.to_json())
        return history


def checks(history: History) -> tuple[Check, ...]:
    """Give the check of whether anything has become worse."""
    return (partial(no_regression, history=history),)


def no_regression(context: Context, *, history: History) -> Iterator[Outcome]:
    """Nothing has become worse since the campaign before.

    On a rehearsal it is only a warning: what else the machine did differs from day to day, and says
    nothing of a mesh.
    """
    worse: Verdict = "warn" if context.cluster.rehearsal else "fail"
    verdicts: dict[Word, Verdict] = {"regression": worse, "not comparable": "skip"}
    for one in history.series:
        cell, arm, percentile = one.effect.cell, one.effect.arm, one.effect.percentile
        moved = f"{_span(one.change.moved, signed=True)} ms" if one.change else one.why
        since = f" since {one.before.day}" if one.before else ""
        yield judge(
            f"bench-history-{arm}-{cell.node}-{cell.rps}-{cell.protocol}-{cell.payload}",
            f"{percentile} overhead of {arm} is no higher than before: {cell.title}",
            verdicts.get(one.word, "pass"),
            expected=f"at most {one.change.least:.2f} ms more" if one.change else "",
            seen=f"{one.word}: {moved}{since}",
            why=_differences(one),
            fix="measure once more; if it stays, look at what else differs between both records",
        )
    if not history.series:
        title = "there is a campaign to compare"
        yield judge("bench-history", title, "skip", seen="none was measured yet")


def chart(history: History) -> Figure | None:
    """Draw what the mesh added, campaign by campaign; nothing if there is no earlier one."""
    from runbook.bench import charts  # noqa: PLC0415 - matplotlib takes a second to load

    meshed = [one for one in history.series if one.effect.arm == "meshed"]
    courses = [charts.Course(one.effect.cell.title, tuple(_past(one))) for one in meshed]
    if history.newest is None:
        return None
    try:
        return charts.history(history.newest, courses)
    except charts.NotDrawn:
        return None


def tables(history: History, badge: str = "") -> Iterator[Table]:
    """Give the tables to show: changes, all campaigns, what was skipped.

    Args:
        history: To show.
        badge: Of the tables.
    """
    if history.series:
        percentile = history.series[0].effect.percentile
        yield Table(
            title=f"Overhead at {percentile} against the campaign before",
            columns=("cell", "arm", "before, ms", "now, ms", "change, ms", "verdict", "note"),
            rows=[_compared(one) for one in history.series],
            badge=badge,
            note="flagged when the interval of the change excludes 0, and the change is larger "
            "than both noise floors and 5 % of the earlier overhead",
        )
        yield Table(
            title=f"Overhead at {percentile}, oldest campaign first",
            columns=("cell", "arm", "began, UTC", "Linkerd", "Kubernetes", "overhead, ms",
                     "A/A floor, ms", "record"),
            rows=[row for one in history.series for row in _course(one)],
            badge=badge,
        )  # fmt: skip
    else:
        yield Table("History", ("",), [("there is no campaign to compare",)], badge=badge)
    if history.skipped:
        more = len(history.skipped) - _SHOWN
        yield Table(
            title="Not looked at",
            columns=("record", "why"),
            rows=[(one.run, one.reason) for one in history.skipped[-_SHOWN:]],
            note=f"and {more} older ones" if more > 0 else "",
        )


def _past(one: Series) -> Iterator[Past]:
    """Give the campaigns of a cell as the chart wants them."""
    from runbook.bench.charts import Past  # noqa: PLC0415 - see above

    for point, word in zip(one.points, one.words, strict=True):
        yield Past(
            day=point.day[:10],
            version=point.versions["linkerd"],
            difference=point.effect.difference,
            floor=point.effect.floor,
            flag=word if word in _TONES else "",
            resolved=point.effect.claim in ("slower", "faster"),
        )


def _compared(one: Series) -> tuple[Cell | str, ...]:
    before = ""
    if one.before:
        before = f"{_span(one.before.effect.difference)}\n{one.before.day}"
    return (
        one.effect.cell.title,
        one.effect.arm,
        before,
        _span(one.effect.difference),
        _span(one.change.moved, signed=True) if one.change else "",
        Cell(one.word, tone=_TONES.get(one.word, "skip")),
        one.why or _differences(one),
    )


def _course(one: Series) -> Iterator[tuple[str, ...]]:
    """Give a row for each of the last campaigns; the cell is named in the first."""
    names = (one.effect.cell.title, one.effect.arm)
    for point in one.points[-_SHOWN:]:
        effect = point.effect
        said = effect.wording if effect.claim == "too few" else _span(effect.difference)
        floor = f"{effect.floor:.2f}" if math.isfinite(effect.floor) else ""
        versions = point.versions
        yield (
            *names,
            point.day,
            versions["linkerd"],
            versions["kubernetes"],
            said,
            floor,
            point.run or "this one",
        )
        names = ("", "")


def _differences(one: Series) -> str:
    """Say what else is not as it was: versions, and nodes of other names."""
    if one.before is None:
        return ""
    pairs = zip(one.before.versions.items(), one.points[-1].versions.values(), strict=True)
    told = [f"{name} {was or 'unknown'}, now {now or 'unknown'}" for (name, was), now in pairs
            if was != now]  # fmt: skip
    if (was := one.before.effect.cell.node) != one.effect.cell.node:
        told.append(f"node {was}, now {one.effect.cell.node}")
    return "; ".join(told)


def _span(found: Interval, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    if not math.isfinite(found.value):
        return ""
    value = f"{found.value:{sign}.2f}"
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return value
    return f"{value} ({found.low:{sign}.2f} to {found.high:{sign}.2f})"
