"""Runs at a glance, which one is meant, and the index that makes lists instant."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from archive_help import BOOKS, check, make, name, result, step, write
from hypothesis import given
from hypothesis import strategies as st

from runbook import holder
from runbook.archive import index
from runbook.archive.files import write_atomic
from runbook.archive.index import INDEX, PAGE, load, refresh
from runbook.archive.runs import Summary, alive, find, is_name, summarise
from runbook.errors import UsageError

ENDED = f"{holder.mine()}0"
"""The mark of a process that had the number of this one and is gone."""

ELSEWHERE = "0123456789ab.1.0"
"""The mark of a process on another machine."""


@pytest.fixture
def output(tmp_path: Path) -> Path:
    output = tmp_path / "outputs"
    for number in range(3):
        make(output, name(number))
    return output


def named(*names: str) -> list[Summary]:
    return [Summary(one, "ok") for one in names]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20261124-201358-pi-3f2a", True),
        ("20261124-201358-pi.home-2-3f2a4b", True),
        ("20261124-201358-lab", False),
        ("20261124-201358-pi-3f2", False),
        ("x20261124-201358-pi-3f2a", False),
        ("20261124-201358-pi-3f2a\n", False),
        ("../20261124-201358-pi-3f2a", False),
        (".pruned", False),
        ("", False),
    ],
)
def test_what_is_the_name_of_a_run(text: str, expected: bool) -> None:
    assert is_name(text) == expected


def test_a_summary_says_what_happened(tmp_path: Path) -> None:
    found = summarise(make(tmp_path, name(1)))
    assert (found.run, found.status, found.exit_status) == (name(1), "ok", 0)
    assert (found.mode, found.line) == ("apply", "edge-2.20")
    assert (found.cluster, found.uid, found.kubernetes) == ("pi", "0b4b7e5c", "1.35.0+k3s1")
    assert (found.seconds, found.changed, found.attempts) == (65.0, 2, 1)
    assert found.checks == {"pass": 4, "warn": 0, "fail": 0, "skip": 0}
    assert found.steps == [{"notebook": book, "status": "ok"} for book in BOOKS]
    assert (found.problem, found.rehearsal, found.readable) == ("", False, True)


def test_the_first_problem_is_the_one_named(tmp_path: Path) -> None:
    error = {"name": "HelmError", "what": "no\nchart", "why": "", "fix": "", "see": ""}
    wrong = step(BOOKS[0], "check-failed", checks=[check("a"), check("b", "fail", seen="0 of 3")])
    first = summarise(make(tmp_path, name(1), steps=[wrong, step(BOOKS[1])]))
    assert first.problem == f"{BOOKS[0]}: the b holds: 0 of 3"
    second = summarise(make(tmp_path, name(2), steps=[wrong, step(BOOKS[1], error=error)]))
    assert second.problem == f"{BOOKS[1]}: no chart"


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"{}", b"\xff", b"[" * 99_999])
def test_a_run_that_cannot_be_read_is_listed(tmp_path: Path, content: bytes | None) -> None:
    directory = make(tmp_path, name(1))
    (directory / "result.json").unlink()
    if content is not None:
        write(directory / "result.json", content)
    (found,) = load(tmp_path)
    assert (found.run, found.status, found.readable) == (name(1), "unreadable", False)
    assert found.started == "2026-11-24T20:00:01+00:00"
    assert found.problem.startswith("result.json cannot be read: ")
    assert str(tmp_path) not in found.problem
    assert found.text == ""


BROKEN: st.SearchStrategy[Any] = st.sampled_from(
    [None, 3, True, "text", "a\tb\nc", [], {}, [None], {"a": 1}, [[]], float("nan"), 1e400]
)


def spoiled(value: Any, data: st.DataObject) -> Any:
    """Replace one value, at any depth, by something else."""
    spoilt = copy.deepcopy(value)
    place = spoilt
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            place[key] = data.draw(BROKEN)
            return spoilt
        place = place[key]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an archive of a single run."""
    output = tmp_path_factory.mktemp("one")
    make(output, name(1))
    load(output)
    return output


@given(st.data())
def test_whatever_a_result_says_there_is_a_summary(one: Path, data: st.DataObject) -> None:
    wrong = step(BOOKS[0], checks=[check("a", "fail", seen="x")])
    content = spoiled(result(name(1), steps=[wrong]), data)
    write(one / name(1) / "result.json", content)
    found = summarise(one / name(1))
    assert index._sound(name(1), {"state": None, "summary": json.loads(json.dumps(asdict(found)))})
    for line in found.text.split("\n"):
        assert line.count("\t") == 2 or not found.text


def test_who_is_alive(tmp_path: Path) -> None:
    directory = make(tmp_path, name(1), holder=holder.mine())
    assert alive(directory)
    write(directory / "run.json", {"holder": ENDED})
    assert not alive(directory)
    write(directory / "run.json", {"holder": ELSEWHERE})
    assert alive(directory), "a sign of life just now"
    past = time.time() - 100
    os.utime(directory / "run.json", (past, past))
    assert not alive(directory)
    for content in ("", "[]", "{}", "{"):
        write(directory / "run.json", content)
        assert not alive(directory)
    (directory / "run.json").unlink()
    assert not alive(directory)


