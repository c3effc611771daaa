"""The block bootstrap: intervals of percentiles of merged latencies.

What is estimated is a percentile of all latencies of an arm together, and the difference of two
arms; never an average of percentiles. Whole blocks are drawn again, with replacement, and both
arms with the same draw: what happens within a block, and what both arms of it share, stays as it
was (Davison & Hinkley, Bootstrap Methods and their Application, 1997, sections 2.4 and 3.8).

The plain percentile interval over few blocks is too narrow (87 % for 8 blocks where 95 % is
meant). Its sides are lengthened here by t / z, for the unknown spread, and by sqrt(n / (n - 1)), as
a sample's own variance is too small by that (Hesterberg, The American Statistician 2015, section
4.1); they stay unequal where the draws are. If the spread of a pilot decided how many blocks there
are, t has the degrees of freedom of the pilot, as in Stein's rule: with those of all blocks,
campaigns whose pilot looked too calm make the coverage 93 to 94 %, with the pilot's it is 95 to
96 %.

Where that ends: no resampling knows of blocks that were not seen. If blocks vary by 30 % with heavy
tails, and one so rare that a campaign may miss it decides the 99th percentile of all, intervals
cover 80 to 85 % (``benchmarks/bench_truth.py``, last lines).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from runbook.bench.histogram import place, spread
from runbook.bench.stats import CONFIDENCE, Interval, t_quantile

__all__ = ["MIN_BLOCKS", "RESAMPLES", "Resampling"]

RESAMPLES = 2000
"""Draws; the ends of a 95 % interval then vary by some 2 % of its width from seed to seed."""

MIN_BLOCKS = 3
"""Fewest blocks of an interval that keeps its coverage: 95 to 96 % for 3, see the benchmark."""

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


class Resampling:
    """Draws of blocks, the same for everything that is computed of them.

    Args:
        blocks: How many there are.
        seed: Same seed, same draws.
        strata: A label for each block; blocks are drawn within their label, such as a pair of
            nodes. All of one if not given.
        pilot: Blocks whose spread decided how many there are; not given if nothing did.
        resamples: How many draws.
    """

    def __init__(
        self,
        blocks: int,
        *,
        seed: int | Sequence[int],
        strata: Sequence[int] | None = None,
        pilot: int | None = None,
        resamples: int = RESAMPLES,
    ) -> None:
        labels = np.zeros(blocks, dtype=int) if strata is None else np.asarray(strata)
        rng = np.random.default_rng(seed)
        self.weights: Floats = np.zeros((resamples, blocks))
        for label in np.unique(labels):
            (own,) = np.nonzero(labels == label)
            even = np.full(len(own), 1 / len(own))
            self.weights[:, own] = rng.multinomial(len(own), even, size=resamples)
        means = len(np.unique(labels))  # each stratum's mean is taken from the data
        self._blocks, self._spread = blocks, blocks - means
        self.freedom = self._spread if pilot is None else min(self._spread, pilot - means)
        """Degrees of freedom of the t quantile."""

    def quantiles(self, values_us: NDArray[np.int64], counts: Counts, p: float) -> Floats:
        """Give the quantile of each draw's merged latencies, in seconds.

        As :func:`runbook.bench.histogram.quantile` of the merged counts, which are never made: a
        quantile of merged blocks lies between the lowest and the highest of theirs, and halving
        that range again and again takes a sum over the blocks each time.

        Args:
            values_us: Latencies in µs, as :func:`runbook.bench.histogram.aligned` gives them.
            counts: A row for each block.
            p: A share, 0.99 for the 99th percentile.

        Raises:
            ValueError: A block counts nothing.
        """
        ends = np.ascontiguousarray(np.cumsum(counts, axis=1, dtype=np.float64).T)
        if not ends.size or not np.all(ends[-1] > 0):
            raise ValueError("no request was counted")
        # Below the first of these no block has reached its share, and at the last all have.
        own = (ends < place(p, ends[-1])).sum(axis=0)
        position = place(p, self._merged(ends[-1]))
        low, high = np.full(len(position), own.min()), np.full(len(position), own.max())
        while np.any(low < high):
            middle = (low + high) // 2
            short = self._merged(ends[middle]) < position
            low, high = np.where(short, middle + 1, low), np.where(short, high, middle)
        within = self._merged(counts.T[low])
        before = self._merged(ends[low]) - within
        return spread(values_us[low], (position - before) / within)

    def _merged(self, of_blocks: NDArray[Any]) -> Floats:
        """Add up what the blocks of each draw have."""
        merged: Floats = (self.weights * of_blocks).sum(axis=1)
        return merged

    def interval(self, value: float, draws: Floats, confidence: float = CONFIDENCE) -> Interval:
        """Give the widened percentile interval of an estimate, see the top of this module.

        Args:
            value: The estimate from all blocks, each once.
            draws: The same from each draw.
            confidence: Two-sided.

        Returns:
            Ends that are not numbers below three blocks.
        """
        if self._blocks < MIN_BLOCKS or self.freedom < 1:
            return Interval(value, math.nan, math.nan)
        share = (1 + confidence) / 2
        factor = t_quantile(share, self.freedom) / float(special.ndtri(share))
        factor *= math.sqrt(self._blocks / self._spread)
        low, high = np.quantile(draws, [1 - share, share]).tolist()
        return Interval(value, value - (value - low) * factor, value + (high - value) * factor)
