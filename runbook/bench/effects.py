"""What a campaign shows: how much each arm adds to each percentile, and whether it may be said.

The claim is the difference of percentiles of all latencies of either arm together, with the
widened block bootstrap over all valid blocks. The Hodges-Lehmann shift of block differences stands
beside it; it is narrower where blocks have much in common, but answers another question (what is
added within a block) and does not cover the former where blocks vary and the delay is not the same
for all requests: 17 % in the last line of ``benchmarks/bench_truth.py``.

An effect is claimed if its interval excludes 0 *and* it is larger than the noise floor, what
baseline shows against itself. One endpoint is primary: the design's quantile, of the first arm
besides baseline, in the first cell. All others are secondary: their p-values are adjusted together
by Holm's rule before anything is claimed. Intervals are never adjusted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from runbook.bench import stats
from runbook.bench.bootstrap import MIN_BLOCKS, Resampling
from runbook.bench.campaign import Block, Campaign
from runbook.bench.design import Cell
from runbook.bench.histogram import aligned, quantile
from runbook.bench.stats import Interval

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["QUANTILES", "Change", "Effect", "compare", "frame", "of"]

QUANTILES = (0.5, 0.9, 0.99, 0.999)

Claim = Literal["slower", "faster", "unresolved", "too few"]

_LEVEL = 1 - stats.CONFIDENCE
_SMALL_CHANGE = 0.05
"""Share of the earlier effect below which a change between campaigns is not worth a flag."""


@dataclass(frozen=True)
class Effect:
    """What an arm adds to a percentile of the latency in a cell, in ms.

    Attributes:
        cell: Where.
        arm: Which, compared with baseline.
        quantile: Share, such as 0.99.
        baseline: The percentile without.
        loaded: And with.
        difference: Loaded less baseline: the claim.
        ratio: Loaded to baseline.
        control: Baseline against itself: second runs of the blocks less first ones. Blocks are
            palindromic, so that a steady drift shows here and cancels in the difference.
        floor: Smallest difference that may be claimed, from the control's half-width.
        paired: Hodges-Lehmann shift of block differences, from 6 blocks on.
        blocks: Valid ones.
        requests: Answered, of the arm that has fewer.
        claim: What may be said.
        equivalent: Whether the overhead is shown to lie within the design's margin on both sides;
            nothing if the design has none or there are too few blocks or requests.
        primary: Whether it is the endpoint that was chosen in advance.
        p: Two-sided p-value of no difference.
        adjusted: The same by Holm's rule; of the primary endpoint, ``p`` itself.
    """

    cell: Cell
    arm: str
    quantile: float
    baseline: Interval
    loaded: Interval
    difference: Interval
    ratio: float
    control: Interval
    floor: float
    paired: Interval | None
    blocks: int
    requests: int
    claim: Claim
    equivalent: bool | None
    primary: bool
    p: float
    adjusted: float

    @property
    def percentile(self) -> str:
        """Name of the quantile, such as ``p99.9``."""
        return stats.percentile(self.quantile)

    @property
    def wording(self) -> str:
        """What may be said, in words."""
        low, high, value = self.difference.low, self.difference.high, self.difference.value
        match self.claim:
            case "slower":
                return _added(value, low, high, "slower")
            case "faster":
                return _added(-value, -high, -low, "faster")
            case "unresolved" if (low > 0 or high < 0) and abs(value) > self.floor:
                return (
                    f"not resolved among so many: {low:.2g} to {high:.2g} ms, "
                    f"p = {self.adjusted:.2g} by Holm's rule"
                )
            case "unresolved":
                most = max(abs(low), abs(high), self.floor)
                return f"not resolved: below {_rounded_up(most)} ms, if anything"
            case "too few" if self.blocks < MIN_BLOCKS:
                return f"too few blocks for an interval ({self.blocks} of {MIN_BLOCKS})"
            case "too few":
                wanted = stats.needed(self.quantile)
                return f"too few requests for {self.percentile} ({self.requests} of {wanted})"


@dataclass(frozen=True)
class Change:
    """How an effect moved from one campaign to a later one.

    Attributes:
        moved: Later less earlier difference, in ms.
        least: Change below which nothing is flagged, in ms.
        flagged: Whether it moved: the interval excludes 0, and it is more than ``least``.
    """

    moved: Interval
    least: float
    flagged: bool


def of(campaign: Campaign, quantiles: Sequence[float] = QUANTILES) -> list[Effect]:
    """Give the effects of a campaign: by cell, arm and quantile, in this order.

    Args:
        campaign: Complete or not; invalid blocks do not count.
        quantiles: Which; the design's own is always among them.
    """
    design = campaign.design
    shares = sorted({*quantiles, design.quantile})
    found = []
    for number, cell in enumerate(design.cells):
        sample = _Sample.of(campaign, number, campaign.valid(number))
        for arm in design.arms[1:]:
            for share in shares:
                effect = _effect(sample, cell, arm, share, design.equivalence_ms)
                first = number == 0 and arm == design.arms[1] and share == design.quantile
                found.append(replace(effect, primary=first))
    return _claimed(found)


def compare(earlier: Effect, later: Effect) -> Change:
    """Compare the same effect in two campaigns.

    Differences are compared, not latencies: machines and releases differ. Flagged is what the
    interval of the change excludes 0 for, if it is also above both noise floors and 5 % of the
    earlier difference.
    """
    moved = stats.change(earlier.difference, later.difference)
    small = _SMALL_CHANGE * abs(earlier.difference.value)
    least = float(np.nanmax([earlier.floor, later.floor, small, 0.0]))
    enough = "too few" not in (earlier.claim, later.claim)
    return Change(moved, least, enough and moved.excludes_zero and abs(moved.value) > least)


def frame(effects: Iterable[Effect]) -> pd.DataFrame:
    """Give effects as a table, one a row, with units in the names of the columns."""
    import pandas as pd  # noqa: PLC0415 - half a second to load

    return pd.DataFrame([_row(effect) for effect in effects])


class _Sample:
    """The latencies of a cell, as counts of each block and arm.

    Args:
        seed: Of the draws.
        pilot: Blocks that decided how many there are.
        values_us: Every latency that was counted, in µs.
        runs: By arm, counts of shape (2, blocks, values): of the first run of it and the second.
    """

    def __init__(
        self,
        seed: Sequence[int],
        pilot: int,
        values_us: NDArray[np.int64],
        runs: dict[str, NDArray[np.int64]],
    ) -> None:
        self._values_us = values_us
        self._runs = runs
        self._resampling = Resampling(len(self), seed=seed, pilot=pilot)
        self._kept: dict[tuple[str, float, int | None], NDArray[np.float64]] = {}

    @classmethod
    def of(cls, campaign: Campaign, cell: int, blocks: Sequence[Block]) -> Self:
        """Take what blocks of a cell counted; the same campaign gives the same draws."""
        arms = campaign.design.arms
        full = [block for block in blocks if all(_complete(block, arm) for arm in arms)]
        histograms = [
            block.of(arm)[turn].response for arm in arms for turn in (0, 1) for block in full
        ]
        values_us, counts = aligned(histograms)
        shaped = counts.reshape(len(arms), 2, len(full), len(values_us))
        seed = (int(campaign.design.digest, 16), cell)
        return cls(seed, campaign.design.pilot, values_us, dict(zip(arms, shaped, strict=True)))

    def __len__(self) -> int:
        return int(next(iter(self._runs.values())).shape[1])

    @property
    def freedom(self) -> int:
        """Degrees of freedom of every interval."""
        return self._resampling.freedom

    def requests(self, arm: str) -> int:
        """How many were answered, of an arm."""
        return int(self._runs[arm].sum())

    def latency(self, arm: str, share: float) -> Interval:
        """Give a percentile of an arm, in seconds."""
        counts = self._runs[arm].sum(axis=0)
        return self._resampling.interval(self._at(counts, share), self._draws(arm, share))

    def difference(
        self, one: str, other: str, share: float, confidence: float = stats.CONFIDENCE
    ) -> Interval:
        """Give a percentile of the other arm less that of the one, in seconds."""
        first, second = (self._at(self._runs[arm].sum(axis=0), share) for arm in (one, other))
        draws = self._draws(other, share) - self._draws(one, share)
        return self._resampling.interval(second - first, draws, confidence)

    def control(self, arm: str, share: float) -> Interval:
        """Give a percentile of an arm's second runs less that of its first ones, in seconds."""
        first, second = self._runs[arm]
        value = self._at(second, share) - self._at(first, share)
        draws = self._draws(arm, share, 1) - self._draws(arm, share, 0)
        return self._resampling.interval(value, draws)

    def block_differences(self, one: str, other: str, share: float) -> NDArray[np.float64]:
        """Give the percentile of the other arm less that of the one within each block."""
        first, second = self._runs[one].sum(axis=0), self._runs[other].sum(axis=0)
        return quantile(self._values_us, second, share) - quantile(self._values_us, first, share)

    def _at(self, counts: NDArray[Any], share: float) -> float:
        return float(quantile(self._values_us, counts.sum(axis=0), share))

    def _draws(self, arm: str, share: float, turn: int | None = None) -> NDArray[np.float64]:
        """Give a percentile in each draw, of both runs of an arm or of one; worked out once."""
        key = (arm, share, turn)
        if key not in self._kept:
            counts = self._runs[arm].sum(axis=0) if turn is None else self._runs[arm][turn]
            self._kept[key] = self._resampling.quantiles(self._values_us, counts, share)
        return self._kept[key]


