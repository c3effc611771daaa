"""Temporary directories that carry the number of their process: those of killed ones show."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["forsaken", "prefix"]


def prefix(kind: str) -> str:
    """Give what the name of such a directory begins with.

    Args:
        kind: What it is for, such as ``rehearsal``.
    """
    return f"runbook-{kind}-{os.getpid()}-"


def forsaken(kind: str) -> list[Path]:
    """Give the directories of this user whose process is gone: it was killed and left them."""
    begin = f"runbook-{kind}-"
    return [
        path
        for path in Path(tempfile.gettempdir()).glob(f"{begin}*-*")
        if (owner := path.name.removeprefix(begin).partition("-")[0]).isdigit()
        and path.lstat().st_uid == os.getuid()
        and path.is_dir()
        and not _alive(int(owner))
    ]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
