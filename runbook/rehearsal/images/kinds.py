"""What a container finds when it starts, and what it then does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from runbook.rehearsal.client import Object

__all__ = ["Access", "Behaviour", "Notice", "Situation"]


@dataclass(frozen=True)
class Situation:
    """What a container finds when it starts.

    Args:
        pod: Its pod.
        container: Its entry in the pod's spec.
        env: Its environment, references resolved.
        files: What is mounted from ConfigMaps, Secrets and projections, by absolute path.
    """

    pod: Object
    container: Object
    env: Mapping[str, str] = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)

    @property
    def one_shot(self) -> bool:
        """Tell whether the container is meant to run to its end."""
        policy = self.container.get("restartPolicy") or self.pod["spec"].get("restartPolicy")
        return bool(policy in ("Never", "OnFailure"))


@dataclass(frozen=True)
class Access:
    """How a container reaches the API server.

    Args:
        server: Its address, ``https://...``.
        ca: Its authority, PEM.
        token: Bearer token for it.
    """

    server: str
    ca: str = field(repr=False)
    token: str = field(repr=False)


@dataclass(frozen=True)
class Behaviour:
    """What a container does.

    Args:
        exit_code: Its end, at once; None when it runs on.
        log: What it says.
        module: Python module to run as a real process instead.
        program: Program to run as a real process instead.
        ports: Container ports the process listens on.
        target: ``host:port`` of whom it talks to, as its arguments name it; empty for nobody.
        arguments: Makes its arguments from where its ports really listen and where its target
            really is; those of the container by default.
        extra: More settings for a module.
        env: More environment.
        probe: Path at which a program answers 200 once it is ready; when it listens by default.
        files: Makes the files of directory ``config``, where the process runs; made anew when
            what is mounted changes.
        reload: Signal that has the process read them again; 0 for none.
    """

    exit_code: int | None = None
    log: tuple[str, ...] = ()
    module: str = ""
    program: str = ""
    ports: tuple[int, ...] = ()
    target: str = ""
    arguments: Callable[[Mapping[int, int], str], tuple[str, ...]] | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    probe: str = ""
    files: Callable[[Situation, Access], Mapping[str, bytes]] | None = None
    reload: int = 0


@dataclass(frozen=True)
class Notice:
    """What a running container says about changed files.

    Args:
        log: Lines of its log.
        reason: Reason of an Event on its workload; empty for none.
        message: Text of the Event.
        warning: Whether the Event is a warning.
        deployment: Name of the Deployment the Event is about.
    """

    log: tuple[str, ...]
    reason: str = ""
    message: str = ""
    warning: bool = False
    deployment: str = ""
