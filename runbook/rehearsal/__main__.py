"""Run the rehearsal cluster in the foreground: ``python -m runbook.rehearsal serve``."""

from __future__ import annotations

import argparse
import datetime
import logging
import signal
import sys
import threading
from pathlib import Path

from runbook.errors import RunbookError
from runbook.rehearsal import daemon
from runbook.rehearsal.twin import Twin


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m runbook.rehearsal")
    commands = parser.add_subparsers(required=True)
    serve = commands.add_parser("serve", help="serve the rehearsal cluster")
    serve.add_argument("--directory", type=Path, required=True)
    serve.add_argument("--persist", action="store_true", help="keep the objects in the directory")
    serve.add_argument("--kubernetes-version", default="1.35")
    serve.add_argument("--bare", action="store_true", help="no nodes, no pods, no content")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    try:
        return _serve(arguments)
    except RunbookError as error:
        print(error, file=sys.stderr)
        return error.status


def _serve(arguments: argparse.Namespace) -> int:
    directory: Path = arguments.directory
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    twin = Twin(
        services=True,
        directory=directory,
        kubernetes_version=arguments.kubernetes_version,
        persist=arguments.persist,
        kubelet=not arguments.bare,
        content=not arguments.bare,
    )
    with twin:
        if not ended.is_set():
            daemon.record(
                directory,
                url=twin.url,
                chart_repository=twin.chart_repository,
                kubernetes_version=arguments.kubernetes_version,
                started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            )
        ended.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
