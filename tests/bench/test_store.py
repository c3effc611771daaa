"""Campaigns in the cluster: found again, whole or not at all, and forgotten when others came."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import samples
from bench_place import Place

from runbook.bench.campaign import Block, Campaign
from runbook.bench.deploy import PART_OF
from runbook.bench.design import Design
from runbook.bench.histogram import Histogram
from runbook.bench.store import CAMPAIGN, Store

MIB = 2**20
PART = "linkerd-runbook/part"


@pytest.fixture
def store(place: Place, space: str) -> Store:
    return Store(place.cluster, space)


def small(day: int = 24, **changes: Any) -> Campaign:
    """Give a campaign of two blocks of a tenth of a second."""
    quick: dict[str, Any] = {"seconds": 0.1, "warmup": 0.1}
    made = samples.campaign(blocks=2, **quick | changes)
    return made.model_copy(update={"id": f"202611{day}-220000-{made.design.digest}"})


def keep(store: Store, campaign: Campaign, blocks: int = 2) -> None:
    store.begin(campaign)
    for block in campaign.blocks[:blocks]:
        store.keep(campaign, block)


def names(store: Store) -> set[str]:
    found = store.cluster.list("v1", "ConfigMap", store.namespace)
    return {obj["metadata"]["name"] for obj in found} - {"kube-root-ca.crt"}


def test_a_campaign_is_read_as_it_was_written(store: Store) -> None:
    campaign = small()
    keep(store, campaign)
    store.rest(campaign, campaign.idle)
    store.end(campaign)
    assert store.newest() == campaign
    assert store.read(campaign.id).to_json() == campaign.to_json()


def test_while_it_goes_on_it_is_what_was_measured_so_far(store: Store) -> None:
    campaign = small(invalid=(0,))
    keep(store, campaign, blocks=1)
    found = store.newest()
    assert found is not None
    assert found.blocks == campaign.blocks[:1]
    assert (found.complete, found.stop, found.idle) == (False, {}, ())


def test_blocks_come_in_their_order_however_they_are_listed(store: Store) -> None:
    campaign = small()
    store.begin(campaign)
    late = campaign.blocks[1].model_copy(update={"number": 10_001})
    for block in (late, campaign.blocks[1], campaign.blocks[0]):
        store.keep(campaign, block)
    assert [block.number for block in store.read(campaign.id).blocks] == [0, 1, 10_001]


def test_a_block_that_is_written_again_replaces_itself(store: Store) -> None:
    campaign = small()
    keep(store, campaign)
    again = campaign.blocks[1].model_copy(update={"invalid": ("node2: too hot",)})
    store.keep(campaign, again)
    assert store.read(campaign.id).blocks == (campaign.blocks[0], again)


def test_no_campaign(store: Store) -> None:
    assert store.ids() == []
    assert store.newest() is None
    assert store.unfinished(samples.design()) is None
    absent = Store(store.cluster, "no-such-namespace")
    assert absent.newest() is None


def test_only_one_of_the_same_design_without_an_end_is_gone_on_with(store: Store) -> None:
    finished, other, begun = small(20), small(21, warmup=0.2), small(22)
    for campaign in (finished, other, begun):
        keep(store, campaign, blocks=1)
    store.end(finished)
    found = store.unfinished(begun.design)
    assert found is not None
    assert (found.id, found.blocks) == (begun.id, begun.blocks[:1])
    store.end(begun)
    assert store.unfinished(begun.design) is None
    kept = store.unfinished(other.design)
    assert kept is not None
    assert kept.id == other.id


def test_it_goes_on_with_the_budget_and_precision_of_now(store: Store) -> None:
    begun = small()
    keep(store, begun)
    now = begun.design.model_copy(update={"budget_minutes": 7.0, "half_width_ms": 0.5})
    found = store.unfinished(now)
    assert found is not None
    assert found.design == now


def test_the_newest_of_two_begun_is_gone_on_with(store: Store) -> None:
    for day in (20, 22, 21):
        store.begin(small(day))
    found = store.unfinished(small().design)
    assert found is not None
    assert found.id.startswith("20261122")
    assert [name[:8] for name in store.ids()] == ["20261120", "20261121", "20261122"]


# --- forgetting -----------------------------------------------------------------------------------


def decoys(store: Store, campaign: Campaign) -> set[str]:
    """Put beside it what looks like parts of it; give their names."""
    labels = {
        "a-shopping-list": {},
        f"campaign-{campaign.id}-begin-notes": {"app.kubernetes.io/part-of": "emojivoto"},
        "of-another-tool": {CAMPAIGN: campaign.id, PART: "block"},
        "ours-but-of-no-campaign": PART_OF,
    }
    for name, own in labels.items():
        store.cluster.create(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": store.namespace, "labels": own},
                "data": {"block.json": "{}"},
            }
        )
    return set(labels)


def test_the_oldest_finished_ones_are_forgotten_and_nothing_else(store: Store) -> None:
    stopped = small(10, warmup=0.2)
    keep(store, stopped)
    campaigns = [small(day) for day in (11, 12, 13, 14)]
    foreign = decoys(store, campaigns[0])
    for campaign in campaigns:
        keep(store, campaign, blocks=1)
        store.end(campaign)
    # the fourth was begun when three were there: the two newest of them stayed
    assert store.ids() == [stopped.id, *(one.id for one in campaigns[1:])]
    assert foreign < names(store)
    assert not {name for name in names(store) - foreign if campaigns[0].id in name}
    assert store.read(stopped.id).blocks == stopped.blocks, "it may still be gone on with"


def test_who_is_killed_while_forgetting_leaves_no_half_campaign_to_go_on_with(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaigns = [small(day) for day in (11, 12, 13)]
    for campaign in campaigns:
        keep(store, campaign)
        store.end(campaign)
    oldest, coming = campaigns[0], small(15, warmup=0.2)
    delete = type(store.cluster).delete
    parts = len([name for name in names(store) if oldest.id in name])
    assert parts == 4
    for survived in range(parts):
        left = [survived]

        def dies(*args: Any, left: list[int] = left) -> None:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            delete(*args)

        monkeypatch.setattr(type(store.cluster), "delete", dies)
        with pytest.raises(KeyboardInterrupt):
            store.begin(coming)
        monkeypatch.undo()
        assert store.unfinished(oldest.design) is None
        store.begin(coming)
        assert not {name for name in names(store) if oldest.id in name}
        keep(store, oldest)  # as it was, for the next time
        store.end(oldest)


# --- size -----------------------------------------------------------------------------------------


def largest(design: Design) -> Block:
    """Give a block of 60 s at 1000 RPS whose latencies spread over five decades."""
    rng = np.random.default_rng(7)
    spread = Histogram.of(10 ** rng.uniform(-4, 1, 60_000))
    block = samples.block(samples.World(), design.model_copy(update={"seconds": 1.0}), 0)
    runs = tuple(
        run.model_copy(update={"response": spread, "service": spread}) for run in block.runs
    )
    return block.model_copy(update={"runs": runs})


def test_a_block_stays_far_below_what_a_configmap_may_hold(store: Store) -> None:
    cell = samples.CELL.model_copy(update={"rps": 1000})
    design = samples.design(cells=(cell,), seconds=60, warmup=3)
    usual = len(samples.block(samples.World(), design, 0).model_dump_json())
    assert usual < MIB / 10
    three = samples.design(cells=(cell,), arms=("baseline", "meshed", "skipped"))
    worst = largest(three)
    assert MIB / 5 < len(worst.model_dump_json()) < MIB * 3 / 4
    campaign = small().model_copy(update={"blocks": (worst,)})
    keep(store, campaign)
    assert store.read(campaign.id).blocks == (worst,)
