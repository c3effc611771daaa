"""Runs are found by what they are and by the words in them, with the place of the words."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from archive_help import BOOKS, check, make, name, step

from runbook.archive.index import load
from runbook.archive.runs import Summary
from runbook.archive.search import Filter, Place, search, since
from runbook.errors import UsageError

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Summary]:
    """Give a run that went well, one that failed, one that was killed; newest first."""
    output = tmp_path_factory.mktemp("outputs")
    make(output, name(0))
    error = {"name": "HelmError", "what": "No chart\nthere", "why": "404", "fix": "ask", "see": ""}
    steps = [
        step(BOOKS[0], checks=[check("issuer-key", "fail", seen="RSA, not ECDSA", why="old CA")]),
        step(BOOKS[1], "failed", checks=[], error=error),
    ]
    cluster = {"name": "lab", "uid": "77", "version": "1.36.1", "rehearsal": True}
    make(
        *(output, name(1)),
        status="failed",
        cluster=cluster,
        mode="plan",
        line="edge-2.21",
        started="2026-11-24T21:00:00+00:00",
        steps=steps,
        parameters={"mode": "plan", "values": {"proxy": {"cores": 4}}, "note": "", "none": None},
    )
    make(output, name(2), status="running", holder="x.1", exit_status=None, finished=None)
    (output / name(2) / "run.json").unlink()
    return load(output)


def found(runs: list[Summary], *words: str, **only: str) -> list[int]:
    """Give the numbers of the runs that are found."""
    return [int(one.run.run[-4:], 16) for one in search(runs, words, Filter(**only))]


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (("issuer",), [2, 1, 0]),
        (("ISSUER-KEY", "ecdsa"), [1]),
        (("not ecdsa",), [1]),  # words that were quoted stand together
        (("3 of 3", "issuer"), [2, 0]),
        (("helmerror",), [1]),
        (("no chart there",), [1]),
        (('"cores": 4',), [1]),
        (("1.36.1",), [1]),
        (("0b4b7e5c",), [2, 0]),
        (("killed",), [2]),
        (("ecdsa", "nowhere"), []),
        (("note =",), []),
        ((name(0),), [0]),
        ((), [2, 1, 0]),
    ],
)
def test_every_word_must_occur(
    runs: list[Summary], words: tuple[str, ...], numbers: list[int]
) -> None:
    assert found(runs, *words) == numbers


@pytest.mark.parametrize(
    ("only", "numbers"),
    [
        ({"cluster": "lab"}, [1]),
        ({"cluster": "la"}, []),
        ({"status": "killed"}, [2]),
        ({"status": "running"}, []),
        ({"mode": "apply"}, [2, 0]),
        ({"line": "edge-2.21", "mode": "plan"}, [1]),
        ({"line": "edge-2.21", "mode": "apply"}, []),
        ({"since": "2026-11-24T20:30:00+00:00"}, [1]),
        ({"since": "2026-11-25T00:00:00+00:00"}, []),
    ],
)
def test_filters(runs: list[Summary], only: dict[str, str], numbers: list[int]) -> None:
    assert found(runs, "issuer", **only) == numbers


def test_where_it_was_found(runs: list[Summary]) -> None:
    (match,) = search(runs, ["ecdsa"])
    said = "fail issuer-key RSA, not ECDSA old CA"
    assert list(match.places) == [Place(BOOKS[0], "the issuer-key holds", said)]
    (match,) = search(runs, ["chart"])
    said = "HelmError No chart there 404 ask"
    assert list(match.places) == [Place(BOOKS[1], "error", said)]
    (match,) = search(runs, ["cores", "4}"])
    values = 'values = {"proxy": {"cores": 4}}'
    assert match.places[0] == Place("", "parameter", values)


def test_where_most_words_are_comes_first(runs: list[Summary]) -> None:
    (match,) = search(runs, ["fail", "old ca", "15-control"])
    assert match.places[0].what == "the issuer-key holds"
    counts = [sum(word in place.text for word in ("fail", "old CA")) for place in match.places]
    assert counts == sorted(counts, reverse=True)


def test_measures_are_found(tmp_path: Path) -> None:
    measure = {"name": "p99 overhead, node2", "value": 2.123, "unit": "ms", "low": 2, "high": 3}
    bare = {"name": "memory", "value": None, "unit": "MiB"}
    make(tmp_path, name(0), steps=[step(BOOKS[0], measures=[measure, bare])])
    (match,) = search(load(tmp_path), ["OVERHEAD", "node2"])
    assert match.places == [Place(BOOKS[0], "measure", "p99 overhead, node2 2.123 ms")]
    (match,) = search(load(tmp_path), ["mib"])
    assert match.places == [Place(BOOKS[0], "measure", "memory MiB")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-24", "2026-11-24T00:00:00+00:00"),
        ("2026-11-24T20:15", "2026-11-24T20:15:00+00:00"),
        ("2026-11-24T20:15:00+02:00", "2026-11-24T18:15:00+00:00"),
        ("0d", "2026-11-24T12:00:00+00:00"),
        ("30d", "2026-10-25T12:00:00+00:00"),
    ],
)
def test_points_in_time(text: str, expected: str) -> None:
    assert since(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "d", "-1d", "yesterday", "24.11.2026", "99999d", "1h"])
def test_what_is_no_point_in_time(text: str) -> None:
    with pytest.raises(UsageError, match="no point in time"):
        since(text, NOW)


@pytest.mark.parametrize("text", ["0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00"])
def test_the_ends_of_time_are_no_point_in_it(text: str) -> None:
    with pytest.raises(UsageError, match="no point in time"):
        since(text, NOW)
