"""Run notebooks in batch: real kernels, one after the other, stop at the first that fails.

The notebook files are only read. Each is executed as a copy in memory by papermill, with the
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
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from runbook import releases
from runbook.errors import InfrastructureError, exit_status
from runbook.imports import quick_jsonschema
from runbook.kernel import Kernel, pool
from runbook.notebooks import Notebook, source
from runbook.record import Record, Status, StepRecord, collect, places, read_error, scrubber

if TYPE_CHECKING:
    from runbook.cluster import Cluster
    from runbook.params import Params

__all__ = ["Progress", "Runner"]

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells count it: 128 + SIGINT."""


class Progress(Protocol):
    """What the runner tells its caller while it works."""

    def started(self, step: StepRecord) -> None:
        """A notebook begins."""

    def ended(self, step: StepRecord) -> None:
        """A notebook has ended, was interrupted, or will not be run."""


@dataclass(frozen=True)
class Runner:
    """A batch: these notebooks, with these parameters, on this cluster.

    Args:
        params: All parameters, validated.
        given: Those that were set by file or command line; only these are injected.
        notebooks: What to run, in order.
        output: Directory of all runs.
        progress: Told of each step.
    """

    params: Params
    given: Mapping[str, Any]
    notebooks: tuple[Notebook, ...]
    output: Path
    progress: Progress

    def run(self) -> Record:
        """Run the notebooks and keep their record.

        The cluster is connected to and guarded once before the first kernel starts, so the wrong
        cluster, no cluster, or a release line it cannot run end the run with nothing touched.

        Returns:
            The record; its ``exit_status`` is that of the command.

        Raises:
            RunbookError: Nothing could be run at all; there is no record.
        """
        from runbook.cluster import connect

        cluster = connect(self.params)
        if self.params.mode != "verify":
            releases.require(releases.find(self.params.line), cluster.version)
        record = self._open(cluster)
        with _quiet(), pool(len(self.notebooks)) as kernels:
            self._run(record, kernels)
        return record

    def _open(self, cluster: Cluster) -> Record:
        from runbook.linkerd.material import secret_reader
        from runbook.secrets import Redactor, resolve_all

        _, known = resolve_all(self.params.values, read_secret=secret_reader(cluster))
        redactor = Redactor(known)
        target = {name: getattr(cluster, name) for name in ("name", "uid", "version", "rehearsal")}
        record = Record(
            self.output,
            target=target,
            parameters=self.params.model_dump(mode="json"),
            steps=[StepRecord(book.name, book.title) for book in self.notebooks],
            scrub=scrubber(redactor.data, places() | self._local()),
        )
        record.save()
        return record

    def _local(self) -> dict[str, str]:
        """Give the paths of this machine among the parameters, and what to write instead."""
        named = {name: getattr(self.params, name) for name in ("kubeconfig", "chart_source")}
        return {path: f"<{name}>" for name, path in named.items() if Path(path).is_absolute()}

    def _run(self, record: Record, kernels: Iterator[Kernel]) -> None:
        status: Status = "ok"
        code = 0
        try:
            for book in self.notebooks:
                if code == 0:
                    status, code = self._step(book, record, next(kernels))
                    record.save()
                self.progress.ended(next(s for s in record.steps if s.notebook == book.name))
        except KeyboardInterrupt:  # between two cells of ours; within one, the step records it
            status, code = "interrupted", INTERRUPTED
            for step in [step for step in record.steps if step.status == "running"]:
                self.progress.ended(record.update(step.notebook, status="interrupted"))
        record.finish(status, code)

    def _step(self, book: Notebook, record: Record, kernel: Kernel) -> tuple[Status, int]:
        """Run one notebook; give its status and exit status."""
        started = datetime.now(UTC)
        clock = time.monotonic()
        began = {"started": started.isoformat(timespec="seconds")}
        self.progress.started(record.update(book.name, status="running", **began))
        executed = _prepare(book, self._inject(record))
        found: dict[str, Any] = {}
        status: Status = "ok"
        code = 0
        try:
            kernel.execute(executed)
        except KeyboardInterrupt:
            status, code = "interrupted", INTERRUPTED
            found["error"] = None
        except InfrastructureError as error:
            status, code = "failed", error.status
            found["error"] = read_error(type(error).__name__, f"{book.name}: {error}")
        found = collect(executed) | found
        if code == 0 and found["error"]:
            code = exit_status(found["error"]["name"])
            status = "check-failed" if code == 1 else "failed"
        seconds = round(time.monotonic() - clock, 2)
        record.update(book.name, status=status, seconds=seconds, **found)
        record.keep(book.name, executed)
        return status, code

    def _inject(self, record: Record) -> dict[str, Any]:
        """Give the parameters to inject: those given, and the UID that was guarded."""
        values = {name: getattr(self.params, name) for name in self.given}
        return values | {"cluster_uid": record.target["uid"]}


def _prepare(book: Notebook, values: dict[str, Any]) -> Any:
    """Read a notebook into memory and inject parameters; nothing is executed yet."""
    with quick_jsonschema():
        from papermill.execute import prepare_notebook_metadata
        from papermill.iorw import load_notebook_node
        from papermill.parameterize import parameterize_notebook

    path = source(book)
    notebook = load_notebook_node(str(path))
    notebook = parameterize_notebook(notebook, values, kernel_name="python3", language="python")
    return prepare_notebook_metadata(notebook, f"notebooks/{path.name}", path.name)


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
