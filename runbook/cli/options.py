"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

__all__ = ["FILES", "FIRST", "LAST", "ONLY", "PAIRS", "WITH", "pairs_of"]

FILES = click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Read parameters from a YAML file; may be repeated, later ones win.",
)
PAIRS = click.option(
    "-p",
    "--parameter",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set one parameter; wins over files.",
)
FIRST = click.option("--from", "first", default="", metavar="NN", help="Begin with this notebook.")
LAST = click.option("--until", "last", default="", metavar="NN", help="End with this notebook.")
ONLY = click.option(
    "--only", default="", metavar="NN,NN-NN", help="Run these notebooks and no others."
)
WITH = click.option(
    "--with",
    "also",
    default="",
    metavar="NN,NN-NN",
    help="Also run these, which run only when asked for; `runbook list` marks them.",
)


def pairs_of(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Give the values of NAME=VALUE options.

    Raises:
        click.UsageError: One of them is no such pair.
    """
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.UsageError("-p takes NAME=VALUE, and one of yours is none")
        values[name] = value
    return values
