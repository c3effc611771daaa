"""What an existing Prometheus adds: heat, power and pressure meanwhile, and a third account of CPU.

The figures of record are those of the snapshots. Names are node_exporter's and cAdvisor's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from runbook.bench.campaign import Campaign
from runbook.bench.consumption import used
from runbook.bench.hosts import HOTTEST
from runbook.bench.kubelet import seconds
from runbook.bench.snapshot import Snapshot
from runbook.checks import Outcome, Verdict
from runbook.errors import RunbookError
from runbook.linkerd.outcomes import judge
from runbook.linkerd.pods import PROXY
from runbook.prometheus import Prometheus, Series

__all__ = ["Weather", "account", "labelled", "outcomes", "weather"]

_SHARE, _TICKS = 0.05, 0.02  # as between the other accounts
_WAITING = 0.1  # share of the time in which some task waits for a processor, before we say so
_CPU = "container_cpu_usage_seconds_total"


@dataclass(frozen=True)
class Weather:
    """What a node went through, as node_exporter saw it; ``None`` is what it does not export.

    Attributes:
        node: Name of the node, else the address that is scraped.
        hottest: Degrees Celsius.
        slowest: Lowest clock of any core, in MHz.
        fastest: Highest clock its governor allows, in MHz.
        under_voltage: Whether the power supply was too weak at some time.
        cooling: Whether a cooling device was at work, such as a capped clock.
        waiting: Share of the time in which some task waited for a processor.
        dropped: Packets dropped because the queue of a core was full.
    """

    node: str
    hottest: float | None = None
    slowest: float | None = None
    fastest: float | None = None
    under_voltage: bool | None = None
    cooling: bool | None = None
    waiting: float | None = None
    dropped: float | None = None


def outcomes(prometheus: Prometheus, campaign: Campaign) -> list[Outcome]:
    """Say what Prometheus adds to a campaign; an error becomes one outcome, not an end."""
    span = _span(campaign)
    if span is None:
        return [_skipped("there is no block to ask about")]
    try:
        return [
            labelled(prometheus, span[1]),
            *account(prometheus, campaign),
            *(judged for one in weather(prometheus, *span) for judged in _judged(one)),
        ]
    except RunbookError as error:
        return [_skipped(error.brief)]


def labelled(prometheus: Prometheus, moment: float) -> Outcome:
    """Say whether cAdvisor's series tell containers apart, which on K3s they often do not."""
    found = prometheus.at(f'count({_CPU}{{container="{PROXY}"}})', moment)
    count = int(found[0].last) if found else 0
    return judge(
        "prometheus-containers",
        "Prometheus tells containers apart",
        "pass" if count else "warn",
        expected=f'series of {_CPU} with container="{PROXY}"',
        seen=f"{count} series" if count else "none: the kubelets' account stands alone",
        why="K3s' embedded containerd is not always known to cAdvisor, which then leaves the "
        "label container empty (k3s#473)",
        fix="nothing needs doing: figures come from the kubelets' Summary API",
    )


def account(prometheus: Prometheus, campaign: Campaign) -> list[Outcome]:
    """Compare CPU of the meshed servers with what the snapshots say, over the whole campaign.

    Made of raw samples and their own times: ``increase()`` is extrapolated by up to one scrape
    interval at each end. Prometheus samples at other moments than the snapshots, so that means
    over almost the same time are compared.
    """
    snapshots = sorted(campaign.snapshots, key=lambda snapshot: snapshot.at)
    pods = sorted({pod for snapshot in snapshots for pod in snapshot.proxies})
    return [_account(prometheus, pod, snapshots) for pod in pods]


def weather(prometheus: Prometheus, start: float, end: float) -> list[Weather]:
    """Read what nodes went through.

    Args:
        prometheus: Whom to ask.
        start: In seconds since 1970.
        end: In seconds since 1970.
    """
    length = f"{math.ceil(end - start)}s"

    def extreme(function: str, *metrics: str) -> dict[str, float]:
        pick = max if function == "max" else min
        queries = [f"{function}_over_time({metric}[{length}])" for metric in metrics]
        return _by_node((s for q in queries for s in prometheus.at(q, end)), pick)

    def grown(metric: str) -> dict[str, tuple[float, float]]:
        found: dict[str, tuple[float, float]] = {}
        for series in prometheus.samples(metric, start, end):
            growth = series.growth()
            if growth is not None:
                earlier = found.get(_node(series), (0.0, 0.0))
                found[_node(series)] = (earlier[0] + growth.value, growth.seconds)
        return found

    hottest = extreme("max", "node_thermal_zone_temp", "node_hwmon_temp_celsius")
    slowest = extreme("min", "node_cpu_scaling_frequency_hertz")
    fastest = extreme("max", "node_cpu_scaling_frequency_max_hertz")
    # node_exporter divides whatever is called in* by 1000, alarms too: on is 0.001, not 1.
    alarm = extreme("max", "node_hwmon_in_lcrit_alarm_volts")
    cooling = extreme("max", "node_cooling_device_cur_state")
    waiting = grown("node_pressure_cpu_waiting_seconds_total")
    dropped = grown("node_softnet_dropped_total")
    every = {*hottest, *slowest, *fastest, *alarm, *cooling, *waiting, *dropped}
    return [
        Weather(
            node=node,
            hottest=hottest.get(node),
            slowest=_mhz(slowest.get(node)),
            fastest=_mhz(fastest.get(node)),
            under_voltage=alarm[node] > 0 if node in alarm else None,
            cooling=cooling[node] > 0 if node in cooling else None,
            waiting=waiting[node][0] / waiting[node][1] if node in waiting else None,
            dropped=dropped[node][0] if node in dropped else None,
        )
        for node in sorted(every)
    ]


