"""What is said of a campaign: each verdict, by a campaign that earns it."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
import samples

from runbook.bench import findings
from runbook.bench.campaign import Block, Campaign
from runbook.bench.snapshot import Snapshot
from runbook.checks import Check, Outcome
from runbook.params import Params

TWO = (samples.CELL, samples.CELL.model_copy(update={"node": "node3", "client": "node2"}))
GOOD = samples.campaign(blocks=7, seconds=1, warmup=1)


def context(**given: Any) -> Any:
    return SimpleNamespace(cluster=None, params=Params.parse(given))


def told(checks: Iterable[Check], **given: Any) -> dict[str, Outcome]:
    return {one.id: one for check in checks for one in check(context(**given))}


def latency(campaign: Campaign | None, **given: Any) -> dict[str, Outcome]:
    return told(findings.latency_checks(campaign), **given)


def footprint(campaign: Campaign | None) -> dict[str, Outcome]:
    return told(findings.footprint_checks(campaign))


def changed(campaign: Campaign, *arms: str, block: int = -1, **fields: Any) -> Campaign:
    """Change runs of some arms, in one block or all."""

    def blockwise(one: Block) -> Block:
        if block not in (-1, one.number):
            return one
        runs = tuple(run.model_copy(update=fields) if run.arm in arms else run for run in one.runs)
        return one.model_copy(update={"runs": runs})

    return campaign.model_copy(update={"blocks": tuple(map(blockwise, campaign.blocks))})


def looked(campaign: Campaign, number: int, **fields: Any) -> Campaign:
    """Change the look after a block."""
    blocks = list(campaign.blocks)
    after = blocks[number].after.model_copy(update=fields)
    blocks[number] = blocks[number].model_copy(update={"after": after})
    return campaign.model_copy(update={"blocks": tuple(blocks)})


def test_all_is_well_with_a_campaign_that_nothing_disturbed() -> None:
    everything = {**latency(GOOD), **footprint(GOOD), **told(findings.campaign_checks(GOOD))}
    assert {one.verdict for one in everything.values()} == {"pass"}
    assert {"bench-complete", "bench-blocks-0", "bench-generator", "bench-mtls"} < set(everything)
    assert all(not one.why and not one.fix for one in everything.values())


# --- is there one, is it whole --------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "verdict"), [("apply", "fail"), ("plan", "skip")])
def test_no_campaign_fails_but_in_a_plan(mode: str, verdict: str) -> None:
    found = told(findings.campaign_checks(None), mode=mode)
    assert found["bench-campaign"].verdict == verdict
    assert set(latency(None, mode=mode)) == {"bench-complete"}
    assert latency(None, mode=mode)["bench-complete"].verdict == verdict
    assert footprint(None) == {}


def test_a_campaign_of_which_no_block_counts_is_none() -> None:
    hot = samples.campaign(blocks=2, seconds=0.2, invalid=(0, 1))
    (found,) = told(findings.campaign_checks(hot)).values()
    assert found.verdict == "fail"
    assert found.seen == f"{hot.id}: 0 of 2 blocks count"
    empty = hot.model_copy(update={"blocks": ()})
    assert told(findings.campaign_checks(empty))["bench-campaign"].verdict == "fail"


def test_one_that_was_stopped_is_not_complete() -> None:
    stopped = GOOD.model_copy(update={"complete": False, "stop": {}})
    found = latency(stopped)["bench-complete"]
    assert (found.verdict, found.seen) == ("fail", "7 blocks")
    assert "goes on where it was" in found.fix
    assert latency(GOOD)["bench-complete"].seen == "7 blocks, decided by the precision asked for"


@pytest.mark.parametrize(
    ("invalid", "verdict", "seen"),
    [
        ((), "pass", "7 count"),
        ((3,), "pass", "6 count, 1 do not: node2: 82 C, above 80 C"),
        ((3, 4), "warn", "5 count, 2 do not: node2: 82 C, above 80 C"),
        (range(7), "fail", "0 count, 7 do not: node2: 82 C, above 80 C"),
    ],
)
def test_blocks_that_count(invalid: Any, verdict: str, seen: str) -> None:
    found = latency(samples.campaign(blocks=7, seconds=0.2, invalid=tuple(invalid)))
    assert (found["bench-blocks-0"].verdict, found["bench-blocks-0"].seen) == (verdict, seen)


def test_each_cell_is_judged_by_its_own_blocks() -> None:
    campaign = samples.campaign(blocks=6, seconds=0.2, cells=TWO, invalid=(1, 3, 5))
    found = latency(campaign)
    assert found["bench-blocks-0"].verdict == "pass"
    assert found["bench-blocks-1"].verdict == "warn"
    assert found["bench-blocks-1"].title == TWO[1].title


# --- was the load reached -------------------------------------------------------------------------


def loads(campaign: Campaign) -> dict[str, str]:
    cell = f"bench-load-{samples.CELL.title}-"
    return {
        key.removeprefix(cell): one.verdict
        for key, one in latency(campaign).items()
        if key.startswith(cell)
    }


def test_saturation_is_a_warning_of_the_arm_it_is_in() -> None:
    slow = changed(GOOD, "meshed", achieved_rps=197.9)
    assert loads(slow) == {"baseline": "pass", "meshed": "warn"}
    seen = latency(slow)[f"bench-load-{samples.CELL.title}-meshed"]
    assert seen.seen.startswith("98.95% of the rate")
    assert "saturation" in seen.why
    assert loads(changed(GOOD, "meshed", achieved_rps=198.0)) == dict.fromkeys(
        ("baseline", "meshed"), "pass"
    )


def test_errors_fail_wherever_they_are() -> None:
    run = GOOD.blocks[0].runs[0]
    rare, many = int(run.requests * 0.001), int(run.requests * 0.01)
    assert loads(changed(GOOD, "baseline", errors=rare))["baseline"] == "pass"
    failing = changed(GOOD, "baseline", errors=many)
    assert loads(failing) == {"baseline": "fail", "meshed": "pass"}
    assert "fails requests" in latency(failing)[f"bench-load-{samples.CELL.title}-baseline"].why


def test_connections_that_broke_are_a_warning() -> None:
    broken = changed(GOOD, "meshed", lost=1)
    assert loads(broken) == {"baseline": "pass", "meshed": "warn"}
    told = latency(broken)[f"bench-load-{samples.CELL.title}-meshed"]
    assert "connections broke" in told.seen
    assert "drops connections" in told.why


def test_blocks_that_do_not_count_are_not_judged() -> None:
    hot = samples.campaign(blocks=7, seconds=0.2, invalid=(2,))
    assert set(loads(changed(hot, "meshed", block=2, errors=40)).values()) == {"pass"}


def test_a_generator_that_is_late_is_a_warning() -> None:
    assert latency(changed(GOOD, "baseline", late=0.015))["bench-generator"].verdict == "pass"
    late = latency(changed(GOOD, "baseline", "meshed", late=0.02))["bench-generator"]
    assert late.verdict == "warn"
    assert late.seen == "2.00%, at worst 2.00% of a run"
    one = latency(changed(GOOD, "meshed", block=3, late=0.05))["bench-generator"]
    assert one.verdict == "pass"
    assert one.seen.endswith("at worst 5.00% of a run")


# --- did it pass the mesh -------------------------------------------------------------------------


def proxies(campaign: Campaign, number: int, **fields: Any) -> Campaign:
    after: Snapshot = campaign.blocks[number].after
    return looked(
        campaign,
        number,
        proxies={pod: one.model_copy(update=fields) for pod, one in after.proxies.items()},
    )


def test_requests_that_did_not_come_over_mtls_fail() -> None:
    pod, proxy = next(iter(GOOD.blocks[6].after.proxies.items()))
    assert "meshed" in pod
    sent = sum(run.sent for run in GOOD.blocks[6].of("meshed"))
    bypassed = proxies(GOOD, 6, requests=(proxy.requests or 0) - sent, plain=float(sent))
    found = latency(bypassed)["bench-mtls"]
    assert found.verdict == "fail"
    assert found.seen == (
        f"meshed: the server's proxy saw 0 of {sent} requests over mTLS, and {sent} in plain"
    )
    assert "did not pass through the mesh" in found.why


def test_a_proxy_that_counted_too_few_or_was_not_read_fails() -> None:
    counted = GOOD.blocks[6].after.proxies.values()
    fewer = proxies(GOOD, 6, requests=sum((one.requests or 0) for one in counted) - 1)
    assert latency(fewer)["bench-mtls"].verdict == "fail"
    assert latency(looked(GOOD, 6, proxies={}))["bench-mtls"].verdict == "fail"


def test_only_blocks_that_count_have_to_be_proven() -> None:
    hot = samples.campaign(blocks=7, seconds=0.2, invalid=(6,))
    found = latency(looked(hot, 6, proxies={}))["bench-mtls"]
    assert (found.verdict, found.seen) == ("pass", "in 6 blocks")


# --- what was read of CPU and memory --------------------------------------------------------------


def test_what_could_not_be_read_is_named() -> None:
    gap = "node node2: cannot get nodes/node2 (needs get on nodes/proxy)"
    found = footprint(looked(GOOD, 2, missing=(gap,)))["bench-readable"]
    assert (found.verdict, found.seen) == ("warn", gap)
    assert footprint(GOOD)["bench-readable"].seen == "at 16 moments"  # 7 blocks twice, and idle


def test_proxy_and_kubelet_that_account_differently_are_a_warning() -> None:
    accounts = {key: one for key, one in footprint(GOOD).items() if key.startswith("accounts-")}
    assert {one.verdict for one in accounts.values()} == {"pass"}
    (pod,) = GOOD.blocks[6].after.proxies
    used = GOOD.blocks[6].after.proxies[pod].cpu_seconds or 0
    other = footprint(proxies(GOOD, 6, cpu_seconds=used + 5))
    assert other[f"accounts-{pod}"].verdict == "warn"


def test_without_the_address_of_a_prometheus_none_is_asked() -> None:
    assert not [key for key in footprint(GOOD) if "prometheus" in key]
