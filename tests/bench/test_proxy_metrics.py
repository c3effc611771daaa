"""A proxy's own metrics, in the names of the oldest and the newest line."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook.bench import proxy_metrics

SAMPLES = Path(__file__).parent / "proxies"


@pytest.mark.parametrize(
    ("line", "cpu", "rss", "started", "clock"),
    [
        ("2.11", 3.0, 15073280, 1795560000.0, 77.0),
        ("2.20", 3.27, 14680064, 1795560000.25, 1795563600.75),
    ],
)
def test_reads_proxies_of_every_line(
    line: str, cpu: float, rss: int, started: float, clock: float
) -> None:
    proxy, absent = proxy_metrics.read((SAMPLES / f"{line}.prom").read_text(), now=77.0)
    assert (proxy.cpu_seconds, proxy.rss, proxy.started, proxy.time) == (cpu, rss, started, clock)
    assert (proxy.requests, proxy.plain) == (4012, 31), "outbound requests do not count"
    assert absent == ()


def test_no_counter_yet_is_no_request() -> None:
    text = "process_cpu_seconds_total 0.5\nprocess_start_time_seconds 12\n"
    proxy, absent = proxy_metrics.read(text, now=1.0)
    assert (proxy.requests, proxy.plain) == (0, 0)
    assert (proxy.rss, absent) == (None, ("resident memory",))


@pytest.mark.parametrize("text", ["", "<html>Bad gateway</html>", "# only comments\n", "go 1\n"])
def test_what_is_no_proxy_gives_nothing(text: str) -> None:
    proxy, absent = proxy_metrics.read(text, now=1.0)
    assert proxy.requests is None
    assert proxy.plain is None
    assert proxy.cpu_seconds is None
    assert len(absent) == 3


def test_a_figure_that_is_no_number_is_absent() -> None:
    proxy, absent = proxy_metrics.read(
        "process_cpu_seconds_total NaN\nprocess_resident_memory_bytes x\n"
        "process_start_time_seconds 3\n",
        now=1.0,
    )
    assert (proxy.cpu_seconds, proxy.rss) == (None, None)
    assert absent == ("CPU time", "resident memory")
