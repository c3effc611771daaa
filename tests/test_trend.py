"""Campaigns over time: what is comparable, what is flagged."""

from __future__ import annotations

import json
from typing import Any

import campaign_records as records
import pytest
from archive_help import name
from campaign_records import history

from runbook import trend
from runbook.bench import effects
from runbook.bench.campaign import Campaign
from runbook.bench.design import Cell
from runbook.campaigns import Skipped
from runbook.trend import History

CELL = records.CELL
PI5 = {"model": "Raspberry Pi 5", "arch": "arm64"}


def cell(**changes: Any) -> Cell:
    return CELL.model_copy(update=changes)


@pytest.mark.parametrize(
    ("then", "now", "word"),
    [
        (2.0, 4.0, "regression"),
        (4.0, 2.0, "improvement"),
        (2.0, 2.0, "no change resolved"),
        (2.0, 2.1, "no change resolved"),
    ],
)
def test_a_change_is_flagged_when_it_is_shown(then: float, now: float, word: str) -> None:
    found = history(records.campaign(day=20, delay=then), records.campaign(day=21, delay=now))
    (one,) = found.series
    assert (one.word, one.why) == (word, "")
    assert one.change is not None
    assert one.change.moved.low < now - then < one.change.moved.high
    assert [point.run for point in one.points] == [name(0), name(1)]
    assert one.before == one.points[0]


def test_what_is_not_much_is_not_flagged() -> None:
    """A change that is shown, but below 5 % of the earlier overhead."""
    runs = [
        records.campaign(day=day, delay=delay, blocks=30) for day, delay in ((20, 40), (21, 41))
    ]
    (one,) = history(*runs).series
    assert one.change is not None
    assert one.change.moved.excludes_zero
    assert one.change.least >= 0.05 * 39
    assert one.word == "no change resolved"


def test_campaigns_are_in_order_of_time() -> None:
    made = [records.campaign(day=day) for day in (22, 20, 21)]
    (one,) = history(*made).series
    assert [point.day for point in one.points] == [f"2026-11-{n} 22:00" for n in (20, 21, 22)]
    assert one.before == one.points[1]


def test_the_first_campaign_has_nothing_beside_it() -> None:
    (one,) = history(records.campaign(day=20)).series
    assert (one.word, one.why) == ("not comparable", "there is no earlier campaign")
    assert len(one.points) == 1


def test_rehearsals_are_never_beside_real_ones() -> None:
    real = [records.campaign(day=day) for day in (20, 22)]
    stand_ins = [
        records.within(records.campaign(day=day, delay=0.5), rehearsal=True) for day in (21, 23)
    ]
    (one,) = history(real[0], stand_ins[0], real[1]).series
    assert [point.day[8:10] for point in one.points] == ["20", "22"]
    (one,) = history(real[0], stand_ins[0]).series
    assert (one.word, one.why) == ("not comparable", "there is no earlier campaign")
    (one,) = history(*real, *stand_ins).series
    assert [point.day[8:10] for point in one.points] == ["21", "23"]


@pytest.mark.parametrize(
    ("then", "why"),
    [
        (cell(rps=50), "has no 100 RPS · HTTP/1.1 · 1 KiB"),
        (cell(protocol="http2"), "has no 100 RPS · HTTP/1.1 · 1 KiB"),
        (cell(payload=128), "has no 100 RPS · HTTP/1.1 · 1 KiB"),
    ],
)
def test_another_load_is_not_comparable(then: Cell, why: str) -> None:
    made = records.campaign(day=20, cells=(then,)), records.campaign(day=21)
    (one,) = history(*made).series
    assert (one.word, one.why) == ("not comparable", f"the campaign of 2026-11-20 22:00 {why}")


def nodes(**models: str) -> dict[str, dict[str, str]]:
    return {node: {"model": model} for node, model in models.items()}


