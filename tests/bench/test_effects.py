"""Effects of campaigns whose truth is known, and what is said of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import samples
from samples import CELL, World
from scipy import stats as scipy_stats

from runbook.bench import effects
from runbook.bench.campaign import Block, Campaign, Run
from runbook.bench.effects import Claim, Effect
from runbook.bench.histogram import Histogram
from runbook.bench.stats import Interval, holm

OTHER = CELL.model_copy(update={"node": "node4"})


def primary(campaign: Campaign) -> Effect:
    (found,) = [e for e in effects.of(campaign, ()) if e.primary]
    return found


def with_runs(campaign: Campaign, changed: Sequence[tuple[Run, ...]]) -> Campaign:
    """Give the campaign with other runs in its blocks."""
    blocks = zip(campaign.blocks, changed, strict=True)
    made = tuple(block.model_copy(update={"runs": runs}) for block, runs in blocks)
    return campaign.model_copy(update={"blocks": made})


def shifted(run: Run, ms: float) -> Run:
    us = tuple(value + round(1000 * ms) for value in run.response.us)
    return run.model_copy(update={"response": Histogram(us=us, n=run.response.n)})


@pytest.mark.parametrize("world", [World(delay=2.0), World(delay=1.0, heavy=True)])
def test_a_delay_is_found(world: World) -> None:
    true = world.truth(0.99, requests=1_000_000)
    found = [primary(samples.campaign(world, blocks=10, seed=seed)) for seed in range(6)]
    assert sum(e.difference.low < true < e.difference.high for e in found) >= 5
    for effect in found:
        assert effect.claim == "slower"
        assert effect.difference.value == pytest.approx(true, rel=0.2)
        assert effect.difference.half < 0.35 * true
        assert effect.paired is not None
        assert effect.paired.value == pytest.approx(effect.difference.value, rel=0.2)
        assert effect.ratio == pytest.approx(effect.loaded.value / effect.baseline.value)
        assert (effect.blocks, effect.requests) == (10, 10 * 2 * 3000)
        assert effect.adjusted == effect.p < 1e-3


def test_a_mesh_that_is_faster_is_said_to_be() -> None:
    effect = primary(samples.campaign(World(delay=-1.0)))
    assert effect.claim == "faster"
    assert effect.wording.startswith("1.")
    assert " ms faster (0." in effect.wording


def test_intervals_cover_and_nothing_is_claimed_without_a_delay() -> None:
    world = World(delay=0)
    shown = [effects.of(samples.campaign(world, blocks=6, seed=n, seconds=5)) for n in range(40)]
    found = [effect for each in shown for effect in each if effect.primary]
    assert sum(e.difference.low <= 0 <= e.difference.high for e in found) >= 36
    assert sum(any(e.claim != "unresolved" for e in each) for each in shown) <= 4
    # and each of them looks for an effect in earnest: its half-width is far below its latency
    assert all(e.difference.half < 0.3 * e.baseline.value for e in found)


def test_values_are_of_all_latencies_together() -> None:
    campaign = samples.campaign(blocks=7, cells=(CELL, OTHER))
    for effect in effects.of(campaign):
        cell = campaign.design.cells.index(effect.cell)
        base, mesh = (
            Histogram.merged(
                run.response for block in campaign.valid(cell) for run in block.of(arm)
            )
            for arm in ("baseline", "meshed")
        )
        assert effect.baseline.value == pytest.approx(1e3 * base.quantile(effect.quantile))
        assert effect.loaded.value == pytest.approx(1e3 * mesh.quantile(effect.quantile))
        added = effect.loaded.value - effect.baseline.value
        assert effect.difference.value == pytest.approx(added)
        for interval in (effect.baseline, effect.loaded, effect.difference):
            assert interval.low < interval.value < interval.high


def test_effects_come_by_cell_arm_and_quantile() -> None:
    arms = ("baseline", "meshed", "skipped")
    campaign = samples.campaign(blocks=4, cells=(CELL, OTHER), arms=arms, quantile=0.95)
    found = effects.of(campaign, (0.9, 0.5))
    assert [(e.cell, e.arm, e.quantile) for e in found] == [
        (cell, arm, share)
        for cell in (CELL, OTHER)
        for arm in ("meshed", "skipped")
        for share in (0.5, 0.9, 0.95)
    ]
    assert [e for e in found if e.primary] == [found[2]]
    assert all(e.claim == "slower" for e in found if e.arm == "meshed")
    # a proxy that is passed by adds nothing
    assert all(e.claim == "unresolved" for e in found if e.arm == "skipped")


def test_the_same_campaign_shows_the_same() -> None:
    campaign = samples.campaign(blocks=6)
    again = Campaign.from_json(campaign.to_json())
    assert effects.of(campaign) == effects.of(again)
    assert effects.of(campaign, (0.99,)) == [e for e in effects.of(campaign) if e.primary]


def test_invalid_blocks_do_not_count() -> None:
    campaign = samples.campaign(blocks=9, invalid=(2, 5))
    awful = [
        tuple(shifted(run, 500.0) for run in block.runs) if block.invalid else block.runs
        for block in campaign.blocks
    ]
    assert effects.of(with_runs(campaign, awful)) == effects.of(campaign)
    assert primary(campaign).blocks == 7


def test_blocks_that_lack_a_run_do_not_count() -> None:
    campaign = samples.campaign(blocks=8)
    runs = [block.runs for block in campaign.blocks]
    runs[1] = runs[1][:3]
    runs[4] = (runs[4][0].model_copy(update={"response": Histogram()}), *runs[4][1:])
    assert primary(with_runs(campaign, runs)).blocks == 6


def test_requests_are_those_of_the_arm_with_fewer() -> None:
    campaign = samples.campaign(blocks=4)
    for arm in ("baseline", "meshed"):
        runs = [block.runs for block in campaign.blocks]
        few = Histogram.of([0.004] * 10)
        runs[2] = tuple(
            run.model_copy(update={"response": few}) if run.arm == arm else run for run in runs[2]
        )
        found = primary(with_runs(campaign, runs))
        assert found.requests == 3 * 2 * 3000 + 2 * 10, arm


def test_intervals_have_the_t_quantile_of_the_pilot() -> None:
    """Eight blocks of twenty decided how many there are; or all of them did."""
    campaign = samples.campaign(blocks=20)
    longer = campaign.design.model_copy(update={"pilot": 20})
    of_eight, of_all = primary(campaign), primary(campaign.model_copy(update={"design": longer}))
    t = [float(scipy_stats.t.ppf(0.975, freedom)) for freedom in (7, 19)]
    assert of_eight.difference.half / of_all.difference.half == pytest.approx(t[0] / t[1])
    # and the p-value goes with the interval
    side = of_eight.difference.value - of_eight.difference.low
    expected = 2 * scipy_stats.t.sf(of_eight.difference.value / side * t[0], 7)
    assert of_eight.p == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_too_few_blocks_claim_nothing(blocks: int) -> None:
    for effect in effects.of(samples.campaign(World(delay=5), blocks=blocks, equivalence_ms=0.5)):
        assert effect.claim == "too few"
        assert effect.wording == f"too few blocks for an interval ({blocks} of 3)"
        assert math.isnan(effect.difference.low)
        assert math.isnan(effect.difference.value) == (blocks == 0)
        assert (effect.paired, effect.equivalent, effect.p) == (None, None, 1.0)


def test_too_few_requests_claim_nothing() -> None:
    found = effects.of(samples.campaign(World(delay=5), blocks=6, seconds=0.5, equivalence_ms=1))
    assert [e.claim for e in found] == ["slower", "slower", "slower", "too few"]
    assert found[3].wording == "too few requests for p99.9 (1200 of 10000)"
    assert found[3].equivalent is None


def test_what_is_below_the_noise_floor_is_not_claimed() -> None:
    """Half of a block is slower in both arms, by much: so much baseline differs from itself."""
    campaign = samples.campaign(World(delay=0.6, block_noise=0.01, run_noise=0.01), blocks=8)
    before = primary(campaign)
    assert before.claim == "slower"
    assert before.floor < 0.3
    uneven = with_runs(
        campaign,
        [
            tuple(
                shifted(run, 3.0 * ((run.position > 1) == block.number % 2)) for run in block.runs
            )
            for block in campaign.blocks
        ],
    )
    after = primary(uneven)
    assert after.difference.value == pytest.approx(0.6, abs=0.15)
    assert after.difference.excludes_zero
    assert after.floor > after.difference.value
    assert after.control.low < 0 < after.control.high
    assert after.claim == "unresolved"
    assert after.wording.startswith("not resolved: below ")


def test_control_is_second_runs_less_first_runs() -> None:
    campaign = samples.campaign(blocks=6)
    later = [
        tuple(shifted(run, 4.0 * (run.position > 1)) for run in block.runs)
        for block in campaign.blocks
    ]
    before, after = primary(campaign), primary(with_runs(campaign, later))
    assert before.control.low < 0 < before.control.high
    assert after.control.value == pytest.approx(before.control.value + 4.0, abs=0.1)
    assert after.floor == pytest.approx(after.control.half / math.sqrt(2))


def test_secondary_endpoints_are_adjusted_together() -> None:
    cells = tuple(CELL.model_copy(update={"rps": rps}) for rps in (200, 220, 240, 260))
    found = effects.of(samples.campaign(World(delay=0.35), blocks=6, cells=cells, seconds=5))
    secondary = [e for e in found if not e.primary and e.claim != "too few"]
    assert len(secondary) == 4 * 4 - 1
    assert [e.adjusted for e in secondary] == pytest.approx(holm([e.p for e in secondary]))
    for effect in secondary:
        large = abs(effect.difference.value) > effect.floor
        assert (effect.claim == "slower") == (effect.adjusted < 0.05 and large)
    # the adjustment decides some of them, and then the words name it
    lost = [e for e in secondary if e.p < 0.05 <= e.adjusted and abs(e.difference.value) > e.floor]
    assert lost
    for effect in lost:
        assert effect.wording.startswith("not resolved among so many: ")
        assert effect.wording.endswith(f"p = {effect.adjusted:.2g} by Holm's rule")


@pytest.mark.parametrize(
    ("delay", "margin", "equal"), [(0.05, 1.0, True), (2.0, 1.0, False), (0.05, 0.0, None)]
)
def test_equivalence(delay: float, margin: float, equal: bool | None) -> None:
    effect = primary(samples.campaign(World(delay=delay), blocks=12, equivalence_ms=margin))
    assert effect.equivalent is equal


def test_the_table_names_its_units() -> None:
    found = effects.of(samples.campaign(blocks=4, equivalence_ms=0.5))
    table = effects.frame(found)
    assert len(table) == len(found)
    assert table["percentile"].tolist() == ["p50", "p90", "p99", "p99.9"]
    assert table["difference_ms"].tolist() == [e.difference.value for e in found]
    assert table["difference_low_ms"].tolist() == [e.difference.low for e in found]
    assert table["loaded_high_ms"].tolist() == [e.loaded.high for e in found]
    assert table["paired_ms"].isna().all()  # of four blocks there is none
    assert table["primary"].tolist() == [False, False, True, False]
    assert table["wording"].tolist() == [e.wording for e in found]
    assert {"cell", "node", "client", "rps", "protocol", "payload_bytes"} < set(table.columns)
    assert {"ratio", "floor_ms", "p", "p_holm", "blocks", "requests"} < set(table.columns)
    assert effects.frame([]).empty


def effect(
    claim: Claim = "slower",
    difference: Interval = Interval(2.1, 1.9, 2.3),  # noqa: B008 - frozen
    floor: float = 0.2,
    **changes: object,
) -> Effect:
    made = primary(samples.campaign(blocks=3, seconds=1))
    return replace(made, claim=claim, difference=difference, floor=floor, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("claim", "interval", "floor", "said"),
    [
        ("slower", Interval(2.1, 1.9, 2.3), 0.2, "2.1 ms slower (1.9 to 2.3)"),
        ("slower", Interval(2.13, 1.98, 2.28), 0.1, "2.13 ms slower (1.98 to 2.28)"),
        ("slower", Interval(12.2, 8.1, 17.3), 1.0, "12 ms slower (8 to 17)"),
        ("slower", Interval(0.31, 0.04, 0.58), 0.1, "0.31 ms slower (0.04 to 0.58)"),
        ("slower", Interval(3.1, 0.21, 6.0), 0.1, "3.1 ms slower (0.2 to 6.0)"),
        ("slower", Interval(0.05, 0.05, 0.05), 0.0, "0.050 ms slower (0.050 to 0.050)"),
        ("faster", Interval(-2.1, -2.3, -1.9), 0.2, "2.1 ms faster (1.9 to 2.3)"),
        ("unresolved", Interval(0.1, -0.2, 0.4), 0.3, "not resolved: below 0.4 ms, if anything"),
        ("unresolved", Interval(-0.1, -0.5, 0.3), 0.3, "not resolved: below 0.5 ms, if anything"),
        ("unresolved", Interval(0.2, 0.1, 0.3), 1.31, "not resolved: below 1.4 ms, if anything"),
        ("unresolved", Interval(0.0, 0.0, 0.0), 0.0, "not resolved: below 0 ms, if anything"),
    ],
)
def test_wording(claim: Claim, interval: Interval, floor: float, said: str) -> None:
    assert effect(claim, interval, floor).wording == said


@pytest.mark.parametrize(
    ("earlier", "later", "floor", "claim", "flagged"),
    [
        (Interval(2.0, 1.9, 2.1), Interval(3.0, 2.9, 3.1), 0.1, "slower", True),
        (Interval(3.0, 2.9, 3.1), Interval(2.0, 1.9, 2.1), 0.1, "slower", True),
        (Interval(2.0, 1.5, 2.5), Interval(2.5, 2.1, 2.9), 0.1, "slower", False),  # holds 0
        (Interval(2.0, 1.9, 2.1), Interval(3.0, 2.9, 3.1), 1.1, "slower", False),  # the floor
        (Interval(50.0, 49.9, 50.1), Interval(52.4, 52.3, 52.5), 0.1, "slower", False),  # 4.8 %
        (Interval(50.0, 49.9, 50.1), Interval(52.6, 52.5, 52.7), 0.1, "slower", True),
        (Interval(2.0, 1.9, 2.1), Interval(3.0, 2.9, 3.1), 0.1, "too few", False),
        (Interval(2.0, 1.9, 2.1), Interval(3.0, math.nan, math.nan), 0.1, "slower", False),
    ],
)
def test_changes_between_campaigns(
    earlier: Interval, later: Interval, floor: float, claim: Claim, flagged: bool
) -> None:
    change = effects.compare(effect("slower", earlier, 0.05), effect(claim, later, floor))
    assert change.flagged is flagged
    assert change.moved.value == pytest.approx(later.value - earlier.value)
    assert change.least == pytest.approx(max(floor, 0.05, 0.05 * earlier.value))


def test_a_regression_between_two_campaigns_is_flagged() -> None:
    first, same, worse = (
        primary(samples.campaign(World(delay=delay), seed=seed))
        for delay, seed in ((1.0, 1), (1.0, 2), (3.0, 3))
    )
    assert not effects.compare(first, same).flagged
    change = effects.compare(first, worse)
    assert change.flagged
    assert change.moved.low < 2.0 < change.moved.high


def test_the_order_of_arms_in_a_block_does_not_matter() -> None:
    campaign = samples.campaign(blocks=8)
    assert {block.runs[0].arm for block in campaign.blocks} == {"baseline", "meshed"}

    def turned(block: Block) -> tuple[Run, ...]:
        """The same runs, as if the other arm had begun."""
        first, second, third, fourth = block.runs
        return (second, first, fourth, third)

    shown = effects.of(with_runs(campaign, [turned(block) for block in campaign.blocks]))
    assert shown == effects.of(campaign)
