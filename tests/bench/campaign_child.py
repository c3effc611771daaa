"""Runs campaigns in processes that are killed at a chosen moment; started by test_conduct.

Each line of standard input names a moment; a process of its own goes on with the campaign until
then, and its exit status is printed. The imports are paid once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench_place import Place, connect

from runbook.bench import kubelet
from runbook.bench.conduct import Conductor
from runbook.bench.design import Design
from runbook.bench.targets import find_targets
from runbook.cluster import Cluster


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def part(obj: dict[str, Any]) -> str:
    return str(obj["metadata"].get("labels", {}).get("linkerd-runbook/part", ""))


def between_runs(cluster: type[Cluster]) -> None:
    """Die when the first load's Job has been deleted."""
    honest = cluster.delete

    def delete(*args: Any) -> None:
        honest(*args)
        die()

    cluster.delete = delete  # type: ignore


def in_a_run(cluster: type[Cluster]) -> None:
    """Die while the second load's generator runs."""
    honest, count = cluster.wait, [0]

    def wait(self: Cluster, *args: Any, until: Callable[[Any], bool], **options: Any) -> Any:
        count[0] += 1
        if count[0] == 2:
            honest(self, *args, until=lambda job: bool(job["status"].get("active")), **options)
            die()
        return honest(self, *args, until=until, **options)

    cluster.wait = wait  # type: ignore[method-assign]


def writing(what: str, *, before: bool) -> Callable[[type[Cluster]], None]:
    """Die before a part of the campaign is written, or when it is and nobody knows."""

    def patch(cluster: type[Cluster]) -> None:
        honest = cluster.apply

        def apply(self: Cluster, obj: Any, **options: Any) -> Any:
            if part(obj) == what and before:
                die()
            made = honest(self, obj, **options)
            if part(obj) == what:
                die()
            return made

        cluster.apply = apply  # type: ignore[method-assign]

    return patch


MOMENTS: dict[str, Callable[[type[Cluster]], None]] = {
    "between runs": between_runs,
    "in a run": in_a_run,
    "before a block is written": writing("block", before=True),
    "when a block is written": writing("block", before=False),
    "before the end is written": writing("end", before=True),
    "never": lambda cluster: None,
}


def attempt(kubeconfig: Path, design: Design, moment: str) -> None:
    kubelet.fresh = lambda *_, **__: ""
    cluster, params = connect(kubeconfig)
    place = Place(None, cluster, params, find_targets(cluster, params))  # type: ignore[arg-type]
    campaign = place.store.unfinished(design)
    if campaign is None:
        campaign = place.campaign(design)
        place.store.begin(campaign)
    MOMENTS[moment](Cluster)
    Conductor(cluster, params, place.targets, place.store).run(campaign)


def main() -> None:
    kubeconfig, design = Path(sys.argv[1]), Design.model_validate_json(sys.argv[2])
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                attempt(kubeconfig, design, line.strip())
            except BaseException as error:
                print(f"{error!r}", file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
