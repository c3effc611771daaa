"""`runbook run` and `resume`: a batch of notebooks on one cluster."""

# ruff: noqa: PLC0415 - help and lists must be instant: commands import what they need
from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook.cli.options import FILES, FIRST, LAST, ONLY, PAIRS, WITH, pairs_of
from runbook.cli.render import RecordedError, counted, near, show_error
from runbook.errors import UsageError

if TYPE_CHECKING:
    from runbook.notebooks import Notebook
    from runbook.params import Params
    from runbook.record import Record, Status, StepRecord
    from runbook.runner import Runner

__all__ = ["resume", "run"]


_OUTPUT = click.option(
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep records in this directory instead of outputs/.",
)
_MINUTES = click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=None,
    help="End the run, with its record, after so many minutes.",
)
_NOTIFY = click.option(
    "--notify",
    "notified",
    multiple=True,
    metavar="TARGET",
    help="Give result.json to a command or webhook at the end; env:NAME or file:PATH hides which.",
)


@click.command()
@FILES
@PAIRS
@click.option("--cluster", metavar="NAME", help="'rehearsal' or the name of a kubeconfig context.")
@click.option("--mode", metavar="MODE", help="plan, apply (the default) or verify.")
@FIRST
@LAST
@ONLY
@WITH
@click.option("--budget", metavar="TIME", help="Longest time for the benchmark, such as 10m.")
@click.option(
    "--parallel",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of several clusters, work on so many at a time; by default as many as there are cores.",
)
@_OUTPUT
@_MINUTES
@_NOTIFY
def run(  # noqa: PLR0917 - click passes by name
    files: tuple[Path, ...],
    pairs: tuple[str, ...],
    cluster: str | None,
    mode: str | None,
    first: str,
    last: str,
    only: str,
    also: str,
    budget: str | None,
    parallel: int | None,
    output: Path | None,
    minutes: float | None,
    notified: tuple[str, ...],
) -> int:
    """Run notebooks headless, one after the other, and keep a record.

    Stops at the first that fails; `runbook resume` goes on from there. On the rehearsal cluster a
    temporary one is started unless `runbook rehearsal up` has started one to keep.

    Files that name different clusters are for a run each, side by side; files that name none are
    for all of them.
    """
    from runbook import fleet
    from runbook.cli.fleet import run_fleet
    from runbook.fields import words
    from runbook.notebooks import outputs, select
    from runbook.params import load
    from runbook.temporary import rehearsal_cluster

    overrides = pairs_of(pairs)
    options = {"cluster": cluster, "mode": mode, "bench_budget": budget}
    overrides |= {name: value for name, value in options.items() if value is not None}
    chosen = select(first, last, words(only), words(also))
    targets = fleet.targets(files, overrides)
    if len(targets) > 1:
        return run_fleet(targets, parallel=parallel, output=output or outputs())
    given = load(files, overrides)
    runner = _runner(given, chosen, output or outputs(), minutes)
    with _ending_well(), rehearsal_cluster(runner.params) as started:
        if started:
            click.echo("started a rehearsal cluster for this run")
        record = runner.run()
    return _end(record, runner.params, notified)


@click.command()
@click.argument("name", metavar="RUN")
@FILES
@PAIRS
@_OUTPUT
@_MINUTES
@_NOTIFY
def resume(  # noqa: PLR0917 - click passes by name
    name: str,
    files: tuple[Path, ...],
    pairs: tuple[str, ...],
    output: Path | None,
    minutes: float | None,
    notified: tuple[str, ...],
) -> int:
    """Go on with a run that failed, was interrupted or killed, in the same record.

    RUN is the name of a record, a part of it that no other has, or `last`. What was done is looked
    at again, which only reads, and done again if it no longer holds. Parameters are those of the
    run; give again what a record does not keep.
    """
    from runbook import ledger
    from runbook.archive import index, runs
    from runbook.notebooks import find, outputs
    from runbook.params import load

    archive = output or outputs()
    found = runs.find(index.load(archive), name)
    if found.status == "running":
        raise UsageError(
            f"the run {found.run} is still going on",
            why="its process shows signs of life",
            fix="wait for its end, or end it",
        )
    directory = archive / found.run
    before = ledger.read(directory)
    given = before.parameters(load(files, pairs_of(pairs)))
    runner = _runner(given, tuple(find(book) for book in before.notebooks), archive, minutes)
    click.echo(f"{directory.name}, attempt {before.attempt + 1}")
    with _ending_well():
        record = runner.resume(directory)
    return _end(record, runner.params, notified)


