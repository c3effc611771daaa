"""What `runbook audit` costs on a large cluster: beside `kubectl get pods -A -o json`, in one run.

    .venv/bin/python benchmarks/bench_audit.py [--rounds 5]

An API server of the rehearsal holds 500 namespaces with 1,000 and then 10,000 pods of about 7 kB,
two in three of them meshed, the others outside for every reason there is. Both commands read them
in turns, as processes of their own. Their memory is the high-water mark of the resident set
(VmHWM), read a hundred times a second; ``ru_maxrss`` would be that of this process, which they
began as. Requests are counted by the server. It runs in this process, so wall times hold its work
as well, the same for both. Linux only; kubectl must be on the PATH.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook.rehearsal import Twin
from runbook.rehearsal.apiserver.api import Answer
from runbook.rehearsal.apiserver.requests import Request

NAMESPACES = 500
PODS = 10_000
FEW = 1_000
LINE = "edge-26.6.3"
BARS = {"memory": 0.25, "growth": 1.25, "requests": 150}
"""Peak memory beside kubectl's at most, its growth from few pods to many at most, requests."""


@dataclass(frozen=True)
class Cost:
    """What a command took: seconds, MiB at its largest, requests."""

    wall: float
    peak: float
    requests: int


class Counting(Twin):
    """A rehearsal cluster that counts what it is asked."""

    asked = 0

    async def _answer(self, request: Request) -> Answer:
        self.asked += 1
        return await super()._answer(request)


def fill(twin: Twin, pods: int) -> None:
    """Put namespaces and pods straight into the store: they need not be made one by one."""
    store = twin._store
    for number in range(NAMESPACES):
        notes = {"linkerd.io/inject": "enabled"} if number % 3 else {}
        meta = {"name": f"team-{number:03}", "uid": f"n{number}", "annotations": notes}
        labels = {"kubernetes.io/metadata.name": meta["name"]}
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {**meta, "labels": labels}}
        store.put(("", "namespaces"), {**space, "status": {"phase": "Active"}})
    for number in range(pods):
        store.put(("", "pods"), pod(number))


def pod(number: int) -> dict[str, Any]:
    """Make a pod as it comes out of the injector, or one that stayed outside."""
    space = number % NAMESPACES
    meshed = space % 3 != 0 and number % 10 != 0
    deployment = f"app-{number // NAMESPACES // 5}"
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{deployment}-5d", "uid": "1"}
    env = [{"name": f"SETTING_{i}", "value": "a value of some length " * 3} for i in range(40)]
    containers: list[dict[str, Any]] = [{"name": "app", "image": "app:1", "env": env[:20]}]
    spec: dict[str, Any] = {"containers": containers, "nodeName": f"node{number % 5}"}
    notes = {}
    if meshed:
        proxy = {"name": "linkerd-proxy", "image": "proxy:1", "restartPolicy": "Always", "env": env}
        spec["initContainers"] = [{"name": "linkerd-init", "image": "init:1"}, proxy]
        notes = {"linkerd.io/proxy-version": LINE, "linkerd.io/inject": "enabled"}
    elif number % 20 == 0:
        spec["hostNetwork"] = True
    elif number % 10 == 0:
        notes = {"linkerd.io/inject": "disabled"}
    ready = {"ready": True, "restartCount": 0, "state": {"running": {}}, "started": True}
    status = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "app", "image": "app:1", **ready}],
        "initContainerStatuses": [{"name": "linkerd-proxy", **ready}] if meshed else [],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{deployment}-5d-{number:05}",
            "namespace": f"team-{space:03}",
            "uid": f"p{number}",
            "labels": {"app": deployment, "pod-template-hash": "5d"},
            "annotations": notes,
            "ownerReferences": [{**owner, "controller": True}],
        },
        "spec": spec,
        "status": status,
    }


def measure(twin: Counting, command: Sequence[str]) -> Cost:
    """Run a command to its end.

    Raises:
        RuntimeError: It failed in a way that is not its verdict.
    """
    before, began = twin.asked, time.monotonic()
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    pid = os.posix_spawnp(command[0], list(command), dict(os.environ), file_actions=quiet)
    peak, ended, status = 0.0, 0, 0
    while not ended:
        peak = max(peak, high_water(pid))
        time.sleep(0.01)
        ended, status = os.waitpid(pid, os.WNOHANG)
    wall = time.monotonic() - began
    if os.waitstatus_to_exitcode(status) > 1:
        raise RuntimeError(f"{' '.join(command[:3])} ended with {status}")
    return Cost(wall, peak, twin.asked - before)


def high_water(pid: int) -> float:
    """Give the largest resident set of a process so far, in MiB; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def rounds(pods: int, count: int) -> dict[str, list[Cost]]:
    """Measure both commands in turns on a cluster of some size."""
    found: dict[str, list[Cost]] = {"audit": [], "kubectl": []}
    with Counting(content=False, controllers=False, kubelet=False) as twin:
        fill(twin, pods)
        config = str(twin.kubeconfig)
        script = "from runbook.cli import main; main()"
        commands = {
            "audit": [sys.executable, "-c", script, "audit", "-p", f"kubeconfig={config}",
                      "--json", "-"],
            "kubectl": ["kubectl", "--kubeconfig", config, "get", "pods", "-A", "-o", "json"],
        }  # fmt: skip
        for number in range(count + 1):
            for name in sorted(commands, reverse=bool(number % 2)):
                cost = measure(twin, commands[name])
                if number:  # the first round fills caches
                    found[name].append(cost)
    return found


def told(name: str, costs: Sequence[Cost]) -> str:
    """Give a line: medians, with the range over the rounds."""
    walls, peaks = [c.wall for c in costs], [c.peak for c in costs]
    return (
        f"{name:22} {statistics.median(walls):6.2f} s ({min(walls):.2f}-{max(walls):.2f})  "
        f"{statistics.median(peaks):6.0f} MiB ({min(peaks):.0f}-{max(peaks):.0f})  "
        f"{costs[0].requests:4} requests"
    )


def main() -> int:
    """Measure, print, and compare with the bars."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the numbers there as well")
    given = parser.parse_args()
    few, many = rounds(FEW, given.rounds), rounds(PODS, given.rounds)
    size = len(json.dumps(pod(1))) / 1000
    print(f"{NAMESPACES} namespaces, pods of up to {size:.1f} kB, {given.rounds} rounds")
    for pods, found in ((FEW, few), (PODS, many)):
        for name, costs in found.items():
            print(told(f"{pods} pods, {name}", costs))
    peak = {name: statistics.median(c.peak for c in costs) for name, costs in many.items()}
    wall = [a.wall / k.wall for a, k in zip(many["audit"], many["kubectl"], strict=True)]
    growth = peak["audit"] / statistics.median(c.peak for c in few["audit"])
    ratios = {
        "memory": peak["audit"] / peak["kubectl"],
        "growth": growth,
        "requests": many["audit"][0].requests,
    }
    print(
        f"time, audit to kubectl: {statistics.median(wall):.2f} ({min(wall):.2f}-{max(wall):.2f})"
    )
    for name, bar in BARS.items():
        print(f"{name:10} {ratios[name]:6.2f}  at most {bar}")
    if given.json:
        given.json.write_text(json.dumps({"ratios": ratios, "time": wall}) + "\n")
    return int(any(ratios[name] > bar for name, bar in BARS.items()))


if __name__ == "__main__":
    sys.exit(main())
