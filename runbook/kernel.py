# ruff: noqa: PLC0415 - the notebook machinery takes seconds to import
"""Kernels to run notebooks in: of this interpreter, ready before they are wanted, one for each.

A kernel gets ready while the notebook before it still runs. No kernel runs two notebooks. They
are reached through sockets in a directory that only this user can enter, never through an
unencrypted port where that can be helped, and leave nothing behind in it.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from queue import Empty
from typing import Any, TypeVar

from runbook.errors import InfrastructureError
from runbook.forsaken import forsaken, prefix
from runbook.imports import quick_jsonschema

__all__ = ["Kernel", "Kernels", "load_ipython_extension", "warm_up"]

START = 60.0
"""Seconds a kernel may take to answer for the first time."""
END = 5.0
"""Seconds a kernel may take to end after it was asked to."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LONGEST_SOCKET = 90  # of the path of a Unix socket; systems allow 103 or 107 bytes

T = TypeVar("T")


def load_ipython_extension(shell: Any) -> None:
    """Load what every notebook uses; a kernel that is not forked is started with this."""
    _end_with_parent()
    importlib.import_module("runbook.warm")


def _end_with_parent() -> None:
    """Have this process killed when the runner is: a killed run must not go on half alive.

    Without it a kernel notices after a second or more, and meanwhile its Helm operation looks
    like somebody else's. Linux only; elsewhere the kernel's own polling has to do.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def warm_up() -> bool:
    """Begin to load what kernels need, in a process beside this one; tell whether there is one.

    There is none where the path of a socket in the temporary directory is too long (108 bytes on
    Linux): kernels are then started one by one, which takes longer and is all that differs.
    """
    with quick_jsonschema():
        from runbook import forked

    if not forked.AVAILABLE:
        return False
    try:
        forked.start_server()
    except OSError:
        return False
    return True


class Kernel:
    """A kernel process and the connection to it.

    Args:
        directory: A private directory of its own.
        forked: Whether to fork it instead of starting a program; see :func:`warm_up`.
        output: Directory of all runs; the kernel has it as ``RUNBOOK_OUTPUT``.
    """

    def __init__(self, directory: Path, *, forked: bool, output: Path | None = None) -> None:
        with quick_jsonschema():
            from jupyter_client.manager import AsyncKernelManager

            from runbook.forked import Specs

        self.manager = AsyncKernelManager(
            kernel_name="python3",
            kernel_spec_manager=Specs(forked=forked),
            connection_file=str(directory / "connection.json"),
            **_transport(directory),
        )
        self.client: Any = None
        self._directory = directory
        self._forked = forked
        self._output = output
        self._log = directory / "log"

    async def start(self) -> None:
        """Start the process and wait until it answers.

        Raises:
            InfrastructureError: It ended, or did not answer in time.
        """
        extension = [] if self._forked else ["runbook.kernel"]
        try:
            with self._log.open("w", encoding="utf-8") as stderr:
                await self.manager.start_kernel(
                    stderr=stderr,
                    env=self._environment(),
                    extra_arguments=[
                        "--HistoryManager.hist_file=:memory:",
                        f"--InteractiveShellApp.extra_extensions={extension}",
                    ],
                )
            await self._listens()
            self.client = self.manager.client()
            self.client.start_channels()
            self.client.allow_stdin = False
            await self._answers()
        except (RuntimeError, OSError, EOFError) as error:
            await self.kill()
            raise self.failure("the kernel did not start", error) from error

    async def _listens(self) -> None:
        """Wait until its sockets are there: who connects before that tries again after 0.1 s."""
        info: dict[str, Any] = dict(self.manager.get_connection_info())
        deadline = time.monotonic() + START
        if info["transport"] != "ipc":
            return
        sockets = [Path(f"{info['ip']}-{info[f'{name}_port']}") for name in ("shell", "iopub")]
        while not all(socket.exists() for socket in sockets):
            if time.monotonic() > deadline or not await self.manager.is_alive():
                return  # and so it will not answer
            await asyncio.sleep(0.005)

    async def _answers(self) -> None:
        """Wait until both directions work: a reply has come, and its status on the side channel.

        Jupyter's own wait then listens for another 0.2 s whether more comes.
        """
        deadline = time.monotonic() + START
        asked: list[str] = []
        while True:
            asked.append(self.client.kernel_info())
            try:
                while True:
                    message = await self.client.iopub_channel.get_msg(timeout=0.1)
                    if message["parent_header"].get("msg_id") in asked and _is_idle(message):
                        await self._drain(asked.index(message["parent_header"]["msg_id"]), asked)
                        return
            except Empty:
                pass
            if not await self.manager.is_alive():
                raise RuntimeError("it ended before it answered")
            if time.monotonic() > deadline:
                raise RuntimeError(f"it did not answer within {START:.0f} s")

    async def _drain(self, answered: int, asked: list[str]) -> None:
        """Take in the answers to what was asked more than once, so that none is left over."""
        for _ in asked:
            await self.client.shell_channel.get_msg(timeout=START)
        waiting = set(asked[answered + 1 :])
        while waiting:
            message = await self.client.iopub_channel.get_msg(timeout=START)
            if _is_idle(message):
                waiting.discard(message["parent_header"].get("msg_id"))

    async def interrupt(self) -> None:
        """Interrupt what it does, as Ctrl-C."""
        if self.manager.has_kernel:
            await self.manager.interrupt_kernel()

    async def kill(self) -> None:
        """End it at once if it still runs."""
        if self.client is not None:
            self.client.stop_channels()
        if self.manager.has_kernel:
            await self.manager.shutdown_kernel(now=True)

    async def end(self) -> None:
        """Ask it to end, wait for that, and end it by force if it does not."""
        if not self.manager.has_kernel:
            return
        try:
            async with asyncio.timeout(END):
                await self.manager.request_shutdown()
                while await self.manager.is_alive():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pass
        await self.kill()

    def log(self) -> str:
        """Give what the process itself wrote: what no notebook output holds."""
        try:
            return self._log.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def failure(self, what: str, error: BaseException) -> InfrastructureError:
        """Give the error for a kernel that failed, with its last words."""
        last = self.log().strip().splitlines()[-5:]
        return InfrastructureError(
            what,
            why="\n".join([str(error).strip() or type(error).__name__, *last]),
            fix="run it again; `runbook doctor` looks at the kernel",
        )

    def _environment(self) -> dict[str, str]:
        """Give its variables: nothing of the user's start-up files and history, no shared files."""
        own = str(self._directory)
        named = {"RUNBOOK_OUTPUT": str(self._output.resolve())} if self._output else {}
        return {**os.environ, "IPYTHONDIR": own, "TMPDIR": own, "RUNBOOK_BATCH": "1", **named}


