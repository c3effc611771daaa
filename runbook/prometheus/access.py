"""Connections to Prometheus: its client library, directly or by way of the API server.

Kept apart because few notebooks need it and it brings HTTP libraries of its own.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import urllib3
from prometheus_api_client import PrometheusConnect
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from runbook.errors import RunbookError, StepError
from runbook.prometheus.address import Service
from runbook.prometheus.wording import Wording, reading
from runbook.transport import Page

if TYPE_CHECKING:
    from runbook.cluster import Cluster

__all__ = ["Client"]

T = TypeVar("T")

_CONNECT = 5.0  # seconds until a connection must stand
_LONGEST = 1_000_000  # characters of an address: Go's servers take 1 MiB, and cut longer ones off
_TRANSIENT = (502, 503, 504)
_PAUSES = (0.2, 0.4)  # seconds before a read is repeated


class Client:
    """One session; for one thread at a time, as a session of requests is not made for more.

    Args:
        wording: Whom to ask, and how to speak of what goes wrong.
        cluster: Through whose API server; ``None`` asks directly.
    """

    def __init__(self, wording: Wording, cluster: Cluster | None = None) -> None:
        address = wording.address
        self._wording = wording
        self._url = address.plain
        self._timeout = (min(_CONNECT, wording.timeout), wording.timeout)
        self._session = _Session(wording)
        if address.user:
            self._session.auth = (address.user, address.password)
        self._session.hooks["response"] = [self._refuse]
        self._library = PrometheusConnect(
            self._url, session=self._session, timeout=self._timeout, retry=_patience()
        )
        if cluster is not None and wording.service is not None:
            proxy = _ServiceProxy(cluster, wording.service, wording)
            self._session.mount(self._url, proxy)  # in the place of the library's own adapter

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def read(self, question: Callable[[Client], T]) -> T:
        """Ask a question by the methods below, and give every failure as an error in words.

        Raises:
            UnreachableError: It does not answer, or what answers is no Prometheus.
            StepError: It refuses.
        """
        return reading(self._wording, lambda: question(self))

    def query(self, query: str, moment: float | None) -> Any:
        """Evaluate a query; gives the result as it came."""
        when = {} if moment is None else {"time": f"{moment:.3f}"}
        return self._library.custom_query(query, when)

    def targets(self) -> Any:
        """Read what is scraped."""
        return self._library.get_targets()

    def values(self, label: str, selector: str) -> Iterable[Any]:
        """Read the values of a label; from the series if the server cannot tell them alone."""
        try:
            found: list[Any] = self._library.get_label_values(label, {"match[]": selector})
        except StepError:  # not every server that speaks this API has this path
            return {entry[label] for entry in self.series(selector) if label in entry}
        return found

    def series(self, selector: str) -> list[dict[str, str]]:
        """Read series of all the time there is; the library's own method wants a start."""
        found: list[dict[str, str]] = self.get("series", {"match[]": selector})
        return found

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Read what the library has no method for; gives the ``data`` of the answer."""
        url = f"{self._url}/api/v1/{path}"
        return self._session.get(url, params=query, timeout=self._timeout).json()["data"]

    def status(self, path: str) -> int:
        """Give the status of an answer, whatever it is."""
        # A hook of the request takes the place of the session's, which refuses.
        hooks = {"response": lambda response, **_: response}
        url = f"{self._url}/{path}"
        return self._session.get(url, timeout=self._timeout, hooks=hooks).status_code

    def _refuse(self, response: Response, **_: Any) -> Response:
        error = self._wording.refusal(response)
        if error is not None:
            raise error
        return response


class _Session(Session):
    """Refuses addresses that no server takes, before half of one is sent."""

    def __init__(self, wording: Wording) -> None:
        super().__init__()
        self._wording = wording

    def send(self, request: PreparedRequest, **given: Any) -> Response:
        """Send a request."""
        length = len(request.url or "")
        if length > _LONGEST:
            raise self._wording.too_long(length)
        return super().send(request, **given)


def _patience() -> Retry:
    """Repeat a read when a gateway says that it may help, never one that was slow."""
    return Retry(
        total=None,
        connect=0,
        read=False,
        other=0,
        status=len(_PAUSES),
        backoff_factor=_PAUSES[0],
        status_forcelist=_TRANSIENT,
        raise_on_status=False,
        respect_retry_after_header=False,  # which may ask for hours
    )


class _ServiceProxy(HTTPAdapter):
    """Sends the requests of a session to the proxy of a Service, with the cluster's credentials."""

    def __init__(self, cluster: Cluster, service: Service, wording: Wording) -> None:
        super().__init__()
        self._cluster, self._service, self._wording = cluster, service, wording

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:
        """Give the answer of the Service, asked again when it may be starting."""
        found = self._found(request.path_url)
        for pause in _PAUSES:
            status = found.status if isinstance(found, Page) else getattr(found, "code", 0)
            if status not in _TRANSIENT:
                break
            time.sleep(pause)
            found = self._found(request.path_url)
        if isinstance(found, RunbookError):
            raise self._wording.through(found)
        return self._response(request, found)

    def _found(self, path: str) -> Page | RunbookError:
        where, timeout = self._service, self._wording.timeout
        try:
            return self._cluster.page(
                where.namespace, where.name, where.port, path, tls=where.tls, timeout=timeout
            )
        except RunbookError as error:
            return error

    def _response(self, request: PreparedRequest, page: Page) -> Response:
        kept = {k: v for k, v in page.headers.items() if k.lower() in ("content-type", "date")}
        raw = urllib3.HTTPResponse(
            io.BytesIO(page.text.encode()), kept, page.status, preload_content=False
        )
        return self.build_response(request, raw)
