"""`runbook rehearsal` and `doctor`: what runs, or could run, on this machine."""

# ruff: noqa: PLC0415 - help and lists must be instant: commands import what they need
from __future__ import annotations

from pathlib import Path

import click

from runbook.cli.render import mark

__all__ = ["doctor", "rehearsal_group"]

BROKEN = 4


@click.group("rehearsal")
def rehearsal_group() -> None:
    """Start, look at and stop a rehearsal cluster."""


_STATE = click.option(
    "--state",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the cluster in this directory; it survives being stopped.",
)


@rehearsal_group.command()
@_STATE
@click.option("--kubernetes", default="1.35", show_default=True, help="Version of its API server.")
@click.option("--bare", is_flag=True, help="API server and controllers alone: no nodes, no pods.")
def up(state: Path | None, kubernetes: str, bare: bool) -> None:
    """Start a rehearsal cluster, unless it runs; print the path of its kubeconfig."""
    from runbook import rehearsal

    kubeconfig = rehearsal.up(
        state, persist=state is not None, kubernetes_version=kubernetes, bare=bare
    )
    click.echo(kubeconfig)
    if state is not None:
        click.echo(f"To use it: export RUNBOOK_REHEARSAL_DIR={state.resolve()}", err=True)


@rehearsal_group.command()
@_STATE
def down(state: Path | None) -> None:
    """Stop the rehearsal cluster."""
    from runbook import rehearsal

    click.echo("stopped" if rehearsal.down(state) else "no rehearsal cluster was up")


@rehearsal_group.command()
@_STATE
def status(state: Path | None) -> int:
    """Say whether a rehearsal cluster is up: exit status 0 when it is, 4 when not."""
    from runbook import rehearsal

    kubeconfig = rehearsal.active(state)
    click.echo(f"up: {kubeconfig}" if kubeconfig else "down")
    return 0 if kubeconfig else BROKEN


@click.command()
def doctor() -> int:
    """Look at what this machine has and lacks; shows no secrets and asks no cluster."""
    from runbook.doctor import look

    findings = look()
    for finding in findings:
        click.echo(f"{mark(finding.verdict)} {finding.title:22} {finding.seen}")
        if finding.fix:
            click.echo(f"{'':29} {finding.fix}")
    return BROKEN if any(finding.verdict == "fail" for finding in findings) else 0
