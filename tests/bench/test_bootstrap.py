"""The block bootstrap: draws are what they say, and its interval covers what it should."""

from __future__ import annotations

import math

import numpy as np
import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from runbook.bench.bootstrap import Resampling
from runbook.bench.histogram import Histogram, aligned, quantile


def blocks(count: int, size: int = 400) -> list[Histogram]:
    world = samples.World(block_noise=0.4)
    rng = np.random.default_rng(3)
    stretches = world.block_noise * world.noise(rng, count)
    return [Histogram.of(world.latencies(rng, "baseline", s, size)) for s in stretches]


@pytest.mark.parametrize("p", [0.0, 0.5, 0.99, 0.999, 1.0])
def test_each_draw_is_the_quantile_of_merged_blocks(p: float) -> None:
    parts = blocks(7)
    resampling = Resampling(7, seed=1, resamples=50)
    drawn = resampling.quantiles(*aligned(parts), p)
    for weights, got in zip(resampling.weights, drawn, strict=True):
        taken = [part for part, n in zip(parts, weights, strict=True) for _ in range(int(n))]
        assert got == pytest.approx(Histogram.merged(taken).quantile(p), rel=1e-9)


@given(
    st.lists(st.lists(st.floats(0.0001, 0.5), min_size=1, max_size=12), min_size=1, max_size=5),
    st.sampled_from([0.0, 0.01, 0.07, 0.25, 0.5, 0.57, 0.9, 0.99, 1.0]),
)
def test_draws_of_few_requests_are_so_too(latencies: list[list[float]], p: float) -> None:
    parts = [Histogram.of(each) for each in latencies]
    values, counts = aligned(parts)
    resampling = Resampling(len(parts), seed=1, resamples=20)
    merged = resampling.weights.astype(int) @ counts
    expected = quantile(values, merged, p)
    assert resampling.quantiles(values, counts, p) == pytest.approx(expected, rel=1e-9)


def test_same_seed_same_draws() -> None:
    one, same, other = (Resampling(9, seed=seed).weights for seed in ((1, 2), (1, 2), (1, 3)))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_each_draw_takes_as_many_blocks_as_there_are() -> None:
    weights = Resampling(9, seed=1).weights
    assert weights.shape == (2000, 9)
    assert set(weights.sum(axis=1)) == {9}
    assert weights.mean(axis=0) == pytest.approx(np.ones(9), abs=0.1)


def test_strata_are_drawn_within_themselves() -> None:
    resampling = Resampling(9, seed=1, strata=[4, 4, 7, 7, 7, 7, 4, 9, 9])
    for own in ([0, 1, 6], [2, 3, 4, 5], [7, 8]):
        assert set(resampling.weights[:, own].sum(axis=1)) == {len(own)}
    assert resampling.freedom == 9 - 3


def test_widening_is_as_described() -> None:
    draws = np.linspace(-1.0, 3.0, 4001)  # its 2.5 % and 97.5 % points are -0.9 and 2.9
    resampling = Resampling(8, seed=1, resamples=1)
    interval = resampling.interval(0.5, draws)
    factor = 2.364624 / 1.959964 * math.sqrt(8 / 7)
    assert interval.value == 0.5
    assert interval.low == pytest.approx(0.5 - 1.4 * factor, rel=1e-5)
    assert interval.high == pytest.approx(0.5 + 2.4 * factor, rel=1e-5)
    factor = 1.894579 / 1.644854 * math.sqrt(8 / 7)
    assert resampling.interval(0.5, draws, 0.9).low == pytest.approx(0.5 - 1.3 * factor, rel=1e-5)


@pytest.mark.parametrize(("blocks", "pilot", "freedom"), [(20, 8, 7), (6, 8, 5), (20, None, 19)])
def test_t_is_that_of_the_pilot(blocks: int, pilot: int | None, freedom: int) -> None:
    resampling = Resampling(blocks, seed=1, pilot=pilot, resamples=1)
    assert resampling.freedom == freedom
    draws = np.linspace(-1.0, 1.0, 4001)
    t = float(scipy_stats.t.ppf(0.975, freedom))
    wide = 0.95 * t / 1.959964 * math.sqrt(blocks / (blocks - 1))
    assert resampling.interval(0.0, draws).high == pytest.approx(wide, rel=1e-5)


@pytest.mark.parametrize(
    ("count", "strata", "pilot"), [(0, None, 8), (1, None, 8), (2, None, 8), (3, [1, 2, 3], 8)]
)
def test_few_blocks_have_no_interval(count: int, strata: list[int] | None, pilot: int) -> None:
    resampling = Resampling(count, seed=1, strata=strata, pilot=pilot, resamples=9)
    interval = resampling.interval(1.0, np.zeros(9))
    assert interval.value == 1.0
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


@pytest.mark.parametrize("count", [3, 8])
def test_interval_covers_and_the_plain_one_does_not(count: int) -> None:
    """Of a mean, whose truth is known, over normal blocks."""
    rng = np.random.default_rng(count)
    resampling = Resampling(count, seed=1, resamples=1000)
    covered, plainly = [], []
    for _ in range(1000):
        values = rng.standard_normal(count)
        draws = resampling.weights @ values / count
        interval = resampling.interval(float(values.mean()), draws)
        covered.append(interval.low <= 0 <= interval.high)
        low, high = np.quantile(draws, [0.025, 0.975])
        plainly.append(low <= 0 <= high)
    assert 0.93 < np.mean(covered) < 0.98
    assert np.mean(plainly) < np.mean(covered) - 0.01


def test_a_block_without_requests_is_refused() -> None:
    values, counts = aligned([*blocks(2), Histogram()])
    with pytest.raises(ValueError, match="no request was counted"):
        Resampling(3, seed=1).quantiles(values, counts, 0.5)
