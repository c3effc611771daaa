"""Intervals, tests and rules on the differences of blocks. Pure functions of arrays.

The block is the unit of replication: requests of one run depend on each other, so that no formula
here takes a request for a sample of its own. Intervals of a percentile of the merged latencies
come from :mod:`runbook.bench.bootstrap`, the number of blocks from
:mod:`runbook.bench.stopping`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special  # scipy.stats takes a second to load

__all__ = [
    "CONFIDENCE",
    "Interval",
    "change",
    "equivalent",
    "hodges_lehmann",
    "holm",
    "needed",
    "noise_floor",
    "p_value",
    "percentile",
    "t_interval",
    "t_quantile",
]

CONFIDENCE = 0.95
"""Of every interval that is not said to be another's."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval, 95 % unless said otherwise.

    Attributes:
        value: The estimate.
        low: Lower end; not a number if there are too few blocks for any.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    @classmethod
    def around(cls, value: float, half: float) -> Interval:
        """Give a value with the same distance to both ends."""
        return cls(value, value - half, value + half)

    @property
    def half(self) -> float:
        """Half the width."""
        return (self.high - self.low) / 2

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside; never so without an interval."""
        return self.low > 0 or self.high < 0

    def said(self, form: Callable[[float], str]) -> str:
        """Give it in words, without the ends it does not have; nothing if there is no estimate.

        Args:
            form: Writes a number.
        """
        if not math.isfinite(self.value):
            return ""
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return form(self.value)
        return f"{form(self.value)} ({form(self.low)} to {form(self.high)})"

    def scaled(self, factor: float) -> Interval:
        """Give the same in another unit, for a factor above 0."""
        return Interval(self.value * factor, self.low * factor, self.high * factor)


def t_interval(values: Floats, confidence: float = CONFIDENCE) -> Interval:
    """Give the mean with Student's interval (Student, Biometrika 1908).

    For block differences, paired; near its nominal coverage unless their noise is skewed.

    Raises:
        ValueError: There are fewer than two values.
    """
    count = len(values)
    if count < 2:
        raise ValueError(f"an interval needs two values, not {count}")
    mean = float(np.mean(values))
    spread = float(np.std(values, ddof=1))
    half = t_quantile((1 + confidence) / 2, count - 1) * spread / math.sqrt(count)
    return Interval.around(mean, half)


def hodges_lehmann(values: Floats, confidence: float = CONFIDENCE) -> Interval | None:
    """Give the median of all Walsh averages with the exact signed-rank interval.

    The averages are of all pairs, each value with itself included; the ends are those at the
    critical rank of Wilcoxon's statistic (Hollander, Wolfe & Chicken, Nonparametric Statistical
    Methods, 3rd ed. 2014, sections 3.2 and 3.3). Exact for differences that are symmetric around
    their centre, whatever their tails; one bad block of six moves it little.

    Returns:
        Nothing if there are too few values for an interval of this confidence (below 6 at 95 %).
    """
    count = len(values)
    rank = _signed_rank(count, (1 - confidence) / 2)
    if rank == 0:
        return None
    first, second = np.triu_indices(count)
    averages = np.sort((values[first] + values[second]) / 2)
    return Interval(float(np.median(averages)), float(averages[rank - 1]), float(averages[-rank]))


@cache
def _signed_rank(count: int, tail: float) -> int:
    """Give how many of the lowest sums of positive ranks together have at most this probability.

    Each rank's sign is a fair coin: the distribution is built rank by rank.
    """
    chances = np.zeros(count * (count + 1) // 2 + 1)
    chances[0] = 1.0
    for rank in range(1, count + 1):
        chances[rank:] = (chances[rank:] + chances[:-rank]) / 2
        chances[:rank] /= 2
    return int(np.sum(np.cumsum(chances) <= tail * (1 + 1e-12)))


def p_value(interval: Interval, freedom: int, confidence: float = CONFIDENCE) -> float:
    """Give the two-sided p-value of no effect that belongs to an interval.

    The side that faces 0 is read as a t quantile times a standard error, with ``freedom`` degrees
    of freedom: the value is below 0.05 exactly if the 95 % interval excludes 0 (the duality of
    tests and intervals; Lehmann & Romano, Testing Statistical Hypotheses, section 3.5).

    Returns:
        1 if there is no interval.
    """
    side = interval.value - interval.low if interval.value > 0 else interval.high - interval.value
    if math.isnan(side) or interval.value == 0:
        return 1.0
    if side <= 0:
        return 0.0
    distance = abs(interval.value) / side * t_quantile((1 + confidence) / 2, freedom)
    return float(2 * special.stdtr(freedom, -distance))


def percentile(quantile: float) -> str:
    """Give the name of a percentile.

    >>> percentile(0.5), percentile(0.99), percentile(0.999)
    ('p50', 'p99', 'p99.9')
    """
    return f"p{quantile * 100:.6g}"


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number by Holm's step-down rule (Scand. J. Statistics 1979).

    The chance of any false claim among all of them stays below the level, whatever they have to
    do with each other.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for place, index in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def equivalent(interval: Interval, margin: float) -> bool:
    """Tell whether an effect is shown to lie within the margin on both sides.

    Two one-sided tests at 5 % (Schuirmann, J. Pharmacokinetics and Biopharmaceutics 1987): the
    **90 %** interval lies inside.

    Args:
        interval: Of 90 %.
        margin: Largest effect that counts as none, in the interval's unit.
    """
    return -margin < interval.low and interval.high < margin


def needed(quantile: float) -> int:
    """Give the fewest requests an arm needs for a quantile: 10 beyond it.

    10 / (1 - p), which is 1000 for p99 and 10 000 for p99.9: with fewer, the binomial interval of
    the order statistics around it ends at the maximum, or nearly so.
    """
    return math.ceil(round(10 / (1 - quantile), 6))


def noise_floor(control: Interval) -> float:
    """Give the smallest effect a campaign may claim, from baseline against itself.

    In a block, meshed less baseline is a difference of two latencies each of which is merged of
    two runs; the control is one run less the other. With variance v of a run's percentile around
    that of its block, and merging near enough to averaging, the former has variance
    v / 2 + v / 2 = v and the latter 2 v: the control's half-width is divided by the square root
    of 2. A steady drift cancels in the former but not in the latter, so that the floor errs on the
    high side. ``benchmarks/bench_truth.py`` shows the factor on simulated campaigns.

    Args:
        control: Of second runs less first runs, over the same blocks as the effect.
    """
    return control.half / math.sqrt(2)


def change(earlier: Interval, later: Interval) -> Interval:
    """Give how much an estimate moved from one campaign to another, independent one.

    The distances of both estimates to their own ends add up as squares, each side for itself
    (MOVER; Zou & Donner, Statistics in Medicine 2008). It needs no blocks, so that records can be
    compared that have been reduced to their results.
    """
    value = later.value - earlier.value
    below = math.hypot(later.value - later.low, earlier.high - earlier.value)
    above = math.hypot(later.high - later.value, earlier.value - earlier.low)
    return Interval(value, value - below, value + above)


def t_quantile(share: float, freedom: int) -> float:
    """Give a quantile of Student's t distribution."""
    return float(special.stdtrit(freedom, share))
