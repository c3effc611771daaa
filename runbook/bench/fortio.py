"""fortio: how it is told to make a load, and what its pod's log says afterwards.

The load is open: requests are due at fixed times, whether or not the ones before were answered.
Each of ``-c`` connections has its own share of the schedule (see :mod:`runbook.bench.schedule`).
What decides is the access log, a line for every request; the JSON object at the end says how many
lines there must be. Flags and fields are those of fortio 1.63 to 1.68.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runbook.bench.buckets import Buckets
from runbook.bench.design import Protocol
from runbook.errors import StepError, UsageError
from runbook.fields import seconds as duration

__all__ = [
    "GRPC_PORT",
    "HTTP_PORT",
    "MAX_PAYLOAD",
    "PERCENTILES",
    "AccessLog",
    "FortioRun",
    "load_args",
    "parse_log",
    "server_args",
    "shape",
]

HTTP_PORT = 8080
GRPC_PORT = 8079

MAX_PAYLOAD = 125_000
"""Bytes: fortio's HTTP/1.1 client reads at most 128 KiB, head included, and fails beyond."""

PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)
"""What fortio reports itself."""

RESOLUTION = 0.0001
"""Seconds (``-r``): the same for every run, or histograms could not be merged. Buckets are then
0.1 ms wide up to 1.2 ms and below a quarter of the value up to 100 ms."""


def server_args() -> list[str]:
    """Give the arguments of the server: HTTP and gRPC, and nothing else that listens or answers.

    The web pages and the REST API, through which anybody could start a load, are off.
    """
    ports = ["-http-port", str(HTTP_PORT), "-grpc-port", str(GRPC_PORT)]
    off = [part for kind in ("tcp", "udp", "redirect") for part in (f"-{kind}-port", "disabled")]
    return ["server", *ports, *off, "-ui-path=", "-echo-debug-path=", "-loglevel", "Warning"]


def load_args(
    host: str,
    *,
    rps: float,
    connections: int,
    seconds: float,
    protocol: Protocol,
    payload: int,
    labels: str,
    access_log: str = "/dev/stdout",
) -> list[str]:
    """Give the arguments of one load.

    Over HTTP the server answers a GET with ``payload`` random bytes; the request has no body. A
    gRPC ping carries ``payload`` bytes there and back again. HTTP requests give up after 10 s;
    gRPC pings never do. Any failure before the schedule begins (one request on each connection)
    ends fortio at once.

    Args:
        host: Name or address of the server, without a port; IPv6 addresses in brackets.
        rps: Requests a second of this generator; need not be whole.
        connections: How many; ``shape`` gives one that fits.
        seconds: Of the whole run, warm-up included; ``shape`` gives those that fit.
        protocol: ``http1``, ``http2`` (without TLS) or ``grpc``.
        payload: Bytes; 0 for none.
        labels: Name of the run, which its JSON repeats.
        access_log: Where the access log goes; standard output has the JSON, too.

    Raises:
        UsageError: The payload is larger than fortio can take.
    """
    if not 0 <= payload <= MAX_PAYLOAD:
        raise UsageError(
            f"a payload of {payload} bytes cannot be measured",
            why=f"fortio takes 0 to {MAX_PAYLOAD}",
        )
    percentiles = ",".join(f"{p:g}" for p in PERCENTILES)
    args = ["load", "-qps", f"{rps:.9g}", "-c", str(connections), "-t", _go_duration(seconds)]
    args += ["-uniform", "-r", f"{RESOLUTION:g}", "-p", percentiles, "-labels", labels]
    args += ["-json", "-", "-access-log-file", access_log, "-log-errors=false"]
    args += ["-timeout", "10s", "-allow-initial-errors=false"]
    if protocol == "grpc":
        size = ["-payload-size", str(payload)] if payload else []
        return [*args, "-grpc", "-ping", "-s", "1", *size, f"{host}:{GRPC_PORT}"]
    if protocol == "http2":
        args.append("-h2")
    size_of = f"?size={payload}" if payload else ""
    return [*args, f"http://{host}:{HTTP_PORT}/echo{size_of}"]


