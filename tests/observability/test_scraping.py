"""Whether Prometheus scrapes Linkerd: selection by objects, targets and series by a real one."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_context import FakeCluster, bad, conditions, context, obj, verdicts
from real_prometheus import PROXY_METRICS, discovered, endpoint, running, scrape_job

from runbook import observability
from runbook.monitoring import API_VERSION
from runbook.observability.monitors import CONTROLLER, PROXY, pod_monitors
from runbook.observability.scraping import DASHBOARD_SERIES
from runbook.params import Params
from runbook.releases import find

LINE = find("edge-2.20")
LABELS = {"release": "kps"}


def prometheus(**spec: Any) -> dict[str, Any]:
    given = {
        "podMonitorSelector": {"matchLabels": LABELS},
        "podMonitorNamespaceSelector": {},
    } | spec
    return obj(
        API_VERSION,
        "Prometheus",
        "p",
        "k3s-monitoring",
        spec=given,
        status=conditions(Available="True"),
    )


def pod(
    name: str, namespace: str, *containers: tuple[str, str], meshed: bool = True
) -> dict[str, Any]:
    return obj(
        "v1",
        "Pod",
        name,
        namespace,
        {"linkerd.io/control-plane-ns": "linkerd"} if meshed else {"app": "plain"},
        spec={
            "containers": [
                {"name": c, "ports": [{"name": port, "containerPort": 4191}]}
                for c, port in containers
            ]
        },
        status={"phase": "Running"},
    )


SIDECAR = ("linkerd-proxy", "linkerd-admin")
PODS = [
    pod("identity-1", "linkerd", ("identity", "ident-admin"), SIDECAR),
    pod("web-1", "linkerd-viz", ("web", "admin"), SIDECAR),
    pod("shop-1", "shop", ("shop", "http"), SIDECAR),
    pod("plain-1", "shop", ("shop", "http"), meshed=False),
]


def chosen(*objects: Any, **params: Any) -> Any:
    made = context(FakeCluster([*PODS, *objects]), **params)
    made.cluster.add(*pod_monitors(LINE, Params(), LABELS))
    return made


# --- selection ----------------------------------------------------------------------------------


def test_each_monitor_is_selected() -> None:
    found = verdicts(observability.monitors_selected, chosen(prometheus()))
    assert len(found) == 4
    assert set(found.values()) == {"pass"}


@pytest.mark.parametrize(
    "spec",
    [
        {"podMonitorSelector": {"matchLabels": {"release": "other"}}},
        {"podMonitorSelector": None},
        {"podMonitorNamespaceSelector": {"matchLabels": {"monitored": "yes"}}},
    ],
)
def test_a_prometheus_that_selects_none(spec: dict[str, Any]) -> None:
    found = bad(observability.monitors_selected, chosen(prometheus(**spec)))
    assert len(found) == 3
    assert set(found.values()) == {"fail"}


def test_the_wrong_release_label_is_named() -> None:
    made = chosen(prometheus(podMonitorSelector={"matchLabels": {"release": "monitoring"}}))
    (first, *_) = observability.monitors_selected(made)
    assert (first.expected, first.seen) == ("release: monitoring", "release: kps")


def test_chart_and_own_at_once_are_told() -> None:
    made = chosen(prometheus())
    twin = copy.deepcopy(made.cluster.edit("PodMonitor", PROXY))
    twin["metadata"]["namespace"] = "linkerd"
    made.cluster.add(twin)
    assert bad(observability.monitors_selected, made) == {"monitors-once": "warn"}


def test_before_there_are_any() -> None:
    for check in (
        observability.monitors_selected,
        observability.scrape_targets,
        observability.series,
    ):
        (outcome,) = check(context())
        assert (outcome.verdict, outcome.seen) == ("fail", "not found")
        assert set(verdicts(check, context(mode="plan")).values()) == {"skip"}


@pytest.mark.parametrize(
    ("params", "absent", "expected"),
    [
        ({}, set(), {"monitors-possible": "pass"}),
        ({}, {"PodMonitor"}, {"monitors-possible": "fail"}),
        (
            {"pod_monitors": "chart"},
            set(),
            {"monitors-possible": "pass", "monitors-chart-limits": "warn"},
        ),
        (
            {"pod_monitors": "chart", "line": "stable-2.11"},
            set(),
            {"monitors-possible": "fail"},
        ),
    ],
)
def test_ways(params: dict[str, str], absent: set[str], expected: dict[str, str]) -> None:
    made = context(FakeCluster(), **params)
    made.cluster.absent_kinds = absent
    assert verdicts(observability.monitors_possible, made) == expected


# --- what a real Prometheus says ----------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A Prometheus that scrapes the pods through the PodMonitors."""
    with endpoint() as port:
        targets = discovered(PODS, port)
        jobs = [scrape_job(m, targets) for m in pod_monitors(LINE, Params(), LABELS)]
        with running(tmp_path_factory.mktemp("prometheus"), jobs) as made:
            made.up(f"podMonitor/k3s-monitoring/{CONTROLLER}/0", 2)
            made.up(f"podMonitor/k3s-monitoring/{PROXY}/0", 3)
            made.series("response_total")
            yield made.url, port


