"""The command ``runbook``: read arguments, call the package, show what came of it.

Nothing heavy is imported before a command needs it, so that help and lists are instant.

Exit status: 0 ok, 1 a check failed, 2 bad parameters or usage, 3 a step failed, 4 no kernel,
API server or rehearsal cluster, 130 interrupted.
"""

# ruff: noqa: PLC0415 - help and lists must be instant: commands import what they need
from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from runbook.errors import ParameterError, RunbookError

if TYPE_CHECKING:
    from runbook.params import Params
    from runbook.record import Record, StepRecord

__all__ = ["main", "runbook"]

INTERRUPTED = 130
BROKEN = 4


def main() -> NoReturn:
    """Run the command line and exit with the documented status."""
    sys.exit(_status(sys.argv[1:]))


def _status(arguments: Sequence[str]) -> int:
    """Run the command line and give the exit status; errors are shown, never their traceback."""
    try:
        status = runbook.main(list(arguments), prog_name="runbook", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 2
    except RunbookError as error:
        _show_error(error)
        return error.status
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:  # `runbook list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:
        click.echo("This is a fault of the runbook itself; please report it:", err=True)
        sys.excepthook(*sys.exc_info())
        return BROKEN
    return status if isinstance(status, int) else 0


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="linkerd-runbook", message="%(version)s")
def runbook() -> None:
    """Install, verify and operate Linkerd on a Raspberry Pi K3s cluster.

    One notebook per step. Without further words, everything happens on the rehearsal cluster, a
    cluster of stand-ins on this machine. `runbook list` shows the notebooks.
    """


_FILES = click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Read parameters from a YAML file; may be repeated, later ones win.",
)
_PAIRS = click.option(
    "-p",
    "--parameter",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set one parameter; wins over files.",
)


@runbook.command()
@_FILES
@_PAIRS
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
    from runbook.params import Params, load
    from runbook.runner import Runner, home, select
    from runbook.temporary import rehearsal_cluster

    overrides = _pairs(pairs)
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


@runbook.command("list")
def list_() -> None:
    """Show the notebooks in their order."""
    from runbook.notebooks import NOTEBOOKS

    for book in NOTEBOOKS:
        number, _, name = book.name.partition("-")
        changes = book.changes or "changes nothing"
        click.echo(f"{click.style(number, bold=True)}  {name:24} {book.summary}")
        click.echo(f"{'':28} {click.style(changes, dim=True)}")


@runbook.command()
@click.argument("notebook", metavar="NOTEBOOK")
def show(notebook: str) -> None:
    """Show what a notebook does and its parameters."""
    from runbook.params import Params
    from runbook.runner import find

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


@runbook.group()
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
            _show_error(error)
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


@runbook.command()
def doctor() -> int:
    """Look at what this machine has and lacks; shows no secrets and asks no cluster."""
    from runbook.doctor import look

    findings = look()
    for finding in findings:
        click.echo(f"{_mark(finding.verdict)} {finding.title:22} {finding.seen}")
        if finding.fix:
            click.echo(f"{'':29} {finding.fix}")
    return BROKEN if any(finding.verdict == "fail" for finding in findings) else 0


@runbook.command()
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def lab(options: tuple[str, ...]) -> int:
    """Open the notebooks in JupyterLab, as a dated copy under outputs/.

    Further OPTIONS after `--` go to JupyterLab.
    """
    from runbook import rehearsal
    from runbook.lab import command, copy

    folder = copy()
    click.echo(f"working copy: {folder}")
    if not rehearsal.active():
        click.echo("No rehearsal cluster is up; `runbook rehearsal up` starts one.", err=True)
    arguments = command(folder, options)
    os.execv(arguments[0], arguments)  # noqa: S606 - replaces this process, no shell


@runbook.group("rehearsal")
def rehearsal_() -> None:
    """Start, look at and stop a rehearsal cluster."""


_STATE = click.option(
    "--state",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the cluster in this directory; it survives being stopped.",
)


@rehearsal_.command()
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


@rehearsal_.command()
@_STATE
def down(state: Path | None) -> None:
    """Stop the rehearsal cluster."""
    from runbook import rehearsal

    click.echo("stopped" if rehearsal.down(state) else "no rehearsal cluster was up")


@rehearsal_.command()
@_STATE
def status(state: Path | None) -> int:
    """Say whether a rehearsal cluster is up: exit status 0 when it is, 4 when not."""
    from runbook import rehearsal

    kubeconfig = rehearsal.active(state)
    click.echo(f"up: {kubeconfig}" if kubeconfig else "down")
    return 0 if kubeconfig else BROKEN


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
        click.echo(f"{_counted(step.count):31} {self._done(step):14} {step.seconds:6.1f} s{result}")
        if step.error:
            _show_error(RecordedError(step.error))

    def _done(self, step: StepRecord) -> str:
        if self.mode == "plan":
            return f"{step.planned} planned" if step.planned else "nothing to do"
        if self.mode == "verify":
            return "read only"
        return f"{step.changed} changed" if step.changed else "nothing to do"


class RecordedError(RunbookError):
    """An error as a notebook recorded it."""

    def __init__(self, error: dict[str, str]) -> None:
        parts = {name: error.get(name, "") for name in ("why", "fix", "see")}
        super().__init__(f"{error['name']}: {error['what']}", **parts)


def _show_end(record: Record, params: Params) -> None:
    """Say what the run did and where its record is."""
    result = record.result()
    done = f"{result['changed']} changed" if result["changed"] else "nothing to change"
    if params.mode != "apply":
        planned = sum(step.planned for step in record.steps)
        done = f"{planned} planned, nothing applied" if params.mode == "plan" else "read only"
    shown = _counted(result["checks"].__getitem__)
    click.echo(f"{shown}; {done}; {result['seconds']:.0f} s")
    if not params.cluster_uid and not record.target["rehearsal"]:
        click.echo(
            "Put this into your parameter file, so that no other cluster is taken for it:\n"
            f"  cluster_uid: {record.target['uid']}"
        )
    click.echo(_near(record.directory / "index.html"))


def _counted(count: Callable[[str], int]) -> str:
    """Say how many checks came to which verdict, leaving out the verdicts of none."""
    words = {"pass": "passed", "warn": "warned", "fail": "failed", "skip": "skipped"}
    counts = {word: count(verdict) for verdict, word in words.items()}
    return ", ".join(f"{n} {word}" for word, n in counts.items() if n) or "no checks"


def _show_error(error: RunbookError) -> None:
    """Write an error to standard error: what, why, fix, see."""
    click.secho(error.what, fg="red", err=True)
    for label in ("why", "fix", "see"):
        if text := getattr(error, label):
            click.echo(f"  {label}: {text}", err=True)


def _pairs(pairs: tuple[str, ...]) -> dict[str, Any]:
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"-p takes NAME=VALUE, not {pair!r}")
        values[name] = value
    return values


def _type(field: Any) -> str:
    """Name the type of a parameter: ``text``, ``number``, ``yes/no`` or its choices."""
    choices = getattr(field.annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return " | ".join(choices)
    return {int: "number", bool: "true | false", str: "text"}.get(field.annotation, "mapping")


def _default(field: Any) -> str:
    default = field.get_default(call_default_factory=True)
    return str(default).lower() if isinstance(default, bool) else repr(default)


def _mark(verdict: str) -> str:
    colours = {"pass": "green", "warn": "yellow", "fail": "red"}
    return click.style(f"{verdict:6}", fg=colours.get(verdict))


def _near(path: Path) -> str:
    """Give a path relative to where the user stands when it is below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
