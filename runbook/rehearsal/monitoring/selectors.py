"""Plain selectors of PromQL: ``name{label="value"}`` and ``name{...}[5m]``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from runbook.rehearsal.monitoring.relabel import anchored

__all__ = ["Selector", "parse", "seconds"]

_SELECTOR = re.compile(
    r"\s*(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)?\s*"
    r"(?:\{(?P<matchers>(?:[^{}\"'`]|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`)*)\})?\s*"
    r"(?:\[\s*(?P<range>[0-9a-z]+)\s*\])?\s*"
)
_MATCHER = re.compile(
    r"\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"
    r"(?:\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'|`([^`]*)`)\s*(?:,|$)"
)
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_DURATION = re.compile(r"(?:\d+(?:ms|[smhdwy]))+")
_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_KEYWORDS = frozenset({"inf", "nan"})


@dataclass(frozen=True)
class Selector:
    """What a selector asks for.

    Args:
        matchers: Label, operator and value; the name of the metric is ``__name__``.
        range: Seconds of a range selector; 0 for an instant one.
    """

    matchers: tuple[tuple[str, str, str], ...]
    range: float = 0.0

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels fit; a label that is missing counts as empty."""
        return all(_fits(labels.get(name, ""), how, value) for name, how, value in self.matchers)


def parse(text: str) -> Selector:
    """Read a selector.

    Raises:
        ValueError: It is something else.
    """
    found = _SELECTOR.fullmatch(text)
    if found is None or (found["name"] or "").lower() in _KEYWORDS:
        raise ValueError("not a plain selector")
    matchers = [("__name__", "=", found["name"])] if found["name"] else []
    inner, place = found["matchers"] or "", 0
    while place < len(inner) and inner[place:].strip():
        one = _MATCHER.match(inner, place)
        if one is None:
            raise ValueError("not a plain selector")
        value = one[5] if one[5] is not None else _unescaped(one[3] if one[4] is None else one[4])
        if "~" in one[2]:
            anchored(value)
        matchers.append((one[1], one[2], value))
        place = one.end()
    if not matchers:
        raise ValueError("a selector without any matcher")
    return Selector(tuple(matchers), seconds(found["range"]) if found["range"] else 0.0)


def seconds(text: str) -> float:
    """Read a duration.

    Raises:
        ValueError: It is none.

    >>> seconds("1m30s"), seconds("500ms")
    (90.0, 0.5)
    """
    if not _DURATION.fullmatch(text):
        raise ValueError(f"not a valid duration string: {text!r}")
    return float(sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(text)))


def _fits(own: str, how: str, value: str) -> bool:
    if how in ("=", "!="):
        return (own == value) == (how == "=")
    return (anchored(value).fullmatch(own) is not None) == (how == "=~")


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), text)
