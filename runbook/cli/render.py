"""What commands write: errors, counts, paths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from runbook.errors import RunbookError

__all__ = ["RecordedError", "counted", "mark", "near", "show_error"]


class RecordedError(RunbookError):
    """An error as a notebook recorded it."""

    def __init__(self, error: dict[str, str]) -> None:
        parts = {name: error.get(name, "") for name in ("why", "fix", "see")}
        super().__init__(f"{error['name']}: {error['what']}", **parts)


def counted(count: Callable[[str], int]) -> str:
    """Say how many checks came to which verdict, leaving out the verdicts of none."""
    words = {"pass": "passed", "warn": "warned", "fail": "failed", "skip": "skipped"}
    counts = {word: count(verdict) for verdict, word in words.items()}
    return ", ".join(f"{n} {word}" for word, n in counts.items() if n) or "no checks"


def show_error(error: RunbookError) -> None:
    """Write an error to standard error: what, why, fix, see; not what looks like a secret."""
    from runbook.secrets import Redactor  # noqa: PLC0415 - only when there is an error

    redact = Redactor().text
    click.secho(redact(error.what), fg="red", err=True)
    for label in ("why", "fix", "see"):
        if text := redact(getattr(error, label)):
            click.echo(f"  {label}: {text}", err=True)


def mark(verdict: str) -> str:
    """Give a verdict in its colour."""
    colours = {"pass": "green", "warn": "yellow", "fail": "red"}
    return click.style(f"{verdict:6}", fg=colours.get(verdict))


def near(path: Path) -> str:
    """Give a path relative to where the user stands when it is below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
