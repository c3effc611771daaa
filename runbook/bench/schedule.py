"""Latency from the moment a request was due, computed from fortio's access log.

fortio gives each of its c connections a schedule of its own (``periodic/periodic.go``, 1.54 to
1.75): request i of connection k is due at ::

    T0 + k / q + (i + i / (n - 1)) c / q      (k / q only with -uniform)

with q requests a second over all, n = int(q t) // c for each connection in t seconds, and T0 its
``StartTime``. A connection carries one request at a time. When an answer takes longer than the
time to the next request, that one leaves late, and fortio measures it from then: a server that
stands still for half a second delays a hundred requests and is charged with a few (coordinated
omission). So fortio's latency is the service time here, and the response time is ::

    response(i) = wait(i) + service(i)
    wait(i) = max(0, wait(i - 1) + service(i - 1) - gap)      (Lindley 1952)

where gap is the time between requests of a connection: what the request had to wait for the ones
before it, plus its own time. This takes nothing but the schedule and durations by the monotonic
clock. ``timestamp + latency - due`` is the same plus what the generator itself was late, and that
is not small: Go's runtime sleeps in whole milliseconds, so fortio sends 0 to 1.1 ms late, 0.55 ms
on average, however idle everything is. That belongs to nobody's latency and would hide overheads of
this size. How late the generator was is told apart, as a condition of a valid measurement.

Requests of the schedule that were never sent (``-nocatchup`` leaves them out, a run that is behind
ends without its last) would have waited too, and have their place in the response times: as if they
had been sent once the connection was free, and had taken the median service time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runbook.bench.buckets import Buckets
from runbook.bench.campaign import Run
from runbook.bench.fortio import PERCENTILES, AccessLog, FortioRun
from runbook.bench.histogram import Histogram
from runbook.errors import StepError

__all__ = ["LATE", "Measured", "Slots", "due", "measure"]

LATE = 0.002
"""Seconds a request must leave after it could have for the generator to be late: its timers alone
take up to 1.1 ms."""

Floats = NDArray[np.float64]


def due(run: FortioRun, thread: NDArray[np.int64], iteration: NDArray[np.int64]) -> Floats:
    """Give when requests were due, in seconds after ``run.start_ns``."""
    stagger = thread / run.rps if run.uniform else 0.0
    stretched = iteration + iteration / (run.calls_each - 1)
    due: Floats = stagger + stretched * (run.threads / run.rps)
    return due


@dataclass(frozen=True, eq=False)
class Slots:
    """The schedule of a run, a row for each connection and a column for each of its requests.

    Attributes:
        due: When each was due, in seconds after the run began.
        sent: Whether it was sent.
        ok: Whether it succeeded.
        service: Seconds from sending it to its end; the median for those never sent.
        response: Seconds from when it was due to its end.
        late: Seconds from when it could be sent (due, and the one before ended) to when it was; not
            a number for those never sent.
        idle: Whether its connection was free when it was due.
    """

    due: Floats
    sent: NDArray[np.bool_]
    ok: NDArray[np.bool_]
    service: Floats
    response: Floats
    late: Floats
    idle: NDArray[np.bool_]

    @classmethod
    def of(cls, run: FortioRun) -> Slots:
        """Put the requests of a run in their places.

        Raises:
            StepError: The access log does not fit the schedule, or the run was ended early.
        """
        log, shape = run.log, (run.threads, run.calls_each)
        _check(run, log, shape)
        place = (log.thread, log.iteration)
        sent, ok = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
        sent[place], ok[place] = True, log.ok
        typical = float(np.median(log.latency[log.ok] if log.ok.any() else log.latency))
        service = np.full(shape, typical)
        service[place] = log.latency
        threads, iterations = np.indices(shape)
        times = due(run, threads, iterations)
        wait = _wait(service, np.diff(times, axis=1))
        start = np.full(shape, np.nan)
        start[place] = (log.start_ns - run.start_ns) / 1e9
        idle = wait == 0
        late = start - np.where(idle, times, _free(start, service))
        return cls(times, sent, ok, service, wait + service, late, idle)

    @classmethod
    def joined(cls, parts: Iterable[Slots]) -> Slots:
        """Give the slots of several runs, in no shape."""
        columns = zip(*(part._columns() for part in parts), strict=True)
        return cls(*(np.concatenate([part.ravel() for part in column]) for column in columns))

    def within(self, begin: float, end: float) -> Slots:
        """Give those due from ``begin`` until before ``end``, in seconds after the run began."""
        here = (self.due >= begin) & (self.due < end)
        return Slots(*(column[here] for column in self._columns()))

    def _columns(self) -> list[NDArray[Any]]:
        return [getattr(self, field.name) for field in fields(self)]

    @property
    def clock_step(self) -> float:
        """How far the generator's wall clock jumped during the run, in seconds; 0 if it did not.

        Requests of idle connections leave 0 to 1.1 ms after they are due. If ten in a row are all
        as late, but far more, or all early, it is the clock that differs. Response times do not
        depend on that clock; windows of several generators do.
        """
        here = self.idle & self.sent
        late = self.late[here][np.argsort(self.due[here], kind="stable")]
        groups = late[: len(late) // 10 * 10].reshape(-1, 10)
        same = np.ptp(groups, axis=1) < 0.0025
        shifts = np.median(groups[same], axis=1)
        jumped = shifts[np.abs(shifts) > LATE]
        return float(jumped[np.abs(jumped).argmax()]) if len(jumped) else 0.0


def _check(run: FortioRun, log: AccessLog, shape: tuple[int, int]) -> None:
    threads, calls = shape
    inside = (log.thread >= 0) & (log.thread < threads)
    inside &= (log.iteration >= 0) & (log.iteration < calls)
    numbers = log.thread * calls + log.iteration
    if not inside.all() or len(np.unique(numbers)) < len(numbers):
        raise StepError(
            "the access log of fortio does not fit its schedule",
            why=f"requests beyond {threads} x {calls}, or twice the same: is it of two runs?",
        )
    if run.took < 0.999 * run.seconds:
        raise StepError(
            f"fortio ended after {run.took:.1f} of {run.seconds:.1f} s",
            why="it was interrupted",
        )


def _wait(service: Floats, gaps: Floats) -> Floats:
    """Give what each request of a connection waited for the ones before it, in seconds."""
    moved = np.zeros_like(service)
    np.cumsum(service[:, :-1] - gaps, axis=1, out=moved[:, 1:])
    return moved - np.minimum.accumulate(moved, axis=1)


def _free(start: Floats, service: Floats) -> Floats:
    """Give when the last request sent before each one ended, by the wall clock."""
    columns = np.where(np.isnan(start), -1, np.arange(start.shape[1]))
    last = np.maximum.accumulate(columns, axis=1)[:, :-1]
    ends = np.take_along_axis(start + service, np.maximum(last, 0), axis=1)
    free = np.full(start.shape, -np.inf)
    free[:, 1:] = np.where(last < 0, -np.inf, ends)
    return free


@dataclass(frozen=True)
class Measured:
    """What one run says of its arm, over all its generators, within the measured window.

    Attributes:
        started: When the window began, in UTC.
        seconds: Its length.
        scheduled: Requests due within it.
        requests: Of these, those that were sent.
        errors: Of these, those that failed.
        refilled: Those never sent, but counted among the response times.
        requested_rps: Requests due within the window, a second: fortio stretches its schedule by
            one interval, so a little less than its ``-qps``.
        achieved_rps: Requests that were sent within the window, a second.
        late: Share of the requests that left more than ``LATE`` after they could have: the
            generator's own doing.
        behind: Share of the requests that waited for an earlier one of their connection.
        clock_step: How far a generator's clock jumped, in seconds; 0 if none did.
        response: Latency from when a request was due, of those that did not fail.
        service: Latency from when it was sent, of those that succeeded.
        sent: All requests of the run, warm-up and first ones of each connection included.
        fortio: fortio's own percentiles over the whole run, in ms: ``p50`` to ``p99.99``.
        codes: Requests of the whole run by HTTP or gRPC status.
        lost: Connections that broke and were opened again.
        version: Of fortio.
        warnings: What fortio warned of.
    """

    started: str
    seconds: float
    scheduled: int
    requests: int
    errors: int
    refilled: int
    requested_rps: float
    achieved_rps: float
    late: float
    behind: float
    clock_step: float
    response: Histogram
    service: Histogram
    sent: int
    fortio: dict[str, float]
    codes: dict[str, int]
    lost: int
    version: str
    warnings: tuple[str, ...]

    def run(self, arm: str, position: int) -> Run:
        """Give what is kept of it; what the nodes spent meanwhile is not known here."""
        mine = {field.name for field in fields(self)} & Run.model_fields.keys()
        kept = {name: getattr(self, name) for name in mine}
        return Run(arm=arm, position=position, **kept)


def measure(runs: Sequence[FortioRun], *, warmup: float, seconds: float) -> Measured:
    """Give what the generators of one run measured together.

    Each has its own schedule. The window begins ``warmup`` seconds after the last of them and ends
    ``seconds`` later, or when the schedule of the first ends; a request belongs to it if it was due
    within it. The clocks of several generators must agree, as those of one node do.

    Args:
        runs: One for each generator.
        warmup: Seconds at the beginning that do not count.
        seconds: To be measured.

    Raises:
        StepError: A log does not fit its schedule, versions or histograms differ, or there is
            less than half of the window.
    """
    if len({run.version for run in runs}) != 1:
        versions = ", ".join(sorted({run.version for run in runs})) or "none"
        raise StepError(f"generators of one run must be of one version of fortio, not {versions}")
    begin, end = _window(runs, warmup, seconds)
    length = (end - begin) / 1e9
    all_slots = [Slots.of(run) for run in runs]
    here = Slots.joined(
        slots.within((begin - run.start_ns) / 1e9, (end - run.start_ns) / 1e9)
        for slots, run in zip(all_slots, runs, strict=True)
    )
    if not here.sent.any():
        raise StepError("no request was sent within the measured window")
    starts = np.concatenate([run.log.start_ns for run in runs])
    buckets = Buckets.merged(run.buckets for run in runs)
    codes = sorted({code for run in runs for code in run.codes})
    return Measured(
        started=datetime.fromtimestamp(begin / 1e9, UTC).isoformat(timespec="milliseconds"),
        seconds=length,
        scheduled=len(here.due),
        requests=int(here.sent.sum()),
        errors=int((here.sent & ~here.ok).sum()),
        refilled=int((~here.sent).sum()),
        requested_rps=len(here.due) / length,
        achieved_rps=int(((starts >= begin) & (starts < end)).sum()) / length,
        late=float(np.mean(here.late[here.sent] > LATE)),
        behind=float(np.mean(~here.idle)),
        clock_step=max((slots.clock_step for slots in all_slots), key=abs),
        response=Histogram.of(here.response[here.ok | ~here.sent]),
        service=Histogram.of(here.service[here.ok]),
        sent=sum(run.sent for run in runs),
        fortio={f"p{p:g}": buckets.percentile(p) * 1e3 for p in PERCENTILES},
        codes={code: sum(run.codes.get(code, 0) for run in runs) for code in codes},
        lost=sum(max(run.sockets - run.threads, 0) for run in runs),
        version=runs[0].version,
        warnings=tuple(dict.fromkeys(text for run in runs for text in run.warnings)),
    )


def _window(runs: Sequence[FortioRun], warmup: float, seconds: float) -> tuple[int, int]:
    """Give begin and end of the time that counts, in ns since 1970."""
    begin = max(run.start_ns for run in runs) + round(warmup * 1e9)
    end = min(run.start_ns + round(run.seconds * 1e9) for run in runs)
    end = min(end, begin + round(seconds * 1e9))
    length = (end - begin) / 1e9
    if length < seconds / 2:
        raise StepError(
            f"there is a window of {max(length, 0):.1f} s instead of {seconds:.1f} s",
            why="the generators did not run long enough at the same time",
        )
    return begin, end
