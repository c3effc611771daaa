"""Latencies as counts: small enough to store for every run, and merged without any loss.

A percentile cannot be averaged over runs, a histogram can be added. Latencies are counted to the
nearest value of one fixed grid, the same for every run, arm and campaign: whole microseconds below
1 ms, above that three significant digits, and half a unit of the third below 2 (1.005, 1.01,
1.015 ms; 2.00, 2.01 ms; 10.05, 10.1 ms). No step of the grid is wider than 0.5 % of its value from
200 µs on; below, it is the resolution of a load generator's log, 1 µs.

The quantile of share p: of N requests, position p N among the ordered ones, between 1/2 and
N - 1/2. The m requests counted to one value are taken to lie evenly over the step around it, as
grouped data are (Hazen's positions: the j-th of N stands for the share (j - 1/2) / N). The sample
quantile itself (the smallest latency that a share p of the requests did not exceed) lies within
the same step: the two differ by at most one step, 0.5 % or 1 µs. Without that spreading, the
difference of two arms would itself move in whole steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeInt,
    PositiveInt,
    model_serializer,
    model_validator,
)

__all__ = ["Histogram", "aligned", "place", "quantile", "spread"]

_CHANGES = np.array([m * 10.0**k for k in range(3, 15) for m in (1, 2)])
_STEPS = np.array([1.0, *(m * 10.0**k for k in range(12) for m in (5, 10))])
"""The grid in µs: ``_STEPS[i]`` is its step from ``_CHANGES[i - 1]`` to ``_CHANGES[i]``."""


def _step(us: NDArray[np.float64]) -> NDArray[np.float64]:
    return _STEPS[np.searchsorted(_CHANGES, us, side="right")]


class Histogram(BaseModel):
    """How many requests took how long.

    As JSON, values are the differences from one to the next (``{"steps_us": [980, 10, 10],
    "n": [3, 8, 1]}`` counts 3 at 980 µs, 8 at 990 and 1 at 1000): a running sum gives them back.

    Attributes:
        us: Latencies in µs, ascending, on the grid.
        n: How many requests were counted to each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    us: tuple[NonNegativeInt, ...] = ()
    n: tuple[PositiveInt, ...] = ()

    @classmethod
    def of(cls, seconds: ArrayLike) -> Self:
        """Count latencies, given in seconds.

        Raises:
            ValueError: One is negative or not a number.
        """
        us = np.asarray(seconds, dtype=np.float64).ravel() * 1e6
        if not np.all((us >= 0) & (us < _CHANGES[-1])):
            raise ValueError("latencies must be numbers, not negative, and below 2000 days")
        step = _step(us)
        return cls._counted(*np.unique(np.rint(us / step) * step, return_counts=True))

    @classmethod
    def merged(cls, histograms: Iterable[Histogram]) -> Self:
        """Count what several counted, exactly."""
        values, counts = aligned(list(histograms))
        return cls._counted(values, counts.sum(axis=0))

    @classmethod
    def _counted(cls, us: NDArray[Any], n: NDArray[Any]) -> Self:
        return cls(us=tuple(us.astype(np.int64).tolist()), n=tuple(n.tolist()))

    @model_validator(mode="before")
    @classmethod
    def _summed(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "steps_us" not in given:
            return given
        steps = given["steps_us"]
        if not isinstance(steps, list | tuple) or not all(type(step) is int for step in steps):
            raise ValueError("steps_us must be whole numbers")
        if "us" in given:
            raise ValueError("us and steps_us say the same: give one")
        rest = {name: value for name, value in given.items() if name != "steps_us"}
        return {"us": tuple(np.cumsum(steps, dtype=np.int64).tolist()), **rest}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.us) != len(self.n):
            raise ValueError("every latency needs its count")
        if any(later <= earlier for earlier, later in zip(self.us, self.us[1:], strict=False)):
            raise ValueError("latencies must ascend")
        return self

    @model_serializer
    def _compact(self) -> dict[str, list[int]]:
        return {"steps_us": np.diff(self.values_us, prepend=0).tolist(), "n": list(self.n)}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return self.us == other.us and self.n == other.n

    def __hash__(self) -> int:
        return hash((self.us, self.n))

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram.merged((self, other))

    @cached_property
    def values_us(self) -> NDArray[np.int64]:
        """Latencies in µs, ascending."""
        return np.array(self.us, dtype=np.int64)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How many requests were counted to each of ``values_us``."""
        return np.array(self.n, dtype=np.int64)

    @property
    def count(self) -> int:
        """How many requests."""
        return sum(self.n)

    @property
    def mean(self) -> float:
        """The mean latency in seconds, within 0.25 % (or 0.5 µs) of the exact one.

        Raises:
            ValueError: Nothing was counted.
        """
        if not self.n:
            raise ValueError("no request was counted")
        return float(self.values_us @ self.counts) / self.count / 1e6

    def quantile(self, p: float) -> float:
        """Give the latency in seconds that a share ``p`` of the requests kept to.

        Raises:
            ValueError: Nothing was counted, or ``p`` is not between 0 and 1.
        """
        return float(quantile(self.values_us, self.counts, p))

    def quantiles(self, shares: Sequence[float]) -> NDArray[np.float64]:
        """Give several at once, as ``quantile`` does."""
        return np.array([self.quantile(p) for p in shares])


def aligned(histograms: Sequence[Histogram]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give every latency any of them counted, and a row of counts for each over these.

    Returns:
        ``values_us`` (ascending) and ``counts`` of shape (histograms, values): rows may be added,
        with any weights, and handed to :func:`quantile`, which resampling blocks needs.
    """
    places = [histogram.values_us for histogram in histograms]
    values = np.unique(np.concatenate(places)) if places else np.zeros(0, dtype=np.int64)
    counts = np.zeros((len(places), len(values)), dtype=np.int64)
    for row, place, histogram in zip(counts, places, histograms, strict=True):
        row[np.searchsorted(values, place)] = histogram.counts
    return values, counts


