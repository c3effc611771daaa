"""What the two-stage rule saves beside 40 blocks for everyone, and what peeking would cost.

    .venv/bin/python benchmarks/bench_stopping.py [--campaigns 10000]

Differences of blocks are heavy-tailed (t with 5 degrees of freedom). The target is a half-width of
0.08: 40 blocks reach it up to a standard deviation of 0.25, and so all rules end with what is asked
for, at another price. A block costs the same minutes whatever it is for, so that the share of
minutes is the share of blocks.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from statistics import mean, median

import numpy as np
from numpy.typing import NDArray

from runbook.bench import stopping
from runbook.bench.stats import Interval, t_interval, t_quantile

TARGET, PILOT, MOST = 0.08, 8, 40
EFFECT = 1.0
COVERAGE = 0.94
MINUTES = {0.1: 0.30, 0.2: 0.70}
"""Bars: share of the minutes of the fixed design, by standard deviation of a block difference."""
SHOWN = (0.1, 0.2, 0.3)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ended:
    """A campaign that a rule ended.

    Attributes:
        blocks: It took.
        interval: It gave.
    """

    blocks: int
    interval: Interval


def fixed(values: Floats) -> Ended:
    """All blocks."""
    return Ended(MOST, t_interval(values))


def planned(values: Floats) -> int:
    """Give the number of blocks of the rule that campaigns use."""
    half = t_interval(values[:PILOT]).half
    return stopping.plan(half, PILOT, TARGET, MOST, MOST).blocks


def two_stage(values: Floats) -> Ended:
    """Stein's rule and interval, with the spread of the pilot."""
    blocks = planned(values)
    return Ended(blocks, stopping.stein_interval(values[:blocks], PILOT))


def two_stage_all(values: Floats) -> Ended:
    """Stein's number of blocks, with the spread of all and the pilot's t: how claims are made."""
    blocks = planned(values)
    plain = t_interval(values[:blocks])
    half = plain.half * t_quantile(0.975, PILOT - 1) / t_quantile(0.975, blocks - 1)
    return Ended(blocks, Interval(plain.value, plain.value - half, plain.value + half))


def looking(values: Floats) -> Ended:
    """A look after each block from 5 on, until the interval is narrow enough."""
    for blocks in range(5, MOST + 1):
        interval = t_interval(values[:blocks])
        if interval.half <= TARGET:
            break
    return Ended(blocks, interval)


def peeking(values: Floats) -> Ended:
    """A look after each block from 5 on, until the interval excludes 0."""
    for blocks in range(5, MOST + 1):
        interval = t_interval(values[:blocks])
        if interval.excludes_zero:
            break
    return Ended(blocks, interval)


RULES = {
    "40 blocks": fixed,
    "two-stage (Stein)": two_stage,
    "two-stage, as claimed": two_stage_all,
    "until it is narrow": looking,
    "until it excludes 0": peeking,
}


def campaigns(sd: float, effect: float, count: int, seed: int) -> Iterator[Floats]:
    """Draw block differences of campaigns, each as long as any rule may want it."""
    rng = np.random.default_rng((seed, round(1000 * sd), round(effect)))
    scale = sd / math.sqrt(5 / 3)
    for _ in range(count):
        yield effect + scale * rng.standard_t(5, MOST)


def run(sd: float, effect: float, count: int, seed: int) -> dict[str, list[Ended]]:
    """Let every rule end the same campaigns."""
    drawn = list(campaigns(sd, effect, count, seed))
    return {name: [rule(values) for values in drawn] for name, rule in RULES.items()}


def report(sd: float, shown: dict[str, list[Ended]], without: dict[str, list[Ended]]) -> bool:
    """Print what the rules did at a spread; tell whether the bars are kept."""
    print(f"\nstandard deviation of a block difference {sd}")
    print(
        f"  {'rule':26} {'blocks':>6} {'minutes':>7} {'half':>6} {'reached':>7} {'coverage':>8}"
        f" {'false':>6}"
    )
    good = True
    for name, ended in shown.items():
        minutes = mean(e.blocks for e in ended) / MOST
        covered = mean(e.interval.low <= EFFECT <= e.interval.high for e in ended)
        half = median(e.interval.half for e in ended)
        reached = mean(e.interval.half <= TARGET * (1 + 1e-9) for e in ended)
        false = mean(e.interval.excludes_zero for e in without[name])
        verdict = ""
        if name.startswith("two-stage") and sd in MINUTES:
            kept = minutes <= MINUTES[sd] and covered >= COVERAGE
            good = good and kept
            verdict = f"  bars {MINUTES[sd]:.0%}, {COVERAGE:.0%}: {'PASS' if kept else 'FAIL'}"
        blocks = minutes * MOST
        print(
            f"  {name:26} {blocks:6.1f} {minutes:7.1%} {half:6.3f} {reached:7.1%} {covered:8.3f}"
            f" {false:6.3f}{verdict}"
        )
    return good


def main() -> int:
    """Compare the rules at each spread; exit status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--campaigns", type=int, default=10_000, help="of each spread")
    count = parser.parse_args().campaigns
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    began = time.monotonic()
    print(f"{count} campaigns of each spread; half-width {TARGET}, pilot {PILOT}, most {MOST}")
    good = []
    parts = 8
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for sd in SHOWN:
            both = []
            for effect in (EFFECT, 0.0):
                pieces = pool.map(partial(run, sd, effect, count // parts), range(parts))
                both.append({name: [e for piece in pieces for e in piece[name]] for name in RULES})
            good.append(report(sd, *both))
    print(
        "\nminutes: of 40 blocks. half: median half-width. reached: intervals as narrow as the"
        "\ntarget. false: campaigns without any effect whose interval excludes 0."
    )
    print(f"\n{time.monotonic() - began:.0f} s; {'PASS' if all(good) else 'FAIL'}")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
