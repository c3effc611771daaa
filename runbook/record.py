"""What is kept of a run: executed notebooks, their HTML, ``result.json`` and an index page.

Everything passes the redactor on its way to disk and is written whole or not at all, so a run
that is killed leaves readable files and no secret. Paths of this machine are replaced by names.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import secrets as random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from runbook import page

__all__ = [
    "MEDIA_TYPE",
    "Record",
    "Status",
    "StepRecord",
    "collect",
    "places",
    "read_error",
    "scrubber",
    "write_atomic",
]

MEDIA_TYPE = "application/vnd.linkerd-runbook+json"
"""Outputs of this type carry verdicts, plans and results as data."""

SCHEMA = 1
"""Version of the layout of ``result.json``."""

Status = Literal["running", "ok", "check-failed", "failed", "interrupted", "not-run"]

_PACKAGES = (
    "linkerd-runbook",
    "kubernetes",
    "helm-python-sdk",
    "papermill",
    "jupyterlab",
    "cryptography",
    "pydantic",
)


@dataclass(frozen=True)
class StepRecord:
    """One notebook of a run: what it found, what it changed, how long it took."""

    notebook: str
    title: str
    status: Status = "not-run"
    changed: int = 0
    checks: list[dict[str, Any]] = field(default_factory=list)
    plans: list[dict[str, Any]] = field(default_factory=list)
    timings: list[dict[str, Any]] = field(default_factory=list)
    undo: list[str] = field(default_factory=list)
    error: dict[str, str] | None = None
    started: str = ""
    seconds: float = 0.0

    def count(self, verdict: str) -> int:
        """Count the checks with a verdict: ``pass``, ``warn``, ``fail`` or ``skip``."""
        return sum(1 for check in self.checks if check.get("verdict") == verdict)

    @property
    def planned(self) -> int:
        """Count the changes the step's plans held, applied or not."""
        changes = [change for plan in self.plans for change in plan.get("changes") or ()]
        return sum(1 for change in changes if change.get("action") != "none")


