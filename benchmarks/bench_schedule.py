"""Latency from the schedule beside fortio's own, on loads whose truth is known.

    .venv/bin/python benchmarks/bench_schedule.py [--rounds 20]

Simulated loads: fortio's loop with Go's timers against a server that stands still now and then;
the truth is what a client with exact timers has from when each request was due. Then the real
fortio, if it is on the PATH, against a server that is stopped by signals. At last, merging.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "bench"))

import fortio_log  # noqa: E402
import record_fortio  # noqa: E402

from runbook.bench.buckets import Buckets  # noqa: E402
from runbook.bench.fortio import FortioRun, parse_log  # noqa: E402
from runbook.bench.histogram import Histogram  # noqa: E402
from runbook.bench.schedule import Slots, due, measure  # noqa: E402

Floats = NDArray[np.float64]
Stalls = tuple[tuple[float, float], ...]

SHARES = (0.5, 0.99, 0.999)
PAIR = ((20.0, 20.5), (40.0, 40.5))
MANY = tuple((second, second + 0.06) for second in np.arange(1.0, 59.0, 1.7))

SCENARIOS = {
    "quiet server": (200, 4, (), True),
    "two stalls of 0.5 s in 60 s": (200, 4, PAIR, True),
    "the same, 1000 RPS, 20 conns": (1000, 20, PAIR, True),
    "the same, left out (-nocatchup)": (200, 4, PAIR, False),
    "a stall of 60 ms every 1.7 s": (200, 4, MANY, True),
}
MISSES = {"two stalls of 0.5 s in 60 s", "the same, 1000 RPS, 20 conns"}
"""Where fortio's own number must be shown to miss by more than tenfold."""


def plain(run: FortioRun) -> list[float]:
    """Give ``timestamp + latency - due``, which contains what the generator was late."""
    log, times = run.log, due(run, run.log.thread, run.log.iteration)
    values = (log.start_ns - run.start_ns) / 1e9 + log.latency - times
    chosen: list[float] = values[(times >= 3.0) & (times < 60.0)].tolist()
    return chosen


@dataclass
class Pool:
    """All rounds of a scenario together, as the blocks of a campaign are."""

    truth: list[float] = field(default_factory=list)
    stamps: list[float] = field(default_factory=list)
    ours: Histogram = field(default_factory=Histogram)
    theirs: list[Buckets] = field(default_factory=list)
    worst: dict[float, float] = field(default_factory=dict)

    def add(self, scenario: tuple[int, int, Stalls, bool], seed: int) -> None:
        """Simulate a load, and read its log; the stalls come anywhere between two requests."""
        rps, connections, stalls, catch_up = scenario
        moved = np.random.default_rng(seed).uniform(0, 0.1)
        stalls = tuple((begin + moved, end + moved) for begin, end in stalls)
        client = fortio_log.Client(
            rps,
            60.0,
            connections,
            catch_up=catch_up,
            timers=fortio_log.go_timers(seed),
            overhead=0.00003,
        )
        server = fortio_log.Server(fortio_log.lognormal(seed), stalls)
        run = parse_log(fortio_log.log_text(client, client.run(server)))
        ours = measure([run], warmup=3.0, seconds=57.0).response
        truth = client.responses(3.0, 60.0)
        for p in SHARES:
            error = abs(ours.quantile(p) / fortio_log.exact_quantile(truth, p) - 1)
            self.worst[p] = max(error, self.worst.get(p, 0.0))
        self.ours += ours
        self.truth += truth
        self.stamps += plain(run)
        self.theirs.append(run.buckets)


def simulated(rounds: int) -> bool:
    """Compare on simulated loads of 60 s."""
    print(f"\nSimulated loads of 60 s, median service 2 ms, ms ({rounds} rounds together)")
    print(
        f"  {'':38} {'truth':>9} {'ours':>9} {'error':>7} {'a round':>8}"
        f"   {'fortio':>8} {'misses':>7}   {'timestamps':>10}"
    )
    good = True
    for title, scenario in SCENARIOS.items():
        pool = Pool()
        for seed in range(rounds):
            pool.add(scenario, seed)
        merged = Buckets.merged(pool.theirs)
        for p in SHARES:
            truth = fortio_log.exact_quantile(pool.truth, p)
            ours, theirs = pool.ours.quantile(p), merged.percentile(100 * p)
            stamps = fortio_log.exact_quantile(pool.stamps, p)
            error, miss = ours / truth - 1, truth / theirs
            kept = abs(error) <= 0.01 and (p == SHARES[0] or title not in MISSES or miss > 10)
            good = good and kept
            print(
                f"  {title if p == SHARES[0] else '':32}p{100 * p:<5g} {1e3 * truth:9.3f} "
                f"{1e3 * ours:9.3f} {error:+7.2%} {pool.worst[p]:8.2%}   {1e3 * theirs:8.3f} "
                f"{miss:6.1f}x   {1e3 * stamps:10.3f}   {'kept' if kept else 'MISSED'}"
            )
    print("  bars: ours within 1 %; with stalls of 0.5 s, fortio misses by more than 10x")
    print("  (in a single round, one request more or less in a stall of 0.5 s is 1 % at p99)")
    return good


