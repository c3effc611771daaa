"""The stand-in for Prometheus as a process: its configuration, its jobs, its HTTP API."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from runbook.rehearsal.images.listening import Listener, Reply
from runbook.rehearsal.images.settings import Settings
from runbook.rehearsal.monitoring.answers import Answer, Answers
from runbook.rehearsal.monitoring.jobs import Job
from runbook.rehearsal.monitoring.storage import Storage

if TYPE_CHECKING:
    from runbook.rehearsal.monitoring.scraping import Pool

__all__ = ["Server"]


class Server:
    """Keeps the jobs of a configuration running.

    Args:
        directory: Where the configuration and the files it names are.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._storage = Storage()
        self._pools: dict[str, Pool] = {}
        self._text = ""
        self.answers = Answers(
            self._storage, lambda: list(self._pools.values()), lambda: self._text
        )

    def load(self) -> None:
        """Read the configuration; jobs that are as before go on as they are."""
        text = (self._directory / "prometheus.yaml").read_text(encoding="utf-8")
        read = json.loads(text)  # the kubelet writes JSON, which is YAML
        jobs = [Job(entry, read["global"]) for entry in read.get("scrape_configs") or []]
        wanted = {job.name: job for job in jobs}
        for name, pool in list(self._pools.items()):
            if wanted.get(name) != pool.job:
                pool.stop()
                del self._pools[name]
        for name, job in wanted.items():
            if name not in self._pools:
                self._pools[name] = self._pool(job)
        self._text = text
        print(f"rehearsal: Completed loading of configuration file, {len(jobs)} jobs", flush=True)

    def _pool(self, job: Job) -> Pool:
        # TLS and what is about it take time to load, and without jobs they are not needed.
        from runbook.rehearsal.monitoring.scraping import Pool  # noqa: PLC0415

        return Pool(job, self._storage, self._directory)


def listen(server: Server, fd: int) -> None:
    """Answer over HTTP, from threads.

    Args:
        server: Who answers.
        fd: File descriptor of a bound socket.
    """

    class Handler(Reply):
        def do_GET(self) -> None:  # noqa: N802 - the name http.server calls
            where = urlsplit(self.path)
            self._send(server.answers.answer(where.path, parse_qs(where.query)))

        def do_POST(self) -> None:  # noqa: N802 - the name http.server calls
            form = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            where = urlsplit(self.path)
            query = parse_qs(f"{where.query}&{form}")
            self._send(server.answers.answer(where.path, query))

        def _send(self, answer: Answer) -> None:
            self.reply(answer.status, answer.media, answer.body)

    Listener(fd, Handler).begin()


def _main() -> None:
    settings = Settings.load()
    settings.end_with_kubelet()
    again = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: again.set())
    server = Server(Path(settings.directory) / "config")
    server.load()
    (number,) = settings.listeners.values()
    listen(server, number)
    settings.tell_ready()
    while True:
        again.wait()
        again.clear()
        try:
            server.load()
        except (OSError, ValueError, KeyError) as error:
            print(f"rehearsal: Error reloading config: {error}", flush=True)


if __name__ == "__main__":
    _main()
