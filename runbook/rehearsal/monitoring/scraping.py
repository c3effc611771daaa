"""Scraping: one thread for each job lists its targets and takes their samples."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runbook.rehearsal.monitoring.exposition import parse
from runbook.rehearsal.monitoring.jobs import Job, Target
from runbook.rehearsal.monitoring.selectors import seconds
from runbook.rehearsal.monitoring.storage import Storage

__all__ = ["Pool"]


class Pool:
    """The targets of one job, scraped until it is stopped.

    Args:
        job: The job.
        storage: Takes the samples.
        directory: Where the files are that the configuration names.
    """

    def __init__(self, job: Job, storage: Storage, directory: Path) -> None:
        self.job = job
        self.targets: list[Target] = []
        self.dropped: list[dict[str, str]] = []
        self._storage = storage
        self._directory = directory
        self._stopped = threading.Event()
        self._connections: dict[str, http.client.HTTPConnection] = {}
        self._thread = threading.Thread(target=self._work, name=job.name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop scraping; what it has scraped becomes stale."""
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        refresh = self.job.refresh
        listed = -refresh
        while not self._stopped.is_set():
            now = time.monotonic()
            if now - listed >= refresh:
                self._discover()
                listed = now
            for target in list(self.targets):
                if target.due <= now and not self._stopped.is_set():
                    target.due = max(target.due, now - 1) + seconds(self.job.interval)
                    self._scrape(target)
            self._storage.forget(time.time())
            due = min([target.due for target in self.targets], default=float("inf"))
            self._stopped.wait(max(0.01, min(due, listed + refresh) - time.monotonic()))
        for target in self.targets:
            self._end(target)
        for connection in self._connections.values():
            connection.close()

    def _discover(self) -> None:
        """List the targets; those that were there before go on where they are."""
        found: list[Target] = []
        dropped: list[dict[str, str]] = []
        try:
            for url in self.job.urls:
                groups = json.loads(self._get(url, 10.0))
                kept, left = self.job.targets(groups, url)
                found, dropped = found + kept, dropped + left
        except (OSError, ValueError, http.client.HTTPException) as error:
            print(f"rehearsal: Unable to refresh target groups: {error}", flush=True)
            return  # as they were
        known = {target.identity: target for target in self.targets}
        fresh: dict[Any, Target] = {}
        for target in found:
            fresh.setdefault(target.identity, known.get(target.identity, target))
            fresh[target.identity].discovered = target.discovered
        for identity in set(known) - set(fresh):
            self._end(known[identity])
        self.targets, self.dropped = list(fresh.values()), dropped

    def _scrape(self, target: Target) -> None:
        begun, stamp = time.perf_counter(), time.time()
        taken: set[Any] = set()
        count = 0
        try:
            for sample in parse(self._get(target.url, seconds(self.job.timeout))):
                count += 1
                labels = self.job.sample_labels(sample.labels, target.labels)
                if labels is not None:
                    honored = self.job.settings.get("honor_timestamps", True)
                    when = sample.stamp if honored and sample.stamp is not None else stamp
                    taken.add(self._storage.add(labels, when, sample.value))
            target.health, target.error = "up", ""
        except (OSError, ValueError, http.client.HTTPException) as error:
            target.health, target.error, taken = "down", str(error), set()
        target.scraped, target.duration = stamp, time.perf_counter() - begun
        figures = {
            "up": float(target.health == "up"),
            "scrape_duration_seconds": target.duration,
            "scrape_samples_scraped": float(count),
            "scrape_samples_post_metric_relabeling": float(len(taken)),
            "scrape_series_added": float(len(taken - target.series)),
        }
        for name, value in figures.items():
            taken.add(self._storage.add({**target.labels, "__name__": name}, stamp, value))
        for gone in target.series - taken:
            self._storage.end(gone, stamp)
        target.series = taken

    def _end(self, target: Target) -> None:
        for key in target.series:
            self._storage.end(key, time.time())

    def _get(self, url: str, timeout: float) -> str:
        """Ask on the connection to a server, made anew when it has gone.

        Raises:
            OSError: There is no answer, or one that says no.
        """
        where = urlsplit(url)
        for attempt in (1, 2):
            connection = self._connection(where.scheme, where.netloc)
            connection.timeout = timeout
            if connection.sock is not None:
                connection.sock.settimeout(timeout)
            try:
                path = f"{where.path}{'?' if where.query else ''}{where.query}"
                connection.request("GET", path, headers=self._headers(timeout))
                answer = connection.getresponse()
                body = answer.read().decode()
            except (http.client.HTTPException, ConnectionError):
                connection.close()
                if attempt == 1:
                    continue
                raise
            except OSError:
                connection.close()
                raise
            if answer.status != http.HTTPStatus.OK:
                raise OSError(f"server returned HTTP status {answer.status} {answer.reason}")
            return body
        raise AssertionError("the second attempt returns or raises")

    def _connection(self, scheme: str, place: str) -> http.client.HTTPConnection:
        found = self._connections.get(place)
        if found is None:
            if scheme == "https":
                file = self._file("tls_config", "ca_file")
                context = ssl.create_default_context(cafile=str(file) if file else None)
                found = http.client.HTTPSConnection(place, context=context)
            else:
                found = http.client.HTTPConnection(place)
            self._connections[place] = found
        return found

    def _headers(self, timeout: float) -> Mapping[str, str]:
        headers = {
            "User-Agent": "Prometheus/rehearsal",
            "Accept": "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "X-Prometheus-Scrape-Timeout-Seconds": f"{timeout:g}",
        }
        file = self._file("authorization", "credentials_file")
        with contextlib.suppress(FileNotFoundError):
            headers |= {"Authorization": f"Bearer {file.read_text().strip()}"} if file else {}
        return headers

    def _file(self, section: str, field: str) -> Path | None:
        name = (self.job.settings.get(section) or {}).get(field)
        return self._directory / name if name else None
