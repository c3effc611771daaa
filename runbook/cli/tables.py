"""Tables and excerpts for a terminal of 100 columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import click

__all__ = ["WIDTH", "clip", "clock", "excerpt", "middle", "plain", "status", "table"]

WIDTH = 100

_COLOURS = {"ok": "green", "running": "yellow", "interrupted": "yellow", "not-run": "white"}
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def plain(text: object) -> str:
    """Give text on one line that cannot steer the terminal: it may come from a cluster."""
    flat = " ".join(str(text).split())
    if flat.isprintable():
        return flat
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in flat)


def clip(text: object, width: int = WIDTH) -> str:
    """Give text no longer than this, with an ellipsis where the rest was."""
    flat = plain(text)
    return flat if len(flat) <= width else f"{flat[: width - 1]}…"


def middle(text: str, width: int) -> str:
    """Shorten in the middle: names begin with a time and end with an id that finds them."""
    return text if len(text) <= width else f"{text[: width - 9]}…{text[-8:]}"


def excerpt(text: str, words: Sequence[str], width: int) -> str:
    """Give the part of a text around the first of some words, with the words in bold."""
    flat = plain(text)
    pattern = re.compile("|".join(map(re.escape, words)) or "(?!)", re.IGNORECASE)
    found = pattern.search(flat)
    if len(flat) > width:
        start = max(0, min(found.start() - width // 3 if found else 0, len(flat) - width + 1))
        cut = clip(flat[start:], width - bool(start))
        flat = f"…{cut}" if start else cut
    return pattern.sub(lambda one: click.style(one[0], bold=True), flat)


def status(text: str) -> str:
    """Give a status in its colour, as words."""
    return click.style(plain(text).replace("-", " "), fg=_COLOURS.get(text, "red"))


def clock(seconds: float) -> str:
    """Give a length of time as clocks do.

    >>> clock(7.4), clock(125), clock(7260)
    ('0:07', '2:05', '2:01:00')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: str = "") -> list[str]:
    """Give the lines of a table.

    Args:
        head: Titles of the columns.
        rows: Cells, plain or styled.
        right: Titles, separated by blanks, of the columns that are flush right.
    """
    cells = [[click.style(title, dim=True) for title in head], *(list(row) for row in rows)]
    widths = [max(_width(row[at]) for row in cells) for at in range(len(head))]
    flush = [title in right.split() for title in head]
    lines = []
    for row in cells:
        padded = []
        for cell, width, end in zip(row, widths, flush, strict=True):
            blanks = " " * (width - _width(cell))
            padded.append(f"{blanks}{cell}" if end else f"{cell}{blanks}")
        lines.append(" ".join(padded).rstrip())
    return lines


def _width(cell: str) -> int:
    return len(_ESCAPE.sub("", cell))
