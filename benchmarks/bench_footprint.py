"""The footprint as the runbook tells it beside the operating system's own account.

    .venv/bin/python benchmarks/bench_footprint.py [--rounds 6]

Servers of both arms on the rehearsal cluster, whose containers use known CPU and hold known memory
as real processes. They are read as a campaign reads them (API server, Summary API, proxies'
metrics), and analysed by the same code; the truth is what getrusage and /proc say of the same
processes. Bars: CPU within 5 % and 20 ms, memory within 5 %. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

from runbook.bench import crosscheck, footprint, readings
from runbook.bench.campaign import Block, Campaign, Environment, Run
from runbook.bench.consumption import MIB, container
from runbook.bench.deploy import server_name
from runbook.bench.design import Cell, Design
from runbook.bench.histogram import Histogram
from runbook.bench.snapshot import Snapshot
from runbook.cluster import Cluster, connect
from runbook.rehearsal import Twin
from runbook.rehearsal.images import Behaviour, Situation, find

BURNER = Path(__file__).with_name("burner.py")
IMAGE = "burner"
SPACE = "linkerd-bench"
APP_PORT, PROXY_PORT = 8080, 4191
PORTS = {"fortio": APP_PORT, "linkerd-proxy": PROXY_PORT}

REQUESTS = 1000
"""Of one run."""
COSTS = {("baseline", "fortio"): 0.3, ("meshed", "fortio"): 0.35, ("meshed", "linkerd-proxy"): 0.6}
"""CPU seconds of one run of each container: what a Pi's proxy takes for 1000 requests."""
HELD = {"fortio": 24, "linkerd-proxy": 48}
"""MiB that each container keeps."""


class Burning:
    """The image of a container that does as it is told."""

    def start(self, situation: Situation) -> Behaviour:
        """Run it as a process that listens on its one port."""
        port = PORTS[situation.container["name"]]
        return Behaviour(
            program=sys.executable,
            ports=(port,),
            arguments=lambda addresses, _: ("-S", str(BURNER), str(addresses[port])),
        )

    def changed(self, before: Situation, after: Situation) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Target:
    """The parameters that name a cluster."""

    kubeconfig: str
    cluster: str = "rehearsal"
    cluster_uid: str = ""


@dataclass(frozen=True)
class Truth:
    """What the operating system says of a process.

    Attributes:
        cpu: Seconds, by getrusage.
        ticks: Seconds, by /proc/PID/stat.
        resident: MiB, by /proc/PID/status.
        anonymous: MiB of them that are its own.
    """

    cpu: float
    ticks: float
    resident: float
    anonymous: float


class Servers:
    """The servers of both arms on one node.

    Args:
        cluster: Where.
        node: The node.
    """

    def __init__(self, cluster: Cluster, node: str) -> None:
        self._cluster = cluster
        cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})
        made = [cluster.create(deployment(arm, node)) for arm in ("baseline", "meshed")]
        cluster.wait_ready(made, 60)
        names = [pod["metadata"]["name"] for pod in cluster.list("v1", "Pod", SPACE)]
        self.pods = {
            arm: next(name for name in names if name.startswith(f"{server_name(arm, node)}-"))
            for arm in ("baseline", "meshed")
        }

    def tell(self, arm: str, name: str, order: str) -> dict[str, Any]:
        """Tell a container to do something, through the API server; give its own account."""
        path = f"/api/v1/namespaces/{SPACE}/pods/{self.pods[arm]}:{PORTS[name]}/proxy/{order}"
        answer = self._cluster.read(path)
        return dict(json.loads(answer))

    def truth(self, arm: str, name: str) -> Truth:
        """Ask the operating system about a container's process."""
        told = self.tell(arm, name, "account")
        process = Path(f"/proc/{int(told['pid'])}")
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        return Truth(
            cpu=told["cpu"],
            ticks=(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
            resident=int(status["VmRSS"].split()[0]) / 1024,
            anonymous=int(status["RssAnon"].split()[0]) / 1024,
        )


def deployment(arm: str, node: str) -> dict[str, Any]:
    """Give the server of an arm, with its proxy written out: nothing is injected here."""
    name = server_name(arm, node)
    parts = ("fortio",) if arm == "baseline" else ("fortio", "linkerd-proxy")
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": SPACE},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "nodeSelector": {"kubernetes.io/hostname": node},
                    "containers": [
                        {
                            "name": part,
                            "image": IMAGE,
                            "ports": [{"containerPort": PORTS[part]}],
                        }
                        for part in parts
                    ],
                },
            },
        },
    }


def snapshot(cluster: Cluster, servers: Servers, node: str) -> Snapshot:
    """Look as a campaign does; the samples' times are whole seconds, so not twice in one."""
    time.sleep(1.1)
    return readings.take(
        cluster, nodes=[node], proxies=[f"{SPACE}/{servers.pods['meshed']}"], probes={}
    )


def run(servers: Servers, arm: str, position: int) -> Run:
    """Let the containers of an arm use what a load would have them use."""
    for (one, name), seconds in COSTS.items():
        if one == arm:
            servers.tell(arm, name, f"burn?ms={1000 * seconds}&requests={REQUESTS}")
    return Run(
        arm=arm,
        position=position,
        started=datetime.now(UTC).isoformat(timespec="milliseconds"),
        seconds=10.0,
        requests=REQUESTS,
        errors=0,
        requested_rps=100.0,
        achieved_rps=100.0,
        late=0.0,
        response=Histogram(),
        service=Histogram(),
        sent=REQUESTS,
        fortio={},
        version="",
    )


