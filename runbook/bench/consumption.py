"""CPU between two snapshots, and what blocks of it add up to: ratios and lines with intervals."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from runbook.bench.kubelet import seconds
from runbook.bench.snapshot import Snapshot, Usage
from runbook.bench.stats import CONFIDENCE, Interval, t_interval, t_quantile

__all__ = [
    "MIB",
    "Line",
    "Memory",
    "Used",
    "container",
    "estimate",
    "line",
    "memory",
    "ratio",
    "used",
]

MIB = 2.0**20
_SHORTEST = 5.0  # seconds


@dataclass(frozen=True)
class Used:
    """CPU used between two samples.

    Attributes:
        cpu: Core-seconds.
        length: Seconds between the samples, by their own times: not between the snapshots, which
            are younger than what they hold. Times are cut to the second, so it is off by up to one.
    """

    cpu: float
    length: float

    @property
    def long(self) -> bool:
        """Whether it is long enough for a rate: shorter, whole seconds put it off by a fifth."""
        return self.length >= _SHORTEST

    @property
    def mcore(self) -> float:
        """Mean use, in thousandths of a core."""
        return 1000 * self.cpu / self.length


@dataclass(frozen=True)
class Memory:
    """Memory over some snapshots, in MiB.

    Attributes:
        mean: Over all of them.
        highest: Of them; what was higher in between was not seen.
        samples: How many there were.
    """

    mean: float
    highest: float
    samples: int


@dataclass(frozen=True)
class Line:
    """CPU against rate: what is used without load, and what each request adds.

    Attributes:
        idle: Intercept, in mcore.
        per_request: Slope, in µs of CPU.
        points: Mean rate (RPS) and mean use (mcore) of each block.
    """

    idle: Interval
    per_request: Interval
    points: tuple[tuple[float, float], ...]


def container(snapshot: Snapshot, deployment: str, name: str) -> str:
    """Find a container of a Deployment's pod; empty if it is not there.

    The name of a pod is that of its Deployment, a hash of its template and five letters; a node
    whose name begins with that of another is thereby told from it.
    """
    pod = re.compile(rf"[^/]+/{re.escape(deployment)}-[a-z0-9]+-[a-z0-9]+/{re.escape(name)}")
    found = [key for key in snapshot.containers if pod.fullmatch(key)]
    return max(found, key=lambda key: snapshot.containers[key].started, default="")


def used(before: Usage | None, after: Usage | None) -> Used | str:
    """Give the CPU used between two samples of one thing, or why it cannot be said.

    Never negative: a counter that was reset gives no figure at all.
    """
    if before is None or after is None:
        return "it was not read"
    if before.started != after.started:
        return "it was restarted"
    if before.cpu_seconds is None or after.cpu_seconds is None:
        return "its CPU time was not read"
    if after.cpu_seconds < before.cpu_seconds:
        return "its CPU counter went back"
    first, last = seconds(before.time), seconds(after.time)
    if first is None or last is None or last <= first:
        return "its samples carry no time" if None in (first, last) else "it was not sampled again"
    return Used(after.cpu_seconds - before.cpu_seconds, last - first)


def memory(values: Iterable[int | None]) -> Memory | None:
    """Give mean and highest of some figures in bytes; ``None`` if there are none."""
    known = [value / MIB for value in values if value is not None]
    return Memory(sum(known) / len(known), max(known), len(known)) if known else None


def ratio(costs: Sequence[float], units: Sequence[float]) -> Interval:
    """Give cost per unit over blocks: the sum of costs over the sum of units.

    The interval is the jackknife's over whole blocks with Student's quantile (Tukey's
    pseudo-values; Miller, Biometrika 1974): requests of one block share its conditions and are no
    samples of their own. With one block there is an estimate and no interval.
    """
    total, count = sum(costs) / sum(units), len(costs)
    if count < 2:
        return Interval(total, math.nan, math.nan)
    without = np.array(
        [(sum(costs) - c) / (sum(units) - u) for c, u in zip(costs, units, strict=True)]
    )
    half = t_interval(count * total - (count - 1) * without).half
    return Interval.around(total, half)


def estimate(values: Sequence[float]) -> Interval | None:
    """Give the mean of one figure a block with Student's interval; ``None`` without any."""
    if not values:
        return None
    if len(values) < 2:
        return Interval(values[0], math.nan, math.nan)
    return t_interval(np.array(values))


def line(spans: Sequence[Used], requests: Sequence[int]) -> Line | None:
    """Fit CPU against rate over blocks (ordinary least squares with Student's intervals).

    A block's mean use over its whole window is set against its mean rate over the same window, so
    that the time in which the other arm was under load counts as what it is: time without load.

    Returns:
        ``None`` unless there are three blocks at two rates at least.
    """
    rates = np.array([n / span.length for span, n in zip(spans, requests, strict=True)])
    cores = np.array([span.mcore for span in spans])
    if len(spans) < 3 or np.ptp(rates) < 0.2 * np.max(rates):
        return None
    fit = stats.linregress(rates, cores)
    reach = t_quantile((1 + CONFIDENCE) / 2, len(spans) - 2)
    return Line(
        idle=Interval.around(float(fit.intercept), reach * float(fit.intercept_stderr)),
        per_request=Interval.around(float(fit.slope), reach * float(fit.stderr)).scaled(1000),
        points=tuple(zip(rates.tolist(), cores.tolist(), strict=True)),
    )
