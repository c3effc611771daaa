"""Why a selector gives nothing.

An empty answer of Prometheus has many reasons and looks the same for all of them. They are asked
about one after the other, from the server as a whole down to single labels.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runbook.errors import StepError
from runbook.prometheus.answers import Target

if TYPE_CHECKING:
    from runbook.prometheus.server import Prometheus

__all__ = ["explain"]

_SELECTOR = re.compile(r"\s*(?P<name>[a-zA-Z_:][\w:]*)?\s*(?:\{(?P<inner>.*)\})?\s*", re.DOTALL)
_MATCHER = re.compile(
    r"""\s*(?P<label>[a-zA-Z_]\w*)\s*(?P<sign>=~|!~|!=|=)\s*"""
    r"""(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\s*(?:,|$)"""
)
_SHOWN = 5  # values of a label in a sentence
_RECENT = "10m"  # within which the last sample is looked for exactly, before that to the minute


def explain(prometheus: Prometheus, selector: str) -> str:
    """Say why a selector gives nothing now.

    Args:
        prometheus: Whom to ask.
        selector: A metric with matchers of labels; no function.

    Raises:
        UnreachableError: It does not answer, or what answers is no Prometheus.
        StepError: It refuses the selector.
    """
    if found := prometheus.at(selector):
        return f"it gives {len(found)} series now"
    targets = prometheus.targets()
    if not targets.active:
        return "Prometheus scrapes nothing: it has no targets" + (
            f", {targets.dropped} are dropped by relabelling" if targets.dropped else ""
        )
    if young := _young(prometheus, targets.active):
        return young
    if prometheus.series(selector):
        return f"{selector} is stale: {_last(prometheus, selector)}"
    return _lacking(prometheus, selector, targets.active)


def _young(prometheus: Prometheus, targets: Sequence[Target]) -> str:
    """Say that the server has not had the time to scrape twice; empty if it has."""
    if all(target.last_scrape is None for target in targets):
        return f"none of the {len(targets)} targets has been scraped yet"
    interval = max((target.interval or 0.0 for target in targets), default=0.0)
    started = prometheus.started()
    age = None if started is None else _now(prometheus) - started
    if age is None or age >= 2 * interval:
        return ""
    return (
        f"Prometheus started {max(age, 0.0):.0f} s ago, less than two scrape intervals of "
        f"{interval:g} s: try again then"
    )


def _last(prometheus: Prometheus, selector: str) -> str:
    """Say when a selector that gives nothing now last gave something."""
    if recent := prometheus.at(f"{selector}[{_RECENT}]"):
        return _aged(prometheus, max(one.points[-1][0] for one in recent))
    try:
        older = prometheus.at(f"max(max_over_time(timestamp({selector})[1d:1m]))")
    except StepError:  # not every server that speaks this API evaluates functions
        return f"its series are stored, but have no sample of the last {_RECENT}"
    if not older:  # what lived for less than a minute can fall between the steps
        return "its series are stored, but no sample of the last 24 h was found"
    return _aged(prometheus, older[0].last)


def _aged(prometheus: Prometheus, moment: float) -> str:
    return f"its last sample is {_length(_now(prometheus) - moment)} old"


def _lacking(prometheus: Prometheus, selector: str, targets: Sequence[Target]) -> str:
    """Say which part of a selector no series fits."""
    parts = _parts(selector)
    if parts is None:
        return f"{selector} selects no series that is stored"
    name, matchers = parts
    if name and not prometheus.values("__name__", name):
        down = sum(target.health != "up" for target in targets)
        return f"there is no metric {name}" + (
            f"; {down} of {len(targets)} targets are not up" if down else ""
        )
    for label, matcher in matchers:
        if not prometheus.values("__name__", f"{name}{{{matcher}}}"):
            there = [*filter(None, prometheus.values(label, name or f'{{{label}!=""}}'))]
            of = f"of {name} " if name else ""
            return f"no series {of}has {matcher}; " + _told(label, there)
    return "each of these labels is there, but no series has all of them"


def _told(label: str, there: Sequence[str]) -> str:
    if not there:
        return f"none has a label {label}"
    more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
    return f"{label} is {', '.join(there[:_SHOWN])}{more}"


def _parts(selector: str) -> tuple[str, list[tuple[str, str]]] | None:
    """Take a selector apart: metric, and each matcher with its label; ``None`` if it is none."""
    found = _SELECTOR.fullmatch(selector)
    if found is None:
        return None
    inner, start = found["inner"] or "", 0
    matchers = []
    while inner[start:].strip():
        one = _MATCHER.match(inner, start)
        if one is None:
            return None
        matchers.append((one["label"], f"{one['label']}{one['sign']}{one['value']}"))
        start = one.end()
    return found["name"] or "", matchers


def _now(prometheus: Prometheus) -> float:
    """Give the server's clock, ours if it does not tell."""
    try:
        return prometheus.at("vector(time())")[0].last
    except StepError:
        return time.time()


def _length(age: float) -> str:
    for unit, name in ((3600.0, "h"), (60.0, "min")):
        if age >= unit:
            return f"{age / unit:.0f} {name}"
    return f"{max(age, 0.0):.0f} s"
