"""The rehearsal cluster in the background: starting, finding and stopping it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runbook.errors import RehearsalError

__all__ = ["Running", "active", "default_directory", "down", "record", "status", "up"]

_START_SECONDS = 180.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05
_TAIL_LINES = 15


@dataclass(frozen=True)
class Running:
    """What ``rehearsal.json`` says about a running rehearsal.

    ``ticks`` is when the process started, in clock ticks since boot, so that another process
    with a recycled id is not mistaken for it; 0 where the system does not tell.
    """

    pid: int
    ticks: int
    url: str
    chart_repository: str
    kubernetes_version: str
    started: str

    @property
    def alive(self) -> bool:
        """Tell whether that very process still runs."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return _ticks(self.pid) == self.ticks and not _zombie(self.pid)


def default_directory() -> Path:
    """Give where the rehearsal lives unless told otherwise.

    ``$RUNBOOK_REHEARSAL_DIR``, else ``linkerd-runbook/rehearsal`` in ``$XDG_STATE_HOME``, which
    defaults to ``~/.local/state``.
    """
    if own := os.environ.get("RUNBOOK_REHEARSAL_DIR"):
        return Path(own)
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local/state") / "linkerd-runbook/rehearsal"


def record(directory: Path, **facts: Any) -> None:
    """Write down that this process serves the rehearsal of a directory."""
    running = Running(pid=os.getpid(), ticks=_ticks(os.getpid()), **facts)
    temporary = directory / ".rehearsal.json.new"
    temporary.write_text(json.dumps(asdict(running), indent=2) + "\n")
    temporary.replace(_record(directory))


def status(directory: Path | None = None) -> Running | None:
    """Give the running rehearsal of a directory, or None."""
    try:
        read = json.loads(_record(directory or default_directory()).read_text())
        running = Running(**read)
    except (OSError, ValueError, TypeError):
        return None
    return running if running.alive else None


def active(directory: Path | None = None) -> Path | None:
    """Give the kubeconfig of the running rehearsal, or None."""
    place = directory or default_directory()
    return _kubeconfig(place) if status(place) is not None else None


def up(
    directory: Path | None = None,
    *,
    persist: bool = False,
    kubernetes_version: str = "1.35",
    bare: bool = False,
) -> Path:
    """Start the rehearsal in the background unless it runs already.

    Args:
        directory: Where it lives.
        persist: Keep its objects, so that the next start goes on with them.
        kubernetes_version: Version of its API.
        bare: An empty API server with controllers but without nodes, pods or content.

    Returns:
        The path of its kubeconfig.

    Raises:
        RehearsalError: It did not start; its log is in ``server.log``.
    """
    place = (directory or default_directory()).absolute()
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(place):
        running = status(place)
        if running is not None:
            _check_version(running, kubernetes_version)
            return _kubeconfig(place)
        _record(place).unlink(missing_ok=True)
        options = ["--kubernetes-version", kubernetes_version]
        options += ["--persist"] if persist else []
        options += ["--bare"] if bare else []
        _start(place, options)
    return _kubeconfig(place)


def down(directory: Path | None = None) -> bool:
    """Stop the rehearsal of a directory.

    Returns:
        Whether one was running.

    Raises:
        RehearsalError: It does not end.
    """
    place = directory or default_directory()
    if not place.is_dir():
        return False
    with _locked(place):
        running = status(place)
        if running is None:
            _record(place).unlink(missing_ok=True)
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, signal.SIGTERM)
        end = time.monotonic() + _STOP_SECONDS
        while running.alive:
            if time.monotonic() > end:
                raise RehearsalError(
                    f"the rehearsal (process {running.pid}) does not stop",
                    fix=f"end it with: kill -9 {running.pid}",
                )
            _reap(running.pid)
            time.sleep(_POLL_SECONDS)
        _record(place).unlink(missing_ok=True)
        return True


def _check_version(running: Running, wanted: str) -> None:
    if running.kubernetes_version != wanted:
        raise RehearsalError(
            f"a rehearsal of Kubernetes {running.kubernetes_version} is running, not {wanted}",
            fix="stop it first: runbook rehearsal down",
        )


def _start(place: Path, options: list[str]) -> None:
    """Start the server process, cut loose from this one, and wait until it serves."""
    command = [sys.executable, "-m", "runbook.rehearsal", "serve", "--directory", str(place)]
    command += options
    log = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    # Not subprocess.Popen: the server outlives this process and is nobody's to wait for.
    pid = os.posix_spawn(
        sys.executable,
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(place / "server.log"), log, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    end = time.monotonic() + _START_SECONDS
    while status(place) is None:
        ended, code = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(code)
            raise _not_started(place, f"its process ended with status {code}")
        if time.monotonic() > end:
            os.kill(pid, signal.SIGTERM)
            raise _not_started(place, f"it was not ready after {_START_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)


def _not_started(place: Path, why: str) -> RehearsalError:
    log = place / "server.log"
    lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    tail = "\n    ".join(lines)
    return RehearsalError(
        "the rehearsal cluster did not start",
        why=f"{why}; the last lines of its log:\n    {tail}",
        fix="remove the directory if its state is of no use, and start again",
        see=str(log),
    )


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Hold the directory's lock, so that two calls at once make one rehearsal."""
    with (place / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _record(place: Path) -> Path:
    return place / "rehearsal.json"


def _kubeconfig(place: Path) -> Path:
    return place / "kubeconfig"


def _ticks(pid: int) -> int:
    """Give when a process started, in clock ticks since boot (field 22 of /proc/PID/stat)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[19])


def _zombie(pid: int) -> bool:
    """Tell whether a process has ended and only waits for its parent."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "Z"


def _reap(pid: int) -> None:
    """Collect the process if it is a child of this one, so that it does not linger."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