def test_a_run_that_was_killed_is_listed_as_killed(output: Path) -> None:
    make(output, name(5), holder=holder.mine(), status="running", exit_status=None, finished=None)
    assert [run.status for run in load(output)] == ["running", "ok", "ok", "ok"]
    write(output / name(5) / "run.json", {"holder": ENDED})
    assert [run.status for run in load(output)] == ["killed", "ok", "ok", "ok"]
    assert "killed" not in (output / INDEX).read_text(), "what changes by itself is not stored"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("last", "20261124-200002-pi-00bb"),
        ("20261124-200001-pi-00aa", "20261124-200001-pi-00aa"),
        ("outputs/20261124-200001-pi-00aa/", "20261124-200001-pi-00aa"),
        ("/abs/outputs/20261124-200001-pi-00aa", "20261124-200001-pi-00aa"),
        ("20261124-200002", "20261124-200002-pi-00bb"),
        ("00aa", "20261124-200001-pi-00aa"),
        ("20261123-200001-pi-00aa-0000", "20261123-200001-pi-00aa-0000"),
        ("20261123-200001-pi-00aa", "20261123-200001-pi-00aa"),  # exact, though one begins so
    ],
)
def test_which_run_is_meant(text: str, expected: str) -> None:
    runs = named(
        "20261124-200002-pi-00bb",
        "20261124-200001-pi-00aa",
        "20261123-200001-pi-00aa-0000",
        "20261123-200001-pi-00aa",
    )
    if text == "00aa":
        runs = runs[:2]
    assert find(runs, text).run == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("20261124", "may be any of 2 runs"),
        ("", "there is no run"),
        (".", "there is no run"),
        ("-pi-", "there is no run"),
        ("20261124-200002-pi-00bc", "there is no run"),
    ],
)
def test_a_run_that_is_not_clear_is_asked_for(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        find(named("20261124-200002-pi-00bb", "20261124-200001-pi-00aa"), text)


def test_help_with_a_name_that_is_nearly_right() -> None:
    with pytest.raises(UsageError) as caught:
        find(named("20261124-200002-pi-00bb"), "20261124-200002-pi-00bc")
    assert "did you mean 20261124-200002-pi-00bb?" in caught.value.fix
    with pytest.raises(UsageError, match="no records yet"):
        find([], "last")


def test_lists_are_newest_first_and_of_runs_only(output: Path, tmp_path: Path) -> None:
    (output / "20261124-201358-lab").mkdir()
    (output / name(30)).symlink_to(make(tmp_path, name(30)))
    (output / name(31)).write_text("a file")
    assert [run.run for run in load(output)] == [name(2), name(1), name(0)]


def test_only_what_changed_is_read_again(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(directory: Path) -> Summary:
        read.append(directory.name)
        return summarise(directory)

    monkeypatch.setattr(index, "summarise", counted)
    first = load(output)
    assert sorted(read) == [name(0), name(1), name(2)]
    read.clear()
    assert load(output) == first
    assert read == []
    write_atomic(output / name(1) / "result.json", json.dumps(result(name(1), changed=99)))
    make(output, name(3))
    (output / name(0)).rename(output.parent / "gone")
    assert [(run.run, run.changed) for run in load(output)] == [
        (name(3), 2),
        (name(2), 2),
        (name(1), 99),
    ]
    assert sorted(read) == [name(1), name(3)]


def test_an_index_that_cannot_be_written_is_done_without(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(index, "write_atomic", read_only)
    assert [run.run for run in load(output)] == [name(2), name(1), name(0)]
    assert not (output / INDEX).exists()


@given(st.data())
def test_a_spoilt_index_is_made_again(one: Path, data: st.DataObject) -> None:
    write(one / name(1) / "result.json", result(name(1)))
    (one / INDEX).unlink(missing_ok=True)
    expected, good = load(one), (one / INDEX).read_bytes()
    kind = data.draw(st.sampled_from(["value", "flip", "cut", "bytes"]))
    if kind == "value":
        spoilt = json.dumps(spoiled(json.loads(good), data)).encode()
    elif kind == "flip":
        changed = bytearray(good)
        changed[data.draw(st.integers(0, 200))] ^= 1 << data.draw(st.integers(0, 7))
        spoilt = bytes(changed)
    elif kind == "cut":
        spoilt = good[: data.draw(st.integers(0, len(good)))]
    else:
        spoilt = data.draw(st.binary())
    (one / INDEX).write_bytes(spoilt)
    found = load(one)  # another text may stay until the run changes, but never an odd kind
    assert [run.run for run in found] == [name(1)]
    assert {
        key: type(value) for key, value in asdict(found[0]).items() if key != "exit_status"
    } == {key: type(value) for key, value in asdict(expected[0]).items() if key != "exit_status"}
    assert isinstance(found[0].exit_status, int | None)
    refresh(one)


def test_an_index_of_another_layout_is_made_again(output: Path) -> None:
    load(output)
    kept = json.loads((output / INDEX).read_text())
    kept["schema"] = 99
    kept["runs"][name(0)]["summary"]["changed"] = 1234
    write(output / INDEX, kept)
    assert {run.changed for run in load(output)} == {2}


def test_the_page_lists_all_runs(output: Path) -> None:
    make(output, name(4), holder=ENDED, status="running", cluster={"name": "<img src=x>"})
    refresh(output)
    page = (output / PAGE).read_text()
    for number in (0, 1, 2, 4):
        assert name(number) in page
    assert "killed" in page
    assert "<img src=x>" not in page


REFRESH = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from archive_help import make, name
from runbook.archive.index import refresh
output = Path(sys.argv[1])
for number in range(int(sys.argv[3]), int(sys.argv[3]) + 5):
    make(output, name(number))
    refresh(output)
"""


def test_runs_that_end_together_are_all_in_the_index(tmp_path: Path) -> None:
    place = str(Path(__file__).parent)
    command = [sys.executable, "-c", REFRESH, str(tmp_path), place]
    processes = [subprocess.Popen([*command, str(start)]) for start in (0, 10, 20)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    kept = json.loads((tmp_path / INDEX).read_text())["runs"]
    assert len(kept) == 15
    page = (tmp_path / PAGE).read_text()
    assert all(run in page for run in kept)
