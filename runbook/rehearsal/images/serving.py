"""What the processes of the control plane share: settings, listeners, admission over HTTPS.

Standard library only, so that a process is up in a fraction of a second.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import http.server
import json
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runbook.rehearsal.images.settings import Settings

__all__ = ["Api", "Reply", "Settings", "listen", "log", "open_port", "review", "run", "serve"]

Object = dict[str, Any]

_STARTED = time.time()


def log(level: str, text: str) -> None:
    """Say something in the format of Linkerd's controllers."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    print(f'time="{stamp}" level={level} msg="{quoted}"', flush=True)


class Api:
    """One connection to the API server, for the time of one request.

    Args:
        settings: How to reach it.
    """

    def __init__(self, settings: Settings) -> None:
        where = urlsplit(settings.server)
        context = ssl.create_default_context(cadata=settings.ca)
        self._connection = http.client.HTTPSConnection(
            where.hostname or "", where.port, timeout=5, context=context
        )
        self._headers = {
            "Authorization": f"Bearer {settings.token}",
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": "linkerd-proxy-injector",
        }

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str) -> Object | None:
        """Read an object; None when it does not exist."""
        status, body = self._request("GET", path)
        return body if status == 200 else None

    def post(self, path: str, body: Object) -> None:
        """Create an object; a refusal is only logged."""
        status, answer = self._request("POST", path, body)
        if status >= 300:
            log("warning", f"could not create {path}: {answer.get('message')}")

    def _request(self, method: str, path: str, body: Object | None = None) -> tuple[int, Object]:
        data = json.dumps(body).encode() if body is not None else None
        self._connection.request(method, path, body=data, headers=self._headers)
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")


def review(request: Object, patch: list[Object] | None, denial: str = "") -> Object:
    """Build the answer to an AdmissionReview.

    Args:
        request: The review as it came.
        patch: JSON patch for the object; None or empty for none.
        denial: Why the object is refused; empty to allow it.
    """
    response: Object = {"uid": request["request"]["uid"], "allowed": not denial}
    if denial:
        response["status"] = {"message": denial}
    if patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(json.dumps(patch).encode()).decode()
    return {
        "apiVersion": request["apiVersion"],
        "kind": "AdmissionReview",
        "response": response,
    }


class _Server(http.server.ThreadingHTTPServer):
    """HTTP on a socket that is bound already, with TLS when there is a certificate for it."""

    daemon_threads = True

    def __init__(
        self, fd: int, handler: type[http.server.BaseHTTPRequestHandler], tls: Path | None
    ) -> None:
        super().__init__(("127.0.0.1", 0), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=fd)
        self.server_address = self.socket.getsockname()
        self._directory = tls
        self._stamp = 0
        self._context: ssl.SSLContext | None = None
        self._load()

    def _load(self) -> None:
        """Read the certificate, again whenever its file has changed."""
        if self._directory is None:
            return
        stamp = (self._directory / "tls.crt").stat().st_mtime_ns
        if stamp != self._stamp:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._directory / "tls.crt", self._directory / "tls.key")
            self._context, self._stamp = context, stamp

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        try:
            self._load()
        except (OSError, ssl.SSLError) as error:
            log("error", f"could not reload the certificate: {error}")
        if self._context is not None:
            # The handshake happens in the handler's thread: a silent peer holds up nobody.
            connection = self._context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        log("warning", f"http: TLS handshake error from {client_address}: {sys.exc_info()[1]}")


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


def listen(
    settings: Settings,
    port: int,
    handler: type[http.server.BaseHTTPRequestHandler],
    tls: Path | None = None,
) -> None:
    """Serve a port as :func:`open_port` does, and say so as Linkerd's controllers do."""
    open_port(settings, port, handler, tls)
    log("info", f"listening at :{port}")


def open_port(
    settings: Settings,
    port: int,
    handler: type[http.server.BaseHTTPRequestHandler],
    tls: Path | None = None,
) -> None:
    """Serve a port of the container from a thread.

    Args:
        settings: Has its listener.
        port: The container's port.
        handler: Answers requests.
        tls: Directory with ``tls.crt`` and ``tls.key``; None for plain HTTP.
    """
    server = _Server(settings.listeners[str(port)], handler, tls)
    threading.Thread(target=server.serve_forever, args=(3600,), daemon=True).start()


def run(settings: Settings) -> None:
    """Say that the process is ready, and stay until the kubelet is gone."""
    settings.tell_ready()
    sys.stdin.buffer.read()  # ends when the kubelet does, however that happens
    os._exit(0)


def serve(
    settings: Settings, answer: Callable[[Object], Object], metrics: Callable[[], str]
) -> None:
    """Serve admission reviews over HTTPS and the admin endpoints until the kubelet is gone.

    Args:
        settings: What to listen on.
        answer: Answers one AdmissionReview.
        metrics: Gives the text of ``/metrics``.
    """

    class Handler(Reply):
        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size))
            self.reply(200, "application/json", json.dumps(answer(body)).encode())

        def do_GET(self) -> None:
            self.admin(metrics)

    secure = {"proxy-injector", "sp-validator", "policy-https", "tap-injector"}
    for name, port in settings.ports.items():
        tls = settings.path("/var/run/linkerd/tls/tls.crt").parent if name in secure else None
        listen(settings, port, Handler, tls)
    run(settings)
