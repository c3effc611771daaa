"""The real Prometheus server on loopback, and what it can scrape there."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml


@contextmanager
def running(
    place: Path,
    jobs: Sequence[dict[str, Any]] = (),
    *arguments: str,
    web: dict[str, Any] | None = None,
    interval: str = "1s",
) -> Iterator[int]:
    """Run the server, with a web configuration for TLS and passwords; gives its port."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no prometheus on the PATH")
    place.mkdir(parents=True, exist_ok=True)
    limits = {"scrape_interval": interval, "scrape_timeout": interval}
    config = {"global": limits, "scrape_configs": list(jobs)}
    (place / "prometheus.yml").write_text(yaml.safe_dump(config))
    (place / "web.yml").write_text(yaml.safe_dump(web or {}))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = [
        program,
        "--config.file=prometheus.yml",
        "--web.config.file=web.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address=127.0.0.1:{port}",
        *arguments,
    ]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=place, stdout=log, stderr=log, env={**os.environ, "GOMAXPROCS": "1"}
        )
    try:
        until(lambda: process.poll() is None and "ready to receive" in _log(place), _log, place)
        yield port
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def endpoint(text: Callable[[], str]) -> Iterator[int]:
    """Serve a text at every path, asked for anew each time; gives the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            raw = text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def until(condition: Any, told: Any = None, *args: Any) -> None:
    """Wait for a condition; say what was seen when it does not come."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, told(*args) if told else "it did not happen"
        time.sleep(0.05)


def _log(place: Path) -> str:
    return (place / "log").read_text()
