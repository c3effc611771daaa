"""The parts of the load processes: what they count, when they send, what they report."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.rehearsal.images import fortio
from runbook.rehearsal.images.kinds import Situation
from runbook.rehearsal.images.proxy import Proxy, ignores
from runbook.rehearsal.traffic import delays, echo, flags, generator, histogram, probe, report
from runbook.rehearsal.traffic.clock import Clock
from runbook.rehearsal.traffic.heads import PREFACE, Frames, Heads
from runbook.rehearsal.traffic.metrics import Metrics

HERE = Path(__file__).parent


def fed(messages: Any, data: bytes, cuts: list[int]) -> list[tuple[int, int]]:
    """Feed bytes in pieces and collect what begins in them."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges) if a != b]
    return [found for piece in pieces for found in messages.feed(piece)]


REQUESTS = (
    b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"
    b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 41\r\n\r\n"
    b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nabc12"
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"12;x=y\r\nGET / HTTP/1.1\r\n\r\n\r\n0\r\nTrailer: x\r\n\r\n"
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    b"GET / HTTP/1.1\r\n\r\n"
)
ANSWERS = (
    b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nHTTP/"
    b"HTTP/1.1 204 No Content\r\n\r\n"
    b"HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
)
CUTS = st.lists(st.integers(0, 1000), max_size=12)


@given(CUTS)
def test_requests_are_counted_however_they_are_cut(cuts: list[int]) -> None:
    assert fed(Heads(requests=True), REQUESTS, cuts) == [(0, 0)] * 5


@given(CUTS)
def test_answers_are_counted_however_they_are_cut(cuts: list[int]) -> None:
    # The last one has no length: all that follows is its body.
    found = fed(Heads(requests=False), ANSWERS, cuts)
    assert found == [(0, 200), (0, 204), (0, 503), (0, 200)]


def frame(kind: int, stream: int, payload: bytes = b"", flags: int = 0) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags])
    return head + stream.to_bytes(4, "big") + payload


STREAM = PREFACE + b"".join(
    [
        frame(4, 0, b"settings"),
        frame(1, 1, b"headers", 4),
        frame(0, 1, frame(1, 99, b"no frame but data")),
        frame(1, 1, b"trailers", 5),
        frame(4, 0, b"", 1),
        frame(1, 3, b"", 5),
        frame(8, 0, b"1234"),
        frame(1, 5, b"headers", 5),
    ]
)
BACK = b"".join(
    [
        frame(4, 0),
        frame(1, 1, b"\x88rest", 4),
        frame(0, 1, b"\x88data"),
        frame(1, 1, b"\x40trailers", 5),
        frame(1, 3, b"\x8dx", 5),
        frame(1, 5, b"\x48literal", 5),
        frame(1, 7, b"\x00\x88", 5 | 8),
    ]
)


@given(CUTS)
def test_streams_are_counted_however_they_are_cut(cuts: list[int]) -> None:
    assert fed(Frames(requests=True), STREAM, cuts) == [(1, 0), (3, 0), (5, 0)]


@given(CUTS)
def test_answered_streams_are_counted_however_they_are_cut(cuts: list[int]) -> None:
    # Of what is not in HPACK's static table, or is padded, the status is not known.
    assert fed(Frames(requests=False), BACK, cuts) == [(1, 200), (3, 404), (5, 0), (7, 0)]


def test_histogram_is_fortios() -> None:
    recorded = json.loads((HERE / "fortio-histogram.json").read_text())
    want = recorded["histogram"]
    made: Any = histogram.export(
        recorded["latencies"], 0.0001, [p["Percentile"] for p in want["Percentiles"]]
    )
    assert [b["Count"] for b in made["Data"]] == [b["Count"] for b in want["Data"]]
    inner = [(b["Start"], b["End"]) for b in want["Data"]]
    ours = [(b["Start"], b["End"]) for b in made["Data"]]
    assert ours[1:-1] == inner[1:-1]  # the outermost are least and greatest, cut to 1 us in the log
    for name in ("Min", "Max", "Avg", "StdDev"):
        assert made[name] == pytest.approx(want[name], abs=1e-6)
    for one in want["Percentiles"]:
        found = histogram.percentile(
            want["Data"], want["Count"], want["Min"], want["Max"], one["Percentile"]
        )
        assert found == pytest.approx(one["Value"], rel=1e-12)


def test_histogram_of_nothing_and_of_one() -> None:
    assert histogram.export([], 0.001, [50])["Data"] is None
    one: Any = histogram.export([0.0123], 0.001, [50, 100])
    assert [(b["Start"], b["End"], b["Percent"]) for b in one["Data"]] == [(0.0123, 0.0123, 100)]
    assert [p["Value"] for p in one["Percentiles"]] == [0.0123, 0.0123]


