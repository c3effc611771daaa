"""HTTP on the listeners that a process of the kubelet inherits. Standard library only."""

from __future__ import annotations

import contextlib
import http.server
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["Listener", "Reply"]

_STARTED = time.time()


class Listener(http.server.ThreadingHTTPServer):
    """A server on a socket that is bound already; each connection has a thread.

    Args:
        fd: The socket's file descriptor.
        handler: Answers requests.
    """

    daemon_threads = True

    def __init__(self, fd: int, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=fd)
        self.server_address = self.socket.getsockname()

    def begin(self) -> None:
        """Serve, in a thread that ends with the process."""
        threading.Thread(target=self.serve_forever, args=(3600,), daemon=True).start()


class Reply(http.server.BaseHTTPRequestHandler):
    """Handle requests without a line in the log for each; answers have a length."""

    protocol_version = "HTTP/1.1"

    def reply(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        """Answer a request.

        Args:
            status: HTTP status.
            kind: Content type.
            body: The answer.
            headers: More headers, with underscores for hyphens.
        """
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def admin(self, metrics: Callable[[], str]) -> None:
        """Answer what Linkerd's controllers have at their admin ports."""
        if self.path in ("/ready", "/live", "/ping"):
            self.reply(200, "text/plain", b"ok\n")
        elif self.path == "/metrics":
            text = metrics() + _own_metrics()
            self.reply(200, "text/plain; version=0.0.4", text.encode())
        else:
            self.reply(404, "text/plain", b"404 page not found\n")

    def log_message(self, *_: object) -> None:
        """Leave requests out of the log."""


def _own_metrics() -> str:
    """Say what this process uses, in the names of Go's controllers."""
    used = os.times()
    found = {
        "process_cpu_seconds_total": ("counter", used.user + used.system),
        "process_start_time_seconds": ("gauge", _STARTED),
    }
    with contextlib.suppress(OSError):  # there is no /proc but on Linux
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        size = pages * os.sysconf("SC_PAGE_SIZE")
        found["process_resident_memory_bytes"] = ("gauge", float(size))
    return "".join(
        f"# TYPE {name} {kind}\n{name} {value}\n" for name, (kind, value) in found.items()
    )
