"""Intervals and rules: against other implementations, against enumeration, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from runbook.bench.stats import (
    Interval,
    change,
    equivalent,
    hodges_lehmann,
    holm,
    needed,
    noise_floor,
    p_value,
    t_interval,
)

NOTHING = Interval(1.0, math.nan, math.nan)
VALUES = st.lists(st.integers(-1000, 1000), min_size=6, max_size=10, unique_by=abs).map(
    lambda whole: np.array([number + 0.25 for number in whole])  # no ties, no zeros
)


@given(VALUES, st.sampled_from([0.9, 0.95]))
def test_t_interval_is_students(values: np.ndarray, confidence: float) -> None:
    ours = t_interval(values, confidence)
    theirs = scipy_stats.ttest_1samp(values, 0).confidence_interval(confidence)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert ours.value == pytest.approx(values.mean())
    assert ours.half == pytest.approx(ours.high - ours.value)


def test_one_value_has_no_t_interval() -> None:
    with pytest.raises(ValueError, match="two values, not 1"):
        t_interval(np.array([1.0]))


@given(VALUES)
def test_rank_interval_is_that_of_the_exact_test(values: np.ndarray) -> None:
    """It holds exactly the centres that Wilcoxon's exact test does not reject at 5 %."""
    interval = hodges_lehmann(values)
    assert interval is not None
    # Averages of two values end in .25 or .75: no centre is one of them, so nothing is tied.
    for centre in np.linspace(values.min() - 1, values.max() + 1, 9).round() + 0.1:
        p = scipy_stats.wilcoxon(values - centre, method="exact").pvalue
        assert (p > 0.05) == (interval.low < centre < interval.high)


def test_rank_interval_of_six_is_their_range() -> None:
    interval = hodges_lehmann(np.array([3.0, 1.0, 2.0, 6.0, 5.0, 4.0]))
    assert interval == Interval(3.5, 1.0, 6.0)


def test_fewer_than_six_have_no_rank_interval() -> None:
    assert hodges_lehmann(np.arange(5.0)) is None
    assert hodges_lehmann(np.arange(5.0), 0.9) is not None  # 2 x 2^-5 = 0.063 is enough for 90 %
    assert hodges_lehmann(np.array([])) is None


def test_one_bad_block_moves_the_rank_estimate_little() -> None:
    values = np.array([1.9, 2.0, 2.1, 2.05, 1.95, 2.2, 1.8, 90.0])
    ranked = hodges_lehmann(values)
    assert ranked is not None
    assert 1.9 < ranked.value < 2.2
    assert t_interval(values).value > 10


@given(VALUES)
def test_p_value_is_the_one_of_the_t_test(values: np.ndarray) -> None:
    p = p_value(t_interval(values), len(values) - 1)
    assert p == pytest.approx(scipy_stats.ttest_1samp(values, 0).pvalue, rel=1e-6, abs=1e-12)


@given(st.floats(-10, 10), st.floats(0.01, 10), st.floats(0.01, 10), st.integers(2, 40))
def test_p_value_agrees_with_the_interval(
    value: float, below: float, above: float, freedom: int
) -> None:
    interval = Interval(value, value - below, value + above)
    assert (p_value(interval, freedom) < 0.05) == interval.excludes_zero or (
        min(abs(interval.low), abs(interval.high)) < 1e-9
    )


def test_no_interval_says_nothing() -> None:
    assert p_value(NOTHING, 1) == 1.0
    assert not NOTHING.excludes_zero
    assert p_value(Interval(0.0, 0.0, 0.0), 7) == 1.0
    assert p_value(Interval(2.0, 2.0, 2.0), 7) == 0.0
    assert not equivalent(NOTHING, 5.0)


def test_holm_is_as_published() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_none_and_bonferroni(ps: list[float]) -> None:
    adjusted = holm(ps)
    for p, q in zip(ps, adjusted, strict=True):
        assert p <= q <= min(1.0, len(ps) * p) or q == pytest.approx(max(p, q))
    assert [adjusted[i] for i in np.argsort(ps, kind="stable")] == sorted(adjusted)
    assert min(adjusted) == pytest.approx(min(1.0, len(ps) * min(ps)))


def test_equivalence_needs_both_sides_inside() -> None:
    assert equivalent(Interval(0.1, -0.2, 0.4), 0.5)
    assert not equivalent(Interval(0.1, -0.2, 0.5), 0.5)
    assert not equivalent(Interval(-0.3, -0.6, 0.0), 0.5)


@pytest.mark.parametrize(
    ("quantile", "requests"), [(0.5, 20), (0.9, 100), (0.99, 1000), (0.999, 10_000), (0.9999, 1e5)]
)
def test_requests_that_a_quantile_needs(quantile: float, requests: int) -> None:
    assert needed(quantile) == requests


def test_floor_is_on_the_scale_of_the_difference() -> None:
    """Runs scatter by themselves: then difference and control, so scaled, scatter alike."""
    rng = np.random.default_rng(5)
    # 4 runs a block, 200 requests each: their p90 around that of the block
    requests = np.exp(
        0.5 * rng.standard_normal((3000, 4, 200)) + 0.05 * rng.normal(size=(3000, 4, 1))
    )
    merged = [np.quantile(requests[:, (k, k + 2)].reshape(3000, -1), 0.9, axis=1) for k in (0, 1)]
    runs = np.quantile(requests, 0.9, axis=2)
    difference = merged[1] - merged[0]
    control = t_interval(runs[:, 2] - runs[:, 0])
    assert noise_floor(control) == pytest.approx(t_interval(difference).half, rel=0.06)


def test_change_adds_distances_as_squares() -> None:
    earlier, later = Interval(2.0, 1.7, 2.1), Interval(3.0, 2.6, 3.9)
    moved = change(earlier, later)
    assert moved.value == 1.0
    assert moved.low == pytest.approx(1.0 - math.hypot(0.4, 0.1))
    assert moved.high == pytest.approx(1.0 + math.hypot(0.9, 0.3))
    assert math.isnan(change(NOTHING, later).low)


def test_change_covers_zero_between_equal_campaigns() -> None:
    rng = np.random.default_rng(11)
    moved = [
        change(t_interval(rng.standard_t(5, 8)), t_interval(rng.standard_t(5, 12)))
        for _ in range(2000)
    ]
    covered = np.mean([m.low <= 0 <= m.high for m in moved])
    assert 0.94 < covered < 0.98
