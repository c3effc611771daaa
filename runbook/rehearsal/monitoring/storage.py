"""The samples of the last hour."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from runbook.rehearsal.monitoring.selectors import Selector

__all__ = ["Key", "Storage"]

Key = tuple[tuple[str, str], ...]
"""Labels in order: what tells one series from another."""
_KEPT = 3600.0
_LOOKBACK = 300.0
"""Seconds a sample counts for after it was taken, when no later one says that it is stale."""


@dataclass
class _Series:
    labels: dict[str, str]
    samples: deque[tuple[float, float | None]] = field(default_factory=deque)


class Storage:
    """Series in memory; safe to use from any thread."""

    def __init__(self) -> None:
        self._series: dict[Key, _Series] = {}
        self._lock = threading.Lock()

    def add(self, labels: Mapping[str, str], stamp: float, value: float) -> Key:
        """Take a sample; one that is not newer than the last is dropped."""
        key = tuple(sorted(labels.items()))
        with self._lock:
            series = self._series.get(key)
            if series is None:
                series = self._series[key] = _Series(dict(key))
            self._append(series, stamp, value)
        return key

    def end(self, key: Key, stamp: float) -> None:
        """Mark a series as stale: it is not there any more."""
        with self._lock:
            if key in self._series:
                self._append(self._series[key], stamp, None)

    def instant(self, selector: Selector, at: float) -> Iterator[tuple[Mapping[str, str], float]]:
        """Give the series that are there at a moment, with their last values."""
        for labels, samples in self._matching(selector):
            last = next(((t, v) for t, v in reversed(samples) if t <= at), None)
            if last is not None and last[1] is not None and last[0] > at - _LOOKBACK:
                yield labels, last[1]

    def range(
        self, selector: Selector, at: float
    ) -> Iterator[tuple[Mapping[str, str], list[tuple[float, float]]]]:
        """Give the series of a range that ends at a moment, with their samples."""
        start = at - selector.range
        for labels, samples in self._matching(selector):
            found = [(t, v) for t, v in samples if v is not None and start <= t <= at]
            if found:
                yield labels, found

    def labels(self, selector: Selector) -> list[Mapping[str, str]]:
        """Give the labels of every series that was there within the last hour."""
        return [labels for labels, _ in self._matching(selector)]

    def forget(self, before: float) -> None:
        """Drop what is older than an hour."""
        with self._lock:
            for key, series in list(self._series.items()):
                while series.samples and series.samples[0][0] < before - _KEPT:
                    series.samples.popleft()
                if not series.samples:
                    del self._series[key]

    def _matching(
        self, selector: Selector
    ) -> list[tuple[Mapping[str, str], list[tuple[float, float | None]]]]:
        with self._lock:
            return [
                (series.labels, list(series.samples))
                for series in self._series.values()
                if selector.matches(series.labels)
            ]

    @staticmethod
    def _append(series: _Series, stamp: float, value: float | None) -> None:
        if not series.samples or series.samples[-1][0] < stamp:
            series.samples.append((stamp, value))
