"""The list of all runs: ``index.json``, kept so that lists are instant, and its page.

Both are derived from the records and may be deleted at any time. An entry is read again when its
``result.json`` has another time or size than when it was read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from typing import Any

from runbook.archive.files import locked, write_atomic
from runbook.archive.runs import Summary, current, is_name, summarise

__all__ = ["load", "refresh"]

INDEX = "index.json"
PAGE = "index.html"
SCHEMA = 1
_CENTURY = 3.2e9  # seconds

_KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("run", "status", "mode", "line", "cluster", "uid", "kubernetes"), str),
    **dict.fromkeys(("started", "finished", "problem", "text"), str),
    **{"rehearsal": bool, "changed": int, "attempts": int, "seconds": float, "checks": dict},
    **{"exit_status": (int, type(None)), "steps": list},
}
"""What an entry must be made of. The file is a cache: whatever is odd in it is made again."""


def load(output: Path) -> list[Summary]:
    """Give all runs, newest first; the index is brought up to date on the way if it can be.

    Raises:
        OSError: The directory could not be read.
    """
    before = _stored(output / INDEX)
    entries = {}
    for found in os.scandir(output):
        if is_name(found.name) and found.is_dir(follow_symlinks=False):
            state = _state(Path(found.path) / "result.json")
            entry = before.get(found.name)
            if entry is None or state is None or entry["state"] != state:
                summary = asdict(summarise(Path(found.path)))
                entry = {"state": state, "summary": summary}
            entries[found.name] = entry
    if entries != before:
        with suppress(OSError):  # of an archive one may only read, the index stays as it was
            write_atomic(output / INDEX, json.dumps({"schema": SCHEMA, "runs": entries}))
    runs = (Summary(**entry["summary"]) for entry in entries.values())
    ordered = sorted(runs, key=attrgetter("run"), reverse=True)
    return [current(summary, output / summary.run) for summary in ordered]


def refresh(output: Path) -> None:
    """Bring the index and its page up to date.

    Raises:
        OSError: The directory could not be read or written.
    """
    from runbook import page  # noqa: PLC0415 - lists need no page

    with locked(output):  # so that of two runs, the later writes what both have done
        runs = load(output)
        rows = [asdict(run) | {"readable": run.readable, "text": _sought(run)} for run in runs]
        write_atomic(output / PAGE, page.archive(rows))


def _stored(path: Path) -> dict[str, Any]:
    """Read the entries of the index, leaving out whatever is no entry."""
    try:
        kept = json.loads(path.read_bytes())
        if kept["schema"] != SCHEMA:
            return {}
        return {name: entry for name, entry in kept["runs"].items() if _sound(name, entry)}
    except (OSError, LookupError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _sound(name: str, entry: Any) -> bool:
    if not isinstance(entry, Mapping) or not isinstance(summary := entry.get("summary"), dict):
        return False
    return (
        "state" in entry
        and summary.get("run") == name
        and summary.keys() == _KINDS.keys()
        and all(isinstance(summary[key], kind) for key, kind in _KINDS.items())
        and 0 <= summary["seconds"] < _CENTURY
        and all(type(count) is int for count in summary["checks"].values())
        and all(_is_step(step) for step in summary["steps"])
    )


def _is_step(step: Any) -> bool:
    return isinstance(step, dict) and all(
        isinstance(step.get(key), str) for key in ("notebook", "status")
    )


def _state(path: Path) -> list[int] | None:
    """Give what changes when a file is written: its time and its size."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_mtime_ns, found.st_size]


def _sought(run: Summary) -> str:
    """Give what the page searches: a check is found by its words, whatever their case."""
    return " ".join(run.text.lower().split())
