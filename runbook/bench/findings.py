"""Checks of what a campaign measured: is it whole, was the load reached, did it pass the mesh."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

from runbook.bench import scraped
from runbook.bench.campaign import Campaign, Run
from runbook.bench.crosscheck import accounts, proven
from runbook.bench.design import KEPT_UP, LEAST
from runbook.bench.schedule import LATE
from runbook.checks import Check, Context, Outcome
from runbook.linkerd.outcomes import absent, few, judge
from runbook.prometheus import connect_prometheus

__all__ = ["campaign_checks", "footprint_checks", "latency_checks"]

_ERRORS = 0.001
_LATE = 0.01


def latency_checks(campaign: Campaign | None) -> tuple[Check, ...]:
    """Give the checks of what a campaign measured."""
    return _about(campaign, complete, blocks, load, generator, mtls)


def campaign_checks(campaign: Campaign | None) -> tuple[Check, ...]:
    """Give the checks of whether there is a campaign to look at."""
    return _about(campaign, measured)


def footprint_checks(campaign: Campaign | None) -> tuple[Check, ...]:
    """Give the checks of what was read of CPU and memory."""
    return _about(campaign, readable, accounted, asked)


def _about(
    campaign: Campaign | None, *checks: Callable[..., Iterator[Outcome]]
) -> tuple[Check, ...]:
    return tuple(partial(check, campaign=campaign) for check in checks)


def measured(context: Context, *, campaign: Campaign | None) -> Iterator[Outcome]:
    """There is a campaign."""
    title = "there is a campaign to look at"
    if campaign is None:
        yield absent(context, "bench-campaign", title, "a campaign", "61-bench-latency")
        return
    counted = sum(not block.invalid for block in campaign.blocks)
    yield judge(
        "bench-campaign",
        title,
        counted > 0,
        expected="blocks that count",
        seen=f"{campaign.id}: {counted} of {len(campaign.blocks)} blocks count",
        why="it was stopped before the first one was measured, or none was undisturbed",
        fix="run notebook 61-bench-latency",
    )


def readable(context: Context, *, campaign: Campaign | None) -> Iterator[Outcome]:
    """Kubelets, proxies and probes answered around every block."""
    if campaign is None:
        return
    looks = campaign.snapshots
    gaps = dict.fromkeys(gap for look in (*campaign.idle, *looks) for gap in look.missing)
    yield judge(
        "bench-readable",
        "kubelets, proxies and probes answered",
        "warn" if gaps else "pass",
        expected="all of them, around every block",
        seen=few(gaps, 3) or f"at {len(looks) + len(campaign.idle)} moments",
        why="figures that need what is missing are left out, never taken for zero",
        fix="look at what is named; notebook 60-bench-deploy checks access to kubelets",
    )


def accounted(context: Context, *, campaign: Campaign | None) -> Iterator[Outcome]:
    """Proxies and kubelets account for the same CPU."""
    if campaign is not None:
        yield from accounts(campaign)


def asked(context: Context, *, campaign: Campaign | None) -> Iterator[Outcome]:
    """An existing Prometheus agrees, when there is one to ask."""
    if campaign is None or not context.params.prometheus_url:
        return
    with closing(connect_prometheus(context.cluster, context.params.prometheus_url)) as prometheus:
        yield from scraped.outcomes(prometheus, campaign)


def complete(context: Context, *, campaign: Campaign | None) -> Iterator[Outcome]:
    """The campaign has come to its end."""
    title = "the campaign has come to its end"
    if campaign is None:
        yield absent(context, "bench-complete", title, "a campaign", "61-bench-latency")
        return
    yield judge(
        "bench-complete",
        title,
        campaign.complete,
        expected="every cell has its blocks, or the budget is used up",
        seen="; ".join(dict.fromkeys(campaign.stop.values())) or f"{len(campaign.blocks)} blocks",
        why="it was stopped",
        fix="run notebook 61-bench-latency again: it goes on where it was",
    )


def blocks(context: Context, *, campaign: Campaign | None) -> Iterator[Outcome]:
    """Enough blocks of each cell count."""
    for number, cell in enumerate(campaign.design.cells if campaign else ()):
        assert campaign is not None  # noqa: S101 - there are cells
        valid = len(campaign.valid(number))
        bad = [block for block in campaign.blocks if block.cell == number and block.invalid]
        reasons = dict.fromkeys(reason for block in bad for reason in block.invalid)
        yield judge(
            f"bench-blocks-{number}",
            cell.title,
            "fail" if not valid else "pass" if valid >= LEAST else "warn",
            expected=f"{LEAST} blocks that count, or more",
            seen=f"{valid} count" + (f", {len(bad)} do not: {few(reasons, 2)}" if bad else ""),
            why="the environment was not the same throughout, or the time was too short",
            fix="mend what the reasons name, or raise bench_budget; then run this notebook again",
        )


def load(context: Context, *, campaign: Campaign | None) -> Iterator[Outcome]:
    """The servers kept up with the load, without errors."""
    for cell, arm, runs in _by_arm(campaign):
        sent = sum(run.requests for run in runs)
        wanted = sum(run.requested_rps * run.seconds for run in runs)
        reached = sum(run.achieved_rps * run.seconds for run in runs) / wanted if wanted else 0.0
        errors = sum(run.errors for run in runs) / max(1, sent)
        lost = sum(run.lost for run in runs)
        short = reached < KEPT_UP or lost
        yield judge(
            f"bench-load-{cell}-{arm}",
            f"{cell}, {arm}: the load was answered",
            "fail" if errors > _ERRORS else "warn" if short else "pass",
            expected=f"at least {KEPT_UP:.0%} of the rate, errors at most {_ERRORS:.1%}",
            seen=f"{reached:.2%} of the rate, {errors:.2%} errors of {sent} requests"
            + (f", {lost} connections broke" if lost else ""),
            why="the server fails requests, or drops connections"
            if errors > _ERRORS or lost
            else "past saturation, latency measures how long the run was",
            fix="lower bench_rps, or raise bench_generators if the generator is the limit",
        )


def generator(context: Context, *, campaign: Campaign | None) -> Iterator[Outcome]:
    """The generators sent their requests when they were due."""
    runs = [run for _, _, found in _by_arm(campaign) for run in found]
    if not runs:
        return
    worst = max(runs, key=lambda run: run.late)
    late = sum(run.late * run.requests for run in runs) / max(1, sum(run.requests for run in runs))
    yield judge(
        "bench-generator",
        "generators send on time",
        "pass" if late <= _LATE else "warn",
        expected=f"at most {_LATE:.0%} of requests more than {LATE * 1000:g} ms late",
        seen=f"{late:.2%}, at worst {worst.late:.2%} of a run",
        why="its own delay is not counted as latency, but requests that leave late arrive in other "
        "intervals than was planned, in both arms alike",
        fix="raise bench_generators, or keep the generators' nodes free of other work",
    )


def mtls(context: Context, *, campaign: Campaign | None) -> Iterator[Outcome]:
    """Proxies saw every request of the meshed arm, over mTLS."""
    if campaign is None or not campaign.blocks:
        return
    counted = [block for block in campaign.blocks if not block.invalid]
    wrong = dict.fromkeys(told for block in counted if (told := proven(block)))
    yield judge(
        "bench-mtls",
        "every meshed request came over mTLS",
        not wrong,
        expected="request_total{direction=inbound, tls=true} grew by the requests sent",
        seen=few(wrong, 2) or f"in {len(counted)} blocks",
        why="what was measured did not pass through the mesh as it should",
        fix="run notebook 60-bench-deploy again and look at the annotations of the pods",
    )


def _by_arm(campaign: Campaign | None) -> Iterator[tuple[str, str, list[Run]]]:
    """Give title, arm and runs of each cell; only blocks that count."""
    for number, cell in enumerate(campaign.design.cells if campaign else ()):
        assert campaign is not None  # noqa: S101 - there are cells
        for arm in campaign.design.arms:
            runs = campaign.runs(number, arm)
            if runs:
                yield cell.title, arm, runs
