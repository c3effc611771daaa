"""Files are written whole, and by one process at a time."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runbook.archive.files import locked, write_atomic

COUNT = """
import sys
from pathlib import Path
from runbook.archive.files import locked, write_atomic
directory = Path(sys.argv[1])
for _ in range(40):
    with locked(directory):
        number = int((directory / "number").read_text())
        write_atomic(directory / "number", str(number + 1))
"""

HOLD = """
import sys, time
from pathlib import Path
from runbook.archive.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("content", ["text é\n", b"\x00\xffbytes", ""])
def test_content_and_mode(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "file"
    path.write_text("a longer content from before")
    write_atomic(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("broken", ["replace", "chmod"])
def test_failure_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = tmp_path / "file"
    path.write_text("before")

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, broken, full)
    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_lock_admits_one_process_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    command = [sys.executable, "-c", COUNT, str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    assert (tmp_path / "number").read_text() == "160"


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGKILL)
        with locked(tmp_path):  # would wait for ever
            pass
    assert process.returncode == -signal.SIGKILL


def test_lock_makes_the_directory_it_guards(tmp_path: Path) -> None:
    with locked(tmp_path / "outputs"):
        assert (tmp_path / "outputs").is_dir()
