"""The result of a run as Fortio's JSON has it, every key of its HTTP runs."""

from __future__ import annotations

import base64
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from runbook.rehearsal.traffic.client import Outcome
from runbook.rehearsal.traffic.flags import Flags
from runbook.rehearsal.traffic.histogram import export

__all__ = ["Run", "result"]

Object = dict[str, object]

_LONGEST_ID = 96
_SIZE_STEP = 100
"""Bytes: resolution of the histograms of sizes."""


@dataclass
class Run:
    """What was done.

    Args:
        flags: What was asked for.
        started: When, UTC.
        started_ns: The same, unix time in nanoseconds.
        elapsed: Seconds it took.
        outcomes: Of every request but those of the warm-up.
        connects: Seconds each connection took to be made, by thread.
        slept: Calls that were waited for.
        behind: Calls that were late already.
    """

    flags: Flags
    started: datetime
    started_ns: int
    elapsed: float = 0.0
    outcomes: list[Outcome] = field(default_factory=list)
    connects: list[list[float]] = field(default_factory=list)
    slept: int = 0
    behind: int = 0


def result(run: Run) -> Object:
    """Build the object Fortio prints with ``-json``.

    Args:
        run: What was done.
    """
    flags, outcomes = run.flags, run.outcomes
    seconds = [outcome.seconds for outcome in outcomes]
    failed = [outcome.seconds for outcome in outcomes if not outcome.ok]
    log = f"mode json to {flags.access_log}" if flags.access_log else ""
    labels = flags.labels or f"{urlsplit(flags.url).netloc} , rehearsal"
    return {
        "RunType": "HTTP",
        "Labels": labels,
        "StartTime": _stamp(run),
        "RequestedQPS": f"{flags.qps:.9g}",
        "RequestedDuration": _go_duration(flags.seconds),
        "ActualQPS": len(outcomes) / run.elapsed if run.elapsed else 0,
        "ActualDuration": round(run.elapsed * 1e9),
        "NumThreads": flags.connections,
        "Version": "rehearsal",
        "DurationHistogram": export(seconds, flags.resolution, flags.percentiles),
        "ErrorsDurationHistogram": export(failed, flags.resolution, flags.percentiles),
        "Exactly": 0,
        "Jitter": False,
        "Uniform": flags.uniform,
        "NoCatchUp": False,
        "RunID": flags.run,
        "AccessLoggerInfo": log,
        "ID": _id(run, labels),
        **_http(run),
    }


def _http(run: Run) -> Object:
    flags, outcomes = run.flags, run.outcomes
    statuses = Counter(str(outcome.status) for outcome in outcomes)
    sockets = [len(connects) for connects in run.connects]
    times = [seconds for connects in run.connects for seconds in connects]
    return {
        "RetCodes": dict(sorted(statuses.items())),
        "IPCountMap": {urlsplit(flags.url).netloc: sum(sockets)},
        "Insecure": False,
        "MTLS": False,
        "CACert": "",
        "Cert": "",
        "Key": "",
        "UnixDomainSocket": "",
        "URL": flags.url,
        "NumConnections": 1,
        "Compression": False,
        "DisableFastClient": False,
        "HTTP10": False,
        "H2": False,
        "DisableKeepAlive": False,
        "AllowHalfClose": False,
        "FollowRedirects": False,
        "Resolve": "",
        "HTTPReqTimeOut": round(flags.timeout * 1e9),
        "UserCredentials": "",
        "ContentType": "",
        "Payload": base64.b64encode(flags.body).decode(),
        "MethodOverride": "",
        "LogErrors": flags.log_errors,
        "SequentialWarmup": False,
        "ConnReuseRange": [0, 0],
        "NoResolveEachConn": False,
        "Offset": 0,
        "Resolution": flags.resolution,
        "Sizes": export([outcome.size for outcome in outcomes], _SIZE_STEP),
        "HeaderSizes": export([outcome.head for outcome in outcomes], _SIZE_STEP),
        "Sockets": sockets,
        "SocketCount": sum(sockets),
        "ConnectionStats": export(times, flags.resolution, flags.percentiles),
        "AbortOn": 0,
    }


def _stamp(run: Run) -> str:
    return f"{run.started:%Y-%m-%dT%H:%M:%S}.{run.started_ns % 10**9:09d}Z"


def _id(run: Run, labels: str) -> str:
    text = f"{run.started:%Y-%m-%d-%H%M%S}"
    if run.flags.run:
        text += f"_{run.flags.run}"
    text += "_" + re.sub(r"[^A-Za-z0-9-]+", "_", labels)
    return text[:_LONGEST_ID]


def _go_duration(seconds: float) -> str:
    """Write a duration as Go does: ``1m15s``, ``500ms``."""
    if seconds < 1:
        return f"{seconds * 1e3:.9g}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = [f"{hours}h"] if hours else []
    parts += [f"{minutes}m"] if hours or minutes else []
    return "".join([*parts, f"{rest:.9g}s"])
