"""A rehearsal cluster with the benchmark's servers and probes, and the ways to measure on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook.bench import deploy
from runbook.bench.campaign import Campaign, Environment
from runbook.bench.design import Cell, Design
from runbook.bench.load import Loader
from runbook.bench.store import Store
from runbook.bench.targets import Targets, find_targets
from runbook.cluster import Cluster
from runbook.kubeconfig import open_access
from runbook.params import Params
from runbook.rehearsal import Twin
from runbook.transport import Transport

NAMESPACE = "linkerd-bench"


def connect(kubeconfig: Path) -> tuple[Cluster, Params]:
    """Connect without pauses between tries: there is no proxy to answer, and none will come."""
    params = Params.parse({"kubeconfig": str(kubeconfig), "bench_nodes": "node2", "timeout": 60})
    access = open_access(params.cluster, params.kubeconfig)
    transport = Transport(access.client, access.headers, pause=lambda _: None)
    return Cluster(access, transport), params


@dataclass(frozen=True)
class Place:
    """Where tests measure.

    There is no Linkerd, so nothing is injected: the arm ``meshed`` is a second server.
    """

    twin: Twin
    cluster: Cluster
    params: Params
    targets: Targets

    @property
    def store(self) -> Store:
        return Store(self.cluster, NAMESPACE)

    def cell(self, **changes: Any) -> Cell:
        plain = Cell(node="node2", client="node1", rps=100, protocol="http1", payload=128)
        return plain.model_copy(update=changes)

    def design(self, **changes: Any) -> Design:
        """Give a design of runs of 0.3 s."""
        plain = Design(
            cells=(self.cell(),), seconds=0.3, warmup=0.1, image="fortio/fortio:1.75.2", pilot=2
        )
        return Design.model_validate({**dict(plain), "most": 2, **changes})

    def campaign(self, design: Design) -> Campaign:
        environment = Environment(cluster={"name": "rehearsal"}, rehearsal=True)
        begun = datetime.now(UTC)
        return Campaign(
            id=f"{begun:%Y%m%d-%H%M%S}-{design.digest}", design=design, environment=environment
        )

    def loader(self, design: Design) -> Loader:
        return Loader(self.cluster, NAMESPACE, design, self.targets.hostnames, 60.0)

    def jobs(self) -> list[str]:
        found = self.cluster.list("batch/v1", "Job", NAMESPACE)
        return [str(job["metadata"]["name"]) for job in found]


@contextmanager
def opened() -> Iterator[Place]:
    """Start the cluster and wait until the servers answer."""
    with Twin() as twin:
        cluster, params = connect(twin.kubeconfig)
        targets = find_targets(cluster, params)
        objects = deploy.objects(params, targets)
        for obj in objects:
            cluster.apply(obj)
        cluster.wait_ready(objects, 60)
        yield Place(twin, cluster, params, targets)
        cluster.close()
