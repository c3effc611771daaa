"""Heads of messages in a stream of bytes: how many requests have begun, and what was answered.

Just enough HTTP to count: bodies are skipped by their announced length, nothing is decoded that
a count does not need.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["PREFACE", "Frames", "Heads", "Messages", "looks_like_http1"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What an HTTP/2 client sends first."""

_METHODS = (b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"TRACE ")
_HEADERS = 1
_FRAME = 9
_PADDED, _PRIORITY = 0x08, 0x20
"""Flags after which the header block is not the first thing in its frame."""
_STATUSES = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}
"""First byte of a header block whose ``:status`` is in HPACK's static table (RFC 7541, A)."""


class Messages(Protocol):
    """Finds where messages begin."""

    def feed(self, data: bytes) -> list[tuple[int, int]]:
        """Take the next bytes; give stream and status of each message that begins in them.

        The stream is 0 in HTTP/1, the status 0 for a request and where it is not known.
        """


def looks_like_http1(data: bytes) -> bool:
    """Tell whether a connection's first bytes are a request of HTTP/1."""
    return data.startswith(_METHODS)


class Heads:
    """Messages of HTTP/1.1 in one direction.

    Args:
        requests: Whether they are requests.
    """

    def __init__(self, *, requests: bool) -> None:
        self._requests = requests
        self._held = b""
        self._left = 0
        self._chunked = False
        self._endless = False

    @property
    def between(self) -> bool:
        """Tell whether the last message is whole and the next has not begun."""
        return not (self._held or self._left or self._chunked or self._endless)

    def feed(self, data: bytes) -> list[tuple[int, int]]:
        """Take the next bytes; give the messages that begin in them."""
        if not self._held and self._left >= len(data):
            self._left -= len(data)
            return []
        found: list[tuple[int, int]] = []
        data, self._held = self._held + data, b""
        while data:
            if self._endless:
                break
            if self._left:
                skipped = min(self._left, len(data))
                self._left -= skipped
                data = data[skipped:]
            elif self._chunked:
                data = self._chunk(data)
            else:
                data = self._head(data, found)
        return found

    def _head(self, data: bytes, found: list[tuple[int, int]]) -> bytes:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._held = data
            return b""
        head, rest = data[:end].lower(), data[end + 4 :]
        status = 0 if self._requests else _status(head)
        if status // 100 == 1 and status != 101:
            return rest
        found.append((0, status))
        self._chunked = b"transfer-encoding: chunked" in head
        length = _length(head)
        empty = self._requests or status in (204, 304)
        if status == 101 or (length is None and not self._chunked and not empty):
            self._endless = True  # an upgrade, or a body that ends with the connection
        elif not self._chunked and status not in (204, 304):
            self._left = length or 0
        return rest

    def _chunk(self, data: bytes) -> bytes:
        """Skip the size of a chunk; its bytes and the line end after them are skipped next."""
        end = data.find(b"\r\n")
        if end < 0:
            self._held = data
            return b""
        size = int(data[:end].partition(b";")[0], 16)
        if size:
            self._left = size + 2
            return data[end + 2 :]
        # The last one: trailers, then an empty line.
        close = data.find(b"\r\n\r\n", end)
        if close < 0:
            self._held = data
            return b""
        self._chunked = False
        return data[close + 4 :]


def _status(head: bytes) -> int:
    word = head[9:12]
    return int(word) if word.isdigit() else 0


def _length(head: bytes) -> int | None:
    _, found, rest = head.partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else None


class Frames:
    """Messages of HTTP/2 in one direction: the first HEADERS frame of each stream.

    Args:
        requests: Whether they are requests, which begin with the preface.
    """

    def __init__(self, *, requests: bool) -> None:
        self._requests = requests
        self._skip = len(PREFACE) if requests else 0
        self._held = b""
        self._last = 0
        self._open: set[int] = set()

    def feed(self, data: bytes) -> list[tuple[int, int]]:
        """Take the next bytes; give the messages that begin in them."""
        found: list[tuple[int, int]] = []
        place = 0
        if self._held:
            data, self._held = self._held + data, b""
        while place < len(data):
            if self._skip:
                skipped = min(self._skip, len(data) - place)
                self._skip -= skipped
                place += skipped
                continue
            if len(data) - place < _FRAME + 1:  # a header, and a byte to know the status by
                self._held = data[place:]
                if len(self._held) < _FRAME or self._held[:3] != b"\0\0\0":
                    break
                self._held = b""  # an empty frame has no further byte
            kind, flags = data[place + 3], data[place + 4]
            stream = int.from_bytes(data[place + 5 : place + _FRAME], "big") & 0x7FFFFFFF
            self._skip = int.from_bytes(data[place : place + 3], "big")
            place += _FRAME
            if kind == _HEADERS:
                self._headers(stream, flags, data, place, found)
        return found

    def _headers(
        self, stream: int, flags: int, data: bytes, place: int, found: list[tuple[int, int]]
    ) -> None:
        """Note a message unless these are the trailers of one."""
        if self._requests:
            if stream > self._last:
                self._last = stream
                found.append((stream, 0))
            return
        if stream in self._open:
            self._open.discard(stream)
            return
        if not flags & 1:  # more follows: the next HEADERS frame are trailers
            self._open.add(stream)
        known = place < len(data) and not flags & (_PADDED | _PRIORITY)
        found.append((stream, _STATUSES.get(data[place], 0) if known else 0))
