"""A stand-in for the node probe: the host's real CPU counters, a Pi's simulated sensors."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from pathlib import Path

from runbook.rehearsal.images.settings import Settings

__all__ = ["Sensors"]

_SECONDS = 2.0
_MODEL = "rehearsed Raspberry Pi 4"
_GOVERNOR = "ondemand"
_FULL_KHZ, _CAPPED_KHZ = 1_500_000, 1_000_000
_HOT_MILLIDEGREES = 82_000
_CAPPED, _THROTTLED = 0x2, 0x4
"""Bits of the firmware's ``get_throttled``; 16 places up the same, since boot."""


class Sensors:
    """What the sensors of one Pi say.

    Args:
        node: Name of the node: each has a temperature of its own.
    """

    def __init__(self, node: str) -> None:
        self._base = 44_000 + 1500 * (sum(node.encode()) % 6)
        self._since_boot = 0

    def read(self, now: float, *, throttled: bool) -> dict[str, object]:
        """Give one line of the probe without the CPU counters.

        Args:
            now: Unix time.
            throttled: Whether the node is too hot.
        """
        bits = (_CAPPED | _THROTTLED) if throttled else 0
        self._since_boot |= bits
        swing = round(1200 * math.sin(now / 40))
        return {
            "t": round(now, 3),
            "temp_mc": _HOT_MILLIDEGREES if throttled else self._base + swing,
            "khz": _CAPPED_KHZ if throttled else _FULL_KHZ,
            "governor": _GOVERNOR,
            "throttled": hex(bits | self._since_boot << 16),
            "model": _MODEL,
        }


def stat() -> str:
    """Give the first line of /proc/stat; zeros where there is none."""
    try:
        with Path("/proc/stat").open() as lines:
            return lines.readline().rstrip("\n")
    except OSError:
        return "cpu  0 0 0 0 0 0 0 0 0 0"


if __name__ == "__main__":
    found = Settings.load()
    sensors = Sensors(found.node)
    hot = Path(found.directory) / "throttled"
    found.tell_ready()
    ended = threading.Event()

    def watch() -> None:
        sys.stdin.buffer.read()
        ended.set()

    threading.Thread(target=watch, daemon=True).start()
    while True:
        line = sensors.read(time.time(), throttled=hot.exists())
        print(json.dumps({**line, "stat": stat(), "rehearsal": True}), flush=True)
        if ended.wait(_SECONDS):
            break
