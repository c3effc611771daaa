"""Asking a Prometheus: answers in the format of its HTTP API, pieces side by side, the real one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import prometheus_server
import pytest

from runbook.errors import StepError, UnreachableError, UsageError
from runbook.prometheus import Growth, Prometheus, Series


class Server:
    """Answers with what it is given; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answers: list[tuple[int, Any]] = []
        self.by_time: dict[str, tuple[int, Any]] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {k: v[0] for k, v in parse_qs(parts.query).items()}
                outer.asked.append((parts.path, query))
                status, body = outer.answer(query)
                raw = (body if isinstance(body, str) else json.dumps(body)).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, query: dict[str, str]) -> tuple[int, Any]:
        if query.get("time") in self.by_time:
            return self.by_time[query["time"]]
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, args=(0.01,))
    thread.start()
    yield made
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


def part(*points: tuple[float, str], job: str = "a") -> dict[str, Any]:
    return {"metric": {"job": job}, "values": [list(point) for point in points]}


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
    prometheus.at("up")
    assert server.asked == [
        ("/api/v1/query", {"query": "up", "time": "1795560000.500"}),
        ("/api/v1/query", {"query": "up"}),
    ]


def test_raw_samples_come_in_pieces_and_each_once(server: Server, prometheus: Prometheus) -> None:
    server.by_time = {
        "4600.000": result("matrix", part((1000, "1"), (4600, "5"))),
        "8200.000": result("matrix", part((4600, "5"), (8200, "7.5")), part((5000, "0"), job="b")),
        "8500.250": result("matrix", part((8300, "9"))),
    }
    found = prometheus.samples('m{x="1"}', 1000, 8500.25)
    assert found == [
        Series({"job": "a"}, ((1000.0, 1.0), (4600.0, 5.0), (8200.0, 7.5), (8300.0, 9.0))),
        Series({"job": "b"}, ((5000.0, 0.0),)),
    ]
    assert sorted((query["time"], query["query"]) for _, query in server.asked) == [
        ("4600.000", 'm{x="1"}[3600000ms]'),
        ("8200.000", 'm{x="1"}[3600000ms]'),
        ("8500.250", 'm{x="1"}[300250ms]'),
    ]


def test_no_time_gives_no_samples(server: Server, prometheus: Prometheus) -> None:
    assert prometheus.samples("m", 1000, 1000) == []
    assert server.asked == []


class Meeting(Server):
    """Answers when so many have asked: fails if they come one after the other."""

    def __init__(self, parties: int) -> None:
        super().__init__()
        self.barrier = threading.Barrier(parties, timeout=20)
        self.now = self.most = 0
        self.lock = threading.Lock()

    def answer(self, query: dict[str, str]) -> tuple[int, Any]:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.barrier.wait()
        with self.lock:
            self.now -= 1
        moment = float(query["time"])
        return result("matrix", part((moment - 3600, "1"), (moment, str(moment))))


def test_pieces_are_asked_side_by_side_four_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Meeting(4)
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,))
    thread.start()
    prometheus = Prometheus(server.url)
    found = prometheus.samples("m", 0, 8 * 3600)
    server.barrier = threading.Barrier(1)
    alone = Prometheus(server.url, workers=1)
    assert alone.samples("m", 0, 8 * 3600) == found
    for one in (prometheus, alone):
        one.close()
    server.http.shutdown()
    thread.join()
    server.http.server_close()
    assert server.most == 4
    assert [moment for moment, _ in found[0].points] == [3600.0 * n for n in range(9)]


def test_an_error_ends_the_other_pieces(server: Server, prometheus: Prometheus) -> None:
    server.answers = [(422, {"status": "error", "errorType": "execution", "error": "too many"})]
    with pytest.raises(StepError) as caught:
        prometheus.samples("m", 0, 1000 * 3600)
    assert caught.value.why == "too many"
    assert len(server.asked) < 500, "what was not under way is not asked"
    assert not [t for t in threading.enumerate() if t.name.startswith("prometheus")]


