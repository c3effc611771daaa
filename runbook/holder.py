"""Who is at work on a Helm release: a mark that tells a dead process of ours from a live one.

Helm refuses a release whose last operation never ended, and cannot know whether somebody is still
at it. When it was this runbook on this machine, the process table knows.
"""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

__all__ = ["LABEL", "is_gone", "is_ours", "mine"]

LABEL = "runbook-holder"
"""Label on the Secret in which Helm stores a revision."""


def mine() -> str:
    """Give the mark of this process, fit for a label: machine, process id, start time."""
    return f"{_machine()}.{os.getpid()}.{_started(os.getpid())}"


def is_gone(mark: str) -> bool:
    """Tell whether a mark is of a process on this machine that no longer runs.

    Args:
        mark: What :func:`mine` gave in that process. Marks of other machines are never gone:
            from here it cannot be told.
    """
    parts = mark.split(".")
    if len(parts) != 3 or parts[0] != _machine() or not parts[1].isdigit():
        return False
    pid = int(parts[1])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's, so not the one that wrote the mark, unless root
        return False
    # the number was given to another process since, or the dead process has not been collected
    return _started(pid) != parts[2] or _dead(pid)


def is_ours(mark: str) -> bool:
    """Tell whether a mark is of a process on this machine, running or not."""
    return mark.partition(".")[0] == _machine()


def _machine() -> str:
    """Give a short name of this machine, or of this container: the space of process ids."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:12]


def _dead(pid: int) -> bool:
    """Tell whether a process has ended and only waits for its parent, as under a lazy init."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] in ("Z", "X")


def _started(pid: int) -> str:
    """Give the boot and the clock tick in which a process started, ``0`` where not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return "0"
    return boot[:8] + "-" + text.rpartition(")")[2].split()[19]  # field 22; names may hold blanks