def quantile(values_us: NDArray[Any], counts: NDArray[Any], p: float) -> NDArray[np.float64]:
    """Give the quantile of share ``p`` in seconds, for each row of counts.

    Args:
        values_us: Latencies in µs, ascending, on the grid; shape (values,).
        counts: How many requests (or what weight) at each; shape (..., values).
        p: A share, 0.99 for the 99th percentile.

    Returns:
        Seconds; shape (...), by the rule at the top of this module.

    Raises:
        ValueError: A row counts nothing, or ``p`` is not between 0 and 1.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"a share is between 0 and 1, not {p}")
    ends = np.cumsum(counts, axis=-1, dtype=np.float64)
    if not ends.size or not np.all(ends[..., -1] > 0):
        raise ValueError("no request was counted")
    position = place(p, ends[..., -1:])
    at = (ends < position).sum(axis=-1, keepdims=True)
    n = np.take_along_axis(np.broadcast_to(counts, ends.shape), at, axis=-1)
    within = (position - (np.take_along_axis(ends, at, axis=-1) - n)) / n
    return spread(np.asarray(values_us)[at], within)[..., 0]


def place(p: float, total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the place of a quantile among so many requests, see the top of this module."""
    half = np.minimum(0.5, total / 2)  # sums of weights may be smaller than one request
    # A hair less, so that 0.07 * 100 = 7.000000000000001 is still the seventh.
    found: NDArray[np.float64] = np.clip(p * total * (1 - 1e-12), half, total - half)
    return found


def spread(values_us: NDArray[Any], within: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the latency in seconds at a place in the step around each value.

    Args:
        values_us: Latencies in µs, on the grid.
        within: Share of the requests of that value that lie below the place.
    """
    value = np.asarray(values_us, dtype=np.float64)
    # Steps differ on the two sides where the grid changes; half of the requests lie on each.
    side = np.where(within < 0.5, _step(value - 0.5), _step(value))
    us: NDArray[np.float64] = np.maximum(value + (within - 0.5) * side, 0.0)
    return us / 1e6
