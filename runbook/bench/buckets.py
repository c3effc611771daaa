"""fortio's own histogram: read from its JSON, merged, and asked for percentiles as fortio does.

The buckets are coarse, up to 100 % wide just above 1000 times the resolution, so no claim rests on
them; they say what fortio itself would have reported. Edges and rules are those of fortio 1.68,
``stats/stats.go`` (the same from 1.54 on): bucket i counts values above edge i - 1 up to and
including edge i, the first everything up to the offset, the last everything beyond the last edge.
In the JSON empty buckets are left out, the first ``Start`` is the smallest value and the last
``End`` the largest, so buckets of several runs can be added only once each is put back in place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from runbook.errors import StepError

__all__ = ["Buckets"]

_EDGES = np.array(
    [
        *range(12),
        *range(12, 20, 2),
        *range(20, 50, 5),
        *range(50, 100, 10),
        *range(100, 200, 20),
        *range(200, 500, 50),
        *range(500, 1000, 100),
        *(1000, 2000, 3000, 4000, 5000, 7500, 10_000),
        *(20_000, 30_000, 40_000, 50_000, 75_000, 100_000),
    ],
    dtype=np.float64,
)


@dataclass(frozen=True)
class Buckets:
    """Latencies as fortio counts them.

    Attributes:
        resolution: Width of the first buckets, in seconds.
        offset: Where they begin, in seconds.
        counts: Requests in each bucket, empty ones too.
        least: The shortest latency, in seconds; 0 if nothing was counted.
        most: The longest.
        total: The sum of all, in seconds.
    """

    resolution: float
    offset: float = 0.0
    counts: tuple[int, ...] = (0,) * (len(_EDGES) + 1)
    least: float = 0.0
    most: float = 0.0
    total: float = 0.0

    @classmethod
    def parse(cls, data: Mapping[str, Any], resolution: float, offset: float = 0.0) -> Buckets:
        """Read a histogram object of fortio's JSON.

        Raises:
            StepError: Its buckets are not those of this resolution and offset, or do not add up.
        """
        empty = cls(resolution, offset)
        counts = [0] * len(empty.counts)
        given = data["Data"] or ()
        places = [
            empty._place(bucket, first=number == 0, last=number == len(given) - 1)
            for number, bucket in enumerate(given)
        ]
        for place, bucket in zip(places, given, strict=True):
            counts[place] = int(bucket["Count"])
        ascending = all(before < after for before, after in pairwise(places))
        if not ascending or sum(counts) != data["Count"]:
            raise StepError("the buckets of a fortio histogram do not add up to its count")
        most = float(data["Max"])
        return cls(resolution, offset, tuple(counts), float(data["Min"]), most, float(data["Sum"]))

    @classmethod
    def merged(cls, parts: Iterable[Buckets]) -> Buckets:
        """Count what several runs counted, exactly.

        Raises:
            StepError: There are none, or they differ in resolution or offset.
        """
        some = list(parts)
        if len({(part.resolution, part.offset) for part in some}) != 1:
            raise StepError(
                "fortio histograms can be merged only if all have the same resolution and offset",
                why="a bucket of one may lie across an edge of another",
                fix="run fortio with the same -r and -offset",
            )
        counted = [part for part in some if part.count]
        return cls(
            some[0].resolution,
            some[0].offset,
            tuple(sum(column) for column in zip(*(part.counts for part in some), strict=True)),
            min((part.least for part in counted), default=0.0),
            max((part.most for part in counted), default=0.0),
            math.fsum(part.total for part in counted),
        )

    def without(self, errors: Buckets) -> Buckets:
        """Take away the failed requests, which ``DurationHistogram`` counts too.

        Where a failed request was the shortest or the longest of all, the edge of the bucket is
        the best that is known of the others.

        Raises:
            StepError: It is another resolution, or more failed than there were.
        """
        counts = tuple(a - b for a, b in zip(self.counts, errors.counts, strict=True))
        same = (self.resolution, self.offset) == (errors.resolution, errors.offset)
        if not same or min(counts) < 0:
            raise StepError("these are not the errors of this fortio histogram")
        there = [place for place, count in enumerate(counts) if count]
        if not there:
            return Buckets(self.resolution, self.offset)
        least, most = self.least, self.most
        if errors.count and errors.least <= least and there[0] > 0:
            least = max(least, float(self._edges[there[0] - 1]))
        if errors.count and errors.most >= most and there[-1] < len(_EDGES):
            most = min(most, float(self._edges[there[-1]]))
        total = self.total - errors.total
        return Buckets(self.resolution, self.offset, counts, least, most, total)

    @property
    def count(self) -> int:
        """How many requests."""
        return sum(self.counts)

    def percentile(self, percentile: float) -> float:
        """Give a percentile (99.9, not 0.999) in seconds, as ``CalcPercentile`` of fortio does.

        Linear within a bucket, between the percentages reached before and after it; the first
        begins at one request. Before 1.75, fortio put the begin of a lone bucket beyond the last
        edge at that edge, which this does not repeat (fortio#1080).

        Raises:
            ValueError: Nothing was counted.
        """
        if not self.count:
            raise ValueError("no request was counted")
        reached = 100.0 / self.count
        if percentile >= 100:
            return self.most
        if percentile <= reached:
            return self.least
        there = [place for place, count in enumerate(self.counts) if count]
        total = 0
        for place in there:
            total += self.counts[place]
            percent = 100.0 * total / self.count
            if percentile <= percent:
                start = self.least if place == there[0] else float(self._edges[place - 1])
                end = self.most if place == there[-1] else float(self._edges[place])
                return start + (percentile - reached) / (percent - reached) * (end - start)
            reached = percent
        return self.most

    @property
    def _edges(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        return self.resolution * _EDGES + self.offset

    def _place(self, bucket: Mapping[str, Any], *, first: bool, last: bool) -> int:
        """Find where a bucket belongs by those of its ends that are edges."""
        if first and last:  # neither is: by the value itself, as fortio counts it
            scaled = (float(bucket["End"]) - self.offset) / self.resolution
            return int(np.searchsorted(_EDGES, scaled - 1e-12, side="left"))
        if last:
            return self._edge(bucket["Start"]) + 1
        place = self._edge(bucket["End"])
        if not first and place != self._edge(bucket["Start"]) + 1:
            raise self._foreign(bucket)
        return place

    def _edge(self, value: float) -> int:
        edges = self._edges
        nearest = int(np.abs(edges - value).argmin())
        if abs(edges[nearest] - value) > 1e-6 * self.resolution:
            raise self._foreign({"Start": value, "End": value})
        return nearest

    def _foreign(self, bucket: Mapping[str, Any]) -> StepError:
        return StepError(
            f"a bucket of fortio from {bucket['Start']} to {bucket['End']} s is none of resolution "
            f"{self.resolution:g} s, offset {self.offset:g} s",
            why="fortio ran with another -r or -offset; for gRPC its JSON does not say which",
        )
