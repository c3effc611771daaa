"""What `runbook records` writes: runs, matches, findings, comparisons, as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from runbook.cli.render import counted, mark
from runbook.cli.tables import WIDTH, clip, clock, excerpt, middle, plain, status, table

if TYPE_CHECKING:
    from runbook.archive.compare import Comparison, Difference, Measure, Times
    from runbook.archive.runs import Summary
    from runbook.archive.search import Match
    from runbook.archive.verify import Finding
    from runbook.redraw import Redrawn

__all__ = ["comparison", "findings", "matches", "redrawn", "run_report", "runs_table"]

_NAME = 36
_NONE = "-"
_PLACES = 3
_DRAWING = ("linkerd-runbook", "matplotlib", "pillow", "numpy", "scipy")
"""Packages that decide what a figure looks like."""

_NOTABLE = 0.1
"""Times that differ by less than this part, or by less than a second, are not worth a line."""


def runs_table(runs: Sequence[Summary]) -> Iterator[str]:
    """Give a line for each run, and a second for what went wrong in it."""
    head = ("RUN", "STATUS", "MODE", "LINE", "PASS", "WARN", "FAIL", "CHANGED", "TIME")
    lines = table(head, map(_run_row, runs), right="PASS WARN FAIL CHANGED TIME")
    yield lines[0]
    for run, line in zip(runs, lines[1:], strict=True):
        yield line
        if run.problem:
            yield click.style(f"  {clip(run.problem, WIDTH - 2)}", dim=True)


def _run_row(run: Summary) -> tuple[str, ...]:
    counts = (str(run.checks.get(verdict) or "") for verdict in ("pass", "warn", "fail"))
    name, changed = middle(plain(run.run), _NAME), str(run.changed or "")
    mode, line, took = clip(run.mode, 6), clip(run.line, 11), clock(run.seconds)
    return name, status(run.status), mode, line, *counts, changed, took


def matches(found: Iterable[Match], words: Sequence[str]) -> Iterator[str]:
    """Give each run that was found and the first places in it."""
    for match in found:
        run = match.run
        facts = " ".join(filter(None, (run.mode, run.line, "on", run.cluster)))
        title = click.style(middle(plain(run.run), _NAME), bold=True)
        yield f"{title}  {status(clip(run.status, 12))}  {clip(facts, WIDTH - _NAME - 16)}"
        for place in match.first(_PLACES):
            where = clip(": ".join(filter(None, (place.notebook, place.what))), 60)
            rest = WIDTH - len(where) - 4
            yield f"  {excerpt(where, words, 60)}  {excerpt(place.text, words, rest)}"
        if len(match.lines) > _PLACES:
            yield click.style(f"  and in {len(match.lines) - _PLACES} more places", dim=True)


def findings(found: Iterable[Finding]) -> Iterator[str]:
    """Give each finding, and what can be done about it."""
    for finding in found:
        where = "/".join(filter(None, (finding.run, finding.file)))
        verdict = "fail" if finding.severity == "fail" else "skip"
        word = mark(verdict).replace("skip", "note")
        yield f"{word} {plain(where)}: {plain(finding.problem)}"
        if finding.fix:
            yield f"       {plain(finding.fix)}"


def run_report(run: Summary, result: Mapping[str, Any]) -> Iterator[str]:
    """Give what a run did: facts, steps, and what needs attention."""
    yield f"{click.style(plain(run.run), bold=True)}  {status(run.status)}"
    if not run.readable:
        yield plain(run.problem)
        return
    rehearsal = ", REHEARSAL" if run.rehearsal else ""
    yield plain(
        f"{run.mode} of {run.line} on {run.cluster}, Kubernetes {run.kubernetes}{rehearsal}"
    )
    again = f", in {run.attempts} attempts" if run.attempts > 1 else ""
    yield plain(f"began {run.started}, took {clock(run.seconds)}{again}, {run.changed} changed")
    yield counted(lambda verdict: run.checks.get(verdict, 0))
    yield ""
    rows = [
        (
            plain(step["notebook"]),
            status(step["status"]),
            counted(lambda verdict, step=step: _count(step, verdict)),  # type: ignore[misc]
            str(step["changed"] or ""),
            clock(step["seconds"]) if step["seconds"] else "",
        )
        for step in result["steps"]
    ]
    head = ("NOTEBOOK", "STATUS", "CHECKS", "CHANGED", "TIME")
    yield from table(head, rows, right="CHANGED TIME")
    yield from _measured(result["steps"])
    for step in result["steps"]:
        yield from _attention(step)


def _measured(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give what was measured, a line each."""
    rows = [
        (
            clip(f"{step['notebook'][:2]} {one['name']}", 56),
            clip(_interval((one["value"], one.get("low"), one.get("high")), one["unit"]), 32),
            str(one.get("n") or ""),
        )
        for step in steps
        for one in step.get("measures") or ()
    ]
    return ["", *table(("MEASURE", "VALUE", "SAMPLES"), rows, right="SAMPLES")] if rows else []


