"""`runbook records`: the archive of runs."""

# ruff: noqa: PLC0415 - help and lists must be instant: commands import what they need
from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook.cli.render import near, show_error

if TYPE_CHECKING:
    from runbook.archive.runs import Summary
    from runbook.archive.search import Filter

__all__ = ["records"]

_OUTPUT = click.option(
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the records are, if not in outputs/.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Write JSON instead.")


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that narrow down runs."""
    options = (
        click.option("--since", default="", metavar="TIME", help="Begun since: 2026-11-24, or 7d."),
        click.option("--line", default="", metavar="NAME", help="Of this release line."),
        click.option("--mode", default="", metavar="MODE", help="plan, apply or verify."),
        click.option("--status", default="", metavar="STATUS", help="Such as ok, failed, killed."),
        click.option("--cluster", default="", metavar="NAME", help="On this cluster."),
    )
    for option in options:
        command = option(command)
    return command


@click.group()
def records() -> None:
    """List, search, verify, compare, redraw, copy and remove records of runs.

    RUN is the name of a record, its beginning or end as far as only one has it, or `last`.
    """


@records.command("list")
@_filters
@_OUTPUT
@_JSON
def list_(output: Path | None, as_json: bool, **narrow: str) -> None:
    """Show all runs, newest first."""
    only = _only(narrow)
    runs = [run for run in _runs(_place(output)) if only.admits(run)]
    if as_json:
        _write_json([_facts(run) for run in runs])
        return
    from runbook.cli.reports import runs_table

    _write(runs_table(runs) if runs else ["no records"])


@records.command()
@click.argument("name", metavar="RUN")
@_OUTPUT
@_JSON
def show(name: str, output: Path | None, as_json: bool) -> None:
    """Show what a run did, and what in it needs attention."""
    from runbook.archive.compare import read
    from runbook.archive.runs import find
    from runbook.cli.reports import run_report

    place = _place(output)
    run = find(_runs(place), name)
    result = read(place / run.run)
    if as_json:
        _write_json(result)
        return
    _write(run_report(run, result))
    click.echo(near(place / run.run / "index.html"))


@records.command()
@click.argument("words", nargs=-1, required=True, metavar="WORDS...")
@_filters
@_OUTPUT
@_JSON
def search(words: tuple[str, ...], output: Path | None, as_json: bool, **narrow: str) -> None:
    """Find the runs in which every word occurs: names, parameters, checks, errors."""
    from runbook.archive.search import search as look

    found = list(look(_runs(_place(output)), words, _only(narrow)))
    if as_json:
        _write_json([_facts(one.run) | {"places": list(map(asdict, one.places))} for one in found])
        return
    from runbook.cli.reports import matches

    _write(matches(found, words) if found else ["nothing found"])


@records.command()
@click.option("--head", default="", metavar="DIGEST", help="A head of the chain noted elsewhere.")
@_OUTPUT
@_JSON
def verify(head: str, output: Path | None, as_json: bool) -> None:
    """Compare every record with what was sealed; exit status 5 when something was changed.

    Note the head it prints somewhere else, and give it the next time with --head: nothing else
    shows that the end of the chain was cut off.
    """
    from runbook.archive import chain
    from runbook.archive.verify import verify as look
    from runbook.cli.reports import findings
    from runbook.errors import ArchiveError

    place = _place(output)
    found = look(place, head)
    known = chain.read(place)
    if as_json:
        counted = {"head": known.head, "lines": len(known.raw), "records": len(known.kept)}
        _write_json(counted | {"findings": [asdict(finding) for finding in found]})
    else:
        _write(findings(found))
        click.echo(f"{len(known.kept)} sealed records; the head of the chain is")
        click.echo(known.head or "none")
    if wrong := sum(finding.severity == "fail" for finding in found):
        raise ArchiveError(f"the archive is not what was sealed: {wrong} findings")


@records.command()
@click.argument("first", metavar="RUN")
@click.argument("second", metavar="RUN")
@_OUTPUT
@_JSON
def compare(first: str, second: str, output: Path | None, as_json: bool) -> None:
    """Show what differs between two runs, the earlier named first."""
    from runbook.archive.compare import compare as look
    from runbook.archive.compare import read
    from runbook.archive.runs import find

    place = _place(output)
    runs = _runs(place)
    found = look(*(read(place / find(runs, name).run) for name in (first, second)))
    if as_json:
        _write_json(asdict(found))
        return
    from runbook.cli.reports import comparison

    _write(comparison(found))


@records.command()
@click.argument("name", metavar="RUN")
@click.option(
    "--to",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the figures there.",
)
@click.option("--svg", is_flag=True, help="Write each as SVG besides, for print.")
@_OUTPUT
def redraw(name: str, to: Path | None, svg: bool, output: Path | None) -> int:
    """Draw the benchmark's figures again from a record's data; exit status 1 if one differs.

    The same data gives the same bytes with the same matplotlib.
    """
    from runbook.archive.compare import read
    from runbook.archive.runs import find
    from runbook.cli.reports import redrawn
    from runbook.provenance import versions
    from runbook.redraw import redraw as draw
    from runbook.redraw import save

    place = _place(output)
    directory = place / find(_runs(place), name).run
    if svg and to is None:
        raise click.UsageError("--svg needs --to: where to write them")
    if to is not None and to.resolve().is_relative_to(directory.resolve()):
        raise click.UsageError("--to is within the record, which would change it")
    found = draw(directory)
    _write(redrawn(found, read(directory).get("versions") or {}, versions()))
    for path in save(found, to, svg=svg) if to else ():
        click.echo(near(path))
    return int(any(one.verdict != "same" for one in found))


@records.command()
@click.argument("names", nargs=-1, metavar="[RUN] URL")
@click.option("--all", "every", is_flag=True, help="Copy all sealed records, and the chain.")
@_OUTPUT
def export(names: tuple[str, ...], every: bool, output: Path | None) -> int:
    """Copy a record, or all, to another place, and read it back.

    URL is a directory or what fsspec knows: s3://BUCKET/PATH, gs://, ssh://HOST/PATH. What a copy
    already has is not written again.
    """
    from runbook.archive.copying import Copied, Place, copy, copy_all
    from runbook.archive.runs import find

    if len(names) != (1 if every else 2):
        raise click.UsageError("export takes RUN and URL, or --all and URL")

    def told(done: Copied) -> None:
        said = (
            f"{done.files} files, {done.size / 1e6:.1f} MB" if done.files else "was there already"
        )
        click.echo(f"{done.run}  {said}")

    source = _place(output)
    if not every:
        directory = source / find(_runs(source), names[0]).run
        told(copy(directory, Place(names[1])))
        return 0
    failed = copy_all(source, Place(names[0]), told)
    for error in failed:
        show_error(error)
    return max((error.status for error in failed), default=0)


@records.command()
@click.option("--keep", type=int, metavar="N", help="Keep the newest N.")
@click.option("--older-than", type=int, metavar="DAYS", help="Keep those of the last DAYS days.")
@click.option("--dry-run", is_flag=True, help="Show only.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_OUTPUT
def prune(
    keep: int | None, older_than: int | None, dry_run: bool, yes: bool, output: Path | None
) -> None:
    """Remove old records, after showing which; the chain says that it was done."""
    from runbook.archive import index
    from runbook.archive.prune import choose, remove
    from runbook.cli.reports import runs_table

    place = _place(output)
    chosen = choose(_runs(place), keep=keep, older_than=older_than)
    if not chosen:
        click.echo("no record to remove")
        return
    _write(runs_table(chosen))
    if dry_run:
        click.echo(f"{len(chosen)} would be removed")
        return
    if not yes:
        click.confirm(f"Remove these {len(chosen)} for good?", abort=True)
    names = [run.run for run in chosen]
    removed = remove(place, names)
    index.refresh(place)
    for name in (name for name in names if name not in removed):
        click.echo(f"left {name}: somebody is at it")
    click.echo(f"{len(removed)} removed")


def _place(output: Path | None) -> Path:
    """Give the directory of all runs.

    Raises:
        UsageError: There is none.
    """
    from runbook.errors import UsageError
    from runbook.notebooks import outputs

    place = output or outputs()
    if not place.is_dir():
        raise UsageError(f"there is no directory {near(place)}", fix="name it with --output")
    return place


def _runs(place: Path) -> list[Summary]:
    from runbook.archive import index

    return index.load(place)


def _only(narrow: dict[str, str]) -> Filter:
    from runbook.archive.search import Filter, since

    start = narrow.pop("since")
    return Filter(**narrow, since=since(start) if start else "")


def _facts(run: Summary) -> dict[str, Any]:
    """Give a summary without the text that is only searched."""
    return {name: value for name, value in asdict(run).items() if name != "text"}


def _write(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


def _write_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))
