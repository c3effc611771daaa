"""What goes wrong with a Prometheus, in words: the real server, and servers that misbehave."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import prometheus_server
import pytest
from make_certs import NOW, Issued, issue
from requests.exceptions import ConnectTimeout

from runbook.errors import RunbookError, StepError, UnreachableError
from runbook.prometheus import Prometheus
from runbook.prometheus.address import parse
from runbook.prometheus.wording import Wording

# The bcrypt hash of "s3cret", of cost 4.
HASH = "$2b$04$ygajEAGj9MAGzjazWQYhSeIp9NExrshtHl6lFpislBqiE0.HUv7hu"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost,.invalid")
    for name in ("REQUESTS_CA_BUNDLE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


def failed(
    url: str, ask: Callable[[Prometheus], Any] = lambda p: p.at("up"), timeout: float = 10
) -> RunbookError:
    asked = Prometheus(url, timeout=timeout)
    try:
        with pytest.raises(RunbookError) as caught:
            ask(asked)
    finally:
        asked.close()
    assert "s3cret" not in str(caught.value)
    assert caught.value.fix
    return caught.value


@contextmanager
def raw(answer: bytes | None, times: int = 1) -> Iterator[str]:
    """Answer each request with these bytes and close; ``None`` never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)  # a test that fails must end as well
        held = []

        def serve() -> None:
            for _ in range(times):
                taken, _ = listening.accept()
                taken.settimeout(20)
                held.append(taken)
                taken.recv(65536)
                if answer is not None:
                    taken.sendall(answer)
                    taken.shutdown(socket.SHUT_RDWR)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()
        for one in held:
            one.close()


def page(body: str, status: str = "200 OK", length: int | None = None, more: str = "") -> bytes:
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {size}\r\n{more}"
    return f"{head}\r\n{body}".encode()


# --- nobody there -------------------------------------------------------------------------------


def test_a_name_that_does_not_resolve() -> None:
    found = failed("http://jane:s3cret@prometheus.invalid:9090/prom")
    assert isinstance(found, UnreachableError)
    assert found.what == "cannot read from Prometheus at http://prometheus.invalid:9090/prom"
    assert found.why == "the name prometheus.invalid does not resolve"
    assert "NAME.NAMESPACE.svc" in found.fix


def test_a_port_that_refuses() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port
        found = failed(f"http://jane:s3cret@127.0.0.1:{deaf.getsockname()[1]}")
    assert isinstance(found, UnreachableError)
    assert found.why == "the connection was refused"


def test_a_host_that_takes_no_connection() -> None:
    found = Wording(parse("http://10.0.0.1:9090"), 5).failure(ConnectTimeout())
    assert found.why == "no connection in time"
    assert "firewall" in found.fix


def test_a_proxy_of_the_environment_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    found = failed("http://prometheus.example.org:9090")
    assert found.why == "the HTTP proxy of the environment fails"
    assert "NO_PROXY" in found.fix


def test_no_answer_in_time() -> None:
    with raw(None) as url:
        found = failed(url, timeout=0.3)
    assert isinstance(found, UnreachableError)
    assert found.why == "no answer within 0.3 s"


def test_an_answer_that_stops_in_its_middle() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            taken, _ = listening.accept()
            with taken:
                taken.recv(65536)
                taken.sendall(page('{"status":"succ', length=500))
                ended.wait(30)

        ended = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        found = failed(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=0.3)
        ended.set()
        thread.join()
    assert found.why == "no answer within 0.3 s"


def test_a_connection_that_is_closed() -> None:
    with raw(b"") as url:
        found = failed(url)
    assert isinstance(found, UnreachableError)
    assert found.why.startswith("the connection broke")


# --- answers that are none -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (
            page("<html>Sign in</html>"),
            "what answers is no Prometheus: a web page, as of a login in front of it",
        ),
        (page("{}"), "what answers is no Prometheus: the answer has another form"),
        (page("[]"), "what answers is no Prometheus: the answer has another form"),
        (page("7"), "what answers is no Prometheus: the answer has another form"),
        (page("ok"), "what answers is no Prometheus: the answer has another form"),
        (
            page('{"status":"success","data":{}}'),
            "what answers is no Prometheus: the answer has another form",
        ),
        (page('{"status":"success","da', length=500), "its answer is cut short"),
        (b'HTTP/1.0 200 OK\r\n\r\n{"status":"success","da', "its answer is cut short"),
        (
            page("", "302 Found", more="Location: /api/v1/query\r\n"),
            "what answers is no Prometheus: it redirects again and again",
        ),
        (page("oh", "500 Oh"), "it answers with 500: oh"),
        (page("you shall not", "403 No"), "it forbids this (403): you shall not"),
        (page("", "414 Long"), None),
    ],
)
def test_answers_that_are_none(answer: bytes, why: str | None) -> None:
    with raw(answer, times=31 if b"302" in answer else 1) as url:
        found = failed(url)
    if why is None:
        assert "too long for HTTP" in found.why
    else:
        assert found.why == why


