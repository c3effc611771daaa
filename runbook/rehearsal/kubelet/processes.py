"""Containers as real processes on loopback.

A process inherits its listening sockets, already bound, so its ports are known before it runs.
It ends when its standard input does, which happens however the parent ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["Process", "write_files"]

_LAUNCHER = Path(__file__).parent.parent / "images" / "launch.py"
_GRACE = 2.0
"""Seconds a process gets between SIGTERM and SIGKILL."""


class Process:
    """One container that runs as a process.

    Args:
        module: Python module to run.
        ports: Container ports to listen on, each on a free port of 127.0.0.1.
        env: More environment.
        settings: What the module gets as its settings, as JSON.
        log: File for what it says.
        changed: Called from another thread when it becomes ready, and when it ends.
    """

    def __init__(
        self,
        module: str,
        *,
        ports: tuple[int, ...],
        env: Mapping[str, str],
        settings: Mapping[str, object],
        log: Path,
        changed: Callable[[], None],
    ) -> None:
        self._changed = changed
        self.ready = False
        self.exit_code: int | None = None
        listeners = {port: socket.create_server(("127.0.0.1", 0)) for port in ports}
        self.addresses = {port: s.getsockname()[1] for port, s in listeners.items()}
        ready_read, ready_write = os.pipe()
        fds = {str(port): s.fileno() for port, s in listeners.items()}
        given = {**settings, "listeners": fds, "ready": ready_write}
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-E", "-s", str(_LAUNCHER), module],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ.get("PATH", ""), "PYTHONUNBUFFERED": "1", **env}
                | {"RUNBOOK_SETTINGS": json.dumps(given)},
                pass_fds=[*fds.values(), ready_write],
            )
        os.close(ready_write)
        for listener in listeners.values():
            listener.close()
        self.pid = self._process.pid
        self._minder = threading.Thread(
            target=self._mind, args=(ready_read,), name=f"mind-{self.pid}", daemon=True
        )
        self._minder.start()

    def stop(self) -> None:
        """End the process, gently at first."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if threading.current_thread() is not self._minder:
            self._minder.join(_GRACE)

    def _mind(self, ready: int) -> None:
        with os.fdopen(ready, "rb") as pipe:
            if pipe.read(1):
                self.ready = True
                self._changed()
        self.exit_code = self._process.wait()
        self.ready = False
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._changed()


def write_files(directory: Path, contents: Mapping[str, bytes]) -> None:
    """Make the files of a directory exactly these; each appears whole or not at all."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in directory.iterdir():
        if old.name not in contents:
            old.unlink()
    for name, content in contents.items():
        target = directory / name.replace("/", "_")
        if target.exists() and target.read_bytes() == content:
            continue
        fresh = directory / f".{target.name}.new"
        fresh.touch(mode=0o600)
        fresh.write_bytes(content)
        fresh.replace(target)
