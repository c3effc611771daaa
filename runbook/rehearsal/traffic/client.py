"""One keep-alive connection of the stand-in generator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from runbook.rehearsal.traffic.heads import Heads

__all__ = ["Caller", "Outcome"]

FAILED = -1
"""Fortio's status of a request without an answer."""


@dataclass(frozen=True)
class Outcome:
    """What became of a request.

    Args:
        status: Of the answer; -1 without one.
        seconds: From before it was sent to its last byte.
        sent: Unix time in nanoseconds when it was sent.
        size: Bytes of the answer with its head.
        head: Bytes of its head.
    """

    status: int
    seconds: float
    sent: int
    size: int = 0
    head: int = 0

    @property
    def ok(self) -> bool:
        """Tell whether Fortio counts it as good: 2xx and 418."""
        return 200 <= self.status < 300 or self.status == 418


@dataclass
class Caller(asyncio.Protocol):
    """Sends one request at a time and times it.

    Args:
        host: Whom to connect to.
        port: Where.
        request: The bytes of every request.
        timeout: Seconds for one request.
        tell: Takes what goes wrong, in words.
    """

    host: str
    port: int
    request: bytes
    timeout: float
    tell: Callable[[str], None]
    connects: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._sent, self._began = 0, 0.0
        self._size = self._head = self._status = 0
        self._early = b""
        self._body = Heads(requests=False)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Outcome] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """Fail what waits."""
        self._transport = None
        self._finish(FAILED)

    def data_received(self, data: bytes) -> None:
        """Take a part of the answer."""
        if self._answer is None:
            return
        self._size += len(data)
        if not self._head:
            self._early += data
            end = self._early.find(b"\r\n\r\n")
            if end < 0:
                return
            self._head = end + 4
            self._status = int(self._early[9:12])
            data, self._early = self._early, b""
        self._body.feed(data)
        if self._body.between:
            self._finish(self._status)

    async def call(self) -> Outcome:
        """Send a request and wait for its answer, over a new connection where there is none."""
        loop = asyncio.get_running_loop()
        if self._transport is None and not await self._connect():
            return Outcome(FAILED, time.perf_counter() - self._began, self._sent)
        assert self._transport is not None  # noqa: S101
        self._answer = loop.create_future()
        self._size = self._head = 0
        self._early = b""
        self._body = Heads(requests=False)
        limit = loop.call_later(self.timeout, self._late)
        self._sent, self._began = time.time_ns(), time.perf_counter()
        self._transport.write(self.request)
        try:
            return await self._answer
        finally:
            limit.cancel()

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    async def _connect(self) -> bool:
        loop = asyncio.get_running_loop()
        self._sent, self._began = time.time_ns(), time.perf_counter()
        try:
            reached = loop.create_connection(lambda: self, self.host, self.port)
            await asyncio.wait_for(reached, self.timeout)
        except (OSError, TimeoutError) as error:
            self.tell(f"Unable to connect to {self.host}:{self.port}: {error}")
            return False
        self.connects.append(time.perf_counter() - self._began)
        return True

    def _late(self) -> None:
        self.tell("Timeout error (incomplete/invalid response)")
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        self._finish(FAILED)

    def _finish(self, status: int) -> None:
        if self._answer is not None and not self._answer.done():
            taken = time.perf_counter() - self._began
            self._answer.set_result(Outcome(status, taken, self._sent, self._size, self._head))
        self._answer = None
