"""Finding runs by what they are and by the words in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from runbook.archive.runs import Summary
from runbook.errors import UsageError

__all__ = ["Filter", "Match", "Place", "search", "since"]


@dataclass(frozen=True)
class Filter:
    """What a run must be; empty fields do not matter.

    Attributes:
        cluster: Name of its cluster.
        status: Its status.
        mode: Its mode.
        line: Its release line.
        since: It started then or later: an ISO date or time in UTC, see :func:`since`.
    """

    cluster: str = ""
    status: str = ""
    mode: str = ""
    line: str = ""
    since: str = ""

    def admits(self, run: Summary) -> bool:
        """Tell whether a run is so."""
        wanted = ((getattr(self, name), getattr(run, name)) for name in _EXACT)
        return all(not want or want == has for want, has in wanted) and run.started >= self.since


_EXACT = ("cluster", "status", "mode", "line")


@dataclass(frozen=True)
class Place:
    """Where in a run words were found.

    Attributes:
        notebook: Name of the notebook; empty when it is about the run as a whole.
        what: Title of the check, or ``run``, ``parameter``, ``step``, ``error``.
        text: The text around.
    """

    notebook: str
    what: str
    text: str


@dataclass(frozen=True)
class Match:
    """A run that was found, and where.

    Attributes:
        run: The run.
        lines: Those lines of its text where words are, first those with most of them.
    """

    run: Summary
    lines: Sequence[str]

    def first(self, count: int) -> list[Place]:
        """Give so many of the places; a list of many runs shows only some."""
        return [Place(*f"{line}\t\t".split("\t")[:3]) for line in self.lines[:count]]

    @property
    def places(self) -> list[Place]:
        """All of the places."""
        return self.first(len(self.lines))


def search(
    runs: Iterable[Summary], words: Sequence[str], only: Filter = Filter()
) -> Iterator[Match]:
    """Give the runs in which every word occurs somewhere, in the order they came.

    Args:
        runs: The runs to look through.
        words: Any of them may be a part of a word; upper and lower case are the same.
        only: What the runs must be besides.
    """
    sought = [word.lower() for word in words]
    for run in runs:
        if only.admits(run):
            text = f"{run.text}\n\tstatus\t{run.status}".lower()  # killed is not in the result
            if all(word in text for word in sought):
                yield Match(run, _lines(run.text, sought))


def since(text: str, now: datetime | None = None) -> str:
    """Read a point in time: a date, such as ``2026-11-24``, or days back, such as ``7d``.

    >>> since("2d", datetime(2026, 11, 24, 12, 0, tzinfo=UTC))
    '2026-11-22T12:00:00+00:00'

    Raises:
        UsageError: It is neither.
    """
    if days := re.fullmatch(r"(\d{1,4})d", text):
        then = (now or datetime.now(UTC)) - timedelta(days=int(days[1]))
        return then.isoformat(timespec="seconds")
    try:
        then = datetime.fromisoformat(text)
        then = then if then.tzinfo else then.replace(tzinfo=UTC)
        return then.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is no point in time", fix="give a date, 2026-11-24, or days back, 7d"
        ) from None


def _lines(text: str, words: Sequence[str]) -> list[str]:
    """Give the lines with any of the words, those with most of them first."""
    by_count: list[list[str]] = [[] for _ in range(len(words) + 1)]
    for line, lower in zip(text.split("\n"), text.lower().split("\n"), strict=True):
        count = 0
        for word in words:
            count += word in lower
        by_count[count].append(line)
    return [line for lines in by_count[:0:-1] for line in lines]
