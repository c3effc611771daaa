"""A stand-in for Linkerd's proxy: bytes pass through it, requests are counted.

One listener for each port of the pod, where traffic of others comes in, and one for each
container that talks to others, where its traffic goes out. Between two relays there is TLS, with
certificates the cluster's identity issuer signed. HTTP is not changed on the way.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runbook.rehearsal.images.settings import Settings
from runbook.rehearsal.traffic.admin import Admin
from runbook.rehearsal.traffic.clock import Clock
from runbook.rehearsal.traffic.delays import delays
from runbook.rehearsal.traffic.heads import PREFACE, Frames, Heads, Messages, looks_like_http1
from runbook.rehearsal.traffic.link import Link
from runbook.rehearsal.traffic.metrics import Metrics, Series, inbound

__all__ = ["Flow", "Relay"]


class Flow:
    """One connection through the proxy: from the client, to the server.

    Args:
        client: The accepted connection.
        clock: Releases what is held.
        delay: Gives the seconds to hold each request; None to hold none.
    """

    def __init__(self, client: Link, clock: Clock, delay: Callable[[], float] | None) -> None:
        self._client = client
        self._server: Link | None = None
        self._clock = clock
        self._now = asyncio.get_running_loop().time
        self._delay = delay
        self._series: Series | None = None
        self._requests: Messages | None = None
        self._responses: Messages | None = None
        self._opaque = False
        self._started: deque[float] = deque()
        self._streams: dict[int, float] = {}
        self._held: deque[tuple[float, float, bytes]] = deque()
        self._early: list[bytes] = []
        self._unasked: list[bytes] = []
        client.receive = self._from_client
        client.ended = self._client_ended

    def count(self, labels: Mapping[str, str], metrics: Metrics) -> None:
        """Say under which labels this connection is counted."""
        self._series = metrics.series(labels)
        self._series.opened["src"] += 1
        self._series.opened["dst"] += self._server is not None

    def to(self, server: Link) -> None:
        """Go on to a server."""
        self._server = server
        server.receive = self._from_server
        server.ended = self._server_ended
        server.partner, self._client.partner = self._client, server
        if self._series is not None:
            self._series.opened["dst"] += 1
        for data in self._early:
            server.send(data)
        self._early.clear()

    def close(self) -> None:
        """End it, where there is no server to go to."""
        self._client.close()

    def _from_client(self, data: bytes) -> None:
        now = self._now()
        begun = self._count_requests(data, now)
        if self._delay is not None and (begun or self._held):
            last = self._held[-1][0] if self._held else now
            due = max(now + self._delay(), last) if begun else last
            self._held.append((due, now if begun else due, data))
            self._clock.at(due, self._release)
            return
        self._forward(data)

    def _release(self) -> None:
        if not self._held:
            return
        _, came, data = self._held.popleft()
        self._forward(data)
        if self._series is not None:
            self._series.held += 1
            self._series.held_seconds += self._now() - came

    def _forward(self, data: bytes) -> None:
        if self._server is not None:
            self._server.send(data)
        else:
            self._early.append(data)

    def _count_requests(self, data: bytes, now: float) -> int:
        if self._requests is None:
            if self._opaque:
                return 0
            if data.startswith(PREFACE):
                self._requests, self._responses = Frames(requests=True), Frames(requests=False)
            elif looks_like_http1(data):
                self._requests, self._responses = Heads(requests=True), Heads(requests=False)
            else:
                self._opaque = True
                self._unasked.clear()
                return 0
        found = self._requests.feed(data)
        if found and self._series is not None:
            self._series.requests += len(found)
            for stream, _ in found:
                if stream:
                    self._streams[stream] = now
                else:
                    self._started.append(now)
        return len(found)

    def _from_server(self, data: bytes) -> None:
        self._client.send(data)  # first things first: the client waits for this
        if self._responses is None or self._series is None:
            if not self._opaque:
                self._unasked.append(data)  # HTTP/2 servers may speak first
            return
        if self._unasked:
            data, self._unasked = b"".join([*self._unasked, data]), []
        for stream, status in self._responses.feed(data):
            begun = self._streams.pop(stream, None) if stream else None
            if not stream and self._started:
                begun = self._started.popleft()
            if begun is not None:
                self._series.respond(status, self._now() - begun)

    def _client_ended(self) -> None:
        self._tally("src", self._client)
        self._held.clear()
        if self._server is not None:
            self._server.close()

    def _server_ended(self) -> None:
        if self._server is not None:
            self._tally("dst", self._server)
        self._client.close()

    def _tally(self, peer: str, link: Link) -> None:
        if self._series is not None:
            self._series.closed[peer] += 1
            self._series.read[peer] += link.read
            self._series.written[peer] += link.written


class Relay:
    """The proxy of one pod.

    Args:
        settings: What the kubelet handed over. ``extra`` has ``admin`` (port), ``inbound`` and
            ``outbound`` (keys of listeners), ``routes`` (file), ``identity`` (directory or
            empty), ``delay``, ``address`` of the pod, ``name`` of its identity, ``build`` and
            ``line``.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._extra = settings.extra
        self._delay = delays(self._extra["delay"])
        self.metrics = Metrics(self._extra["build"], self._extra["line"])
        self._routes: dict[str, Any] = {}
        self._routes_seen = self._identity_seen = (0, 0)
        self._server: ssl.SSLContext | None = None
        self._client: ssl.SSLContext | None = None

    async def run(self) -> None:
        """Serve until the kubelet is gone."""
        loop = asyncio.get_running_loop()
        self._clock = Clock(loop, compensate=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._load_identity()
        listeners = self._settings.listeners

        def listen(key: int, make: Callable[[], asyncio.Protocol]) -> Any:
            return loop.create_server(make, sock=socket.socket(fileno=listeners[str(key)]))

        await listen(self._extra["admin"], lambda: Admin(self.metrics.text))
        for port in self._extra["inbound"]:
            await listen(port, lambda port=port: self._inbound(port))  # type: ignore[misc]
        for key in self._extra["outbound"]:
            await listen(key, lambda key=key: self._outbound(key))  # type: ignore[misc]
        self._settings.tell_ready()
        await loop.create_future()

    def _inbound(self, port: int) -> Link:
        """Take a connection of another pod, with TLS or without."""
        self._load_identity()
        link = Link(server=self._server)
        flow = Flow(link, self._clock, self._delay)

        def secured(tls: bool, client: str) -> None:
            labels = inbound(self._extra["address"], port, client if tls else None)
            flow.count(labels, self.metrics)

        link.secured = secured
        route = self._route("inbound", port)
        self._connect(flow, route, Link)
        return link

    def _outbound(self, key: int) -> Link:
        """Take a connection of the pod's own container."""
        self._load_identity()
        link = Link()
        flow = Flow(link, self._clock, None)
        route = self._route("outbound", key)
        if route is not None:
            name = route.get("name", "")
            secure = bool(name) and self._client is not None
            flow.count(self._outbound_labels(route, secure), self.metrics)
            context = self._client if secure else None
            self._connect(flow, route, lambda: Link(client=context, name=name))
        else:
            self._connect(flow, route, Link)
        return link

    def _connect(
        self, flow: Flow, route: Mapping[str, Any] | None, make: Callable[[], Link]
    ) -> None:
        async def connect() -> None:
            if route is None:
                return flow.close()
            loop = asyncio.get_running_loop()
            try:
                _, server = await loop.create_connection(make, "127.0.0.1", route["port"])
            except OSError:
                return flow.close()
            flow.to(server)
            return None

        task = asyncio.get_running_loop().create_task(connect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _route(self, direction: str, key: int) -> Mapping[str, Any] | None:
        """Find where a connection goes, as the kubelet last wrote it."""
        path = Path(self._extra["routes"])
        with contextlib.suppress(OSError):
            seen = _version(path)
            if seen != self._routes_seen:
                self._routes, self._routes_seen = json.loads(path.read_text()), seen
        found: Mapping[str, Any] | None = self._routes.get(direction, {}).get(str(key))
        return found

    def _load_identity(self) -> None:
        """Take up the certificate, again whenever it was renewed."""
        if not self._extra["identity"]:
            return
        directory = Path(self._extra["identity"])
        seen = _version(directory / "tls.crt")
        if seen == self._identity_seen:
            return
        self._server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.verify_mode = ssl.CERT_REQUIRED
        self._server.num_tickets = 0
        self._client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for context in (self._server, self._client):
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
            context.load_verify_locations(directory / "roots.crt")
        self.metrics.expires = int((directory / "expires").read_text())
        self.metrics.refreshed = seen[1] // 10**9
        self.metrics.refreshes += 1
        self._identity_seen = seen

    def _outbound_labels(self, route: Mapping[str, Any], tls: bool) -> dict[str, str]:
        labels: dict[str, str] = {
            "direction": "outbound",
            "authority": route["authority"],
            "target_addr": route["address"],
            "target_ip": route["address"].rpartition(":")[0],
            "target_port": route["address"].rpartition(":")[2],
            "tls": "true" if tls else "no_identity",
        }
        if tls:
            labels["server_id"] = route["name"]
        else:
            labels["no_tls_reason"] = "not_provided_by_service_discovery"
        return {**labels, **route["labels"]}


def _version(path: Path) -> tuple[int, int]:
    """Tell one state of a file that is replaced as a whole from the next."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


if __name__ == "__main__":
    found = Settings.load()
    found.end_with_kubelet()
    asyncio.run(Relay(found).run())
