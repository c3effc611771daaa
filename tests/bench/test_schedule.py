"""Response times from the schedule: right where the truth is known, checked where it is real."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import fortio_log
import numpy as np
import pytest
from fortio_log import Client, Server, exact_quantile, go_timers, lognormal
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.bench.fortio import FortioRun, parse_log
from runbook.bench.histogram import Histogram
from runbook.bench.schedule import Measured, Slots, due, measure
from runbook.errors import StepError

RECORDINGS = Path(__file__).parent / "recordings"
SECOND = 1_000_000_000
MEASURED = sorted(
    path.stem
    for path in RECORDINGS.glob("*.log")
    if not path.stem.endswith(("refused", "refused-grpc", "jitter", "max"))
)


def recording(name: str) -> FortioRun:
    return parse_log((RECORDINGS / f"{name}.log").read_text())


def simulated(client: Client, server: Server, **changed: Any) -> FortioRun:
    return parse_log(fortio_log.log_text(client, client.run(server), **changed))


def constant(seconds: float) -> Server:
    return Server(lambda *_: seconds)


def whole(run: FortioRun, warmup: float = 0.0) -> Measured:
    return measure([run], warmup=warmup, seconds=run.seconds - warmup)


# The schedule


def test_due_is_as_fortio_computes_it() -> None:
    run = simulated(Client(100, 1.0, 4), constant(0.001))  # 25 calls each
    at = due(run, np.array([0, 3, 0, 2]), np.array([0, 0, 24, 12]))
    assert at.tolist() == pytest.approx([0, 0.03, 1.0, 0.02 + 12.5 / 25])


def test_without_uniform_all_connections_begin_at_once() -> None:
    run = simulated(Client(100, 1.0, 4, uniform=False), constant(0.001))
    assert due(run, np.array([0, 3]), np.array([0, 0])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", MEASURED)
def test_real_requests_leave_within_a_timer_of_when_they_could(name: str) -> None:
    """The formula, against the real thing: no request before it is due, most within 1.2 ms."""
    late = Slots.of(recording(name)).late
    assert np.nanmin(late) > -1e-5
    assert np.nanquantile(late, 0.9) < 0.0015


@pytest.mark.parametrize("version", ["1.63.10", "1.66.5", "1.68.0"])
def test_real_stall(version: str) -> None:
    """Responses are those by time stamps, less what fortio's timers were late; fortio misses."""
    run = recording(f"{version}-stall")
    slots = Slots.of(run)
    stamps = (run.log.start_ns - run.start_ns) / 1e9 + run.log.latency
    plain = stamps - due(run, run.log.thread, run.log.iteration)
    excess = plain - slots.response[run.log.thread, run.log.iteration]
    assert excess.min() > -1e-5
    assert np.quantile(excess, 0.95) < 0.002
    ours = whole(run)
    # 0.5 of 3 s: a sixth of all requests waited, by up to 0.5 s
    assert ours.behind == pytest.approx(1 / 6, abs=0.03)
    assert ours.response.quantile(0.9) == pytest.approx(0.2, abs=0.02)
    assert ours.response.quantile(1.0) == pytest.approx(0.5, abs=0.02)
    assert ours.fortio["p90"] < 5
    assert ours.service.quantile(0.9) < 0.005


# Known truth

QUIET: tuple[tuple[float, float], ...] = ()
STALLS = ((2.0, 2.3), (5.0, 5.3))


@pytest.mark.parametrize("stalls", [QUIET, STALLS], ids=["quiet", "stalls"])
@pytest.mark.parametrize(("rps", "connections"), [(400, 4), (400, 32)])
def test_exact_timers_give_the_truth_itself(
    stalls: tuple[tuple[float, float], ...], rps: int, connections: int
) -> None:
    client = Client(rps, 8.0, connections)
    run = simulated(client, Server(lognormal(3), stalls))
    got = Slots.of(run).response.ravel()
    assert np.abs(got - np.array([response for _, response in client.truth])).max() < 2e-4
    ours = whole(run, warmup=1.0)
    assert ours.response.count == len(client.responses(1.0, 8.0))


