"""Finding the Prometheus and the Grafana that are there."""

from __future__ import annotations

from typing import Any

import pytest
from fake_context import FakeCluster, conditions, context, obj

from runbook import monitoring, selectors

NAME = "kube-prometheus-stack-prometheus"


def prometheus(name: str = NAME, **spec: Any) -> dict[str, Any]:
    return obj(
        monitoring.API_VERSION,
        "Prometheus",
        name,
        "k3s-monitoring",
        spec={"podMonitorSelector": {"matchLabels": {"release": "kps"}}, **spec},
        status=conditions(Available="True"),
    )


def service(name: str, *, ip: str = "10.43.0.9", selector: Any = None, **ports: int) -> Any:
    listed = [{"name": key.replace("_", "-"), "port": port} for key, port in ports.items()]
    return obj(
        "v1",
        "Service",
        name,
        "k3s-monitoring",
        spec={"clusterIP": ip, "ports": listed, "selector": selector or {}},
    )


BY_NAME = {"operator.prometheus.io/name": NAME}
OPERATED = service("prometheus-operated", ip="None", selector=BY_NAME, web=9090)
USUAL = service(NAME, selector=BY_NAME, reloader_web=8080, http_web=9090)


def test_the_service_with_an_address_comes_before_the_headless_one() -> None:
    found = monitoring.find_monitoring(context(FakeCluster([prometheus(), OPERATED, USUAL])))
    assert [one.url for one in found] == [f"http://{NAME}.k3s-monitoring.svc.cluster.local:9090"]
    assert found[0].problem == ""


@pytest.mark.parametrize(
    ("spec", "url"),
    [
        ({}, "http://prometheus-operated.k3s-monitoring.svc.cluster.local:9090"),
        (
            {"routePrefix": "/prometheus/"},
            "http://prometheus-operated.k3s-monitoring.svc.cluster.local:9090/prometheus",
        ),
        (
            {"web": {"tlsConfig": {"cert": {}}}},
            "https://prometheus-operated.k3s-monitoring.svc.cluster.local:9090",
        ),
    ],
)
def test_the_operators_own_service(spec: dict[str, Any], url: str) -> None:
    chosen = context(FakeCluster([prometheus(**spec), OPERATED]))
    assert monitoring.prometheus_url(chosen) == url


def test_without_a_service_or_an_object_there_is_no_address() -> None:
    assert monitoring.prometheus_url(context(FakeCluster([prometheus()]))) == ""
    assert monitoring.prometheus_url(context()) == ""


def test_the_parameter_comes_first() -> None:
    chosen = context(FakeCluster([prometheus(), USUAL]), prometheus_url="http://other:9090")
    assert monitoring.prometheus_url(chosen) == "http://other:9090"


def test_the_operators_complaint_is_kept() -> None:
    made = prometheus()
    made["status"] = {
        "conditions": [{"type": "Available", "status": "False", "message": "no pods"}]
    }
    assert monitoring.find_monitoring(context(FakeCluster([made])))[0].problem == "no pods"


@pytest.mark.parametrize(
    ("selector", "labels"),
    [
        ({"matchLabels": {"release": "kps"}}, {"release": "kps"}),
        ({}, {}),
        (None, {}),
        (
            {
                "matchExpressions": [
                    {"key": "team", "operator": "In", "values": ["a", "b"]},
                    {"key": "app", "operator": "Exists"},
                    {"key": "skip", "operator": "DoesNotExist"},
                ]
            },
            {"team": "a", "app": "linkerd"},
        ),
    ],
)
def test_labels_that_are_selected(selector: Any, labels: dict[str, str]) -> None:
    found = monitoring.Monitoring("p", "ns", "", {"podMonitorSelector": selector})
    assert monitoring.monitor_labels([found]) == labels
    if selector is not None:
        assert selectors.selects(selector, labels)


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        (None, {}, False),
        ({}, {}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "2"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": "1"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]}, {}, False),
    ],
)
def test_selectors(selector: Any, labels: dict[str, str], expected: bool) -> None:
    assert selectors.selects(selector, labels) is expected


def test_an_absent_namespace_selector_means_the_own_namespace() -> None:
    chosen = context(FakeCluster([obj("v1", "Namespace", "linkerd", labels={"a": "1"})]))
    own = monitoring.Monitoring("p", "k3s-monitoring", "", {})
    assert monitoring.selects_namespace(chosen, own, "k3s-monitoring")
    assert not monitoring.selects_namespace(chosen, own, "linkerd")
    every = monitoring.Monitoring("p", "x", "", {"podMonitorNamespaceSelector": {}})
    assert monitoring.selects_namespace(chosen, every, "linkerd")
    some = {"podMonitorNamespaceSelector": {"matchLabels": {"a": "2"}}}
    assert not monitoring.selects_namespace(
        chosen, monitoring.Monitoring("p", "x", "", some), "linkerd"
    )


def test_grafana() -> None:
    found = service("grafana", http_web=80)
    found["metadata"]["labels"] = {"app.kubernetes.io/name": "grafana"}
    chosen = context(FakeCluster([found, USUAL]))
    grafana = monitoring.find_grafana(chosen)
    assert grafana is not None
    assert grafana.address == "grafana.k3s-monitoring.svc.cluster.local:80"
    assert monitoring.find_grafana(context()) is None
