"""What an executed notebook says of itself: verdicts, plans, changes, measures, its error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from runbook.show import MEDIA_TYPE

__all__ = ["UNFINISHED", "collect", "read_error"]

UNFINISHED = "UnfinishedError"
"""Name of the error of a notebook that ended without its result, though no cell failed."""

_LISTS = ("checks", "plans", "timings", "undo", "measures")


def collect(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """Read what an executed notebook recorded about itself.

    The last ``result`` output wins. A notebook that failed before its end has none; then its
    verdicts, plans and applied changes are put together from the outputs it got to.

    Success means that the declared checks ran and passed. So a notebook that came to its end
    without an error, but without a result, without a check or with a failed one, has an error too.

    Returns:
        Fields of a step's record: checks, plans, changed, timings, undo, measures, error.
    """
    found: dict[str, Any] = {name: [] for name in _LISTS} | {"changed": 0}
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
    return found | {"error": error or _unproved(result, found["checks"])}


def _unproved(
    result: Mapping[str, Any] | None, checks: Iterable[Mapping[str, Any]]
) -> dict[str, str] | None:
    """Give the error of a notebook that ran through without having shown what it should."""
    if result is None:
        what = "the notebook ended without its result"
        why = "its last cell did not run, or is not there"
        return read_error(UNFINISHED, f"{what}\n  why: {why}\n  fix: run it again")
    failed = [str(check.get("title", "")) for check in checks if check.get("verdict") == "fail"]
    if failed:
        count = f"{len(failed)} check{'s' if len(failed) > 1 else ''} failed"
        return read_error("CheckError", f"{count}: {'; '.join(failed)}")
    if not checks:
        return read_error(UNFINISHED, "the notebook made no check\n  fix: run all of its cells")
    return None


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


def _outputs(notebook: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """Give the outputs of every code cell in order."""
    for cell in notebook.get("cells", ()):
        if cell.get("cell_type") == "code":
            yield from cell.get("outputs", ())
