"""A line that tells a person who waits how far things are; nothing where nobody watches.

It appears after a second, so that what is quick stays quiet, and leaves nothing behind, so that a
notebook saved afterwards holds results and no bars. Somebody watches a terminal, or a notebook
whose frontend could also ask them something: JupyterLab can, papermill and nbconvert cannot.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["BATCH", "Progress", "Screen", "progress"]

BATCH = "RUNBOOK_BATCH"
"""Environment variable that says that nobody watches this process."""

Screen = Callable[[str], None]
"""Shows a line in place of the one before; an empty one takes it away."""

_PATIENCE = 1.0  # seconds nobody minds
_WIDTH = 120  # characters of a line in a notebook


@dataclass
class Progress:
    """How far something is, for whoever watches.

    Attributes:
        title: What is going on.
        total: How many parts it has; 0 if that is not known.
        screen: Where to show it; ``None`` where nobody watches.
        now: Gives seconds that only go forward.
        started: When it began, in those seconds.
    """

    title: str
    total: int
    screen: Screen | None
    now: Callable[[], float]
    started: float
    shown: bool = False

    def tell(self, done: int = 0, note: str = "") -> None:
        """Say how many parts are done, and what is being waited for; call it again and again."""
        elapsed = self.now() - self.started
        if self.screen is not None and elapsed >= _PATIENCE:
            self.screen(_line(self.title, done, self.total, elapsed, note))
            self.shown = True

    def end(self) -> None:
        """Take the line away."""
        if self.screen is not None and self.shown:
            self.screen("")


@contextmanager
def progress(
    title: str, total: int = 0, *, now: Callable[[], float] = time.monotonic
) -> Iterator[Progress]:
    """Show how far something is while it goes on.

    Args:
        title: What is going on, such as ``ready``.
        total: How many parts it has; 0 if that is not known.
        now: Gives seconds that only go forward; another one is given in tests.
    """
    made = Progress(title, total, _screen(), now, now())
    try:
        yield made
    finally:
        made.end()


def _line(title: str, done: int, total: int, elapsed: float, note: str) -> str:
    from tqdm import tqdm  # noqa: PLC0415 - only for those who watch

    count = "{n_fmt} of {total_fmt} |{bar:12}| " if total else ""
    line: str = tqdm.format_meter(
        done, total, elapsed, prefix=title, bar_format=f"{{desc}}: {count}{{elapsed}}"
    )
    return f"{line} {note}".rstrip()


def _screen() -> Screen | None:
    """Find where somebody watches, if somebody does."""
    if os.environ.get(BATCH):
        return None
    jupyter = sys.modules.get("IPython")  # never imported to find out
    kernel = getattr(jupyter.get_ipython(), "kernel", None) if jupyter else None
    if kernel is not None:
        # Whether the frontend that sent this cell can ask for input; ipykernel has no other name.
        return _notebook_screen() if getattr(kernel, "_allow_stdin", True) else None
    return _terminal_screen() if sys.stderr.isatty() else None


def _terminal_screen() -> Screen:
    from tqdm import tqdm  # noqa: PLC0415 - only for those who watch

    write = tqdm.status_printer(sys.stderr)

    def show(line: str) -> None:
        write(line[: shutil.get_terminal_size().columns - 1])
        if not line:
            sys.stderr.write("\r")

    return show


def _notebook_screen() -> Screen:
    """Show the line as an output of its own, which can be emptied; written text would stay."""
    from IPython import display as ipython  # noqa: PLC0415 - there already, in a kernel

    make: Any = ipython.DisplayHandle  # it has no types
    handle = make()
    known = False

    def show(line: str) -> None:
        nonlocal known
        say = handle.update if known else handle.display
        say({"text/plain": line[:_WIDTH]} if line else {}, raw=True)
        known = True

    return show
