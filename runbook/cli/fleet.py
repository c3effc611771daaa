"""`runbook run` with several clusters: their lines, each with its name, and one summary."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

import click
from click.core import ParameterSource

from runbook.cli.render import counted, near
from runbook.fleet import Ended, Target, cores, run, severest

__all__ = ["again", "run_fleet"]

_COLOURS = ("cyan", "magenta", "yellow", "blue", "green", "bright_cyan", "bright_magenta")
_GOOD = {"ok": "green", "check-failed": "yellow", "not-run": "bright_black"}


def run_fleet(targets: Sequence[Target], *, parallel: int | None, output: Path) -> int:
    """Run the command that is being run once for each target, and show what comes of it.

    Args:
        targets: At least two, see :func:`runbook.fleet.targets`.
        parallel: How many at the same time; None for as many as there are cores.
        output: Directory of all runs.

    Returns:
        The exit status: the severest of all.
    """
    options = again(click.get_current_context(), {"files", "parallel"})
    python = [sys.executable, "-P", "-m", "runbook", "run"]  # -P: not what lies about here
    commands = {
        target.name: [*python, *(f"--file={file}" for file in target.files), *options]
        for target in targets
    }
    at_once = min(parallel or cores(), len(targets))
    click.echo(f"{len(targets)} clusters, {at_once} at a time")
    ended = run(commands, parallel=at_once, output=output, show=_Lines(tuple(commands)))
    _summary(ended)
    return severest(one.exit_status for one in ended)


def again(context: click.Context, but: Collection[str]) -> list[str]:
    """Write the options of a command line once more.

    Args:
        context: Of the command.
        but: Names of options to leave out.
    """
    words = []
    for option in context.command.params:
        name = option.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not isinstance(option, click.Option) or name in but or not given:
            continue
        value = context.params[name]
        longest = max(option.opts, key=len)
        if option.is_flag:
            words += [longest if value else max(option.secondary_opts, key=len)]
        else:
            words += [f"{longest}={item}" for item in (value if option.multiple else [value])]
    return words


class _Lines:
    """Writes lines of several processes, each with the name of its target, aligned."""

    def __init__(self, names: Sequence[str]) -> None:
        width = max(map(len, names))
        self._prefix = {
            name: click.style(f"{name:{width}} |", fg=_COLOURS[number % len(_COLOURS)])
            for number, name in enumerate(names)
        }

    def __call__(self, target: str, line: str, *, error: bool) -> None:
        """Write a whole line to where the process wrote it."""
        with suppress(BrokenPipeError):  # nobody reads any more; the runs go on
            click.echo(f"{self._prefix[target]} {line}", err=error)


def _summary(ended: Sequence[Ended]) -> None:
    """Write one line for each target, and a heading."""
    heading = ("cluster", "status", "checks", "changed", "seconds", "record")
    rows = [heading, *(_row(one) for one in ended)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    click.echo()
    for number, row in enumerate(rows):
        name, status, checks, changed, seconds, record = row
        colour = _GOOD.get(status, "red") if number else None
        shown = [
            f"{name:{widths[0]}}",
            click.style(f"{status:{widths[1]}}", fg=colour),
            f"{checks:{widths[2]}}",
            f"{changed:>{widths[3]}}",
            f"{seconds:>{widths[4]}}",
            record,
        ]
        click.echo(click.style("  ".join(shown).rstrip(), bold=number == 0))


def _row(one: Ended) -> tuple[str, ...]:
    """Give what the summary says of a target; where there is no record, little is known."""
    record = near(one.record / "index.html") if one.record else "no record"
    checks, changed = "", ""
    if one.result:
        checks = counted(one.result["checks"].__getitem__)
        changed = str(one.result["changed"])
    seconds = f"{one.seconds:.0f}" if one.status != "not-run" else ""
    return (one.target, one.status, checks, changed, seconds, record)
