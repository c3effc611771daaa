"""The command line of ``fortio load``, as far as the stand-in generator knows it."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

__all__ = ["Flags", "FlagsError", "duration", "parse"]

_FLAG = re.compile(r"^--?([a-zA-Z0-9.-]+?)(?:=(.*))?$")
_PARTS = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TEXTS = (
    "qps", "c", "t", "p", "r", "json", "access-log-file", "labels", "runid", "timeout",
    "payload-size", "loglevel", "H", "httpbufferkb", "gomaxprocs",
)  # fmt: skip
_SWITCHES = (
    "uniform", "log-errors", "allow-initial-errors", "quiet", "sequential-warmup", "nocatchup",
    "jitter", "stdclient", "keepalive", "logger-force-color", "logger-json",
)  # fmt: skip
_REAL = ("h2", "grpc", "ping", "s", "compression", "n", "a", "halfclose", "udp", "tcp", "health")
"""What only the real program can."""


class FlagsError(Exception):
    """A flag that the stand-in does not know or cannot do."""


@dataclass(frozen=True)
class Flags:
    """What a run is to be.

    Args:
        url: Whom to ask.
        qps: Requests per second, all connections together.
        connections: How many, each a thread in Fortio's words.
        seconds: For how long.
        uniform: Whether the connections are spread over the interval.
        percentiles: To report, in percent.
        resolution: Of the histogram, in seconds.
        json: File for the result; ``-`` is standard output, empty none.
        access_log: File for a line per request; empty for none.
        labels: Free text for the result.
        run: Number for the result.
        timeout: Seconds for one request.
        payload: Bytes to POST; 0 to GET.
        headers: More header lines.
        log_errors: Whether failed requests are told.
        allow_initial_errors: Whether the run goes on when the first request fails.
    """

    url: str
    qps: float = 8.0
    connections: int = 4
    seconds: float = 5.0
    uniform: bool = False
    percentiles: tuple[float, ...] = (50, 75, 90, 99, 99.9)
    resolution: float = 0.001
    json: str = ""
    access_log: str = ""
    labels: str = ""
    run: int = 0
    timeout: float = 3.0
    payload: int = 0
    headers: tuple[str, ...] = ()
    log_errors: bool = True
    allow_initial_errors: bool = False

    @property
    def body(self) -> bytes:
        """Give what is POSTed: the same bytes for the same run."""
        return random.Random(self.run).randbytes(self.payload)  # noqa: S311 - nothing secret


def duration(text: str) -> float:
    """Read a duration as Go writes it, such as ``1m15s``; seconds.

    Raises:
        FlagsError: It is none.
    """
    parts = _PARTS.findall(text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise FlagsError(f'invalid duration "{text}"')
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def parse(words: list[str]) -> Flags:
    """Read the arguments of ``fortio load``.

    Args:
        words: All of them, with ``load`` in front.

    Raises:
        FlagsError: One of them is unknown, wrong, or needs the real program.
    """
    given: dict[str, str] = {}
    headers: list[str] = []
    rest = list(words[1:])
    while rest and rest[0].startswith("-"):
        found = _FLAG.match(rest.pop(0))
        name = found[1] if found else ""
        if found is None or (name not in _TEXTS and name not in _SWITCHES + _REAL):
            raise FlagsError(f"flag provided but not defined: -{name}")
        if name in _REAL and found[2] not in ("false", "0"):
            raise FlagsError(f"-{name} needs the real fortio: none is on the rehearsal's PATH")
        if name in _TEXTS and found[2] is None and not rest:
            raise FlagsError(f"flag needs an argument: -{name}")
        value = found[2] if found[2] is not None else rest.pop(0) if name in _TEXTS else "true"
        if name == "H":
            headers.append(value)
        given[name] = value
    if given.get("nocatchup") == "true" or given.get("jitter") == "true":
        raise FlagsError("-nocatchup and -jitter need the real fortio")
    if len(rest) != 1:
        raise FlagsError(f"expecting one URL, got {rest}")
    return _flags(rest[0], given, tuple(headers))


def _flags(url: str, given: dict[str, str], headers: tuple[str, ...]) -> Flags:
    if "://" not in url:
        url = f"http://{url}"
    if not url.startswith("http://"):
        raise FlagsError(f"{url.partition('://')[0]} needs the real fortio")
    base = Flags(url)
    try:
        percentiles = tuple(float(p) for p in given["p"].split(",")) if "p" in given else None
        return Flags(
            url,
            qps=float(given.get("qps", base.qps)),
            connections=int(given.get("c", base.connections)),
            seconds=duration(given["t"]) if "t" in given else base.seconds,
            uniform=given.get("uniform") == "true",
            percentiles=percentiles or base.percentiles,
            resolution=float(given.get("r", base.resolution)),
            json=given.get("json", ""),
            access_log=given.get("access-log-file", ""),
            labels=given.get("labels", ""),
            run=int(given.get("runid", 0)),
            timeout=duration(given["timeout"]) if "timeout" in given else base.timeout,
            payload=int(given.get("payload-size", 0)),
            headers=headers,
            log_errors=given.get("log-errors", "true") == "true",
            allow_initial_errors=given.get("allow-initial-errors") == "true",
        )
    except ValueError as error:
        raise FlagsError(f"invalid value: {error}") from error
