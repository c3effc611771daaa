"""Stein's rule: its formula, its bounds, and what it promises, by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from runbook.bench.stats import t_interval
from runbook.bench.stopping import Plan, plan, stein_interval

PILOT = np.array([1.2, 0.7, 1.9, 1.1, 0.4, 1.6, 0.8, 1.3])


def test_number_of_blocks_is_steins() -> None:
    spread, t = float(np.std(PILOT, ddof=1)), float(scipy_stats.t.ppf(0.975, 7))
    for target in (0.1, 0.15, 0.2, 0.25, 0.3):
        steins = math.ceil((t * spread / target) ** 2)
        found = plan(t_interval(PILOT).half, 8, target, 1000, 1000)
        assert (found.blocks, found.bound) == (max(8, steins), "precision")
        assert found.half <= target


@pytest.mark.parametrize(
    ("half", "most", "affordable", "blocks", "bound"),
    [
        (0.1, 40, 40, 8, "precision"),  # the pilot was enough
        (0.2, 40, 40, 8, "precision"),  # exactly
        (0.3, 40, 40, 18, "precision"),
        (0.6, 40, 60, 40, "most"),
        (0.6, 40, 30, 30, "budget"),
        (0.3, 18, 18, 18, "precision"),  # all three the same: precision is reached
        (0.6, 40, 5, 8, "budget"),  # the pilot has been run already
        (0.6, 6, 40, 8, "most"),
    ],
)
def test_what_decides(half: float, most: int, affordable: int, blocks: int, bound: str) -> None:
    found = plan(half, 8, 0.2, most, affordable)
    assert (found.blocks, found.bound) == (blocks, bound)
    assert found.half == pytest.approx(half * math.sqrt(8 / blocks))
    assert (found.half <= 0.2 * (1 + 1e-9)) == (found.bound == "precision")


def test_it_is_said_in_words() -> None:
    assert plan(0.1, 8, 0.2, 40, 40).wording == "8 blocks, decided by the precision asked for"
    assert plan(0.6, 8, 0.2, 40, 30) == Plan(30, "budget", pytest.approx(0.30984, rel=1e-4), 72)
    assert plan(0.6, 8, 0.2, 40, 30).wording == (
        "30 blocks, decided by the minutes the campaign may take; 72 would reach the precision"
    )


@pytest.mark.parametrize(
    ("half", "target"), [(math.nan, 0.2), (math.inf, 0.2), (0.3, 0.0), (0.3, -1.0)]
)
def test_what_cannot_be_planned_is_refused(half: float, target: float) -> None:
    with pytest.raises(ValueError, match="cannot be told"):
        plan(half, 8, target, 40, 40)


def test_two_stages_reach_the_target_and_cover() -> None:
    """Half the minutes of a fixed design, the coverage of one, with heavy tails."""
    rng = np.random.default_rng(7)
    used, covered = [], []
    for _ in range(4000):
        pilot = 1.0 + 0.2 * math.sqrt(3 / 5) * rng.standard_t(5, 8)
        blocks = plan(t_interval(pilot).half, 8, 0.1, 10_000, 10_000).blocks
        more = 1.0 + 0.2 * math.sqrt(3 / 5) * rng.standard_t(5, blocks - 8)
        interval = stein_interval(np.concatenate([pilot, more]), 8)
        assert interval.half <= 0.1 * (1 + 1e-9)
        used.append(blocks)
        covered.append(interval.low <= 1.0 <= interval.high)
    assert 0.94 < np.mean(covered) < 0.97
    assert 20 < np.mean(used) < 26  # (t7 0.2 / 0.1)^2 = 22.4, rounded up


def test_a_pilot_alone_is_students_interval() -> None:
    assert stein_interval(PILOT, 8) == t_interval(PILOT)
