"""A stand-in for ``fortio server``: HTTP/1.1, an echo with a size and a delay.

``/echo?size=N&delay=5ms&status=503`` answers N bytes after the delay; a POST is answered with its
own body unless a size is given. Every other path is answered alike.
"""

from __future__ import annotations

import asyncio
import re
import socket
from http import HTTPStatus
from urllib.parse import parse_qs

from runbook.rehearsal.images.settings import Settings
from runbook.rehearsal.traffic.clock import Clock

__all__ = ["Echo", "answer"]

_LARGEST = 1 << 20
"""Bytes: what is asked for beyond that is cut, as Fortio cuts it."""
_PATTERN = b"0123456789abcdef" * (_LARGEST // 16)
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def answer(query: str, body: bytes) -> tuple[bytes, float]:
    """Make the answer to a request.

    Args:
        query: Its query string.
        body: Its body.

    Returns:
        The whole answer, and the seconds to wait before it is sent.
    """
    asked = {key: values[-1] for key, values in parse_qs(query).items()}
    size, status = asked.get("size", ""), asked.get("status", "")
    content = _PATTERN[: int(size)] if size.isdigit() else body
    code = int(status) if status.isdigit() else 200
    try:
        reason = HTTPStatus(code).phrase
    except ValueError:
        reason = "Unknown"
    head = (
        f"HTTP/1.1 {code} {reason}\r\nContent-Type: application/octet-stream\r\n"
        f"Content-Length: {len(content)}\r\nServer: rehearsal\r\n\r\n"
    )
    return head.encode() + content, _delay(asked.get("delay", ""))


def _delay(text: str) -> float:
    found = re.fullmatch(r"([0-9.]+)(us|ms|s)(?::.*)?", text)
    return float(found[1]) * _UNITS[found[2]] if found else 0.0


class Echo(asyncio.Protocol):
    """One connection.

    Args:
        clock: Wakes late answers.
        known: Answers by query string, of requests without a body.
    """

    def __init__(self, clock: Clock, known: dict[bytes, tuple[bytes, float]]) -> None:
        self._clock = clock
        self._known = known
        self._heard = b""
        self._busy = False
        self._closing = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request when it is whole, one after the other."""
        self._heard = self._heard + data if self._heard else data
        while not self._busy and self._next():
            pass

    def _next(self) -> bool:
        end = self._heard.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self._heard[:end]
        body, rest = b"", self._heard[end + 4 :]
        _, _, length = head.lower().partition(b"\r\ncontent-length:")
        if length:
            size = int(length.partition(b"\r\n")[0])
            if len(rest) < size:
                return False
            body, rest = rest[:size], rest[size:]
        self._heard = rest
        self._closing = b"\r\nconnection: close" in head.lower()
        query = head.partition(b"\r\n")[0].split(b" ")[1].partition(b"?")[2]
        self._answer(query, body)
        return True

    def _answer(self, query: bytes, body: bytes) -> None:
        found = None if body else self._known.get(query)
        if found is None:
            found = answer(query.decode("latin-1"), body)
            if not body and len(self._known) < 100:
                self._known[query] = found
        text, delay = found
        if not delay:
            self._send(text)
            return
        self._busy = True
        loop = asyncio.get_running_loop()
        self._clock.at(loop.time() + delay, lambda: self._late(text))

    def _late(self, text: bytes) -> None:
        self._busy = False
        self._send(text)
        while not self._busy and self._next():
            pass

    def _send(self, text: bytes) -> None:
        self._transport.write(text)
        if self._closing:
            self._transport.close()


async def serve(settings: Settings) -> None:
    """Serve on every listener until the kubelet is gone."""
    loop = asyncio.get_running_loop()
    clock = Clock(loop, compensate=True)
    known: dict[bytes, tuple[bytes, float]] = {}
    for port, fd in settings.listeners.items():
        await loop.create_server(lambda: Echo(clock, known), sock=socket.socket(fileno=fd))
        print(f"rehearsal: echo server (no fortio here) listening on port {port}", flush=True)
    settings.tell_ready()
    await loop.create_future()


if __name__ == "__main__":
    found = Settings.load()
    found.end_with_kubelet()
    asyncio.run(serve(found))
