"""What Prometheus answers, as values: series, targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from runbook.errors import StepError
from runbook.fields import seconds

__all__ = ["Growth", "Series", "Target", "Targets", "joined", "moment", "series", "targets"]


@dataclass(frozen=True)
class Growth:
    """How much a counter grew between its first and its last sample.

    Attributes:
        value: In the counter's unit.
        seconds: Between the two samples.
    """

    value: float
    seconds: float


@dataclass(frozen=True)
class Target:
    """What Prometheus scrapes.

    Attributes:
        pool: Name of the job in its configuration, such as ``podMonitor/linkerd/proxy/0``.
        labels: What its series get.
        discovered: What was known before relabelling, ``__meta_*`` and all.
        url: What is scraped.
        health: ``up``, ``down`` or ``unknown`` before the first scrape.
        error: Why the last scrape failed, empty if it did not.
        last_scrape: Seconds since 1970; ``None`` before the first scrape.
        interval: Seconds between two scrapes; ``None`` if the server does not tell.
    """

    pool: str
    labels: Mapping[str, str]
    discovered: Mapping[str, str]
    url: str
    health: str
    error: str = ""
    last_scrape: float | None = None
    interval: float | None = None


@dataclass(frozen=True)
class Targets:
    """Every target.

    Attributes:
        active: Those that are scraped.
        dropped: How many were found and left out by relabelling.
    """

    active: tuple[Target, ...]
    dropped: int


@dataclass(frozen=True)
class Series:
    """One series.

    Attributes:
        labels: Without the name of the metric where a query has taken it away.
        points: Time (seconds since 1970) and value of each sample, oldest first.
    """

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def last(self) -> float:
        """The newest value."""
        return self.points[-1][1]

    @property
    def mean(self) -> float:
        """The mean over samples."""
        return sum(value for _, value in self.points) / len(self.points)

    @property
    def highest(self) -> float:
        """The highest value."""
        return max(value for _, value in self.points)

    def growth(self) -> Growth | None:
        """Give how much a counter grew; ``None`` if it was reset, or sampled only once."""
        values = [value for _, value in self.points]
        fell = any(later < earlier for earlier, later in pairwise(values))
        if len(values) < 2 or fell:
            return None
        return Growth(values[-1] - values[0], self.points[-1][0] - self.points[0][0])


def series(found: Any) -> list[Series]:
    """Read the result of a query: a vector, or samples.

    Raises:
        StepError: It is a single number.
    """
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise StepError("the query gives a single number, not series")
    return [
        Series(
            dict(entry["metric"]),
            _points(entry["values"] if "values" in entry else [entry["value"]]),
        )
        for entry in found
    ]


def joined(pieces: Iterable[Iterable[Series]]) -> list[Series]:
    """Put pieces of time together; a sample that two of them hold comes once."""
    gathered: dict[tuple[tuple[str, str], ...], dict[float, float]] = {}
    for piece in pieces:
        for one in piece:
            gathered.setdefault(tuple(sorted(one.labels.items())), {}).update(one.points)
    return [
        Series(dict(labels), tuple(sorted(points.items())))
        for labels, points in sorted(gathered.items())
    ]


def targets(found: Any) -> Targets:
    """Read the answer of ``/api/v1/targets``."""
    active = tuple(_target(entry) for entry in found.get("activeTargets") or ())
    return Targets(active, len(found.get("droppedTargets") or ()))


def moment(text: str) -> float | None:
    """Give seconds since 1970; ``None`` for Go's zero time, which means never."""
    return None if text.startswith("0001-") else datetime.fromisoformat(text).timestamp()


def _points(found: Iterable[Any]) -> tuple[tuple[float, float], ...]:
    return tuple((float(moment), float(value)) for moment, value in found)


def _target(entry: Mapping[str, Any]) -> Target:
    interval, last = entry.get("scrapeInterval"), entry.get("lastScrape")
    return Target(
        pool=str(entry.get("scrapePool", "")),
        labels=dict(entry["labels"]),
        discovered=dict(entry.get("discoveredLabels") or {}),
        url=str(entry.get("scrapeUrl", "")),
        health=str(entry["health"]),
        error=str(entry.get("lastError", "")),
        last_scrape=moment(last) if last else None,
        interval=seconds(interval) if interval else None,
    )
