"""A node's own state: temperature, frequency, under-voltage, and all CPU time it spent.

A probe on each node prints one JSON line every 2 s (see :mod:`runbook.bench.deploy`). The bits of
``throttled`` are those of ``vcgencmd get_throttled`` in the Raspberry Pi documentation: 0 to 3 say
what is so now, 16 to 19 the same since boot.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from runbook.bench.snapshot import Host, Spent
from runbook.checks import Outcome, Verdict
from runbook.linkerd.outcomes import judge

__all__ = [
    "HOTTEST",
    "health",
    "history",
    "parse",
    "problems",
    "problems_during",
    "spent",
    "throttling",
]

HOTTEST = 80.0
"""Degrees Celsius from which on the firmware of a Raspberry Pi lowers the clock."""

_WARM = 70.0  # a loaded block may pass HOTTEST from here
_USER_HZ = 100.0  # ticks a second in /proc/stat, the same on every Linux machine
_BITS = (
    "under-voltage",
    "clock capped",
    "throttled",
    "soft temperature limit",
)
_SINCE_BOOT = 0xF0000
_FEWEST = 2  # lines that make a difference


def parse(line: str) -> Host | None:
    """Read one line of a probe; ``None`` if it is none, such as a line that was cut."""
    try:
        read = json.loads(line)
        spoken = float(read["t"])
    except (ValueError, TypeError, KeyError):
        return None
    busy, softirq = _ticks(str(read.get("stat") or ""))
    millidegrees, khz = _number(read.get("temp_mc")), _number(read.get("khz"))
    return Host(
        temperature=None if millidegrees is None else millidegrees / 1000,
        mhz=None if khz is None else khz / 1000,
        governor=str(read.get("governor") or "").strip(),
        throttled=_bits(str(read.get("throttled") or "")),
        softirq=softirq,
        busy=busy,
        time=spoken,
        uptime=_number(read.get("up")),
        rehearsal=bool(read.get("rehearsal")),
    )


def history(log: str) -> list[Host]:
    """Read every line of a probe's log that can be read, in the order they were spoken."""
    found = (parse(line) for line in log.splitlines())
    return sorted((host for host in found if host), key=lambda host: host.time or 0.0)


def spent(lines: Sequence[Host], start: float, end: float) -> Spent | None:
    """Give what a node spent in a time of steady load.

    Only lines within it count, so that what is divided by their own time is under full load; up to
    two seconds at each end are left out.

    Args:
        lines: Of the probe on it, as :func:`history` gives them.
        start: Of the load, in seconds since 1970, by the node's clock.
        end: Of the load.

    Returns:
        ``None`` if fewer than two lines fall into the time, or the node was restarted in it.
    """
    # A shell's time is cut to the second, so a line may be up to a second younger than it says.
    within = [host for host in lines if start <= (host.time or 0.0) <= end - 1]
    counted = [host for host in within if host.busy is not None and host.softirq is not None]
    if len(counted) < _FEWEST or any(restarted(a, b) for a, b in pairwise(counted)):
        return None
    first, last = counted[0], counted[-1]
    seconds = _between(first, last)
    if seconds <= 0:
        return None
    bits = [host.throttled for host in within if host.throttled is not None]
    return Spent(
        seconds=seconds,
        busy=(last.busy or 0.0) - (first.busy or 0.0),
        softirq=(last.softirq or 0.0) - (first.softirq or 0.0),
        temperature=max((h.temperature for h in within if h.temperature is not None), default=None),
        mhz=min((h.mhz for h in within if h.mhz is not None), default=None),
        throttled=_all(bits) if bits else None,
    )


def problems(before: Host, after: Host) -> tuple[str, ...]:
    """Say why a block between two looks at a node cannot count; empty if nothing is wrong.

    Only what the environment did is a reason, never what was measured.
    """
    return tuple(_problems(before, after))


def problems_during(used: Spent) -> tuple[str, ...]:
    """Say what went wrong on a node while a load ran; the looks before and after may miss it."""
    found = []
    if now := throttling(used.throttled):
        found.append(f"the node reported {now} under load")
    if used.temperature is not None and used.temperature > HOTTEST:
        found.append(_hot(used.temperature))
    return tuple(found)


