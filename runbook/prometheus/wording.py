"""What went wrong between us and Prometheus, in words."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from http.client import IncompleteRead
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

from requests import Response
from requests.exceptions import (
    ConnectTimeout,
    ContentDecodingError,
    JSONDecodeError,
    ProxyError,
    RequestException,
    Timeout,
    TooManyRedirects,
)
from urllib3.exceptions import (
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
)

from runbook.errors import ApiError, NotFoundError, RunbookError, StepError, UnreachableError
from runbook.prometheus.address import Address, Service

__all__ = ["Wording", "reading"]

T = TypeVar("T")

_SHOWN = 200  # characters of a query or of a foreign answer in a message
_EXPIRED, _OTHER_NAMES = 10, (62, 64)  # X509_V_ERR_* of OpenSSL
_PLAIN = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE")
_TLS_WANTED = "HTTP request to an HTTPS server"  # Go's server, in a 400
_MALFORMED = (JSONDecodeError, KeyError, TypeError, ValueError, AttributeError, IndexError)


@dataclass(frozen=True)
class Wording:
    """Makes errors about one Prometheus.

    Attributes:
        address: Its address.
        timeout: Seconds it had for an answer.
        service: Whom the API server was asked for; ``None`` when it was asked directly.
    """

    address: Address
    timeout: float
    service: Service | None = None

    @property
    def where(self) -> str:
        """The address, and that it was not asked directly."""
        return self.address.plain + (" through the API server" if self.service else "")

    def failure(self, error: Exception) -> RunbookError:
        """Say what a failed request, or an answer that cannot be read, means."""
        if isinstance(error, Timeout) and not isinstance(error, ConnectTimeout):
            return self._slow()
        if isinstance(error, ConnectTimeout):
            return self._away(
                "no connection in time",
                "check the host, and that no firewall is in between",
            )
        if isinstance(error, ProxyError):
            return self._away(
                "the HTTP proxy of the environment fails", "add its host to the variable NO_PROXY"
            )
        if isinstance(error, TooManyRedirects):
            return self._foreign("it redirects again and again")
        if isinstance(error, RequestException) and not isinstance(error, JSONDecodeError):
            return self._broken(error)
        return self._unreadable(error)

    def refusal(self, response: Response) -> RunbookError | None:
        """Say what an answer other than a success means; ``None`` for a success."""
        status = response.status_code
        if status < 400:
            return None
        text = response.content.decode("utf-8", errors="replace")
        told = _told(text)
        if status == 400 and _TLS_WANTED in text:
            return self._away("it speaks HTTPS", "write https:// in prometheus_url")
        if status in (400, 422) and told:
            query = _short(self.address.hide(_query(response)))
            what = f"Prometheus at {self.where} refuses" + (f" the query {query}" if query else "")
            return StepError(what, why=self.address.hide(told), fix="correct the query")
        if status in (413, 414, 431):
            return self.too_long(len(response.request.url or ""))
        return self._status(status, told or text)

    def too_long(self, length: int) -> StepError:
        """Say that an address is too long; a POST would not be, but takes another permission."""
        return StepError(
            self._what,
            why=f"the query makes an address of {length} characters, too long for HTTP",
            fix="ask for fewer label values at a time",
        )

    def through(self, error: RunbookError) -> RunbookError:
        """Say what the API server's own refusal means; others stay as they are."""
        service = self.service
        if service is None:
            return error
        if isinstance(error, UnreachableError):
            return self._away(error.brief, error.fix)
        if isinstance(error, NotFoundError):
            path = f"{service.namespace}/{service.name}"
            return self._away(f"there is no Service {path}", "check prometheus_url")
        if isinstance(error, ApiError) and error.code in (500, 502, 503, 504):
            return self._behind(service, error.why)
        return error

    def _behind(self, service: Service, told: str) -> UnreachableError:
        """Say what the API server found behind a Service, by its words."""
        path = f"{service.namespace}/{service.name}"
        if "no endpoints" in told:
            return self._away(
                f"Service {path} has no pod that is ready",
                f"kubectl -n {service.namespace} get pods, and endpoints {service.name}",
            )
        if "no service port" in told:
            return self._away(f"Service {path} has no port {service.port}", "check prometheus_url")
        if "HTTP response to HTTPS client" in told:
            return self._away("it speaks plain HTTP", "write http:// in prometheus_url")
        return self._away(
            f"the API server cannot reach it: {_short(told)}",
            f"check the port, the pods behind Service {path}, and NetworkPolicies",
        )

    @property
    def _what(self) -> str:
        return f"cannot read from Prometheus at {self.where}"

    def _away(self, why: str, fix: str) -> UnreachableError:
        return UnreachableError(self._what, why=self.address.hide(why), fix=fix)

    def _slow(self) -> UnreachableError:
        return self._away(
            f"no answer within {self.timeout:g} s",
            "it may be busy or short of memory: try again, or ask for less",
        )

    def _foreign(self, seen: str) -> UnreachableError:
        return self._away(f"what answers is no Prometheus: {seen}", "check prometheus_url")

    def _status(self, status: int, text: str) -> RunbookError:
        if status == 401:
            fix = (
                "a password cannot pass the API server: ask it directly, such as by its ingress"
                if self.service
                else "write them in prometheus_url: https://USER:PASSWORD@host"
            )
            return StepError(self._what, why="it wants another user and password (401)", fix=fix)
        if status == 403:
            return StepError(
                self._what,
                why=f"it forbids this (403): {_short(text)}",
                fix="have what stands in front of it allow this user to read",
            )
        if status == 404:
            prefix = self.address.prefix or "/"
            return StepError(
                self._what,
                why=f"it has no such path (404) below the prefix {prefix}",
                fix="the prefix is that of --web.route-prefix or --web.external-url, in the "
                "operator's objects routePrefix; is there a Prometheus at this port?",
            )
        if status == 503:
            return self._away(
                f"it is not ready (503): {_short(text)}", "it may be starting: try again"
            )
        return self._away(f"it answers with {status}: {_short(text)}", "look at its log")

    def _broken(self, error: RequestException) -> UnreachableError:
        cause = _cause(error)
        if isinstance(cause, ReadTimeoutError):
            return self._slow()
        if isinstance(cause, NameResolutionError):
            return self._away(
                f"the name {self.address.host} does not resolve",
                "check prometheus_url; write a Service of the cluster as NAME.NAMESPACE.svc",
            )
        if isinstance(cause, ssl.SSLError):
            return self._tls(cause)
        if isinstance(cause, NewConnectionError):
            return self._away(
                _reason(cause),
                "check prometheus_url; from outside the cluster, name its Service",
            )
        if isinstance(error, ContentDecodingError) or isinstance(cause, IncompleteRead):
            return self._away("its answer is cut short", "try again; look at its log")
        return self._away(f"the connection broke ({type(cause).__name__})", "try again")

    def _tls(self, error: ssl.SSLError) -> UnreachableError:
        if isinstance(error, ssl.SSLCertVerificationError):
            code, message = error.verify_code, error.verify_message
            if code in _OTHER_NAMES:
                return self._away(
                    f"its certificate is for other names: {message}",
                    "write the name of the certificate in prometheus_url",
                )
            if code == _EXPIRED:
                return self._away("its certificate has expired", "renew it")
            return self._away(
                f"its certificate is not trusted: {message}",
                "set REQUESTS_CA_BUNDLE to the file of its CA",
            )
        if error.reason in _PLAIN:
            return self._away("it speaks plain HTTP", "write http:// in prometheus_url")
        return self._away(f"TLS failed: {error.reason or error}", "look at its log")

    def _unreadable(self, error: Exception) -> UnreachableError:
        text = error.doc.lstrip() if isinstance(error, JSONDecodeError) else ""
        if text.startswith("<"):
            return self._foreign("a web page, as of a login in front of it")
        if text.startswith('{"status"'):
            return self._away("its answer is cut short", "try again; look at its log")
        return self._foreign("the answer has another form")


