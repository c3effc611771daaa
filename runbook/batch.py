"""One attempt at a run: notebook after notebook, stop at the first that fails."""

# ruff: noqa: PLC0415 - loading the package must not load the notebook machinery
from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from runbook.errors import InfrastructureError, exit_status
from runbook.executed import collect, read_error
from runbook.imports import quick_jsonschema
from runbook.notebooks import Notebook, source
from runbook.record import Record, Status, StepRecord

if TYPE_CHECKING:
    from runbook.engine import Execution
    from runbook.kernel import Kernels
    from runbook.params import Params

__all__ = ["Batch", "Progress"]

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells count it: 128 + SIGINT."""


class Progress(Protocol):
    """What the runner tells its caller while it works."""

    def started(self, step: StepRecord) -> None:
        """A notebook begins."""

    def cell(self, step: StepRecord, cell: str) -> None:
        """A cell of it begins: its id, such as ``issuer-plan``."""

    def proved(self, step: StepRecord, status: Status) -> None:
        """A notebook that was done in an earlier attempt was looked at again."""

    def ended(self, step: StepRecord) -> None:
        """A notebook has ended, was interrupted, or will not be run."""


@dataclass(frozen=True)
class _Executed:
    """What came of executing a notebook.

    Attributes:
        status: Of the step.
        code: Exit status it stands for.
        found: Fields of the step's record.
        log: What the kernel wrote beside its outputs.
    """

    status: Status
    code: int
    found: dict[str, Any]
    log: str


@dataclass(frozen=True)
class Batch:
    """One attempt at the notebooks of a record.

    Args:
        params: All parameters of the run.
        given: Names and values of those that were given; only these are injected.
        notebooks: What to run, in order.
        record: Kept current; steps that are ``ok`` in it were done in an earlier attempt.
        kernels: To run them on.
        progress: Told of each step.
        deadline: On the monotonic clock, when everything must end.
    """

    params: Params
    given: Mapping[str, Any]
    notebooks: tuple[Notebook, ...]
    record: Record
    kernels: Kernels
    progress: Progress
    deadline: float | None = None

    def work(self) -> None:
        """Run what is to be run, and write the end of the record."""
        status: Status = "ok"
        code = 0
        try:
            for book in self.notebooks:
                reached = code == 0
                if reached:
                    status, code = self._step(book)
                if reached or self.record.step(book.name).status == "not-run":
                    self.progress.ended(self.record.step(book.name))
        except KeyboardInterrupt:  # between two cells of ours; within one, the step records it
            status, code = "interrupted", INTERRUPTED
            for step in [step for step in self.record.steps if step.status == "running"]:
                self.progress.ended(self.record.update(step.notebook, status="interrupted"))
        self.record.finish(status, code)

    def _step(self, book: Notebook) -> tuple[Status, int]:
        """Prove or run one notebook; give its status and exit status."""
        if self.record.step(book.name).status == "ok":
            status = self._prove(book)
            if status in ("ok", "interrupted"):
                return status, INTERRUPTED if status == "interrupted" else 0
        return self._run(book)

    def _prove(self, book: Notebook) -> Status:
        """Look, without changing anything, whether a step that was done still is."""
        step = self.record.step(book.name)
        self.progress.started(step)
        mode = "verify" if self.params.mode == "apply" else self.params.mode
        done = self._execute(book, step, {"mode": mode})
        proof = {
            "attempt": self.record.attempt,
            "status": done.status,
            "seconds": done.found["seconds"],
            "files": self.record.files(book.name),
        }
        self.record.update(book.name, proofs=[*step.proofs, proof])
        self.record.keep(book.name, done.log)
        self.progress.proved(step, done.status)
        return done.status

    def _run(self, book: Notebook) -> tuple[Status, int]:
        """Run one notebook; give its status and exit status."""
        self.record.put(self.record.step(book.name).again())
        step = self.record.update(
            book.name,
            status="running",
            attempt=self.record.attempt,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            files=self.record.files(book.name),
        )
        self.record.save()
        self.progress.started(step)
        done = self._execute(book, step, {})
        changed = step.changed + done.found.pop("changed")
        undo = [*done.found.pop("undo"), *step.undo]
        self.record.update(book.name, status=done.status, changed=changed, undo=undo, **done.found)
        # Its result is saved as the next begins, or at the end.
        self.record.keep(book.name, done.log)
        return done.status, done.code

    def _execute(self, book: Notebook, step: StepRecord, other: Mapping[str, Any]) -> _Executed:
        """Execute a notebook on the next kernel.

        Args:
            book: Which notebook.
            step: Its record, for the progress.
            other: Parameters that differ from the run's.
        """
        from runbook.engine import Execution

        values = {name: getattr(self.params, name) for name in self.given}
        notebook = _prepare(book, values | {"cluster_uid": self.record.target["uid"]} | dict(other))
        execution = Execution(
            notebook,
            write=lambda node: self.record.draft(book.name, node),
            on_cell=lambda cell: self.progress.cell(step, cell),
            progress_bar=False,
        )
        clock = time.monotonic()
        error, log = self.kernels.run(self._on_kernel(execution))
        found = collect(notebook)
        found["error"] = error or found["error"]
        found["seconds"] = round(time.monotonic() - clock, 2)
        if execution.interrupted:
            return _Executed("interrupted", INTERRUPTED, found | {"error": None}, log)
        code = exit_status(found["error"]["name"]) if found["error"] else 0
        status: Status = {0: "ok", 1: "check-failed"}.get(code, "failed")  # type: ignore[assignment]
        return _Executed(status, code, found, log)

    async def _on_kernel(self, execution: Execution) -> tuple[dict[str, str] | None, str]:
        """Execute; give the error if it was the kernel's, and what the kernel wrote."""
        from runbook.engine import execute

        execution.notebook_start()
        log = ""
        try:
            kernel = await self.kernels.take()
            try:
                await execute(execution, kernel, redact=lambda value: value, deadline=self.deadline)
            finally:
                log = kernel.log()
                self.kernels.release(kernel)
        except InfrastructureError as error:
            return read_error(type(error).__name__, str(error)), log
        finally:
            execution.notebook_complete()
        return None, log


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
