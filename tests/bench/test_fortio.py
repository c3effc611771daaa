"""fortio: its command line, and its logs as they really come."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import fortio_log
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.bench.fortio import (
    GRPC_PORT,
    HTTP_PORT,
    MAX_PAYLOAD,
    load_args,
    parse_log,
    server_args,
    shape,
)
from runbook.errors import StepError, UsageError

RECORDINGS = Path(__file__).parent / "recordings"
GOOD = sorted(
    path.stem
    for path in RECORDINGS.glob("*.log")
    if not re.search(r"refused|jitter|max", path.stem)
)


def recording(name: str) -> str:
    return (RECORDINGS / f"{name}.log").read_text()


def args(protocol: str = "http1", payload: int = 1024, **changed: object) -> list[str]:
    given = {"rps": 200, "connections": 4, "seconds": 18, "labels": "a run", **changed}
    return load_args("echo-meshed-node2", protocol=protocol, payload=payload, **given)  # type: ignore[arg-type]


def simulated(**changed: object) -> tuple[fortio_log.Client, list[fortio_log.Request]]:
    client = fortio_log.Client(100, 1.0, 4)
    return client, client.run(fortio_log.Server(fortio_log.lognormal(1)))


# The command line


def test_load_is_open_and_leaves_a_log() -> None:
    made = args()
    given = dict(pairwise(made))
    assert made[0] == "load"
    assert (given["-qps"], given["-c"], given["-t"]) == ("200", "4", "18s")
    assert (given["-r"], given["-labels"]) == ("0.0001", "a run")
    assert (given["-json"], given["-access-log-file"]) == ("-", "/dev/stdout")
    assert given["-p"] == "50,75,90,95,99,99.9,99.99"
    assert "-uniform" in made
    assert not {"-jitter", "-nocatchup", "-n"} & set(made)


@pytest.mark.parametrize(
    ("protocol", "payload", "end"),
    [
        ("http1", 1024, ["http://echo-meshed-node2:8080/echo?size=1024"]),
        ("http1", 0, ["http://echo-meshed-node2:8080/echo"]),
        ("http2", 10, ["-h2", "http://echo-meshed-node2:8080/echo?size=10"]),
        ("grpc", 0, ["-grpc", "-ping", "-s", "1", "echo-meshed-node2:8079"]),
        ("grpc", 10, ["-ping", "-s", "1", "-payload-size", "10", "echo-meshed-node2:8079"]),
    ],
)
def test_protocols(protocol: str, payload: int, end: list[str]) -> None:
    assert args(protocol, payload)[-len(end) :] == end


@pytest.mark.parametrize("payload", [-1, MAX_PAYLOAD + 1])
def test_payload_must_fit(payload: int) -> None:
    with pytest.raises(UsageError, match="cannot be measured"):
        args(payload=payload)


def test_rates_need_not_be_whole() -> None:
    assert args(rps=200 / 3, seconds=18.015)[2:7:2] == ["66.6666667", "4", "18.015s"]


def test_server_listens_on_two_ports_only() -> None:
    made = server_args()
    given = dict(pairwise(made))
    assert (given["-http-port"], given["-grpc-port"]) == (str(HTTP_PORT), str(GRPC_PORT))
    assert {given[f"-{kind}-port"] for kind in ("tcp", "udp", "redirect")} == {"disabled"}
    assert "-ui-path=" in made


@settings(deadline=None)
@given(
    st.integers(1, 3000) | st.floats(min_value=0.5, max_value=2000),
    st.floats(min_value=4, max_value=120),
    st.integers(1, 64),
)
def test_shape_leaves_no_request_out(rps: float, seconds: float, connections: int) -> None:
    fewer, longer = shape(rps, seconds, connections)
    nanoseconds = round(longer * 1e9)
    as_fortio = int(rps * (nanoseconds // 10**9 + nanoseconds % 10**9 / 1e9))
    assert as_fortio % fewer == 0
    assert as_fortio >= 2 * fewer
    assert fewer == connections or rps * seconds <= 2 * connections
    assert seconds - 1e-6 <= longer <= seconds + (fewer + 1) / rps + 1e-5


def test_no_load_has_no_shape() -> None:
    with pytest.raises(UsageError, match="make no load"):
        shape(1, 1, 4)


@pytest.mark.skipif(not shutil.which("fortio"), reason="no fortio on the PATH")
@pytest.mark.parametrize("protocol", ["http1", "http2", "grpc"])
def test_real_fortio_takes_the_arguments(protocol: str) -> None:
    made = args(protocol, rps=20, seconds=1)
    made[-1] = made[-1].replace("echo-meshed-node2", "127.0.0.1").replace("80", "1")
    run = subprocess.run(["fortio", *made], capture_output=True, text=True, check=False)
    with pytest.raises(StepError, match="no result") as error:  # nothing listens there
        parse_log(run.stdout + run.stderr)
    assert "flag" not in error.value.why


# Its logs


@pytest.mark.parametrize("name", GOOD)
def test_recording_is_read(name: str) -> None:
    run = parse_log(recording(name))
    assert name.startswith(run.version)
    assert run.kind == ("GRPC Ping PayloadLength=1024" if "grpc" in name else "HTTP")
    assert len(run.log) == run.calls == sum(run.codes.values())
    assert run.sent == run.calls + run.threads
    assert run.uniform
    assert run.catch_up == ("nocatchup" not in name)
    assert run.calls == run.calls_each * run.threads or not run.catch_up
    # what fortio rounds to microseconds in the access log, it keeps in its histogram
    assert run.log.latency.sum() == pytest.approx(run.buckets.total, abs=1e-6 * run.calls)
    since = (run.log.start_ns - run.start_ns) / 1e9
    assert -0.001 < since.min() < 0.05
    assert since.max() < run.seconds + run.threads / run.rps


def test_errors_are_told_apart() -> None:
    failing = parse_log(recording("1.68.0-errors"))
    assert failing.codes["503"] == failing.errors.count == (~failing.log.ok).sum() > 10
    lost = parse_log(recording("1.68.0-lost"))
    assert lost.codes["-1"] == lost.errors.count > 10
    assert lost.sockets > lost.threads
    grpc = parse_log(recording("1.68.0-lost-grpc"))
    assert grpc.codes["ERROR"] == grpc.errors.count > 10
    assert set(grpc.codes) == {"ERROR", "SERVING"}


def test_warnings_are_kept() -> None:
    behind = parse_log(recording("1.68.0-stall")).warnings
    assert any("falling behind" in warning for warning in behind)
    assert parse_log(recording("1.68.0-lost")).warnings == ("Unable to connect",)
    assert parse_log(recording("1.68.0-http1")).warnings == ()


@pytest.mark.parametrize(
    ("name", "what", "why"),
    [
        ("refused", "gave no result", "error -1 for http://127.0.0.1:8080"),
        ("refused-grpc", "gave no result", "connection refused"),
        ("jitter", "were due is unknown", "-jitter"),
        ("max", "were due is unknown", "closed loop"),
    ],
)
def test_recording_is_refused(name: str, what: str, why: str) -> None:
    with pytest.raises(StepError, match=what) as error:
        parse_log(recording(f"1.68.0-{name}"))
    assert why in error.value.why


@settings(deadline=None)
@given(st.data())
def test_lines_of_standard_error_may_be_anywhere(data: st.DataObject) -> None:
    """Two streams keep their own order only; also within the JSON object."""
    text = recording("1.68.0-errors")
    out = [
        line
        for line in text.split("\n")
        if line[:10] == '{"latency"' or line[:2] == "  " or line in ("{", "}")
    ]
    err = [line for line in text.split("\n") if line and line not in out]
    assert len(err) > 20
    places = sorted(
        data.draw(st.lists(st.integers(0, len(out)), min_size=len(err), max_size=len(err)))
    )
    mixed = list(out)
    for place, line in reversed(list(zip(places, err, strict=True))):
        mixed.insert(place, line)
    run, plain = parse_log("\n".join(mixed)), parse_log(text)
    assert run.buckets == plain.buckets
    assert np.array_equal(run.log.start_ns, plain.log.start_ns)
    assert run.warnings == plain.warnings


def cut_front(text: str) -> str:
    return text[5000:]


def cut_middle_of_object(text: str) -> str:
    return text[: text.index('"Percentiles"')]


def damage(text: str) -> str:
    return text.replace('"iter":3,', '"iter":,')


def twice(text: str) -> str:
    return text + text


def other_object(text: str) -> str:
    return '{\n  "kind": "Pod"\n}\n'


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (cut_front, "the access log has"),
        (cut_middle_of_object, "result of fortio is incomplete"),
        (damage, "access log is damaged"),
        (twice, "several fortio runs"),
        (other_object, "no result of fortio load"),
        (lambda _: "", "gave no result"),
    ],
)
def test_incomplete_log_is_refused(change: Callable[[str], str], what: str) -> None:
    with pytest.raises(StepError, match=what):
        parse_log(change(recording("1.68.0-http1")))


def test_error_comes_before_the_dummy_histogram() -> None:
    client, log = simulated()
    failed = {"error": True, "message": "warmup error", "exception": "error 503 for http://x"}
    with pytest.raises(StepError, match="could not run") as error:
        parse_log(fortio_log.log_text(client, log, **failed))
    assert error.value.why == "warmup error: error 503 for http://x"


def test_no_request_is_no_measurement() -> None:
    client, log = simulated()
    empty = fortio_log.histogram([], [], 1e-4)
    text = fortio_log.log_text(client, log, DurationHistogram=empty)
    lines = [line for line in text.split("\n") if not line.startswith('{"latency"')]
    with pytest.raises(StepError, match="made no request"):
        parse_log("\n".join(lines))


def test_fewer_errors_in_the_access_log_are_noticed() -> None:
    text = recording("1.68.0-errors").replace('"ok":false', '"ok":true', 1)
    with pytest.raises(StepError, match="the access log has 200 requests"):
        parse_log(text)


@pytest.mark.parametrize(
    "changed",
    [
        {"RequestedQPS": "max"},
        {"RequestedDuration": "until stop"},
        {"RequestedDuration": "exactly 100 calls", "Exactly": 100},
        {"Jitter": True},
    ],
)
def test_load_without_a_schedule_is_refused(changed: dict[str, object]) -> None:
    client, log = simulated()
    with pytest.raises(StepError, match="were due is unknown"):
        parse_log(fortio_log.log_text(client, log, **changed))


def test_units() -> None:
    client, log = simulated()
    text = fortio_log.log_text(client, log, RequestedDuration="1m15s", RequestedQPS="66.6666667")
    run = parse_log(text)
    assert run.seconds == 75.0
    assert run.rps == 66.6666667
    assert run.start_ns == fortio_log.T0
    assert run.calls_each == 1250
    assert run.log.latency.tolist() == [row["latency"] for row in log]
    assert run.log.start_ns.tolist() == [row["timestamp"] for row in log]


@pytest.mark.parametrize(
    ("time", "nanoseconds"),
    [
        ("2026-11-24T23:36:47Z", 1795563407 * 10**9),
        ("2026-11-25T00:36:47.5+01:00", 1795563407 * 10**9 + 500_000_000),
        ("2026-11-24T23:36:47.000000001Z", 1795563407 * 10**9 + 1),
    ],
)
def test_times_are_exact(time: str, nanoseconds: int) -> None:
    client, log = simulated()
    assert parse_log(fortio_log.log_text(client, log, StartTime=time)).start_ns == nanoseconds


def test_resolution_of_the_json_counts() -> None:
    client, log = simulated()
    values = [row["latency"] for row in log]
    coarse = fortio_log.histogram(values, [50.0], 1e-3)
    changed = {"DurationHistogram": coarse, "Resolution": 1e-3}
    run = parse_log(fortio_log.log_text(client, log, **changed))
    assert run.buckets.resolution == 1e-3
    assert run.buckets.percentile(50) == coarse["Percentiles"][0]["Value"]


def test_recordings_name_no_machine() -> None:
    for path in RECORDINGS.glob("*.log"):
        text = path.read_text()
        assert set(re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", text)) <= {"127.0.0.1"}
        for line in text.split("\n"):
            if '"Labels"' in line:
                assert json.loads("{" + line.rstrip(",") + "}")["Labels"].startswith("recorded")
