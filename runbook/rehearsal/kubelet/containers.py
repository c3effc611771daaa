"""One container of a pod: what it is doing, and how that reads in the pod's status."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runbook.rehearsal.client import Object
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.images import Behaviour, Image, Situation, find
from runbook.rehearsal.kubelet.leaves import Leaf
from runbook.rehearsal.kubelet.processes import Process

__all__ = ["IDLE_CPU", "IDLE_MEMORY", "PROXY", "Account", "Container"]

PROXY = "linkerd-proxy"

IDLE_CPU = 1_000_000
"""Nanoseconds of CPU per second a simulated container is said to use."""
IDLE_MEMORY = 12 * 2**20
"""Bytes a simulated container is said to hold."""
_FIRST_BACKOFF, _LAST_BACKOFF = 10.0, 300.0
"""Seconds before a crashed container runs again, as a kubelet counts them."""


@dataclass(frozen=True)
class Account:
    """What a container has used, at one moment.

    Args:
        since: When this run began; empty when none does.
        cpu: CPU nanoseconds of this run.
        spent: CPU nanoseconds of the runs before.
        resident: Bytes of memory.
        own: Those of them that are its own (anonymous).
    """

    since: str
    cpu: int
    spent: int
    resident: int
    own: int


@dataclass
class Container:
    """One container.

    Args:
        spec: Its entry in the pod's spec.
        init: Whether it is an init container.
        policy: Its restart policy: its own, or the pod's.
        directory: Where the logs and mounted files of its process are.
    """

    spec: Object
    init: bool
    policy: str
    directory: Path
    image: Image = field(init=False)
    waiting: str = "ContainerCreating"
    message: str = ""
    running_since: str = ""
    ended: Object | None = None
    last: Object | None = None
    restarts: int = 0
    crashes: int = 0
    retry_at: float = 0.0
    ready_at: float = 0.0
    lines: list[str] = field(default_factory=list)
    earlier: list[str] = field(default_factory=list)
    process: Process | None = None
    situation: Situation | None = None
    behaviour: Behaviour = field(default_factory=Behaviour)
    stale: bool = False
    leaf: Leaf | None = None
    _spent: int = 0
    _tally: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.image = find(self.spec)

    @property
    def name(self) -> str:
        """Give its name."""
        return str(self.spec["name"])

    @property
    def sidecar(self) -> bool:
        """Tell whether it is a native sidecar: an init container that keeps running."""
        return self.init and self.spec.get("restartPolicy") == "Always"

    @property
    def succeeded(self) -> bool:
        """Tell whether it has run to its end without an error."""
        return self.ended is not None and self.ended["exitCode"] == 0

    @property
    def ready(self) -> bool:
        """Tell whether it is ready, or for an init step, done."""
        if self.init and not self.sidecar:
            return self.succeeded
        if not self.running_since:
            return False
        if self.process is not None:
            return self.process.ready
        return time.monotonic() >= self.ready_at

    @property
    def backoff(self) -> float:
        """Give the seconds between its last end and its next start."""
        return float(min(_FIRST_BACKOFF * 2 ** max(0, self.crashes - 2), _LAST_BACKOFF))

    def account(self) -> Account:
        """Say what it has used: measured of a process, else assumed.

        No run is counted twice or not at all, whenever this is asked.
        """
        with self._tally:
            found = self.process.memory if self.process is not None else (0, 0)
            resident, own = found if found[0] else (IDLE_MEMORY, IDLE_MEMORY)
            return Account(self.running_since, self._cpu(), self._spent, resident, own)

    def _cpu(self) -> int:
        if self.process is not None:
            return self.process.cpu
        return int(IDLE_CPU * max(kinds.age(self.running_since), 0)) if self.running_since else 0

    def run(self) -> None:
        """Note that it has started."""
        self.waiting = self.message = ""
        self.restarts += self.last is not None
        self.running_since = kinds.now()

    def say(self, lines: tuple[str, ...]) -> None:
        """Add lines to its log, each with the time it was said."""
        self.lines.extend(f"{kinds.micro_now()} {line}" for line in lines)

    def end(self, code: int, reason: str = "") -> None:
        """Note that it has ended."""
        tail = self.lines[-1].partition(" ")[2] if self.lines else ""
        started = self.running_since or kinds.now()
        with self._tally:
            self._spent += self._cpu()
            self.process = None
            self.running_since = ""
        self.ended = {
            "exitCode": code,
            "reason": reason or ("Completed" if code == 0 else "Error"),
            "startedAt": started,
            "finishedAt": kinds.now(),
            "containerID": self.identity,
        }
        if code and self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            self.ended["message"] = tail

    def restart(self) -> None:
        """Go back to the start after an end: at once the first time, then after a pause."""
        assert self.ended is not None  # noqa: S101  # only what has ended restarts
        self.last, self.ended = self.ended, None
        self.earlier, self.lines = self.lines, []
        self.crashes += 1
        if self.crashes == 1:
            self.waiting = "ContainerCreating"
            return
        self.retry_at = time.monotonic() + self.backoff
        self.waiting = "CrashLoopBackOff"

    @property
    def identity(self) -> str:
        """Give the id of this run of the container."""
        seed = f"{self.directory}/{self.name}/{self.restarts}"
        return f"containerd://{hashlib.sha256(seed.encode()).hexdigest()}"

    def status(self, pod: Object) -> Object:
        """Build its entry in the pod's status."""
        image = str(self.spec.get("image", ""))
        digest = hashlib.sha256(image.encode()).hexdigest()
        begun = bool(self.running_since or self.ended or self.last)
        result: Object = {
            "name": self.name,
            "state": self._state(pod),
            "lastState": {"terminated": self.last} if self.last else {},
            "ready": self.ready,
            "restartCount": self.restarts,
            "image": image,
            "imageID": f"{image.rpartition(':')[0] or image}@sha256:{digest}" if begun else "",
            "started": bool(self.running_since),
        }
        if begun:
            result["containerID"] = self.identity
        return result

    def _state(self, pod: Object) -> Object:
        if self.running_since:
            return {"running": {"startedAt": self.running_since}}
        if self.ended is not None:
            return {"terminated": self.ended}
        waiting = {"reason": self.waiting}
        if self.waiting == "CrashLoopBackOff":
            meta = pod["metadata"]
            pause = _duration(self.backoff)
            waiting["message"] = (
                f"back-off {pause} restarting failed container={self.name} "
                f"pod={meta['name']}_{meta['namespace']}({meta['uid']})"
            )
        elif self.message:
            waiting["message"] = self.message
        return {"waiting": waiting}

    def log(self, *, previous: bool) -> list[str]:
        """Give what it has said, with timestamps, in this run or the one before."""
        own = self.earlier if previous else self.lines
        if previous or self.process is None:
            return list(own)
        return list(own) + process_log(self.directory / "log")

    def env(self) -> Mapping[str, str]:
        """Give the environment it was started with."""
        return self.situation.env if self.situation is not None else {}


def process_log(path: Path) -> list[str]:
    """Read the log of a process, each line with a timestamp like those of other containers."""
    if not path.exists():
        return []
    stamp = kinds.micro_now()
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = text.split("\n")  # not splitlines: what is said may hold other ends of lines
    return [f"{stamp} {line}" for line in (lines if lines[-1] else lines[:-1])]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
