"""A campaign beside those of earlier records: what has become worse, what better.

Compared is what an arm adds to latency, not latency itself: machines and releases differ. A cell
of a campaign is comparable with one of another if rate, protocol and answer are the same and both
ends ran on the same model of machine, or on the same nodes where the model is not known. A change
is flagged by :func:`runbook.bench.effects.compare`: its interval excludes 0, and it is larger than
both noise floors and 5 % of the earlier overhead. Rehearsals are compared with rehearsals only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from runbook import campaigns, notebooks
from runbook.bench import effects
from runbook.bench.campaign import Campaign
from runbook.bench.design import Cell
from runbook.bench.effects import Change, Effect
from runbook.bench.stats import Interval
from runbook.campaigns import Found, Skipped
from runbook.checks import Check, Context, Outcome, Verdict
from runbook.linkerd.outcomes import judge
from runbook.show import Cell as Shown
from runbook.show import Table

if TYPE_CHECKING:
    from runbook.step import Step

__all__ = ["History", "Point", "Series", "checks", "of", "show"]

Word = Literal["regression", "improvement", "no change resolved", "not comparable"]

_TONES = {"regression": "fail", "improvement": "pass"}
_SHOWN = 10  # campaigns of a series, and records that were skipped, in tables


@dataclass(frozen=True)
class Point:
    """What an arm added to latency in one campaign.

    Attributes:
        run: The record it is from; empty for a campaign that is in none yet.
        campaign: The campaign, its blocks left out.
        effect: What was added.
    """

    run: str
    campaign: Campaign
    effect: Effect

    @property
    def day(self) -> str:
        """When its campaign began, in UTC."""
        return f"{self.campaign.began:%Y-%m-%d %H:%M}"

    @property
    def versions(self) -> dict[str, str]:
        """What was measured, and with what."""
        where = self.campaign.environment
        return {
            "linkerd": where.linkerd,
            "proxy": where.proxy.rpartition("/")[2],
            "kubernetes": where.cluster.get("version", ""),
            "generator": where.generator,
            "runbook": where.runbook,
        }

    def data(self) -> dict[str, Any]:
        """Give the point as JSON: times, versions, and numbers in ms."""
        ends = {name: getattr(self.effect.difference, name) for name in ("value", "low", "high")}
        numbers = ends | {"floor": self.effect.floor}
        return {
            "run": self.run,
            "campaign": self.campaign.id,
            "began": self.campaign.began.isoformat(),
            "cell": self.effect.cell.title,
            **self.versions,
            **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
            "blocks": self.effect.blocks,
            "claim": self.effect.claim,
        }


@dataclass(frozen=True)
class Series:
    """What an arm added in a cell of the newest campaign, and in the cells like it before.

    Attributes:
        points: Oldest first; the last is of the newest campaign.
        word: How the newest compares with the one before it that can be compared.
        why: Why it cannot; empty if it can.
        before: The one it was compared with.
        change: How much it moved.
    """

    points: tuple[Point, ...]
    word: Word
    why: str = ""
    before: Point | None = None
    change: Change | None = None

    @property
    def effect(self) -> Effect:
        """What the newest campaign says."""
        return self.points[-1].effect

    def data(self) -> dict[str, Any]:
        """Give the series as JSON, as a chart of it needs it."""
        moved = self.change and self.change.moved
        return {
            "cell": self.effect.cell.title,
            "arm": self.effect.arm,
            "percentile": self.effect.percentile,
            "verdict": self.word,
            "why": self.why,
            "change": moved and {"value": moved.value, "low": moved.low, "high": moved.high},
            "points": [point.data() for point in self.points],
        }


@dataclass(frozen=True)
class History:
    """The newest campaign beside the earlier ones.

    Attributes:
        series: One for each cell of the newest, and arm.
        skipped: Records that were not looked at, and why.
    """

    series: tuple[Series, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    def to_json(self) -> str:
        """Give all of it as JSON."""
        skipped = [{"run": one.run, "reason": one.reason} for one in self.skipped]
        made = {"series": [one.data() for one in self.series], "skipped": skipped}
        return json.dumps(made, indent=1, allow_nan=False)

    def tables(self, badge: str = "") -> Iterator[Table]:
        """Give the tables to show: changes, all campaigns, what was skipped."""
        if not self.series:
            yield Table("History", ("",), [("there is no campaign to compare",)], badge=badge)
        else:
            percentile = self.series[0].effect.percentile
            yield Table(
                title=f"Overhead at {percentile} against the campaign before",
                columns=("cell", "arm", "before, ms", "now, ms", "change, ms", "verdict", "note"),
                rows=[_compared(one) for one in self.series],
                badge=badge,
                note="flagged when the interval of the change excludes 0, and the change is larger "
                "than both noise floors and 5 % of the earlier overhead",
            )
            yield Table(
                title=f"Overhead at {percentile}, oldest campaign first",
                columns=("cell", "arm", "began, UTC", "Linkerd", "Kubernetes", "overhead, ms",
                         "A/A floor, ms", "record"),
                rows=[row for one in self.series for row in _course(one)],
                badge=badge,
            )  # fmt: skip
        if self.skipped:
            more = len(self.skipped) - _SHOWN
            yield Table(
                title="Not looked at",
                columns=("record", "why"),
                rows=[(one.run, one.reason) for one in self.skipped[-_SHOWN:]],
                note=f"and {more} older ones" if more > 0 else "",
            )


def of(
    found: Iterable[Found], skipped: Iterable[Skipped] = (), current: Campaign | None = None
) -> History:
    """Compare the newest campaign with those before it.

    Args:
        found: Campaigns of records, in any order.
        skipped: Records that were not read.
        current: The campaign to compare, whether it is in a record or not; by default the newest
            there is.
    """
    ordered = sorted(found, key=lambda one: (one.campaign.began, one.campaign.id))
    newest, ordered = _parted(ordered, current)
    left_out = list(skipped)
    if newest is None:
        return History((), tuple(left_out))
    share = newest.campaign.design.quantile
    earlier: list[tuple[Found, list[Effect]]] = []
    for one in ordered:
        if one.campaign.environment.rehearsal == newest.campaign.environment.rehearsal:
            try:
                earlier.append((one, _effects(one.campaign, share)))
            except (ValueError, LookupError, ArithmeticError, TypeError) as error:
                reason = f"its numbers make no sense: {type(error).__name__} {error}"
                left_out.append(Skipped(one.run, reason))
    series = [_series(newest, effect, earlier) for effect in _effects(newest.campaign, share)]
    return History(tuple(series), tuple(left_out))


def show(step: Step, campaign: Campaign | None, output: Path | None = None) -> History:
    """Show a campaign beside those of earlier records, and hand the numbers to the record.

    Args:
        step: At work.
        campaign: To compare; by default the newest of all records.
        output: Directory of the records; by default that of the clone.
    """
    with step.part("History"):
        rehearsal = None if campaign is None else campaign.environment.rehearsal
        found, skipped = campaigns.read(output or notebooks.outputs(), rehearsal=rehearsal)
        history = of(found, skipped, campaign)
        step.display(*history.tables(step.badge))
        step.keep("history.json", history.to_json())
        return history


def checks(history: History) -> tuple[Check, ...]:
    """Give the check of whether anything has become worse."""
    return (partial(no_regression, history=history),)


def no_regression(context: Context, *, history: History) -> Iterator[Outcome]:
    """Nothing has become worse since the campaign before."""
    verdicts: dict[Word, Verdict] = {"regression": "fail", "not comparable": "skip"}
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


def _parted(ordered: list[Found], current: Campaign | None) -> tuple[Found | None, list[Found]]:
    """Give the campaign to compare, and those that began before it."""
    if current is None:
        return (ordered[-1], ordered[:-1]) if ordered else (None, [])
    known = (one.run for one in ordered if one.campaign.id == current.id)
    newest = Found(next(known, ""), current)
    return newest, [
        one
        for one in ordered
        if one.campaign.began < current.began and one.campaign.id != current.id
    ]


def _effects(campaign: Campaign, share: float) -> list[Effect]:
    found = effects.of(campaign, quantiles=(share,))
    return [effect for effect in found if effect.quantile == share]


def _series(newest: Found, effect: Effect, earlier: Sequence[tuple[Found, list[Effect]]]) -> Series:
    """Follow one effect of the newest campaign back through the earlier ones."""
    points = []
    reason = "there is no earlier campaign"
    for found, measured in earlier:
        cell, why = _counterpart(effect.cell, newest.campaign, found.campaign)
        same = [one for one in measured if one.cell == cell and one.arm == effect.arm]
        if same:
            points.append(_point(found, same[0]))
        else:
            day = f"{found.campaign.began:%Y-%m-%d %H:%M}"
            reason = f"the campaign of {day} {why or f'has no arm {effect.arm}'}"
    last = _point(newest, effect)
    series = Series((*points, last), "not comparable", reason)
    if not points:
        return series
    if effect.claim == "too few":
        return replace(series, why=effect.wording)
    enough = [point for point in points if point.effect.claim != "too few"]
    if not enough:
        return replace(series, why=f"{points[-1].day}: {points[-1].effect.wording}")
    change = effects.compare(enough[-1].effect, effect)
    word: Word = "no change resolved"
    if change.flagged:
        word = "regression" if change.moved.value > 0 else "improvement"
    return replace(series, word=word, why="", before=enough[-1], change=change)


def _point(found: Found, effect: Effect) -> Point:
    return Point(found.run, found.campaign.model_copy(update={"blocks": (), "idle": ()}), effect)


def _counterpart(cell: Cell, newest: Campaign, earlier: Campaign) -> tuple[Cell | None, str]:
    """Give the cell of an earlier campaign that can be compared, or why there is none."""
    load = (cell.rps, cell.protocol, cell.payload)
    loaded = [c for c in earlier.design.cells if (c.rps, c.protocol, c.payload) == load]
    if not loaded:
        return None, f"has no {' · '.join(cell.title.split(' · ')[1:])}"
    same = [
        other
        for other in loaded
        if _alike(cell.node, newest, other.node, earlier)
        and _alike(cell.client, newest, other.client, earlier)
    ]
    if not same:
        there = ", ".join(dict.fromkeys(_machines(one, earlier) for one in loaded))
        return None, f"measured {there}, not {_machines(cell, newest)}"
    own = [other for other in same if other.node == cell.node]
    both = [other for other in own if other.client == cell.client]
    chosen = both or own or (same if len(same) == 1 else [])
    if chosen:
        return chosen[0], ""
    return None, f"measured several nodes of this kind, none of them named {cell.node}"


def _alike(node: str, newest: Campaign, other: str, earlier: Campaign) -> bool:
    """Tell whether two nodes are of the same model, or the same where a model is not known."""
    models = [_model(node, newest), _model(other, earlier)]
    if all(models):
        return models[0] == models[1]
    uids = {one.environment.cluster.get("uid", "") for one in (newest, earlier)}
    return node == other and len(uids) == 1


def _model(node: str, campaign: Campaign) -> str:
    return campaign.environment.nodes.get(node, {}).get("model", "")


def _machines(cell: Cell, campaign: Campaign) -> str:
    names = [_model(node, campaign) or node for node in (cell.node, cell.client)]
    return names[0] if names[0] == names[1] else f"{names[0]} under load from {names[1]}"


def _compared(one: Series) -> tuple[Shown | str, ...]:
    before = ""
    if one.before:
        before = f"{_span(one.before.effect.difference)}\n{one.before.day}"
    return (
        one.effect.cell.title,
        one.effect.arm,
        before,
        _span(one.effect.difference),
        _span(one.change.moved, signed=True) if one.change else "",
        Shown(one.word, tone=_TONES.get(one.word, "skip")),
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
