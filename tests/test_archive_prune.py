"""Pruning removes old records and nothing else, however it ends."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from archive_help import BOOKS, archive, make, name, resumed

from runbook import holder
from runbook.archive import chain
from runbook.archive.index import load
from runbook.archive.manifest import seal
from runbook.archive.prune import choose, remove
from runbook.archive.runs import Summary
from runbook.archive.verify import Finding, verify
from runbook.errors import UsageError

ENDED = f"{holder.mine()}0"
"""The mark of a process that had the number of this one and is gone."""

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)

REMOVE = """
import sys
from pathlib import Path
from runbook.archive.prune import remove
output = Path(sys.argv[1])
print("begun", flush=True)
remove(output, sorted(path.name for path in output.iterdir()))
"""


@pytest.fixture
def output(tmp_path: Path) -> Path:
    output = tmp_path / "outputs"
    output.mkdir()
    for number in range(4):
        seal(make(output, name(number)))
    return output


def alarms(output: Path, head: str = "") -> list[Finding]:
    return [one for one in verify(output, head) if one.severity == "fail"]


def records(output: Path) -> list[str]:
    return sorted(path.name for path in output.iterdir() if path.name.startswith("2026"))


def runs(*days: int, status: str = "ok") -> list[Summary]:
    return [Summary(f"202611{day:02}-120000-pi-{day:04x}", status) for day in days]


@pytest.mark.parametrize(
    ("keep", "older_than", "going"),
    [
        *[(0, None, [1, 10, 17, 23, 24]), (2, None, [1, 10, 17]), (9, None, [])],
        *[(None, 0, [1, 10, 17, 23]), (None, 7, [1, 10]), (None, 999, [])],
        *[(4, 7, [1]), (1, 30, []), (0, 1, [1, 10, 17])],
    ],
)
def test_what_is_chosen(keep: int | None, older_than: int | None, going: list[int]) -> None:
    chosen = choose(runs(24, 23, 17, 10, 1), keep=keep, older_than=older_than, now=NOW)
    assert chosen == runs(*going)


@pytest.mark.parametrize(("keep", "older_than"), [(None, None), (-1, None), (None, -1)])
def test_what_is_not_said_is_asked(keep: int | None, older_than: int | None) -> None:
    with pytest.raises(UsageError):
        choose(runs(1), keep=keep, older_than=older_than)


def test_what_runs_is_never_chosen() -> None:
    killed, running = runs(1, status="killed"), runs(2, status="running")
    assert choose([*running, *killed], keep=0) == killed


def test_records_go_and_the_chain_says_so(output: Path) -> None:
    head = chain.read(output).head
    assert remove(output, [name(0), name(2)]) == [name(0), name(2)]
    assert records(output) == [name(1), name(3)]
    assert [line.event for line in chain.read(output).of(name(2))] == ["sealed", "pruned"]
    assert verify(output) == []
    assert verify(output, head) == [], "what was proven before still is"
    assert not (output / ".pruned").exists()


def test_an_archive_of_every_kind_can_be_emptied(tmp_path: Path) -> None:
    archive(tmp_path)
    for number in (3, 5):  # being resumed, and killed: neither sealed
        (tmp_path / name(number) / "run.json").write_text(f'{{"holder": "{ENDED}"}}')
    assert remove(tmp_path, records(tmp_path)) == [name(number) for number in range(6)]
    assert records(tmp_path) == []
    assert verify(tmp_path) == []
    assert load(tmp_path) == []


def test_a_record_somebody_is_at_is_left(output: Path) -> None:
    mine = f'{{"holder": "{holder.mine()}"}}'
    make(output, name(8), holder=holder.mine(), status="running")
    resumed(output / name(1))
    (output / name(1) / "run.json").write_text(mine)
    chosen = choose(load(output), keep=0)
    assert name(8) not in [run.run for run in chosen]
    assert remove(output, [name(8), name(1), name(2)]) == [name(2)]
    assert records(output) == [name(0), name(1), name(3), name(8)]
    assert alarms(output) == []


def test_what_is_no_record_is_left(output: Path, tmp_path: Path) -> None:
    lab = output / "20261124-201358-lab"
    lab.mkdir()
    (lab / f"{BOOKS[0]}.ipynb").write_text("work of somebody")
    (output / name(20)).mkdir()
    (output / name(20) / "notes.txt").write_text("not a run")
    outside = make(tmp_path / "elsewhere", name(21))
    (output / name(21)).symlink_to(outside)
    (output / name(22)).write_text("a file")
    there = [lab.name, name(20), name(21), name(22), name(23)]
    assert remove(output, [*there, "", ".", "..", f"../elsewhere/{name(21)}"]) == []
    assert all((output / one).exists() for one in there[:4])
    assert (outside / "result.json").exists()
    assert len(chain.read(output).raw) == 4


def test_what_a_link_leads_to_is_left(output: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    (output / name(0) / "data").symlink_to(outside)
    assert remove(output, [name(0)]) == [name(0)]
    assert (outside / "file").read_text() == "kept"


class Killed(BaseException):
    """As by SIGKILL: nothing after it is done."""


@pytest.mark.parametrize("step", ["add", "mkdir", "rename", "rmtree"])
def test_killed_before_any_step(output: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def dies(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        for owner in (chain, Path, shutil):
            if hasattr(owner, step):
                patch.setattr(owner, step, dies)
        with pytest.raises(Killed):
            remove(output, [name(0)])
    assert alarms(output) == []
    assert remove(output, records(output))
    assert verify(output) == []
    assert not (output / ".pruned").exists()


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """Each record is then there and whole, or gone and explained."""
    draw = random.Random(5)
    for turn in range(6):
        for number in range(15):
            seal(make(tmp_path, name(15 * turn + number)))
        command = [sys.executable, "-c", REMOVE, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stdout.readline() == "begun\n"
            time.sleep(draw.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
        assert alarms(tmp_path) == []
        for run in records(tmp_path):
            assert (tmp_path / run / "MANIFEST").exists()
            assert (tmp_path / run / "result.json").exists()
    remove(tmp_path, records(tmp_path))
    assert verify(tmp_path) == []


def test_a_pruned_record_that_is_put_back_is_checked_as_before(output: Path) -> None:
    chain.add(output, "pruned", name(0))
    assert [one.severity for one in verify(output)] == ["note"]
    (output / name(0) / "index.html").write_text("other")
    assert [one.file for one in alarms(output)] == ["index.html"]
