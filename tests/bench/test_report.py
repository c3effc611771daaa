"""A campaign as results: which numbers a record keeps, and which it does not."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import samples

from runbook.bench import charts, report
from runbook.bench.stats import Interval

CAMPAIGN = samples.campaign(blocks=7, seconds=6, warmup=1)
WHERE = samples.CELL.title


def test_the_primary_percentile_is_among_the_effects() -> None:
    odd = samples.campaign(blocks=7, seconds=1, warmup=1, quantile=0.95)
    assert [effect.quantile for effect in report.latency(odd)] == [0.5, 0.9, 0.95, 0.99, 0.999]
    assert [effect.quantile for effect in report.latency(CAMPAIGN)] == [0.5, 0.9, 0.99, 0.999]


def test_overheads_are_kept_with_unit_interval_and_blocks() -> None:
    found = {number[0]: number for number in report.latency_measures(report.latency(CAMPAIGN))}
    _, value, unit, low, high, count = found[f"meshed overhead p50, {WHERE}"]
    assert (unit, count) == ("ms", 7)
    assert low is not None
    assert high is not None
    assert low < 2.0 < high, "what the mesh adds in this world"
    assert low < value < high


def test_what_cannot_be_claimed_is_not_kept() -> None:
    few = samples.campaign(blocks=7, seconds=0.5, warmup=0.5)
    names = [number[0] for number in report.latency_measures(report.latency(few))]
    assert f"meshed overhead p50, {WHERE}" in names
    assert f"meshed overhead p99.9, {WHERE}" not in names
    none = few.model_copy(update={"blocks": ()})
    assert list(report.latency_measures(report.latency(none))) == []


def test_an_interval_that_does_not_exist_leaves_the_value_without_ends() -> None:
    effect = report.latency(CAMPAIGN)[0]
    endless = replace(effect, difference=Interval(1.5, -math.inf, math.inf))
    ((_, value, _, low, high, _),) = report.latency_measures([endless])
    assert (value, low, high) == (1.5, None, None)
    assert not list(report.latency_measures([replace(effect, difference=Interval(math.nan, 0, 0))]))


def test_the_costs_of_proxies_and_control_plane_are_kept() -> None:
    found = {n[0]: n for n in report.footprint_measures(report.footprint(CAMPAIGN))}
    _, value, unit, low, high, count = found[f"CPU a request, meshed proxy, {WHERE}"]
    assert (round(value), unit, count) == (samples.PROXY_US, "µs", 7)
    assert low is not None
    assert high is not None
    assert low <= value <= high
    assert found[f"memory, meshed proxy, {WHERE}"][1:3] == (14.0, "MiB")
    parts = sum(len(names) + 1 for names in samples.CONTROL_PLANE.values())
    assert found["memory, control plane"][1:3] == (24.0 * parts, "MiB")
    assert found["CPU, control plane"][2] == "mcore"
    assert not [name for name in found if "fortio" in name or "baseline" in name]


def test_a_footprint_of_which_nothing_was_read_keeps_nothing() -> None:
    cost = report.footprint(CAMPAIGN)
    bare = replace(
        cost,
        costs=tuple(replace(c, per_request=None, working_set=None) for c in cost.costs),
        components=tuple(replace(c, working_set=None, loaded=None) for c in cost.components),
    )
    assert list(report.footprint_measures(bare)) == []


def test_figures_come_from_the_same_effects_and_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(charts, "report", lambda *values: given.extend(values))
    report.figures(CAMPAIGN)
    campaign, effects, costs = given
    assert campaign is CAMPAIGN
    assert effects == report.latency(CAMPAIGN), "the same draws"
    assert costs == report.footprint(CAMPAIGN)
