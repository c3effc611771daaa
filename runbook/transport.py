"""HTTP to the API server: timeouts, bounded retries, and errors in words.

Uses the connection pool, TLS settings and credentials of ``kubernetes.client.ApiClient``. What is
safe to repeat (reads, and server-side apply, which is idempotent) is repeated a few times on
resets and on 429, 500, 503 and 504; nothing else ever is.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from runbook.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnreachableError,
)

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

__all__ = ["APPLY_PATCH", "JSON_PATCH", "Page", "Reply", "Transport", "Wanted"]

APPLY_PATCH = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"

_CONNECT = 10.0  # seconds until a connection must stand
_READ = 60.0  # seconds between two bytes of an answer
_ATTEMPTS = 5
_FIRST_PAUSE = 0.2  # seconds before the first repetition, doubled each time
_LONGEST_PAUSE = 10.0  # seconds, also the most a Retry-After is obeyed
_TRANSIENT = {429, 500, 503, 504}


@dataclass(frozen=True)
class Wanted:
    """What a request was for, in kubectl's words, for messages.

    Attributes:
        verb: ``get``, ``list``, ``watch``, ``create``, ``apply``, ``delete``.
        resource: ``certificates.cert-manager.io``, or ``pods`` of the core group.
        kind: ``Certificate``.
        name: Name of the object, if it is about one.
        namespace: Namespace, empty at the cluster scope.
    """

    verb: str
    resource: str
    kind: str = ""
    name: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        """Give it as in "cannot create certificates.cert-manager.io in namespace linkerd"."""
        scope = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{scope}"

    @property
    def object(self) -> str:
        """The object as a person names it: ``Certificate linkerd/linkerd-identity-issuer``."""
        path = "/".join(part for part in (self.namespace, self.name) if part)
        return f"{self.kind or self.resource} {path}".strip()


@dataclass(frozen=True)
class Page:
    """What a server in the cluster answered, through a proxy of the API server.

    Attributes:
        status: HTTP status, of whichever of the two answered.
        text: The body.
        headers: Of the answer.
    """

    status: int
    text: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Reply:
    """An answer: body decoded if it was JSON, else text."""

    body: Any
    headers: Mapping[str, str]


class Transport:
    """Requests to one API server.

    Args:
        client: Holds host, TLS settings and credentials.
        headers: Sent with every request, such as impersonation.
        pause: Waits between attempts; replaced in tests.
    """

    def __init__(
        self,
        client: ApiClient,
        headers: Mapping[str, str] | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._pool: urllib3.PoolManager = client.rest_client.pool_manager
        self._headers = dict(headers or {})
        self._pause = pause
        self.server = str(client.configuration.host)

    def close(self) -> None:
        """Close every connection."""
        self._pool.clear()

    def request(
        self,
        method: str,
        path: str,
        wanted: Wanted,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        text: bool = False,
    ) -> Reply:
        """Send a request and give the answer.

        Raises:
            ApiError: The API server refused; subclasses by reason.
            UnreachableError: It did not answer.
        """
        repeatable = method == "GET" or content_type == APPLY_PATCH
        url = self._url(path, query)
        for attempt in range(_ATTEMPTS):
            last = attempt == _ATTEMPTS - 1
            try:
                answer = self._send(method, url, body, content_type, text=text)
            except HTTPError as error:
                if not repeatable or last or not _was_cut(error):
                    raise unreachable(self.server, error) from None
                self._pause(_FIRST_PAUSE * 2**attempt)
                continue
            if answer.status < 400:
                return Reply(_decode(answer, text=text), answer.headers)
            error_body = _status(answer)
            # 429 is refused before anything is done, so any request may be repeated.
            again = repeatable and answer.status in _TRANSIENT and not _is_final(error_body)
            if last or not (again or answer.status == 429):
                raise api_error(answer.status, error_body, wanted)
            self._pause(_retry_after(answer, _FIRST_PAUSE * 2**attempt))
        raise AssertionError("unreachable")  # the last attempt returns or raises

    def page(self, path: str, wanted: Wanted, *, host: str = "", timeout: float = _READ) -> Page:
        """Read a path that the API server passes on, whatever its status is.

        The API server's own refusals (it has no such Service, nobody may do this) are errors; they
        are told from the answers of whoever is behind it by being ``Status`` objects.

        Args:
            path: Below ``.../proxy/``, with its query.
            wanted: For messages.
            host: Host header to send; empty for the API server's own.
            timeout: Seconds between two bytes of the answer.

        Raises:
            ApiError: The API server refused; subclasses by reason.
            UnreachableError: It did not answer.
        """
        headers = {"Host": host} if host else {}
        try:
            answer = self._send(
                "GET", self._url(path, None), None, "", text=True, more=headers, read=timeout
            )
        except HTTPError as error:
            raise unreachable(self.server, error) from None
        if answer.status >= 400:
            status = _status(answer)
            if status.get("kind") == "Status" and status.get("apiVersion") == "v1":
                raise api_error(answer.status, status, wanted)
        text = answer.data.decode("utf-8", errors="replace")
        return Page(answer.status, text, answer.headers)

    @contextmanager
    def watch(
        self, path: str, wanted: Wanted, query: Mapping[str, Any], seconds: float
    ) -> Iterator[Iterator[dict[str, Any]]]:
        """Open a watch and give its events until the server ends it.

        Args:
            path: Path of the collection.
            wanted: For messages.
            query: ``resourceVersion`` and selectors.
            seconds: When the server shall end it; at least one.

        Raises:
            ApiError: The API server refused.
            UnreachableError: It did not answer, or the stream was cut.
        """
        limit = max(1, round(seconds))
        url = self._url(
            path, {**query, "watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": limit}
        )
        try:
            answer = self._send("GET", url, None, "", stream=True, read=limit + 10.0)
        except HTTPError as error:
            raise unreachable(self.server, error) from None
        try:
            if answer.status >= 400:
                answer.read(decode_content=True, cache_content=True)
                raise api_error(answer.status, _status(answer), wanted)
            yield self._events(answer, wanted)
        finally:
            answer.close()  # a half-read stream cannot be used again

    def _events(self, answer: urllib3.BaseHTTPResponse, wanted: Wanted) -> Iterator[dict[str, Any]]:
        pending = b""
        try:
            for chunk in answer.stream(amt=None):
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    if not line.strip():
                        continue
                    event = json.loads(line)
                    if event.get("type") == "ERROR":
                        status = event.get("object", {})
                        raise api_error(int(status.get("code", 500)), status, wanted)
                    yield event
        except HTTPError as error:
            raise unreachable(self.server, error) from None

    def _send(
        self,
        method: str,
        url: str,
        body: Any,
        content_type: str,
        *,
        text: bool = False,
        stream: bool = False,
        read: float = _READ,
        more: Mapping[str, str] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": "*/*" if text else "application/json", **self._headers, **(more or {})}
        for setting in self._client.configuration.auth_settings().values():
            headers[setting["key"]] = setting["value"]
        if body is not None:
            headers["Content-Type"] = content_type
        return self._pool.request(
            method,
            url,
            body=None if body is None else json.dumps(body),
            headers=headers,
            timeout=urllib3.Timeout(connect=_CONNECT, read=read),
            retries=False,
            redirect=False,
            preload_content=not stream,
        )

    def _url(self, path: str, query: Mapping[str, Any] | None) -> str:
        text = urlencode({key: value for key, value in (query or {}).items() if value != ""})
        joint = "&" if "?" in path else "?"
        return f"{self.server.rstrip('/')}{path}" + (f"{joint}{text}" if text else "")


def api_error(code: int, status: Mapping[str, Any], wanted: Wanted) -> ApiError:
    """Turn a ``Status`` object into an error that names what was wanted.

    The reasons are those of ``k8s.io/apimachinery/pkg/apis/meta/v1`` (``StatusReason*``).
    """
    message = str(status.get("message") or f"HTTP {code}")
    reason = str(status.get("reason", ""))
    kind: type[ApiError] = ApiError
    what, why, fix = f"cannot {wanted}", message, ""
    if code == 401:
        what = "the API server does not accept these credentials"
        fix = "renew the user's entry of this context in the kubeconfig"
    elif code == 403:
        kind = ForbiddenError
        fix = f"have the permission granted; `{_can_i(wanted)}` shows it"
    elif code == 404:
        kind = NotFoundError
        what = f"{wanted.object} not found" if wanted.name else f"cannot {wanted}"
    elif code == 409:
        kind = ConflictError
        what = f"cannot {wanted.verb} {wanted.object}"
    elif code == 422 or (code in (400, 500) and "field not declared in schema" in message):
        kind = InvalidError
        what = f"the API server finds {wanted.object} invalid"
    elif code in _TRANSIENT:
        fix = "the API server is busy or restarting: try again"
    return kind(what, code=code, reason=reason, body=dict(status), why=why, fix=fix)


def unreachable(server: str, error: HTTPError) -> UnreachableError:
    """Turn a failed connection into an error that says how it failed."""
    cause = _cause(error)
    where = server.removeprefix("https://").removeprefix("http://")
    what = f"cannot reach the API server at {where}"
    if isinstance(cause, NameResolutionError | socket.gaierror):
        why, fix = (
            "its name does not resolve",
            "check the server address in the kubeconfig, and DNS",
        )
    elif isinstance(cause, ReadTimeoutError | TimeoutError):
        why, fix = "it took the request but did not answer in time", "try again"
    elif isinstance(cause, SSLError | ssl.SSLError):
        why = f"TLS failed: {_plain(cause)}"
        fix = "check certificate-authority-data and the server name in the kubeconfig"
    elif isinstance(cause, NewConnectionError | ConnectionRefusedError):
        refused = "refused" in str(cause).lower()
        why = "the connection was refused" if refused else _plain(cause)
        fix = "check that the cluster is up and that the kubeconfig names the right port"
    elif isinstance(cause, ConnectTimeoutError):
        why = f"no connection within {_CONNECT:.0f} s"
        fix = "check that the machine is up and that no firewall is in between"
    else:
        why, fix = f"the connection broke: {_plain(cause)}", "try again"
    return UnreachableError(what, why=why, fix=fix)


def _cause(error: BaseException) -> BaseException:
    """Unwrap what urllib3 packs: the reason of a failed request."""
    while isinstance(error, MaxRetryError) and error.reason is not None:
        error = error.reason
    return error


def _plain(error: BaseException) -> str:
    """Give an error's text without the representations of objects in front of it."""
    text = str(error.args[-1]) if error.args else str(error)
    return text.split(">: ")[-1].strip("()'\" ") or type(error).__name__