def shape(rps: float, seconds: float, connections: int) -> tuple[int, float]:
    """Give connections and seconds for which fortio makes every request of the rate.

    fortio gives each connection ``int(rps * seconds) // connections`` requests: what that leaves
    over is never sent, and each connection needs two. So there may be fewer connections, and some
    more time, by less than what each connection needs for one request.

    >>> shape(200, 18, 16)
    (16, 18.0)
    >>> shape(100, 10, 3)
    (3, 10.02)

    Raises:
        UsageError: Not even two requests fit in.
    """
    calls = math.ceil(rps * seconds * (1 - 1e-12))
    if calls < 2 or connections < 1:
        raise UsageError(f"{rps:g} requests a second for {seconds:g} s make no load")
    connections = min(connections, calls // 2)
    calls = math.ceil(calls / connections) * connections
    micros = math.ceil(calls / rps * 1e6 - 1e-3)
    while int(rps * (micros / 1e6)) < calls:  # as fortio multiplies, in binary
        micros += 1
    return connections, micros / 1e6


def _go_duration(seconds: float) -> str:
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


@dataclass(frozen=True, eq=False)
class AccessLog:
    """The requests in the order they ended; arrays of one length.

    Attributes:
        start_ns: When each was sent, by the clock of the generator: ns since 1970.
        latency: Seconds from then to its end, by the monotonic clock; whole microseconds.
        thread: Connection it went through.
        iteration: Number of its slot in the schedule of that connection.
        ok: Whether it succeeded (HTTP 2xx and 418, gRPC ``SERVING``).
    """

    start_ns: NDArray[np.int64]
    latency: NDArray[np.float64]
    thread: NDArray[np.int64]
    iteration: NDArray[np.int64]
    ok: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.start_ns)


@dataclass(frozen=True, eq=False)
class FortioRun:
    """What one fortio process did.

    Attributes:
        version: Of fortio.
        kind: ``HTTP`` or ``GRPC Ping`` with its payload.
        start_ns: When its schedule began: ns since 1970.
        rps: Requests a second it was to make.
        seconds: For how long.
        took: For how long it did, in seconds.
        threads: Connections.
        uniform: Whether the schedules of the connections are staggered.
        catch_up: Whether requests that are due while a connection is busy are sent afterwards;
            otherwise they are left out.
        buckets: Latencies by fortio's own count, errors included.
        errors: Of these, those of failed requests.
        codes: Requests by HTTP status (``-1``: no answer) or gRPC status.
        sockets: Connections that were opened, more than ``threads`` if some were lost; 0 if fortio
            does not say (gRPC).
        warnings: What fortio warned of, each once.
        log: Every request.
    """

    version: str
    kind: str
    start_ns: int
    rps: float
    seconds: float
    took: float
    threads: int
    uniform: bool
    catch_up: bool
    buckets: Buckets
    errors: Buckets
    codes: Mapping[str, int]
    sockets: int
    warnings: tuple[str, ...]
    log: AccessLog

    @property
    def calls(self) -> int:
        """Requests that follow the schedule."""
        return self.buckets.count

    @property
    def sent(self) -> int:
        """All requests: before the schedule begins, each connection makes one more."""
        return self.calls + self.threads

    @property
    def calls_each(self) -> int:
        """Requests each connection was to make; fortio leaves out what does not divide."""
        whole, rest = divmod(round(self.seconds * 1e9), 1_000_000_000)  # as Duration.Seconds()
        return int(self.rps * (whole + rest / 1e9)) // self.threads


def parse_log(text: str, *, resolution: float = RESOLUTION) -> FortioRun:
    """Read the log of a pod that ran one load.

    Standard output (access log, JSON object) and standard error (fortio's own log, text for
    humans) come interleaved by lines, in any order; a line of the one may lie between two lines of
    the object. Within the object all lines are indented, none of the others is.

    Args:
        text: The log.
        resolution: The ``-r`` fortio ran with, in seconds; over HTTP its JSON says it, too.

    Raises:
        StepError: There is no result, it is an error, no request was made, the schedule cannot be
            known, or lines are missing.
    """
    lines = text.split("\n")
    result = _object(lines)
    if result.get("error"):
        parts = (result.get("message"), result.get("exception"))
        raise StepError("fortio could not run", why=": ".join(str(part) for part in parts if part))
    try:
        run = _run(result, resolution, lines)
    except (KeyError, TypeError, ValueError) as error:
        raise StepError("this is no result of fortio load", why=f"{error!r}") from error
    if not run.calls:
        raise StepError("fortio made no request", why=_reason(lines))
    log, failed = run.log, int((~run.log.ok).sum())
    if len(log) != run.calls or failed != run.errors.count:
        raise StepError(
            f"the access log has {len(log)} requests ({failed} failed), "
            f"fortio counted {run.calls} ({run.errors.count} failed)",
            why="a container's log is cut when it is rotated (10 MiB, about 90000 requests)",
            fix="fewer requests in a run: less time, a lower rate or more generators",
        )
    return run


