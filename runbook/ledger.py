"""The ledger of a run, ``run.json``: who is at it, and what to go on with when it was stopped.

It is written when a run or a further attempt begins, and touched every few seconds while it goes
on, so that a reader on any machine can tell a run at work from a dead one
(:func:`runbook.archive.runs.alive`).
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runbook.archive.files import write_atomic
from runbook.errors import UsageError
from runbook.params import merge_values
from runbook.secrets import REDACTED

__all__ = ["FILE", "Ledger", "beating", "read"]

FILE = "run.json"
BEAT = 5.0
"""Seconds between two signs of life."""
_PLACE = re.compile(r"<(?:kubeconfig|chart_source|python|rehearsal)>")  # runbook.scrub writes them


@dataclass(frozen=True)
class Ledger:
    """What a run needs to be gone on with.

    Attributes:
        run: Its name.
        attempt: Number of the attempt at work, from 1.
        given: Parameters that were given by file or command line, without secrets or paths.
        notebooks: Names of all its notebooks, in order.
        holder: Mark of the process at work, see :mod:`runbook.holder`.
        schema: Version of this layout.
    """

    run: str
    attempt: int
    given: Mapping[str, Any]
    notebooks: Sequence[str]
    holder: str
    schema: int = 1

    def write(self, directory: Path) -> None:
        """Write it into the directory of its run."""
        write_atomic(directory / FILE, json.dumps(asdict(self), indent=1) + "\n")

    def parameters(self, other: Mapping[str, Any]) -> dict[str, Any]:
        """Give the parameters to go on with.

        Args:
            other: Parameters given now; they win over those of the run.

        Raises:
            UsageError: One of the run's could not be kept, being secret or a path of the machine
                it ran on, and is not given now.
        """
        given = merge_values(self.given, other)
        missing = [name for name, value in given.items() if _incomplete(value)]
        if missing:
            raise UsageError(
                f"the run does not hold the whole of {', '.join(missing)}",
                why="records keep no secret and no path of a machine",
                fix="give it again: `-f FILE` or `-p NAME=VALUE`",
            )
        return given


def read(directory: Path) -> Ledger:
    """Read the ledger of a run.

    Raises:
        UsageError: There is none, or it cannot be read.
    """
    try:
        found = json.loads((directory / FILE).read_text(encoding="utf-8"))
        return Ledger(**{name: found[name] for name in Ledger.__dataclass_fields__})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"the run {directory.name} cannot be gone on with",
            why=f"its {FILE} cannot be read: {type(error).__name__}",
            fix="run the notebooks again: what is done stays done",
        ) from None


def _incomplete(value: Any) -> bool:
    """Tell whether the scrubber has taken something out of a parameter."""
    if isinstance(value, Mapping):
        return any(_incomplete(item) for item in (*value, *value.values()))
    if isinstance(value, list):
        return any(_incomplete(item) for item in value)
    return isinstance(value, str) and (REDACTED in value or _PLACE.search(value) is not None)


@contextmanager
def beating(directory: Path) -> Iterator[None]:
    """Show signs of life for as long as this lasts."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT):
            with suppress(OSError):
                os.utime(directory / FILE)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
