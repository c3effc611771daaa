"""The tables of the benchmark notebooks: what they say, and what they leave empty."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import samples

from runbook.bench import report, tables
from runbook.show import Cell, Table

TWO = (samples.CELL, samples.CELL.model_copy(update={"node": "node3", "protocol": "grpc"}))
CAMPAIGN = samples.campaign(blocks=7, seconds=6, warmup=1)
COST = report.footprint(CAMPAIGN)


def column(table: Table, name: str) -> list[str]:
    number = list(table.columns).index(name)
    cells = [row[number] for row in table.rows]
    return [cell.text if isinstance(cell, Cell) else cell for cell in cells]


# --- the proposal ---------------------------------------------------------------------------------


def proposal(**changes: Any) -> Table:
    given = {"cells": TWO, "budget_minutes": 60.0, **changes}
    return tables.proposal(samples.design(**given), 6.0, done=0, badge="REHEARSAL")


def test_a_proposal_names_every_cell_and_its_connections() -> None:
    table = proposal()
    assert table.title == "A campaign of 2 cells"
    assert column(table, "servers on") == ["node2", "node3"]
    assert column(table, "load from") == ["node3", "node3"]
    assert column(table, "protocol") == ["HTTP/1.1", "gRPC"]
    assert column(table, "answer") == ["1 KiB", "1 KiB"]
    assert column(table, "rate") == ["200 RPS", "200 RPS"]
    assert column(table, "connections") == ["4", "4"]
    assert table.badge == "REHEARSAL"
    assert proposal(cells=TWO[:1]).title == "A campaign of 1 cell"


def test_a_proposal_says_how_long_it_takes() -> None:
    first, second = proposal(pilot=8, most=40, half_width_ms=0.2).note.split("\n")
    assert first == (
        "meshed against baseline; a block runs each arm twice, 3 s to warm up and 15 s measured "
        "each: 1 min 36 s"
    )
    assert second.startswith("16 blocks to begin with (8 a cell): 25 min 36 s; then as many as p99")
    assert second.endswith("needs for ±0.2 ms, at most 1 h in all")


def test_the_budget_and_the_most_blocks_bound_it() -> None:
    assert proposal(budget_minutes=5.0).note.count("5 min") == 2, "also what it begins with"
    bounded = proposal(most=9, pilot=8, budget_minutes=600.0).note
    assert bounded.endswith("at most 28 min 48 s in all")  # 9 blocks of 2 cells, 96 s each


def test_a_third_arm_is_named() -> None:
    arms = ("baseline", "meshed", "skipped")
    assert proposal(arms=arms).note.startswith("meshed against baseline, and skipped; ")


def test_a_campaign_that_was_stopped_is_gone_on_with_or_not() -> None:
    design = samples.design()
    on = tables.proposal(design, 6.0, done=3, badge="")
    assert on.note.endswith("\ngoes on with a campaign that was stopped: 3 blocks are there")
    anew = tables.proposal(design, 6.0, done=0, changed=["Linkerd was a and is b"], badge="")
    assert anew.note.endswith("is not gone on with: Linkerd was a and is b")
    assert "stopped" not in tables.proposal(design, 6.0, done=0, badge="").note


# --- blocks ---------------------------------------------------------------------------------------


def test_blocks_that_count_and_those_that_do_not() -> None:
    campaign = samples.campaign(blocks=3, seconds=0.1, warmup=0.1, cells=TWO, invalid=(1, 3, 4))
    campaign = campaign.model_copy(update={"stop": {"0": "enough"}})
    table = tables.blocks(campaign, badge="")
    assert table.title == f"Campaign {campaign.id}"
    assert column(table, "cell") == [cell.title for cell in TWO]
    assert column(table, "blocks") == ["2", "1"]
    hot = "82 C, above 80 C"
    assert column(table, "do not count") == [f"1: node2: {hot}", f"2: node3: {hot}"]
    assert column(table, "requests") == [str(2 * 4 * 20), str(4 * 20)]
    assert column(table, "why no more") == ["enough", "not at its end"]


# --- effects --------------------------------------------------------------------------------------


def test_an_effect_is_said_in_words_with_both_latencies() -> None:
    found = report.latency(CAMPAIGN)
    table = tables.effects(found, badge="REHEARSAL")
    assert column(table, "percentile") == [f"meshed p{p}" for p in ("50", "90", "99", "99.9")]
    median = next(effect for effect in found if effect.quantile == 0.5)
    assert median.claim == "slower"
    assert column(table, "difference, ms")[0] == median.wording
    assert column(table, "baseline, ms")[0] == f"{median.baseline.value:.2f}"
    assert column(table, "blocks / requests")[0] == f"7 / {median.requests}"
    assert float(column(table, "A/A floor, ms")[0]) > 0


def test_equivalence_has_a_column_when_it_was_asked_for() -> None:
    asked = samples.campaign(samples.World(delay=0.05), blocks=12, equivalence_ms=1.0)
    table = tables.effects(report.latency(asked), margin=1.0, badge="")
    assert column(table, "within ±1 ms")[0] == "shown"
    slow = samples.campaign(samples.World(delay=2.0), blocks=12, equivalence_ms=1.0)
    table = tables.effects(report.latency(slow), margin=1.0, badge="")
    assert column(table, "within ±1 ms")[0] == "not shown"
    assert "within" not in tables.effects(report.latency(CAMPAIGN), badge="").text()


def test_a_percentile_of_too_few_requests_has_no_numbers() -> None:
    few = samples.campaign(blocks=7, seconds=0.1, warmup=0.1)
    table = tables.effects(report.latency(few), badge="")
    for name in ("baseline, ms", "this arm, ms", "A/A floor, ms"):
        assert column(table, name)[-1] == ""
    assert column(table, "difference, ms")[-1].startswith("too few requests for p99.9")
    none = tables.effects(report.latency(few.model_copy(update={"blocks": ()})), badge="")
    assert "nan" not in none.text()


# --- footprint ------------------------------------------------------------------------------------


def test_a_footprint_is_tables_of_servers_nodes_and_the_control_plane() -> None:
    found = {table.title: table for table in tables.footprint(COST, badge="REHEARSAL")}
    assert list(found) == [
        "CPU and memory of a server, by container",
        "CPU of whole nodes, more than baseline",
        "Control plane",
    ]
    assert all(table.badge == "REHEARSAL" for table in found.values())
    servers = found["CPU and memory of a server, by container"]
    proxy = column(servers, "container").index("linkerd-proxy")
    assert column(servers, "arm")[proxy] == "meshed"
    assert column(servers, "CPU a request, µs")[proxy].startswith(f"{samples.PROXY_US} (")
    assert column(servers, "working set, MiB")[proxy] == "14.0, at most 14.0"
    assert column(servers, "idle, mcore")[proxy] == "3.0"
    plane = found["Control plane"]
    assert "destination" in column(plane, "container")
    assert all(column(plane, "working set, MiB"))
    for table in found.values():
        assert "nan" not in table.text()
        assert table.html()


def test_runs_too_short_for_the_probe_say_so() -> None:
    without = replace(COST, nodes=tuple(replace(cost, blocks=0) for cost in COST.nodes))
    found = {table.title: table for table in tables.footprint(without, badge="")}
    (row,) = found["CPU of whole nodes, more than baseline"].rows
    assert row == ("runs are too short for it: the probe on a node speaks every 2 s",)
    empty = replace(COST, nodes=(), components=())
    assert len(list(tables.footprint(empty, badge=""))) == 1


def test_what_could_not_be_read_is_listed_but_not_for_ever() -> None:
    gaps = tuple(f"node{number}: silent" for number in range(14))
    last = list(tables.footprint(replace(COST, missing=gaps), badge=""))[-1]
    assert last.title == "Could not be read"
    ((text,),) = last.rows
    assert str(text).splitlines() == [*gaps[:10], "and 4 more"]
    last = list(tables.footprint(replace(COST, missing=gaps[:10]), badge=""))[-1]
    assert "more" not in last.text()


def test_a_figure_that_is_unknown_is_empty_and_never_zero() -> None:
    cost = replace(COST.costs[0], per_request=None, mcore=None, idle=None, rss=None, left_out=())
    (table, *_) = tables.footprint(replace(COST, costs=(cost,)), badge="")
    for name in ("CPU a request, µs", "at this rate, mcore", "idle, mcore", "RSS, MiB"):
        assert column(table, name) == [""]
    left = replace(cost, left_out=("block 3: the proxy was restarted",))
    (table, *_) = tables.footprint(replace(COST, costs=(left,)), badge="")
    assert column(table, "blocks") == [f"{cost.blocks}; left out: block 3: the proxy was restarted"]
