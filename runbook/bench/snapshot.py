"""What was read of a cluster's resources at one moment, as values that are kept with each block.

Counters stay counters here: a figure is made of the difference of two snapshots, divided by the
difference of the samples' own times, see :mod:`runbook.bench.footprint`. What could not be read
is ``None`` and has a sentence in :attr:`Snapshot.missing`; nothing is ever taken for zero.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Host", "Proxy", "Snapshot", "Spent", "Usage"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Usage(_Value):
    """CPU and memory of a container or a node, as its kubelet accounts for it.

    Attributes:
        cpu_seconds: CPU time since the start, in core-seconds (``usageCoreNanoSeconds``).
        time: The sample's own time (RFC 3339), up to 15 s older than the snapshot.
        working_set: Bytes in use that cannot be reclaimed (usage less inactive file pages).
        rss: Bytes of anonymous memory.
        started: Start of the container or node (RFC 3339); another one means the counter was reset.
    """

    cpu_seconds: float | None = None
    time: str = ""
    working_set: int | None = None
    rss: int | None = None
    started: str = ""


class Proxy(_Value):
    """What a Linkerd proxy says of itself at ``:4191/metrics``.

    Attributes:
        cpu_seconds: CPU time of the process, in seconds, in steps of 10 ms.
        rss: Resident bytes of the process.
        started: Start of the process, in seconds since 1970.
        requests: Inbound requests over mTLS (``request_total{direction="inbound",tls="true"}``).
        plain: Inbound requests with any other value of ``tls``.
        time: When it was read, in seconds since 1970: its own clock where it shows one.
    """

    cpu_seconds: float | None = None
    rss: int | None = None
    started: float | None = None
    requests: float | None = None
    plain: float | None = None
    time: float | None = None


class Host(_Value):
    """State of a node as the probe on it reads it.

    Attributes:
        temperature: Of the processor, in degrees Celsius.
        mhz: Clock of the first core, in MHz.
        governor: Frequency governor; empty if the machine has none.
        throttled: Bits of the Raspberry Pi firmware, see :mod:`runbook.bench.hosts`.
        softirq: CPU time in soft interrupts since boot, in seconds, of all cores.
        busy: CPU time that was not idle and not waiting for a disk since boot, in seconds.
        time: When the probe looked, in seconds since 1970; a shell tells it to the second.
        uptime: Seconds since boot (``/proc/uptime``, to 10 ms).
        rehearsal: Whether the probe says that it is a stand-in.
    """

    temperature: float | None = None
    mhz: float | None = None
    governor: str = ""
    throttled: int | None = None
    softirq: float | None = None
    busy: float | None = None
    time: float | None = None
    uptime: float | None = None
    rehearsal: bool = False


class Spent(_Value):
    """What a node spent while one arm was under load, from the lines of the probe on it.

    Both arms run within one block, so that a block's snapshots cannot tell what the whole node
    spent on either; the probe speaks every 2 s and can.

    Attributes:
        seconds: Between the first and the last line that count.
        busy: CPU seconds of all cores in that time, see :class:`Host`.
        softirq: Of these, in soft interrupts.
        temperature: Highest, in degrees Celsius.
        mhz: Lowest clock of the first core.
        throttled: Every bit that was set at some time.
    """

    seconds: float
    busy: float
    softirq: float
    temperature: float | None = None
    mhz: float | None = None
    throttled: int | None = None


class Snapshot(_Value):
    """Everything that was read at one moment.

    Attributes:
        at: When (ISO 8601 with milliseconds, UTC), by this machine's clock.
        containers: By ``namespace/pod/container``.
        nodes: By name.
        proxies: By ``namespace/pod``.
        hosts: By name of the node.
        missing: What could not be read and why, a sentence each.
    """

    at: str
    containers: dict[str, Usage] = {}
    nodes: dict[str, Usage] = {}
    proxies: dict[str, Proxy] = {}
    hosts: dict[str, Host] = {}
    missing: tuple[str, ...] = ()
