"""How many blocks a cell gets: decided once, from its first ones, by precision alone.

Stopping as soon as an interval excludes 0 finds an effect in a quarter of all campaigns without
any (``benchmarks/bench_stopping.py`` shows it); stopping as soon as it is narrow stops too early
when the spread happens to look small. Stein's rule looks once: the spread of a pilot fixes the
number of blocks (Stein, Annals of Mathematical Statistics 1945; Kalibera & Jones, ISMM 2013, for
benchmarks).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runbook.bench.stats import Interval, t_interval

__all__ = ["Bound", "Plan", "plan", "stein_interval"]

Bound = Literal["precision", "most", "budget"]

_BOUNDS = {
    "precision": "the precision asked for",
    "most": "the most blocks a cell may have",
    "budget": "the minutes the campaign may take",
}


@dataclass(frozen=True)
class Plan:
    """How many blocks a cell gets.

    Attributes:
        blocks: In all, the pilot's included.
        bound: What decided it.
        half: Half-width to expect with them, in the unit of the target.
        wanted: Blocks that the precision alone would have taken.
    """

    blocks: int
    bound: Bound
    half: float
    wanted: int

    @property
    def wording(self) -> str:
        """Say it in a sentence.

        >>> Plan(blocks=11, bound="precision", half=0.19, wanted=11).wording
        '11 blocks, decided by the precision asked for'
        >>> Plan(blocks=40, bound="most", half=0.31, wanted=96).wording
        '40 blocks, decided by the most blocks a cell may have; 96 would reach the precision'
        """
        text = f"{self.blocks} blocks, decided by {_BOUNDS[self.bound]}"
        return (
            text
            if self.bound == "precision"
            else f"{text}; {self.wanted} would reach the precision"
        )


def plan(half: float, pilot: int, target: float, most: int, affordable: int) -> Plan:
    """Give the number of blocks from the interval of a pilot: Stein's second stage.

    Stein's n is (t s / target)^2 with the spread s of the pilot and the t quantile of its degrees
    of freedom. The half-width of the pilot's own interval is t s / sqrt(pilot), so that
    n = pilot (half / target)^2, rounded up. Written so, it also holds for the widened bootstrap
    interval of merged percentiles, which scales in the same way.

    Args:
        half: Half-width of the 95 % interval over the pilot's blocks.
        pilot: Blocks it comes from.
        target: Half-width to reach, in the same unit.
        most: Most blocks of the cell.
        affordable: Most that the budget leaves for it; the pilot has been run whatever it says.

    Raises:
        ValueError: The target is not above 0, or there is no interval yet.
    """
    if not (target > 0 and math.isfinite(half)):
        raise ValueError(f"blocks for a half-width of {target} from {half} cannot be told")
    wanted = max(pilot, math.ceil(pilot * (half / target) ** 2 * (1 - 1e-12)))
    limits: list[tuple[int, Bound]] = [
        (wanted, "precision"),
        (max(most, pilot), "most"),
        (max(affordable, pilot), "budget"),
    ]
    blocks, bound = min(limits, key=lambda limit: limit[0])
    return Plan(blocks, bound, half * math.sqrt(pilot / blocks), wanted)


def stein_interval(values: NDArray[np.float64], pilot: int) -> Interval:
    """Give the mean of all values with the spread and the t quantile of the pilot's.

    Exact for normal values however many the pilot made it (Stein 1945), never wider than the
    target the plan was for, and of the mean of block differences: not of a percentile of merged
    latencies, where the spread of eight blocks misses what a rare bad block does (56 % coverage
    in the worst case tried). Claims are therefore made with the bootstrap over all blocks, with
    the t quantile of the pilot but the spread of them all.

    Args:
        values: Differences of blocks, the pilot's first.
        pilot: How many of them are the pilot's.
    """
    first = t_interval(values[:pilot])
    mean = float(np.mean(values))
    half = first.half * math.sqrt(pilot / len(values))
    return Interval.around(mean, half)
