"""Where Prometheus is: its address, taken apart, and whether it is a Service of the cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from runbook.errors import UsageError

__all__ = ["Address", "Service", "parse", "service_of"]

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Address:
    """An address of Prometheus.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Name or IP address, IPv6 without brackets.
        port: Given, else that of the scheme.
        prefix: Path before ``/api/v1``, without a slash at its end.
        plain: The whole address as it may be shown: without user and password.
        user: Empty if there is none.
        password: Of the user.
    """

    scheme: str
    host: str
    port: int
    prefix: str
    plain: str
    user: str = ""
    password: str = field(default="", repr=False)

    def hide(self, text: str) -> str:
        """Take the password out of a text."""
        for form in {self.password, quote(self.password, safe="")} - {""}:
            text = text.replace(form, "***")
        return text


@dataclass(frozen=True)
class Service:
    """A Service of the cluster.

    Attributes:
        name: Of the Service.
        namespace: Of the Service.
        port: Number.
        tls: Whether it speaks HTTPS.
        certain: Whether the name can be nothing else; ``a.b`` may be a host elsewhere too.
    """

    name: str
    namespace: str
    port: int
    tls: bool
    certain: bool


def parse(url: str) -> Address:
    """Take an address apart.

    >>> parse("http://prometheus.monitoring:9090/prom/").prefix
    '/prom'

    Raises:
        UsageError: It is none.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in _PORTS:
        raise UsageError("the address of Prometheus is none", fix="give it as http://host:9090")
    prefix = parts.path.rstrip("/")
    return Address(
        scheme=parts.scheme,
        host=host,
        port=_PORTS[parts.scheme] if port is None else port,
        prefix=prefix,
        plain=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{prefix}",
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


def service_of(address: Address) -> Service | None:
    """Give the Service an address names: ``NAME.NAMESPACE[.svc[.DOMAIN]]``, else ``None``.

    >>> service_of(parse("http://prometheus.monitoring.svc:9090")).namespace
    'monitoring'
    >>> service_of(parse("http://192.168.1.7:9090"))
    """
    labels = address.host.split(".")
    certain = len(labels) > 2 and labels[2] == "svc"
    if not certain and len(labels) != 2:
        return None
    if not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        return None
    return Service(labels[0], labels[1], address.port, address.scheme == "https", certain)