def _complete(block: Block, arm: str) -> bool:
    runs = block.of(arm)
    return len(runs) == 2 and all(run.response.count > 0 for run in runs)


def _effect(sample: _Sample, cell: Cell, arm: str, share: float, margin: float) -> Effect:
    """Give one effect, in ms, nothing claimed yet."""
    blocks = len(sample)
    if blocks == 0:
        none = Interval(math.nan, math.nan, math.nan)
        baseline = loaded = difference = control = none
        paired, requests = None, 0
    else:
        baseline, loaded = (sample.latency(each, share).scaled(1e3) for each in ("baseline", arm))
        difference = sample.difference("baseline", arm, share).scaled(1e3)
        control = sample.control("baseline", share).scaled(1e3)
        paired = stats.hodges_lehmann(sample.block_differences("baseline", arm, share) * 1e3)
        requests = min(sample.requests("baseline"), sample.requests(arm))
    enough = blocks >= MIN_BLOCKS and requests >= stats.needed(share)
    equivalent = None
    if margin and enough:
        within = sample.difference("baseline", arm, share, 1 - 2 * _LEVEL).scaled(1e3)
        equivalent = stats.equivalent(within, margin)
    p = stats.p_value(difference, sample.freedom) if enough else 1.0
    return Effect(
        cell=cell,
        arm=arm,
        quantile=share,
        baseline=baseline,
        loaded=loaded,
        difference=difference,
        ratio=loaded.value / baseline.value if baseline.value else math.nan,
        control=control,
        floor=stats.noise_floor(control),
        paired=paired,
        blocks=blocks,
        requests=requests,
        claim="unresolved" if enough else "too few",
        equivalent=equivalent,
        primary=False,
        p=p,
        adjusted=p,
    )


