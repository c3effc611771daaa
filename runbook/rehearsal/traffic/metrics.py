"""What a proxy counts, in Prometheus' text format and under Linkerd's names.

Names, labels and bounds are those of Linkerd's proxy metrics. What a stand-in does not do
(routes, retries, load balancing) it does not count.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

__all__ = ["Metrics", "Series", "inbound", "process"]

_BOUNDS = (
    *(1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1000, 2000, 3000, 4000, 5000),
    *(10000, 20000, 30000, 40000, 50000),
)
"""Milliseconds: the bounds of ``response_latency_ms``."""
_POLICY = {
    "srv_group": "", "srv_kind": "default", "srv_name": "all-unauthenticated",
    "route_group": "", "route_kind": "default", "route_name": "default",
    "authz_group": "", "authz_kind": "default", "authz_name": "all-unauthenticated",
}  # fmt: skip


class Series:
    """Counts of all traffic with the same labels."""

    def __init__(self) -> None:
        self.requests = 0
        self.responses: Counter[int] = Counter()
        self.buckets = [0] * (len(_BOUNDS) + 1)
        self.milliseconds = 0
        self.held = 0
        self.held_seconds = 0.0
        self.opened: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        self.read: Counter[str] = Counter()
        self.written: Counter[str] = Counter()

    def respond(self, status: int, seconds: float) -> None:
        """Count an answer and the time to its first byte, in whole milliseconds as Linkerd does."""
        self.responses[status] += 1
        taken = int(seconds * 1000)
        self.milliseconds += taken
        place = 0
        while place < len(_BOUNDS) and taken > _BOUNDS[place]:
            place += 1
        self.buckets[place] += 1


def inbound(address: str, port: int, client: str | None) -> dict[str, str]:
    """Give the labels of what comes in.

    Args:
        address: IP address of the pod.
        port: Port it comes to.
        client: Identity of who sends it; None without TLS.
    """
    labels = {
        "direction": "inbound",
        "target_addr": f"{address}:{port}",
        "target_ip": address,
        "target_port": str(port),
        "tls": "true" if client is not None else "no_identity",
    }
    if client is not None:
        labels["client_id"] = client
    else:
        labels["no_tls_reason"] = "no_tls_from_remote"
    return labels | _POLICY


class Metrics:
    """All that one proxy counts.

    Args:
        build: Labels of ``proxy_build_info``.
        line: Minor version of the release line of Linkerd 2, such as 14; it names the metrics
            of the identity.
        figures: Gives what is known of the process; by default what Linux says of this one.
    """

    def __init__(
        self,
        build: Mapping[str, str],
        line: int,
        figures: Callable[[], Mapping[str, float]] | None = None,
    ) -> None:
        self._figures = figures or _own
        self._build = build
        self._line = line
        self._series: dict[tuple[tuple[str, str], ...], Series] = {}
        self.expires = 0
        self.refreshed = 0
        self.refreshes = 0

    def series(self, labels: Mapping[str, str]) -> Series:
        """Give the counts of these labels, made when first asked for."""
        return self._series.setdefault(tuple(labels.items()), Series())

    def text(self) -> str:
        """Give everything as ``/metrics`` shows it."""
        lines = [*self._traffic(), *self._connections(), *self._identity()]
        lines += process(self._figures())
        if self._line >= 18:
            lines.append("# TYPE process_clock_time_seconds gauge")
            lines.append(f"process_clock_time_seconds {time.time():.6f}")
        lines.append("# TYPE proxy_build_info gauge")
        lines.append(f"proxy_build_info{_braces(self._build)} 1")
        return "\n".join(lines) + "\n"

    def _traffic(self) -> Iterator[str]:
        counted = [(labels, s) for labels, s in self._series.items() if s.requests]
        yield "# HELP request_total Total count of HTTP requests."
        yield "# TYPE request_total counter"
        for labels, series in counted:
            yield f"request_total{_braces(labels)} {series.requests}"
        yield "# HELP response_total Total count of HTTP responses."
        yield "# TYPE response_total counter"
        for labels, series in counted:
            for status, count in series.responses.items():
                sort = "failure" if status >= 500 else "success"
                own = (*labels, ("status_code", str(status or "")), ("classification", sort))
                yield f"response_total{_braces(own)} {count}"
        yield "# HELP response_latency_ms Time from a request to its first response byte."
        yield "# TYPE response_latency_ms histogram"
        for labels, series in counted:
            yield from _histogram("response_latency_ms", labels, series)
        for labels, series in counted:
            if series.held:
                yield f"rehearsal_delay_seconds_count{_braces(labels)} {series.held}"
                yield f"rehearsal_delay_seconds_sum{_braces(labels)} {series.held_seconds:.6f}"

    def _connections(self) -> Iterator[str]:
        for name in ("tcp_open_total", "tcp_close_total", "tcp_read_bytes_total",
                     "tcp_write_bytes_total", "tcp_open_connections"):  # fmt: skip
            yield f"# TYPE {name} {'gauge' if name.endswith('connections') else 'counter'}"
            for labels, series in self._series.items():
                counts = {
                    "tcp_open_total": series.opened,
                    "tcp_close_total": series.closed,
                    "tcp_read_bytes_total": series.read,
                    "tcp_write_bytes_total": series.written,
                }
                for peer, opened in series.opened.items():
                    own = _braces((("peer", peer), *labels))
                    value = counts[name][peer] if name in counts else opened - series.closed[peer]
                    yield f"{name}{own} {value}"

    def _identity(self) -> Iterator[str]:
        if not self.expires:
            return
        prefix = "control_identity" if self._line >= 16 else "identity"
        yield f"# TYPE {prefix}_cert_expiration_timestamp_seconds gauge"
        yield f"{prefix}_cert_expiration_timestamp_seconds {self.expires}"
        if self._line < 15:
            yield "# TYPE identity_cert_refresh_count counter"
            yield f"identity_cert_refresh_count {self.refreshes}"
            return
        yield f"# TYPE {prefix}_cert_refresh_timestamp_seconds gauge"
        yield f"{prefix}_cert_refresh_timestamp_seconds {self.refreshed}"
        yield f"# TYPE {prefix}_cert_refreshes_total counter"
        yield f'{prefix}_cert_refreshes_total{{result="ok"}} {self.refreshes}'


def _histogram(name: str, labels: tuple[tuple[str, str], ...], series: Series) -> Iterator[str]:
    total = 0
    for bound, count in zip((*_BOUNDS, "+Inf"), series.buckets, strict=True):
        total += count
        yield f"{name}_bucket{_braces((*labels, ('le', str(bound))))} {total}"
    yield f"{name}_count{_braces(labels)} {total}"
    yield f"{name}_sum{_braces(labels)} {series.milliseconds}"


def process(figures: Mapping[str, float]) -> Iterable[str]:
    """Give figures of a process as ``/metrics`` shows them."""
    for name, value in figures.items():
        yield f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}"
        yield f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value}"


def _own() -> Mapping[str, float]:
    """Give what Linux says of this process; nothing elsewhere."""
    try:
        stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        boot = next(
            int(line.split()[1])
            for line in Path("/proc/stat").read_text().splitlines()
            if line.startswith("btime")
        )
    except (OSError, StopIteration):
        return {}
    ticks = os.sysconf("SC_CLK_TCK")
    started = boot + int(stat[19]) / ticks
    return {
        "process_cpu_seconds_total": (int(stat[11]) + int(stat[12])) / ticks,
        "process_resident_memory_bytes": pages * os.sysconf("SC_PAGE_SIZE"),
        "process_virtual_memory_bytes": int(stat[20]),
        "process_start_time_seconds": started,
        "process_uptime_seconds_total": max(time.time() - started, 0.0),
        "process_open_fds": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "process_threads": int(stat[17]),
    }


def _braces(labels: Mapping[str, str] | tuple[tuple[str, str], ...]) -> str:
    pairs = labels.items() if isinstance(labels, Mapping) else labels
    inner = ",".join(f'{key}="{value}"' for key, value in pairs)
    return f"{{{inner}}}" if inner else ""
