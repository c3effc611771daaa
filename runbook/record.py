"""What is kept of a run: executed notebooks, their HTML, ``result.json`` and an index page.

Everything passes the scrubber on its way to disk and is written whole or not at all, so a run
that is killed leaves readable files and no secret. A run that was stopped can be gone on with:
each attempt writes files of its own, and those of earlier attempts are never touched again.
"""

from __future__ import annotations

import json
import re
import secrets as random
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from runbook import holder, page, provenance
from runbook.archive import index, manifest
from runbook.archive.files import write_atomic
from runbook.errors import UsageError
from runbook.executed import collect, detach
from runbook.ledger import Ledger

if TYPE_CHECKING:
    from runbook.scrub import Scrub

__all__ = ["RESULT", "Record", "Status", "StepRecord", "load_steps", "read_result"]

RESULT = "result.json"

SCHEMA = 2
"""Version of the layout of ``result.json``."""

Status = Literal["running", "ok", "check-failed", "failed", "interrupted", "not-run"]

_VERDICTS = ("pass", "warn", "fail", "skip")


@dataclass(frozen=True)
class StepRecord:
    """One notebook of a run: what it found, what it changed, how long it took.

    Attributes:
        attempt: Number of the attempt it was last run in, 0 before it was run.
        changed: Objects changed, over all attempts.
        files: ``notebook`` and ``html``, relative to the directory of the run; also ``figures``
            and ``data``, lists, of a notebook that made some.
        proofs: Later attempts that found it still done: ``attempt``, ``status``, ``files``.
        earlier: Attempts that did not end well: ``attempt``, ``status``, ``changed``, ``error``,
            ``files``.
    """

    notebook: str
    title: str
    status: Status = "not-run"
    attempt: int = 0
    changed: int = 0
    checks: list[dict[str, Any]] = field(default_factory=list)
    plans: list[dict[str, Any]] = field(default_factory=list)
    timings: list[dict[str, Any]] = field(default_factory=list)
    undo: list[str] = field(default_factory=list)
    measures: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, str] | None = None
    started: str = ""
    seconds: float = 0.0
    files: dict[str, Any] = field(default_factory=dict)
    proofs: list[dict[str, Any]] = field(default_factory=list)
    earlier: list[dict[str, Any]] = field(default_factory=list)

    def count(self, verdict: str) -> int:
        """Count the checks with a verdict: ``pass``, ``warn``, ``fail`` or ``skip``."""
        return sum(1 for check in self.checks if check.get("verdict") == verdict)

    @property
    def planned(self) -> int:
        """Count the changes the step's plans held, applied or not."""
        changes = [change for plan in self.plans for change in plan.get("changes") or ()]
        return sum(1 for change in changes if change.get("action") != "none")

    def again(self) -> StepRecord:
        """Give the record of the step as it begins once more: this attempt becomes an earlier one.

        What earlier attempts changed, and how to undo it, stays with the step.
        """
        if not self.attempt:
            return self
        kept = ("attempt", "status", "changed", "error", "files")
        before = {name: getattr(self, name) for name in kept}
        return StepRecord(
            self.notebook,
            self.title,
            changed=self.changed,
            undo=self.undo,
            proofs=self.proofs,
            earlier=[*self.earlier, before],
        )