def real(rounds: int) -> bool:
    """Compare on real loads of 15 s, of which the server stands still for 0.5 s.

    The truth is an exact client of a simulated server that stands still from signal to signal, and
    otherwise takes as long for each request as the real one did (it is slower while it catches up).
    """
    program = shutil.which("fortio")
    if not program:
        print("\nReal fortio: not on the PATH, left out")
        return True
    print(f"\nReal fortio, 15 s at 800 RPS, server stopped for 0.5 s ({rounds} rounds; p99, ms)")
    errors, misses = [], []
    with record_fortio.server(program) as process:
        for number in range(rounds):
            stopped: list[float] = []

            def stall(stopped: list[float] = stopped) -> None:
                time.sleep(5)
                process.send_signal(signal.SIGSTOP)
                stopped.append(time.time())
                time.sleep(0.5)
                stopped.append(time.time())
                process.send_signal(signal.SIGCONT)

            args = record_fortio.args(rps=800, seconds=15, connections=16)
            run = parse_log(record_fortio.load(program, args, stall))
            slots = Slots.of(run)
            begin, end = (moment - run.start_ns / 1e9 for moment in stopped)
            typical = np.median(slots.service)
            work = np.where(slots.service > 0.05, typical, slots.service)

            def service(thread: int, i: int, work: Floats = work) -> float:
                return float(work[thread, i])

            client = fortio_log.Client(800, 15.0, 16)
            client.run(fortio_log.Server(service, ((begin, end),)))
            truth = fortio_log.exact_quantile(client.responses(0.0, 15.0), 0.99)
            ours = measure([run], warmup=0.0, seconds=15.0)
            errors.append(ours.response.quantile(0.99) / truth - 1)
            misses.append(truth * 1e3 / ours.fortio["p99"])
            print(
                f"  {number + 1}: stopped {1e3 * (end - begin):.0f} ms; truth {1e3 * truth:8.2f}   "
                f"ours {1e3 * ours.response.quantile(0.99):8.2f} ({errors[-1]:+.2%})   fortio "
                f"{ours.fortio['p99']:6.2f} ({misses[-1]:.0f}x)"
            )
    error = statistics.median(errors)
    good = bool(abs(error) <= 0.01 and min(misses) > 10)
    print(f"  bars: median error {error:+.2%} within 1 %, fortio misses by more than 10x", end="")
    print(f"   {'kept' if good else 'MISSED'}")
    return good


def merging(rounds: int) -> bool:
    """Split random samples into runs, count each, merge, and compare with the whole."""
    exact, worst, buckets, percent, took = True, 0.0, True, 0.0, []
    for seed in range(rounds):
        rng = np.random.default_rng(seed)
        median, sigma = rng.uniform(0.0005, 0.05), rng.uniform(0.1, 1.0)
        sample = np.round(median * np.exp(sigma * rng.standard_normal(24_000)), 6)
        parts = np.split(sample, np.sort(rng.integers(0, len(sample), rng.integers(1, 60))))
        counted = [Histogram.of(part) for part in parts]
        began = time.perf_counter()
        merged = Histogram.merged(counted)
        took.append(time.perf_counter() - began)
        exact = exact and merged == Histogram.of(sample)
        for p in (*SHARES, 0.9, 0.9999):
            truth = fortio_log.exact_quantile(sample.tolist(), p)
            worst = max(worst, abs(merged.quantile(p) / truth - 1))
        asked = [50.0, 90.0, 99.0, 99.9, 99.99]
        whole = fortio_log.histogram(sample.tolist(), asked, 1e-4)
        each = Buckets.merged(
            Buckets.parse(fortio_log.histogram(part.tolist(), asked, 1e-4), 1e-4) for part in parts
        )
        buckets = buckets and each.counts == Buckets.parse(whole, 1e-4).counts
        for answer in whole["Percentiles"]:
            value = each.percentile(answer["Percentile"])
            percent = max(percent, abs(value / answer["Value"] - 1))
    good = exact and buckets and worst <= 0.005 and percent <= 1e-9
    print(f"\nMerging, 24000 requests in up to 60 runs ({rounds} samples)")
    print(f"  histograms: counts {'exact' if exact else 'WRONG'}, quantiles within {worst:.2%}")
    print(f"  median {1e3 * statistics.median(took):.1f} ms to merge")
    print(f"  fortio's buckets: counts {'exact' if buckets else 'WRONG'}, within {percent:.0e}")
    print(f"  bars: exact, 0.5 %, exact, 1e-9   {'kept' if good else 'MISSED'}")
    return good


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all parts; exit status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args(arguments).rounds
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")
    good = [simulated(rounds), real(max(rounds // 5, 1)), merging(5 * rounds)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
