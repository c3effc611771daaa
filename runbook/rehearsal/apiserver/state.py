"""Keeping the objects on disk, so that a killed rehearsal goes on where it was."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from runbook.errors import RehearsalError
from runbook.rehearsal.apiserver.store import Change, Store
from runbook.rehearsal.apiserver.tls import write_private

__all__ = ["Saver"]

_QUIET_SECONDS = 0.5
_FORMAT = 1


class Saver:
    """Saves a store to a file whenever it has been quiet for a moment.

    Args:
        store: The objects.
        path: The file; it holds Secrets, so only its owner may read it.
    """

    def __init__(self, store: Store, path: Path) -> None:
        self._store = store
        self._path = path
        self._timer: asyncio.TimerHandle | None = None

    def load(self) -> bool:
        """Take up what the file holds; tells whether there was anything.

        Raises:
            RehearsalError: The file cannot be read.
        """
        if not self._path.exists():
            return False
        try:
            saved = json.loads(self._path.read_bytes())
            if saved["format"] != _FORMAT:
                raise ValueError(f"format {saved['format']}")
            self._store.restore(saved)
        except (ValueError, KeyError, TypeError) as error:
            raise RehearsalError(
                f"{self._path} is no saved rehearsal: {error}",
                why="it was written by another version, or damaged",
                fix="remove the file; the rehearsal then starts afresh",
            ) from None
        return True

    def start(self) -> None:
        """Save from now on; call it on the event loop of the store."""
        self._store.subscribe(self._changed)

    def save(self) -> None:
        """Save now, in one step: readers see the old file or the new one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        content = {"format": _FORMAT, **self._store.snapshot()}
        write_private(self._path, json.dumps(content, separators=(",", ":")).encode())

    def _changed(self, _change: Change) -> None:
        """Wait for a quiet moment, but start waiting only once."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_QUIET_SECONDS, self.save)