def _account(prometheus: Prometheus, pod: str, snapshots: list[Snapshot]) -> Outcome:
    id_ = f"prometheus-cpu-{pod}"
    namespace, _, name = pod.partition("/")
    title = f"{pod}: Prometheus and kubelet account for the same CPU"
    key = f"{pod}/{PROXY}"
    usages = [s.containers[key] for s in snapshots if key in s.containers]
    ours = used(usages[0], usages[-1]) if len(usages) > 1 else "its kubelet was not read twice"
    if isinstance(ours, str):
        return judge(id_, title, "skip", seen=ours)
    start, end = seconds(usages[0].time) or 0.0, seconds(usages[-1].time) or 0.0
    selector = f'{_CPU}{{namespace="{namespace}",pod="{name}",container="{PROXY}"}}'
    growths = [series.growth() for series in prometheus.samples(selector, start, end)]
    if len(growths) != 1 or growths[0] is None:
        seen = "no series of this container" if not growths else "its counter was reset"
        return judge(id_, title, "skip", seen=seen)
    theirs = growths[0]
    mean = 1000 * theirs.value / theirs.seconds
    allowed = _SHARE * ours.mcore + 1000 * _TICKS / ours.length
    return judge(
        id_,
        title,
        "pass" if abs(mean - ours.mcore) <= allowed else "warn",
        expected="means within 5 % and 20 ms",
        seen=f"{mean:.1f} mcore by Prometheus over {theirs.seconds:.0f} s, {ours.mcore:.1f} by "
        f"the kubelet over {ours.length:.0f} s",
        why="they cover somewhat different times, or scrapes were missed",
        fix="trust the kubelet's figure: its samples are at the ends of blocks",
    )


def _judged(one: Weather) -> list[Outcome]:
    found = []
    if one.hottest is not None:
        hot: Verdict = "pass" if one.hottest <= HOTTEST else "warn"
        found.append(
            judge(
                f"prometheus-heat-{one.node}",
                f"{one.node} stayed cool",
                hot,
                expected=f"at most {HOTTEST:.0f} °C",
                seen=f"{one.hottest:.0f} °C" + _clocks(one),
                why="the firmware lowers the clock of a hot processor",
                fix="give it a fan or a heat sink, or longer pauses",
            )
        )
    if one.under_voltage is not None:
        found.append(
            judge(
                f"prometheus-power-{one.node}",
                f"{one.node} had enough power",
                "warn" if one.under_voltage else "pass",
                seen="under-voltage" if one.under_voltage else "no alarm",
                why="its power supply or cable is too weak",
                fix="use the official power supply",
            )
        )
    if one.waiting is not None:
        found.append(
            judge(
                f"prometheus-pressure-{one.node}",
                f"{one.node} had processors to spare",
                "pass" if one.waiting <= _WAITING else "warn",
                expected=f"tasks waited at most {_WAITING:.0%} of the time",
                seen=f"{one.waiting:.1%}"
                + (f", {one.dropped:.0f} packets dropped" if one.dropped else ""),
                why="something else is at work on it, or the rates are too high for it",
                fix="look at what runs there, or lower the rates",
            )
        )
    return found


def _clocks(one: Weather) -> str:
    if one.slowest is None or one.fastest is None:
        return ""
    return f", {one.slowest:.0f} to {one.fastest:.0f} MHz"


def _span(campaign: Campaign) -> tuple[float, float] | None:
    """Give when the first block began and the last one ended."""
    times = [moment for s in campaign.snapshots if (moment := seconds(s.at)) is not None]
    return (min(times), max(times)) if times and max(times) > min(times) else None


def _by_node(found: Iterable[Series], pick: Callable[[float, float], float]) -> dict[str, float]:
    values: dict[str, float] = {}
    for series in found:
        node = _node(series)
        values[node] = pick(values.get(node, series.last), series.last)
    return values


def _node(series: Series) -> str:
    labels = series.labels
    return labels.get("node") or labels.get("nodename") or labels.get("instance", "a node")


def _mhz(hertz: float | None) -> float | None:
    return None if hertz is None else hertz / 1e6


def _skipped(why: str) -> Outcome:
    return judge("prometheus", "Prometheus adds its account", "skip", seen=why)
