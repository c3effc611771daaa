"""CPU between two samples, ratios and lines: against known truths."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from footprint_samples import iso

from runbook.bench import consumption
from runbook.bench.consumption import Used
from runbook.bench.snapshot import Snapshot, Usage

BEFORE = Usage(cpu_seconds=10.0, time=iso(1000), started=iso(0))
AFTER = Usage(cpu_seconds=13.0, time=iso(1060), started=iso(0))


def test_by_the_samples_own_times() -> None:
    found = consumption.used(BEFORE, AFTER)
    assert found == Used(cpu=3.0, length=60.0)
    assert found.mcore == 50.0


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ({}, {"started": iso(1050), "cpu_seconds": 0.2}, "it was restarted"),
        ({}, {"started": iso(1050), "cpu_seconds": 99.0}, "it was restarted"),
        ({}, {"cpu_seconds": 9.0}, "its CPU counter went back"),
        ({"cpu_seconds": None}, {}, "its CPU time was not read"),
        ({}, {"cpu_seconds": None}, "its CPU time was not read"),
        ({}, {"time": ""}, "its samples carry no time"),
        ({"time": "soon"}, {}, "its samples carry no time"),
        ({}, {"time": iso(1000)}, "it was not sampled again"),
        ({}, {"time": iso(900)}, "it was not sampled again"),
    ],
)
def test_no_figure_rather_than_a_wrong_one(
    before: dict[str, Any], after: dict[str, Any], why: str
) -> None:
    found = consumption.used(BEFORE.model_copy(update=before), AFTER.model_copy(update=after))
    assert found == why


def test_what_was_not_read() -> None:
    assert consumption.used(None, AFTER) == "it was not read"
    assert consumption.used(BEFORE, None) == "it was not read"


def test_finds_the_container_of_exactly_one_node() -> None:
    def snapshot(*keys: str) -> Snapshot:
        return Snapshot(
            at="", containers={key: Usage(started=iso(n)) for n, key in enumerate(keys)}
        )

    keys = (
        "b/echo-meshed-pi-2-6d5f7c9b8d-x2x4z/fortio",
        "b/echo-meshed-pi-6d5f7c9b8d-x2x4z/linkerd-proxy",
        "b/echo-meshed-pi-6d5f7c9b8d-x2x4z/fortio",
    )
    assert consumption.container(snapshot(*keys), "echo-meshed-pi", "fortio") == keys[2]
    assert consumption.container(snapshot(*keys), "echo-meshed-pi-2", "fortio") == keys[0]
    assert consumption.container(snapshot(*keys), "echo-meshed-p", "fortio") == ""
    later = "b/echo-meshed-pi-6d5f7c9b8d-zzzzz/fortio"
    assert consumption.container(snapshot(*keys, later), "echo-meshed-pi", "fortio") == later


def test_memory_in_mib() -> None:
    found = consumption.memory([2**20, None, 3 * 2**20])
    assert found == consumption.Memory(mean=2.0, highest=3.0, samples=2)
    assert consumption.memory([None, None]) is None


def test_ratio_is_of_sums_and_exact_without_noise() -> None:
    found = consumption.ratio([2.0, 4.0, 8.0], [1, 2, 4])
    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))
    assert consumption.ratio([1.0, 9.0], [1, 1]).value == 5.0


def test_one_block_gives_no_interval() -> None:
    found = consumption.ratio([3.0], [2])
    assert found.value == 1.5
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    single = consumption.estimate([4.0])
    assert single is not None
    assert math.isnan(single.low)
    assert consumption.estimate([]) is None


@pytest.mark.parametrize("blocks", [6, 12])
def test_interval_of_a_ratio_covers_the_truth(blocks: int) -> None:
    """95 % of 600 made-up campaigns, give or take three standard errors of that share."""
    random, covered = np.random.default_rng(7), 0
    for _ in range(600):
        units = random.integers(300, 900, blocks)
        costs = units * 0.3 * (1 + random.normal(0, 0.1, blocks))
        found = consumption.ratio(costs.tolist(), units.tolist())
        covered += found.low <= 0.3 <= found.high
    assert covered / 600 == pytest.approx(0.95, abs=3 * math.sqrt(0.05 * 0.95 / 600))


def test_line_through_known_points() -> None:
    rates = (10, 10, 50, 50, 100, 100)
    spans = [Used(cpu=60 * (0.002 + 300e-6 * rate), length=60) for rate in rates]
    found = consumption.line(spans, [60 * rate for rate in rates])
    assert found is not None
    assert found.idle.value == pytest.approx(2.0)
    assert found.per_request.value == pytest.approx(300.0)
    assert found.idle.half == pytest.approx(0.0, abs=1e-6)
    assert found.points[2] == pytest.approx((50, 17.0))


@pytest.mark.parametrize("blocks", [1, 4])
def test_intervals_of_a_line_cover_the_truth(blocks: int) -> None:
    random, idle, slope = np.random.default_rng(11), 0, 0
    rates = np.repeat([8, 20, 70], blocks)
    for _ in range(600):
        cores = 0.002 + 300e-6 * rates + random.normal(0, 0.0008, len(rates))
        spans = [Used(cpu=100 * core, length=100) for core in cores]
        found = consumption.line(spans, [int(100 * rate) for rate in rates])
        assert found is not None
        idle += found.idle.low <= 2.0 <= found.idle.high
        slope += found.per_request.low <= 300 <= found.per_request.high
    allowed = 3 * math.sqrt(0.05 * 0.95 / 600)
    assert idle / 600 == pytest.approx(0.95, abs=allowed)
    assert slope / 600 == pytest.approx(0.95, abs=allowed)


@pytest.mark.parametrize("rates", [(10, 100), (50, 50, 50, 52)])
def test_no_line_through_one_rate_or_two_blocks(rates: tuple[int, ...]) -> None:
    spans = [Used(cpu=rate * 0.01, length=60) for rate in rates]
    assert consumption.line(spans, [60 * rate for rate in rates]) is None
