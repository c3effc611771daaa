"""A work queue: each item once, never in two workers at a time, now or later."""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["WorkQueue"]

Item = TypeVar("Item", bound=Hashable)


class WorkQueue(Generic[Item]):
    """Items to work on, in order of arrival.

    An item added while it is being worked on comes round again afterwards. Waiting is on a
    condition variable, so an idle queue costs nothing.
    """

    def __init__(self) -> None:
        self._ready: deque[Item] = deque()
        self._queued: set[Item] = set()
        self._busy: set[Item] = set()
        self._again: set[Item] = set()
        self._later: list[tuple[float, int, Item]] = []
        self._due: dict[Item, float] = {}
        self._count = 0
        self._closed = False
        self._taken = 0
        self._change = threading.Condition()

    def add(self, item: Item, after: float = 0.0) -> None:
        """Add an item.

        Args:
            item: What to work on.
            after: Seconds to wait first; of several waits for an item the shortest counts.
        """
        with self._change:
            if after > 0:
                due = time.monotonic() + after
                if self._due.get(item, float("inf")) <= due:
                    return
                self._due[item] = due
                self._count += 1
                heapq.heappush(self._later, (due, self._count, item))
            else:
                self._add(item)
            self._change.notify_all()

    def get(self) -> Item | None:
        """Wait for an item; None when the queue has been closed."""
        with self._change:
            while not self._closed:
                wait = self._promote()
                if self._ready:
                    item = self._ready.popleft()
                    self._queued.discard(item)
                    self._busy.add(item)
                    self._taken += 1
                    return item
                self._change.wait(wait)
            return None

    def done(self, item: Item) -> None:
        """Say that the work on an item is over."""
        with self._change:
            self._busy.discard(item)
            if item in self._again:
                self._again.discard(item)
                self._add(item)
            self._change.notify_all()

    @property
    def work(self) -> int:
        """Give how many items have been taken up so far."""
        return self._taken

    def idle(self, timeout: float, *, horizon: float = 0.5) -> bool:
        """Wait until there is nothing to do.

        Args:
            timeout: Seconds to wait at most.
            horizon: Items due later than this many seconds do not count.
        """
        end = time.monotonic() + timeout
        with self._change:
            while (now := time.monotonic()) < end and not self._closed:
                self._promote()
                soon = any(due <= now + horizon for due in self._due.values())
                if not (self._ready or self._busy or soon):
                    return True
                self._change.wait(min(0.1, end - now))
            return False

    def close(self) -> None:
        """Let every waiting worker go."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    def _add(self, item: Item) -> None:
        self._due.pop(item, None)
        if item in self._busy:
            self._again.add(item)
        elif item not in self._queued:
            self._queued.add(item)
            self._ready.append(item)

    def _promote(self) -> float | None:
        now = time.monotonic()
        while self._later:
            due, _, item = self._later[0]
            if self._due.get(item) != due:
                heapq.heappop(self._later)
            elif due <= now:
                heapq.heappop(self._later)
                self._add(item)
            else:
                return due - now
        return None
