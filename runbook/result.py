"""The end of a step: verdicts, what changed, how long it took, the way back, where to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from runbook import show
from runbook.changes import Plan
from runbook.checks import Outcome, Verdicts
from runbook.notebooks import NOTEBOOKS, Notebook

__all__ = ["Result", "Timing"]

SCHEMA = 1
"""Version of the layout of a result."""


@dataclass(frozen=True)
class Timing:
    """How long a part of the step took."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Result:
    """What a step did.

    Attributes:
        notebook: Which one.
        params: Its parameters, secrets replaced.
        cluster: Name, UID, version and whether it is a rehearsal.
        started: When the step was opened.
        finished: When it was finished.
        failed: Class name of the error that ended a part of it, empty if all went well.
        outcomes: Of every check.
        plans: That were made.
        changed: How many objects were changed.
        timings: Of each part.
        undo: Commands that take the changes back, last change first.
        uid_to_keep: UID of the cluster, if the parameters should name it from now on.
        badge: ``REHEARSAL`` when the cluster is one.
    """

    notebook: Notebook
    params: Mapping[str, Any]
    cluster: Mapping[str, Any]
    started: datetime
    finished: datetime
    failed: str
    outcomes: Sequence[Outcome]
    plans: Sequence[Plan]
    changed: int
    timings: Sequence[Timing]
    undo: Sequence[str]
    uid_to_keep: str = ""
    badge: str = ""

    @property
    def status(self) -> str:
        """``ok``, ``check-failed`` or ``failed``."""
        bad = any(outcome.verdict == "fail" for outcome in self.outcomes)
        if self.failed == "CheckError" or (bad and not self.failed):
            return "check-failed"
        return "failed" if self.failed else "ok"

    @property
    def next(self) -> str:
        """Name of the notebook that follows, empty after the last."""
        names = [notebook.name for notebook in NOTEBOOKS]
        after = names[names.index(self.notebook.name) + 1 :] if self.notebook.name in names else []
        return after[0] if after else ""

    def data(self) -> dict[str, Any]:
        """Give the JSON form, which the batch runner reads."""
        return {
            "type": "result",
            "schema": SCHEMA,
            "notebook": self.notebook.name,
            "title": self.notebook.title,
            "mode": self.params.get("mode", ""),
            "line": self.params.get("line", ""),
            "cluster": dict(self.cluster),
            "parameters": dict(self.params),
            "started": self.started.isoformat(timespec="seconds"),
            "finished": self.finished.isoformat(timespec="seconds"),
            "status": self.status,
            "plans": [
                {"digest": plan.digest, "changes": [_short(c.data()) for c in plan.changes]}
                for plan in self.plans
            ],
            "changed": self.changed,
            "checks": [asdict(outcome) for outcome in self.outcomes],
            "timings": [asdict(timing) for timing in self.timings],
            "undo": list(self.undo),
            "next": self.next,
        }

    def table(self) -> show.Table:
        """Give the summary as a table."""
        seconds = sum(t.seconds for t in self.timings)  # of work, without a reader's pauses
        parts = ", ".join(f"{t.name} {show.duration(t.seconds)}" for t in self.timings)
        rows: list[tuple[show.Cell | str, ...]] = [
            ("status", show.Cell(self.status, tone="pass" if self.status == "ok" else "fail")),
            ("changed", self._changed()),
            ("checks", Verdicts(self.outcomes).summary()),
            ("time", f"{show.duration(seconds)} ({parts})" if parts else show.duration(seconds)),
        ]
        if self.undo:
            rows.append(("undo", show.Cell("\n".join(self.undo), code=True)))
        if self.uid_to_keep:
            line = f'cluster_uid: "{self.uid_to_keep}"'
            rows.append(("keep", "add this line to your parameter file:"))
            rows.append(("", show.Cell(line, code=True)))
            rows.append(("", "from then on every other cluster is refused"))
        rows.append(("next", self._next()))
        return show.Table(
            title=f"Result of {self.notebook.name}", columns=("", ""), rows=rows, badge=self.badge
        )

    def __str__(self) -> str:
        return self.table().text()

    def _changed(self) -> str:
        if self.changed:
            return f"{self.changed} object{'s' if self.changed > 1 else ''}"
        planned = sum(len(plan.pending) for plan in self.plans)
        if planned:
            return f"nothing; the plan held {planned} change{'s' if planned > 1 else ''}"
        return (
            "nothing to do: everything was as it should be" if self.plans else "nothing: it reads"
        )

    def _next(self) -> show.Cell | str:
        if self.status == "ok" and self.next:
            return show.Cell(self.next, link=f"{self.next}.ipynb")
        if self.status == "ok":
            return "this was the last step"
        failed = [o for o in self.outcomes if o.verdict == "fail"]
        read = [text for text in dict.fromkeys(o.see for o in failed) if text]
        advice = "mend what failed above, then run this notebook again: what is done stays done"
        return "\n".join([advice, *(f"read {text}" for text in read)])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        table = self.table()
        return show.bundle(table.html(), table.text(), self.data())


def _short(change: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a summary needs of a change; the plan itself keeps the rest."""
    return {key: change[key] for key in ("action", "kind", "namespace", "name")}
