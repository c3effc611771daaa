"""Real campaigns on a rehearsal cluster whose proxy holds every request for a known time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from runbook import rehearsal
from runbook.bench import deploy
from runbook.bench.campaign import Campaign
from runbook.bench.deploy import server_name
from runbook.bench.pods import find_pods
from runbook.bench.store import Store
from runbook.bench.targets import Targets, find_targets
from runbook.cluster import Cluster, connect
from runbook.params import Params

ROOT = Path(__file__).parent.parent
PARAMS = ROOT / "params" / "rehearsal.yaml"
DELAY = "rehearsal.linkerd-runbook/proxy-delay"
"""Annotation of a pod whose proxy is to hold requests."""

GIVEN = {"bench_seconds": "2s", "bench_budget": "2m", "bench_percentile": 50}
"""Short runs of few requests, of which the median is known well enough."""


@dataclass(frozen=True)
class Measured:
    """A campaign, and what its proxy did meanwhile.

    Attributes:
        campaign: As notebook 61 left it in the cluster.
        held: Mean time the proxy says it held a request for, in ms; 0 if it held none.
    """

    campaign: Campaign
    held: float


class Rehearsal:
    """A rehearsal cluster with Linkerd and the benchmark's servers."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._environment = {**os.environ, "RUNBOOK_REHEARSAL_DIR": str(directory / "rehearsal")}
        self._stack = ExitStack()
        self._cluster: Cluster
        self._params: Params

    def __enter__(self) -> Self:
        place = self._directory / "rehearsal"
        rehearsal.up(place)
        self._stack.callback(rehearsal.down, place)
        os.environ["RUNBOOK_REHEARSAL_DIR"] = str(place)
        self._params = Params.model_validate({"cluster": "rehearsal", "bench_nodes": "node2"})
        self._cluster = connect(self._params)
        self._stack.callback(self._cluster.close)
        self._run("00-16")
        self._run("60")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def measure(self, delay_ms: float) -> Measured:
        """Let the mesh hold requests, and measure it with notebook 61."""
        targets = find_targets(self._cluster, self._params)
        name = server_name("meshed", targets.servers[0])
        for obj in deploy.objects(self._params, targets):
            if (obj["kind"], obj["metadata"]["name"]) == ("Deployment", name):
                self._hold(obj, delay_ms)
        self._run("61")
        campaign = Store(self._cluster, self._params.bench_namespace).newest()
        if campaign is None or not campaign.complete:
            raise RuntimeError("notebook 61 left no complete campaign")
        return Measured(campaign, self._held(targets, name))

    def _hold(self, deployment: dict[str, Any], delay_ms: float) -> None:
        annotations = deployment["spec"]["template"]["metadata"].setdefault("annotations", {})
        annotations[DELAY] = f"{delay_ms:g}ms" if delay_ms else ""
        self._cluster.apply(deployment)
        self._cluster.wait_ready([deployment], 60)

    def _held(self, targets: Targets, name: str) -> float:
        """Give the mean time the proxy held requests for, in ms, by its own metrics."""
        namespace = self._params.bench_namespace
        pod = find_pods(self._cluster, namespace, targets).servers[name]["metadata"]["name"]
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}:4191/proxy/metrics"
        text = str(self._cluster.read(path))
        seconds, count = (
            sum(map(float, re.findall(rf"^rehearsal_delay_seconds_{part}\{{.* (\S+)$", text, re.M)))
            for part in ("sum", "count")
        )
        return 1e3 * seconds / count if count else 0.0

    def _run(self, books: str) -> None:
        given = [word for name, value in GIVEN.items() for word in ("-p", f"{name}={value}")]
        command = [sys.executable, "-c", "from runbook.cli import main; main()", "run"]
        output = ["--output", str(self._directory / "outputs"), "--only", books]
        done = subprocess.run(
            [*command, "-f", str(PARAMS), *given, *output],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"notebooks {books} failed:\n{done.stdout}{done.stderr}")
