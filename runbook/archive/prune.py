"""Removing old records, and saying so in the chain.

The order of the steps matters, since the process may be killed between any two:

1. The chain says ``pruned``. Before that the record is whole and sealed; were it removed first, a
   kill here would leave a gap that nothing explains, which is what tampering looks like.
2. The directory is renamed into the hidden ``.pruned``, in one step. Before that the record is
   still whole, and verifying it says that pruning was cut short. Were its files deleted in place,
   a kill would leave half a record under its name.
3. Its files are deleted. What a kill leaves of them lies in ``.pruned``, which nobody takes for a
   record, and goes with the next pruning.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runbook.archive import chain
from runbook.archive.files import locked
from runbook.archive.manifest import MANIFEST
from runbook.archive.runs import Summary, alive, is_name
from runbook.errors import UsageError

__all__ = ["choose", "remove"]

_GOING = ".pruned"


def choose(
    runs: Sequence[Summary],
    *,
    keep: int | None = None,
    older_than: int | None = None,
    now: datetime | None = None,
) -> list[Summary]:
    """Give the runs that may go, oldest first; never one somebody is at.

    Args:
        runs: All runs, newest first.
        keep: Leave this many of the newest.
        older_than: Leave those begun in the last so many days.
        now: The present, in UTC.

    Raises:
        UsageError: Neither is given, or one is negative.
    """
    if keep is None and older_than is None:
        raise UsageError("what may go is not said", fix="give --keep N, --older-than DAYS or both")
    if (keep or 0) < 0 or (older_than or 0) < 0:
        raise UsageError("a number of runs or days cannot be negative")
    before = (now or datetime.now(UTC)) - timedelta(days=older_than or 0)
    limit = before.strftime("%Y%m%d-%H%M%S")
    old = [run for run in runs[keep or 0 :] if older_than is None or run.run < limit]
    return [run for run in reversed(old) if run.status != "running"]


def remove(output: Path, names: Iterable[str]) -> list[str]:
    """Remove records, one after the other.

    Args:
        output: Directory of all runs.
        names: Which ones. A directory that is no record, or at which somebody is at work by now,
            is left alone.

    Returns:
        The names of those removed.

    Raises:
        OSError: One could not be removed.
    """
    removed = []
    for name in names:
        with locked(output):
            _empty(output)
            if is_name(name) and _may_go(output / name):
                chain.add(output, "pruned", name)
                (output / _GOING).mkdir(exist_ok=True)
                (output / name).rename(output / _GOING / name)
                _empty(output)
                removed.append(name)
    return removed


def _empty(output: Path) -> None:
    """Delete what was renamed, also what a killed pruning left of it."""
    if (output / _GOING).is_dir():
        shutil.rmtree(output / _GOING)


def _may_go(directory: Path) -> bool:
    """Tell whether this is a record, and nobody's work."""
    plain = directory.is_dir() and not directory.is_symlink()
    record = any((directory / name).is_file() for name in ("result.json", "run.json"))
    ended = (directory / MANIFEST).is_file()  # then its process may still live, at another run
    return plain and record and (ended or not alive(directory))