def test_an_interrupt_ends_the_other_pieces(
    server: Server, prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = [result("matrix")]

    def interrupted(query: str, moment: float | None = None) -> list[Series]:
        if moment == 3600.0:
            raise KeyboardInterrupt
        return Prometheus.at(prometheus, query, moment)

    monkeypatch.setattr(prometheus, "at", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prometheus.samples("m", 0, 1000 * 3600)
    assert len(server.asked) < 500
    assert not [t for t in threading.enumerate() if t.name.startswith("prometheus")]


def test_growth_is_of_samples_at_their_own_times() -> None:
    steady = Series({}, ((10.0, 100.0), (25.0, 103.0), (70.0, 106.0)))
    assert steady.growth() == Growth(6.0, 60.0)
    assert (steady.mean, steady.highest) == (103.0, 106.0)
    assert Series({}, ((10.0, 100.0), (25.0, 2.0), (40.0, 200.0))).growth() is None, "a reset"
    assert Series({}, ((10.0, 100.0),)).growth() is None


def test_a_gateway_that_recovers_is_asked_again(server: Server, prometheus: Prometheus) -> None:
    server.answers = [(503, "starting"), (502, "starting"), result("vector")]
    assert prometheus.at("up", 1.0) == []
    assert len(server.asked) == 3


def test_ready_or_not(server: Server, prometheus: Prometheus) -> None:
    server.answers = [(503, "Service Unavailable")]
    assert prometheus.ready() is False
    server.answers = [(200, "Prometheus Server is Ready.\n")]
    assert prometheus.ready() is True
    assert server.asked[-1][0] == "/-/ready"


@pytest.mark.parametrize("answer", [(404, "404 page not found\n"), (405, "no")])
def test_a_server_that_does_not_tell_when_it_started(
    server: Server, prometheus: Prometheus, answer: tuple[int, str]
) -> None:
    server.answers = [answer]
    if answer[0] == 404:
        assert prometheus.started() is None
    else:
        with pytest.raises(UnreachableError):
            prometheus.started()


@pytest.mark.parametrize(
    "answer",
    [(404, "404 page not found\n"), (422, {"status": "error", "errorType": "x", "error": "no"})],
)
def test_values_of_a_label_where_the_server_cannot_tell_them(
    server: Server, prometheus: Prometheus, answer: tuple[int, Any]
) -> None:
    series = {"status": "success", "data": [{"job": "b"}, {"job": "a"}, {"job": "b"}, {}]}
    server.answers = [answer, (200, series)]
    assert prometheus.values("job", "up") == ["a", "b"]
    assert server.asked[-1] == ("/api/v1/series", {"match[]": "up"})


def test_a_target_of_which_little_is_told(server: Server, prometheus: Prometheus) -> None:
    active = [{"labels": {"job": "a"}, "health": "unknown", "lastScrape": "0001-01-01T00:00:00Z"}]
    data = {"activeTargets": active, "droppedTargets": [{}, {}]}
    server.answers = [(200, {"status": "success", "data": data})]
    found = prometheus.targets()
    assert found.dropped == 2
    (target,) = found.active
    assert (target.labels, target.health, target.error) == ({"job": "a"}, "unknown", "")
    assert (target.last_scrape, target.interval) == (None, None)


def test_only_a_service_can_be_asked_through_the_api_server() -> None:
    unused: Any = object()
    with pytest.raises(UsageError, match="is no Service"):
        Prometheus("http://127.0.0.1:9090", cluster=unused)
    with pytest.raises(UsageError, match="cannot be given a password") as caught:
        Prometheus("http://jane:s3cret@p.mon.svc:9090", cluster=unused)
    assert "s3cret" not in str(caught.value)


def test_the_real_one(tmp_path: Path) -> None:
    with prometheus_server.running(tmp_path / "first") as other:
        job = {"job_name": "node", "static_configs": [{"targets": [f"127.0.0.1:{other}"]}]}
        gone = {
            "source_labels": ["__address__"],
            "regex": "gone.*",
            "action": "drop",
        }
        job |= {"relabel_configs": [gone]}
        job["static_configs"].append({"targets": ["gone:1"]})
        with prometheus_server.running(tmp_path / "own", [job], interval="200ms") as port:
            prometheus = Prometheus(f"http://127.0.0.1:{port}")
            prometheus_server.until(lambda: prometheus.at("up"))
            (up,) = prometheus.at("up{job='node'}")
            found = prometheus.targets()
            (stored,) = prometheus.series("up")
            samples = prometheus.samples("up", up.points[0][0] - 3600, up.points[0][0])
            assert prometheus.ready()
            assert prometheus.version().startswith(("2.", "3."))
            assert (prometheus.started() or 0.0) <= up.points[0][0]
            assert prometheus.values("job", "up") == ["node"]
            prometheus.close()
    assert up.labels["instance"] == f"127.0.0.1:{other}"
    assert stored == up.labels
    assert samples[0].labels == up.labels
    assert found.dropped == 1
    (target,) = found.active
    assert (target.pool, target.health, target.interval) == ("node", "up", 0.2)
    assert target.url == f"http://127.0.0.1:{other}/metrics"
    assert target.discovered["__address__"] == f"127.0.0.1:{other}"
    assert target.last_scrape is not None