def collect(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """Read what an executed notebook recorded about itself.

    The last ``result`` output wins. A notebook that failed before its end has none; then its
    verdicts, plans and applied changes are put together from the outputs it got to.

    Returns:
        Fields of a :class:`StepRecord`: checks, plans, changed, timings, undo, error.
    """
    found: dict[str, Any] = {"checks": [], "plans": [], "changed": 0, "timings": [], "undo": []}
    result: dict[str, Any] | None = None
    error: dict[str, str] | None = None
    for output in _outputs(notebook):
        if output.get("output_type") == "error":
            error = read_error(output.get("ename", ""), output.get("evalue", ""))
        data = output.get("data", {}).get(MEDIA_TYPE)
        if not isinstance(data, dict):
            continue
        match data.get("type"):
            case "verdicts":
                found["checks"] += data.get("checks") or data.get("outcomes") or []
            case "plan":
                found["plans"].append({k: data.get(k) for k in ("digest", "changes")})
            case "applied":
                found["changed"] += int(data.get("changed", 0))
            case "result":
                result = data
    if result is not None:
        found |= {name: result[name] for name in found if name in result}
    return found | {"error": error}


def read_error(name: str, text: str) -> dict[str, str]:
    r"""Take the text of a :class:`~runbook.errors.RunbookError` apart again.

    >>> read_error("GuardError", "Another cluster answers.\n  fix: Mend cluster_uid.")["fix"]
    'Mend cluster_uid.'
    """
    parts = {"name": name, "what": "", "why": "", "fix": "", "see": ""}
    label = "what"
    for line in text.splitlines():
        start = re.match(r"  (why|fix|see): (.*)", line)
        label, more = (start[1], start[2]) if start else (label, line)
        parts[label] = f"{parts[label]}\n{more}".strip("\n")
    return parts


def scrubber(redact: Callable[[Any], Any], places: Mapping[str, str]) -> Callable[[Any], Any]:
    """Give a function that takes secrets and paths of this machine out of any JSON value.

    Args:
        redact: Removes secrets from a JSON value.
        places: Directories and the names to write instead, such as ``{"/home/pi": "~"}``.
    """
    ordered = sorted((p for p in places if len(p) > 1), key=len, reverse=True)
    if not ordered:
        return redact
    pattern = re.compile(rf"(?:{'|'.join(map(re.escape, ordered))})(?![\w.-])")

    def scrub(value: Any) -> Any:
        if isinstance(value, str):
            return pattern.sub(lambda found: places[found[0]], value)
        if isinstance(value, Mapping):
            return {scrub(key): scrub(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [scrub(item) for item in value]
        return value

    return lambda value: scrub(redact(value))


def write_atomic(path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by its owner's group as usual."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class Record:
    """The directory of one run, kept current while the run goes on.

    Args:
        output: Directory of all runs; a new one is made in it.
        target: ``name``, ``uid``, ``version`` and ``rehearsal`` of the cluster.
        parameters: All parameters of the run.
        steps: The notebooks to come, in order.
        scrub: Takes secrets and local paths out of a JSON value, see :func:`scrubber`.
    """

    def __init__(
        self,
        output: Path,
        *,
        target: Mapping[str, Any],
        parameters: Mapping[str, Any],
        steps: Iterable[StepRecord],
        scrub: Callable[[Any], Any],
        now: datetime | None = None,
    ) -> None:
        self.started = now or datetime.now(UTC)
        self.finished: datetime | None = None
        self.status: Status = "running"
        self.exit_status: int | None = None
        self.target = dict(target)
        self.parameters = dict(parameters)
        self.steps = list(steps)
        self._scrub = scrub
        self._commit = _commit()
        name = re.sub(r"[^A-Za-z0-9.-]+", "-", str(target.get("name", ""))).strip("-.")
        self.id = f"{self.started:%Y%m%d-%H%M%S}-{name or 'cluster'}-{random.token_hex(2)}"
        self.directory = output / self.id
        self.directory.mkdir(parents=True)

    def update(self, notebook: str, **changes: Any) -> StepRecord:
        """Change the record of one notebook and give the new one."""
        at = next(i for i, step in enumerate(self.steps) if step.notebook == notebook)
        self.steps[at] = replace(self.steps[at], **changes)
        return self.steps[at]

    def keep(self, notebook: str, executed: Mapping[str, Any]) -> None:
        """Write an executed notebook and its HTML page."""
        clean = self._scrub(executed)
        write_atomic(self.directory / f"{notebook}.ipynb", json.dumps(clean, indent=1) + "\n")
        html = page.notebook(clean, run=self.result(), name=notebook)
        write_atomic(self.directory / f"{notebook}.html", html)

    def save(self) -> None:
        """Write ``result.json`` and the index page as things stand."""
        result = self.result()
        write_atomic(self.directory / "result.json", json.dumps(result, indent=2) + "\n")
        write_atomic(self.directory / "index.html", page.index(result))

    def finish(self, status: Status, exit_status: int) -> None:
        """Write the end of the run."""
        self.finished = datetime.now(UTC)
        self.status, self.exit_status = status, exit_status
        self.save()

    def result(self) -> dict[str, Any]:
        """Give the run as JSON data without secrets or local paths: ``result.json``."""
        end = self.finished or datetime.now(UTC)
        steps = []
        for step in self.steps:
            kept = (self.directory / f"{step.notebook}.ipynb").exists()
            files = {"notebook": f"{step.notebook}.ipynb", "html": f"{step.notebook}.html"}
            counted = {"planned": step.planned, "files": files if kept else {}}
            steps.append(asdict(step) | counted)
        result = {
            "schema": SCHEMA,
            "run": self.id,
            "status": self.status,
            "exit_status": self.exit_status,
            "mode": self.parameters.get("mode", ""),
            "line": self.parameters.get("line", ""),
            "cluster": self.target,
            "parameters": self.parameters,
            "started": self.started.isoformat(timespec="seconds"),
            "finished": self.finished.isoformat(timespec="seconds") if self.finished else None,
            "seconds": round((end - self.started).total_seconds(), 1),
            "changed": sum(step.changed for step in self.steps),
            "checks": {
                verdict: sum(step.count(verdict) for step in self.steps)
                for verdict in ("pass", "warn", "fail", "skip")
            },
            "commit": self._commit,
            "versions": _versions(),
            "steps": steps,
        }
        clean: dict[str, Any] = self._scrub(result)
        return clean


def _outputs(notebook: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """Give the outputs of every code cell in order."""
    for cell in notebook.get("cells", ()):
        if cell.get("cell_type") == "code":
            yield from cell.get("outputs", ())


def _versions() -> dict[str, str]:
    """Give the versions that decide what a run does."""
    versions = {"python": platform.python_version(), "machine": platform.machine()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def _commit() -> dict[str, Any] | None:
    """Give the git commit of the clone the package runs from, or None outside a clone."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"id": head, "changed": bool(changed)}


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.strip()


def places() -> dict[str, str]:
    """Give the directories of this machine that must not show in a record, and their names."""
    root = str(Path(__file__).resolve().parent.parent)
    found = {root: ".", sys.prefix: "<python>", sys.base_prefix: "<python>", str(Path.home()): "~"}
    if rehearsal := os.environ.get("RUNBOOK_REHEARSAL_DIR"):
        found[rehearsal.rstrip("/")] = "<rehearsal>"
    return found
