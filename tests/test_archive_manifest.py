"""Sealing: what is covered, again after a resumption, by many at once, and killed anywhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from archive_help import make, name, resumed, write

from runbook.archive.chain import CHAIN, faults, read
from runbook.archive.manifest import MANIFEST, PREPARED, parse, reopen, seal
from runbook.archive.verify import verify
from runbook.errors import ArchiveError

SEAL = """
import sys
from pathlib import Path
from runbook.archive.manifest import seal
for run in sys.argv[2:]:
    seal(Path(sys.argv[1]) / run)
"""


def test_every_file_but_dot_files_is_covered(tmp_path: Path) -> None:
    directory = make(tmp_path, name(0))
    write(directory / ".result.json.x1", "unfinished")
    seal(directory)
    manifest = parse((directory / MANIFEST).read_bytes())
    assert (manifest.run, manifest.previous) == (name(0), "")
    assert sorted(manifest.files) == [
        "12-identity-issuer.html",
        "12-identity-issuer.ipynb",
        "15-control-plane.html",
        "15-control-plane.ipynb",
        "figures/latency.png",
        "index.html",
        "log/15-control-plane.log",
        "result.json",
        "run.json",
    ]
    listed = json.loads((directory / MANIFEST).read_text())["files"]
    assert set(listed["result.json"]) == {"sha256", "size", "canonical"}
    assert set(listed["index.html"]) == {"sha256", "size"}
    assert verify(tmp_path) == []


def test_each_manifest_names_the_line_before(tmp_path: Path) -> None:
    for number in range(3):
        seal(make(tmp_path, name(number)))
    manifests = [parse((tmp_path / name(n) / MANIFEST).read_bytes()) for n in range(3)]
    assert [one.previous for one in manifests] == [line.previous for line in read(tmp_path).lines]


def test_resumed_record_is_sealed_again_and_keeps_its_first_manifest(tmp_path: Path) -> None:
    directory = make(tmp_path, name(0))
    seal(directory)
    first = (directory / MANIFEST).read_bytes()
    resumed(directory)
    assert not (directory / MANIFEST).exists()
    seal(directory)
    assert (directory / f"{MANIFEST}-1").read_bytes() == first
    assert f"{MANIFEST}-1" in parse((directory / MANIFEST).read_bytes()).files
    assert [line.event for line in read(tmp_path).lines] == ["sealed", "reopened", "sealed"]
    assert verify(tmp_path) == []
    resumed(directory)
    seal(directory)
    assert (directory / f"{MANIFEST}-2").exists()
    assert verify(tmp_path) == []


def test_sealing_twice_in_a_row_is_no_alarm(tmp_path: Path) -> None:
    directory = make(tmp_path, name(0))
    seal(directory)
    seal(directory)
    assert verify(tmp_path) == []


def test_reopening_is_said_once_and_only_of_what_was_sealed(tmp_path: Path) -> None:
    directory = make(tmp_path, name(0))
    reopen(directory)
    assert not (tmp_path / CHAIN).exists()
    seal(directory)
    reopen(directory)
    reopen(directory)
    assert [line.event for line in read(tmp_path).lines] == ["sealed", "reopened"]


@pytest.mark.parametrize("odd", ["link", "pipe"])
def test_what_is_no_file_is_not_sealed(tmp_path: Path, odd: str) -> None:
    directory = make(tmp_path, name(0))
    if odd == "link":
        (directory / "odd").symlink_to("result.json")
    else:
        os.mkfifo(directory / "odd")  # reading it would wait for ever
    with pytest.raises(ArchiveError, match="/odd is no file"):
        seal(directory)
    assert not (tmp_path / CHAIN).exists()


def test_broken_chain_is_sealed_onto(tmp_path: Path) -> None:
    seal(make(tmp_path, name(0)))
    (tmp_path / CHAIN).write_text("nonsense\n")
    seal(make(tmp_path, name(1)))
    assert {finding.run for finding in verify(tmp_path)} == {"", name(0)}


def test_many_at_once_make_one_chain(tmp_path: Path) -> None:
    runs = [name(number) for number in range(24)]
    for run in runs:
        make(tmp_path, run)
    parts = [runs[start::4] for start in range(4)]
    command = [sys.executable, "-c", SEAL, str(tmp_path)]
    processes = [subprocess.Popen([*command, *part]) for part in parts]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    assert sorted(line.run for line in read(tmp_path).lines) == runs
    assert verify(tmp_path) == []


def killed_at(event: int, work: Callable[[], object]) -> bool:
    """Do something in another process and kill it at its n-th call of the operating system.

    Returns:
        Whether it was killed; else it had ended before.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of other tests: not used here
        child = os.fork()
    if child:
        status = os.waitpid(child, 0)[1]
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
        return os.WIFSIGNALED(status)
    left = [event]

    def count(*_: object) -> None:
        left[0] -= 1
        if left[0] == -1:  # the kill is a call itself
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(count)
        work()
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.parametrize("again", [False, True])
def test_killed_anywhere_leaves_whole_files_and_no_alarm(tmp_path: Path, again: bool) -> None:
    events = 0
    while True:
        output = tmp_path / str(events)
        seal(make(output, name(0)))
        directory = make(output, name(1))
        if again:
            seal(directory)
            resumed(directory)
        killed = killed_at(events, lambda path=directory: seal(path))
        assert not list(faults(read(output)))
        for path in (directory / MANIFEST, directory / PREPARED, directory / f"{MANIFEST}-1"):
            assert not path.exists() or parse(path.read_bytes())
        assert {finding.severity for finding in verify(output)} <= {"note"}
        if not killed:
            break
        seal(directory)
        assert verify(output) == []
        events += 1
    assert events > 30


def test_killed_while_reopening_leaves_no_alarm(tmp_path: Path) -> None:
    events = 0
    while True:
        directory = make(tmp_path / str(events), name(0))
        seal(directory)
        killed = killed_at(events, lambda path=directory: reopen(path))
        assert {finding.severity for finding in verify(directory.parent)} <= {"note"}
        resumed(directory)
        assert {finding.severity for finding in verify(directory.parent)} == {"note"}
        seal(directory)
        assert verify(directory.parent) == []
        if not killed:
            break
        events += 1
    assert events > 10


def test_killed_at_any_time_leaves_no_alarm(tmp_path: Path) -> None:
    runs = [name(number) for number in range(40)]
    for run in runs:
        make(tmp_path, run)
    rounds = 0
    while not set(runs) <= read(tmp_path).kept:
        left = sorted(set(runs) - read(tmp_path).kept)
        with subprocess.Popen([sys.executable, "-c", SEAL, str(tmp_path), *left]) as process:
            before = len(read(tmp_path).raw)
            while process.poll() is None and len(read(tmp_path).raw) < before + 3:
                pass  # somewhere in the sealing of the fourth record
            process.kill()
        assert not [one for one in verify(tmp_path) if one.severity == "fail"]
        rounds += 1
    assert rounds > 5
