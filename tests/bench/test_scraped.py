"""What a Prometheus adds to a campaign: with answers as given, and with a real one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import pytest
from footprint_samples import NAMES, World
from prometheus_server import endpoint, running

from runbook.bench import scraped
from runbook.bench.campaign import Campaign
from runbook.bench.kubelet import seconds
from runbook.errors import UnreachableError
from runbook.prometheus import Prometheus, Series

POD = NAMES["meshed"]
NAMESPACE, NAME = POD.split("/")
LABELS = f'{{namespace="{NAMESPACE}",pod="{NAME}",container="linkerd-proxy"}}'


class Told(Prometheus):
    """A Prometheus that answers as it is told, by what a query begins with."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers

    def at(self, query: str, moment: float | None = None) -> list[Series]:
        return self._answer(query)

    def samples(self, selector: str, start: float, end: float) -> list[Series]:
        return self._answer(selector)

    def _answer(self, query: str) -> list[Series]:
        for beginning, answer in self.answers.items():
            if query.startswith(beginning):
                if isinstance(answer, Exception):
                    raise answer
                return cast(list[Series], answer)
        return []


def one(value: float, instance: str = "10.0.0.2:9100", **labels: str) -> Series:
    return Series({"instance": instance, **labels}, ((100.0, value),))


def counter(*points: tuple[float, float], **labels: str) -> Series:
    return Series({"instance": "10.0.0.2:9100", **labels}, points)


def test_weather_of_each_node() -> None:
    told = Told(
        {
            "max_over_time(node_thermal_zone_temp[": [one(66.2, zone="0"), one(48.0, zone="1")],
            "max_over_time(node_hwmon_temp_celsius[": [one(71.5), one(44.0, "10.0.0.3:9100")],
            "min_over_time(node_cpu_scaling_frequency_hertz[": [one(1.5e9), one(6e8)],
            "max_over_time(node_cpu_scaling_frequency_max_hertz[": [one(1.8e9)],
            "max_over_time(node_hwmon_in_lcrit_alarm_volts[": [one(0.001)],
            "max_over_time(node_cooling_device_cur_state[": [one(0.0)],
            "node_pressure_cpu_waiting_seconds_total": [counter((0, 5.0), (100, 35.0))],
            "node_softnet_dropped_total": [
                counter((0, 5.0), (100, 7.0), cpu="0"),
                counter((0, 0.0), (100, 1.0), cpu="1"),
                counter((0, 9.0), (100, 1.0), cpu="2"),
            ],
        }
    )
    assert scraped.weather(told, 0.0, 100.0) == [
        scraped.Weather("10.0.0.2:9100", 71.5, 600.0, 1800.0, True, False, 0.3, 3.0),
        scraped.Weather("10.0.0.3:9100", 44.0),
    ]


@pytest.mark.parametrize(("alarm", "verdict"), [(0.001, "warn"), (1.0, "warn"), (0.0, "pass")])
def test_an_alarm_reads_a_thousandth(alarm: float, verdict: str) -> None:
    told = Told({"max_over_time(node_hwmon_in_lcrit_alarm_volts[": [one(alarm)]})
    found = scraped.outcomes(told, World().campaign(1))
    power = [outcome for outcome in found if outcome.id.startswith("prometheus-power")]
    assert [outcome.verdict for outcome in power] == [verdict]


def test_series_without_container_labels_are_said() -> None:
    missing = scraped.labelled(Told({}), 1.0)
    assert missing.verdict == "warn"
    assert missing.seen == "none: the kubelets' account stands alone"
    there = scraped.labelled(Told({"count(": [one(3.0)]}), 1.0)
    assert (there.verdict, there.seen) == ("pass", "3 series")


def cpu(campaign: Campaign, share: float = 1.0) -> dict[str, Any]:
    """Give samples of cAdvisor that say a share of what the kubelets do."""
    key = f"{POD}/linkerd-proxy"
    points = []
    for snapshot in (s for block in campaign.blocks for s in (block.before, block.after)):
        usage = snapshot.containers[key]
        points.append((seconds(usage.time) or 0.0, share * (usage.cpu_seconds or 0.0)))
    return {f"container_cpu_usage_seconds_total{LABELS[:-1]}": [counter(*points)]}


