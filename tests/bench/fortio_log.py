"""Logs such as fortio writes, of loads whose truth is known: a simulated client and server.

Independent of what is tested: the client is fortio's loop, request by request, not a formula.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

T0 = 1_795_563_407_067_541_945
EDGES = [float(edge) for edge in range(13)]
for _until, _by in ((20, 2), (50, 5), (100, 10), (200, 20), (500, 50), (1000, 100)):
    while EDGES[-1] < _until:
        EDGES.append(EDGES[-1] + _by)
EDGES += [2e3, 3e3, 4e3, 5e3, 7.5e3, 1e4, 2e4, 3e4, 4e4, 5e4, 7.5e4, 1e5]

Request = dict[str, Any]


@dataclass(frozen=True)
class Server:
    """Answers each request after a time of its own; stands still now and then.

    Attributes:
        service: Seconds a request takes, given its connection and number.
        stalls: When nothing is done: begin and end, in seconds, ascending.
    """

    service: Callable[[int, int], float]
    stalls: Sequence[tuple[float, float]] = ()

    def done(self, sent: float, thread: int, iteration: int) -> float:
        """When a request sent then is answered: its time of work, without the stalls."""
        now, left = sent, self.service(thread, iteration)
        for begin, end in self.stalls[max(bisect_left(self.stalls, (sent,)) - 1, 0) :]:
            if now + left <= begin:
                break
            if end <= now:
                continue
            left -= max(begin - now, 0.0)
            now = end
        return now + left


@dataclass(frozen=True)
class Client:
    """fortio's scheduling.

    Attributes:
        timers: Draws how late a timer fires, in seconds.
        overhead: Seconds between an answer and the next request, if that is due.
        clock: Gives what the wall clock shows more than it should, by seconds of the run.
    """

    rps: float
    seconds: float
    connections: int
    catch_up: bool = True
    uniform: bool = True
    timers: Callable[[], float] = lambda: 0.0
    overhead: float = 0.0
    clock: Callable[[float], float] = lambda _: 0.0
    failed: Callable[[int, int], bool] = lambda *_: False
    start_ns: int = T0
    truth: list[tuple[float, float]] = field(default_factory=list)

    def run(self, server: Server) -> list[Request]:
        """Make a load; give the access log.

        ``truth`` gets when each request was due, and the response time an exact client has.
        """
        rows: list[tuple[float, Request]] = []
        calls = int(self.rps * self.seconds) // self.connections
        for thread in range(self.connections):
            rows += self._thread(server, thread, calls)
            self._exact(server, thread, calls)
        return [request for _, request in sorted(rows, key=lambda row: row[0])]

    def _due(self, thread: int, i: int, calls: int) -> float:
        start = thread / self.rps if self.uniform else 0.0
        return start + (i + i / (calls - 1)) / (self.rps / self.connections)

    def _exact(self, server: Server, thread: int, calls: int) -> None:
        free = 0.0
        for i in range(calls):
            due = self._due(thread, i, calls)
            free = server.done(max(due, free), thread, i)
            self.truth.append((due, free - due))

    def responses(self, begin: float, end: float) -> list[float]:
        """Give the true response times of the requests due then."""
        return [response for due, response in self.truth if begin <= due < end]

    def _thread(self, server: Server, thread: int, calls: int) -> list[tuple[float, Request]]:
        rows = []
        now, i = self._due(thread, 0, calls) + self.timers(), 0
        while i < calls:
            if now > self.seconds and 2 <= i != calls - 1:
                break  # out of time
            end = server.done(now, thread, i)
            ok = not self.failed(thread, i)
            request = {
                "latency": round(end - now, 6),
                "timestamp": self.start_ns + int((now + self.clock(now)) * 1e9),
                "thread": thread,
                "iter": i,
                "ok": ok,
                "details": "200" if ok else "503",
            }
            rows.append((end, request))
            i, now = i + 1, end + self.overhead
            while not self.catch_up and i < calls and self._due(thread, i, calls) < now:
                i += 1
            if i < calls and self._due(thread, i, calls) > now:
                now = self._due(thread, i, calls) + self.timers()
        return rows


def histogram(values: Sequence[float], percentiles: Sequence[float], r: float) -> dict[str, Any]:
    """Give what ``stats.Histogram`` of fortio exports (Record, Export, CalcPercentile)."""
    if not len(values):
        return {"Count": 0, "Min": 0, "Max": 0, "Sum": 0, "Avg": 0, "StdDev": 0, "Data": None}
    scaled = np.asarray(values) / r
    places = [bisect_left(EDGES, value - 1e-12) for value in scaled]
    counts = np.bincount(places, minlength=len(EDGES) + 1)
    low, high = float(np.min(values)), float(np.max(values))
    data: list[dict[str, Any]] = []
    total = 0
    for place in np.flatnonzero(counts):
        total += int(counts[place])
        data.append(
            {
                "Start": r * EDGES[place - 1] if data else low,
                "End": r * EDGES[place] if place < len(EDGES) else high,
                "Percent": 100.0 * total / len(values),
                "Count": int(counts[place]),
            }
        )
    data[-1]["End"] = high
    found = []
    for p in percentiles:
        reached, value = 100.0 / len(values), high
        if p <= reached:
            value = low
        elif p < 100:
            for bucket in data:
                if p <= bucket["Percent"]:
                    share = (p - reached) / (bucket["Percent"] - reached)
                    value = bucket["Start"] + share * (bucket["End"] - bucket["Start"])
                    break
                reached = bucket["Percent"]
        found.append({"Percentile": p, "Value": value})
    return {
        "Count": len(values),
        "Min": low,
        "Max": high,
        "Sum": float(np.sum(values)),
        "Avg": float(np.mean(values)),
        "StdDev": float(np.std(values)),
        "Data": data,
        "Percentiles": found,
    }


def result(client: Client, log: Sequence[Request], **changed: Any) -> dict[str, Any]:
    """Give the JSON object of a load."""
    percentiles = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)
    second, rest = divmod(client.start_ns, 10**9)
    start = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    ended = max((row["timestamp"] - client.start_ns) / 1e9 + row["latency"] for row in log)
    failed = [row["latency"] for row in log if not row["ok"]]
    return {
        "RunType": "HTTP",
        "Labels": "simulated",
        "StartTime": f"{start}.{rest:09d}Z",
        "RequestedQPS": f"{client.rps:.9g}",
        "RequestedDuration": f"{client.seconds:g}s",
        "ActualQPS": len(log) / ended,
        "ActualDuration": int(max(ended, client.seconds) * 1e9),
        "NumThreads": client.connections,
        "Version": "1.68.0",
        "DurationHistogram": histogram([row["latency"] for row in log], percentiles, 1e-4),
        "ErrorsDurationHistogram": histogram(failed, percentiles, 1e-4),
        "Exactly": 0,
        "Jitter": False,
        "Uniform": client.uniform,
        "NoCatchUp": not client.catch_up,
        "RunID": 0,
        "AccessLoggerInfo": "mode json to /dev/stdout",
        "ID": "simulated",
        "RetCodes": {"200": len(log) - len(failed)} | ({"503": len(failed)} if failed else {}),
        "Offset": 0,
        "Resolution": 1e-4,
        "SocketCount": client.connections,
        **changed,
    }


def log_text(client: Client, log: Sequence[Request], **changed: Any) -> str:
    """Give the log of a pod, as of one load."""
    lines = [
        '{"ts":1795563407.062033,"level":"info","r":1,"msg":"Starting","command":"fortio"}',
        f"Fortio 1.68.0 running at {client.rps:g} queries per second, 4->4 procs",
        *(json.dumps(row, separators=(",", ":")) for row in log),
        f"Ended after {client.seconds:g}s : {len(log)} calls.",
        json.dumps(result(client, log, **changed), indent=2),
        "Successfully wrote 4077 bytes of Json data to stdout",
    ]
    return "\n".join(lines) + "\n"


def lognormal(seed: int, median: float = 0.002, sigma: float = 0.3) -> Callable[[int, int], float]:
    """Give a service time for each request, the same whenever it is asked for."""
    drawn = median * np.exp(sigma * np.random.default_rng(seed).standard_normal((64, 8192)))
    table: list[list[float]] = drawn.tolist()
    return lambda thread, iteration: table[thread % 64][iteration % 8192]


def go_timers(seed: int) -> Callable[[], float]:
    """Give how late Go's timers fire on Linux: they sleep in whole milliseconds."""
    rng = np.random.default_rng(seed)
    drawn = iter(rng.uniform(0.00002, 0.00115, 1_000_000).tolist())
    return lambda: next(drawn)


def exact_quantile(values: Sequence[float], p: float) -> float:
    """The smallest value that a share p of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(p * len(ordered) - 1e-9), 1) - 1]


def stall_at(stalls: Sequence[tuple[float, float]], time: float) -> bool:
    """Whether a server stands still then."""
    place = bisect_right([begin for begin, _ in stalls], time) - 1
    return place >= 0 and time < stalls[place][1]
