"""`runbook list`, `show` and `lab`: the notebooks themselves."""

# ruff: noqa: PLC0415 - help and lists must be instant: commands import what they need
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from runbook.cli.options import FILES, PAIRS, pairs_of
from runbook.cli.render import near

__all__ = ["lab", "list_", "show"]


@click.command("list")
def list_() -> None:
    """Show the notebooks in their order."""
    from runbook.notebooks import NOTEBOOKS

    for book in NOTEBOOKS:
        number, _, name = book.name.partition("-")
        changes = book.changes or "changes nothing"
        if book.asked:
            changes += "; runs when asked for: --only, --with"
        click.echo(f"{click.style(number, bold=True)}  {name:24} {book.summary}")
        click.echo(f"{'':28} {click.style(changes, dim=True)}")


@click.command()
@click.argument("notebook", metavar="NOTEBOOK")
def show(notebook: str) -> None:
    """Show what a notebook does and its parameters."""
    from runbook.notebooks import find
    from runbook.params import Params

    book = find(notebook)
    click.secho(f"{book.name}: {book.title}", bold=True)
    click.echo(f"{book.summary}.")
    click.echo(f"\nchanges  {book.changes or 'nothing'}")
    click.echo(f"needs    {', '.join(book.needs) or 'nothing before it'}")
    click.echo(f"takes    about {book.minutes} min on a Pi cluster")
    click.echo("\nparameters")
    for name in book.parameters:
        field = Params.model_fields[name]
        click.echo(f"  {click.style(name, bold=True)}: {_type(field)} = {_default(field)}")
        click.echo(click.wrap_text(field.description or "", 88, "      ", "      "))
    click.echo("\nEvery other parameter of `runbook params schema` may be given as well.")


@click.command()
@FILES
@PAIRS
@click.option("--cluster", metavar="NAME", help="'rehearsal' or the name of a kubeconfig context.")
@click.option("--no-browser", is_flag=True, help="Print the address, and open no browser.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def lab(
    files: tuple[Path, ...],
    pairs: tuple[str, ...],
    cluster: str | None,
    no_browser: bool,
    options: tuple[str, ...],
) -> int:
    """Open the notebooks in JupyterLab, as a dated copy under outputs/.

    Its first page shows the state of every step on the cluster. The copy is set to the parameters
    given here; on a cluster of yours its mode is plan, unless you name another. Further OPTIONS
    after `--` go to JupyterLab.
    """
    from runbook import rehearsal
    from runbook.lab import command, copy, settings
    from runbook.params import load

    overrides = pairs_of(pairs) | ({"cluster": cluster} if cluster is not None else {})
    chosen = settings(load(files, overrides))
    folder = copy(chosen=chosen)
    click.echo(f"working copy: {near(folder)}")
    where = chosen.get("cluster", "rehearsal")
    if where != "rehearsal":
        click.echo(f"set to {where}, mode {chosen['mode']}")
    elif not chosen.get("kubeconfig") and not rehearsal.active():
        click.echo("No rehearsal cluster is up; `runbook rehearsal up` starts one.", err=True)
    arguments = command(folder, ["--no-browser"] * no_browser + list(options))
    os.execv(arguments[0], arguments)  # noqa: S606 - replaces this process, no shell


def _type(field: Any) -> str:
    """Name the type of a parameter: ``text``, ``number``, ``yes/no`` or its choices."""
    choices = getattr(field.annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return " | ".join(choices)
    return {int: "number", bool: "true | false", str: "text"}.get(field.annotation, "mapping")


def _default(field: Any) -> str:
    default = field.get_default(call_default_factory=True)
    return str(default).lower() if isinstance(default, bool) else repr(default)
