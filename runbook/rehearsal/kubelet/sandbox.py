"""One pod on its node: its address, its containers, and the ways to them."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path

from runbook.rehearsal.client import Object
from runbook.rehearsal.controllers.manager import Key
from runbook.rehearsal.kubelet.containers import PROXY, Container
from runbook.rehearsal.kubelet.processes import write_files

__all__ = ["Sandbox"]

_ROUTES = ".routes"
"""Directory of a pod for its proxy's routes; no container can have this name."""


@dataclass
class Sandbox:
    """One pod on its node: its address and its containers."""

    uid: str
    key: Key
    directory: Path
    address: str
    host: str
    started: str
    init: list[Container]
    main: list[Container]
    mounted: bool = False
    gone: bool = False
    node: str = ""
    routes: dict[str, dict[str, Object]] = field(
        default_factory=lambda: {"inbound": {}, "outbound": {}}
    )
    lock: threading.RLock = field(default_factory=threading.RLock)

    def all(self) -> list[Container]:
        """Give all containers, init containers first."""
        return [*self.init, *self.main]

    @property
    def meshed(self) -> bool:
        """Tell whether it has a proxy, running or not."""
        return any(container.name == PROXY for container in self.all())

    @property
    def routes_file(self) -> Path:
        """Give the file that says where the connections of its proxy go."""
        return self.directory / _ROUTES / "routes.json"

    @property
    def relay(self) -> Container | None:
        """Give the proxy when it runs as a process."""
        proxies = (c for c in self.all() if c.name == PROXY and c.process is not None)
        return next(proxies, None)

    def listener(self, port: int) -> tuple[Container, int] | None:
        """Say who listens on a port of the pod, and where really: its proxy before all others."""
        for container in sorted(self.all(), key=lambda c: c.name != PROXY):
            process = container.process  # it may go at any time
            if process is not None and port in process.addresses:
                return container, process.addresses[port]
        return None

    def connect(self, container: Container) -> None:
        """Tell the proxy where a container of the pod listens."""
        if not self.meshed or container.name == PROXY or container.process is None:
            return
        for port, number in container.process.addresses.items():
            self.routes["inbound"][str(port)] = {"port": number}
        self.write_routes()

    def write_routes(self) -> None:
        """Write down for the proxy where its connections go."""
        text = json.dumps(self.routes).encode()
        write_files(self.routes_file.parent, {self.routes_file.name: text})