class Record:
    """The directory of one run, kept current while the run goes on.

    Args:
        directory: Of the run; there already, see :meth:`begin` and :meth:`resume`.
        target: ``name``, ``uid``, ``version`` and ``rehearsal`` of the cluster.
        parameters: All parameters of the run.
        steps: The notebooks, in order.
        scrub: Takes secrets and local paths out of a JSON value.
        attempts: Those before this one.
    """

    def __init__(
        self,
        directory: Path,
        *,
        target: Mapping[str, Any],
        parameters: Mapping[str, Any],
        steps: Iterable[StepRecord],
        scrub: Scrub,
        attempts: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        self.directory = directory
        self.target = dict(target)
        self.parameters = dict(parameters)
        self.steps = list(steps)
        self.status: Status = "running"
        self.exit_status: int | None = None
        self._scrub = scrub
        self._before = [dict(attempt) for attempt in attempts]
        self._began = datetime.now(UTC)
        self._clock = time.monotonic()
        self._ended: datetime | None = None
        self._facts = scrub(
            {
                "mode": self.parameters.get("mode", ""),
                "line": self.parameters.get("line", ""),
                "cluster": self.target,
                "parameters": self.parameters,
            }
        )
        self._origin = {"commit": provenance.commit(), "versions": provenance.versions()}
        self._drafted: dict[str, dict[str, Any]] = {}
        self._clean = {step.notebook: self._scrubbed(step) for step in self.steps}

    @classmethod
    def begin(
        cls, output: Path, *, target: Mapping[str, Any], given: Mapping[str, Any], **facts: Any
    ) -> Record:
        """Begin the record of a new run.

        Args:
            output: Directory of all runs; a new one is made in it.
            target: See the class.
            given: The parameters that were given, for a later attempt.
            facts: Further arguments of the class.
        """
        name = re.sub(r"[^A-Za-z0-9.-]+", "-", str(target.get("name", ""))).strip("-.")
        run = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{name or 'cluster'}-{random.token_hex(2)}"
        directory = output / run
        directory.mkdir(parents=True)
        record = cls(directory, target=target, **facts)
        record._open(given)
        return record

    @classmethod
    def resume(
        cls, directory: Path, *, given: Mapping[str, Any], attempts: Any, **facts: Any
    ) -> Record:
        """Begin a further attempt at a run.

        Args:
            directory: Of the run.
            given: The parameters that were given.
            attempts: Those before.
            facts: Further arguments of the class.
        """
        record = cls(directory, attempts=attempts, **facts)
        manifest.reopen(directory)
        record._folder.mkdir(exist_ok=True)
        for left in directory.rglob(".*"):  # half of a file that was being written as it was killed
            if left.is_file():
                left.unlink()
        record._open(given)
        return record

    def _open(self, given: Mapping[str, Any]) -> None:
        names = [step.notebook for step in self.steps]
        clean = self._scrub(dict(given))
        Ledger(self.id, self.attempt, clean, names, holder.mine()).write(self.directory)
        self.save()

    @property
    def id(self) -> str:
        """Name of the run."""
        return self.directory.name

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1."""
        return len(self._before) + 1

    def step(self, notebook: str) -> StepRecord:
        """Give the record of one notebook."""
        return next(step for step in self.steps if step.notebook == notebook)

    def update(self, notebook: str, **changes: Any) -> StepRecord:
        """Change the record of one notebook and give the new one."""
        return self.put(replace(self.step(notebook), **changes))

    def put(self, step: StepRecord) -> StepRecord:
        """Take a notebook's record in the place of the one there was.

        Returns:
            The same without secrets and local paths: what is told of it elsewhere, such as in the
            terminal, has passed the redactor as well.
        """
        at = next(i for i, other in enumerate(self.steps) if other.notebook == step.notebook)
        self._clean[step.notebook] = clean = self._scrubbed(step)
        named = {name: clean[name] for name in StepRecord.__dataclass_fields__}
        self.steps[at] = StepRecord(**named | {"notebook": step.notebook})
        return self.steps[at]

    def files(self, notebook: str) -> dict[str, Any]:
        """Give the names of what this attempt keeps of any notebook, relative to the run."""
        path = self._folder.relative_to(self.directory) / notebook
        return {"notebook": f"{path}.ipynb", "html": f"{path}.html"}

    def draft(self, notebook: str, executed: Mapping[str, Any]) -> None:
        """Write an executed notebook as it is so far."""
        self._drafted[notebook] = self._scrub(executed)
        self._write_notebook(notebook, self._drafted[notebook])

    def keep(self, notebook: str, log: str = "") -> None:
        """Write what else is kept of a notebook that was drafted.

        That is its figures, its data, its HTML page, and what its kernel wrote beside it. Call it
        when the step's record is complete: the page shows what that says.
        """
        if clean := self._drafted.pop(notebook, None):
            kept, files = detach(clean, notebook[:2])
            if files:
                for path, content in files.items():
                    (self._folder / path).parent.mkdir(exist_ok=True)
                    write_atomic(self._folder / path, content)
                self._write_notebook(notebook, kept)
                self._list(notebook, files)
            html = page.notebook(kept, run=self.result(), name=notebook)
            write_atomic(self.directory / self.files(notebook)["html"], html)
        if log.strip():
            folder = self._folder / "log"
            folder.mkdir(exist_ok=True)
            write_atomic(folder / f"{notebook}.log", self._scrub(log))

    def _write_notebook(self, notebook: str, executed: Mapping[str, Any]) -> None:
        text = json.dumps(executed, indent=1, ensure_ascii=False)
        write_atomic(self.directory / self.files(notebook)["notebook"], text + "\n")

    def _list(self, notebook: str, paths: Iterable[str]) -> None:
        """List files that this attempt keeps of a notebook with its step, or with the proof."""
        folder = self._folder.relative_to(self.directory)
        listed: dict[str, list[str]] = {}
        for path in paths:
            listed.setdefault(path.partition("/")[0], []).append((folder / path).as_posix())
        step = self.step(notebook)
        if step.attempt == self.attempt:
            self.put(replace(step, files=step.files | listed))
        elif step.proofs:
            last = step.proofs[-1]
            proof = last | {"files": last["files"] | listed}
            self.put(replace(step, proofs=[*step.proofs[:-1], proof]))

    def save(self) -> None:
        """Write ``result.json`` and the page of the run as things stand."""
        result = self.result()
        text = json.dumps(result, indent=1, ensure_ascii=False)
        write_atomic(self.directory / RESULT, text + "\n")
        write_atomic(self.directory / "index.html", page.index(result))

    def finish(self, status: Status, exit_status: int) -> None:
        """Write the end of the run, seal its files and bring the index of all runs up to date."""
        self._ended = datetime.now(UTC)
        self.status, self.exit_status = status, exit_status
        self.save()
        manifest.seal(self.directory)
        index.refresh(self.directory.parent)

    def result(self) -> dict[str, Any]:
        """Give the run as JSON data without secrets or local paths: ``result.json``."""
        attempts = [*self._before, self._this_attempt()]
        return {
            "schema": SCHEMA,
            "run": self.id,
            "status": self.status,
            "exit_status": self.exit_status,
            **self._facts,
            "started": attempts[0]["started"],
            "finished": attempts[-1]["finished"],
            "seconds": round(sum(attempt["seconds"] for attempt in attempts), 1),
            "changed": sum(step.changed for step in self.steps),
            "checks": {
                verdict: sum(step.count(verdict) for step in self.steps) for verdict in _VERDICTS
            },
            **self._origin,
            "attempts": attempts,
            "steps": [self._clean[step.notebook] for step in self.steps],
        }

    def _this_attempt(self) -> dict[str, Any]:
        return {
            "number": self.attempt,
            "status": self.status,
            "started": self._began.isoformat(timespec="seconds"),
            "finished": self._ended.isoformat(timespec="seconds") if self._ended else None,
            "seconds": round(time.monotonic() - self._clock, 1),
        }

    @property
    def _folder(self) -> Path:
        """Where this attempt keeps its files."""
        return self.directory / f"attempt-{self.attempt}" if self._before else self.directory

    def _scrubbed(self, step: StepRecord) -> dict[str, Any]:
        clean: dict[str, Any] = self._scrub(asdict(step) | {"planned": step.planned})
        return clean


def read_result(directory: Path) -> dict[str, Any]:
    """Read the ``result.json`` of a run.

    Raises:
        UsageError: There is none, it cannot be read, or an older runbook wrote it.
    """
    try:
        found: dict[str, Any] = json.loads((directory / RESULT).read_text(encoding="utf-8"))
        schema = found["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{directory.name} cannot be read as a record",
            why=f"its {RESULT}: {type(error).__name__}",
            fix="`runbook records verify` says what is wrong with the archive",
        ) from None
    if schema != SCHEMA:
        raise UsageError(
            f"the record {directory.name} has another layout",
            why=f"its schema is {schema}, that of this runbook is {SCHEMA}",
            fix="run the notebooks again: what is done stays done",
        )
    return found


def load_steps(directory: Path) -> list[StepRecord]:
    """Read the steps of a run that is to be gone on with.

    A notebook that was at work when the run was killed could not say what it had done; what its
    last saved state holds is read from there.

    Raises:
        UsageError: The record cannot be read.
    """
    names = StepRecord.__dataclass_fields__
    steps = []
    for found in read_result(directory)["steps"]:
        step = StepRecord(**{name: found[name] for name in names})
        if step.status == "running":
            step = _killed(directory, step)
        steps.append(step)
    return steps


def _killed(directory: Path, step: StepRecord) -> StepRecord:
    draft = directory / step.files.get("notebook", "")
    try:
        found = collect(json.loads(draft.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return replace(step, status="interrupted", files={})
    changed = step.changed + found["changed"]
    only = {"notebook": step.files["notebook"]}  # it has no page
    return replace(step, status="interrupted", changed=changed, undo=found["undo"], files=only)
