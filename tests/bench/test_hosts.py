"""What a probe says of its node, and what of it spoils a block."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runbook.bench import hosts
from runbook.bench.snapshot import Host, Spent

LINE = (
    '{"t": 1795565065, "up": 14371.88, "temp_mc": 48312, "khz": 1500000, '
    '"governor": "ondemand", "throttled": "0x50000", "model": "Raspberry Pi 4 Model B Rev 1.4", '
    '"stat": "cpu  1000 20 300 90000 500 7 90 11 4 0"}'
)


def line(second: float, **changed: Any) -> str:
    return json.dumps({**json.loads(LINE), "t": 1000 + second, "up": 50.0 + second, **changed})


def busy(ticks: int, softirq: int = 0) -> str:
    return f"cpu  {ticks} 0 0 900 0 0 {softirq} 0 0 0"


def test_a_line_of_the_probe() -> None:
    assert hosts.parse(LINE) == Host(
        temperature=48.312,
        mhz=1500.0,
        governor="ondemand",
        throttled=0x50000,
        softirq=0.9,
        busy=(1000 + 20 + 300 + 7 + 90) / 100,  # idle, iowait and steal are not
        time=1795565065,
        uptime=14371.88,
    )


def test_a_machine_that_is_no_pi() -> None:
    text = '{"t": 5, "temp_mc": null, "khz": null, "governor": "", "throttled": "", "stat": ""}'
    assert hosts.parse(text) == Host(time=5.0)


def test_the_register_without_a_prefix() -> None:
    found = hosts.parse(line(0, throttled="50005"))  # as sysfs prints it
    assert found is not None
    assert found.throttled == 0x50005


@pytest.mark.parametrize("text", ["", LINE[:60], "sh: date: not found", "[]", '{"t": null}', "7"])
def test_what_is_no_line_is_none(text: str) -> None:
    assert hosts.parse(text) is None


def test_unknown_counters_are_not_read() -> None:
    found = hosts.parse(line(0, stat="cpu  1 2 3"))
    assert found is not None
    assert (found.busy, found.softirq) == (None, None)


def test_a_log_with_cut_lines() -> None:
    log = f"{LINE[30:]}\n{line(4)}\n{line(2)}\n{line(6)[:40]}"
    assert [host.time for host in hosts.history(log)] == [1002, 1004]


# --- what a node spent --------------------------------------------------------------------------


def test_spent_is_of_lines_within_the_load_by_the_nodes_own_uptime() -> None:
    log = [
        line(0, stat=busy(0)),
        line(2, up=60.0, stat=busy(100, 10), temp_mc=60_000, khz=1_500_000),
        line(4, up=62.02, stat=busy(250, 20), temp_mc=71_000, khz=1_200_000, throttled="0x4"),
        line(6, up=64.05, stat=busy(400, 40), temp_mc=70_000, throttled="0x2"),
        line(8, stat=busy(900)),
    ]
    found = hosts.spent(hosts.history("\n".join(log)), 1001.5, 1007.5)
    assert found is not None
    assert found.seconds == pytest.approx(4.05)
    assert found.busy == pytest.approx(3.3)
    assert found.softirq == pytest.approx(0.3)
    assert (found.temperature, found.mhz, found.throttled) == (71.0, 1200.0, 0x50006)


def test_a_line_may_be_a_second_younger_than_it_says() -> None:
    lines = hosts.history("\n".join(line(n, stat=busy(100 * n)) for n in (0, 2, 4)))
    assert hosts.spent(lines, 1000, 1004.9) == hosts.spent(lines[:2], 1000, 1004.9)


def test_without_uptime_times_are_used() -> None:
    lines = hosts.history("\n".join(line(n, up=None, stat=busy(50 * n)) for n in (0, 2, 4)))
    found = hosts.spent(lines, 1000, 1009)
    assert found is not None
    assert (found.seconds, found.busy) == (4.0, 2.0)


def test_no_difference_no_figure() -> None:
    lines = hosts.history("\n".join(line(n, stat=busy(100 * n)) for n in (0, 2, 4)))
    assert hosts.spent(lines, 1000, 1001.9) is None, "one line"
    assert hosts.spent(lines, 2000, 2010) is None, "none"
    silent = hosts.history("\n".join(line(n, stat="") for n in (0, 2, 4)))
    assert hosts.spent(silent, 1000, 1009) is None
    rebooted = hosts.history(
        "\n".join((line(0, stat=busy(900)), line(2, stat=busy(5)), line(4, stat=busy(990))))
    )
    assert hosts.spent(rebooted, 1000, 1009) is None, "never negative, nor a part of it"


# --- what spoils a block ------------------------------------------------------------------------

FINE = Host(temperature=55.0, governor="performance", throttled=0, busy=10.0, softirq=1.0)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({}, {"busy": 20.0, "temperature": 79.9}, ()),
        (
            {"throttled": 0x50005},
            {"throttled": 0x50000},
            ("the node reported under-voltage, throttled (0x50005) before the block",),
        ),
        ({"throttled": 0x50000}, {"throttled": 0x50000}, ()),
        (
            {"throttled": 0x50000},
            {"throttled": 0x70000},
            ("during the block the node reported clock capped",),
        ),
        (
            {},
            {"throttled": 0x80008},
            (
                "the node reported soft temperature limit (0x80008) after the block",
                "during the block the node reported soft temperature limit",
            ),
        ),
        ({"throttled": None}, {"throttled": 0x10000}, ()),
        ({"temperature": 84.6}, {}, ("the processor was at 85 °C, above 80",)),
        ({"temperature": None}, {"temperature": None}, ()),
        (
            {"governor": ""},
            {},
            ("the frequency governor changed from none to performance",),
        ),
        ({"busy": 10.0}, {"busy": 2.0}, ("the node was restarted",)),
        ({"busy": None}, {"busy": 2.0}, ()),
    ],
)
def test_problems(before: dict[str, Any], after: dict[str, Any], said: tuple[str, ...]) -> None:
    first, last = (FINE.model_copy(update=changed) for changed in (before, after))
    assert hosts.problems(first, last) == said


def test_problems_under_load() -> None:
    fine = Spent(seconds=10, busy=5, softirq=1, temperature=80.0, throttled=0x50000)
    assert hosts.problems_during(fine) == ()
    hot = fine.model_copy(update={"temperature": 82.4, "throttled": 0x50002})
    assert hosts.problems_during(hot) == (
        "the node reported clock capped (0x50002) under load",
        "the processor was at 82 °C, above 80",
    )
    assert hosts.problems_during(Spent(seconds=1, busy=1, softirq=0)) == ()


@pytest.mark.parametrize(
    ("changed", "verdicts"),
    [
        ({}, ["pass", "pass", "pass"]),
        ({"throttled": 0x50000}, ["warn", "pass", "pass"]),
        ({"throttled": 0x50005}, ["fail", "pass", "pass"]),
        ({"temperature": 75.0}, ["pass", "warn", "pass"]),
        ({"temperature": 85.0}, ["pass", "fail", "pass"]),
        ({"governor": "ondemand"}, ["pass", "pass", "warn"]),
        ({"throttled": None, "temperature": None, "governor": ""}, ["skip", "skip", "skip"]),
    ],
)
def test_health(changed: dict[str, Any], verdicts: list[str]) -> None:
    found = hosts.health({"node2": FINE.model_copy(update=changed)})
    assert [outcome.verdict for outcome in found] == verdicts
    assert [outcome.id for outcome in found] == [
        "node2-throttling",
        "node2-temperature",
        "node2-governor",
    ]
    assert all(bool(outcome.fix) == (outcome.verdict in ("warn", "fail")) for outcome in found)
