"""What runs on the Pi cluster before Linkerd: Helm knows its releases, and can go on with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from scripted_api import Target

from runbook.cluster import Cluster, connect
from runbook.helm import Helm, Release, open_helm
from runbook.linkerd.pods import ready
from runbook.plan import plan_release
from runbook.readiness import condition
from runbook.rehearsal import Twin
from runbook.rehearsal.installed import RELEASES, Installed

INJECT = {"linkerd.io/inject": "enabled"}


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin(services=True) as running:
        yield running


@pytest.fixture(scope="module")
def cluster(twin: Twin) -> Iterator[Cluster]:
    opened = connect(Target(str(twin.kubeconfig), cluster="rehearsal"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def helm(cluster: Cluster) -> Helm:
    return open_helm(cluster)


def release(twin: Twin, one: Installed, values: dict[str, Any]) -> Release:
    version = {"kube-prometheus-stack": "78.3.2", "longhorn": "1.10.0", "velero": "11.1.0"}
    return Release(
        one.name, one.namespace, one.name, version[one.name], twin.chart_repository, values
    )


def test_everything_runs(cluster: Cluster) -> None:
    wrong = [
        pod["metadata"]["name"]
        for pod in cluster.list("v1", "Pod")
        if not ready(pod) and pod["status"]["phase"] != "Succeeded"
    ]
    assert wrong == []


@pytest.mark.parametrize("one", RELEASES, ids=lambda one: one.name)
def test_what_is_there_is_what_helm_makes_of_the_chart(
    twin: Twin, helm: Helm, one: Installed
) -> None:
    rendered = helm.render(release(twin, one, {}))
    hooks = [o for o in rendered if "helm.sh/hook" in (o["metadata"].get("annotations") or {})]
    stored = helm.release(one.name, one.namespace)
    assert stored is not None
    key = lambda obj: (obj["kind"], obj["metadata"]["name"])  # noqa: E731
    kept = [obj for obj in rendered if obj not in hooks]
    assert sorted(stored.objects, key=key) == sorted(kept, key=key)
    assert (stored.status, stored.revision, stored.chart) == ("deployed", 1, one.name)
    assert [r.revision for r in helm.history(one.name, one.namespace)] == [1]


@pytest.mark.parametrize("one", RELEASES, ids=lambda one: one.name)
def test_as_they_are_there_is_nothing_to_upgrade(
    twin: Twin, cluster: Cluster, helm: Helm, one: Installed
) -> None:
    assert plan_release(helm, cluster, release(twin, one, {})).empty


def test_helm_upgrades_and_rolls_back(twin: Twin, cluster: Cluster, helm: Helm) -> None:
    (velero,) = (one for one in RELEASES if one.name == "velero")
    before = cluster.get("apps/v1", "Deployment", "velero", "velero")["spec"]
    wanted = release(twin, velero, {"podAnnotations": INJECT})
    plan = plan_release(helm, cluster, wanted)
    changed = [change.title for change in plan.pending]
    assert changed == [
        "Release velero/velero",
        "DaemonSet velero/node-agent",
        "Deployment velero/velero",
    ]
    helm.upgrade(wanted, timeout=30)
    for kind, name in (("Deployment", "velero"), ("DaemonSet", "node-agent")):
        template = cluster.get("apps/v1", kind, name, "velero")["spec"]["template"]
        assert template["metadata"]["annotations"] == INJECT
    assert plan_release(helm, cluster, wanted).empty
    helm.rollback("velero", "velero", 1, timeout=30)
    assert cluster.get("apps/v1", "Deployment", "velero", "velero")["spec"] == before


def test_an_upgrade_of_the_stack_runs_its_jobs(twin: Twin, cluster: Cluster, helm: Helm) -> None:
    (stack,) = (one for one in RELEASES if one.name == "kube-prometheus-stack")
    wanted = release(twin, stack, {"kube-state-metrics": {"podAnnotations": {"a": "b"}}})
    seen: list[str] = []
    helm.upgrade(wanted, timeout=60)
    events = cluster.list("v1", "Event", stack.namespace)
    seen = [event["involvedObject"]["name"] for event in events]
    for name in ("create", "patch"):
        assert any(f"kube-prometheus-stack-admission-{name}" in one for one in seen)
    jobs = [job["metadata"]["name"] for job in cluster.list("batch/v1", "Job", stack.namespace)]
    assert jobs == [], "a hook that succeeded is deleted"
    prometheus = next(cluster.list("monitoring.coreos.com/v1", "Prometheus", stack.namespace))
    assert condition(prometheus, "Available")["status"] == "True"
