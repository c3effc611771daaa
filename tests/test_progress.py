"""Progress: for whoever watches, after a second, and gone afterwards."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from runbook import progress as module
from runbook.progress import BATCH, progress


class Time:
    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> float:
        return self.seconds


class Terminal(io.StringIO):
    """A terminal that keeps everything ever written to it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lines as they were shown, where somebody watches."""
    lines: list[str] = []
    monkeypatch.setattr(module, "_screen", lambda: lines.append)
    return lines


def watch(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a stream standard error; within the test, for pytest sets its own before."""
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.delenv(BATCH, raising=False)


def long_wait(time: Time) -> None:
    with progress("ready", 7, now=time.now) as told:
        time.seconds += 65
        told.tell(3, "waiting for Deployment linkerd/linkerd-destination")


def test_says_how_many_of_how_many_how_long_and_what_for(screen: list[str], time: Time) -> None:
    long_wait(time)
    said, gone = screen
    assert said.startswith("ready: 3 of 7 |")
    assert said.endswith("| 01:05 waiting for Deployment linkerd/linkerd-destination")
    assert gone == ""


def test_what_is_quick_stays_quiet(screen: list[str], time: Time) -> None:
    with progress("ready", 7, now=time.now) as told:
        told.tell(1)
        time.seconds += 0.9
        told.tell(6)
    assert screen == []
    with progress("ready", 7, now=time.now) as told:
        time.seconds += 1
        told.tell(6)
    assert len(screen) == 2


def test_of_unknown_length_it_counts_the_time(screen: list[str], time: Time) -> None:
    with progress("Helm: install release a/b", now=time.now) as told:
        time.seconds += 12
        told.tell()
    assert screen == ["Helm: install release a/b: 00:12", ""]


def test_is_taken_away_after_a_failure_too(screen: list[str], time: Time) -> None:
    with pytest.raises(KeyboardInterrupt), progress("ready", 1, now=time.now) as told:
        time.seconds += 5
        told.tell()
        raise KeyboardInterrupt
    assert screen[-1] == ""


def test_a_terminal_shows_one_line_and_ends_empty(
    time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    watch(terminal, monkeypatch)
    monkeypatch.setenv("COLUMNS", "40")
    long_wait(time)
    shown = terminal.getvalue()
    assert "ready: 3 of 7" in shown
    assert "\n" not in shown
    written = [line for line in shown.split("\r") if line.strip()]
    assert [len(line) for line in written] == [39], "cut to the width of the terminal"
    assert shown.split("\r")[-2].strip() == ""
    assert shown.endswith("\r")


def test_batch_and_what_is_no_terminal_stay_silent(
    time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stream, batch in ((Terminal(), "1"), (io.StringIO(), "")):
        watch(stream, monkeypatch)
        monkeypatch.setenv(BATCH, batch)
        long_wait(time)
        assert stream.getvalue() == ""


@pytest.mark.parametrize("asks", [True, False])
def test_in_a_kernel_the_frontend_decides(asks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=asks))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(module, "_notebook_screen", lambda: "a notebook's")
    monkeypatch.delenv(BATCH, raising=False)
    assert module._screen() == ("a notebook's" if asks else None)


def execute(source: str, **options: Any) -> list[dict[str, Any]]:
    """Run a cell in a real kernel; give its outputs."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, timeout=60, kernel_name="python3", **options).execute()
    return notebook.cells[0].outputs


WAIT = """
from runbook.progress import progress
ticks = iter(range(0, 100, 30))
with progress("ready", 2, now=lambda: next(ticks)) as told:
    told.tell(0, "waiting for a")
    told.tell(1, "waiting for b")
print("after")
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_notebook_run_in_batch_keeps_no_trace_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(BATCH, raising=False)
    (only,) = execute(WAIT)
    assert only["text"] == "after\n"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_notebook_with_a_reader_is_left_empty_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(BATCH, raising=False)
    watched = "get_ipython().kernel._allow_stdin = True\n"
    shown, after = execute(watched + WAIT)
    assert shown == {"output_type": "display_data", "metadata": {}, "data": {}}
    assert after["text"] == "after\n"
