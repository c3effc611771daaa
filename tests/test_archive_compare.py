"""Two runs side by side: what differs, and whether a measured difference may be chance."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from archive_help import BOOKS, check, name, result, step
from hypothesis import given
from hypothesis import strategies as st

from runbook.archive.compare import Difference, Measure, Times, compare, read
from runbook.errors import UsageError

FIRST, SECOND = BOOKS


def measure(value: Any, low: Any = None, high: Any = None, **parts: Any) -> dict[str, Any]:
    return {"name": "p99", "unit": "ms", "value": value, "low": low, "high": high, "n": 9, **parts}


def run(number: int = 0, *steps: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return result(name(number), **({"steps": list(steps)} if steps else {}), **parts)


def test_equal_runs_differ_in_nothing() -> None:
    found = compare(run(0), run(1))
    assert (found.before, found.after) == (name(0), name(1))
    assert (found.conditions, found.steps, found.checks, found.measures) == ([], [], [], [])
    assert {one.difference for one in found.times} == {0.0}


def test_conditions() -> None:
    cluster = {"name": "pi", "uid": "other", "version": "1.36.0", "rehearsal": True}
    after = run(
        1,
        mode="plan",
        cluster=cluster,
        parameters={"mode": "plan", "values": {"proxy": {"cores": 2}}, "new": [1]},
        versions={"python": "3.12.0", "papermill": "2.6.0"},
        commit=None,
    )
    assert [(one.name, one.before, one.after) for one in compare(run(0), after).conditions] == [
        ("mode", "apply", "plan"),
        ("cluster uid", "0b4b7e5c", "other"),
        ("cluster version", "1.35.0+k3s1", "1.36.0"),
        ("cluster rehearsal", "false", "true"),
        ("parameter mode", "apply", "plan"),
        ("parameter timeout", "600", ""),
        ("parameter values.proxy.cores", "1", "2"),
        ("version python", "3.11.7", "3.12.0"),
        ("commit", "ae42282", ""),
        ("parameter new", "", "[1]"),
    ]


def test_checks_that_flip_appear_and_vanish() -> None:
    before = run(
        0,
        step(FIRST, checks=[check("a"), check("b", "fail", seen="0 of 3"), check("old", seen="x")]),
        step(SECOND, checks=[check("a")]),
    )
    after = run(
        1,
        step(FIRST, checks=[check("b", seen="3 of 3"), check("a", seen="other"), check("new")]),
        step(SECOND, checks=[check("a", "warn", seen="late")]),
    )
    assert compare(before, after).checks == [
        Difference(FIRST, "the b holds", "fail", "pass", "3 of 3"),
        Difference(FIRST, "the old holds", "pass", "", "x"),
        Difference(SECOND, "the a holds", "pass", "warn", "late"),
        Difference(FIRST, "the new holds", "", "pass", ""),
    ]


def test_a_check_that_is_there_twice_is_compared_twice() -> None:
    before = run(0, step(FIRST, checks=[check("a"), check("a", "fail")]))
    after = run(1, step(FIRST, checks=[check("a"), check("a"), check("a", "warn")]))
    flips = [(one.before, one.after) for one in compare(before, after).checks]
    assert flips == [("fail", "pass"), ("", "warn")]


def test_steps_and_times() -> None:
    timed = [{"name": "wait", "seconds": 1.0}, {"name": "wait", "seconds": 2.0}]
    before = run(0, step(FIRST, seconds=4.0, timings=timed), seconds=10.0)
    left = step(SECOND, "not-run", changed=0, planned=0, checks=[], timings=[])
    after = run(1, step(FIRST, "failed", seconds=9.5, changed=4, timings=[]), left, seconds=20.0)
    found = compare(before, after)
    assert found.steps == [
        Difference(FIRST, "status", "ok", "failed"),
        Difference(FIRST, "changed", "1", "4"),
        Difference(SECOND, "status", "", "not-run"),
        Difference(SECOND, "changed", "", "0"),
        Difference(SECOND, "planned", "", "0"),
    ]
    assert found.times == [
        Times("", "run", 10.0, 20.0),
        Times(FIRST, "step", 4.0, 9.5),
        Times(FIRST, "wait", 3.0, None),
    ]
    assert [one.difference for one in found.times] == [10.0, 5.5, None]


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (measure(5, 4, 6), measure(8, 7, 9), "apart"),
        (measure(8, 7, 9), measure(5, 4, 6), "apart"),
        (measure(5, 4, 6), measure(6, 5, 7), "within"),
        (measure(5, 4, 6), measure(7, 6, 8), "within"),  # they touch
        (measure(5, 4, 6), measure(5, 1, 9), "within"),
        (measure(5), measure(8, 7, 9), "unknown"),
        (measure(5, 4, 6), measure(None), "unknown"),
    ],
)
def test_measures(before: dict[str, Any], after: dict[str, Any], verdict: str) -> None:
    one, other = run(0, step(FIRST, measures=[before])), run(1, step(FIRST, measures=[after]))
    (found,) = compare(one, other).measures
    assert (found.notebook, found.name, found.unit, found.verdict) == (FIRST, "p99", "ms", verdict)
    assert found.before == tuple(before[end] for end in ("value", "low", "high"))


def test_a_measure_in_another_unit_is_another() -> None:
    one = run(0, step(FIRST, measures=[measure(5, 4, 6)]))
    other = run(1, step(FIRST, measures=[measure(5, 4, 6, unit="s")]))
    nothing = (None, None, None)
    assert compare(one, other).measures == [
        Measure(FIRST, "p99", "ms", (5, 4, 6), nothing, "unknown"),
        Measure(FIRST, "p99", "s", nothing, (5, 4, 6), "unknown"),
    ]


def test_results_of_runs_without_later_fields_can_be_compared() -> None:
    old = run(0)
    for part in ("versions", "commit"):
        del old[part]
    for one in old["steps"]:
        del one["measures"], one["timings"]
    assert compare(old, run(1)).measures == []


BROKEN: st.SearchStrategy[Any] = st.sampled_from(
    [None, 3, "text", [], {}, [None], {"a": 1}, [[]], float("nan")]
)


@given(st.data())
def test_whatever_a_result_says_it_is_compared_or_refused(data: st.DataObject) -> None:
    """One value of a result, at any depth, is replaced by something else."""
    broken = copy.deepcopy(run(1, step(FIRST, measures=[measure(5, 4, 6)])))
    place: Any = broken
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            place[key] = data.draw(BROKEN)
            break
        place = place[key]
    for pair in ((run(0), broken), (broken, run(0))):
        try:
            compare(*pair)
        except UsageError as error:
            assert "verify" in error.fix


def test_a_result_is_read(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(run(0)))
    assert read(tmp_path) == run(0)


@pytest.mark.parametrize("content", [None, "", "[]", "nonsense", "[" * 99_999, b"\xff"])
def test_a_result_that_cannot_be_read_is_explained(tmp_path: Path, content: Any) -> None:
    if content is not None:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "result.json").write_bytes(data)
    with pytest.raises(UsageError) as caught:
        read(tmp_path)
    assert str(tmp_path) not in str(caught.value)