def _runner(
    given: Mapping[str, Any], chosen: tuple[Notebook, ...], output: Path, minutes: float | None
) -> Runner:
    from runbook.params import Params
    from runbook.runner import Runner

    params = Params.parse(given)
    return Runner(
        params=params,
        given=dict(given),
        notebooks=chosen,
        output=output,
        progress=_Lines(params.mode),
        minutes=minutes or 0.0,
    )


@contextmanager
def _ending_well() -> Iterator[None]:
    """End as after Ctrl-C when told to terminate: the record is written."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Lines:
    """One line per notebook on standard output."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self._watched = sys.stdout.isatty()

    def started(self, step: StepRecord) -> None:
        """Write the beginning of the line."""
        click.echo(f"  {step.notebook:24} ", nl=False)

    def cell(self, step: StepRecord, cell: str) -> None:
        """Say for a while what it is at, to somebody who watches."""
        if self._watched:
            section = cell.rpartition("-")[2]
            click.echo(f"\r  {step.notebook:24} {section:31}", nl=False)
            click.echo(f"\r  {step.notebook:24} ", nl=False)

    def proved(self, step: StepRecord, status: Status) -> None:
        """Write the rest of the line of a step that had been done."""
        if status == "ok":
            click.echo(f"{counted(step.count):31} still done")
        elif status != "interrupted":
            click.echo("no longer as it was left: once more")

    def ended(self, step: StepRecord) -> None:
        """Write the rest of the line."""
        if step.status == "not-run":
            click.secho(f"  {step.notebook:24} not run", dim=True)
            return
        if step.proofs and step.proofs[-1]["status"] == "ok":
            return  # its line is written already
        result = "" if step.status == "ok" else f"  {step.status.upper().replace('-', ' ')}"
        click.echo(f"{counted(step.count):31} {self._done(step):14} {step.seconds:6.1f} s{result}")
        if step.error:
            show_error(RecordedError(step.error))

    def _done(self, step: StepRecord) -> str:
        if self.mode == "plan":
            return f"{step.planned} planned" if step.planned else "nothing to do"
        if self.mode == "verify":
            return "read only"
        return f"{step.changed} changed" if step.changed else "nothing to do"


def _end(record: Record, params: Params, notified: tuple[str, ...]) -> int:
    """Say what the run did and where its record is, notify, and give its exit status."""
    from runbook import notify

    _show_end(record, params)
    for target in notified:
        if problem := notify.send(target, record.directory / "result.json"):
            click.secho(problem, fg="yellow", err=True)
    return record.exit_status or 0


def _show_end(record: Record, params: Params) -> None:
    """Say what the run did and where its record is."""
    result = record.result()
    done = f"{result['changed']} changed" if result["changed"] else "nothing to change"
    if params.mode != "apply":
        planned = sum(step.planned for step in record.steps)
        done = f"{planned} planned, nothing applied" if params.mode == "plan" else "read only"
    shown = counted(result["checks"].__getitem__)
    click.echo(f"{shown}; {done}; {result['seconds']:.0f} s")
    if not params.cluster_uid and not record.target["rehearsal"]:
        click.echo(
            "Put this into your parameter file, so that no other cluster is taken for it:\n"
            f"  cluster_uid: {record.target['uid']}"
        )
    click.echo(near(record.directory / "index.html"))
