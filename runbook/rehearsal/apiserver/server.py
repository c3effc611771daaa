"""The HTTPS side of the API server: tornado in, requests and responses out."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from runbook.rehearsal.apiserver.requests import Request, Response, Stream, encode

__all__ = ["Answer", "Serve", "listen"]

Answer = Response | Stream
Serve = Callable[[Request], Awaitable[Answer]]
_MAX_BODY = 8 * 1024 * 1024


class _Handler(RequestHandler):
    """Hands every request to the API and writes what it answers."""

    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "DELETE", "PATCH", "PUT", "OPTIONS")

    def initialize(self, serve: Serve) -> None:
        self._serve = serve
        self._streaming: asyncio.Task[None] | None = None

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-cache, private")
        self.set_header("Date", email.utils.formatdate(time.time(), usegmt=True))

    def compute_etag(self) -> None:
        """Leave ETags to the documents that have one."""

    async def _answer(self) -> None:
        raw = self.request
        headers = dict(raw.headers)
        request = Request.parse(raw.method or "GET", raw.uri or "/", headers, raw.body)
        answer = await self._serve(request)
        if isinstance(answer, Stream):
            await self._stream(answer)
            return
        self.set_status(answer.status)
        self.set_header("Content-Type", answer.media_type)
        for name, value in answer.headers.items():
            self.set_header(name, value)
        for warning in answer.warnings:
            quoted = warning.replace("\\", "\\\\").replace('"', '\\"')
            self.add_header("Warning", f'299 - "{quoted}"')
        if answer.status not in (204, 304) and self.request.method != "HEAD":
            self.write(answer.encode())
        with contextlib.suppress(StreamClosedError):  # the client went away
            await self.finish()

    get = head = post = put = patch = delete = options = _answer

    async def _stream(self, stream: Stream) -> None:
        self.set_header("Content-Type", stream.content_type)
        self._streaming = asyncio.ensure_future(self._pump(stream))
        with contextlib.suppress(asyncio.CancelledError, StreamClosedError):
            await self._streaming

    async def _pump(self, stream: Stream) -> None:
        await self.flush()
        async for event in stream.events:
            self.write(event if isinstance(event, bytes) else encode(event) + b"\n")
            await self.flush()
        await self.finish()

    def on_connection_close(self) -> None:
        if self._streaming is not None:
            self._streaming.cancel()

    def log_exception(self, *args: Any) -> None:
        """Stay quiet when a client goes away; tornado logs everything else."""
        if not isinstance(args[1], ConnectionError | asyncio.CancelledError):
            super().log_exception(*args)


def listen(serve: Serve, context: ssl.SSLContext | None, port: int = 0) -> tuple[HTTPServer, int]:
    """Serve on loopback from the running event loop.

    Args:
        serve: Answers requests.
        context: TLS settings; None serves plain HTTP.
        port: Port to take if it is free; otherwise any.

    Returns:
        The server and its port.
    """
    application = Application([(r"/.*", _Handler, {"serve": serve})], log_function=_quiet)
    server = HTTPServer(
        application, ssl_options=context, max_body_size=_MAX_BODY, idle_connection_timeout=3600
    )
    try:
        sockets = bind_sockets(port, "127.0.0.1")
    except OSError:
        sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    return server, sockets[0].getsockname()[1]


def _quiet(handler: RequestHandler) -> None:
    """Log no access lines: the fault tests refuse requests by the thousand."""
