"""The admin endpoints of a proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Admin"]


class Admin(asyncio.Protocol):
    """Answers GET on ``/metrics``, ``/ready`` and ``/live``.

    Args:
        metrics: Gives the text of ``/metrics``.
    """

    def __init__(self, metrics: Callable[[], str]) -> None:
        self._metrics = metrics
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request when its head is whole; requests have no bodies here."""
        assert isinstance(self._transport, asyncio.Transport)  # noqa: S101
        self._heard += data
        while b"\r\n\r\n" in self._heard:
            head, _, self._heard = self._heard.partition(b"\r\n\r\n")
            method, _, rest = head.partition(b" ")
            path = rest.partition(b" ")[0].partition(b"?")[0].decode()
            status, body = self._answer(path) if method == b"GET" else ("405 Not allowed", "")
            encoded = body.encode()
            self._transport.write(
                f"HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\n"
                f"content-length: {len(encoded)}\r\n\r\n".encode()
                + encoded
            )

    def _answer(self, path: str) -> tuple[str, str]:
        if path == "/metrics":
            return "200 OK", self._metrics()
        if path in ("/ready", "/live"):
            return "200 OK", f"{path[1:]}\n"
        return "404 Not Found", "not found\n"
