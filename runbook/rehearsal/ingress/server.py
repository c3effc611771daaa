"""The stand-in for Traefik: entry points that pass requests on to Services.

Pods have no addresses on loopback, so requests reach a Service through the API server's proxy.
"""

from __future__ import annotations

import http.client
import http.server
import json
import socket
import ssl
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from runbook.rehearsal.images.listening import Listener, Reply
from runbook.rehearsal.images.serving import Settings, run
from runbook.rehearsal.images.watching import connect
from runbook.rehearsal.ingress.middlewares import Answer, Request
from runbook.rehearsal.ingress.provider import Provider, log
from runbook.rehearsal.ingress.routes import Asked, Backend

__all__ = ["Edge"]

_SECONDS = 60.0
_HANDSHAKE = b"\x16"
"""What a connection with TLS begins with."""
_PLAIN = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
_OURS = _HOP | {"host", "authorization", "content-length", "accept-encoding"}
_NOT_FOUND = Answer(404, b"404 page not found\n", _PLAIN)


class Edge:
    """Decides what becomes of a request.

    Args:
        settings: How to reach the API server.
        provider: Knows the routers.
    """

    def __init__(self, settings: Settings, provider: Provider) -> None:
        self._settings = settings
        self._provider = provider
        self._counts: Counter[tuple[str, str, int]] = Counter()
        self._lock = threading.Lock()

    def answer(self, entry: str, request: Request, body: bytes) -> Answer:
        """Answer a request.

        Args:
            entry: Name of the entry point it came to.
            request: The request.
            body: Its body.
        """
        asked = Asked(entry, request.secure, request.host, request.target.partition("?")[0])
        found = self._answer(asked, request, body)
        with self._lock:
            self._counts[(entry, request.method, found.status)] += 1
        return found

    def certificate(self, name: str | None) -> ssl.SSLContext | None:
        """Give the certificate for a name; None for the default one."""
        return self._provider.current.certificate(name) if name else None

    def metrics(self) -> str:
        """Give what was counted, under Traefik's names."""
        lines = [f"traefik_config_reloads_total {self._provider.reloads}"]
        with self._lock:
            for (entry, method, code), count in sorted(self._counts.items()):
                labels = f'code="{code}",entrypoint="{entry}",method="{method}",protocol="http"'
                lines.append(f"traefik_entrypoint_requests_total{{{labels}}} {count}")
        return "\n".join(lines) + "\n"

    def _answer(self, asked: Asked, request: Request, body: bytes) -> Answer:
        current = self._provider.current
        router = current.find(asked)
        if router is None:
            return _NOT_FOUND
        for name in router.middlewares:
            answer = current.middlewares[name].meet(request)
            if answer is not None:
                return answer
        try:
            return self._forward(router.backend, request, body)
        except (OSError, http.client.HTTPException):
            return Answer(502, b"Bad Gateway", _PLAIN)

    def _forward(self, backend: Backend, request: Request, body: bytes) -> Answer:
        # The Service sees no Authorization: the API server's proxy takes it for itself.
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _OURS}
        headers |= {
            "Host": request.host,
            "Authorization": f"Bearer {self._settings.token}",
            "X-Forwarded-Host": request.host,
            "X-Forwarded-Proto": "https" if request.secure else "http",
        }
        connection = connect(self._settings, _SECONDS)
        try:
            path = backend.proxy + request.target
            connection.request(request.method, path, body=body or None, headers=headers)
            found = connection.getresponse()
            said = found.read()
        finally:
            connection.close()
        refused = _refusal(found, said)
        if refused == 404:
            what = f"{backend.namespace}/{backend.service}:{backend.port}"
            log("ERR", f'Cannot create service error="service not found" service={what}')
            return _NOT_FOUND
        if refused:
            return Answer(503, b"no available server\n", _PLAIN)
        kept = {k: v for k, v in found.getheaders() if k.lower() not in {*_HOP, "content-length"}}
        return Answer(found.status, said, kept)


def _refusal(answer: http.client.HTTPResponse, body: bytes) -> int:
    """Tell an answer of the API server itself, that there is no Service or no pod; 0 if not so."""
    if answer.status not in (404, 503) or "json" not in (answer.getheader("Content-Type") or ""):
        return 0
    try:
        kind = json.loads(body).get("kind")
    except (ValueError, AttributeError):
        return 0
    return answer.status if kind == "Status" else 0


class _Server(Listener):
    """An entry point: HTTP on a bound socket, with or without TLS, as the client begins."""

    def __init__(
        self, fd: int, handler: type[http.server.BaseHTTPRequestHandler], tls: ssl.SSLContext
    ) -> None:
        super().__init__(fd, handler)
        self._tls = tls

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection, in a thread of its own."""
        if request.recv(1, socket.MSG_PEEK) != _HANDSHAKE:
            super().finish_request(request, client_address)
            return
        with self._tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leave connections that clients break out of the log, as Traefik does."""


def _handler(name: str, edge: Edge) -> type[Reply]:
    """Make what answers at one entry point."""

    class Entry(Reply):
        def _pass(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            headers = dict(self.headers.items())
            host = headers.pop("Host", "")
            secure = isinstance(self.connection, ssl.SSLSocket)
            request = Request(self.command, self.path, host, headers, secure)
            self._say(edge.answer(name, request, self.rfile.read(size)))

        def _say(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for field, value in answer.headers.items():
                self.send_header(field, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        def send_response(self, code: int, message: str | None = None) -> None:
            """Begin an answer; it does not name a program."""
            self.send_response_only(code, message)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _pass  # noqa: N815

    class Ping(Reply):
        def do_GET(self) -> None:  # noqa: N802 - the name http.server calls
            status, text = (200, b"OK") if self.path == "/ping" else (404, _NOT_FOUND.body)
            self.reply(status, "text/plain; charset=utf-8", text)

    class Metrics(Reply):
        def do_GET(self) -> None:  # noqa: N802 - the name http.server calls
            self.admin(edge.metrics)

    special: dict[str, type[Reply]] = {"traefik": Ping, "metrics": Metrics}
    return special.get(name, Entry)


def _tls(settings: Settings, edge: Edge) -> ssl.SSLContext:
    """Make TLS settings that choose a certificate by the name a client asks for."""

    def choose(connection: ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        found = edge.certificate(name)
        if found is not None:
            connection.context = found

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    config = Path(settings.directory) / "config"
    context.load_cert_chain(config / "tls.crt", config / "tls.key")
    context.sni_callback = choose  # type: ignore[assignment] # the stub wants a context as well
    return context


def _main() -> None:
    settings = Settings.load()
    log("INF", f"a stand-in for Traefik {settings.extra['version']}")
    provider = Provider(settings, settings.extra["group"])
    edge = Edge(settings, provider)
    tls = _tls(settings, edge)
    for name, port in settings.ports.items():
        _Server(settings.listeners[str(port)], _handler(name, edge), tls).begin()
    provider.start()
    run(settings)


if __name__ == "__main__":
    _main()
