"""Addresses of Prometheus: their parts, and which of them are Services of the cluster."""

from __future__ import annotations

import pytest

from runbook.errors import UsageError
from runbook.prometheus.address import Service, parse, service_of


def test_parts() -> None:
    found = parse("https://jane:s3%2Fcret@prom.example.org/a/b/")
    assert (found.scheme, found.host, found.port) == ("https", "prom.example.org", 443)
    assert (found.prefix, found.plain) == ("/a/b", "https://prom.example.org/a/b")
    assert (found.user, found.password) == ("jane", "s3/cret")
    assert found.hide("x s3/cret y s3%2Fcret") == "x *** y ***"
    assert "cret" not in repr(found)
    assert parse("http://h").hide("text") == "text"


def test_ipv6() -> None:
    found = parse("http://[::1]:9090")
    assert (found.host, found.port, found.plain) == ("::1", 9090, "http://[::1]:9090")
    assert service_of(found) is None


@pytest.mark.parametrize(
    "url", ["", "prometheus:9090", "ftp://x", "http://", "/metrics", "http://h:port", "http://[::1"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UsageError, match="the address of Prometheus is none"):
        parse(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://p.mon.svc:9090/prom", Service("p", "mon", 9090, False, True)),
        ("http://p.mon.svc.cluster.local:9090", Service("p", "mon", 9090, False, True)),
        ("https://p.mon.svc.pi.home", Service("p", "mon", 443, True, True)),
        ("http://p.mon:9090", Service("p", "mon", 9090, False, False)),
    ],
)
def test_services(url: str, expected: Service) -> None:
    assert service_of(parse(url)) == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:9090",
        "http://127.0.0.1:9090",
        "http://10.1:9090",
        "http://prom.example.org",
        "http://pod-0.p.mon.svc:9090",
        "http://p_q.mon.svc",
    ],
)
def test_what_is_no_service(url: str) -> None:
    assert service_of(parse(url)) is None