class Kernels:
    """A supply of kernels, the next one always under way; a context manager.

    Args:
        count: How many will be needed at most.
        forked: Whether to fork them, see :func:`warm_up`.
        output: Directory of all runs, for notebooks that look into earlier records.
    """

    def __init__(self, count: int, *, forked: bool, output: Path | None = None) -> None:
        self._left = count
        self._forked = forked
        self._output = output
        self._made: list[Kernel] = []
        self._next: asyncio.Task[Kernel] | None = None
        self._ending: list[asyncio.Task[None]] = []

    def __enter__(self) -> Kernels:
        for left in forsaken("kernel"):
            shutil.rmtree(left, ignore_errors=True)
        self._space = tempfile.TemporaryDirectory(
            prefix=prefix("kernel"), ignore_cleanup_errors=True
        )
        self._loop = asyncio.new_event_loop()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.run(self._end())
        finally:
            self._loop.close()
            self._space.cleanup()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something with kernels; those that start or end make progress meanwhile."""
        return self._loop.run_until_complete(work)

    async def take(self) -> Kernel:
        """Give a kernel that is ready, and begin with the next.

        Raises:
            InfrastructureError: It could not be started, twice.
        """
        kernel = await (self._next or self._ready())
        self._next = None
        if self._left > 0:
            self._next = asyncio.ensure_future(self._ready())
        return kernel

    def release(self, kernel: Kernel) -> None:
        """Have a kernel end that is no longer needed, without waiting for it."""
        self._ending.append(self._loop.create_task(kernel.end()))

    async def _ready(self) -> Kernel:
        """Start a kernel; try once more, as a program, when that fails."""
        self._left -= 1
        kernel = self._make(forked=self._forked)
        try:
            await kernel.start()
        except InfrastructureError:
            kernel = self._make(forked=False)
            await kernel.start()
        return kernel

    def _make(self, *, forked: bool) -> Kernel:
        directory = Path(self._space.name) / str(len(self._made) + 1)
        directory.mkdir(mode=0o700)
        self._made.append(Kernel(directory, forked=forked, output=self._output))
        return self._made[-1]

    async def _end(self) -> None:
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait([self._next])
        await asyncio.gather(*self._ending)
        await asyncio.gather(*(kernel.end() for kernel in self._made))


def _is_idle(message: dict[str, Any]) -> bool:
    state: object = message["content"].get("execution_state")
    return message["msg_type"] == "status" and state == "idle"


def _transport(directory: Path) -> dict[str, Any]:
    """Choose how to reach a kernel: sockets in a private directory, else encrypted ports."""
    socket = directory / "kernel"
    if sys.platform != "win32" and len(os.fsencode(socket)) <= _LONGEST_SOCKET:
        return {"transport": "ipc", "ip": str(socket)}
    return {"transport": "tcp", "transport_encryption": "auto"}
