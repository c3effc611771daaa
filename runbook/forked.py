"""Kernels forked from one process that has loaded everything already: a start costs no imports.

The process is the fork server of :mod:`multiprocessing`: single-threaded, started once, with no
file or lock of the batch open. Each kernel is still a process of its own that runs one notebook.
Linux only: elsewhere forking a process that has loaded system libraries is not safe, and kernels
are started afresh.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

__all__ = ["AVAILABLE", "ForkedProvisioner", "Specs", "serve", "start_server"]

AVAILABLE = sys.platform == "linux"
"""Whether kernels can be forked here."""

_NAME = "runbook-forked"  # as in pyproject.toml, [project.entry-points]
_PRELOADED = ("runbook.forked", "runbook.warm")


def start_server() -> None:
    """Start the process to fork from; it loads what notebooks use while this returns at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    forkserver.ensure_running()


class Specs(KernelSpecManager):
    """The kernel of this interpreter and no other: one called python3 by the user is not ours.

    Args:
        forked: Whether kernels are to be forked.
    """

    def __init__(self, *, forked: bool) -> None:
        super().__init__(kernel_dirs=[])
        self._forked = forked

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Give the specification of a kernel, with the way to start it."""
        spec = super().get_kernel_spec(kernel_name)
        if self._forked:
            spec.metadata = {"kernel_provisioner": {"provisioner_name": _NAME}}
        return spec


class ForkedProvisioner(LocalProvisioner):
    """Forks a kernel where Jupyter would start a program; everything else is as in Jupyter."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork a kernel.

        Args:
            cmd: The command line a program would get; what follows the module is for the kernel.
            kwargs: ``env``, ``cwd`` and ``stderr``, a file with a descriptor.
        """
        arguments = cmd[cmd.index("-f") :]
        context = multiprocessing.get_context("forkserver")
        made = context.Process(
            target=serve,
            args=(arguments, dict(kwargs["env"]), str(kwargs.get("cwd") or Path.cwd())),
            kwargs={"log": kwargs["stderr"].name},
        )
        made.start()
        child: Any = _Child(made)
        self.process = child
        self.pid = child.pid  # its process group is not known yet: signals go to it alone
        return self.connection_info


class _Child:
    """As much of ``subprocess.Popen`` as Jupyter uses, over a forked process."""

    stdin = stdout = stderr = None

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        self.pid = process.pid or 0

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int | None:
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def serve(arguments: list[str], environment: dict[str, str], directory: str, *, log: str) -> None:
    """Be a kernel; runs in the forked process and returns when it is shut down.

    Args:
        arguments: For the kernel, beginning with ``-f CONNECTION_FILE``.
        environment: All variables; the fork server has those of its own start.
        directory: Where to work.
        log: File for what the process itself writes.
    """
    from ipykernel.kernelapp import IPKernelApp  # noqa: PLC0415 - there already when forked

    os.setsid()  # Ctrl-C on the terminal is for the batch, which passes it on
    with open(log, "ab", buffering=0) as file:  # noqa: PTH123
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    # Not cleared and filled anew: a library that reads the process's own block, as Helm's does,
    # would find it empty, and take the working directory for the home of its caches.
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update({n: v for n, v in environment.items() if os.environ.get(n) != v})
    os.chdir(directory)
    tempfile.tempdir = None  # to be found again from TMPDIR
    threading.Thread(target=_end_with_batch, daemon=True).start()
    parent = f"--IPKernelApp.parent_handle={os.getppid()}"  # else it greets a person at a terminal
    IPKernelApp.launch_instance([*arguments, parent])


def _end_with_batch() -> None:
    """End this process when the batch is gone: a killed run must not go on half alive."""
    batch = multiprocessing.parent_process()
    if batch is not None:
        batch.join()
        os.kill(os.getpid(), signal.SIGKILL)