@pytest.mark.parametrize(
    ("then", "now", "why"),
    [
        (nodes(node2="Pi 4", node3="Pi 4"), nodes(node2="Pi 4", node3="Pi 4"), ""),
        (
            *(nodes(node2="Pi 4", node3="Pi 4"), nodes(node2="Pi 5", node3="Pi 4")),
            "measured Pi 4, not Pi 5 under load from Pi 4",
        ),
        (
            *(nodes(node2="Pi 4", node3="Pi 5"), nodes(node2="Pi 4", node3="Pi 4")),
            "measured Pi 4 under load from Pi 5, not Pi 4",
        ),
        (nodes(), nodes(), ""),
        (nodes(node2="Pi 4"), nodes(), ""),
    ],
)
def test_another_machine_is_not_comparable(
    then: dict[str, dict[str, str]], now: dict[str, dict[str, str]], why: str
) -> None:
    made = [
        records.within(records.campaign(day=day), nodes=models)
        for day, models in ((20, then), (21, now))
    ]
    (one,) = history(*made).series
    assert one.why == (f"the campaign of 2026-11-20 22:00 {why}" if why else "")
    assert (one.word == "not comparable") == bool(why)


def test_nodes_of_another_cluster_are_others_unless_their_model_is_known() -> None:
    now = records.campaign(day=21)
    cluster = now.environment.cluster | {"uid": "other"}
    (one,) = history(records.within(records.campaign(day=20), cluster=cluster), now).series
    assert one.word == "no change resolved"
    bare = [
        records.within(records.campaign(day=20), cluster=cluster, nodes={}),
        records.within(now, nodes={}),
    ]
    (one,) = history(*bare).series
    assert one.why.endswith("measured node2 under load from node3, not node2 under load from node3")


def test_a_node_of_the_same_kind_will_do_when_there_is_one() -> None:
    other, third = cell(node="node4"), cell(node="node5")
    now = records.campaign(day=21)
    (one,) = history(records.campaign(day=20, cells=(other,)), now).series
    assert (one.word, one.why) == ("no change resolved", "")
    (one,) = history(records.campaign(day=20, cells=(other, third)), now).series
    assert one.why.endswith("measured several nodes of this kind, none of them named node2")
    (one,) = history(records.campaign(day=20, cells=(other, CELL)), now).series
    assert [point.effect.cell for point in one.points] == [CELL, CELL]


def test_too_few_blocks_are_not_comparable_and_not_compared_with() -> None:
    full, few = records.campaign(day=20), records.campaign(day=21, blocks=2)
    (one,) = history(full, few).series
    assert (one.word, one.why) == (*("not comparable", "too few blocks for an interval (2 of 3)"),)
    (one,) = history(few, records.campaign(day=22)).series
    assert one.why == "2026-11-21 22:00: too few blocks for an interval (2 of 3)"
    (one,) = history(full, few, records.campaign(day=23)).series
    assert one.before == one.points[0]
    assert len(one.points) == 3


def test_the_campaign_at_hand_is_the_newest() -> None:
    made = [records.campaign(day=day) for day in (20, 21, 22)]
    (one,) = history(*made, current=made[1]).series  # later ones do not count
    assert [(point.run, point.day[8:10]) for point in one.points] == [
        *((name(0), "20"), (name(1), "21")),
    ]
    (one,) = history(made[0], current=made[2]).series
    assert one.points[-1].run == ""


def test_nothing_to_compare() -> None:
    assert trend.of([]) == History()


def test_a_campaign_that_makes_no_sense_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, sound = records.campaign(day=20), records.campaign(day=21)
    computed = effects.of

    def of(campaign: Campaign, **options: Any) -> list[effects.Effect]:
        if campaign == broken:
            raise ValueError("too deep")
        return computed(campaign, **options)

    monkeypatch.setattr(effects, "of", of)
    found = history(broken, sound)
    reason = "its numbers make no sense: ValueError too deep"
    assert found.skipped == (Skipped(name(0), reason),)
    assert found.series[0].why == "there is no earlier campaign"


def test_each_campaign_has_its_verdict() -> None:
    delays = (2.0, 4.0, 4.0, 2.0)
    made = [records.campaign(day=20 + n, delay=delay) for n, delay in enumerate(delays)]
    (one,) = history(*made).series
    assert one.words == ("not comparable", "regression", "no change resolved", "improvement")


def test_numbers_are_json() -> None:
    found = history(records.campaign(day=20, blocks=2), records.campaign(day=21, delay=4.0))
    (series,) = json.loads(found.to_json())["series"]
    assert (series["cell"], series["arm"], series["percentile"]) == (CELL.title, "meshed", "p99")
    assert (series["verdict"], series["change"]) == ("not comparable", None)
    first, last = series["points"]
    assert (first["low"], first["claim"], first["run"]) == (None, "too few", name(0))
    assert last["low"] < 4.0 < last["high"]
    assert (last["began"], last["linkerd"]) == ("2026-11-21T22:00:00", "edge-26.8.2")