def _run(result: Mapping[str, Any], resolution: float, lines: Sequence[str]) -> FortioRun:
    _check_schedule(result)
    resolution = float(result.get("Resolution") or resolution)
    offset = result.get("Offset", 0) / 1e9
    return FortioRun(
        version=str(result["Version"]),
        kind=str(result["RunType"]),
        start_ns=_nanoseconds(result["StartTime"]),
        rps=float(result["RequestedQPS"]),
        seconds=duration(result["RequestedDuration"]),
        took=result["ActualDuration"] / 1e9,
        threads=int(result["NumThreads"]),
        uniform=bool(result["Uniform"]),
        catch_up=not result["NoCatchUp"],
        buckets=Buckets.parse(result["DurationHistogram"], resolution, offset),
        errors=Buckets.parse(result["ErrorsDurationHistogram"], resolution, offset),
        codes={str(code): int(count) for code, count in result["RetCodes"].items()},
        sockets=int(result.get("SocketCount", 0)),
        warnings=_warnings(lines),
        log=_access_log(lines),
    )


def _object(lines: Sequence[str]) -> dict[str, Any]:
    starts = [number for number, line in enumerate(lines) if line == "{"]
    if not starts:
        raise StepError("fortio gave no result", why=_reason(lines))
    if len(starts) > 1:
        raise StepError("a log holds the results of several fortio runs", fix="read one at a time")
    kept = ["{"]
    for line in lines[starts[0] + 1 :]:
        if line.startswith("  ") or line == "}":
            kept.append(line)
        if line == "}":
            break
    try:
        result: dict[str, Any] = json.loads("\n".join(kept))
    except ValueError as error:
        raise StepError("the result of fortio is incomplete", why=str(error)) from error
    return result


def _check_schedule(result: Mapping[str, Any]) -> None:
    """Refuse a load whose requests were not due at times that can be known."""
    timed = re.fullmatch(r"[\d.hmsµun]+", result["RequestedDuration"])
    for wrong, why in (
        (result["RequestedQPS"] == "max", "it sends as fast as it can (closed loop)"),
        (not timed or result.get("Exactly"), "it has a number of calls, or no end"),
        (result["Jitter"], "-jitter moves each request by a random time"),
    ):
        if wrong:
            raise StepError(
                "when requests of this fortio run were due is unknown", why=why, fix="-qps and -t"
            )


def _reason(lines: Sequence[str]) -> str:
    """Find why fortio ended, in what it writes for humans."""
    known = re.compile(r"Aborting because of (.*)|Error: (.*)|flag provided but not defined.*")
    for line in reversed(lines):
        found = known.match(line)
        if found:
            return found[1] or found[2] or found[0]
    said = [line for line in lines if line.strip()]
    return said[-1][:300] if said else "its log is empty"


def _warnings(lines: Sequence[str]) -> tuple[str, ...]:
    """Give warnings and errors of fortio's own log and text, each once, ten at most."""
    found: dict[str, None] = {}
    for line in lines:
        if line.startswith("WARNING "):
            found[line] = None
        elif line.startswith('{"ts":') and '"level":"info"' not in line:
            try:
                found[str(json.loads(line)["msg"])] = None
            except (ValueError, KeyError):
                found[line] = None
    return tuple(found)[:10]


def _access_log(lines: Sequence[str]) -> AccessLog:
    rows = [line for line in lines if line.startswith('{"latency"')]
    try:
        records = json.loads(f"[{','.join(rows)}]")
        return AccessLog(
            start_ns=np.array([record["timestamp"] for record in records], dtype=np.int64),
            latency=np.array([record["latency"] for record in records], dtype=np.float64),
            thread=np.array([record["thread"] for record in records], dtype=np.int64),
            iteration=np.array([record["iter"] for record in records], dtype=np.int64),
            ok=np.array([record["ok"] for record in records], dtype=np.bool_),
        )
    except (ValueError, KeyError) as error:
        raise StepError("a line of fortio's access log is damaged", why=str(error)) from error


def _nanoseconds(time: str) -> int:
    """Give the nanoseconds since 1970 of an RFC 3339 time, exactly.

    >>> _nanoseconds("2026-11-24T23:36:47.067541945Z")
    1795563407067541945
    """
    found = re.fullmatch(r"(.{19})(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", time)
    if not found:
        raise StepError(f"fortio's StartTime {time!r} is no time")
    zone = found[3].replace("Z", "+00:00")
    second = int(datetime.fromisoformat(found[1] + zone).astimezone(UTC).timestamp())
    return second * 1_000_000_000 + int((found[2] or "0").ljust(9, "0"))