@pytest.mark.parametrize("seed", range(3))
def test_timers_do_not_matter(seed: int) -> None:
    client = Client(800, 10.0, 16, timers=go_timers(seed), overhead=3e-5)
    run = simulated(client, Server(lognormal(seed), STALLS))
    ours = whole(run, warmup=1.0)
    truth = client.responses(1.0, 10.0)
    for p in (0.5, 0.9, 0.99, 0.999):
        assert ours.response.quantile(p) == pytest.approx(exact_quantile(truth, p), rel=0.01)
    assert ours.late == 0
    assert ours.clock_step == 0
    assert ours.response.quantile(0.99) > 10 * ours.service.quantile(0.99)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_wait_is_that_of_one_request_after_the_other(data: st.DataObject) -> None:
    connections = data.draw(st.integers(1, 4))
    calls = data.draw(st.integers(2, 20)) * connections
    slow = st.sampled_from([0.001, 0.005, 0.0201, 0.05, 0.3])
    times = data.draw(st.lists(slow, min_size=calls, max_size=calls))
    client = Client(100, calls / 100, connections)
    each = int(100 * (calls / 100)) // connections
    table = {(k, i): times[k * each + i] for k in range(connections) for i in range(each)}
    log = client.run(Server(lambda k, i: table[k, i]))
    run = parse_log(fortio_log.log_text(client, log))
    slots = Slots.of(run)
    sent = slots.sent.ravel()  # fortio ends without its last when the time is over
    truth = np.array([response for _, response in client.truth])
    assert slots.response.ravel()[sent].tolist() == pytest.approx(truth[sent].tolist(), abs=2e-5)


def test_skipped_requests_have_their_place() -> None:
    exact = Client(400, 8.0, 4)
    exact.run(Server(lognormal(3), STALLS))
    run = simulated(Client(400, 8.0, 4, catch_up=False), Server(lognormal(3), STALLS))
    ours = whole(run)
    truth = exact.responses(0.0, 8.0)
    assert ours.refilled > 150
    assert ours.requests + ours.refilled == ours.scheduled == ours.response.count == len(truth)
    for p in (0.5, 0.99, 0.999):
        assert ours.response.quantile(p) == pytest.approx(exact_quantile(truth, p), rel=0.03)
    assert ours.service.count == ours.requests


def test_real_skipped_requests_give_the_same_picture() -> None:
    skipped, caught_up = whole(recording("1.68.0-nocatchup")), whole(recording("1.68.0-stall"))
    assert skipped.refilled > 30
    assert caught_up.refilled == 0
    assert skipped.response.count == caught_up.response.count
    for p in (0.5, 0.9, 0.99):
        ours, other = skipped.response.quantile(p), caught_up.response.quantile(p)
        assert ours == pytest.approx(other, rel=0.1, abs=2e-4)


def test_requests_that_were_never_sent_count_as_waiting() -> None:
    """Half of the rate can be served: fortio gives up when the time is over."""
    client = Client(100, 4.0, 1)
    run = simulated(client, constant(0.02))
    ours = whole(run)
    assert run.calls == pytest.approx(200, abs=3)
    assert ours.refilled == pytest.approx(200, abs=3)
    assert ours.achieved_rps == pytest.approx(50, abs=1)
    assert ours.behind > 0.98
    truth = client.responses(0.0, 4.0)
    assert ours.response.quantile(0.99) == pytest.approx(exact_quantile(truth, 0.99), rel=0.01)


# The window


def test_warm_up_is_cut_by_when_requests_were_due() -> None:
    """Slow in its first second; what is due afterwards does not show it."""
    server = Server(lambda k, i: 0.02 if i < 25 else 0.001)
    run = simulated(Client(100, 5.0, 4), server)
    assert whole(run).response.quantile(0.99) > 0.015
    ours = whole(run, warmup=1.1)
    assert ours.response.quantile(1.0) == pytest.approx(0.001, rel=0.01)
    assert ours.scheduled == ours.requests == pytest.approx(390, abs=4)
    assert ours.achieved_rps == pytest.approx(100, rel=0.02)
    assert ours.sent == 500 + 4
    assert ours.seconds == pytest.approx(3.9)
    assert ours.started == "2026-11-24T23:36:48.167+00:00"


