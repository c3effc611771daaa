"""Checks of the monitoring that is there."""

from __future__ import annotations

from typing import Any

import pytest
from fake_context import FakeCluster, conditions, context, obj, verdicts

from runbook import observability
from runbook.monitoring import API_VERSION


def prometheus(name: str = "p", **status: str) -> dict[str, Any]:
    return obj(
        API_VERSION,
        "Prometheus",
        name,
        "k3s-monitoring",
        spec={},
        status=conditions(**({"Available": "True"} | status)),
    )


def service(name: str = "p") -> dict[str, Any]:
    spec = {
        "clusterIP": "10.43.0.1",
        "ports": [{"name": "http-web", "port": 9090}],
        "selector": {"operator.prometheus.io/name": name},
    }
    return obj("v1", "Service", name, "k3s-monitoring", spec=spec)


def stack(*objects: Any, absent: bool = False, **params: Any) -> dict[str, str]:
    cluster = FakeCluster(objects)
    cluster.absent_kinds = {"Prometheus"} if absent else set()
    return verdicts(observability.monitoring_stack, context(cluster, **params))


def test_one_prometheus() -> None:
    assert stack(prometheus(), service()) == {"monitoring-stack": "pass"}


def test_it_does_not_run() -> None:
    assert stack(prometheus(Available="False"), service()) == {"monitoring-stack": "warn"}


def test_none_in_this_namespace() -> None:
    assert stack() == {"monitoring-stack": "fail"}
    assert stack(prometheus_url="http://p:9090") == {"monitoring-stack": "pass"}


def test_no_operator() -> None:
    assert stack(absent=True) == {"monitoring-stack": "fail"}
    assert stack(absent=True, prometheus_url="http://p:9090") == {"monitoring-stack": "warn"}


def test_two_of_them() -> None:
    objects = [prometheus(), service(), prometheus("q"), service("q")]
    assert stack(*objects) == {"monitoring-stack": "pass", "monitoring-choice": "warn"}
    assert stack(*objects, prometheus_url="http://q:9090") == {"monitoring-stack": "pass"}


def grafana(ini: str) -> list[dict[str, Any]]:
    labels = {"app.kubernetes.io/name": "grafana"}
    spec = {"clusterIP": "10.43.0.2", "ports": [{"name": "http-web", "port": 80}]}
    return [
        obj("v1", "Service", "grafana", "k3s-monitoring", labels, spec=spec),
        obj("v1", "ConfigMap", "grafana", "k3s-monitoring", labels, data={"grafana.ini": ini}),
    ]


@pytest.mark.parametrize(
    ("objects", "params", "verdict"),
    [
        (grafana("[server]\nroot_url = %(protocol)s://%(domain)s:/grafana/\n"), {}, "pass"),
        (grafana("[server]\ndomain = x\n"), {}, "warn"),
        (grafana("[server]\nroot_url = https://g.example.com/\n"), {}, "warn"),
        (grafana(""), {"grafana_url": "https://g.example.com"}, "pass"),
        ([], {"grafana_url": "grafana.elsewhere:80"}, "warn"),
        ([], {}, "skip"),
    ],
)
def test_links_to_grafana(objects: list[Any], params: dict[str, str], verdict: str) -> None:
    chosen = context(FakeCluster(objects), **params)
    assert verdicts(observability.grafana_links, chosen) == {"grafana-links": verdict}
