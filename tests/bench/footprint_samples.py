"""Campaigns whose true costs are known: counters as kubelets and probes would show them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime

from runbook.bench.campaign import Block, Campaign, Environment, Run
from runbook.bench.design import Arm, Cell, Design
from runbook.bench.histogram import Histogram
from runbook.bench.snapshot import Proxy, Snapshot, Spent, Usage

BEGUN = 1795560000.0  # 2026-11-24T22:40:00Z
NAMES = {
    arm: f"linkerd-bench/echo-{arm}-node2-6d5f7c9b8d-{arm[:5]}"
    for arm in ("baseline", "meshed", "skipped")
}
IDENTITY = "linkerd/linkerd-identity-5f4c8b7d9-abcde/identity"
MIB = 2**20


def iso(moment: float) -> str:
    """Give a time as a kubelet does, cut to the second."""
    return datetime.fromtimestamp(int(moment), UTC).isoformat().replace("+00:00", "Z")


@dataclass
class World:
    """What goes on: counters that move when time passes or requests come.

    Attributes:
        idle: CPU of a proxy without load, in cores.
        proxy: CPU of a proxy for each request, in seconds.
        app: CPU of the server for each request, by arm.
        kernel: CPU that nobody is charged for, for each request of a meshed arm.
        background: CPU of everything else on the node, in cores.
        noise: Relative standard deviation of the cost of a run.
        begun: When, in seconds since 1970.
    """

    idle: float = 0.0015
    proxy: float = 320e-6
    app: dict[str, float] = field(
        default_factory=lambda: {"baseline": 80e-6, "meshed": 95e-6, "skipped": 80e-6}
    )
    kernel: float = 60e-6
    background: float = 0.12
    noise: float = 0.0
    arms: tuple[Arm, ...] = ("baseline", "meshed")
    seed: int = 1
    begun: float = BEGUN

    def __post_init__(self) -> None:
        self.now = self.begun
        self.random = random.Random(self.seed)
        self.cpu = {f"{NAMES[arm]}/{name}": 1.0 for arm in self.arms for name in parts(arm)}
        self.cpu[IDENTITY] = 5.0
        self.started = dict.fromkeys(self.cpu, iso(self.begun - 500))
        self.requests: dict[str, float] = dict.fromkeys(self.arms, 0.0)
        self.working_set = 8 * MIB
        self.missing: tuple[str, ...] = ()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        for key in self.cpu:
            if key.endswith("linkerd-proxy"):
                self.cpu[key] += self.idle * seconds
        self.cpu[IDENTITY] += 0.002 * seconds

    def run(self, arm: str, position: int, rps: int, seconds: float = 15, warmup: float = 3) -> Run:
        sent = round(rps * (seconds + warmup))
        factor = 1 + self.random.gauss(0, self.noise)
        per_request = self.app[arm]
        self.cpu[f"{NAMES[arm]}/fortio"] += sent * self.app[arm] * factor
        if arm == "meshed":
            self.cpu[f"{NAMES[arm]}/linkerd-proxy"] += sent * self.proxy * factor
            self.requests[arm] += sent + 4  # each connection begins with one that is not counted
            per_request += self.proxy + self.kernel
        started = self.now + warmup
        self.wait(seconds + warmup + 4)
        softirq = rps * 12 * (40e-6 if arm == "meshed" else 10e-6)
        return Run(
            arm=arm,
            position=position,
            started=iso(started),
            seconds=seconds,
            requests=round(rps * seconds),
            errors=0,
            requested_rps=rps,
            achieved_rps=rps,
            late=0.0,
            response=Histogram.of([0.001]),
            service=Histogram.of([0.001]),
            sent=sent,
            fortio={},
            version="1.75.2",
            spent={
                node: Spent(
                    seconds=12,
                    busy=12 * (self.background + rps * per_request),
                    softirq=softirq,
                )
                for node in ("node2", "node3")
            },
        )

    def snapshot(self) -> Snapshot:
        meshed = [arm for arm in self.arms if arm != "baseline"]
        return Snapshot(
            at=iso(self.now),
            containers={
                key: Usage(
                    cpu_seconds=cpu,
                    time=iso(self.now),
                    working_set=self.working_set,
                    rss=self.working_set // 2,
                    started=self.started[key],
                )
                for key, cpu in self.cpu.items()
            },
            proxies={
                NAMES[arm]: Proxy(
                    cpu_seconds=int(100 * self.cpu[f"{NAMES[arm]}/linkerd-proxy"]) / 100,
                    started=self.begun - 500,
                    requests=self.requests[arm],
                    plain=3,
                )
                for arm in meshed
            },
            missing=self.missing,
        )

    def block(self, number: int, cell: int, rps: int) -> Block:
        before, began = self.snapshot(), self.now
        order = (*self.arms, *reversed(self.arms))
        runs = tuple(self.run(arm, place, rps) for place, arm in enumerate(order))
        return Block(
            number=number,
            cell=cell,
            started=iso(began),
            seconds=self.now - began,
            runs=runs,
            before=before,
            after=self.snapshot(),
        )

    def campaign(
        self, blocks: int, rates: tuple[int, ...] = (20, 50, 200), idle: float = 300
    ) -> Campaign:
        quiet = [self.snapshot()]
        self.wait(idle)
        quiet.append(self.snapshot())
        cells = tuple(cell(rps) for rps in rates)
        measured = tuple(
            self.block(number, number % len(rates), rates[number % len(rates)])
            for number in range(blocks * len(rates))
        )
        return Campaign(
            id="20261124-224000-1a2b3c4d",
            design=Design(cells=cells, arms=self.arms, seconds=15, warmup=3),
            environment=Environment(cluster={"name": "pi"}, rehearsal=False),
            blocks=measured,
            idle=tuple(quiet) if idle else (),
        )


def parts(arm: str) -> tuple[str, ...]:
    return ("fortio",) if arm == "baseline" else ("fortio", "linkerd-proxy")


def cell(rps: int) -> Cell:
    return Cell(node="node2", client="node3", rps=rps, protocol="http1", payload=1024)
