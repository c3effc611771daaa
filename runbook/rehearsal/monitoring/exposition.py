"""Prometheus' text format: what ``/metrics`` says, taken apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Sample", "parse"]

_LINE = re.compile(
    r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(?P<labels>.*)\})?\s+"
    r"(?P<value>[^\s{}]+)(?:\s+(?P<stamp>-?\d+))?\s*"
)
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPES = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}
_ESCAPE = re.compile(r'\\[n"\\]')


@dataclass(frozen=True)
class Sample:
    """One line.

    Args:
        labels: Its labels, ``__name__`` among them.
        value: Its value.
        stamp: Seconds since 1970, when the line says so.
    """

    labels: dict[str, str] = field(hash=False)
    value: float
    stamp: float | None = None


def parse(text: str) -> Iterator[Sample]:
    """Read every sample.

    Raises:
        ValueError: A line is none.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise ValueError(f"line {number} is no sample: {line[:60]!r}")
        labels = {"__name__": found["name"], **_labels(found["labels"] or "", number)}
        stamp = int(found["stamp"]) / 1000 if found["stamp"] else None
        yield Sample(labels, float(found["value"]), stamp)


def _labels(text: str, number: int) -> dict[str, str]:
    result = {}
    place = 0
    while place < len(text) and text[place:].strip():
        found = _LABEL.match(text, place)
        if found is None:
            raise ValueError(f"line {number} has no labels at {text[place : place + 40]!r}")
        result[found[1]] = _ESCAPE.sub(lambda escape: _ESCAPES[escape[0]], found[2])
        place = found.end()
    return result
