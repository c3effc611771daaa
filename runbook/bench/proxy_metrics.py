"""What a Linkerd proxy says of itself: the text of ``:4191/metrics``, names of 2.11 to 2.20."""

from __future__ import annotations

import math
from collections.abc import Mapping

from runbook.bench.snapshot import Proxy
from runbook.linkerd.metrics import samples

__all__ = ["read"]

_GAUGES = {
    "process_cpu_seconds_total": "CPU time",
    "process_resident_memory_bytes": "resident memory",
    "process_start_time_seconds": "start time",
}
_CLOCK = "process_clock_time_seconds"  # only newer proxies have it
_REQUESTS = "request_total"


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
