"""The command ``runbook``: read arguments, call the package, show what came of it.

Nothing heavy is imported before a command needs it, so that help and lists are instant.

Exit status: 0 ok, 1 a check failed, 2 bad parameters or usage, 3 a step failed, 4 no kernel,
API server or rehearsal cluster, 5 the archive was changed, 130 interrupted.
"""

# ruff: noqa: PLC0415 - help and lists must be instant: what is rarely needed is imported then
from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from runbook.cli.audit import audit
from runbook.cli.batch import resume, run
from runbook.cli.books import lab, list_, show
from runbook.cli.export import export
from runbook.cli.machine import doctor, rehearsal_group
from runbook.cli.parameters import params
from runbook.cli.records import records
from runbook.cli.render import show_error
from runbook.errors import RunbookError

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
        show_error(error)
        return error.status
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:  # `runbook list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:
        click.echo("This is a fault of the runbook itself; please report it:", err=True)
        click.echo(_traceback(), err=True)
        return BROKEN
    return status if isinstance(status, int) else 0


def _traceback() -> str:
    """Give the traceback of the exception being handled, without what looks like a secret."""
    import traceback

    from runbook.secrets import Redactor

    return Redactor().text(traceback.format_exc())


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="linkerd-runbook", message="%(version)s")
def runbook() -> None:
    """Install, verify and operate Linkerd on a Raspberry Pi K3s cluster.

    One notebook per step. Without further words, everything happens on the rehearsal cluster, a
    cluster of stand-ins on this machine. `runbook list` shows the notebooks.
    """


for _command in (
    run, resume, audit, list_, show, params, doctor, lab, records, export, rehearsal_group
):  # fmt: skip
    runbook.add_command(_command)
