"""Writing files whole, and one process at a time."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["locked", "write_atomic"]

_LOCK = ".lock"


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all, readable by everybody.

    Whoever reads it meanwhile, and whoever finds it after the writer was killed or the power went,
    has the old content or the new, never a mixture. The temporary file is a dot file beside it.

    Raises:
        OSError: It could not be written; what was there is still there.
    """
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may keep the new name without its content
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Have a directory to oneself among those who ask in this way; wait until it is free.

    The kernel of the operating system holds the lock, so it is released when its holder dies,
    however that happens. The same thread must not ask twice.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / _LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # also from a child that was forked meanwhile
