"""Executing a notebook: what is saved and when, what ends it, and papermill's way to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from runbook import engine
from runbook.engine import Execution, execute
from runbook.errors import InfrastructureError
from runbook.kernel import Kernels, warm_up

TOKEN = "ey" + "J0b2tlbiI" * 3 + ".ey" + "J0b2tlbiI" * 3 + ".c2lnbmF0dXJl"


def book(*sources: str) -> Any:
    cells = [new_code_cell(source, id=f"cell-{n}") for n, source in enumerate(sources, 1)]
    return new_notebook(cells=cells, metadata={"papermill": {}})


def outputs(notebook: Any) -> str:
    return json.dumps([cell.get("outputs") for cell in notebook.cells])


@pytest.fixture
def run() -> Callable[..., Execution]:
    """Give a function that executes a notebook and remembers every save of it."""
    fork = warm_up()

    def go(notebook: Any, *, saved: list[str] | None = None, **options: Any) -> Execution:
        def write(node: Any) -> None:
            if saved is not None:
                saved.append(outputs(node))

        execution = Execution(notebook, write=write, progress_bar=False)
        with Kernels(1, forked=fork) as kernels:

            async def work() -> None:
                kernel = await kernels.take()
                execution.notebook_start()
                try:
                    await execute(execution, kernel, redact=lambda value: value, **options)
                finally:
                    execution.notebook_complete()

            kernels.run(work())
        return execution

    return go


def test_executes_cells_in_order_and_stops_at_an_error(run: Callable[..., Execution]) -> None:
    notebook = book("a = 1; print(a)", "1 / 0", "print('never')")
    run(notebook)
    shown = outputs(notebook)
    assert '"1\\n"' in shown
    assert "ZeroDivisionError" in shown
    assert "never" not in shown
    assert [cell.metadata.papermill["status"] for cell in notebook.cells] == [
        *("completed", "failed", "pending")
    ]


def test_is_saved_once_when_it_is_quick(run: Callable[..., Execution]) -> None:
    saved: list[str] = []
    notebook = book(*["1"] * 50)
    notebook.cells += [new_markdown_cell("text") for _ in range(50)]
    run(notebook, saved=saved)
    assert saved == [outputs(notebook)]


def test_is_saved_now_and_then_while_it_runs(
    run: Callable[..., Execution], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_SAVE_EVERY", 0.0)
    saved: list[str] = []
    run(book("print('one')", "print('two')"), saved=saved)
    assert any("one" in text and "two" not in text for text in saved)
    assert "two" in saved[-1]


def test_a_slow_save_is_done_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(engine.time, "monotonic", lambda: now[0])
    saves: list[float] = []

    def write(_: Any) -> None:
        saves.append(now[0])
        now[0] += 1.0

    execution = Execution(book("1"), write=write, progress_bar=False)
    for _ in range(100):
        now[0] += 0.5
        execution.save()
    assert len(saves) == 3, "each took a second: twenty seconds of work between them"


def test_a_cell_that_takes_too_long_is_ended(run: Callable[..., Execution]) -> None:
    notebook = book("print('begun')\nimport time; time.sleep(60)", "1")
    with pytest.raises(InfrastructureError, match="longer than it may") as caught:
        run(notebook, cell_timeout=0.5)
    assert "a cell" in caught.value.why
    assert "begun" in outputs(notebook)


def test_a_kernel_that_dies_is_an_error_with_its_last_words(run: Callable[..., Execution]) -> None:
    with pytest.raises(InfrastructureError, match="ended before") as caught:
        run(book("import os; os.write(2, b'last words\\n'); os._exit(9)"))
    assert "last words" in caught.value.why


def test_a_kernel_that_is_frozen_is_noticed(
    run: Callable[..., Execution], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SILENCE", 1.0)
    with pytest.raises(InfrastructureError, match="no longer answers") as caught:
        run(book("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"))
    assert "heartbeat" in caught.value.why


def test_a_kernel_that_works_for_long_is_left_alone(
    run: Callable[..., Execution], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SILENCE", 1.5)
    notebook = book("import time; end = time.monotonic() + 4\nwhile time.monotonic() < end: pass")
    run(notebook)
    assert notebook.cells[0].metadata.papermill["status"] == "completed"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts_the_cell_and_keeps_its_output(
    run: Callable[..., Execution], tmp_path: Path, number: signal.Signals
) -> None:
    begun = tmp_path / "begun"
    text = f"import pathlib, time\nprint('so far')\npathlib.Path({str(begun)!r}).touch()\n"
    text += "try:\n    time.sleep(60)\nfinally:\n    print('cleaned up')"
    over = threading.Event()

    def tell() -> None:
        while not begun.exists():
            if over.wait(0.02):
                return
        os.kill(os.getpid(), number)

    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    watcher = threading.Thread(target=tell)
    watcher.start()
    notebook = book(text, "print('never')")
    try:
        assert run(notebook).interrupted
    finally:
        over.set()
        watcher.join()
    assert "so far" in outputs(notebook)
    assert "cleaned up" in outputs(notebook)
    assert "never" not in outputs(notebook)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_a_cell_that_ignores_the_interrupt_is_killed(
    run: Callable[..., Execution], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "GRACE", 0.2)
    text = f"import os, time\nos.kill({os.getpid()}, 15)\n"
    text += (
        "while True:\n    try:\n        time.sleep(60)\n    except KeyboardInterrupt:\n        pass"
    )
    assert run(book(text)).interrupted


def papermill(tmp_path: Path, notebook: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    source = tmp_path / "in.ipynb"
    source.write_text(json.dumps(notebook))
    command = [sys.executable, "-m", "papermill", "--engine", "runbook", str(source)]
    return subprocess.run(
        [*command, str(tmp_path / "out.ipynb"), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_papermill_finds_the_engine(tmp_path: Path) -> None:
    done = papermill(tmp_path, book("1 + 1"), "--no-progress-bar")
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "out.ipynb").read_text())
    assert written["cells"][0]["outputs"][0]["data"]["text/plain"] in ("2", ["2"])
    assert written["metadata"]["papermill"]["exception"] is None


@pytest.mark.parametrize("fails", [False, True])
def test_papermill_writes_and_logs_no_secret(tmp_path: Path, fails: bool) -> None:
    text = f"token = 'ey' + '{TOKEN[2:]}'\nprint('it is', token)\n"
    text = text.replace(TOKEN[2:], TOKEN[2:][::-1] + "'[::-1] + '")
    text += "raise RuntimeError(f'refused {token}')" if fails else "token"
    done = papermill(tmp_path, book(text), "--log-output")
    assert (done.returncode != 0) == fails, done.stderr
    written = (tmp_path / "out.ipynb").read_text()
    for shown in (written, done.stdout, done.stderr):
        assert TOKEN not in shown
    assert "it is [redacted]" in written
    assert "it is [redacted]" in done.stderr
    assert ("refused [redacted]" in written) == fails


def test_papermill_keeps_to_its_time_limit(tmp_path: Path) -> None:
    notebook = book("print('begun')\nimport time; time.sleep(60)")
    done = papermill(tmp_path, notebook, "--execution-timeout", "1")
    assert done.returncode != 0
    assert "longer than it may" in done.stderr
    assert "begun" in (tmp_path / "out.ipynb").read_text()