def test_every_target_is_up(server: tuple[str, int]) -> None:
    made = chosen(prometheus(), prometheus_url=server[0])
    outcomes = list(observability.scrape_targets(made, pause=_never))
    assert {o.id: o.verdict for o in outcomes} == {
        f"targets-{CONTROLLER}": "pass",
        f"targets-{PROXY}": "pass",
    }
    assert [o.seen for o in outcomes] == ["2 targets, all up", "3 targets, all up"]


def test_a_pod_that_is_no_target_is_named(server: tuple[str, int]) -> None:
    late = pod("late-1", "shop", SIDECAR)
    made = chosen(prometheus(), late, prometheus_url=server[0])
    pauses: list[float] = []
    found = {o.id: o for o in observability.scrape_targets(made, pause=pauses.append)}
    assert found[f"targets-{PROXY}"].verdict == "fail"
    assert "shop/late-1" in found[f"targets-{PROXY}"].seen
    assert found[f"targets-{PROXY}"].fix == f"open {server[0]}/targets"
    assert len(pauses) == 5  # it was waited for
    made = chosen(prometheus(), late, prometheus_url=server[0], mode="verify")
    list(observability.scrape_targets(made, pause=_never))  # but not when nothing was applied


def test_the_series_of_the_dashboards(server: tuple[str, int]) -> None:
    made = chosen(prometheus(), prometheus_url=server[0])
    found = verdicts(observability.series, made)
    assert found == {f"series-{name}": "pass" for name in DASHBOARD_SERIES}


def test_prometheus_answers(server: tuple[str, int]) -> None:
    made = chosen(prometheus(), prometheus_url=server[0])
    assert verdicts(observability.prometheus_answers, made) == {"prometheus-answers": "pass"}
    assert verdicts(observability.prometheus_answers, context()) == {"prometheus-answers": "fail"}


def test_targets_down_and_series_absent(tmp_path: Path) -> None:
    with endpoint("") as dead:
        pass
    with endpoint(PROXY_METRICS.replace("request_total", "other_total")) as port:
        targets = discovered(PODS[:2], port) + discovered(PODS[2:], dead)
        jobs = [scrape_job(m, targets) for m in pod_monitors(LINE, Params(), LABELS)]
        with running(tmp_path, jobs) as real:
            real.up(f"podMonitor/k3s-monitoring/{CONTROLLER}/0", 2)
            real.series('response_total{control_plane_ns="linkerd"}')
            real.series('up{pod="shop-1"} == 0')
            made = chosen(prometheus(), prometheus_url=real.url, mode="verify")
            found = {o.id: o for o in observability.scrape_targets(made)}
            series = {o.id: o for o in observability.series(made)}
    assert found[f"targets-{CONTROLLER}"].verdict == "pass"
    proxies = found[f"targets-{PROXY}"]
    assert proxies.verdict == "fail"
    assert "shop/shop-1" in proxies.seen
    assert "refused" in proxies.seen
    assert series["series-request_total"].verdict == "fail"
    assert "no metric" in series["series-request_total"].seen
    assert series["series-response_total"].verdict == "pass"


def _never(_: float) -> None:
    raise AssertionError("nothing is to be waited for")