def _claimed(effects: list[Effect]) -> list[Effect]:
    """Adjust the secondary endpoints together, then claim what may be claimed."""
    secondary = [n for n, e in enumerate(effects) if not e.primary and e.claim != "too few"]
    adjusted = dict(zip(secondary, stats.holm([effects[n].p for n in secondary]), strict=True))
    claimed = []
    for number, effect in enumerate(effects):
        p = adjusted.get(number, effect.p)
        claim = effect.claim
        if claim != "too few" and p < _LEVEL and abs(effect.difference.value) > effect.floor:
            claim = "slower" if effect.difference.value > 0 else "faster"
        claimed.append(replace(effect, adjusted=p, claim=claim))
    return claimed


def _row(effect: Effect) -> dict[str, Any]:
    cell, paired = effect.cell, effect.paired or Interval(math.nan, math.nan, math.nan)
    intervals = {
        "baseline": effect.baseline,
        "loaded": effect.loaded,
        "difference": effect.difference,
        "control": effect.control,
        "paired": paired,
    }
    return {
        "cell": cell.title,
        "node": cell.node,
        "client": cell.client,
        "rps": cell.rps,
        "protocol": cell.protocol,
        "payload_bytes": cell.payload,
        "arm": effect.arm,
        "percentile": effect.percentile,
        "quantile": effect.quantile,
        "primary": effect.primary,
        **{
            f"{name}{end}_ms": value
            for name, interval in intervals.items()
            for end, value in (
                ("", interval.value),
                ("_low", interval.low),
                ("_high", interval.high),
            )
        },
        "ratio": effect.ratio,
        "floor_ms": effect.floor,
        "p": effect.p,
        "p_holm": effect.adjusted,
        "blocks": effect.blocks,
        "requests": effect.requests,
        "claim": effect.claim,
        "equivalent": effect.equivalent,
        "wording": effect.wording,
    }


def _added(value: float, low: float, high: float, word: str) -> str:
    """Say an effect with as many decimals as its interval is worth."""
    half = (high - low) / 2
    decimals = max(0, -math.floor(math.log10(half / 2))) if half > 0 else 3
    while round(low, decimals) == 0 and decimals < 6:
        decimals += 1  # an end that excludes 0 is not printed as 0
    return f"{value:.{decimals}f} ms {word} ({low:.{decimals}f} to {high:.{decimals}f})"


def _rounded_up(value: float) -> str:
    """Give two digits of a bound, upwards: it stays a bound."""
    if value <= 0:
        return "0"
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"{math.ceil(value / unit * (1 - 1e-12)) * unit:.12g}"
