"""Asking a Prometheus: answers in the format of its HTTP API, and everything that goes wrong."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from runbook.errors import RunbookError, StepError, UnreachableError, UsageError
from runbook.prometheus import Growth, Prometheus, Series


class Server:
    """Answers with what it is given; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answers: list[tuple[int, Any]] = []
        self.hang = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                outer.asked.append(
                    (parts.path, {k: v[0] for k, v in parse_qs(parts.query).items()})
                )
                status, body = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                if body is None:
                    outer.hang.wait(30)
                    return
                raw = (body if isinstance(body, str) else json.dumps(body)).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.hang.set()
    made.http.shutdown()
    thread.join()
    made.http.server_close()


@pytest.fixture
def prometheus(server: Server) -> Iterator[Prometheus]:
    made = Prometheus(server.url, timeout=5)
    yield made
    made.close()


def result(kind: str, *series: dict[str, Any]) -> tuple[int, Any]:
    return 200, {"status": "success", "data": {"resultType": kind, "result": list(series)}}


def refused(code: int, kind: str, error: str) -> tuple[int, Any]:
    return code, json.dumps(
        {"status": "error", "errorType": kind, "error": error}, separators=(",", ":")
    )


def test_a_vector(server: Server, prometheus: Prometheus) -> None:
    server.answers = [
        result(
            "vector",
            {"metric": {"__name__": "up", "job": "node"}, "value": [1795560000.5, "1"]},
            {"metric": {"job": "other"}, "value": [1795560000.5, "NaN"]},
        )
    ]
    found = prometheus.at("up", 1795560000.5)
    assert found[0] == Series({"__name__": "up", "job": "node"}, ((1795560000.5, 1.0),))
    assert found[0].last == 1.0
    assert found[1].last != found[1].last
    assert server.asked == [("/api/v1/query", {"query": "up", "time": "1795560000.500"})]


def test_raw_samples_come_in_chunks_and_each_once(server: Server, prometheus: Prometheus) -> None:
    def part(*points: tuple[float, str], job: str = "a") -> dict[str, Any]:
        return {"metric": {"job": job}, "values": [list(point) for point in points]}

    server.answers = [
        result("matrix", part((1000, "1"), (4600, "5"))),
        result("matrix", part((4600, "5"), (8200, "7.5")), part((5000, "0"), job="b")),
        result("matrix", part((8300, "9"))),
    ]
    found = prometheus.samples('m{x="1"}', 1000, 8500.25)
    assert found == [
        Series({"job": "a"}, ((1000.0, 1.0), (4600.0, 5.0), (8200.0, 7.5), (8300.0, 9.0))),
        Series({"job": "b"}, ((5000.0, 0.0),)),
    ]
    assert [query for _, query in server.asked] == [
        {"query": 'm{x="1"}[3600000ms]', "time": "4600.000"},
        {"query": 'm{x="1"}[3600000ms]', "time": "8200.000"},
        {"query": 'm{x="1"}[300250ms]', "time": "8500.250"},
    ]


def test_a_range_never_asks_for_more_points_than_are_allowed(
    server: Server, prometheus: Prometheus
) -> None:
    server.answers = [result("matrix")]
    assert prometheus.evaluated("rate(m[1m])", 0, 250_000, 10) == []
    spans = [(int(q["start"]), int(q["end"]), q["step"]) for _, q in server.asked]
    assert spans == [(0, 100_000, "10"), (100_000, 200_000, "10"), (200_000, 250_000, "10")]
    assert {path for path, _ in server.asked} == {"/api/v1/query_range"}


def test_growth_is_of_samples_at_their_own_times() -> None:
    steady = Series({}, ((10.0, 100.0), (25.0, 103.0), (70.0, 106.0)))
    assert steady.growth() == Growth(6.0, 60.0)
    assert (steady.mean, steady.highest) == (103.0, 106.0)
    assert Series({}, ((10.0, 100.0), (25.0, 2.0), (40.0, 200.0))).growth() is None, "a reset"
    assert Series({}, ((10.0, 100.0),)).growth() is None


# --- what goes wrong ----------------------------------------------------------------------------


def failed(prometheus: Prometheus) -> RunbookError:
    with pytest.raises(RunbookError) as caught:
        prometheus.at("up", 1.0)
    return caught.value


def test_a_query_it_refuses(server: Server, prometheus: Prometheus) -> None:
    error = 'invalid parameter "query": 1:3: parse error: unexpected end of input'
    server.answers = [refused(400, "bad_data", error)]
    found = failed(prometheus)
    assert isinstance(found, StepError)
    assert found.why == error
    assert len(server.asked) == 1, "a refused query is not repeated"


def test_a_gateway_that_recovers_is_asked_again(server: Server, prometheus: Prometheus) -> None:
    server.answers = [(503, "starting"), (502, "starting"), result("vector")]
    assert prometheus.at("up", 1.0) == []
    assert len(server.asked) == 3


def test_a_gateway_that_does_not_recover(server: Server, prometheus: Prometheus) -> None:
    server.answers = [(503, "starting")]
    found = failed(prometheus)
    assert isinstance(found, UnreachableError)
    assert found.why == "it cannot be reached (RetryError)"


@pytest.mark.parametrize(
    "body", ["<html>Sign in</html>", "{}", "[]", '{"status":"success","data":{}}', "7"]
)
def test_what_is_no_prometheus(server: Server, prometheus: Prometheus, body: str) -> None:
    server.answers = [(200, body)]
    found = failed(prometheus)
    assert isinstance(found, UnreachableError)
    assert found.why == "what answers is no Prometheus"


def test_a_scalar_is_no_vector(server: Server, prometheus: Prometheus) -> None:
    server.answers = [(200, {"data": {"resultType": "scalar", "result": {"a": 1}}})]
    assert failed(prometheus).why == "the query gives a single number, not series"


def test_no_answer_in_time(server: Server) -> None:
    server.answers = [(200, None)]
    impatient = Prometheus(server.url, timeout=1)
    found = failed(impatient)
    impatient.close()
    assert isinstance(found, UnreachableError)
    assert found.why == "no answer within 1 s"
    assert len(server.asked) == 1, "a slow query is not repeated"


def test_nobody_there_and_no_password_in_the_message() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port
        away = Prometheus(f"http://jane:s3cret@127.0.0.1:{deaf.getsockname()[1]}/prom")
        found = failed(away)
        away.close()
    assert isinstance(found, UnreachableError)
    assert found.what.startswith("cannot read from Prometheus at http://127.0.0.1:")
    assert "s3cret" not in str(found)
    assert "jane" not in str(found)


@pytest.mark.parametrize("url", ["", "prometheus:9090", "ftp://x", "http://", "/metrics"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UsageError, match="the address of Prometheus is none"):
        Prometheus(url)
