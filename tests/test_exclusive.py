"""One run at a time on a cluster, whatever ends the one before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runbook.errors import UsageError
from runbook.exclusive import sole_run

UID, OTHER = "0b4b7e5c-1111-2222-3333-444455556666", "0b4b7e5c-1111-2222-3333-444455557777"
RUN = f"""
import os, sys
from pathlib import Path
from runbook.exclusive import sole_run
with sole_run(Path(sys.argv[1]), {UID!r}):
    {{}}
    print("at work", flush=True)
    sys.stdin.read()
"""


def start(output: Path, text: str = "pass") -> subprocess.Popen[str]:
    """Start a run in a process of its own, and wait until it is at work."""
    line = [sys.executable, "-c", RUN.format(text), str(output)]
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "at work\n"
    return process


def test_a_second_run_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    output = tmp_path / "outputs"
    with start(output) as first:
        with pytest.raises(UsageError, match="another run") as caught, sole_run(output, UID):
            pytest.fail("two at once")
        assert f"process {first.pid}, since " in caught.value.why
        assert UID in caught.value.why
        with sole_run(output, OTHER):
            pass  # on another cluster
        with sole_run(tmp_path / "elsewhere", UID):
            pass  # not found: only one directory of records is looked at
        first.communicate()
    with sole_run(output, UID):
        assert f"process {os.getpid()}, since" in (output / f".{UID}.lock").read_text()


def test_a_killed_run_holds_nothing_not_even_by_a_forked_child(tmp_path: Path) -> None:
    forks = "os.fork() or (os.close(0), os.close(1), __import__('time').sleep(5), os._exit(0))"
    with start(tmp_path, forks) as first:
        with pytest.raises(UsageError), sole_run(tmp_path, UID):
            pass
        first.kill()
        first.wait()
        with sole_run(tmp_path, UID):
            pass


def test_an_unknown_cluster_is_not_locked(tmp_path: Path) -> None:
    with sole_run(tmp_path, ""), sole_run(tmp_path, ""):
        assert list(tmp_path.iterdir()) == []