def test_a_wait_that_began_in_the_warm_up_counts() -> None:
    run = simulated(Client(100, 4.0, 1), Server(lambda *_: 0.001, ((0.5, 1.5),)))
    ours = whole(run, warmup=1.0)
    # due at 1.0: until 1.5, and 50 were due before it
    assert ours.response.quantile(1.0) == pytest.approx(0.55, abs=0.01)
    assert ours.service.quantile(1.0) == pytest.approx(0.001, rel=0.01)


def test_failed_requests_are_counted_apart() -> None:
    """They fail fast: as latencies they would flatter."""
    server = Server(lambda k, i: 0.0001 if i % 5 == 0 else 0.004)
    client = Client(100, 5.0, 4, failed=lambda k, i: i % 5 == 0)
    ours = whole(simulated(client, server))
    assert ours.errors == pytest.approx(100, abs=4)
    assert ours.requests - ours.errors == ours.response.count == ours.service.count
    assert ours.response.quantile(0.0) == pytest.approx(0.004, rel=0.01)
    assert ours.codes == {"200": 400, "503": 100}


def test_what_failed_still_holds_up_the_others() -> None:
    server = Server(lambda k, i: 0.5 if i == 50 else 0.001)
    client = Client(100, 4.0, 1, failed=lambda k, i: i == 50)
    ours = whole(simulated(client, server))
    assert ours.errors == 1
    assert ours.response.quantile(1.0) == pytest.approx(0.49, abs=0.01)


def test_everything_failed() -> None:
    client = Client(100, 2.0, 4, failed=lambda *_: True)
    ours = whole(simulated(client, constant(0.001)))
    assert ours.errors == ours.requests
    assert ours.response == ours.service == Histogram()