def test_calls_are_due_when_fortio_sends_them() -> None:
    run = flags.parse(["load", "-qps", "40", "-c", "4", "-t", "1s", "-uniform", "http://a:1/"])
    assert generator.due(0, 0, 10, run) == 0
    assert generator.due(2, 0, 10, run) == pytest.approx(2 / 40)
    assert generator.due(0, 5, 10, run) == pytest.approx((5 + 5 / 9) / 10)
    assert generator.due(3, 9, 10, run) == pytest.approx(3 / 40 + 1)
    level = flags.parse(["load", "-qps", "40", "-c", "4", "-t", "1s", "http://a:1/"])
    assert generator.due(3, 9, 10, level) == pytest.approx(1)


def test_flags_are_read_as_fortio_reads_them() -> None:
    words = (
        "load -qps=12.5 --c 3 -t 1m15s -p 50,99.9 -r 0.0001 -timeout 500ms -labels x -runid 3 "
        "-log-errors=false -allow-initial-errors -H a:b -payload-size 10 host:80/echo"
    )
    found = flags.parse(words.split())
    assert (found.url, found.qps, found.connections) == ("http://host:80/echo", 12.5, 3)
    assert (found.seconds, found.timeout, found.percentiles) == (75, 0.5, (50, 99.9))
    assert (found.log_errors, found.allow_initial_errors, found.uniform) == (False, True, False)
    assert (found.headers, len(found.body), found.labels, found.run) == (("a:b",), 10, "x", 3)


@pytest.mark.parametrize("text", ["400ms", "400.001ms", "5.100001s", "1m5.1s", "1h0m0.5s"])
def test_durations_are_written_to_the_microsecond(text: str) -> None:
    assert report._go_duration(flags.duration(text)) == text


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("load -h2 http://a/", "needs the real fortio"),
        ("load -grpc a:1", "needs the real fortio"),
        ("load -nocatchup http://a/", "need the real fortio"),
        ("load https://a/", "needs the real fortio"),
        ("load -such http://a/", "not defined"),
        ("load -qps", "needs an argument"),
        ("load -qps x http://a/", "invalid value"),
        ("load -t 5 http://a/", "invalid duration"),
        ("load", "expecting one URL"),
    ],
)
def test_what_the_stand_in_cannot_do_is_said(words: str, why: str) -> None:
    with pytest.raises(flags.FlagsError, match=why):
        flags.parse(words.split())


def container(words: str, name: str = "fortio", image: str = "fortio/fortio:1.68.0") -> Any:
    return {"name": name, "image": image, "args": words.split()}


def test_ports_and_targets_are_read_off_the_arguments() -> None:
    assert fortio.served(container("server")) == (8080, 8079, 8078)
    own = container("server -http-port 0.0.0.0:90 -grpc-port=disabled -tcp-port disabled")
    assert fortio.served(own) == (90,)
    assert fortio.served(container("load http://a:1/")) == ()
    assert fortio.target(container("load -qps 1 http://a.b:81/echo?x=1")) == "a.b:81"
    assert fortio.target(container("load a:8079")) == "a:8079"
    assert fortio.target(container("load http://a/x")) == "a:80"
    assert fortio.target(container("server")) == fortio.target(container("load")) == ""
    wrapped = {
        "name": "fortio",
        "command": ["linkerd-await", "--", "fortio"],
        "args": ["load", "a:1"],
    }
    assert fortio.target(wrapped) == "a:1"
    assert fortio.is_fortio(container("server"))
    assert not fortio.is_fortio(container("server", name="web"))
    assert not fortio.is_fortio(container("server", image="nginx"))


def test_ports_that_go_past_the_proxy() -> None:
    note = {"config.linkerd.io/skip-inbound-ports": "80, 9000-9010"}
    pod: Any = {"metadata": {"annotations": note}, "spec": {}}
    assert [p for p in (80, 81, 9000, 9005, 9011) if ignores(pod, p, inbound=True)] == [
        80,
        9000,
        9005,
    ]
    assert not ignores(pod, 80, inbound=False)
    init = {"name": "linkerd-init", "args": ["--inbound-ports-to-ignore", "4190,4191"]}
    pod["spec"] = {"initContainers": [init]}  # what the pod was really told counts
    assert not ignores(pod, 80, inbound=True)
    assert ignores(pod, 4191, inbound=True)


@pytest.mark.parametrize(
    ("by", "line"),
    [
        ("linkerd/proxy-injector stable-2.11.5", 11),
        ("linkerd/proxy-injector stable-2.14.10", 14),
        ("linkerd/proxy-injector edge-24.1.3", 14),
        ("linkerd/proxy-injector edge-24.8.2", 16),
        ("linkerd/proxy-injector edge-25.10.7", 19),
        ("linkerd/proxy-injector edge-26.6.3", 20),
        ("", 20),
    ],
)
def test_a_relay_is_of_the_line_that_injected_it(by: str, line: int) -> None:
    pod: Any = {
        "metadata": {"annotations": {"linkerd.io/created-by": by, "x": "y"}},
        "spec": {"containers": [container("server -tcp-port disabled"), {"name": "linkerd-proxy"}]},
    }
    env = {
        "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS": "-----BEGIN CERTIFICATE-----",
        "LINKERD2_PROXY_ADMIN_LISTEN_ADDR": "0.0.0.0:4291",
    }
    made = Proxy().start(Situation(pod, pod["spec"]["containers"][1], env, {}))
    assert made.extra["line"] == line
    assert made.ports == (4291, 8080, 8079)
    pod["spec"]["containers"].pop(0)  # nothing beside it carries load
    assert not Proxy().start(Situation(pod, pod["spec"]["containers"][0], env, {})).module


