"""One run at a time on a cluster: two would race, whatever names they reach it by."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from runbook.errors import UsageError

__all__ = ["sole_run"]


@contextmanager
def sole_run(output: Path, uid: str) -> Iterator[None]:
    """Be the only run on a cluster, among those that keep their records in the same directory.

    The operating system holds the lock, so it ends with its holder, however that ends. It is a
    lock of this process alone: kernels it has forked do not hold it on.

    Args:
        output: Directory of all runs.
        uid: UID of the cluster; empty when it may not be read, then nothing is locked.

    Raises:
        UsageError: Another run is at work there.
    """
    if not uid:
        yield
        return
    output.mkdir(parents=True, exist_ok=True)
    with (output / f".{uid}.lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise _busy(file.read().strip(), uid) from None
        file.truncate(0)
        file.write(f"process {os.getpid()}, since {datetime.now(UTC):%H:%M:%S} UTC\n")
        file.flush()
        yield


def _busy(holder: str, uid: str) -> UsageError:
    return UsageError(
        "another run is at work on this cluster",
        why=f"{holder or 'it has just begun'}; the cluster has the UID {uid}, by whatever name",
        fix="wait for its end, or name each cluster once",
    )
