"""Containers as real processes on loopback.

A module of ours inherits its listening sockets, already bound, so its ports are known before it
runs. It ends when its standard input does, which happens however the parent ends. A program of
others is told its ports, which are kept free for it until it listens, and is killed by the kernel
when the parent ends.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["Process", "Program", "write_files"]

_LAUNCHER = Path(__file__).parent.parent / "images" / "launch.py"
_HOLDER = Path(__file__).parent / "hold.py"
_LIGHT = tuple(f"runbook.rehearsal.{name}." for name in ("traffic", "monitoring", "ingress"))
"""Modules that need the standard library alone: they start faster without ``site``."""
_GRACE = 2.0
"""Seconds a process gets between SIGTERM and SIGKILL."""
_EAGER, _PATIENT = 0.005, 0.1
"""Seconds between two attempts to reach a program that starts, at first and after a while."""
_EAGER_SECONDS = 2.0


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
        listeners = {port: socket.create_server(("127.0.0.1", 0)) for port in ports}
        self.addresses = {port: s.getsockname()[1] for port, s in listeners.items()}
        ready_read, ready_write = os.pipe()
        fds = {str(port): s.fileno() for port, s in listeners.items()}
        given = {**settings, "listeners": fds, "ready": ready_write}
        flags = ["-E", "-s", "-S"] if module.startswith(_LIGHT) else ["-E", "-s"]
        with os.fdopen(ready_write, "wb"), contextlib.ExitStack() as kept:
            for listener in listeners.values():
                kept.enter_context(listener)
            self._begin(
                [sys.executable, *flags, str(_LAUNCHER), module],
                env={"PYTHONUNBUFFERED": "1", **env} | {"RUNBOOK_SETTINGS": json.dumps(given)},
                log=log,
                inherited=[*fds.values(), ready_write],
                changed=changed,
                ready=lambda: _told(ready_read),
            )

    def _begin(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Path,
        inherited: Sequence[int],
        changed: Callable[[], None],
        ready: Callable[[], bool],
    ) -> None:
        """Start the process, from a thread that lives as long as it does.

        The kernel's promise to end a program with its parent is about the parent's thread.
        """
        self._changed = changed
        self._is_ready = ready
        self.ready = False
        self.exit_code: int | None = None
        self._process: subprocess.Popen[bytes]
        self._failure: OSError | None = None
        self._cpu = 0
        self._ended = threading.Event()
        started = threading.Event()

        def live() -> None:
            try:
                with log.open("ab") as output:
                    self._process = subprocess.Popen(
                        command,
                        stdin=subprocess.PIPE,
                        stdout=output,
                        stderr=subprocess.PIPE,
                        env={"PATH": os.environ.get("PATH", ""), **env},
                        pass_fds=inherited,
                        cwd=log.parent,
                    )
            except OSError as error:
                self._failure = error
                return
            finally:
                started.set()
            teller = threading.Thread(target=self._tell, args=(log,), daemon=True)
            teller.start()
            self._mind(teller)

        self._minder = threading.Thread(target=live, name=f"mind-{log.parent.name}", daemon=True)
        self._minder.start()
        started.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def pid(self) -> int:
        """Give its process id."""
        return self._process.pid

    def stop(self) -> None:
        """End the process, gently at first."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._ended.is_set():
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            self._ended.wait(_GRACE)
        if threading.current_thread() is not self._minder:
            self._minder.join(_GRACE)

    def signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if not self._ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    @property
    def cpu(self) -> int:
        """Give the CPU time it has used so far, or had in the end, in nanoseconds.

        It is the kernel's clock of the process: all threads, ended ones too. 0 where the system
        has no such clock.
        """
        if not self._ended.is_set():
            self._measure()
        return self._cpu

    @property
    def memory(self) -> tuple[int, int]:
        """Give its resident bytes, and those of them that are its own (anonymous)."""
        try:
            fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        except OSError:
            return 0, 0
        page = os.sysconf("SC_PAGE_SIZE")
        return int(fields[1]) * page, (int(fields[1]) - int(fields[2])) * page

    def _measure(self) -> None:
        # The clock id of another process, as clock_getcpuclockid(3) makes it.
        with contextlib.suppress(OSError):
            self._cpu = time.clock_gettime_ns((~self.pid << 3) | 2)

    def _tell(self, log: Path) -> None:
        """Add standard error to the log, whole lines only.

        Container runtimes read both streams line by line, so that lines of one never end up
        within lines of the other. Standard output is the log itself.
        """
        assert self._process.stderr is not None  # noqa: S101  # it is a pipe
        with self._process.stderr as lines, log.open("ab", buffering=0) as output:
            for line in lines:
                output.write(line)

    def _mind(self, teller: threading.Thread) -> None:
        if self._is_ready():
            self.ready = True
            self._changed()
        self._over(wait=True)
        teller.join(_GRACE)
        self._measure()  # while it is a zombie: afterwards its clock is gone
        self.exit_code = self._process.wait()
        self.ready = False
        self._ended.set()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._changed()

    def _over(self, *, wait: bool) -> bool:
        """Tell whether it has ended, or wait until it has, and leave it to be collected."""
        if sys.platform == "darwin":
            return self._process.poll() is not None
        flags = os.WEXITED | os.WNOWAIT | (0 if wait else os.WNOHANG)
        return os.waitid(os.P_PID, self._process.pid, flags) is not None


class Program(Process):
    """One container that runs a program which is not ours.

    Args:
        path: The program.
        arguments: Makes its arguments from where its ports shall listen on 127.0.0.1.
        ports: Container ports it will listen on; it is ready when it does.
        env: Its environment.
        log: File for what it says.
        changed: Called from another thread when it becomes ready, and when it ends.
        probe: Path at which it answers 200 when it is ready; empty when it need only listen.
    """

    def __init__(
        self,
        path: str,
        *,
        arguments: Callable[[Mapping[int, int]], Sequence[str]],
        ports: tuple[int, ...],
        env: Mapping[str, str],
        log: Path,
        changed: Callable[[], None],
        probe: str = "",
    ) -> None:
        self._probe = probe
        self._kept = {port: _keep() for port in ports}
        self.addresses = {port: s.getsockname()[1] for port, s in self._kept.items()}
        holder = [sys.executable, "-I", "-S", str(_HOLDER), str(os.getpid()), path]
        self._begin(
            [*holder, *arguments(self.addresses)],
            env=env,
            log=log,
            inherited=(),
            changed=changed,
            ready=self._listens,
        )

    def _listens(self) -> bool:
        """Wait until every port answers; False when the program ends before."""
        begun = time.monotonic()
        with contextlib.ExitStack() as kept:
            for holder in self._kept.values():
                kept.enter_context(holder)
            for port in self.addresses.values():
                while not _answers(port, self._probe):
                    if self._over(wait=False):
                        return False
                    young = time.monotonic() - begun < _EAGER_SECONDS
                    time.sleep(_EAGER if young else _PATIENT)
        return True


def _told(ready: int) -> bool:
    with os.fdopen(ready, "rb") as pipe:
        return bool(pipe.read(1))


def _keep() -> socket.socket:
    """Take a free port and keep others off it, but not who sets SO_REUSEADDR and listens there."""
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    return kept


def _answers(port: int, path: str) -> bool:
    """Tell whether somebody accepts a connection, and says 200 at a path where there is one."""
    try:
        if not path:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=1)) as asked:
            asked.request("GET", path)
            return asked.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False


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
