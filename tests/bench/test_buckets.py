"""fortio's histogram: back in its buckets, merged exactly, percentiles as its own."""

from __future__ import annotations

import json
from bisect import bisect_left
from pathlib import Path
from typing import Any

import fortio_log
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.bench.buckets import Buckets
from runbook.errors import StepError

RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.log"))
ASKED = [0.1, 10.0, 50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 100.0]
LATENCIES = st.lists(
    st.floats(min_value=0, max_value=20).map(lambda value: round(value, 6))
    | st.sampled_from([0.0, 0.0001, 0.0003, 0.0012, 0.0014, 0.1, 0.2, 10.0, 10.000001]),
    max_size=40,
)


def histograms(path: Path) -> list[dict[str, Any]]:
    """Every latency histogram of a recording, found in its text by another way than ours."""
    text = path.read_text()
    lines = [line for line in text.split("\n") if line in "{}" or line[:2] == "  "]
    if "{" not in lines:
        return []
    result = json.loads("\n".join(line for line in lines if line))
    names = ("DurationHistogram", "ErrorsDurationHistogram", "ConnectionStats")
    return [result[name] for name in names if result.get(name) and result[name]["Count"]]


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_percentiles_equal_those_fortio_computed(path: Path) -> None:
    found = histograms(path)
    assert found or "refused" in path.stem
    for data in found:
        buckets = Buckets.parse(data, 1e-4)
        assert buckets.count == data["Count"]
        for answer in data["Percentiles"]:
            value = buckets.percentile(answer["Percentile"])
            assert value == pytest.approx(answer["Value"], rel=1e-9, abs=0)


def test_recordings_hold_enough() -> None:
    assert sum(len(histograms(path)) for path in RECORDINGS) > 25


@settings(deadline=None)
@given(LATENCIES.filter(bool))
def test_every_bucket_is_put_back(values: list[float]) -> None:
    data = fortio_log.histogram(values, ASKED, 1e-4)
    buckets = Buckets.parse(data, 1e-4)
    places = [bisect_left(fortio_log.EDGES, value / 1e-4 - 1e-12) for value in values]
    assert buckets.counts == tuple(np.bincount(places, minlength=len(buckets.counts)).tolist())
    for answer in data["Percentiles"]:
        assert buckets.percentile(answer["Percentile"]) == pytest.approx(answer["Value"], rel=1e-9)


@settings(deadline=None)
@given(st.lists(LATENCIES, min_size=1, max_size=6))
def test_merged_is_as_if_fortio_had_counted_all(runs: list[list[float]]) -> None:
    parts = [Buckets.parse(fortio_log.histogram(run, ASKED, 1e-4), 1e-4) for run in runs]
    merged = Buckets.merged(parts)
    together = [value for run in runs for value in run]
    whole = fortio_log.histogram(together, ASKED, 1e-4)
    expected = Buckets.parse(whole, 1e-4)
    assert merged.counts == expected.counts
    assert (merged.least, merged.most) == (expected.least, expected.most)
    assert merged.total == pytest.approx(expected.total)
    for answer in whole.get("Percentiles", []):
        assert merged.percentile(answer["Percentile"]) == pytest.approx(answer["Value"], rel=1e-9)


@settings(deadline=None)
@given(LATENCIES, LATENCIES)
def test_errors_are_taken_away_bucket_by_bucket(good: list[float], bad: list[float]) -> None:
    every = Buckets.parse(fortio_log.histogram(good + bad, ASKED, 1e-4), 1e-4)
    errors = Buckets.parse(fortio_log.histogram(bad, ASKED, 1e-4), 1e-4)
    left = every.without(errors)
    expected = Buckets.parse(fortio_log.histogram(good, ASKED, 1e-4), 1e-4)
    assert left.counts == expected.counts
    assert left.total == pytest.approx(expected.total, abs=1e-9)
    if good:
        assert left.least <= expected.least <= expected.most <= left.most


def test_other_resolutions_are_not_merged() -> None:
    fine, coarse = Buckets(1e-4), Buckets(1e-3)
    for wrong in ([fine, coarse], [fine, Buckets(1e-4, offset=1.0)], []):
        with pytest.raises(StepError, match="same resolution and offset"):
            Buckets.merged(wrong)
    with pytest.raises(StepError, match="not the errors of"):
        fine.without(coarse)
    one = Buckets.parse(fortio_log.histogram([0.001], [], 1e-4), 1e-4)
    with pytest.raises(StepError, match="not the errors of"):
        fine.without(one)


@pytest.mark.parametrize(("r", "offset"), [(1e-3, 0.0), (5e-5, 0.0), (1e-4, 5e-5)])
def test_another_resolution_is_noticed(r: float, offset: float) -> None:
    values = np.round(np.random.default_rng(1).uniform(0.0, 0.2, 400), 6).tolist()
    data = fortio_log.histogram(values, ASKED, 1e-4)
    with pytest.raises(StepError, match="none of resolution"):
        Buckets.parse(data, r, offset)


def test_edges_of_a_coarser_resolution_are_noticed_although_they_are_edges() -> None:
    data = fortio_log.histogram([0.0025, 0.0035, 0.0045], ASKED, 1e-3)  # to 3, to 4, to 5 ms
    with pytest.raises(StepError, match=r"from 0.003 to 0.004 s is none of resolution 0.0001"):
        Buckets.parse(data, 1e-4)


def test_without_errors_at_the_ends_the_edges_are_the_best_known() -> None:
    good, bad = [0.0052, 0.0061], [0.0001, 0.5]
    every = Buckets.parse(fortio_log.histogram(good + bad, ASKED, 1e-4), 1e-4)
    left = every.without(Buckets.parse(fortio_log.histogram(bad, ASKED, 1e-4), 1e-4))
    assert (left.least, left.most) == pytest.approx((0.005, 0.007))
    assert every.without(every) == Buckets(1e-4)


def test_offset_moves_the_edges() -> None:
    data = {
        **{"Count": 3, "Min": 1.00005, "Max": 1.00025, "Sum": 3.0},
        "Data": [
            {"Start": 1.00005, "End": 1.0001, "Percent": 33.3, "Count": 1},
            {"Start": 1.0002, "End": 1.00025, "Percent": 100, "Count": 2},
        ],
    }
    assert Buckets.parse(data, 1e-4, 1.0).counts[:5] == (0, 1, 0, 2, 0)


@pytest.mark.parametrize("change", [{"Count": 4}, {"Count": 2}])
def test_buckets_must_add_up(change: dict[str, int]) -> None:
    data = fortio_log.histogram([0.001, 0.002, 0.003], ASKED, 1e-4) | change
    with pytest.raises(StepError, match="do not add up"):
        Buckets.parse(data, 1e-4)


def test_order_of_buckets_is_checked() -> None:
    data = fortio_log.histogram([0.001, 0.002, 0.003, 0.004], ASKED, 1e-4)
    data["Data"][1], data["Data"][2] = data["Data"][2], data["Data"][1]
    with pytest.raises(StepError, match="do not add up"):
        Buckets.parse(data, 1e-4)


def test_nothing_counted_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="no request was counted"):
        Buckets(1e-4).percentile(50)
