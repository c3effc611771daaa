"""The end of a step: verdicts, what changed, how long it took, the way back, where to go on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from runbook import show
from runbook.changes import Plan
from runbook.checks import Outcome, Verdicts
from runbook.errors import UsageError
from runbook.notebooks import NOTEBOOKS, Notebook

__all__ = ["Data", "Measure", "Result", "Timing"]

SCHEMA = 1
"""Version of the layout of a result."""

_SHOWN = 4  # measures: a table of many is the notebook's own


@dataclass(frozen=True)
class Timing:
    """How long a part of the step took."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Measure:
    """A number that was measured, for the record and for later comparisons.

    Attributes:
        name: What it is, the same in every run: ``p99 overhead, node2 · 200 RPS``.
        value: The number itself.
        unit: Its unit, such as ``ms``; another unit makes it another measure.
        low: Low end of its interval, if it has one.
        high: High end.
        n: How many samples it rests on.

    Raises:
        UsageError: A number is not finite, or the value is not within its interval.

    >>> str(Measure("p99 overhead", 2.1, "ms", 1.9, 2.3))
    '2.1 ms (1.9 to 2.3)'
    """

    name: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    n: int | None = None

    def __post_init__(self) -> None:
        low, high = self.low, self.high
        if not self.name.strip():
            raise self._wrong("it has no name")
        if not all(math.isfinite(end) for end in (self.value, low, high) if end is not None):
            raise self._wrong("its numbers are not all finite")
        if (low is None) != (high is None):
            raise self._wrong("an interval has two ends")
        if low is not None and high is not None and not low <= self.value <= high:
            raise self._wrong("the value is not within its interval")
        if self.n is not None and self.n < 0:
            raise self._wrong("the number of samples is negative")

    def data(self) -> dict[str, Any]:
        """Give the JSON form; numpy's numbers become Python's."""
        ends = {"value": self.value, "low": self.low, "high": self.high}
        numbers = {name: None if end is None else float(end) for name, end in ends.items()}
        n = None if self.n is None else int(self.n)
        return {"name": self.name, "unit": self.unit, **numbers, "n": n}

    def __str__(self) -> str:
        interval = "" if self.low is None else f" ({self.low:.4g} to {self.high:.4g})"
        return f"{self.value:.4g} {self.unit}".rstrip() + interval

    def _wrong(self, why: str) -> UsageError:
        return UsageError(
            f"{self.name.strip() or 'a number'} is no measure: "
            f"value {self.value}, low {self.low}, high {self.high}, n {self.n}",
            why=why,
            fix="leave out what was not measured, and give no interval where there is none",
        )


@dataclass(frozen=True)
class Data:
    """A file's content that a notebook hands to the record: it becomes ``data/NN-name`` there.

    Attributes:
        name: Of the file.
        text: What is in it.
        media: Its media type.
    """

    name: str
    text: str
    media: str = "application/json"

    def __str__(self) -> str:
        size = len(self.text.encode("utf-8", "replace"))
        told = f"{size / 1000:.0f} kB" if size >= 1000 else f"{size} bytes"
        return f"{self.name}, {told}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        data = {"type": "data", "name": self.name, "media": self.media, "text": self.text}
        return {"text/plain": str(self), show.MEDIA_TYPE: data}


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
        measures: Numbers it measured.
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
    measures: Sequence[Measure] = ()
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
            "measures": [measure.data() for measure in self.measures],
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
        rows += self._measured()
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

    def _measured(self) -> list[tuple[show.Cell | str, ...]]:
        """Give the first measures, and say how many more there are."""
        told = [f"{measure.name}: {measure}" for measure in self.measures[:_SHOWN]]
        if (more := len(self.measures) - _SHOWN) > 0:
            told.append(f"and {more} more, all of them in the record")
        return [("measured", "\n".join(told))] if told else []

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
