"""Delay on purpose: how long a proxy holds each request, so that a measurement can be checked."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

__all__ = ["delays"]

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_LONGEST = 10.0
"""Seconds: a heavy tail is cut there, below the usual timeout of a client."""


def delays(text: str) -> Callable[[], float] | None:
    """Read what the annotation says.

    Args:
        text: ``2ms`` (constant; us, ms or s), or ``pareto:2ms,1.5`` (Pareto: at least 2 ms, shape
            1.5, so that P(delay > d) = (2 ms / d)^1.5, cut at 10 s); empty for none.

    Returns:
        What gives the seconds of the next request; None for no delay.

    Raises:
        ValueError: It says something else.
    """
    if not text:
        return None
    kind, found, rest = text.partition(":")
    if not found:
        constant = _seconds(text)
        return (lambda: constant) if constant else None
    if kind != "pareto":
        raise ValueError(f"there is no delay {kind!r}: use 2ms or pareto:2ms,1.5")
    least, _, shape = rest.partition(",")
    scale, alpha = _seconds(least), float(shape) if shape.replace(".", "", 1).isdigit() else 0.0
    if not alpha:
        raise ValueError(f"{shape!r} is no shape of a Pareto distribution: use 1.5")
    draw = random.Random().paretovariate  # noqa: S311 - nothing secret
    return lambda: min(scale * draw(alpha), _LONGEST)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"\s*([0-9.]+)(us|ms|s)\s*", text)
    if found is None:
        raise ValueError(f"{text!r} is no duration: use 500us, 2ms or 1s")
    return float(found[1]) * _UNITS[found[2]]
