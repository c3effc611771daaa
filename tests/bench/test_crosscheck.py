"""mTLS proven by the proxy's own count, and CPU by two accounts."""

from __future__ import annotations

from typing import Any

import pytest
from footprint_samples import NAMES, World, iso

from runbook.bench import crosscheck
from runbook.bench.campaign import Block, Campaign

SERVER = NAMES["meshed"]


def proxied(block: Block, arm: str = "meshed", **fields: Any) -> Block:
    """Give a block whose last look at a proxy is another one."""
    pod = NAMES[arm]
    proxy = block.after.proxies[pod].model_copy(update=fields)
    proxies = {**block.after.proxies, pod: proxy}
    return block.model_copy(update={"after": block.after.model_copy(update={"proxies": proxies})})


@pytest.fixture
def block() -> Block:
    return World().block(0, 0, 50)  # 1800 requests in each arm, and 8 to open connections


def test_proven(block: Block) -> None:
    assert block.after.proxies[SERVER].requests == 1808
    assert crosscheck.proven(block) == ""


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"requests": 0.0, "plain": 1803.0}, "saw 0 of 1800 requests over mTLS, and 1800 in plain"),
        ({"requests": 1799.0}, "saw 1799 of 1800 requests over mTLS"),
        ({"requests": 1929.0}, "129 requests came from elsewhere"),
        ({"started": 1795561111.0, "requests": 1800.0}, "the server's proxy was restarted"),
        ({"requests": None}, "the server's proxy does not count requests"),
        ({"plain": 0.0}, "the server's proxy has dropped counters meanwhile"),
    ],
)
def test_not_proven(block: Block, fields: dict[str, Any], why: str) -> None:
    assert crosscheck.proven(proxied(block, **fields)).removeprefix("meshed: ").endswith(why)


def test_requests_that_failed_need_not_arrive(block: Block) -> None:
    runs = tuple(
        run.model_copy(update={"errors": 5}) if run.arm == "meshed" else run for run in block.runs
    )
    failing = block.model_copy(update={"runs": runs})
    assert crosscheck.proven(proxied(failing, requests=1790.0)) == ""
    assert "1789 of 1800" in crosscheck.proven(proxied(failing, requests=1789.0))


def test_a_proxy_that_was_not_read(block: Block) -> None:
    before = block.before.model_copy(update={"proxies": {}})
    unread = block.model_copy(update={"before": before})
    assert crosscheck.proven(unread) == "meshed: the server's proxy was not read"


def test_requests_must_pass_the_proxy_that_is_to_be_skipped() -> None:
    skipping = World(arms=("baseline", "meshed", "skipped")).block(0, 0, 50)
    assert crosscheck.proven(skipping) == ""
    through = proxied(skipping, "skipped", requests=1800.0)
    assert crosscheck.proven(through) == "skipped: 1800 requests of 1800 went through the proxy"


# --- two accounts -------------------------------------------------------------------------------


def slower(campaign: Campaign, share: float) -> Campaign:
    """Give a campaign whose proxies account for only a part of their CPU."""

    def less(block: Block) -> Block:
        cpu = block.after.proxies[SERVER].cpu_seconds
        assert cpu is not None
        return proxied(block, cpu_seconds=share * cpu)

    return campaign.model_copy(update={"blocks": tuple(less(block) for block in campaign.blocks)})


def test_both_accounts_agree_within_ticks() -> None:
    (found,) = crosscheck.accounts(World().campaign(6))
    assert found.verdict == "pass"
    truth = 6 * (20 + 50 + 200) * 36 * 320e-6 + 0.0015 * (300 + 18 * 88)
    assert found.seen.endswith(f", {truth:.2f} s by the kubelet")


@pytest.mark.parametrize(("share", "verdict"), [(0.97, "pass"), (0.9, "warn"), (1.1, "warn")])
def test_five_percent_apart_is_a_warning(share: float, verdict: str) -> None:
    (found,) = crosscheck.accounts(slower(World().campaign(6), share))
    assert found.verdict == verdict
    assert bool(found.fix) == (verdict == "warn")


def test_two_ticks_are_allowed_where_there_is_little_to_count() -> None:
    campaign = World(proxy=1e-6, idle=1e-5).campaign(1, rates=(20,))
    (found,) = crosscheck.accounts(campaign)
    assert found.verdict == "pass"


def test_only_one_life_of_a_process_is_compared() -> None:
    campaign = World().campaign(4)
    restarted = tuple(
        block
        if block.number < 3
        else proxied(block, started=1795561000.0, cpu_seconds=0.01 * block.number)
        for block in campaign.blocks
    )
    (found,) = crosscheck.accounts(campaign.model_copy(update={"blocks": restarted}))
    assert found.verdict == "pass", "before the restart both agree"


def test_nothing_to_compare_is_skipped() -> None:
    campaign = World().campaign(1, rates=(50,), idle=0)
    (block,) = campaign.blocks
    lonely = block.model_copy(
        update={"after": block.after.model_copy(update={"proxies": {}, "at": iso(0)})}
    )
    (found,) = crosscheck.accounts(campaign.model_copy(update={"blocks": (lonely,)}))
    assert (found.verdict, found.seen) == ("skip", "not read by both at two times of one process")
    assert crosscheck.accounts(World(arms=("baseline",)).campaign(1)) == []
