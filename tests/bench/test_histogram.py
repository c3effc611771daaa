"""Histograms: exact when merged, close to the sample, small as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from runbook.bench.histogram import Histogram, aligned, quantile

SECONDS = st.lists(st.floats(min_value=0, max_value=3e5), min_size=1, max_size=60)
SHARES = st.sampled_from([0, 0.01, 0.07, 0.25, 0.29, 0.5, 0.57, 0.9, 0.99, 0.999, 1]) | st.floats(
    min_value=0, max_value=1
)


def grid_step(us: float) -> float:
    """The step of the grid, from its description: half a unit of the third digit below 2."""
    if us < 1000:
        return 1
    unit = 10.0 ** (len(str(int(us))) - 3)
    return unit / 2 if int(str(int(us))[0]) == 1 else unit


def lognormal(seed: int, count: int = 6000, median: float = 0.005) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return median * np.exp(0.4 * rng.standard_normal(count))


def test_values_are_those_of_the_grid() -> None:
    below_2_ms = [0.0, 0.0004994, 0.000999, 0.0009996, 0.0010024, 0.0010026, 0.0019976]
    above = [0.002004, 0.0123449, 0.0123749, 0.98765, 12.3449, 123.4]
    h = Histogram.of(below_2_ms + above)
    assert h.us[:6] == (0, 499, 999, 1000, 1005, 2000)
    assert h.us[6:] == (12_350, 988_000, 12_350_000, 123_500_000)
    assert h.n == (1, 1, 1, 2, 1, 2, 2, 1, 1, 1)
    assert h.count == 13


@settings(deadline=None)
@given(SECONDS)
def test_every_value_is_the_nearest(seconds: list[float]) -> None:
    for second in seconds:
        (value,) = Histogram.of([second]).us
        wide = max(grid_step(second * 1e6), grid_step(value))
        assert value % min(grid_step(value), grid_step(second * 1e6)) == 0
        assert abs(value - second * 1e6) <= wide / 2 * (1 + 1e-9)


@settings(deadline=None)
@given(SECONDS, SHARES)
def test_quantile_is_within_a_step_of_the_samples_own(seconds: list[float], p: float) -> None:
    ordered = np.sort(seconds)
    number = max(int(np.ceil(p * len(ordered) * (1 - 1e-12))), 1)  # by definition
    exact = float(ordered[number - 1])
    got = Histogram.of(seconds).quantile(p)
    assert abs(got - exact) <= max(0.005 * exact, 1e-6) * (1 + 1e-9)


@settings(deadline=None)
@given(SECONDS, st.lists(SHARES, min_size=2, max_size=8))
def test_quantiles_ascend(seconds: list[float], shares: list[float]) -> None:
    got = Histogram.of(seconds).quantiles(sorted(shares))
    assert np.all(np.diff(got) >= -1e-15)


@settings(deadline=None)
@given(st.lists(SECONDS | st.just([]), max_size=6))
def test_merged_is_the_histogram_of_all(parts: list[list[float]]) -> None:
    merged = Histogram.merged(Histogram.of(part) for part in parts)
    assert merged == Histogram.of([second for part in parts for second in part])
    total = Histogram()
    for part in parts:
        total += Histogram.of(part)
    assert total == merged
    assert hash(total) == hash(merged)


@settings(deadline=None)
@given(SECONDS | st.just([]))
def test_json_gives_back_the_same(seconds: list[float]) -> None:
    h = Histogram.of(seconds)
    _ = h.values_us, h.counts  # cached values are no part of it
    assert Histogram.model_validate_json(h.model_dump_json()) == h
    assert Histogram.model_validate(h.model_dump()) == h
    assert Histogram.model_validate_json(json.dumps({"us": h.us, "n": h.n})) == h


def test_json_is_as_described() -> None:
    h = Histogram.of([0.00098] * 3 + [0.00099] * 8 + [0.001])
    assert json.loads(h.model_dump_json()) == {"steps_us": [980, 10, 10], "n": [3, 8, 1]}


@pytest.mark.parametrize("median", [0.0008, 0.005, 0.02])
def test_six_thousand_requests_take_less_than_ten_kilobytes(median: float) -> None:
    assert len(Histogram.of(lognormal(1, median=median)).model_dump_json()) < 10_000


@pytest.mark.parametrize("median", [0.0008, 0.005, 0.02])
@pytest.mark.parametrize("p", [0.5, 0.9, 0.99, 0.999])
def test_a_real_sample_is_met_closer(median: float, p: float) -> None:
    sample = lognormal(2, 60_000, median)
    exact = float(np.quantile(sample, p, method="hazen"))
    assert Histogram.of(sample).quantile(p) == pytest.approx(exact, rel=0.0015)
    assert Histogram.of(sample).mean == pytest.approx(sample.mean(), rel=1e-4)


def test_a_shift_smaller_than_a_step_shows() -> None:
    """0.02 ms more on 20 ms, where the grid has steps of 0.1 ms."""
    sample = lognormal(3, 60_000, 0.02)
    shift = Histogram.of(sample + 2e-5).quantile(0.5) - Histogram.of(sample).quantile(0.5)
    assert shift == pytest.approx(2e-5, abs=5e-6)


def test_one_request_is_every_quantile() -> None:
    for second in (0.000125, 0.001, 0.01, 0.0125, 2.0):
        assert Histogram.of([second]).quantiles([0, 0.5, 0.99, 1]).tolist() == [second] * 4


def test_requests_of_one_value_lie_evenly_over_its_step() -> None:
    h = Histogram(us=(10_000, 10_050), n=(1, 4))  # 10_025 to 10_075: a quarter of 50 each
    assert h.quantile(0) == pytest.approx(0.01)
    assert h.quantile(0.6) == pytest.approx(0.01005)
    assert h.quantile(1) == pytest.approx(0.01006875)


def test_steps_differ_on_the_two_sides_where_the_grid_changes() -> None:
    h = Histogram(us=(10_000,), n=(4,))  # 9_995 to 10_025
    assert h.quantiles([0, 0.25, 0.75, 1]).tolist() == pytest.approx(
        [0.00999625, 0.0099975, 0.0100125, 0.01001875]
    )


def test_seven_of_a_hundred_are_seven() -> None:
    """0.07 * 100 is 7.000000000000001 in binary."""
    h = Histogram.of(np.arange(1, 101) / 1e3)
    assert h.quantile(0.07) == pytest.approx(0.007, rel=0.005)
    assert h.quantile(0.29) == pytest.approx(0.029, rel=0.005)


def test_rows_of_counts_are_quantiles_of_each() -> None:
    parts = [Histogram.of(lognormal(seed, 500)) for seed in range(5)]
    values, counts = aligned(parts)
    assert counts.shape == (5, len(values))
    for p in (0.5, 0.99):
        each = quantile(values, counts, p)
        assert each.tolist() == [part.quantile(p) for part in parts]
        weights = np.array([[2, 0, 1, 0, 2], [1, 1, 1, 1, 1]])
        drawn = quantile(values, weights @ counts, p)
        assert drawn[0] == Histogram.merged([*parts[:1] * 2, parts[2], *parts[4:] * 2]).quantile(p)
        assert drawn[1] == Histogram.merged(parts).quantile(p)


def test_nothing_counted_has_no_quantile() -> None:
    empty = Histogram.of([])
    assert empty == Histogram() == Histogram.merged([])
    assert empty.count == 0
    with pytest.raises(ValueError, match="no request was counted"):
        empty.quantile(0.5)
    with pytest.raises(ValueError, match="no request was counted"):
        _ = empty.mean
    with pytest.raises(ValueError, match="no request was counted"):
        quantile(np.array([1000]), np.array([[3], [0]]), 0.5)


@pytest.mark.parametrize("p", [-0.01, 1.01, 99, float("nan")])
def test_a_share_is_between_zero_and_one(p: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Histogram.of([0.001]).quantile(p)


@pytest.mark.parametrize("seconds", [-1e-6, float("nan"), float("inf"), 1e9])
def test_what_is_no_latency_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="latencies must be"):
        Histogram.of([0.001, seconds])


@pytest.mark.parametrize(
    "wrong",
    [
        {"us": [1, 2], "n": [1]},
        {"us": [2, 1], "n": [1, 1]},
        {"us": [1, 1], "n": [1, 1]},
        {"us": [-1], "n": [1]},
        {"us": [1], "n": [0]},
        {"steps_us": [1, 0], "n": [1, 1]},
        {"steps_us": [1, 1.5], "n": [1, 1]},
        {"steps_us": "12", "n": [1, 1]},
        {"steps_us": [1], "us": [1], "n": [1]},
        {"us": [1], "n": [1], "unit": "us"},
    ],
)
def test_wrong_json_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Histogram.model_validate_json(json.dumps(wrong))


def test_values_holding_histograms_compare() -> None:
    class Holder(BaseModel):
        inner: Histogram

    one, other = Holder(inner=Histogram.of([0.001])), Holder(inner=Histogram.of([0.001]))
    _ = one.inner.counts, other.inner.counts
    assert one == other
    assert one != Holder(inner=Histogram.of([0.002]))
    assert Histogram() != 0
