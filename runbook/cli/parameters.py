"""`runbook params`: check parameter files."""

# ruff: noqa: PLC0415 - help and lists must be instant: commands import what they need
from __future__ import annotations

from pathlib import Path

import click

from runbook.cli.render import show_error
from runbook.errors import ParameterError

__all__ = ["params"]


@click.group()
def params() -> None:
    """Check parameter files."""


@params.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def check(files: tuple[Path, ...]) -> None:
    """Validate parameter files, each by itself; no cluster is touched."""
    from runbook.params import Params, load

    wrong = []
    for file in files:
        try:
            parsed = Params.parse(load([file]))
        except ParameterError as error:
            wrong.append(error)
            show_error(error)
        else:
            click.echo(f"{file}: ok ({parsed.line} on {parsed.cluster}, mode {parsed.mode})")
    if wrong:
        raise click.exceptions.Exit(ParameterError.status)


@params.command()
def schema() -> None:
    """Print the JSON schema of a parameter file."""
    import json

    from runbook.params import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
