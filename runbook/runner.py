"""Run notebooks in batch: real kernels, one after the other, stop at the first that fails.

The notebook files are only read. Each is executed as a copy in memory by the engine, with the
given parameters injected, and what came of it is kept by :mod:`runbook.record`.
"""

# ruff: noqa: PLC0415 - `runbook list` must not load the notebook machinery
from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook import ledger, releases
from runbook.batch import Batch, Progress
from runbook.errors import GuardError
from runbook.exclusive import sole_run
from runbook.kernel import Kernels, warm_up
from runbook.notebooks import Notebook
from runbook.record import Record, StepRecord, load_steps, read_result

if TYPE_CHECKING:
    from runbook.cluster import Cluster
    from runbook.params import Params

__all__ = ["Runner"]


@dataclass(frozen=True)
class Runner:
    """A batch: these notebooks, with these parameters, on this cluster.

    Args:
        params: All parameters, validated.
        given: Those that were set by file or command line; only these are injected.
        notebooks: What to run, in order.
        output: Directory of all runs.
        progress: Told of each step.
        minutes: After which the run ends whatever it is at; 0 for as long as it takes.
    """

    params: Params
    given: Mapping[str, Any]
    notebooks: tuple[Notebook, ...]
    output: Path
    progress: Progress
    minutes: float = 0.0

    def run(self) -> Record:
        """Run the notebooks and keep their record.

        The cluster is connected to and guarded once before the first kernel starts, so the wrong
        cluster, no cluster, or a release line it cannot run end the run with nothing touched.

        Returns:
            The record; its ``exit_status`` is that of the command.

        Raises:
            RunbookError: Nothing could be run at all; there is no record.
        """
        forked = warm_up()
        cluster = self._connect()
        with sole_run(self.output, cluster.uid):
            record = Record.begin(
                self.output,
                steps=[StepRecord(book.name, book.title) for book in self.notebooks],
                **self._facts(cluster),
            )
            return self._work(record, forked)

    def resume(self, directory: Path) -> Record:
        """Go on with a run that was stopped, in the record it has.

        Steps that were done are looked at again, which only reads; one that no longer holds is
        done again. The first that was not done, and all after it, are run as they would have been.

        Args:
            directory: Of the run.

        Raises:
            RunbookError: It cannot be gone on with; nothing was touched.
        """
        forked = warm_up()
        before = read_result(directory)
        cluster = self._connect()
        if cluster.uid != before["cluster"]["uid"]:
            raise GuardError(
                f"the run {directory.name} was on another cluster",
                why=f"its UID is {before['cluster']['uid']}, that of {cluster.name} {cluster.uid}"
                + (
                    "; a rehearsal cluster ends with the run it was started for" * cluster.rehearsal
                ),
                fix="name the cluster of the run, or begin a new one with `runbook run`",
            )
        attempts = [
            attempt | {"status": "interrupted"} if attempt["status"] == "running" else attempt
            for attempt in before["attempts"]
        ]
        steps = load_steps(directory)
        facts = self._facts(cluster) | {"attempts": attempts, "steps": steps}
        with sole_run(self.output, cluster.uid):
            return self._work(Record.resume(directory, **facts), forked)

    def _connect(self) -> Cluster:
        from runbook.cluster import connect

        cluster = connect(self.params)
        if self.params.mode != "verify":
            releases.require(releases.find(self.params.line), cluster.version)
        return cluster

    def _facts(self, cluster: Cluster) -> dict[str, Any]:
        from runbook import scrub

        return {
            "target": {n: getattr(cluster, n) for n in ("name", "uid", "version", "rehearsal")},
            "parameters": self.params.model_dump(mode="json"),
            "given": self.given,
            "scrub": scrub.for_run(self.params, cluster),
        }

    def _work(self, record: Record, forked: bool) -> Record:
        count = sum(1 if step.status != "ok" else 2 for step in record.steps)
        with (
            _quiet(),
            ledger.beating(record.directory),
            Kernels(count, forked=forked, output=self.output) as kernels,
        ):
            Batch(
                params=self.params,
                given=self.given,
                notebooks=self.notebooks,
                record=record,
                kernels=kernels,
                progress=self.progress,
                deadline=time.monotonic() + self.minutes * 60 if self.minutes else None,
            ).work()
        return record


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings and logs of the notebook machinery out of the progress lines."""
    names = ("papermill", "traitlets", "nbclient", "asyncio")
    levels = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
