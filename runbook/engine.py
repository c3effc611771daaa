"""How a notebook is executed: redacted, saved whole and seldom, with an end to every wait.

The batch runner uses it directly, ``papermill --engine runbook IN OUT`` through
:mod:`runbook.papermill_engine`. Against papermill's own engine:

* What a cell puts out passes the redactor before it is logged or saved.
* The file is replaced atomically, at the end and now and then before (papermill writes it two
  times a cell, so that the bytes written grow with the square of the notebook).
* Cells have a time limit, a kernel that no longer answers is noticed, and Ctrl-C or SIGTERM
  interrupts the cell, whose output is kept.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from runbook import scrub
from runbook.errors import InfrastructureError
from runbook.imports import quick_jsonschema
from runbook.kernel import Kernel

with quick_jsonschema():
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NotebookExecutionManager

__all__ = ["CELL_TIMEOUT", "Execution", "execute"]

CELL_TIMEOUT = 3 * 3600
"""Seconds after which a cell is ended when nothing else is asked: longer than any wait of ours."""

GRACE = 10.0
"""Seconds an interrupted cell has to end before its kernel is killed."""

SILENCE = 60.0
"""Seconds after which a kernel counts as dead that does not answer its heartbeat."""

_SAVE_EVERY = 2.0  # seconds at least between two saves while a notebook runs
_SAVE_SHARE = 20  # and at least so many times what the last one took


class Execution(NotebookExecutionManager):  # type: ignore[misc] # papermill has no types
    """A notebook being executed: its state, its timings and when it is saved.

    Args:
        nb: The notebook node; executed in place.
        write: Called with the node to save it; must redact.
        on_cell: Called with the id of each code cell as it starts.
        options: Of papermill: ``output_path``, ``progress_bar``, ``log_output``.
    """

    def __init__(
        self,
        nb: Any,
        *,
        write: Callable[[Any], None],
        on_cell: Callable[[str], None] = lambda _: None,
        **options: Any,
    ) -> None:
        super().__init__(nb, autosave_cell_every=0, **options)
        self.interrupted = False
        self._write = write
        self._on_cell = on_cell
        self._due = time.monotonic() + _SAVE_EVERY

    def save(self, **_: Any) -> None:
        """Save the notebook, unless that was done a moment ago."""
        now = time.monotonic()
        if now >= self._due or self.end_time is not None:
            self._write(self.nb)
            took = time.monotonic() - now
            self._due = now + max(_SAVE_EVERY, _SAVE_SHARE * took)

    def cell_start(self, cell: Any, cell_index: int | None = None, **more: Any) -> None:
        """Note that a cell starts."""
        super().cell_start(cell, cell_index, **more)
        if cell.cell_type == "code":
            self._on_cell(cell.get("id", ""))


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    """Executes the cells of a notebook on a kernel that is ready."""

    def __init__(
        self, execution: Execution, kernel: Kernel, redact: scrub.Scrub, **options: Any
    ) -> None:
        super().__init__(execution, km=kernel.manager, **options)
        self.kc = kernel.client
        self._redact = redact
        self.silent = False
        self._beat = time.monotonic()

    async def run(self) -> None:
        """Execute cell after cell; the first error ends it and is among the outputs."""
        self.reset_execution_trackers()
        for index, cell in enumerate(self.nb.cells):
            if self.nb_man.interrupted:
                return
            try:
                self.nb_man.cell_start(cell, index)
                await self.async_execute_cell(cell, index)
            except CellExecutionError as error:
                self.nb_man.cell_exception(cell, cell_index=index, exception=error)
                return
            finally:
                self.nb_man.cell_complete(cell, cell_index=index)

    def log_output_message(self, output: Any) -> None:
        """Log an output as papermill does, without the secrets in it."""
        super().log_output_message(type(output)(self._redact(output)))

    async def _async_check_alive(self) -> None:
        """Look at the process, and whether it still answers its heartbeat."""
        await super()._async_check_alive()
        if self.kc.hb_channel.is_beating():
            self._beat = time.monotonic()
        elif time.monotonic() - self._beat > SILENCE:
            self.silent = True
            raise DeadKernelError


async def execute(
    execution: Execution,
    kernel: Kernel,
    *,
    redact: scrub.Scrub,
    cell_timeout: float = CELL_TIMEOUT,
    deadline: float | None = None,
    **options: Any,
) -> None:
    """Execute a notebook on a kernel. Errors of its cells are among the outputs, not raised.

    On SIGINT or SIGTERM the cell is interrupted, its output kept, and ``execution.interrupted``
    set; a second signal kills the kernel.

    Args:
        execution: The notebook.
        kernel: Ready to be used, and of no use afterwards.
        redact: Takes secrets out of what is logged.
        cell_timeout: Seconds any one cell may take.
        deadline: Time on the monotonic clock at which everything must end.
        options: For papermill's client: ``log_output``, ``stdout_file``, ``stderr_file``.

    Raises:
        InfrastructureError: The kernel died, no longer answered, or a cell took too long.
    """

    def allowed(_: Any) -> float:
        left = cell_timeout if deadline is None else deadline - time.monotonic()
        return max(0.1, min(cell_timeout, left))  # 0 would mean no limit

    client = _Client(execution, kernel, redact, timeout_func=allowed, **options)
    with _signals(execution, kernel):
        try:
            await client.run()
        except CellTimeoutError as error:
            await kernel.interrupt()
            raise InfrastructureError(
                "a cell took longer than it may",
                why="the time for the whole run was over"
                if deadline is not None and time.monotonic() >= deadline
                else f"the limit is {cell_timeout:.0f} s a cell",
                fix="look at what it waits for; the page of the notebook shows the cell",
            ) from error
        except (DeadKernelError, RuntimeError, OSError) as error:
            if execution.interrupted:
                return
            if client.silent:
                silence = TimeoutError(f"it has not answered its heartbeat for {SILENCE:.0f} s")
                raise kernel.failure("the kernel no longer answers", silence) from error
            raise kernel.failure("the kernel ended before the notebook did", error) from error


@contextmanager
def _signals(execution: Execution, kernel: Kernel) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into an interrupt of the cell for as long as this lasts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []

    async def stop() -> None:
        await kernel.interrupt()
        await asyncio.sleep(GRACE)
        await kernel.kill()

    def told() -> None:
        work = kernel.kill() if execution.interrupted else stop()
        execution.interrupted = True
        tasks.append(loop.create_task(work))

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        loop.add_signal_handler(number, told)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
        for task in tasks:
            task.cancel()
