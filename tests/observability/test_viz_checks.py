"""Checks of Viz: each defect is found, by its own check alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fake_context import bad, context, verdicts
from viz_objects import TAP, pod, serving, well

from runbook import observability
from runbook.observability.catalogue import CATALOGUE
from runbook.observability.viz import EXTERNAL

CHECKS = (
    observability.viz_namespace_ready,
    observability.viz_objects,
    observability.viz_pods,
    observability.viz_tap,
    observability.viz_prometheus,
)


def all_bad(chosen: Any) -> dict[str, str]:
    return {key: value for check in CHECKS for key, value in bad(check, chosen).items()}


def test_all_is_well() -> None:
    chosen = well()
    assert all_bad(chosen) == {}
    assert len([v for check in CHECKS for v in verdicts(check, chosen)]) > 15


def crash(cluster: Any) -> None:
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    status = cluster.edit("Pod", "web-abc")["status"]
    status["containerStatuses"][0] = {"name": "web", "ready": False, "state": waiting}


def unlabel(cluster: Any) -> None:
    del cluster.edit("Namespace", "linkerd-viz")["metadata"]["labels"]["linkerd.io/extension"]


def forget_prometheus(cluster: Any) -> None:
    del cluster.edit("Namespace", "linkerd-viz")["metadata"]["annotations"][EXTERNAL]


def foreign_bundle(cluster: Any) -> None:
    cluster.edit("APIService", TAP)["spec"]["caBundle"] = serving("tap")[0]


def unavailable(cluster: Any) -> None:
    cluster.edit("APIService", TAP)["status"]["conditions"][0] |= {
        "status": "False",
        "message": "endpoints for service/tap not found",
    }


@pytest.mark.parametrize(
    ("defect", "expected"),
    [
        (crash, {"viz-ready-web": "fail"}),
        (unlabel, {"viz-namespace": "fail"}),
        (unavailable, {"viz-tap-available": "warn"}),
        (forget_prometheus, {"viz-namespace": "fail", "viz-prometheus": "fail"}),
        (lambda c: c.remove("Pod", "tap-abc"), {"viz-ready-tap": "fail"}),
        (lambda c: c.add(pod("tap", proxy=False)), {"viz-injected": "warn"}),
        (lambda c: c.add(pod("tap", version="edge-25.1.1")), {"viz-proxy-version": "warn"}),
        (
            lambda c: c.remove("ClusterRole", "linkerd-linkerd-viz-tap"),
            {"viz-clusterroles": "fail"},
        ),
        (lambda c: c.remove("APIService", TAP), {"viz-tap": "fail"}),
        (lambda c: c.remove("Secret", "tap-injector-k8s-tls"), {"viz-tap-injector": "fail"}),
    ],
)
def test_a_defect_is_found(defect: Callable[[Any], None], expected: dict[str, str]) -> None:
    chosen = well()
    defect(chosen.cluster)
    assert all_bad(chosen) == expected


def test_a_bundle_of_another_rendering_is_found() -> None:
    chosen = well()
    foreign_bundle(chosen.cluster)
    found = all_bad(chosen)
    assert found
    assert all(key.startswith("viz-tap-") for key in found)


def test_another_address_of_prometheus_is_found() -> None:
    chosen = well(prometheus_url="http://elsewhere:9090")
    assert bad(observability.viz_prometheus, chosen) == {"viz-prometheus": "fail"}


def test_without_viz_each_check_says_so_once() -> None:
    chosen = context(prometheus_url="http://x:9090")
    assert set(all_bad(chosen).values()) == {"fail"}
    assert len(all_bad(chosen)) == len(CHECKS)
    planning = context(mode="plan", prometheus_url="http://x:9090")
    assert set(all_bad(planning).values()) == {"skip"}


def test_the_catalogue_and_the_outcomes_agree() -> None:
    known = {entry.description: entry for entry in CATALOGUE}
    outcomes = [outcome for check in CHECKS for outcome in check(well())]
    for outcome in outcomes:
        if outcome.linkerd:
            ids = known[outcome.linkerd].ids
            assert any(outcome.id.startswith(one) for one in ids), outcome.id
    for entry in CATALOGUE:
        assert entry.ids or entry.note, entry.description
    prefixes = [one for entry in CATALOGUE for one in entry.ids if one.startswith("viz-")]
    for prefix in prefixes:
        assert any(outcome.id.startswith(prefix) for outcome in outcomes), prefix
