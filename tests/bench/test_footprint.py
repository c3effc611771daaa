"""What the mesh costs, from campaigns whose true costs are known."""

from __future__ import annotations

import math
from typing import Any

import pytest
from footprint_samples import IDENTITY, NAMES, World, iso

from runbook.bench import footprint
from runbook.bench.campaign import Campaign
from runbook.bench.footprint import Cost
from runbook.bench.snapshot import Snapshot

PROXY = f"{NAMES['meshed']}/linkerd-proxy"


def cost(campaign: Campaign, rps: int, arm: str, container: str) -> Cost:
    found = [
        one
        for one in footprint.of(campaign).costs
        if (one.cell.rps, one.arm, one.container) == (rps, arm, container)
    ]
    assert len(found) == 1
    return found[0]


def changed(snapshot: Snapshot, key: str, **fields: Any) -> Snapshot:
    usage = snapshot.containers[key].model_copy(update=fields)
    return snapshot.model_copy(update={"containers": {**snapshot.containers, key: usage}})


@pytest.mark.parametrize("rps", [20, 50, 200])
def test_costs_of_each_rate(rps: int) -> None:
    campaign = World().campaign(4)
    proxy = cost(campaign, rps, "meshed", "linkerd-proxy")
    assert proxy.per_request is not None
    assert proxy.per_request.value == pytest.approx(320, rel=0.001)
    assert proxy.idle == pytest.approx(1.5)
    assert proxy.mcore is not None
    assert proxy.mcore.value == pytest.approx(1.5 + rps * 0.320, rel=0.001)
    assert (proxy.blocks, proxy.requests) == (4, 4 * 2 * rps * 18)
    assert proxy.working_set is not None
    assert proxy.rss is not None
    assert (proxy.working_set.mean, proxy.rss.highest) == (8.0, 4.0)
    for arm, truth in (("baseline", 80), ("meshed", 95)):
        app = cost(campaign, rps, arm, "fortio")
        assert app.per_request is not None
        assert app.per_request.value == pytest.approx(truth)


def test_noise_widens_intervals_around_the_truth() -> None:
    proxy = cost(World(noise=0.08, seed=3).campaign(10), 200, "meshed", "linkerd-proxy")
    assert proxy.per_request is not None
    assert proxy.per_request.low < 320 < proxy.per_request.high
    assert 2 < proxy.per_request.half < 40
    assert proxy.mcore is not None
    assert proxy.mcore.half == pytest.approx(proxy.per_request.half * 0.2)


def test_without_idle_snapshots_the_idle_use_is_in_the_requests() -> None:
    proxy = cost(World().campaign(4, idle=0), 20, "meshed", "linkerd-proxy")
    assert (proxy.idle, proxy.mcore) == (None, None)
    assert proxy.per_request is not None
    assert proxy.per_request.value == pytest.approx(320 + 0.0015 * 88 / 720 * 1e6, rel=0.001)


def test_an_idle_time_of_seconds_is_too_short_for_times_in_whole_ones() -> None:
    campaign = World().campaign(2, idle=4.9)
    assert len(campaign.idle) == 2
    assert cost(campaign, 20, "meshed", "linkerd-proxy").idle is None
    (identity,) = footprint.of(campaign).components
    assert identity.idle is None
    assert identity.loaded == pytest.approx(2.0, rel=0.01)
    assert cost(World().campaign(2, idle=6), 20, "meshed", "linkerd-proxy").idle is not None


def test_fit_finds_idle_use_and_slope_without_idle_snapshots() -> None:
    (fit,) = footprint.of(World().campaign(4, idle=0)).fits
    assert (fit.node, fit.arm, fit.protocol, fit.payload) == (
        "node2",
        "meshed",
        "HTTP/1.1",
        "1 KiB",
    )
    assert fit.line.idle.value == pytest.approx(1.5, rel=0.02)
    assert fit.line.per_request.value == pytest.approx(320, rel=0.001)


def test_nodes_show_what_nobody_is_charged_for() -> None:
    found = footprint.of(World().campaign(4, rates=(50,))).nodes
    server, client = found
    assert (server.side, server.node, client.side, client.node) == (
        "server",
        "node2",
        "client",
        "node3",
    )
    assert server.busy is not None
    assert server.busy.value == pytest.approx(320 + 15 + 60)  # background cancels
    assert server.softirq is not None
    assert server.softirq.value == pytest.approx(30)
    assert server.uncharged is not None
    assert server.uncharged.value == pytest.approx(60, rel=0.01)
    assert client.uncharged is None
    server, _ = footprint.of(World().campaign(4, rates=(50,), idle=0)).nodes
    assert server.busy is not None
    assert server.uncharged is None, "the containers' idle use is not known"


def test_restart_invalidates_one_block_and_says_so() -> None:
    campaign = World().campaign(3, rates=(50,))
    spoilt = campaign.blocks[1]
    after = changed(spoilt.after, PROXY, started=iso(1795561000), cpu_seconds=0.1)
    blocks = (campaign.blocks[0], spoilt.model_copy(update={"after": after}), campaign.blocks[2])
    proxy = cost(campaign.model_copy(update={"blocks": blocks}), 50, "meshed", "linkerd-proxy")
    assert proxy.left_out == ("block 1: linkerd-proxy of echo-meshed-node2: it was restarted",)
    assert proxy.blocks == 2
    assert proxy.per_request is not None
    assert proxy.per_request.value == pytest.approx(320, rel=0.001)


