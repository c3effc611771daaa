"""One connection of a proxy: plain bytes, or TLS with both sides' certificates proved."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

__all__ = ["Link"]

_HANDSHAKE = 0x16
"""First byte of a TLS record with a handshake message."""
_READ = 256 * 1024


class Link(asyncio.Protocol):
    """A connection whose bytes are handed on as they come.

    TLS is done here and not by asyncio: it saves a layer and its copies on the way of each
    request, and the first byte can be looked at before the choice is made.

    Attributes:
        receive: Takes what the peer says.
        ended: Called once when the connection is over.
        secured: Called when it is known whether there is TLS; gives the peer's name or "".
        read: Bytes of the connection that were read, TLS not counted.
        written: Bytes that were written, likewise.

    Args:
        server: Context for a peer that begins a TLS handshake; None to take it as plain bytes.
        client: Context to begin one; None for a plain connection.
        name: Name the peer must prove.
    """

    def __init__(
        self,
        *,
        server: ssl.SSLContext | None = None,
        client: ssl.SSLContext | None = None,
        name: str = "",
    ) -> None:
        self.receive: Callable[[bytes], None] = _nowhere
        self.ended: Callable[[], None] = _nothing
        self.secured: Callable[[bool, str], None] = _unheard
        self.partner: Link | None = None
        self.read = self.written = 0
        self.transport: asyncio.Transport | None = None
        self._server, self._client, self._name = server, client, name
        self._tls: ssl.SSLObject | None = None
        self._established = False
        self._asked = False
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake when it is for this side to do so."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # streams only
        self.transport = transport
        if self._client is not None:
            self._wrap(self._client, server=False)
            self._shake()

    def data_received(self, data: bytes) -> None:
        """Take bytes off the wire."""
        if self._tls is None:
            if not self._asked:
                self._asked = True
                if self._server is not None and data[0] == _HANDSHAKE:
                    self._wrap(self._server, server=True)
                    self._decrypt(data)
                    return
                self.secured(False, "")
                self._send_early()
            self.read += len(data)
            self.receive(data)
            return
        self._decrypt(data)

    def eof_received(self) -> bool:
        """Close: half-open connections are not kept."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Say that it is over, once."""
        self.transport = None
        ended, self.ended = self.ended, _nothing
        ended()

    def pause_writing(self) -> None:
        """Let the other side of the proxy wait: this one takes no more for now."""
        if self.partner is not None and self.partner.transport is not None:
            self.partner.transport.pause_reading()

    def resume_writing(self) -> None:
        """Let the other side of the proxy go on."""
        if self.partner is not None and self.partner.transport is not None:
            self.partner.transport.resume_reading()

    def send(self, data: bytes) -> None:
        """Write to the peer, after the handshake if there is one."""
        self.written += len(data)
        if self.transport is None:
            return
        if self._tls is None and (self._asked or self._server is None):
            self.transport.write(data)
        elif self._tls is not None and self._established:
            self._tls.write(data)
            self.transport.write(self._outgoing.read())
        else:
            self._early.append(data)

    def close(self) -> None:
        """Close the connection after what is still to be written."""
        if self.transport is not None:
            self.transport.close()

    def _wrap(self, context: ssl.SSLContext, *, server: bool) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = None if server else self._name
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server, name)

    def _shake(self) -> None:
        assert self._tls is not None and self.transport is not None  # noqa: S101
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self.transport.write(self._outgoing.read())
            return
        except ssl.SSLError as error:
            self.transport.write(self._outgoing.read())  # the alert
            print(f"TLS handshake failed: {error}", flush=True)
            self.transport.abort()
            return
        self._established = True
        self.transport.write(self._outgoing.read())
        self.secured(True, _subject(self._tls))
        self._send_early()

    def _send_early(self) -> None:
        """Write what had to wait until it was known how."""
        early, self._early = self._early, []
        for data in early:
            self.written -= len(data)
            self.send(data)

    def _decrypt(self, data: bytes) -> None:
        tls = self._tls
        assert tls is not None  # noqa: S101  # or this would not have been called
        self._incoming.write(data)
        if not self._established:
            self._shake()
            if not self._established:
                return
        try:
            while plain := tls.read(_READ):
                self.read += len(plain)
                self.receive(plain)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self.close()


def _subject(tls: ssl.SSLObject) -> str:
    """Give the DNS name in the peer's certificate, which is its identity."""
    certificate: dict[str, Any] = dict(tls.getpeercert() or {})
    names = certificate.get("subjectAltName") or ()
    return next((str(value) for kind, value in names if kind == "DNS"), "")


def _nowhere(data: bytes) -> None:
    return


def _nothing() -> None:
    return


def _unheard(tls: bool, name: str) -> None:
    return