def throttling(bits: int | None) -> str:
    """Name what limits the node now.

    >>> throttling(0x50005), throttling(0x50000)
    ('under-voltage, throttled (0x50005)', '')
    """
    names = [name for number, name in enumerate(_BITS) if (bits or 0) & 1 << number]
    return f"{', '.join(names)} (0x{bits:x})" if names else ""


def restarted(before: Host, after: Host) -> bool:
    """Tell whether the node was booted in between: its counters of CPU time went back."""
    return before.busy is not None and after.busy is not None and after.busy < before.busy


def health(hosts: Mapping[str, Host]) -> list[Outcome]:
    """Say of each node whether it is fit to be measured.

    Args:
        hosts: Last word of the probe on each node, by name.
    """
    return [outcome for name, host in hosts.items() for outcome in _health(name, host)]


def _between(first: Host, last: Host) -> float:
    if first.uptime is not None and last.uptime is not None:
        return last.uptime - first.uptime
    return (last.time or 0.0) - (first.time or 0.0)


def _problems(before: Host, after: Host) -> Iterator[str]:
    for host, when in ((before, "before"), (after, "after")):
        if now := throttling(host.throttled):
            yield f"the node reported {now} {when} the block"
    if before.throttled is not None and after.throttled is not None:
        new = after.throttled & ~before.throttled & _SINCE_BOOT
        if names := throttling(new >> 16):
            yield f"during the block the node reported {names.partition(' (')[0]}"
    hottest = max((h.temperature for h in (before, after) if h.temperature is not None), default=0)
    if hottest > HOTTEST:
        yield _hot(hottest)
    if before.governor != after.governor:
        yield (
            "the frequency governor changed from "
            f"{before.governor or 'none'} to {after.governor or 'none'}"
        )
    if restarted(before, after):
        yield "the node was restarted"


def _hot(temperature: float) -> str:
    return f"the processor was at {temperature:.0f} °C, above {HOTTEST:.0f}"


def _health(name: str, host: Host) -> Iterator[Outcome]:
    now, earlier = throttling(host.throttled), throttling((host.throttled or 0) >> 16)
    power: Verdict = "fail" if now else "warn" if earlier else "pass"
    unread = host.throttled is None
    yield judge(
        f"{name}-throttling",
        f"{name} is neither throttled nor short of power",
        "skip" if unread else power,
        expected="0x0",
        seen="the node has no such register"
        if unread
        else now or (f"since boot: {earlier.partition(' (')[0]}" if earlier else "0x0"),
        why="the firmware lowers the clock, and every latency with it",
        fix="use the official power supply and a cooler; bits since boot go with a reboot",
    )
    warmth = host.temperature
    hot: Verdict = "skip" if warmth is None else _warmth(warmth)
    yield judge(
        f"{name}-temperature",
        f"{name} is cool enough",
        hot,
        expected=f"below {_WARM:.0f} °C before there is any load",
        seen="no thermal zone" if warmth is None else f"{warmth:.0f} °C",
        why=f"from {HOTTEST:.0f} °C on the firmware lowers the clock",
        fix="give it a fan or a heat sink, or longer pauses",
    )
    governor: Verdict = "pass" if host.governor == "performance" else "warn"
    yield judge(
        f"{name}-governor",
        f"{name} keeps its clock",
        governor if host.governor else "skip",
        expected="governor performance",
        seen=host.governor or "no frequency scaling",
        why="at low rates the clock follows the load: latencies are then those of a slow clock",
        fix="echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    )


def _warmth(temperature: float) -> Verdict:
    return "fail" if temperature > HOTTEST else "warn" if temperature > _WARM else "pass"


def _ticks(stat: str) -> tuple[float | None, float | None]:
    """Give busy and softirq seconds of the first line of ``/proc/stat`` (proc_stat(5)).

    Busy are user, nice, system, irq and softirq: neither idle nor iowait, nor what a hypervisor
    stole; guests are in user already.
    """
    fields = stat.split()
    if len(fields) < 8 or fields[0] != "cpu" or not all(f.isdigit() for f in fields[1:]):
        return None, None
    user, nice, system, _idle, _iowait, irq, softirq = (int(field) for field in fields[1:8])
    return (user + nice + system + irq + softirq) / _USER_HZ, softirq / _USER_HZ


def _bits(text: str) -> int | None:
    try:
        return int(text, 16) if text else None
    except ValueError:
        return None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _all(bits: Sequence[int]) -> int:
    seen = 0
    for one in bits:
        seen |= one
    return seen
