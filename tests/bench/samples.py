"""Campaigns whose truth is known, made in milliseconds: for tests, and for the benchmarks.

A request of baseline takes ``base`` and a queue; a block and each run of it stretch the queue, a
mesh adds its delay. The numbers of a Pi are not known beforehand: these are of its order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
from numpy.typing import NDArray

from runbook.bench.campaign import Block, Campaign, Environment, Run
from runbook.bench.deploy import server_name
from runbook.bench.design import Cell, Design
from runbook.bench.histogram import Histogram
from runbook.bench.snapshot import Host, Proxy, Snapshot, Spent, Usage

CELL = Cell(node="node2", client="node3", rps=200, protocol="http1", payload=1024)
BEGAN = datetime(2026, 11, 24, 22, 0, 0, tzinfo=UTC)

PROXY_US, SERVER_US = 450, 120
"""CPU that each request costs the proxy and the server, in µs."""
PROXY_IDLE, SERVER_IDLE = 3, 1
"""What they use without load, in mcore."""

MIB = 2**20
CONTROL_PLANE = {
    "linkerd-destination-6f7b8c9d4f-9x2lp": ("destination", "policy", "sp-validator"),
    "linkerd-identity-5d8c7b6f9c-mv7tq": ("identity",),
    "linkerd-proxy-injector-7b9f6d5c8d-h4kzw": ("proxy-injector",),
}


@dataclass(frozen=True)
class World:
    """What happens to requests.

    Attributes:
        delay: Added by the mesh, in ms: to each request, or on average.
        heavy: Whether the delay of a request is drawn (lognormal, sigma 1: a tenth of the requests
            gets more than twice the average) instead of the same for all.
        block_noise: Standard deviation of the logarithm of what a block stretches queues by.
        run_noise: And a run of it, by itself.
        tail: Degrees of freedom of that noise; 3 has blocks that are much worse than the rest.
        base: Latency without any queue, in ms.
        queue: Median of the queue, in ms.
        sigma: Of the queue's logarithm.
    """

    delay: float = 2.0
    heavy: bool = False
    block_noise: float = 0.1
    run_noise: float = 0.08
    tail: float = 3.0
    base: float = 1.5
    queue: float = 2.0
    sigma: float = 0.5

    def noise(self, rng: np.random.Generator, size: int) -> NDArray[np.float64]:
        """Draw noise of standard deviation 1, cut at 6."""
        drawn: NDArray[np.float64] = rng.standard_t(self.tail, size)
        return np.clip(drawn * math.sqrt((self.tail - 2) / self.tail), -6.0, 6.0)

    def latencies(
        self, rng: np.random.Generator, arm: str, stretch: float | NDArray[np.float64], size: int
    ) -> NDArray[np.float64]:
        """Draw latencies of one run, in seconds."""
        ms = self.base + self.queue * np.exp(self.sigma * rng.standard_normal(size) + stretch)
        if arm == "meshed":
            ms += self.delay * (rng.lognormal(-0.5, 1.0, size) if self.heavy else 1.0)
        return ms / 1e3

    def truth(self, p: float, requests: int = 10_000_000) -> float:
        """Give what the mesh adds to the percentile of all latencies together, in ms.

        Of a constant delay, itself; of any other, from so many requests of each arm, each of a
        block of its own: with ten million within some 0.02 ms at p99.
        """
        return _drawn_truth(self, p, requests) if self.heavy else self.delay


@cache
def _drawn_truth(world: World, p: float, requests: int) -> float:
    rng = np.random.default_rng(20261124)
    total = {"baseline": Histogram(), "meshed": Histogram()}
    size = 500_000
    for _ in range(requests // size):
        for arm in total:
            stretch = world.block_noise * world.noise(rng, size)
            stretch += world.run_noise * world.noise(rng, size)
            total[arm] += Histogram.of(world.latencies(rng, arm, stretch, size))
    return 1e3 * (total["meshed"].quantile(p) - total["baseline"].quantile(p))


def design(**changes: object) -> Design:
    """Give a design of one cell, with runs of 15 s."""
    plain = Design(cells=(CELL,), seconds=15, warmup=3, image="fortio/fortio:1.75.2")
    return Design.model_validate({**dict(plain), **changes})


def block(
    world: World,
    plan: Design,
    number: int,
    cell: int = 0,
    *,
    seed: int = 1,
    before: Snapshot | None = None,
    after: Snapshot | None = None,
    invalid: tuple[str, ...] = (),
) -> Block:
    """Give one block; the same seed and number give the same."""
    rng = np.random.default_rng((seed, number))
    stretch = world.block_noise * world.noise(rng, 1)[0]
    began = _began(plan, number)
    runs = []
    for position, arm in enumerate(plan.order(number)):
        own = stretch + world.run_noise * world.noise(rng, 1)[0]
        size = _requests(plan, cell)
        latencies = world.latencies(rng, arm, own, size)
        start = began + timedelta(seconds=position * _run_seconds(plan) + plan.warmup)
        runs.append(_run(plan, plan.cells[cell], arm, position, start, latencies))
    nothing = Snapshot(at=_text(began))
    return Block(
        number=number,
        cell=cell,
        started=_text(began),
        seconds=_block_seconds(plan),
        runs=tuple(runs),
        before=before or nothing,
        after=after or nothing,
        invalid=invalid,
    )


def campaign(
    world: World | None = None,
    *,
    blocks: int = 10,
    seed: int = 1,
    invalid: Sequence[int] = (),
    complete: bool = True,
    **changes: object,
) -> Campaign:
    """Give a campaign, with snapshots.

    Args:
        world: What happens to requests.
        blocks: Of each cell, those that do not count included; cells take turns.
        seed: Same seed, same latencies.
        invalid: Numbers of blocks that do not count, as the node was too hot.
        complete: Whether it came to its end.
        changes: To the design, such as ``cells`` or ``equivalence_ms``.
    """
    plan = design(**changes)
    meter = _Meter(plan)
    idle = (meter.read(BEGAN - timedelta(seconds=90)), meter.read(BEGAN - timedelta(seconds=30)))
    said = f"{blocks} blocks, decided by the precision asked for"
    measured = []
    for number in range(blocks * len(plan.cells)):
        cell = number % len(plan.cells)
        hot = (f"{plan.cells[cell].node}: 82 C, above 80 C",) if number in invalid else ()
        before = meter.read(_began(plan, number))
        meter.load(cell)
        after = meter.read(_began(plan, number) + timedelta(seconds=_block_seconds(plan)))
        measured.append(
            block(
                world or World(),
                plan,
                number,
                cell,
                seed=seed,
                before=before,
                after=after,
                invalid=hot,
            )
        )
    return Campaign(
        id=f"{BEGAN:%Y%m%d-%H%M%S}-{plan.digest}",
        design=plan,
        environment=environment(plan),
        blocks=tuple(measured),
        idle=idle,
        complete=complete,
        stop=dict.fromkeys(map(str, range(len(plan.cells))), said) if complete else {},
    )


def environment(plan: Design) -> Environment:
    """Give an environment of Raspberry Pis."""
    pi = {
        "model": "Raspberry Pi 4 Model B Rev 1.4",
        "arch": "arm64",
        "kernel": "6.6.51+rpt-rpi-v8",
        "os": "Debian GNU/Linux 12 (bookworm)",
        "kubelet": "v1.33.5+k3s1",
    }
    return Environment(
        cluster={"name": "pi", "uid": "7b0c6c1e-0000-4000-8000-000000000001", "version": "v1.33.5"},
        rehearsal=False,
        linkerd="edge-26.8.2",
        proxy="cr.l5d.io/linkerd/proxy:edge-26.8.2",
        nodes={node: pi for node in _nodes(plan.cells)},
        generator="fortio 1.75.2",
        runbook="0.1.0",
    )


def _run(
    plan: Design,
    cell: Cell,
    arm: str,
    position: int,
    start: datetime,
    latencies: NDArray[np.float64],
) -> Run:
    response = Histogram.of(latencies)
    seconds = plan.seconds
    share = {"baseline": SERVER_US, "meshed": SERVER_US + PROXY_US}.get(arm, SERVER_US)
    spent = Spent(
        seconds=seconds,
        busy=seconds * (0.2 + cell.rps * share * 1.3e-6),
        softirq=seconds * cell.rps * share * 0.2e-6,
        temperature=52.5,
        mhz=1500.0,
        throttled=0,
    )
    percentiles = np.quantile(1e3 * latencies, [0.5, 0.75, 0.9, 0.99, 0.999]).tolist()
    return Run(
        arm=arm,
        position=position,
        started=_text(start),
        seconds=seconds,
        requests=response.count,
        errors=0,
        requested_rps=float(cell.rps),
        achieved_rps=response.count / seconds,
        late=0.001,
        response=response,
        service=response,
        sent=_sent(plan, cell),
        fortio=dict(zip(("p50", "p75", "p90", "p99", "p99.9"), percentiles, strict=True)),
        version="1.75.2",
        spent={node: spent for node in (cell.node, cell.client)},
    )


class _Meter:
    """Counters of the cluster, which only ever go up."""

    def __init__(self, plan: Design) -> None:
        self._plan = plan
        self._sent = {(cell.node, arm): 0 for cell in plan.cells for arm in plan.arms}

    def load(self, cell: int) -> None:
        """Count the requests of a block."""
        target = self._plan.cells[cell]
        for arm in self._plan.arms:
            self._sent[target.node, arm] += 2 * _sent(self._plan, target)

    def read(self, at: datetime) -> Snapshot:
        """Give what everything has used by now."""
        up = (at - BEGAN).total_seconds() + 600
        containers: dict[str, Usage] = {}
        proxies: dict[str, Proxy] = {}
        for (node, arm), sent in self._sent.items():
            pod = f"linkerd-bench/{server_name(arm, node)}-7c9d8f6b5-x2k4q"
            containers[f"{pod}/fortio"] = _usage(at, up, SERVER_IDLE, SERVER_US * sent, 9)
            if arm != "baseline":
                cost = PROXY_US * sent if arm == "meshed" else 0
                containers[f"{pod}/linkerd-proxy"] = _usage(at, up, PROXY_IDLE, cost, 14)
                proxies[pod] = Proxy(
                    cpu_seconds=round(up * PROXY_IDLE / 1e3 + cost / 1e6, 2),
                    rss=16 * MIB,
                    started=(BEGAN - timedelta(seconds=600)).timestamp(),
                    requests=float(sent) if arm == "meshed" else 0.0,
                    plain=0.0,
                    time=at.timestamp(),
                )
        for pod, names in CONTROL_PLANE.items():
            for name in (*names, "linkerd-proxy"):
                containers[f"linkerd/{pod}/{name}"] = _usage(at, up, 2, 0, 24)
        nodes = _nodes(self._plan.cells)
        return Snapshot(
            at=_text(at),
            containers=containers,
            nodes={node: _usage(at, up, 300, 0, 1400) for node in nodes},
            proxies=proxies,
            hosts={node: _host(at, up) for node in nodes},
        )


def _usage(at: datetime, up: float, idle_mcore: float, cost_us: float, mib: int) -> Usage:
    return Usage(
        cpu_seconds=up * idle_mcore / 1e3 + cost_us / 1e6,
        time=f"{at:%Y-%m-%dT%H:%M:%SZ}",
        working_set=mib * MIB,
        rss=mib * MIB * 3 // 4,
        started=f"{BEGAN - timedelta(seconds=600):%Y-%m-%dT%H:%M:%SZ}",
    )


def _host(at: datetime, up: float) -> Host:
    return Host(
        temperature=52.1,
        mhz=1500.0,
        governor="performance",
        throttled=0,
        softirq=0.01 * up,
        busy=0.3 * up,
        time=at.timestamp(),
    )


def _nodes(cells: Iterable[Cell]) -> list[str]:
    return sorted({node for cell in cells for node in (cell.node, cell.client)})


def _requests(plan: Design, cell: int) -> int:
    return round(plan.cells[cell].rps * plan.seconds)


def _sent(plan: Design, cell: Cell) -> int:
    return round(cell.rps * (plan.seconds + plan.warmup))


def _run_seconds(plan: Design) -> float:
    return plan.warmup + plan.seconds + 4


def _block_seconds(plan: Design) -> float:
    return plan.runs * _run_seconds(plan)


def _began(plan: Design, number: int) -> datetime:
    return BEGAN + timedelta(seconds=number * (_block_seconds(plan) + 5))


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