def reading(wording: Wording, question: Callable[[], T]) -> T:
    """Ask a question, and give every failure as an error in words.

    Raises:
        UnreachableError: It does not answer, or what answers is no Prometheus.
        StepError: It refuses.
    """
    try:
        return question()
    except (RequestException, *_MALFORMED) as error:
        raise wording.failure(error) from None


def _told(text: str) -> str:
    """Give Prometheus' own words of a refusal; empty when they are somebody else's."""
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return ""


def _query(response: Response) -> str:
    asked = parse_qs(urlsplit(response.request.url or "").query)
    return next(iter(asked.get("query") or asked.get("match[]") or ()), "")


def _short(text: str) -> str:
    flat = re.sub(r"\s+", " ", text).strip()
    return flat if len(flat) <= _SHOWN else f"{flat[:_SHOWN]}..."


def _reason(error: BaseException) -> str:
    if isinstance(error.__cause__, ConnectionRefusedError):
        return "the connection was refused"
    strerror = getattr(error.__cause__, "strerror", "")
    return f"no connection: {strerror or type(error).__name__}"


def _cause(error: BaseException) -> BaseException:
    """Unwrap what requests and urllib3 pack."""
    packed = [error.reason if isinstance(error, MaxRetryError) else None, *error.args]
    inner = next((part for part in packed if isinstance(part, BaseException)), None)
    return error if inner is None else _cause(inner)
