"""A campaign as results: effects, footprint, figures, and the numbers a record keeps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from runbook.bench import effects
from runbook.bench import footprint as footprints
from runbook.bench.campaign import Campaign
from runbook.bench.effects import Effect
from runbook.bench.footprint import Footprint
from runbook.bench.stats import Interval
from runbook.linkerd.pods import PROXY

if TYPE_CHECKING:
    from runbook.bench.charts import Report

__all__ = ["Number", "figures", "footprint", "footprint_measures", "latency", "latency_measures"]

QUANTILES = (0.5, 0.9, 0.99, 0.999)

Number = tuple[str, float, str, float | None, float | None, int | None]
"""Name, value, unit, low and high end of its interval, and how many samples it rests on."""


def latency(campaign: Campaign) -> list[Effect]:
    """Give what each arm adds to latency, by cell and percentile, the primary one included."""
    wanted = sorted({*QUANTILES, campaign.design.quantile})
    return effects.of(campaign, quantiles=tuple(wanted))


def footprint(campaign: Campaign) -> Footprint:
    """Give what each arm costs in CPU and memory."""
    return footprints.of(campaign)


def figures(campaign: Campaign) -> Report:
    """Draw the charts that the data supports; the same data gives the same bytes."""
    from runbook.bench.charts import report  # noqa: PLC0415 - matplotlib takes a second to load

    return report(campaign, latency(campaign), footprint(campaign))


def latency_measures(found: Sequence[Effect]) -> Iterator[Number]:
    """Give the overheads that can be claimed or excluded, for the record."""
    for effect in found:
        if effect.claim == "too few":
            continue
        name = f"{effect.arm} overhead {effect.percentile}, {effect.cell.title}"
        yield from _number(name, effect.difference, "ms", effect.blocks)


def footprint_measures(found: Footprint) -> Iterator[Number]:
    """Give what the proxies cost for each request and in memory, and the control plane, in all."""
    for cost in found.costs:
        if cost.container != PROXY:
            continue
        where = f"{cost.arm} proxy, {cost.cell.title}"
        if cost.per_request:
            yield from _number(f"CPU a request, {where}", cost.per_request, "µs", cost.blocks)
        if cost.working_set:
            yield f"memory, {where}", cost.working_set.mean, "MiB", None, None, cost.blocks
    parts = [part for part in found.components if part.working_set]
    if parts:
        total = sum(part.working_set.mean for part in parts if part.working_set)
        yield "memory, control plane", total, "MiB", None, None, None
    used = [part.loaded for part in found.components if part.loaded is not None]
    if used:
        yield "CPU, control plane", sum(used), "mcore", None, None, None


def _number(name: str, interval: Interval, unit: str, count: int) -> Iterator[Number]:
    if not math.isfinite(interval.value):
        return
    ends = (interval.low, interval.high)
    low, high = ends if all(math.isfinite(end) for end in ends) else (None, None)
    yield name, interval.value, unit, low, high, count
