"""What the processes of the control plane share: settings, listeners, admission over HTTPS.

Standard library only, so that a process is up in a fraction of a second.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import socket
import ssl
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook.rehearsal.images.listening import Listener, Reply
from runbook.rehearsal.images.settings import Settings
from runbook.rehearsal.images.watching import connect

__all__ = ["Api", "Settings", "listen", "log", "open_port", "review", "run", "serve"]

Object = dict[str, Any]


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
        self._connection = connect(settings, 5)
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


class _Server(Listener):
    """HTTP on a socket that is bound already, with TLS when there is a certificate for it."""

    def __init__(
        self, fd: int, handler: type[http.server.BaseHTTPRequestHandler], tls: Path | None
    ) -> None:
        super().__init__(fd, handler)
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
    _Server(settings.listeners[str(port)], handler, tls).begin()


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
        def do_POST(self) -> None:  # noqa: N802 - the name http.server calls
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size))
            self.reply(200, "application/json", json.dumps(answer(body)).encode())

        def do_GET(self) -> None:  # noqa: N802 - the name http.server calls
            self.admin(metrics)

    secure = {"proxy-injector", "sp-validator", "policy-https", "tap-injector"}
    for name, port in settings.ports.items():
        tls = settings.path("/var/run/linkerd/tls/tls.crt").parent if name in secure else None
        listen(settings, port, Handler, tls)
    run(settings)