def test_a_gateway_that_does_not_recover() -> None:
    with raw(page("starting", "503 Wait", more="Retry-After: 3600\r\n"), times=3) as url:
        found = failed(url)
    assert isinstance(found, UnreachableError)
    assert found.why == "it is not ready (503): starting"


# --- the real one -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    place = tmp_path_factory.mktemp("plain")
    with prometheus_server.running(place, (), "--web.external-url=http://localhost/prom") as port:
        yield port


def test_a_query_it_refuses(plain: int) -> None:
    found = failed(f"http://127.0.0.1:{plain}/prom", lambda p: p.at("up{"))
    assert isinstance(found, StepError)
    assert found.what == f"Prometheus at http://127.0.0.1:{plain}/prom refuses the query up{{"
    assert "unexpected end of input inside braces" in found.why
    found = failed(f"http://127.0.0.1:{plain}/prom", lambda p: p.series("up{"))
    assert found.what.endswith("refuses the query up{")


def test_a_query_it_cannot_carry_out(plain: int) -> None:
    query = 'label_replace(vector(1), "a b", "$1", "c", "(.*)")'
    found = failed(f"http://127.0.0.1:{plain}/prom", lambda p: p.at(query))
    assert isinstance(found, StepError)
    assert "invalid destination label name" in found.why


def test_a_single_number_is_no_series(plain: int) -> None:
    asked = Prometheus(f"http://127.0.0.1:{plain}/prom")
    with pytest.raises(StepError, match="single number"):
        asked.at("1")
    asked.close()


@pytest.mark.parametrize("prefix", ["", "/other"])
def test_a_wrong_prefix(plain: int, prefix: str) -> None:
    found = failed(f"http://127.0.0.1:{plain}{prefix}")
    assert isinstance(found, StepError)
    assert found.why == f"it has no such path (404) below the prefix {prefix or '/'}"
    assert "--web.route-prefix" in found.fix


def test_a_query_too_long_for_an_address(plain: int) -> None:
    query = "vector(1) or " + "vector(10) or " * 80_000 + "vector(0)"
    found = failed(f"http://127.0.0.1:{plain}/prom", lambda p: p.at(query))
    assert found.why.startswith("the query makes an address of 1")
    assert found.why.endswith("too long for HTTP")


def test_tls_on_a_port_without(plain: int) -> None:
    found = failed(f"https://jane:s3cret@127.0.0.1:{plain}/prom")
    assert isinstance(found, UnreachableError)
    assert (found.why, found.fix) == ("it speaks plain HTTP", "write http:// in prometheus_url")


CA = issue("an unknown CA")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with tls(tmp_path_factory.mktemp("tls"), issue("p", CA, ca=False, dns=("localhost",))) as port:
        yield port


@contextmanager
def tls(place: Path, cert: Issued) -> Iterator[int]:
    place.mkdir(exist_ok=True)
    (place / "cert.pem").write_text(cert.pem)
    (place / "key.pem").write_text(cert.key_pem)
    web = {
        "tls_server_config": {"cert_file": "cert.pem", "key_file": "key.pem"},
        "basic_auth_users": {"jane": HASH},
    }
    with prometheus_server.running(place, web=web) as port:
        yield port


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").write_text(CA.pem)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))


def test_a_ca_that_is_not_trusted(secured: int) -> None:
    found = failed(f"https://jane:s3cret@localhost:{secured}")
    assert isinstance(found, UnreachableError)
    assert found.why.startswith("its certificate is not trusted: ")
    assert "REQUESTS_CA_BUNDLE" in found.fix


@pytest.mark.usefixtures("trusted")
def test_user_and_password(secured: int) -> None:
    asked = Prometheus(f"https://jane:s3cret@localhost:{secured}")
    assert asked.at("vector(1)")[0].last == 1.0
    assert asked.version()
    asked.close()
    for url in (f"https://localhost:{secured}", f"https://jane:wrong@localhost:{secured}"):
        found = failed(url)
        assert isinstance(found, StepError)
        assert found.why == "it wants another user and password (401)"
        assert "USER:PASSWORD@" in found.fix


@pytest.mark.usefixtures("trusted")
def test_a_certificate_for_another_name(secured: int) -> None:
    found = failed(f"https://jane:s3cret@127.0.0.1:{secured}")
    assert isinstance(found, UnreachableError)
    assert found.why.startswith("its certificate is for other names: ")


@pytest.mark.usefixtures("trusted")
def test_a_certificate_that_has_expired(tmp_path: Path) -> None:
    old = issue(
        "p",
        CA,
        ca=False,
        dns=("localhost",),
        start=NOW - timedelta(days=2),
        lasts=timedelta(days=1),
    )
    with tls(tmp_path / "old", old) as port:
        assert failed(f"https://localhost:{port}").why == "its certificate has expired"


def test_plain_http_on_a_port_with_tls(secured: int) -> None:
    found = failed(f"http://jane:s3cret@localhost:{secured}")
    assert isinstance(found, UnreachableError)
    assert (found.why, found.fix) == ("it speaks HTTPS", "write https:// in prometheus_url")
