"""Calls at precise times: asyncio rounds its timers up to whole milliseconds.

On Linux a timer of the kernel wakes the loop instead, with the error of a context switch, some
tens of microseconds. Elsewhere the loop's own timers are used.
"""

from __future__ import annotations

import asyncio
import ctypes
import heapq
import itertools
import os
import sys
from collections.abc import Callable

__all__ = ["Clock"]

_MONOTONIC = 1
_ABSOLUTE = 1
_FIRST_BIAS = 60e-6
_STEP, _MOST_BIAS = 1e-6, 400e-6
"""Seconds by which the bias moves with each call, and its bound."""


class _Spec(ctypes.Structure):
    """``struct itimerspec``: the interval, which stays 0, and the time of the next tick."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Clock:
    """Calls at times of ``loop.time()``.

    Args:
        loop: The event loop.
        compensate: Aim early by the lateness seen so far, so that calls are on time in the
            median; otherwise none is ever early.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, compensate: bool = False) -> None:
        self._loop = loop
        self._compensate = compensate
        self._bias = _FIRST_BIAS if compensate else 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._armed = float("inf")
        self._timer = -1
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._timer = self._libc.timerfd_create(_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._timer >= 0:
            loop.add_reader(self._timer, self._tick)

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Call at a time of ``loop.time()``; of two for one time, the first asked comes first."""
        if self._timer < 0:
            self._loop.call_at(when, call)
            return
        heapq.heappush(self._due, (when, next(self._numbers), call))
        self._arm()

    async def sleep_until(self, when: float) -> None:
        """Wait until a time of ``loop.time()``."""
        if when <= self._loop.time():
            return
        woken: asyncio.Future[None] = self._loop.create_future()
        self.at(when, lambda: None if woken.done() else woken.set_result(None))
        await woken

    def _arm(self) -> None:
        if not self._due or self._due[0][0] == self._armed:
            return
        self._armed = self._due[0][0]
        moment = max(self._armed - self._bias, 1e-9)  # 0 would stop the timer
        seconds = int(moment)
        spec = _Spec(0, 0, seconds, max(int((moment - seconds) * 1e9), 1))
        self._libc.timerfd_settime(self._timer, _ABSOLUTE, ctypes.byref(spec), None)

    def _tick(self) -> None:
        try:
            os.read(self._timer, 8)
        except BlockingIOError:  # set anew between the tick and now
            return
        self._armed = float("inf")
        now = self._loop.time()
        if self._compensate and self._due:
            late = now > self._due[0][0]
            self._bias = min(max(self._bias + (_STEP if late else -_STEP), 0.0), _MOST_BIAS)
        while self._due and self._due[0][0] <= now + self._bias:
            heapq.heappop(self._due)[2]()
        self._arm()
