"""`runbook run`: a batch of notebooks on one cluster."""

# ruff: noqa: PLC0415 - help and lists must be instant: commands import what they need
from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runbook.cli.options import FILES, PAIRS, pairs_of
from runbook.cli.render import RecordedError, counted, near, show_error

if TYPE_CHECKING:
    from runbook.params import Params
    from runbook.record import Record, StepRecord

__all__ = ["run"]


@click.command()
@FILES
@PAIRS
@click.option("--cluster", metavar="NAME", help="'rehearsal' or the name of a kubeconfig context.")
@click.option("--mode", metavar="MODE", help="plan, apply (the default) or verify.")
@click.option("--from", "first", default="", metavar="NN", help="Begin with this notebook.")
@click.option("--until", "last", default="", metavar="NN", help="End with this notebook.")
@click.option("--only", default="", metavar="NN,NN", help="Run these notebooks and no others.")
@click.option(
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep records in this directory instead of outputs/.",
)
def run(  # noqa: PLR0917 - click passes by name
    files: tuple[Path, ...],
    pairs: tuple[str, ...],
    cluster: str | None,
    mode: str | None,
    first: str,
    last: str,
    only: str,
    output: Path | None,
) -> int:
    """Run notebooks headless, one after the other, and keep a record.

    Stops at the first that fails. On the rehearsal cluster a temporary one is started unless
    `runbook rehearsal up` has started one to keep.
    """
    from runbook.notebooks import home, select
    from runbook.params import Params, load
    from runbook.runner import Runner
    from runbook.temporary import rehearsal_cluster

    overrides = pairs_of(pairs)
    overrides |= {k: v for k, v in (("cluster", cluster), ("mode", mode)) if v is not None}
    given = load(files, overrides)
    params = Params.parse(given)
    notebooks = select(first, last, [name.strip() for name in only.split(",") if name.strip()])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as after Ctrl-C
    with rehearsal_cluster(params) as started:
        if started:
            click.echo("started a rehearsal cluster for this run")
        runner = Runner(
            params=params,
            given={name: value for name, value in given.items()},
            notebooks=notebooks,
            output=output or home() / "outputs",
            progress=_Lines(params.mode),
        )
        record = runner.run()
    _show_end(record, params)
    return record.exit_status or 0


class _Lines:
    """One line per notebook on standard output."""

    def __init__(self, mode: str) -> None:
        self.mode = mode

    def started(self, step: StepRecord) -> None:
        """Write the beginning of the line."""
        click.echo(f"  {step.notebook:24} ", nl=False)

    def ended(self, step: StepRecord) -> None:
        """Write the rest of the line."""
        if step.status == "not-run":
            click.secho(f"  {step.notebook:24} not run", dim=True)
            return
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