def test_delays_on_purpose() -> None:
    assert delays.delays("") is None
    constant = delays.delays("500us")
    assert constant is not None
    assert constant() == pytest.approx(0.0005)
    tail = delays.delays("pareto:2ms,1.5")
    assert tail is not None
    drawn = sorted(tail() for _ in range(4000))
    assert drawn[0] >= 0.002
    assert drawn[-1] <= 10
    # P(delay > 8 ms) = (2/8)^1.5 = 0.125, with a standard error of 0.005.
    assert 0.1 < sum(d > 0.008 for d in drawn) / 4000 < 0.15


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("soon", "is no duration"),
        ("2", "is no duration"),
        ("-1ms", "is no duration"),
        ("gamma:1ms,2", "no delay 'gamma'"),
        ("pareto:2ms", "is no shape"),
        ("pareto:2ms,0", "is no shape"),
    ],
)
def test_delays_that_are_none(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        delays.delays(text)


def test_clock_is_never_early_unless_told_to_aim() -> None:
    async def lateness(compensate: bool) -> list[float]:
        loop = asyncio.get_running_loop()
        clock = Clock(loop, compensate=compensate)
        found: list[float] = []
        order: list[int] = []
        for number in range(40):
            due = loop.time() + 0.001
            clock.at(due, lambda: order.append(1))
            clock.at(due, lambda: order.append(2))
            await clock.sleep_until(due)
            found.append(loop.time() - due)
            assert order == [1, 2], number
            order.clear()
        return found

    assert min(asyncio.run(lateness(False))) >= 0
    assert min(asyncio.run(lateness(True))) > -0.0005


def test_clock_keeps_an_earlier_call_that_comes_later() -> None:
    async def order() -> list[str]:
        loop = asyncio.get_running_loop()
        clock = Clock(loop)
        said: list[str] = []
        now = loop.time()
        clock.at(now + 0.02, lambda: said.append("second"))
        clock.at(now + 0.001, lambda: said.append("first"))
        await clock.sleep_until(now + 0.03)
        await clock.sleep_until(now)  # long past
        return said

    assert asyncio.run(order()) == ["first", "second"]


def test_echo_answers_what_is_asked_for() -> None:
    text, delay = echo.answer("size=20&delay=5ms:10", b"")
    assert text.startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(text.partition(b"\r\n\r\n")[2]) == 20
    assert delay == pytest.approx(0.005)
    assert echo.answer("", b"body")[0].endswith(b"\r\n\r\nbody")
    assert echo.answer("status=503", b"")[0].startswith(b"HTTP/1.1 503 Service Unavailable")


@pytest.mark.parametrize(
    ("line", "expiry"),
    [
        (14, "identity_cert_expiration_timestamp_seconds"),
        (15, "identity_cert_expiration_timestamp_seconds"),
        (20, "control_identity_cert_expiration_timestamp_seconds"),
    ],
)
def test_metrics_have_the_names_of_the_line(line: int, expiry: str) -> None:
    metrics = Metrics({"version": "v2"}, line)
    metrics.expires = 1_800_000_000
    series = metrics.series({"direction": "inbound", "tls": "true"})
    series.requests = 2
    series.respond(200, 0.0019)
    series.respond(503, 0.0021)
    lines = metrics.text().splitlines()
    assert f"{expiry} 1800000000" in lines
    own = 'direction="inbound",tls="true"'
    assert f"request_total{{{own}}} 2" in lines
    assert f'response_total{{{own},status_code="503",classification="failure"}} 1' in lines
    # Whole milliseconds, cut: what took 1.9 ms counts as 1, what took 2.1 ms as 2.
    assert f'response_latency_ms_bucket{{{own},le="1"}} 1' in lines
    assert f'response_latency_ms_bucket{{{own},le="2"}} 2' in lines
    assert f'response_latency_ms_bucket{{{own},le="+Inf"}} 2' in lines
    assert f"response_latency_ms_sum{{{own}}} 3" in lines
    assert any(text.startswith("process_cpu_seconds_total ") for text in lines)
    assert 'proxy_build_info{version="v2"} 1' in lines


def test_sensors_remember_that_they_were_too_hot() -> None:
    sensors = probe.Sensors("node2")
    assert sensors.read(0, throttled=False)["throttled"] == "0x0"
    hot = sensors.read(2, throttled=True)
    assert (hot["throttled"], hot["temp_mc"], hot["khz"]) == ("0x60006", 82_000, 1_000_000)
    after = sensors.read(4, throttled=False)
    assert after["throttled"] == "0x60000"
    assert 40_000 < int(str(after["temp_mc"])) < 60_000