def _was_cut(error: HTTPError) -> bool:
    """Tell a connection that broke from one that never stood: only the first is transient."""
    never = (NameResolutionError, NewConnectionError, ConnectTimeoutError, SSLError)
    return not isinstance(_cause(error), (*never, ReadTimeoutError))


def _is_final(status: Mapping[str, Any]) -> bool:
    """Tell a 500 that repeating cannot help: apply answers so to a field that does not exist."""
    return "field not declared in schema" in str(status.get("message", ""))


def _decode(answer: urllib3.BaseHTTPResponse, *, text: bool) -> Any:
    if text or answer.headers.get("Content-Type", "").startswith("text/plain"):
        return answer.data.decode("utf-8", errors="replace")
    return json.loads(answer.data) if answer.data else {}


def _status(answer: urllib3.BaseHTTPResponse) -> dict[str, Any]:
    """Give the ``Status`` object of a refusal; proxies in between answer with plain text."""
    try:
        body = json.loads(answer.data)
    except ValueError:
        body = {"message": answer.data.decode("utf-8", errors="replace").strip()[:500]}
    return body if isinstance(body, dict) else {"message": str(body)[:500]}


def _retry_after(answer: urllib3.BaseHTTPResponse, fallback: float) -> float:
    asked = answer.headers.get("Retry-After", "")
    return min(float(asked) if asked.isdigit() else fallback, _LONGEST_PAUSE)


def _can_i(wanted: Wanted) -> str:
    verb = {"apply": "patch"}.get(wanted.verb, wanted.verb)
    scope = f" -n {wanted.namespace}" if wanted.namespace else ""
    return f"kubectl auth can-i {verb} {wanted.resource}{scope}"
