"""Reading the metrics of a proxy: Prometheus' text exposition format 0.0.4, as every line gives it.

Only the lines of a few counters and gauges are looked at, of some thousands.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

__all__ = ["PORT", "samples"]

PORT = 4191
"""Of the admin server of every proxy."""

_LINE = re.compile(
    r"(?P<name>[a-zA-Z_:][\w:]*)\s*(?:\{(?P<labels>(?:[^\"}]|\"(?:\\.|[^\"\\])*\")*)\})?"
    r"\s*(?P<value>\S+)(?:\s+-?\d+)?\s*(?:#.*)?"
)
_LABEL = re.compile(r"([a-zA-Z_]\w*)\s*=\s*\"((?:\\.|[^\"\\])*)\"")
_ESCAPE = re.compile(r"\\(.)")


def samples(text: str, names: Collection[str]) -> Iterator[tuple[str, dict[str, str], float]]:
    """Give name, labels and value of each sample of some metrics; other lines are left out.

    >>> list(samples('up{job="a"} 1', {"up"}))
    [('up', {'job': 'a'}, 1.0)]
    """
    wanted = tuple(names)
    for line in text.split("\n"):  # not splitlines: labels may hold other ends of lines
        if not line.startswith(wanted):
            continue
        found = _LINE.fullmatch(line)
        if found is None or found["name"] not in names:
            continue
        try:
            value = float(found["value"])
        except ValueError:
            continue
        labels = {name: _unescaped(raw) for name, raw in _LABEL.findall(found["labels"] or "")}
        yield found["name"], labels, value


def _unescaped(raw: str) -> str:
    return _ESCAPE.sub(lambda found: {"n": "\n"}.get(found[1], found[1]), raw)
