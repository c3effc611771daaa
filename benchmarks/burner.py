"""A process that uses as much CPU and memory as it is told, over HTTP on a port of 127.0.0.1.

    burner.py PORT

``/burn?ms=250&requests=100`` uses CPU, and counts requests as a proxy does; ``/hold?mib=40`` keeps
memory; ``/account`` tells what the operating system has charged it (``getrusage``); ``/metrics``
is a proxy's. Standard library only, so that it starts with little memory.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_TICK = 100  # of process_cpu_seconds_total, a second


class Burner(BaseHTTPRequestHandler):
    """One request; what must last is kept in the class."""

    started = time.time()
    requests = 0
    held = b""

    def do_GET(self) -> None:
        """Do as told."""
        parts = urlsplit(self.path)
        told = {name: float(values[0]) for name, values in parse_qs(parts.query).items()}
        match parts.path:
            case "/burn":
                end = time.process_time() + told["ms"] / 1000
                while time.process_time() < end:
                    pass
                Burner.requests += int(told.get("requests", 0))
            case "/hold":
                Burner.held = os.urandom(1) * int(told["mib"] * 2**20)
        text = metrics() if parts.path == "/metrics" else json.dumps(account())
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def cpu() -> float:
    """Give the CPU seconds the operating system has charged this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def account() -> dict[str, float]:
    """Give what the operating system says of this process."""
    return {"pid": os.getpid(), "cpu": cpu()}


def metrics() -> str:
    """Give what a proxy says of itself, in its names and its resolution."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - pathlib is memory, too
        pages = int(file.read().split()[1])
    return (
        f'request_total{{direction="inbound",tls="true",client_id="burner"}} {Burner.requests}\n'
        f"process_start_time_seconds {Burner.started}\n"
        f"process_cpu_seconds_total {int(cpu() * _TICK) / _TICK}\n"
        f"process_resident_memory_bytes {pages * resource.getpagesize()}\n"
    )


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Burner).serve_forever()
