"""An existing Prometheus, asked with a time limit: values at a moment, and raw samples.

A thin layer over ``prometheus-api-client``. Rates that Prometheus works out are extrapolated to
the edges of their window, by up to one scrape interval at each (prometheus#3746); what shall be a
figure is therefore made of raw samples and their own times, see :meth:`Series.growth`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from runbook.errors import StepError, UnreachableError, UsageError

__all__ = ["Growth", "Prometheus", "Series"]

_TIMEOUT = 20  # seconds for one answer, on a Pi with a month of data
_CHUNK = 3600  # seconds of raw samples in one answer
_POINTS = 10_000  # of a series in one answer; the server allows 11 000


@dataclass(frozen=True)
class Growth:
    """How much a counter grew between its first and its last sample.

    Attributes:
        value: In the counter's unit.
        seconds: Between the two samples.
    """

    value: float
    seconds: float


@dataclass(frozen=True)
class Series:
    """One series.

    Attributes:
        labels: Without the name of the metric where a query has taken it away.
        points: Time (seconds since 1970) and value of each sample, oldest first.
    """

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def last(self) -> float:
        """The newest value."""
        return self.points[-1][1]

    @property
    def mean(self) -> float:
        """The mean over samples."""
        return sum(value for _, value in self.points) / len(self.points)

    @property
    def highest(self) -> float:
        """The highest value."""
        return max(value for _, value in self.points)

    def growth(self) -> Growth | None:
        """Give how much a counter grew; ``None`` if it was reset, or sampled only once."""
        values = [value for _, value in self.points]
        fell = any(later < earlier for earlier, later in pairwise(values))
        if len(values) < 2 or fell:
            return None
        return Growth(values[-1] - values[0], self.points[-1][0] - self.points[0][0])


class Prometheus:
    """One Prometheus server.

    Args:
        url: Its address, such as ``http://prometheus.monitoring:9090``; may hold a user and a
            password, which no message repeats.
        timeout: Seconds for each answer.

    Raises:
        UsageError: The address is none.
    """

    def __init__(self, url: str, timeout: int = _TIMEOUT) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("the address of Prometheus is none", fix="give it as http://host:9090")
        # Imported late: few notebooks need it, and it brings its own HTTP library.
        from prometheus_api_client import PrometheusConnect  # noqa: PLC0415
        from urllib3.util.retry import Retry  # noqa: PLC0415

        self.address = urlunsplit((parts.scheme, _host(parts.netloc), parts.path, "", ""))
        patient = Retry(total=2, backoff_factor=0.2, status_forcelist=[502, 503, 504], read=False)
        self._client = PrometheusConnect(url.rstrip("/"), timeout=timeout, retry=patient)
        self._timeout = timeout

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def at(self, query: str, moment: float) -> list[Series]:
        """Evaluate a query at one moment.

        Args:
            query: PromQL that gives a vector.
            moment: Seconds since 1970.

        Raises:
            UnreachableError: It does not answer, or what answers is no Prometheus.
            StepError: It refuses the query.
        """
        found = self._ask(lambda: self._client.custom_query(query, {"time": f"{moment:.3f}"}))
        return [_series(entry["metric"], [entry["value"]]) for entry in found]

    def samples(self, selector: str, start: float, end: float) -> list[Series]:
        """Read the samples of series as they were scraped.

        Args:
            selector: Such as ``up{job="node"}``.
            start: First moment, in seconds since 1970.
            end: Last moment.

        Raises:
            UnreachableError: It does not answer, or what answers is no Prometheus.
            StepError: It refuses the query.
        """
        gathered: dict[tuple[tuple[str, str], ...], dict[float, float]] = {}
        for first, last in _chunks(start, end, _CHUNK):
            query = f"{selector}[{math.ceil((last - first) * 1000)}ms]"
            found = self._ask(lambda q=query, t=last: self._raw(q, t))  # type: ignore[misc]
            _gather(gathered, found)
        return _sorted(gathered)

    def evaluated(self, query: str, start: float, end: float, step: int) -> list[Series]:
        """Evaluate a query again and again, for a line over time.

        Args:
            query: PromQL that gives a vector.
            start: First moment, in seconds since 1970.
            end: Last moment.
            step: Whole seconds between two values.

        Raises:
            UnreachableError: It does not answer, or what answers is no Prometheus.
            StepError: It refuses the query.
        """
        gathered: dict[tuple[tuple[str, str], ...], dict[float, float]] = {}
        for first, last in _chunks(start, end, step * _POINTS):
            found = self._ask(lambda a=first, b=last: self._range(query, a, b, step))  # type: ignore[misc]
            _gather(gathered, found)
        return _sorted(gathered)

    def _raw(self, query: str, moment: float) -> Any:
        return self._client.custom_query(query, {"time": f"{moment:.3f}"})

    def _range(self, query: str, start: float, end: float, step: int) -> Any:
        first, last = (datetime.fromtimestamp(moment, UTC) for moment in (start, end))
        return self._client.custom_query_range(query, first, last, str(step))

    def _ask(self, question: Callable[[], Any]) -> list[dict[str, Any]]:
        from prometheus_api_client.exceptions import (  # noqa: PLC0415
            PrometheusApiClientException,
        )
        from requests.exceptions import JSONDecodeError, RequestException, Timeout  # noqa: PLC0415

        what = f"cannot read from Prometheus at {self.address}"
        try:
            found = question()
        except PrometheusApiClientException as error:
            raise StepError(what, why=_refusal(str(error)), fix="check prometheus_url") from None
        except Timeout:
            raise UnreachableError(
                what,
                why=f"no answer within {self._timeout} s",
                fix="it may be busy or short of memory: try again",
            ) from None
        except (JSONDecodeError, KeyError, TypeError, ValueError):
            raise UnreachableError(
                what, why="what answers is no Prometheus", fix="check prometheus_url"
            ) from None
        except RequestException as error:
            raise UnreachableError(
                what,
                why=f"it cannot be reached ({type(error).__name__})",
                fix="check prometheus_url; from outside the cluster a port-forward is needed",
            ) from None
        if not isinstance(found, list):
            raise StepError(what, why="the query gives a single number, not series")
        return found


def _chunks(start: float, end: float, length: float) -> Iterator[tuple[float, float]]:
    """Cut a time into pieces that touch; samples on a joint may come twice."""
    while start < end:
        yield start, min(start + length, end)
        start += length


def _gather(
    gathered: dict[tuple[tuple[str, str], ...], dict[float, float]], found: list[dict[str, Any]]
) -> None:
    for entry in found:
        key = tuple(sorted(entry["metric"].items()))
        points = gathered.setdefault(key, {})
        points.update((float(moment), float(value)) for moment, value in entry["values"])


def _sorted(gathered: Mapping[tuple[tuple[str, str], ...], Mapping[float, float]]) -> list[Series]:
    return [
        Series(dict(labels), tuple(sorted(points.items())))
        for labels, points in sorted(gathered.items())
    ]


def _series(labels: Mapping[str, str], points: list[Any]) -> Series:
    return Series(dict(labels), tuple((float(moment), float(value)) for moment, value in points))


def _refusal(text: str) -> str:
    """Give what the server said without the client library's frame around it."""
    start, end = text.find('"error":"'), text.rfind('"')
    told = text[start + len('"error":"') : end] if 0 <= start < end else text[:300]
    return told.replace("\\", "")  # quotes are escaped in JSON, and once more by the library


def _host(netloc: str) -> str:
    return netloc.rpartition("@")[2]