def campaign(cluster: Cluster, servers: Servers, node: str, rounds: int) -> Campaign:
    """Measure as a campaign does."""
    cell = Cell(node=node, client=node, rps=100, protocol="http1", payload=1024)
    first = snapshot(cluster, servers, node)
    time.sleep(8)  # without load
    idle = first, snapshot(cluster, servers, node)
    blocks = []
    for number in range(rounds):
        before = snapshot(cluster, servers, node)
        order = ("baseline", "meshed", "meshed", "baseline")
        runs = tuple(run(servers, arm, position) for position, arm in enumerate(order))
        blocks.append(
            Block(
                number=number,
                cell=0,
                started=before.at,
                seconds=0.0,
                runs=runs,
                before=before,
                after=snapshot(cluster, servers, node),
            )
        )
    return Campaign(
        id="20260101-000000-00000000",
        design=Design(cells=(cell,), seconds=10.0, warmup=0.0),
        environment=Environment(cluster={}, rehearsal=True),
        blocks=tuple(blocks),
        idle=idle,
    )


def compare(title: str, ours: float, truth: float, unit: str, slack: float) -> bool:
    """Print one figure beside the truth; tell whether it is within 5 % and some slack."""
    kept = abs(ours - truth) <= 0.05 * truth + slack
    print(
        f"  {title:36} runbook {ours:9.2f} {unit:4} system {truth:9.2f} {unit:4} "
        f"{ours / truth - 1:+7.2%}   {'kept' if kept else 'MISSED'}"
    )
    return kept


def totals(
    found: Campaign, before: dict[Any, Truth], after: dict[Any, Truth], node: str
) -> list[bool]:
    """Compare what the whole campaign used, from first to last look, and what is held."""
    first, last = found.idle[0], found.blocks[-1].after
    good = []
    print("\nCPU over the whole campaign, and memory at its end")
    for arm, name in COSTS:
        key = container(last, server_name(arm, node), name)
        used, usage = first.containers[key], last.containers[key]
        cpu = (usage.cpu_seconds or 0) - (used.cpu_seconds or 0)
        rusage = after[arm, name].cpu - before[arm, name].cpu
        ticks = after[arm, name].ticks - before[arm, name].ticks
        where = f"{arm} {name}"
        good.append(compare(f"{where}, getrusage", cpu, rusage, "s", 0.02))
        good.append(compare(f"{where}, /proc/PID/stat", cpu, ticks, "s", 0.02))
        held = (usage.working_set or 0) / MIB
        good.append(compare(f"{where}, resident", held, after[arm, name].resident, "MiB", 0))
        own = (usage.rss or 0) / MIB
        good.append(compare(f"{where}, anonymous", own, after[arm, name].anonymous, "MiB", 0))
    return good


def results(found: Campaign) -> list[bool]:
    """Compare what the analysis says of each request and of memory with what was ordered."""
    said = footprint.of(found)
    good = []
    print(f"\nFootprint of {len(found.blocks)} blocks beside what was ordered")
    for cost in said.costs:
        where = f"{cost.arm} {cost.container}"
        if cost.per_request is None or cost.working_set is None:
            print(f"  {where}: no figure: {'; '.join(cost.left_out)}")
            good.append(False)
            continue
        ordered = COSTS[cost.arm, cost.container] / REQUESTS * 1e6
        slack = 20e3 / (2 * REQUESTS)  # 20 ms of CPU over the requests of a block
        good.append(compare(f"{where}, a request", cost.per_request.value, ordered, "µs", slack))
        low, high = cost.per_request.low, cost.per_request.high
        print(f"  {'':36} 95 % interval {low:.1f} to {high:.1f} µs, {cost.blocks} blocks")
    for block in found.blocks:
        doubt = crosscheck.proven(block)
        good.append(not doubt)
        if doubt:
            print(f"  block {block.number}: {doubt}")
    for outcome in crosscheck.accounts(found):
        print(f"  {outcome.verdict}: {outcome.title}: {outcome.seen}")
        good.append(outcome.verdict == "pass")
    return good


def measure(rounds: int) -> bool:
    """Run everything on a rehearsal cluster of its own."""

    def found(entry: dict[str, Any]) -> Any:
        return Burning() if entry.get("image") == IMAGE else find(entry)

    with mock.patch("runbook.rehearsal.kubelet.containers.find", found), Twin() as twin:
        cluster = connect(Target(str(twin.kubeconfig)))
        nodes = [node["metadata"]["name"] for node in cluster.list("v1", "Node")]
        node = nodes[-1]
        servers = Servers(cluster, node)
        for arm, name in COSTS:
            servers.tell(arm, name, f"hold?mib={HELD[name]}")
        began = time.monotonic()
        for _ in range(10):
            readings.take(cluster, nodes=nodes, proxies=[], probes={})
        print(f"a snapshot of {len(nodes)} nodes: {(time.monotonic() - began) / 10 * 1000:.0f} ms")
        before = {key: servers.truth(*key) for key in COSTS}
        made = campaign(cluster, servers, node, rounds)
        after = {key: servers.truth(*key) for key in COSTS}
        cluster.close()
    for text in {text for block in made.blocks for text in block.after.missing}:
        print(f"missing: {text}")
    good = [*totals(made, before, after, node), *results(made)]
    return all(good)


def main() -> int:
    """Run all parts; exit status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6)
    rounds = parser.parse_args().rounds
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")
    return 0 if measure(rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
