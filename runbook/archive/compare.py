"""What differs between two runs: checks, steps, times, measures, and what they ran on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from runbook.errors import UsageError

__all__ = ["Comparison", "Difference", "Measure", "Times", "compare", "read"]


@dataclass(frozen=True)
class Difference:
    """A thing that is not the same in both runs; a value is empty where there is none.

    Attributes:
        notebook: Where it is; empty when it is about the run as a whole.
        name: What it is: the title of a check, the name of a parameter.
        before: Its value in the first run.
        after: Its value in the second.
        detail: What the second run saw, or the first when the second has nothing.
    """

    notebook: str
    name: str
    before: str
    after: str
    detail: str = ""


@dataclass(frozen=True)
class Times:
    """How long something took in both runs, in seconds; None where it was not done."""

    notebook: str
    name: str
    before: float | None
    after: float | None

    @property
    def difference(self) -> float | None:
        """Seconds more, or less, in the second run; None unless both did it."""
        if self.before is None or self.after is None:
            return None
        return round(self.after - self.before, 2)


@dataclass(frozen=True)
class Measure:
    """A measured value in both runs: value, low and high end of its interval.

    Attributes:
        verdict: ``apart`` when the intervals do not overlap, so chance alone hardly explains the
            difference; ``within`` when they do, so it may be noise; ``unknown`` when one of them
            has no interval or no value.
    """

    notebook: str
    name: str
    unit: str
    before: tuple[float | None, float | None, float | None]
    after: tuple[float | None, float | None, float | None]
    verdict: Literal["apart", "within", "unknown"]


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        before: Name of the first run.
        after: Name of the second.
        conditions: What they ran on and with: cluster, mode, parameters, versions.
        steps: Status and changes of each step where they differ.
        checks: Checks that flipped, appeared (no ``before``) or vanished (no ``after``).
        times: Of each step, and of what it timed.
        measures: Of each step.
    """

    before: str
    after: str
    conditions: Sequence[Difference]
    steps: Sequence[Difference]
    checks: Sequence[Difference]
    times: Sequence[Times]
    measures: Sequence[Measure]


def read(directory: Path) -> dict[str, Any]:
    """Read the result of a run.

    Raises:
        UsageError: There is none, or it cannot be read.
    """
    try:
        found = json.loads((directory / "result.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UsageError(
            f"the result of {directory.name} cannot be read",
            fix="`runbook records verify` says whether it was changed",
        )
    return found


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> Comparison:
    """Compare two results.

    Args:
        before: A ``result.json``.
        after: Another, usually of a later run.

    Raises:
        UsageError: One of them is no result.
    """
    try:
        return Comparison(
            before=before["run"],
            after=after["run"],
            conditions=[*_differing(_conditions(before), _conditions(after))],
            steps=[*_differing(_steps(before), _steps(after))],
            checks=[*_checks(before, after)],
            times=[Times(*key, *pair) for key, pair in _paired(_times(before), _times(after))],
            measures=[*_measures(before, after)],
        )
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(
            "one of the two is not the result of a run",
            why=f"it is not laid out as one: {type(error).__name__} {error}",
            fix="`runbook records verify` says whether it was changed",
        ) from None


def _paired(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> Iterator[tuple[Any, Any]]:
    """Give each key of both, in the order of the first and then of the second, with its values."""
    for key in dict.fromkeys([*before, *after]):
        yield key, (before.get(key), after.get(key))


def _differing(
    before: Mapping[tuple[str, str], str], after: Mapping[tuple[str, str], str]
) -> Iterator[Difference]:
    for (notebook, name), (was, is_) in _paired(before, after):
        if (was or "") != (is_ or ""):
            yield Difference(notebook, name, was or "", is_ or "")


def _conditions(result: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    found = {name: result[name] for name in ("status", "mode", "line", "changed")}
    found |= _leaves("cluster", result["cluster"])
    found |= _leaves("parameter", result["parameters"])
    found |= _leaves("version", result.get("versions") or {})
    found["commit"] = (result.get("commit") or {}).get("id", "")
    return {("", name): _text(value) for name, value in found.items()}


def _leaves(name: str, value: Any) -> dict[str, Any]:
    """Name each value within a mapping, such as ``parameter values.proxy.cores``."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        path = f"{name}.{key}" if " " in name else f"{name} {key}"
        found |= _leaves(path, inner) if isinstance(inner, dict) and inner else {path: inner}
    return found


def _steps(result: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    found = {}
    for step in result["steps"]:
        for name in ("status", "changed", "planned"):
            found[step["notebook"], name] = _text(step.get(name))
    return found


def _checks(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    for (notebook, _), (was, is_) in _paired(_by_id(before), _by_id(after)):
        then, now = (check["verdict"] if check else "" for check in (was, is_))
        if then != now:
            shown = is_ or was
            yield Difference(notebook, shown["title"], then, now, shown.get("seen", ""))


def _by_id(result: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """Give every check by notebook and id; when an id is there twice, the second gets a number."""
    found: dict[tuple[str, str], Any] = {}
    for step in result["steps"]:
        for check in step["checks"]:
            key, number = check["id"], 1
            while (step["notebook"], key) in found:
                number += 1
                key = f"{check['id']} {number}"
            found[step["notebook"], key] = check
    return found


def _times(result: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    found = {("", "run"): float(result["seconds"])}
    for step in result["steps"]:
        if step["status"] != "not-run":
            found[step["notebook"], "step"] = float(step["seconds"])
        for timing in step.get("timings") or ():
            key = step["notebook"], timing["name"]
            found[key] = found.get(key, 0.0) + float(timing["seconds"])
    return found


def _measures(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Measure]:
    for (notebook, name, unit), (was, is_) in _paired(_measured(before), _measured(after)):
        yield Measure(notebook, name, unit, was or _NOTHING, is_ or _NOTHING, _verdict(was, is_))


_Interval = tuple[float | None, float | None, float | None]
_NOTHING: _Interval = (None, None, None)


def _measured(result: Mapping[str, Any]) -> dict[tuple[str, str, str], _Interval]:
    """Give value, low and high of each measure; another unit makes it another measure."""
    found = {}
    for step in result["steps"]:
        for one in step.get("measures") or ():
            key = step["notebook"], one["name"], one["unit"]
            value, low, high = (one.get(end) for end in ("value", "low", "high"))
            found[key] = _number(value), _number(low), _number(high)
    return found


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _verdict(
    before: _Interval | None, after: _Interval | None
) -> Literal["apart", "within", "unknown"]:
    _, low, high = before or _NOTHING
    _, other_low, other_high = after or _NOTHING
    if low is None or high is None or other_low is None or other_high is None:
        return "unknown"
    return "apart" if high < other_low or other_high < low else "within"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
