"""What is measured next and when it is enough: from the blocks alone, so that resuming is free."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import samples
from samples import World

from runbook.bench.agenda import Agenda, out_of_time, pilot_half_ms
from runbook.bench.campaign import Block, Campaign
from runbook.bench.design import Design
from runbook.bench.histogram import Histogram

STEADY = World(run_noise=0.02, block_noise=0.02)
TWO = (samples.CELL, samples.CELL.model_copy(update={"node": "node3", "client": "node2"}))
THREE = (*TWO, samples.CELL.model_copy(update={"rps": 100}))


def begun(**changes: Any) -> Campaign:
    """Give a campaign of runs of 2 s, without blocks."""
    plain: dict[str, Any] = {"seconds": 2, "warmup": 1, "budget_minutes": 6000}
    design = samples.design(**plain | changes)
    return Campaign(id="20261124-220000-x", design=design, environment=samples.environment(design))


def measured(
    campaign: Campaign, cell: int, world: World = STEADY, *, bad: bool = False, seconds: float = 96
) -> Campaign:
    """Add a block of a cell."""
    number = len(campaign.blocks)
    reasons = ("node2: the processor was at 83 °C, above 80",) if bad else ()
    block = samples.block(world, campaign.design, number, cell, invalid=reasons)
    block = block.model_copy(update={"seconds": seconds})
    return campaign.model_copy(update={"blocks": (*campaign.blocks, block)})


def run(campaign: Campaign, world: World = STEADY, *, resume_after: int = 0) -> Campaign:
    """Measure to the end; after some blocks somebody else goes on."""
    agenda = Agenda()
    while (cell := agenda.next_cell(campaign)) is not None:
        campaign = measured(campaign, cell, world)
        if resume_after and len(campaign.blocks) % resume_after == 0:
            agenda, campaign = Agenda(), Campaign.from_json(campaign.to_json())
    return campaign.model_copy(update={"complete": True, "stop": agenda.reasons(campaign)})


def cells_of(campaign: Campaign) -> list[int]:
    return [block.cell for block in campaign.blocks]


# --- order ----------------------------------------------------------------------------------------


def test_each_cell_gets_its_pilot_first_in_rounds_by_lot() -> None:
    campaign, agenda = begun(cells=THREE, pilot=6, most=6), Agenda()
    for _ in range(18):
        cell = agenda.next_cell(campaign)
        assert cell is not None
        campaign = measured(campaign, cell)
    order = cells_of(campaign)
    rounds = [tuple(order[start : start + 3]) for start in range(0, 18, 3)]
    assert all(set(one) == {0, 1, 2} for one in rounds), "no cell runs ahead"
    assert len(set(rounds)) > 1, "not always in the same order"
    assert agenda.next_cell(campaign) is None


def test_another_campaign_has_another_order() -> None:
    orders = set()
    for seconds in (2, 2.1, 2.2, 2.3):
        design = begun(cells=THREE, pilot=6, most=6, seconds=seconds)
        orders.add(tuple(cells_of(run(design))))
    assert len(orders) > 1


def test_blocks_that_do_not_count_are_measured_again() -> None:
    campaign, agenda = begun(cells=TWO, pilot=6, most=6), Agenda()
    for bad in (True, False, True, False):
        cell = agenda.next_cell(campaign)
        assert cell is not None
        campaign = measured(campaign, cell, bad=bad)
    while (cell := agenda.next_cell(campaign)) is not None:
        campaign = measured(campaign, cell)
    assert [len(campaign.valid(cell)) for cell in (0, 1)] == [6, 6]
    assert agenda.total(campaign) == len(campaign.blocks) == 14


# --- when it is enough ----------------------------------------------------------------------------


def test_steins_number_follows_from_the_pilot_and_is_then_fixed() -> None:
    world = World(run_noise=0.3, tail=30)
    campaign = begun(pilot=6, half_width_ms=1e-9, most=99)
    for _ in range(6):
        campaign = measured(campaign, 0, world)
    half = pilot_half_ms(campaign, 0)
    assert 0 < half < math.inf
    target = half / 1.4  # takes 1.4 squared times the pilot's blocks
    wanted = math.ceil(6 * 1.4**2)
    aimed = campaign.design.model_copy(update={"half_width_ms": target})
    ended = run(campaign.model_copy(update={"design": aimed}), world)
    assert len(ended.blocks) == wanted == 12
    assert ended.stop == {"0": "12 blocks, decided by the precision asked for"}
    # further blocks, however they spread, do not move it: only the pilot decides
    wild = measured(campaign.model_copy(update={"design": aimed}), 0, World(run_noise=2.0))
    assert Agenda().total(wild) == 12


def test_a_precise_pilot_is_enough() -> None:
    ended = run(begun(pilot=6, half_width_ms=50.0))
    assert len(ended.blocks) == 6
    assert ended.stop == {"0": "6 blocks, decided by the precision asked for"}


def test_no_cell_gets_more_than_the_most() -> None:
    ended = run(begun(pilot=6, half_width_ms=1e-6, most=9))
    assert len(ended.blocks) == 9
    assert ended.stop["0"].startswith("9 blocks, decided by the most blocks a cell may have; ")


def test_whether_an_effect_shows_decides_nothing() -> None:
    design = {"pilot": 6, "half_width_ms": 0.05, "most": 12}
    counts = {delay: len(run(begun(**design), World(delay=delay)).blocks) for delay in (0.0, 20.0)}
    assert counts[0.0] == counts[20.0]


def test_a_pilot_without_enough_requests_gets_the_most_and_says_why() -> None:
    few = (samples.CELL.model_copy(update={"rps": 1}),)
    campaign = begun(cells=few, pilot=6, most=8)
    for _ in range(6):
        campaign = measured(campaign, 0)
    assert pilot_half_ms(campaign, 0) == math.inf
    ended = run(campaign)
    assert len(ended.blocks) == 8
    assert ended.stop == {
        "0": "8 blocks, the most a cell may have: the first 6 have too few requests to tell how "
        "many p99 needs"
    }


def test_nothing_counts_and_a_cell_is_given_up() -> None:
    campaign, agenda = begun(cells=TWO, pilot=6, half_width_ms=50.0), Agenda()
    while (cell := agenda.next_cell(campaign)) is not None:
        campaign = measured(campaign, cell, bad=cell == 1)
    assert Counter(cells_of(campaign)) == {0: 6, 1: 12}, "twice the blocks it needs, no more"
    reasons = agenda.reasons(campaign)
    assert reasons["0"] == "6 blocks, decided by the precision asked for"
    assert reasons["1"] == "0 of 12 blocks count; see why the others do not"


# --- time -----------------------------------------------------------------------------------------


def test_the_budget_ends_it_before_a_block_that_would_not_fit() -> None:
    campaign, agenda = begun(cells=TWO, pilot=6, budget_minutes=5), Agenda()
    assert not out_of_time(campaign), "there is always time for the first"
    while (cell := agenda.next_cell(campaign)) is not None:
        campaign = measured(campaign, cell, seconds=70)
    assert len(campaign.blocks) == 4
    assert agenda.reasons(campaign) == {
        "0": "2 of 6 blocks: the budget of 5 min is used up",
        "1": "2 of 6 blocks: the budget of 5 min is used up",
    }


def test_time_between_attempts_costs_nothing() -> None:
    campaign = measured(begun(budget_minutes=5), 0, seconds=100)
    late = campaign.blocks[0].model_copy(update={"number": 1, "started": "2026-12-24T22:00:00Z"})
    assert not out_of_time(campaign.model_copy(update={"blocks": (campaign.blocks[0], late)}))


def test_more_budget_goes_on_where_less_ended() -> None:
    short = run(begun(pilot=6, half_width_ms=50.0, budget_minutes=4))
    assert len(short.blocks) == 2
    longer = short.design.model_copy(update={"budget_minutes": 60.0})
    ended = run(short.model_copy(update={"design": longer}))
    assert len(ended.blocks) == 6


# --- resuming -------------------------------------------------------------------------------------


@pytest.mark.parametrize("resume_after", [1, 4, 7])
def test_who_goes_on_decides_as_one_that_was_never_stopped(resume_after: int) -> None:
    world = World(run_noise=0.3)
    plan: dict[str, Any] = {"cells": TWO, "pilot": 6, "half_width_ms": 1.0, "most": 10}
    whole = run(begun(**plan), world)
    assert len(whole.blocks) > 12, "the pilot alone would show little"
    assert run(begun(**plan), world, resume_after=resume_after) == whole


def test_a_block_more_or_less_of_one_cell_is_made_up_for() -> None:
    campaign = measured(measured(begun(cells=THREE, pilot=6), 2), 2)
    chosen = set()
    for _ in range(2):
        cell = Agenda().next_cell(campaign)
        assert cell is not None
        chosen.add(cell)
        campaign = measured(campaign, cell)
    assert chosen == {0, 1}


def test_a_campaign_of_nothing_ends_at_once() -> None:
    design = Design(cells=(), seconds=1, warmup=1)
    empty = Campaign(id="x", design=design, environment=samples.environment(design))
    assert Agenda().next_cell(empty) is None
    assert Agenda().reasons(empty) == {}


def test_the_pilot_is_the_first_blocks_that_count() -> None:
    campaign = measured(begun(pilot=6), 0, bad=True)
    for _ in range(6):
        campaign = measured(campaign, 0)
    half = pilot_half_ms(campaign, 0)
    more = measured(campaign, 0, World(run_noise=3.0))
    assert pilot_half_ms(more, 0) == half

    def emptied(block: Block) -> Block:
        runs = tuple(run.model_copy(update={"response": Histogram()}) for run in block.runs)
        return block.model_copy(update={"runs": runs})

    none = campaign.model_copy(update={"blocks": tuple(map(emptied, campaign.blocks))})
    assert pilot_half_ms(none, 0) == math.inf
