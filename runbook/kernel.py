# ruff: noqa: PLC0415 - the notebook machinery takes seconds to import
"""Kernels to run notebooks in: of this interpreter, warm, one for each notebook.

A kernel is started while the notebook before it still runs, and loads the package meanwhile, so
that a batch does not wait for imports. No kernel runs two notebooks.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runbook.errors import InfrastructureError
from runbook.imports import quick_jsonschema

__all__ = ["Kernel", "load_ipython_extension", "pool"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_WARM = ("runbook.step", "runbook.linkerd", "kubernetes.client", "kubernetes.config")


def load_ipython_extension(shell: Any) -> None:
    """Load what every notebook uses; a kernel is started with this as an extension."""
    _end_with_parent()
    with quick_jsonschema():
        for name in _WARM:
            importlib.import_module(name)


def _end_with_parent() -> None:
    """Have this process killed when the runner is: a killed run must not go on half alive.

    Without it a kernel notices after a second or more, and meanwhile its Helm operation looks
    like somebody else's. Linux only; elsewhere the kernel's own polling has to do.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Kernel:
    """A kernel process, started but not waited for.

    Args:
        directory: Where it may write; see :func:`pool`.
        name: Name of its log there.
    """

    def __init__(self, directory: Path, name: str) -> None:
        from jupyter_client.kernelspec import KernelSpecManager
        from jupyter_client.manager import AsyncKernelManager
        from jupyter_core.utils import run_sync

        # No other directories: a kernel called python3 that the user has installed is not ours.
        specs = KernelSpecManager(kernel_dirs=[])
        self._manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs)
        self._log = directory / f"{name}.log"
        with self._log.open("w", encoding="utf-8") as stderr:
            run_sync(self._manager.start_kernel)(
                stderr=stderr,
                extra_arguments=[
                    "--HistoryManager.hist_file=:memory:",
                    "--InteractiveShellApp.extra_extensions=runbook.kernel",
                ],
            )

    def execute(self, notebook: Any) -> None:
        """Execute a notebook node in place and end the kernel.

        Errors of the notebook are among its outputs afterwards; they are not raised.

        Raises:
            InfrastructureError: The kernel did not start, or died.
        """
        with quick_jsonschema():
            from nbclient.exceptions import DeadKernelError
            from papermill.clientwrap import PapermillNotebookClient
            from papermill.engines import NBClientEngine

        manager = self._manager

        class Engine(NBClientEngine):  # type: ignore[misc] # papermill has no types
            """Papermill's own, on a kernel that runs already."""

            @classmethod
            def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **_: Any) -> Any:
                client = PapermillNotebookClient(nb_man, km=manager, startup_timeout=60)
                return client.execute(cleanup_kc=True)

        try:
            Engine.execute_notebook(notebook, "python3", progress_bar=False, autosave_cell_every=0)
        except (DeadKernelError, RuntimeError, OSError) as error:
            raise InfrastructureError(
                "the kernel ended before the notebook did",
                why="\n".join([str(error).strip() or type(error).__name__, *self._last_words()]),
                fix="run it again; `runbook doctor` looks at the kernel",
            ) from error

    def stop(self) -> None:
        """End the kernel if it still runs; a second call does nothing."""
        from jupyter_core.utils import run_sync

        if self._manager.has_kernel:
            run_sync(self._manager.shutdown_kernel)(now=True)

    def _last_words(self) -> list[str]:
        """Give the last lines the process itself wrote to standard error."""
        text = self._log.read_text(encoding="utf-8", errors="replace")
        return text.strip().splitlines()[-5:]


@contextmanager
def pool(count: int) -> Iterator[Iterator[Kernel]]:
    """Give kernels, each started while the one before it is in use; end all of them afterwards.

    They get a directory of their own and nothing of the user's: no start-up files, no history.

    Args:
        count: How many will be needed at most.
    """
    made: list[Kernel] = []
    with tempfile.TemporaryDirectory(prefix="runbook-kernel-") as directory, _home(directory):

        def start() -> Kernel:
            made.append(Kernel(Path(directory), f"kernel-{len(made) + 1}"))
            return made[-1]

        def each() -> Iterator[Kernel]:
            following = start()
            for number in range(count):
                current = following
                if number + 1 < count:
                    following = start()
                yield current

        try:
            yield each()
        finally:
            for kernel in made:
                kernel.stop()


@contextmanager
def _home(directory: str) -> Iterator[None]:
    """Make a directory IPython's own for a while."""
    before = os.environ.get("IPYTHONDIR")
    os.environ["IPYTHONDIR"] = directory
    try:
        yield
    finally:
        os.environ.pop("IPYTHONDIR")
        if before is not None:
            os.environ["IPYTHONDIR"] = before