def test_generators_share_a_window() -> None:
    """Each has its own begin; what counts is the time in which both ran."""
    first = Client(50, 5.0, 2)
    second = Client(50, 5.0, 2, start_ns=fortio_log.T0 + SECOND // 2)
    server = Server(lambda *_: 0.001, ((2.0, 2.4),))
    later = Server(lambda *_: 0.001, ((1.5, 1.9),))  # the same moment, by its own time
    ours = measure([simulated(first, server), simulated(second, later)], warmup=1.0, seconds=4.0)
    assert ours.seconds == pytest.approx(3.5)
    assert ours.started == "2026-11-24T23:36:48.567+00:00"
    assert ours.requested_rps == pytest.approx(100, rel=0.05)  # the schedule is stretched
    assert ours.achieved_rps == pytest.approx(100, rel=0.03)
    assert ours.scheduled == pytest.approx(350, rel=0.02)
    truth = first.responses(1.5, 5.0) + second.responses(1.0, 4.5)
    assert ours.scheduled == len(truth)
    for p in (0.5, 0.95, 0.99):
        assert ours.response.quantile(p) == pytest.approx(exact_quantile(truth, p), rel=0.01)
    assert ours.sent == 504


def test_real_generators_share_a_window() -> None:
    runs = [recording(f"1.68.0-generator-{number}") for number in (0, 1)]
    assert runs[1].start_ns - runs[0].start_ns == pytest.approx(0.2 * SECOND, abs=0.1 * SECOND)
    ours = measure(runs, warmup=0.5, seconds=2.0)
    overlap = 2.5 - 0.5 - (runs[1].start_ns - runs[0].start_ns) / 1e9
    assert ours.seconds == pytest.approx(overlap)
    assert ours.achieved_rps == pytest.approx(100, rel=0.05)
    assert ours.sent == sum(run.calls + run.threads for run in runs)
    assert ours.fortio["p50"] == pytest.approx(0.3, abs=0.2)


def test_generators_that_did_not_meet_are_refused() -> None:
    run = recording("1.68.0-http1")
    later = replace(run, start_ns=run.start_ns + SECOND)
    with pytest.raises(StepError, match=r"a window of 0.5 s instead of 1.5 s"):
        measure([run, later], warmup=0.5, seconds=1.5)


def test_versions_must_not_be_mixed() -> None:
    with pytest.raises(StepError, match=r"of one version of fortio, not 1.66.5, 1.68.0"):
        measure([recording("1.68.0-http1"), recording("1.66.5-http1")], warmup=0, seconds=2)
    with pytest.raises(StepError, match="not none"):
        measure([], warmup=0, seconds=2)


def test_interrupted_run_is_refused() -> None:
    run = replace(recording("1.68.0-http1"), took=1.2)
    with pytest.raises(StepError, match=r"fortio ended after 1.2 of 2.0 s"):
        whole(run)


@pytest.mark.parametrize("change", [{"NumThreads": 3}, {"RequestedDuration": "1.5s"}])
def test_log_of_another_schedule_is_refused(change: dict[str, object]) -> None:
    client = Client(100, 2.0, 4)
    with pytest.raises(StepError, match="does not fit its schedule"):
        whole(simulated(client, constant(0.001), **change))


def test_same_request_twice_is_refused() -> None:
    client = Client(100, 2.0, 4)
    log = client.run(constant(0.001))
    text = fortio_log.log_text(client, [*log[:-1], log[0]])
    with pytest.raises(StepError, match="does not fit its schedule"):
        whole(parse_log(text))


# The generator


def test_late_generator_is_told_from_slow_server() -> None:
    slow = whole(simulated(Client(100, 4.0, 1), Server(lambda *_: 0.001, ((1.0, 1.5),))))
    assert slow.late == 0
    assert slow.behind > 0.1
    rng = np.random.default_rng(1)
    starved = Client(100, 4.0, 4, timers=lambda: float(rng.exponential(0.002)))
    ours = whole(simulated(starved, constant(0.001)))
    assert ours.late == pytest.approx(np.exp(-1), abs=0.08)
    assert ours.behind == 0
    assert ours.response.quantile(0.99) == pytest.approx(0.001, rel=0.01)
    assert ours.clock_step == 0


@pytest.mark.parametrize("jump", [-2.0, -0.01, 0.01, 0.5, 30.0])
@pytest.mark.parametrize("stalls", [QUIET, STALLS], ids=["quiet", "stalls"])
def test_clock_step_is_noticed_and_harmless(
    jump: float, stalls: tuple[tuple[float, float], ...]
) -> None:
    def clock(second: float) -> float:
        return jump if second > 4.0 else 0.0

    exact = Client(100, 8.0, 4, timers=go_timers(1))
    jumping = replace(exact, clock=clock, timers=go_timers(1), truth=[])
    server = Server(lognormal(1), stalls)
    plain, ours = whole(simulated(exact, server)), whole(simulated(jumping, server))
    assert plain.clock_step == 0
    assert ours.clock_step == pytest.approx(jump, abs=0.0015)
    assert ours.response == plain.response
    assert ours.service == plain.service


@pytest.mark.parametrize("name", MEASURED)
def test_recordings_have_no_clock_step(name: str) -> None:
    assert whole(recording(name)).clock_step == 0


# What is kept


def test_values_fit_the_record_of_a_run() -> None:
    ours = whole(recording("1.68.0-errors"), warmup=0.5)
    run = ours.run("meshed", 2)
    assert (run.arm, run.position, run.version) == ("meshed", 2, "1.68.0")
    assert run.response == ours.response
    assert run.errors == ours.errors > 10
    assert run.fortio["p99"] == ours.fortio["p99"]
    assert set(run.fortio) == {"p50", "p75", "p90", "p95", "p99", "p99.9", "p99.99"}
    assert ours.lost > 10  # fortio opens a connection anew after an error
