"""What the kubelet hands to a process, and how a process says that it is ready.

Standard library only, and little of it: this is read by every process of a container.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """What the kubelet hands to a process.

    Args:
        listeners: File descriptors of bound sockets, by container port.
        ports: Container ports by name.
        mounts: Directories by mount path.
        server: Address of the API server.
        ca: Its authority, PEM.
        token: Bearer token for it.
        namespace: Namespace of the pod.
        args: Arguments of the container.
        ready: File descriptor to write to when ready.
        pod: Name of the pod.
        node: Name of its node.
        directory: Where the process may keep files, and finds those of the kubelet.
        extra: What only this kind of process needs.
    """

    listeners: dict[str, int]
    ports: dict[str, int]
    mounts: dict[str, str]
    server: str
    ca: str = field(repr=False)
    token: str = field(repr=False)
    namespace: str
    args: list[str]
    ready: int
    pod: str = ""
    node: str = ""
    directory: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls) -> Settings:
        """Take the settings out of the environment."""
        return cls(**json.loads(os.environ.pop("RUNBOOK_SETTINGS")))

    def path(self, mounted: str) -> Path:
        """Give where a mounted file really is."""
        for mount in sorted(self.mounts, key=len, reverse=True):
            if mounted.startswith(mount + "/"):
                return Path(self.mounts[mount]) / mounted[len(mount) + 1 :].replace("/", "_")
        return Path(mounted)

    def tell_ready(self) -> None:
        """Say that the process is ready; once."""
        os.write(self.ready, b"1")
        os.close(self.ready)

    def end_with_kubelet(self) -> None:
        """End this process when the kubelet does, however that happens, from a thread."""
        threading.Thread(target=_outlive_nobody, daemon=True).start()


def _outlive_nobody() -> None:
    sys.stdin.buffer.read()
    os._exit(0)
