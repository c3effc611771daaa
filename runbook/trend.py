"""Campaigns over time: what each added to latency, and whether the newest is worse or better.

Compared is what an arm adds to latency, not latency itself: machines and releases differ. A cell
of a campaign is comparable with one of another if rate, protocol and answer are the same and both
ends ran on the same model of machine, or on the same nodes where the model is not known. A change
is flagged by :func:`runbook.bench.effects.compare`: its interval excludes 0, and it is larger than
both noise floors and 5 % of the earlier overhead. Rehearsals are compared with rehearsals only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from runbook.bench import effects
from runbook.bench.campaign import Campaign
from runbook.bench.design import Cell
from runbook.bench.effects import Change, Effect
from runbook.campaigns import Found, Skipped

__all__ = ["History", "Point", "Series", "Word", "of"]

Word = Literal["regression", "improvement", "no change resolved", "not comparable"]


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

    @property
    def words(self) -> tuple[Word, ...]:
        """How each campaign compares with those before it."""
        return tuple(_compared(self.points[:n], p.effect)[0] for n, p in enumerate(self.points))

    def data(self) -> dict[str, Any]:
        """Give the series as JSON."""
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
        newest: The newest campaign; nothing if there is none.
    """

    series: tuple[Series, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    newest: Campaign | None = None

    def to_json(self) -> str:
        """Give all of it as JSON."""
        skipped = [{"run": one.run, "reason": one.reason} for one in self.skipped]
        made = {"series": [one.data() for one in self.series], "skipped": skipped}
        return json.dumps(made, indent=1, allow_nan=False)


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
    return History(tuple(series), tuple(left_out), newest.campaign)


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
    word, why, before, change = _compared(points, effect)
    return Series((*points, last), word, why if points else reason, before, change)


def _compared(
    points: Sequence[Point], effect: Effect
) -> tuple[Word, str, Point | None, Change | None]:
    """Compare an effect with that of the last campaign before it that has enough data."""
    if effect.claim == "too few":
        return "not comparable", effect.wording, None, None
    enough = [point for point in points if point.effect.claim != "too few"]
    if not enough:
        why = f"{points[-1].day}: {points[-1].effect.wording}" if points else ""
        return "not comparable", why, None, None
    change = effects.compare(enough[-1].effect, effect)
    word: Word = "no change resolved"
    if change.flagged:
        word = "regression" if change.moved.value > 0 else "improvement"
    return word, "", enough[-1], change


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
