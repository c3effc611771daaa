"""What is known of a run at a glance, and which run a user means."""

from __future__ import annotations

import json
import operator
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any

from runbook import holder
from runbook.errors import UsageError

__all__ = ["Summary", "alive", "current", "find", "is_name", "summarise"]

SILENCE = 60.0
"""Seconds without a sign of life after which a run on another machine counts as dead."""

_NAME = re.compile(r"\d{8}-\d{6}-[A-Za-z0-9.-]+-[0-9a-f]{4,}")
_BROKEN = (OSError, LookupError, ValueError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Summary:
    """A run at a glance.

    Attributes:
        run: Its name, which is that of its directory.
        status: As in ``result.json``; ``killed`` when it never ended and nobody is at it;
            ``unreadable`` when ``result.json`` is no result.
        exit_status: Of the command; None while it runs.
        mode: ``plan``, ``apply`` or ``verify``.
        line: Release line.
        cluster: Name of the cluster.
        uid: Its UID.
        kubernetes: Its version.
        rehearsal: Whether it was a rehearsal.
        started: When, in UTC.
        finished: When it ended, in UTC; empty while it runs.
        seconds: How long it took.
        changed: Objects changed in the cluster.
        checks: How many checks came to each verdict.
        attempts: How often it was begun: more than once when it was resumed.
        steps: ``notebook`` and ``status`` of each step.
        problem: The first error or failed check in one line.
        text: What a search looks through, a line for each place: notebook, what of it, text,
            with tabs between.
    """

    run: str
    status: str
    exit_status: int | None = None
    mode: str = ""
    line: str = ""
    cluster: str = ""
    uid: str = ""
    kubernetes: str = ""
    rehearsal: bool = False
    started: str = ""
    finished: str = ""
    seconds: float = 0.0
    changed: int = 0
    checks: Mapping[str, int] = field(default_factory=dict)
    attempts: int = 1
    steps: Sequence[Mapping[str, str]] = ()
    problem: str = ""
    text: str = ""

    @property
    def readable(self) -> bool:
        """Whether its ``result.json`` could be read."""
        return self.status != "unreadable"


def is_name(name: str) -> bool:
    """Tell whether a directory is named as that of a run; lab copies and others are not.

    >>> is_name("20261124-201358-pi-cluster-3f2a"), is_name("20261124-201358-lab")
    (True, False)
    """
    return _NAME.fullmatch(name) is not None


def summarise(directory: Path) -> Summary:
    """Read the summary of a run; whatever is in its ``result.json``, there is one."""
    try:
        result = json.loads((directory / "result.json").read_bytes())
        return _summary(directory.name, result)
    except _BROKEN as error:
        day, clock = directory.name[:8], directory.name[9:15]
        return Summary(
            directory.name,
            "unreadable",
            started=f"{day[:4]}-{day[4:6]}-{day[6:]}T{clock[:2]}:{clock[2:4]}:{clock[4:]}+00:00",
            problem=f"result.json cannot be read: {_said(error)}",
        )


def current(summary: Summary, directory: Path) -> Summary:
    """Say ``killed`` of a run that reads as running although nobody is at it."""
    if summary.status == "running" and not alive(directory):
        return replace(summary, status="killed")
    return summary


def alive(directory: Path) -> bool:
    """Tell whether somebody is at work on a run that has not ended.

    On this machine the process table knows. Of a run on another machine, its signs of life do:
    ``run.json`` is touched every few seconds.
    """
    try:
        path = directory / "run.json"
        mark = str(json.loads(path.read_bytes())["holder"])
        silent = time.time() - path.stat().st_mtime
    except _BROKEN:
        return False
    return not holder.is_gone(mark) and (holder.is_ours(mark) or silent < SILENCE)


def find(runs: Sequence[Summary], name: str) -> Summary:
    """Find the run a user means.

    Args:
        runs: All runs, newest first.
        name: The name of a run, its beginning or its end, when only one run has it; a path to
            its directory; or ``last`` for the newest.

    Raises:
        UsageError: There is none, or more than one.
    """
    if not runs:
        raise UsageError("there are no records yet", fix="`runbook run` makes one")
    if name == "last":
        return runs[0]
    wanted = Path(name).name
    exact = [summary for summary in runs if summary.run == wanted]
    fitting = exact or [s for s in runs if s.run.startswith(wanted) or s.run.endswith(wanted)]
    if wanted and len(fitting) == 1:
        return fitting[0]
    if wanted and fitting:
        names = ", ".join(summary.run for summary in fitting[:5])
        raise UsageError(
            f"{name!r} may be any of {len(fitting)} runs", fix=f"give more of its name: {names}"
        )
    near = get_close_matches(wanted, [summary.run for summary in runs], n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UsageError(f"there is no run {name!r}", fix=f"{hint}`runbook records list` shows all")


def _summary(run: str, result: Mapping[str, Any]) -> Summary:
    """Take from a result what a summary holds.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: It is no result.
    """
    code, seconds = result["exit_status"], float(result["seconds"])
    if not isfinite(seconds) or not isinstance(code, int | None):
        raise ValueError("no number")
    steps = [{name: str(step[name]) for name in ("notebook", "status")} for step in result["steps"]]
    cluster = result["cluster"]
    return Summary(
        run=run,
        status=str(result["status"]),
        exit_status=code,
        mode=str(result["mode"]),
        line=str(result["line"]),
        cluster=str(cluster["name"]),
        uid=str(cluster.get("uid", "")),
        kubernetes=str(cluster.get("version", "")),
        rehearsal=bool(cluster.get("rehearsal")),
        started=str(result["started"]),
        finished=str(result["finished"] or ""),
        seconds=seconds,
        changed=operator.index(result["changed"]),
        checks={name: operator.index(count) for name, count in result["checks"].items()},
        attempts=len(result.get("attempts") or [None]),
        steps=steps,
        problem=_problem(result["steps"]),
        text="\n".join("\t".join(map(_flat, place)) for place in _places(run, result)),
    )


def _problem(steps: Sequence[Mapping[str, Any]]) -> str:
    """Say in one line what went wrong first."""
    for step in steps:
        if error := step.get("error"):
            return _flat(f"{step['notebook']}: {error['what']}")
    for step in steps:
        for check in step["checks"]:
            if check["verdict"] == "fail":
                return _flat(f"{step['notebook']}: {check['title']}: {check['seen']}")
    return ""


def _places(run: str, result: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Give what a search looks through: notebook, what of it, text."""
    facts = [run, result["mode"], result["line"], *map(str, result["cluster"].values())]
    yield "", "run", " ".join([*facts, result["status"], str(result["started"])])
    for name, value in result["parameters"].items():
        if value not in ("", {}, None):
            text = value if isinstance(value, str) else json.dumps(value)
            yield "", "parameter", f"{name} = {text}"
    for step in result["steps"]:
        name = step["notebook"]
        yield name, "step", f"{step['title']} {step['status']}"
        for check in step["checks"]:
            parts = (check[part] for part in ("verdict", "id", "seen", "why"))
            yield name, check["title"], " ".join(filter(None, parts))
        for one in step.get("measures") or ():
            value = "" if one.get("value") is None else f"{one['value']:.4g}"
            yield name, "measure", f"{one['name']} {value} {one['unit']}"
        if error := step.get("error"):
            yield name, "error", " ".join(filter(None, map(str, error.values())))


def _flat(text: Any) -> str:
    return " ".join(str(text).split())


def _said(error: Exception) -> str:
    """Name an error without the path it may quote."""
    return getattr(error, "strerror", None) or type(error).__name__