@pytest.mark.parametrize(("share", "verdict"), [(1.0, "pass"), (0.97, "pass"), (0.9, "warn")])
def test_third_account_of_cpu(share: float, verdict: str) -> None:
    campaign = World().campaign(4)
    (found,) = scraped.account(Told(cpu(campaign, share)), campaign)
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("series", "seen"),
    [
        ([], "no series of this container"),
        ([counter((0, 5.0), (60, 1.0))], "its counter was reset"),
        ([counter((0, 5.0))], "its counter was reset"),
    ],
)
def test_no_third_account(series: list[Series], seen: str) -> None:
    told = Told({"container_cpu_usage_seconds_total": series})
    (found,) = scraped.account(told, World().campaign(2))
    assert (found.verdict, found.seen) == ("skip", seen)


def test_an_error_is_one_outcome() -> None:
    told = Told({"count(": UnreachableError("cannot read from Prometheus", why="refused")})
    (found,) = scraped.outcomes(told, World().campaign(1))
    assert (found.verdict, found.seen) == ("skip", "cannot read from Prometheus: refused")
    (empty,) = scraped.outcomes(told, World().campaign(0))
    assert empty.verdict == "skip"


# --- a real Prometheus --------------------------------------------------------------------------


class Exporter:
    """Shows a campaign as cAdvisor and node_exporter would: each scrape is a sample later."""

    def __init__(self, campaign: Campaign) -> None:
        key = f"{POD}/linkerd-proxy"
        self.samples = [
            (seconds(usage.time) or 0.0, usage.cpu_seconds or 0.0)
            for block in campaign.blocks
            for usage in (block.before.containers[key], block.after.containers[key])
        ]
        self.samples = sorted(dict(self.samples).items())
        self.shown = 0

    def text(self) -> str:
        moment, used = self.samples[min(self.shown, len(self.samples) - 1)]
        self.shown += 1
        stamp = int(1000 * moment)
        return (
            f"container_cpu_usage_seconds_total{LABELS} {used} {stamp}\n"
            f'node_thermal_zone_temp{{zone="0",type="cpu-thermal"}} {60 + self.shown} {stamp}\n'
            f'node_hwmon_in_lcrit_alarm_volts{{chip="rpi_volt",sensor="in0"}} 0.001 {stamp}\n'
            f"node_pressure_cpu_waiting_seconds_total {moment * 0.02} {stamp}\n"
        )


def job(port: int) -> dict[str, Any]:
    target = {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": "node2"}}
    return {"job_name": "node", "static_configs": [target]}


def test_a_real_prometheus(tmp_path: Path) -> None:
    campaign = World(begun=time.time() - 45 * 60).campaign(6, rates=(50, 200))
    exporter = Exporter(campaign)
    with endpoint(exporter.text) as port, running(tmp_path, [job(port)], interval="100ms") as own:
        prometheus = Prometheus(f"http://127.0.0.1:{own}")
        end = time.monotonic() + 60
        while time.monotonic() < end and exporter.shown < len(exporter.samples) + 3:
            time.sleep(0.05)
        found = {outcome.id: outcome for outcome in scraped.outcomes(prometheus, campaign)}
        selector = f"container_cpu_usage_seconds_total{LABELS}"
        first, last = exporter.samples[0][0], exporter.samples[-1][0]
        (series,) = prometheus.samples(selector, first - 0.001, last)
        prometheus.close()
    assert exporter.shown >= len(exporter.samples), (tmp_path / "log").read_text()
    assert list(series.points) == exporter.samples, "every sample once, at its own time"
    account = found[f"prometheus-cpu-{POD}"]
    assert account.verdict == "pass", account.seen
    assert found["prometheus-containers"].verdict == "pass"
    assert found["prometheus-power-node2"].verdict == "warn"
    assert found["prometheus-heat-node2"].seen.startswith("7")
    assert found["prometheus-pressure-node2"].seen == "2.0%"
