"""The HTTP API of Prometheus, as far as the stand-in goes."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runbook.rehearsal.monitoring.selectors import parse
from runbook.rehearsal.monitoring.storage import Storage

if TYPE_CHECKING:
    from runbook.rehearsal.monitoring.scraping import Pool

__all__ = ["Answer", "Answers"]

Query = Mapping[str, Sequence[str]]

_PLAIN = "the rehearsal's stand-in for Prometheus understands plain selectors only"
_NEVER = "0001-01-01T00:00:00Z"


class _RefusedError(Exception):
    """A request that is answered with an error.

    Args:
        status: HTTP status.
        kind: As ``errorType`` has it.
        text: What is said.
    """

    def __init__(self, status: int, kind: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.kind = kind


@dataclass(frozen=True)
class Answer:
    """An answer over HTTP.

    Args:
        status: HTTP status.
        body: Its body.
        media: Its Content-Type.
    """

    status: int
    body: bytes
    media: str = "text/plain; charset=utf-8"


class Answers:
    """Answers requests.

    Args:
        storage: The samples.
        pools: Gives the jobs.
        configuration: Gives the text of the configuration.
    """

    def __init__(
        self, storage: Storage, pools: Callable[[], list[Pool]], configuration: Callable[[], str]
    ) -> None:
        self._storage = storage
        self._pools = pools
        self._configuration = configuration
        self._paths: Mapping[str, Callable[[Query], Any]] = {
            "query": self._query,
            "series": self._series,
            "targets": self._targets,
            "status/buildinfo": self._build,
            "status/config": lambda _: {"yaml": self._configuration()},
        }

    def answer(self, path: str, query: Query) -> Answer:
        """Answer a request for a path."""
        if path in ("/-/healthy", "/-/ready"):
            word = path.rpartition("/")[2].capitalize()
            return Answer(200, f"Prometheus Server is {word}.\n".encode())
        if not path.startswith("/api/v1/"):
            return Answer(404, b"404 page not found\n")
        try:
            found = self._paths.get(path.removeprefix("/api/v1/"))
            if found is None:
                raise _RefusedError(422, "execution", f"{_PLAIN}, and not {path}")
            return _json(200, {"status": "success", "data": found(query)})
        except _RefusedError as error:
            said = {"status": "error", "errorType": error.kind, "error": str(error)}
            return _json(error.status, said)

    def _query(self, query: Query) -> Any:
        text = _one(query, "query")
        at = _moment(query)
        try:
            selector = parse(text)
        except ValueError as error:
            raise _RefusedError(422, "execution", f"{_PLAIN}: {text!r} ({error})") from None
        if selector.range:
            series = [
                {"metric": labels, "values": [[t, _number(v)] for t, v in samples]}
                for labels, samples in self._storage.range(selector, at)
            ]
            return {"resultType": "matrix", "result": series}
        vector = [
            {"metric": labels, "value": [at, _number(value)]}
            for labels, value in self._storage.instant(selector, at)
        ]
        return {"resultType": "vector", "result": vector}

    def _series(self, query: Query) -> Any:
        asked = query.get("match[]") or []
        if not asked:
            raise _RefusedError(400, "bad_data", "no match[] parameter provided")
        found: dict[str, Mapping[str, str]] = {}
        for text in asked:
            try:
                selector = parse(text)
            except ValueError as error:
                raise _RefusedError(422, "execution", f"{_PLAIN}: {text!r} ({error})") from None
            for labels in self._storage.labels(selector):
                found[json.dumps(labels)] = labels
        return list(found.values())

    def _targets(self, query: Query) -> Any:
        state = (query.get("state") or ["any"])[0]
        active, dropped = [], []
        for pool in self._pools():
            if state != "dropped":
                active += [_target(pool, number) for number in range(len(pool.targets))]
            if state != "active":
                dropped += [{"discoveredLabels": labels} for labels in pool.dropped]
        return {"activeTargets": active, "droppedTargets": dropped}

    def _build(self, _: Query) -> Any:
        names = ("revision", "branch", "buildUser", "buildDate", "goVersion")
        return {"version": "rehearsal", **dict.fromkeys(names, "")}


def _target(pool: Pool, number: int) -> Mapping[str, Any]:
    target = pool.targets[number]
    when = datetime.fromtimestamp(target.scraped, UTC).isoformat()
    return {
        "discoveredLabels": target.discovered,
        "labels": target.labels,
        "scrapePool": pool.job.name,
        "scrapeUrl": target.url,
        "globalUrl": target.url,
        "lastError": target.error,
        "lastScrape": when.replace("+00:00", "Z") if target.scraped else _NEVER,
        "lastScrapeDuration": target.duration,
        "health": target.health,
        "scrapeInterval": pool.job.interval,
        "scrapeTimeout": pool.job.timeout,
    }


def _json(status: int, body: Mapping[str, Any]) -> Answer:
    return Answer(status, json.dumps(body).encode(), "application/json")


def _one(query: Query, name: str) -> str:
    found = query.get(name) or [""]
    if not found[0].strip():
        text = f'invalid parameter "{name}": 1:1: parse error: no expression found in input'
        raise _RefusedError(400, "bad_data", text)
    return found[0]


def _moment(query: Query) -> float:
    text = (query.get("time") or [""])[0]
    if not text:
        return round(time.time(), 3)
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        said = f'invalid parameter "time": cannot parse "{text}" to a valid timestamp'
        raise _RefusedError(400, "bad_data", said) from None


def _number(value: float) -> str:
    """Write a number as Prometheus does: without an exponent.

    >>> _number(1.0), _number(1.5e-07), _number(float("inf"))
    ('1', '0.00000015', '+Inf')
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    if "e" in text:
        mantissa, _, exponent = text.partition("e")
        digits = len(mantissa.partition(".")[2]) - int(exponent)
        text = f"{value:.{max(digits, 0)}f}"
    return text.removesuffix(".0")
