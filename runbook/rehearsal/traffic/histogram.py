"""Histograms as Fortio computes and exports them.

Edges, the merging of the first and last bucket with minimum and maximum, and the rule of the
percentiles are those of Fortio's ``stats`` package.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence

__all__ = ["EDGES", "export", "percentile"]

EDGES: tuple[int, ...] = (
    *range(13),
    *range(14, 22, 2),
    *range(25, 55, 5),
    *range(60, 110, 10),
    *range(120, 220, 20),
    *range(250, 550, 50),
    *range(600, 1100, 100),
    *(2000, 3000, 4000, 5000, 7500, 10000, 20000, 30000, 40000, 50000, 75000, 100000),
)
"""Upper bounds of the buckets in units of the resolution; above the last is one more bucket."""

Object = dict[str, object]


def export(
    values: Sequence[float], resolution: float, percentiles: Iterable[float] | None = None
) -> Object:
    """Build the histogram object of Fortio's JSON.

    Args:
        values: What was recorded.
        resolution: Width of the first buckets, in the unit of the values.
        percentiles: Percentiles to give, in percent; None leaves the field out, as for sizes.
    """
    count = len(values)
    low, high = (min(values), max(values)) if values else (0, 0)
    total = math.fsum(values)
    mean = total / count if count else 0
    spread = math.sqrt(max(math.fsum((v - mean) ** 2 for v in values) / count, 0)) if count else 0
    data = _buckets(values, resolution, low, high)
    result: Object = {
        "Count": count,
        "Min": low,
        "Max": high,
        "Sum": total,
        "Avg": mean,
        "StdDev": spread,
        "Data": data or None,
    }
    if percentiles is not None and values:
        result["Percentiles"] = [
            {"Percentile": p, "Value": percentile(data, count, low, high, p)} for p in percentiles
        ]
    return result


def _buckets(
    values: Sequence[float], resolution: float, low: float, high: float
) -> list[dict[str, float]]:
    counts = [0] * (len(EDGES) + 1)
    for value in values:
        # The edges are multiples in floating point, as in Fortio, so the comparison is exact.
        counts[bisect.bisect_left(EDGES, value / resolution)] += 1
    result: list[dict[str, float]] = []
    seen = 0
    for place, number in enumerate(counts):
        if not number:
            continue
        seen += number
        start = EDGES[place - 1] * resolution if place else low
        end = EDGES[place] * resolution if place < len(EDGES) else high
        share = 100.0 * seen / len(values)
        result.append({"Start": start, "End": end, "Percent": share, "Count": number})
    if result:
        result[0]["Start"], result[-1]["End"] = low, high
    return result


def percentile(
    data: Sequence[dict[str, float]], count: int, low: float, high: float, wanted: float
) -> float:
    """Give a percentile as Fortio does: linear between cumulative percents within a bucket.

    Args:
        data: The exported buckets.
        count: How many values there were.
        low: The least.
        high: The greatest.
        wanted: The percentile, in percent.
    """
    if wanted >= 100:
        return high
    before = 100.0 / count
    if wanted <= before:
        return low
    for bucket in data:
        if wanted <= bucket["Percent"]:
            width = bucket["End"] - bucket["Start"]
            span = bucket["Percent"] - before
            return bucket["Start"] + (wanted - before) / span * width if span else bucket["End"]
        before = max(bucket["Percent"], 100.0 / count)
    return high
