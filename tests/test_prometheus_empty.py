"""Why a selector gives nothing: on the real server, and where it does not tell everything."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import prometheus_server
import pytest

from runbook.errors import StepError
from runbook.prometheus import Prometheus, Series, Target, Targets
from runbook.prometheus.empty import explain

SERIES = """\
request_total{direction="inbound",tls="true"} 7
request_total{direction="outbound"} 3
"""


class Exporter:
    """Serves a text at /metrics, which may change."""

    def __init__(self) -> None:
        self.text = SERIES
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                raw = outer.text.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    made = Exporter()
    thread = Thread(target=made.http.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.http.shutdown()
    thread.join()
    made.http.server_close()


@contextmanager
def scraping(
    place: Path, *targets: str, interval: str = "200ms", **job: Any
) -> Iterator[Prometheus]:
    jobs = [{"job_name": "app", "static_configs": [{"targets": [*targets]}]} | job]
    with prometheus_server.running(place, jobs, interval=interval) as port:
        asked = Prometheus(f"http://127.0.0.1:{port}")
        yield asked
        asked.close()


@pytest.fixture
def app(exporter: Exporter) -> str:
    return f"127.0.0.1:{exporter.http.server_port}"


def test_which_part_of_a_selector_fits_nothing(
    app: str, exporter: Exporter, tmp_path: Path
) -> None:
    exporter.text += "".join(f'pod_info{{pod="p{n}"}} 1\n' for n in range(8))
    with scraping(tmp_path, app) as asked:
        prometheus_server.until(lambda: asked.at("request_total"))
        prometheus_server.until(lambda: "less than two" not in asked.explain_empty("absent"))
        why = asked.explain_empty
        assert why("request_total") == "it gives 2 series now"
        assert why("requests_total") == "there is no metric requests_total"
        assert why("request_total{direction='sideways', tls=\"true\"}") == (
            "no series of request_total has direction='sideways'; direction is inbound, outbound"
        )
        assert why('request_total{direction="inbound",pod=~"web.+"}') == (
            'no series of request_total has pod=~"web.+"; none has a label pod'
        )
        assert why('request_total{direction="outbound",tls="true"}') == (
            "each of these labels is there, but no series has all of them"
        )
        assert why('pod_info{pod="q"}') == (
            'no series of pod_info has pod="q"; pod is p0, p1, p2, p3, p4 and 3 more'
        )
        assert why('{job="other"}') == 'no series has job="other"; job is app'
        with pytest.raises(StepError, match=r"refuses the query up\{") as caught:
            why("up{")
        assert "unexpected end of input" in caught.value.why


def test_a_series_without_new_samples(app: str, exporter: Exporter, tmp_path: Path) -> None:
    with scraping(tmp_path, app) as asked:
        prometheus_server.until(lambda: asked.at("request_total"))
        exporter.text = 'request_total{direction="inbound"} 8\n'
        outbound = 'request_total{direction="outbound"}'
        prometheus_server.until(lambda: not asked.at(outbound))
        prometheus_server.until(lambda: "less than two" not in asked.explain_empty(outbound))
        found = asked.explain_empty(outbound)
    assert re.fullmatch(re.escape(outbound) + r" is stale: its last sample is \d+ s old", found)


def test_a_server_without_targets(app: str, tmp_path: Path) -> None:
    with scraping(tmp_path / "none") as asked:
        assert asked.explain_empty("up") == "Prometheus scrapes nothing: it has no targets"
    drop = [{"source_labels": ["job"], "regex": "app", "action": "drop"}]
    with scraping(tmp_path / "dropped", app, relabel_configs=drop) as asked:
        prometheus_server.until(lambda: asked.targets().dropped)
        assert asked.explain_empty("up") == (
            "Prometheus scrapes nothing: it has no targets, 1 are dropped by relabelling"
        )


def test_a_server_that_has_just_started(app: str, tmp_path: Path) -> None:
    with scraping(tmp_path, app, interval="1h") as asked:
        prometheus_server.until(lambda: asked.targets().active)
        found = asked.explain_empty("request_total")
    assert found == "none of the 1 targets has been scraped yet"


def test_a_server_that_has_not_scraped_twice(app: str, tmp_path: Path) -> None:
    # First scrapes are spread over an interval: of so many, one comes soon.
    many = [{"targets": [app], "labels": {"n": str(n)}} for n in range(60)]
    with scraping(tmp_path, interval="60s", static_configs=many) as asked:
        prometheus_server.until(lambda: any(t.last_scrape for t in asked.targets().active))
        found = asked.explain_empty("absent")
    assert found.startswith("Prometheus started ")
    assert found.endswith("less than two scrape intervals of 60 s: try again then")


def test_targets_that_are_down(tmp_path: Path) -> None:
    with scraping(tmp_path, "127.0.0.1:1") as asked:
        prometheus_server.until(lambda: asked.at("up"))
        prometheus_server.until(lambda: "less than two" not in asked.explain_empty("absent"))
        assert (
            asked.explain_empty("absent") == "there is no metric absent; 1 of 1 targets are not up"
        )


# --- a server that evaluates plain selectors only -----------------------------------------


class Plain:
    """Knows series, of which none is new, and refuses functions."""

    def __init__(self, *stored: Mapping[str, str]) -> None:
        self.stored = stored

    def at(self, query: str, moment: float | None = None) -> list[Series]:
        if "(" in query:
            raise StepError("no functions")
        return []

    def series(self, selector: str) -> list[Mapping[str, str]]:
        return list(self.stored)

    def values(self, label: str, selector: str) -> list[str]:
        return []

    def targets(self) -> Targets:
        return Targets((Target("p", {}, {}, "http://x", "up", last_scrape=1.0),), 0)

    def started(self) -> float | None:
        return None


def test_stale_without_functions() -> None:
    found = explain(Plain({"__name__": "m"}), "m")
    assert found == "m is stale: its series are stored, but have no sample of the last 10m"


@pytest.mark.parametrize(
    ("ago", "said"), [(45.0, "45 s"), (1500.0, "25 min"), (7200.0, "2 h"), (-1.0, "0 s")]
)
def test_how_old_the_last_sample_is(ago: float, said: str) -> None:
    class Old(Plain):
        def at(self, query: str, moment: float | None = None) -> list[Series]:
            answers = {
                "vector(time())": 9000.0,
                "max(max_over_time(timestamp(m)[1d:1m]))": 9000 - ago,
            }
            return [Series({}, ((9000.0, answers[query]),))] if query in answers else []

    found = explain(Old({"__name__": "m"}), "m")
    assert found == f"m is stale: its last sample is {said} old"


def test_no_sample_of_the_last_day() -> None:
    class Older(Plain):
        def at(self, query: str, moment: float | None = None) -> list[Series]:
            return []

    found = explain(Older({"__name__": "m"}), "m")
    assert found.endswith("no sample of the last 24 h was found")


def test_absent_without_functions() -> None:
    assert explain(Plain(), "m") == "there is no metric m"


@pytest.mark.parametrize("text", ["rate_of m", "m{a}", "m{a=1}", 'm{a="b" c="d"}'])
def test_what_cannot_be_taken_apart(text: str) -> None:
    assert explain(Plain(), text) == f"{text} selects no series that is stored"
