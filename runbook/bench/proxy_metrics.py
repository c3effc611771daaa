"""What a Linkerd proxy says of itself: the text of ``:4191/metrics``, names of 2.11 to 2.20.

Only the lines of a few counters and gauges are looked at, of some thousands. The format is
Prometheus' text exposition format 0.0.4, which proxies of every line answer with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping

from runbook.bench.snapshot import Proxy

__all__ = ["PORT", "read", "samples"]

PORT = 4191
"""Of the admin server of every proxy."""

_GAUGES = {
    "process_cpu_seconds_total": "CPU time",
    "process_resident_memory_bytes": "resident memory",
    "process_start_time_seconds": "start time",
}
_CLOCK = "process_clock_time_seconds"  # only newer proxies have it
_REQUESTS = "request_total"
_LINE = re.compile(
    r"(?P<name>[a-zA-Z_:][\w:]*)\s*(?:\{(?P<labels>(?:[^\"}]|\"(?:\\.|[^\"\\])*\")*)\})?"
    r"\s*(?P<value>\S+)(?:\s+-?\d+)?\s*(?:#.*)?"
)
_LABEL = re.compile(r"([a-zA-Z_]\w*)\s*=\s*\"((?:\\.|[^\"\\])*)\"")
_ESCAPE = re.compile(r"\\(.)")


def samples(text: str, names: Collection[str]) -> Iterator[tuple[str, dict[str, str], float]]:
    """Give name, labels and value of each sample of some metrics; other lines are left out.

    >>> list(samples('up{job="a"} 1', {"up"}))
    [('up', {'job': 'a'}, 1.0)]
    """
    wanted = tuple(names)
    for line in text.split("\n"):  # not splitlines: labels may hold other ends of lines
        if not line.startswith(wanted):
            continue
        found = _LINE.fullmatch(line)
        if found is None or found["name"] not in names:
            continue
        try:
            value = float(found["value"])
        except ValueError:
            continue
        labels = {name: _unescaped(raw) for name, raw in _LABEL.findall(found["labels"] or "")}
        yield found["name"], labels, value


def read(text: str, now: float) -> tuple[Proxy, tuple[str, ...]]:
    """Read what a proxy says of itself.

    A proxy drops counters of requests that have not moved for ten minutes, and has none before the
    first request: where it shows its other figures, no such counter means none.

    Args:
        text: Of its metrics.
        now: Seconds since 1970, for a proxy that does not tell its own time.

    Returns:
        The figures, and the names of those that are not there.
    """
    gauges: dict[str, float] = {}
    secured = plain = 0.0
    for name, labels, value in samples(text, {*_GAUGES, _CLOCK, _REQUESTS}):
        if not math.isfinite(value):
            continue
        if name != _REQUESTS:
            gauges[name] = value
        elif labels.get("direction") == "inbound":
            if labels.get("tls") == "true":
                secured += value
            else:
                plain += value
    absent = tuple(title for name, title in _GAUGES.items() if name not in gauges)
    return _proxy(gauges, secured, plain, now), absent


def _proxy(gauges: Mapping[str, float], secured: float, plain: float, now: float) -> Proxy:
    rss = gauges.get("process_resident_memory_bytes")
    return Proxy(
        cpu_seconds=gauges.get("process_cpu_seconds_total"),
        rss=None if rss is None else int(rss),
        started=gauges.get("process_start_time_seconds"),
        requests=secured if gauges else None,
        plain=plain if gauges else None,
        time=gauges.get(_CLOCK, now),
    )


def _unescaped(raw: str) -> str:
    return _ESCAPE.sub(lambda found: {"n": "\n"}.get(found[1], found[1]), raw)