def test_pod_that_was_replaced() -> None:
    campaign = World().campaign(1, rates=(50,))
    (block,) = campaign.blocks
    new = PROXY.replace("-meshe/", "-fresh/")
    containers = {
        key.replace("-meshe/", "-fresh/"): usage for key, usage in block.after.containers.items()
    }
    after = block.after.model_copy(update={"containers": containers})
    assert new in containers
    campaign = campaign.model_copy(update={"blocks": (block.model_copy(update={"after": after}),)})
    proxy = cost(campaign, 50, "meshed", "linkerd-proxy")
    assert proxy.per_request is None
    assert proxy.left_out == ("block 0: linkerd-proxy of echo-meshed-node2: its pod was replaced",)


def test_nothing_read_is_nothing_not_zero() -> None:
    campaign = World().campaign(2, rates=(50,))
    empty = Snapshot(at="", missing=("node node2: cannot get nodes/proxy",))
    blocks = tuple(
        block.model_copy(update={"before": empty, "after": empty}) for block in campaign.blocks
    )
    found = footprint.of(campaign.model_copy(update={"blocks": blocks, "idle": ()}))
    for one in found.costs:
        assert (one.per_request, one.mcore, one.working_set, one.rss) == (None, None, None, None)
        assert len(one.left_out) == 2
    assert found.components == ()
    assert found.fits == ()
    assert found.missing == ("node node2: cannot get nodes/proxy (4 of 4 snapshots)",)


def test_invalid_blocks_do_not_count() -> None:
    campaign = World().campaign(3, rates=(50,))
    spoilt = campaign.blocks[0].model_copy(update={"invalid": ("node2: hot",)})
    found = campaign.model_copy(update={"blocks": (spoilt, *campaign.blocks[1:])})
    assert cost(found, 50, "baseline", "fortio").blocks == 2
    assert [one.blocks for one in footprint.of(found).nodes] == [2, 2]


def test_one_block_has_figures_without_intervals() -> None:
    campaign = World().campaign(1, rates=(50,))
    proxy = cost(campaign, 50, "meshed", "linkerd-proxy")
    assert proxy.per_request is not None
    assert math.isnan(proxy.per_request.low)
    assert proxy.mcore is not None
    assert math.isnan(proxy.mcore.high)


def test_a_campaign_without_blocks() -> None:
    found = footprint.of(World().campaign(0))
    assert (found.costs, found.nodes, found.fits) == ((), (), ())
    assert [one.container for one in found.components] == ["identity"]


def test_three_arms() -> None:
    world = World(arms=("baseline", "meshed", "skipped"))
    campaign = world.campaign(2, rates=(50,))
    found = footprint.of(campaign)
    assert [(one.arm, one.container) for one in found.costs] == [
        ("baseline", "fortio"),
        ("meshed", "fortio"),
        ("meshed", "linkerd-proxy"),
        ("skipped", "fortio"),
        ("skipped", "linkerd-proxy"),
    ]
    idle = cost(campaign, 50, "skipped", "linkerd-proxy").per_request
    assert idle is not None
    assert idle.value == pytest.approx(0, abs=1e-6), "it was there, and did nothing"
    assert [(one.arm, one.side) for one in found.nodes] == [
        ("meshed", "server"),
        ("meshed", "client"),
        ("skipped", "server"),
        ("skipped", "client"),
    ]


# --- control plane ------------------------------------------------------------------------------


def test_control_plane_idle_and_during_the_campaign() -> None:
    (identity,) = footprint.of(World().campaign(3)).components
    assert (identity.name, identity.container, identity.replicas) == (
        "linkerd-identity",
        "identity",
        1,
    )
    assert identity.idle == pytest.approx(2.0)
    assert identity.loaded == pytest.approx(2.0)
    assert identity.working_set is not None
    assert identity.working_set.mean == 8.0


def test_replicas_add_up_and_a_restart_leaves_no_figure() -> None:
    campaign = World().campaign(2, rates=(50,))
    second = IDENTITY.replace("abcde", "fghij")

    def doubled(snapshot: Snapshot) -> Snapshot:
        own = snapshot.containers
        return snapshot.model_copy(update={"containers": {**own, second: own[IDENTITY]}})

    idle = tuple(doubled(snapshot) for snapshot in campaign.idle)
    blocks = tuple(
        block.model_copy(update={"before": doubled(block.before), "after": doubled(block.after)})
        for block in campaign.blocks
    )
    campaign = campaign.model_copy(update={"blocks": blocks, "idle": idle})
    (identity,) = footprint.of(campaign).components
    assert identity.replicas == 2
    assert identity.idle == pytest.approx(4.0)
    assert identity.working_set is not None
    assert identity.working_set.mean == 16.0
    last = blocks[-1].model_copy(
        update={"after": changed(blocks[-1].after, second, started=iso(1795562000))}
    )
    (identity,) = footprint.of(
        campaign.model_copy(update={"blocks": (*blocks[:-1], last)})
    ).components
    assert identity.idle == pytest.approx(4.0)
    assert identity.loaded is None
