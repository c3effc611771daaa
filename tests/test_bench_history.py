"""What notebook 64 shows of the history of campaigns: tables, a chart, checks."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import campaign_records as records
import pytest
from archive_help import name
from campaign_records import history

from runbook import bench_history, trend
from runbook.archive.manifest import seal
from runbook.bench.figure import Figure
from runbook.campaigns import Skipped, read
from runbook.checks import run as run_checks
from runbook.show import Table
from runbook.trend import History

CELL = records.CELL


def text(history: History) -> str:
    return " ".join(
        " ".join(table.text().split()) for table in bench_history.tables(history, "REHEARSAL")
    )


def outcomes(history: History, *, rehearsal: bool = False) -> Any:
    context: Any = SimpleNamespace(cluster=SimpleNamespace(rehearsal=rehearsal))
    return run_checks(bench_history.checks(history), context).outcomes


def test_tables_say_it() -> None:
    then = records.within(records.campaign(day=20), linkerd="edge-25.1.1")
    found = history(then, records.campaign(day=21, delay=4.0))
    assert all(isinstance(table, Table) for table in bench_history.tables(found))
    said = text(found)
    for words in (
        *("[REHEARSAL] Overhead at p99", CELL.title, "regression", "2026-11-20 22:00"),
        *("edge-25.1.1", name(0), name(1), "linkerd edge-25.1.1, now edge-26.8.2"),
    ):
        assert words in said
    assert "nan" not in said
    assert "Not looked at" not in said


def test_what_was_skipped_is_said() -> None:
    skipped = [Skipped(f"run {number}", f"reason {number}") for number in range(12)]
    said = text(trend.of([], skipped))
    assert "run 11 reason 11" in said
    assert "and 2 older ones" in said
    assert "run 1 " not in said


def test_a_regression_on_a_rehearsal_is_a_warning() -> None:
    """Its numbers are those of the machine it runs on, whatever else that does."""
    made = [records.campaign(day=20), records.campaign(day=21, delay=4.0)]
    (told,) = outcomes(history(*made), rehearsal=True)
    assert told.verdict == "warn"


def test_a_regression_is_a_failed_check() -> None:
    made = [records.campaign(day=20), records.campaign(day=21, delay=4.0)]
    (bad,) = outcomes(history(*made))
    assert (bad.verdict, bad.id) == ("fail", "bench-history-meshed-node2-100-http1-1024")
    assert bad.seen.startswith("regression: +")
    assert bad.seen.endswith("since 2026-11-20 22:00")
    (good,) = outcomes(history(*reversed([records.campaign(day=22), made[0]])))
    assert (good.verdict, good.why) == ("pass", "")
    (first,) = outcomes(history(made[0]))
    assert (first.verdict, first.seen) == ("skip", "not comparable: there is no earlier campaign")


def test_other_nodes_and_records_are_said() -> None:
    now = records.campaign(day=21)
    other = records.campaign(day=20, cells=(CELL.model_copy(update={"node": "node4"}),))
    assert "node node4, now node2" in text(history(other, now))
    assert "this one" in text(history(other, current=now))


def test_nothing_to_compare() -> None:
    assert "there is no campaign to compare" in text(History())
    assert [one.verdict for one in outcomes(History())] == ["skip"]
    assert bench_history.chart(History()) is None


def test_the_chart_shows_each_campaign() -> None:
    made = [records.campaign(day=day, delay=delay) for day, delay in ((20, 2.0), (21, 4.0))]
    drawn = bench_history.chart(history(*made))
    assert isinstance(drawn, Figure)
    assert "regression" in drawn.alt
    assert drawn.table is not None
    assert "2026-11-20" in drawn.table.text()
    again = bench_history.chart(history(*made))
    assert again is not None
    assert again.png == drawn.png
    assert bench_history.chart(history(made[0])) is None


# --- in a notebook ----------------------------------------------------------------------------


class Desk:
    """What the history needs of a step."""

    def __init__(self) -> None:
        self.badge = ""
        self.shown: list[Any] = []
        self.kept: dict[str, str] = {}

    def part(self, name: str) -> Desk:
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...

    def display(self, *values: Any) -> None:
        self.shown += values

    def keep(self, name: str, text: str) -> None:
        self.kept[name] = text


def test_a_notebook_shows_the_records_of_a_directory(tmp_path: Path) -> None:
    records.keep(tmp_path, 1, records.campaign(day=20))
    damaged = records.keep(tmp_path, 2, records.campaign(day=21))
    (damaged / "index.html").write_text("changed")
    desk: Any = Desk()
    found = bench_history.show(desk, records.campaign(day=22, delay=4.0), tmp_path)
    assert [one.word for one in found.series] == ["regression"]
    assert len(found.series[0].points) == 2
    assert [one.title for one in desk.shown][2:] == [
        *("Not looked at", "What the mesh added to p99, campaign by campaign"),
    ]
    assert json.loads(desk.kept["history.json"])["skipped"][0]["run"] == name(2)
    assert bench_history.show(desk, None, tmp_path).series[0].word == "not comparable"
    assert bench_history.show(desk, None, tmp_path / "none") == History()


def test_a_run_looks_into_the_records_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.keep(tmp_path, 1, records.campaign(day=20))
    monkeypatch.setenv("RUNBOOK_OUTPUT", str(tmp_path))
    desk: Any = Desk()
    assert len(bench_history.show(desk, records.campaign(day=22)).series[0].points) == 2


def test_the_history_of_a_record_is_no_campaign(tmp_path: Path) -> None:
    directory = records.write(tmp_path, 1, records.campaign(day=20))
    (directory / "data/64-history.json").write_text(history(records.campaign(day=20)).to_json())
    seal(directory)
    assert [len(part) for part in read(tmp_path)] == [1, 0]