def _count(step: Mapping[str, Any], verdict: str) -> int:
    return sum(check["verdict"] == verdict for check in step["checks"])


def _attention(step: Mapping[str, Any]) -> Iterator[str]:
    """Give what warned, failed or broke in a step."""
    for check in step["checks"]:
        if check["verdict"] in ("warn", "fail"):
            yield ""
            yield f"{mark(check['verdict'])} {plain(step['notebook'])}: {plain(check['title'])}"
            for part in ("expected", "seen", "why", "fix", "see"):
                if check.get(part):
                    yield f"       {part}: {plain(check[part])}"
    if error := step.get("error"):
        yield ""
        yield click.style(f"{plain(step['notebook'])}: {plain(error['what'])}", fg="red")
        for part in ("why", "fix", "see"):
            if error.get(part):
                yield f"  {part}: {plain(error[part])}"


def redrawn(
    found: Sequence[Redrawn], then: Mapping[str, str], now: Mapping[str, str]
) -> Iterator[str]:
    """Give a line for each figure, and what may be why some differ.

    Args:
        found: The figures.
        then: Versions of packages the record was made with.
        now: Those they were drawn with again.
    """
    said = {
        "same": "the same, byte for byte",
        "different": "differs from what its data gives now",
        "missing": "is not in the record, though its data gives it",
        "left": "is in the record, though its data does not give it",
    }
    for one in found:
        word = mark("pass" if one.verdict == "same" else "fail")
        yield f"{word} {plain(one.file)}: {said[one.verdict]}"
    other = [
        f"{name} {then[name]}, now {now[name]}"
        for name in _DRAWING
        if name in then and then[name] != now[name]
    ]
    if other and any(one.verdict != "same" for one in found):
        yield f"       drawn at first with {plain('; '.join(other))}"


def comparison(found: Comparison) -> Iterator[str]:
    """Give what differs between two runs, a section for each kind of thing."""
    yield f"before  {plain(found.before)}"
    yield f"after   {plain(found.after)}"
    times = [time for time in found.times if _notable(time)]
    sections = (
        ("Conditions", _differences(found.conditions)),
        ("Steps", _differences(found.steps)),
        ("Checks", _checks(found.checks)),
        ("Times in seconds, where they differ by a tenth or more", _times(times)),
        ("Measures", _measures(found.measures)),
    )
    nothing = True
    for title, lines in sections:
        for number, line in enumerate(lines):
            if number == 0:
                nothing = False
                yield ""
                yield click.style(title, bold=True)
            yield line
    if nothing:
        yield "nothing differs"


def _differences(found: Sequence[Difference]) -> list[str]:
    rows = [
        (
            clip(f"{one.notebook} {one.name}".strip(), 40),
            *(clip(v or _NONE, 28) for v in _pair(one)),
        )
        for one in found
    ]
    return table(("WHAT", "BEFORE", "AFTER"), rows) if rows else []


def _checks(found: Sequence[Difference]) -> list[str]:
    rows = [
        (
            *(mark(verdict).rstrip() if verdict else _NONE for verdict in _pair(one)),
            clip(f"{one.notebook}: {one.name}", 50),
            clip(one.detail, 36),
        )
        for one in found
    ]
    return table(("BEFORE", "AFTER", "CHECK", "SEEN"), rows) if rows else []


def _pair(one: Difference) -> tuple[str, str]:
    return one.before, one.after


def _notable(time: Times) -> bool:
    if time.difference is None:
        return True
    return abs(time.difference) >= max(1.0, _NOTABLE * (time.before or 0.0))


def _times(found: Sequence[Times]) -> list[str]:
    rows = [
        (
            clip(f"{one.notebook} {one.name}".strip(), 60),
            *(_NONE if value is None else f"{value:.1f}" for value in (one.before, one.after)),
            "" if one.difference is None else f"{one.difference:+.1f}",
        )
        for one in found
    ]
    head = ("WHAT", "BEFORE", "AFTER", "DIFFERENCE")
    return table(head, rows, right="BEFORE AFTER DIFFERENCE") if rows else []


def _measures(found: Sequence[Measure]) -> list[str]:
    said = {
        "apart": "differs: the intervals do not overlap",
        "within": "may be noise: the intervals overlap",
        "unknown": "cannot be told: an interval is missing",
    }
    lines = []
    for one in found:
        lines.append(plain(f"{one.notebook} {one.name}: {said[one.verdict]}"))
        for when, interval in (("before", one.before), ("after ", one.after)):
            lines.append(f"  {when} {_interval(interval, one.unit)}")
    return lines


def _interval(interval: tuple[float | None, float | None, float | None], unit: str) -> str:
    value, low, high = interval
    if value is None:
        return _NONE
    between = "" if low is None or high is None else f" ({low:g} to {high:g})"
    return plain(f"{value:g} {unit}{between}")
