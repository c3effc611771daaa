"""An existing Prometheus, asked with a time limit: values at a moment, raw samples, targets.

A thin layer over ``prometheus-api-client``. A Service of the cluster is asked through the API
server, see :func:`connect_prometheus`; every request is a GET, so that ``get`` on
``services/proxy`` is all it takes. Rates that Prometheus works out are extrapolated to
the edges of their window, by up to one scrape interval at each (prometheus#3746); what shall be a
figure is therefore made of raw samples and their own times, see :meth:`Series.growth`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from runbook.errors import ForbiddenError, StepError, UsageError
from runbook.kubeconfig import IN_CLUSTER
from runbook.prometheus.address import Service, parse, service_of
from runbook.prometheus.answers import (
    Series,
    Targets,
    joined,
    moment,
    series,
    targets,
)
from runbook.prometheus.empty import explain

if TYPE_CHECKING:
    from runbook.cluster import Cluster
    from runbook.prometheus.access import Client

__all__ = ["Prometheus", "connect_prometheus"]

T = TypeVar("T")
U = TypeVar("U")

_TIMEOUT = 20  # seconds for one answer, on a Pi with a month of data
_CHUNK = 3600  # seconds of raw samples in one answer
_WORKERS = 4  # questions at a time; the server itself answers 20, and a Pi has four cores


def connect_prometheus(cluster: Cluster, url: str, timeout: float = _TIMEOUT) -> Prometheus:
    """Reach Prometheus in the way its address asks for.

    ``NAME.NAMESPACE.svc``, with or without the cluster's domain, goes through the API server;
    ``NAME.NAMESPACE`` as well if the cluster has such a Service. Everything else is asked directly,
    and so is everything from a pod of the cluster itself.

    Args:
        cluster: The cluster under the runbook.
        url: Address of Prometheus.
        timeout: Seconds for each answer.

    Raises:
        UsageError: The address is none.
    """
    service = service_of(parse(url))
    inside = cluster.name != IN_CLUSTER and service is not None and _is_there(cluster, service)
    return Prometheus(url, timeout, cluster=cluster if inside else None)


class Prometheus:
    """One Prometheus server.

    Args:
        url: Its address, such as ``http://prometheus.monitoring:9090``; may hold a user and a
            password, which no message repeats.
        timeout: Seconds for each answer.
        cluster: Through whose API server it is asked, with its credentials; ``None`` asks directly.
        workers: How many questions are asked at a time.

    Raises:
        UsageError: The address is none, or cannot be asked through the API server.
    """

    def __init__(
        self,
        url: str,
        timeout: float = _TIMEOUT,
        *,
        cluster: Cluster | None = None,
        workers: int = _WORKERS,
    ) -> None:
        address = parse(url)
        through = cluster is not None
        service = service_of(address) if through else None
        if through and service is None:
            raise UsageError(
                f"{address.plain} is no Service", fix="write it as http://NAME.NAMESPACE.svc:PORT"
            )
        if through and address.user:
            raise UsageError(
                f"Prometheus at {address.plain} cannot be given a password",
                why="the API server does not pass it on",
                fix="leave it out, or name an address outside the cluster, such as its ingress",
            )
        # Imported late: few notebooks need it, and it brings its own HTTP library.
        from runbook.prometheus.access import Client  # noqa: PLC0415
        from runbook.prometheus.wording import Wording  # noqa: PLC0415

        wording = Wording(address, timeout, service)
        self.address = address.plain
        self._connect: Callable[[], Client] = partial(Client, wording, cluster)
        self._workers = workers
        self._idle: list[Client] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def version(self) -> str:
        """Give its version, such as ``2.53.1``.

        Raises:
            UnreachableError: It does not answer, or what answers is no Prometheus.
            StepError: It refuses.
        """
        return self._read(lambda client: str(client.get("status/buildinfo")["version"]))

    def ready(self) -> bool:
        """Tell whether it serves queries; it does not while it starts or shuts down.

        Raises:
            UnreachableError: Nobody answers.
        """
        return self._read(lambda client: client.status("-/ready") == 200)

    def started(self) -> float | None:
        """Give when it started, in seconds since 1970; ``None`` if it has no such answer.

        Raises:
            UnreachableError: It does not answer, or what answers is no Prometheus.
        """
        try:
            return self._read(lambda c: moment(c.get("status/runtimeinfo")["startTime"]))
        except StepError:
            return None

    def at(self, query: str, moment: float | None = None) -> list[Series]:
        """Evaluate a query at one moment.

        Args:
            query: PromQL that gives a vector.
            moment: Seconds since 1970; ``None`` is now, by the server's own clock.

        Raises:
            UnreachableError: It does not answer, or what answers is no Prometheus.
            StepError: It refuses the query.
        """
        return self._read(lambda client: series(client.query(query, moment)))

    def samples(self, selector: str, start: float, end: float) -> list[Series]:
        """Read the samples of series as they were scraped.

        A long time is cut into pieces, which are asked for side by side.

        Args:
            selector: Such as ``up{job="node"}``.
            start: First moment, in seconds since 1970.
            end: Last moment.

        Raises:
            UnreachableError: It does not answer, or what answers is no Prometheus.
            StepError: It refuses the query.
        """

        def piece(bounds: tuple[float, float]) -> list[Series]:
            first, last = bounds
            return self.at(f"{selector}[{math.ceil((last - first) * 1000)}ms]", last)

        return joined(_side_by_side(piece, [*_chunks(start, end, _CHUNK)], self._workers))

    def series(self, selector: str) -> list[Mapping[str, str]]:
        """Give the labels of every series that is stored, those without new samples too.

        Args:
            selector: Such as ``up{job="node"}``.

        Raises:
            UnreachableError: It does not answer, or what answers is no Prometheus.
            StepError: It refuses the selector.
        """
        return self._read(lambda client: [dict(entry) for entry in client.series(selector)])

    def values(self, label: str, selector: str) -> list[str]:
        """Give the values of a label among the stored series that a selector selects.

        Args:
            label: Its name; ``__name__`` gives metrics.
            selector: Such as ``up{job="node"}``.

        Raises:
            UnreachableError: It does not answer, or what answers is no Prometheus.
            StepError: It refuses the selector.
        """
        return self._read(lambda client: sorted(map(str, client.values(label, selector))))

    def targets(self) -> Targets:
        """Give what is scraped.

        Raises:
            UnreachableError: It does not answer, or what answers is no Prometheus.
            StepError: It refuses.
        """
        return self._read(lambda client: targets(client.targets()))

    def explain_empty(self, selector: str) -> str:
        """Say why a selector gives nothing now, in a sentence; see :mod:`runbook.prometheus.empty`.

        Args:
            selector: Such as ``up{job="node"}``.

        Raises:
            UnreachableError: It does not answer, or what answers is no Prometheus.
            StepError: It refuses the selector.
        """
        return explain(self, selector)

    def _read(self, question: Callable[[Client], T]) -> T:
        with self._lock:
            client = self._idle.pop() if self._idle else self._connect()
        try:
            return client.read(question)
        finally:
            with self._lock:
                self._idle.append(client)


def _is_there(cluster: Cluster, service: Service) -> bool:
    if service.certain:
        return True
    try:
        return cluster.find("v1", "Service", service.name, service.namespace) is not None
    except ForbiddenError:  # who may not look may still be allowed to ask it
        return True


def _chunks(start: float, end: float, length: float) -> Iterator[tuple[float, float]]:
    """Cut a time into pieces that touch; samples on a joint may come twice."""
    while start < end:
        yield start, min(start + length, end)
        start += length


def _side_by_side(ask: Callable[[T], U], items: Sequence[T], workers: int) -> list[U]:
    """Ask for several things at a time; gives the answers in the order of the questions.

    After an error or an interrupt nothing new is asked; what is under way ends within its timeout.
    """
    if len(items) < 2 or workers < 2:
        return [ask(item) for item in items]
    pool = ThreadPoolExecutor(min(workers, len(items)), "prometheus")
    try:
        return list(pool.map(ask, items))
    finally:
        pool.shutdown(cancel_futures=True)
