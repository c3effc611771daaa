"""Notebooks 30 and 31 on a rehearsal cluster: meshed, twice, and taken back byte by byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from mesh_place import carry, found, install_linkerd, manifest, opened, undo, until

from runbook import meshing
from runbook.errors import CheckError, WaitError
from runbook.meshing.forecast import Forecast
from runbook.rehearsal import Twin
from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds

SHOP = "shop"


def workload(kind: str, name: str, namespace: str = SHOP, **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    container = {"name": "web", "image": "web:1", "ports": [{"containerPort": 8080}]}
    pod = {"containers": [container], **spec}
    body: dict[str, Any] = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    if kind == "StatefulSet":
        body["serviceName"] = name
    version = "apps/v1"
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": body,
    }


def cronjob(name: str, namespace: str = SHOP) -> dict[str, Any]:
    pod = {"containers": [{"name": "run", "image": "run:1"}], "restartPolicy": "Never"}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": pod}}}},
    }


RESOURCES = {
    "Deployment": kinds.DEPLOYMENTS,
    "DaemonSet": kinds.DAEMON_SETS,
    "StatefulSet": kinds.STATEFUL_SETS,
    "CronJob": kinds.CRON_JOBS,
}


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin() as running:
        install_linkerd(running)
        yield running


@pytest.fixture
def shop(twin: Twin, client: Client) -> Iterator[str]:
    step = opened(twin, "30-mesh-explicit")
    client.create(kinds.NAMESPACES, {"metadata": {"name": SHOP}})
    made = [
        workload("Deployment", "web"),
        workload("Deployment", "api"),
        workload("DaemonSet", "agent"),
        workload("DaemonSet", "exporter", hostNetwork=True),
        workload("StatefulSet", "db"),
        cronjob("backup"),
    ]
    for obj in made:
        step.cluster.create(obj)
    step.cluster.wait_ready(made[:-1], 60)
    yield SHOP
    client.delete(kinds.NAMESPACES, SHOP)
    until(lambda: client.find(kinds.NAMESPACES, SHOP) is None)
    step.cluster.close()


def kept(client: Client) -> str:
    objects = [manifest(client, kinds.NAMESPACES, SHOP)]
    for resource in RESOURCES.values():
        names = [one["metadata"]["name"] for one in client.list(resource, SHOP)]
        objects += [manifest(client, resource, name, SHOP) for name in sorted(names)]
    for obj in objects:
        (obj["metadata"].get("annotations") or {}).pop("deployment.kubernetes.io/revision", None)
    return json.dumps(objects)


def explicit(step: Any) -> int:
    step.look(meshing.workloads_chosen, meshing.workloads_meshable)
    step.display(meshing.forecast_workloads(step))
    changed = carry(step, *meshing.workload_patches(step))
    step.verify(meshing.workloads_meshed)
    return changed


def test_workloads_are_meshed_and_taken_back(twin: Twin, client: Client, shop: str) -> None:
    before = kept(client)
    shown: list[Any] = []
    given = {"mesh_namespace": shop, "mesh_options": {"skip-outbound-ports": 443}}
    step = opened(twin, "30-mesh-explicit", shown, **given)
    assert explicit(step) == 5, "the exporter is on the network of its host"
    wrong = found(step, meshing.workloads_meshed)
    assert {key: one.seen for key, one in wrong.items()} == {}
    pods = client.list(kinds.PODS, shop)
    by_app = {one["metadata"]["labels"]["app"]: one for one in pods}
    for app in ("web", "api", "agent", "db"):
        notes = by_app[app]["metadata"]["annotations"]
        assert notes["config.linkerd.io/skip-outbound-ports"] == "443"
        assert "linkerd.io/proxy-version" in notes
    assert "linkerd.io/proxy-version" not in (
        by_app["exporter"]["metadata"].get("annotations") or {}
    )

    again = opened(twin, "30-mesh-explicit", **given)
    assert explicit(again) == 0
    undo(step)
    assert kept(client) == before


def implicit(step: Any) -> tuple[int, int]:
    step.look(meshing.namespace_meshable)
    step.display(meshing.forecast_namespace(step))
    changed = carry(step, *meshing.namespace_patches(step))
    step.display(meshing.namespace_to_restart(step))
    restarted = carry(step, *meshing.namespace_restarts(step), one_by_one=True)
    step.verify(meshing.namespace_meshed)
    return changed, restarted


def test_a_namespace_is_meshed_restarted_and_taken_back(
    twin: Twin, client: Client, shop: str
) -> None:
    before = kept(client)
    first = opened(twin, "31-mesh-implicit", mesh_namespace=shop)
    assert implicit(first) == (1, 0)
    stale = found(first, meshing.namespace_meshed)["proxies"]
    assert stale.verdict == "warn"
    assert "run as they were before" in stale.seen
    assert "kubectl -n shop rollout restart deployment/api" in stale.fix

    shown: list[Any] = []
    second = opened(twin, "31-mesh-implicit", shown, mesh_namespace=shop, mesh_restart=True)
    assert implicit(second) == (0, 4)
    order = [c.title for c in second.result().plans[-1].changes]
    assert order == [
        "Deployment shop/api",
        "Deployment shop/web",
        "DaemonSet shop/agent",
        "StatefulSet shop/db",
    ]
    assert found(second, meshing.namespace_meshed) == {}
    (forecast,) = (one.value for one in shown if isinstance(one.value, Forecast))
    assert {f.pod: f.decision.reasons for f in forecast.fates if f.decision.reasons} == {
        f.pod: ("host_network_enabled",) for f in forecast.fates if f.workload.name == "exporter"
    }

    again = opened(twin, "31-mesh-implicit", mesh_namespace=shop, mesh_restart=True)
    assert implicit(again) == (0, 0)

    undo(second)
    undo(first)
    assert kept(client) == before


def test_options_of_the_namespace_reach_its_pods_by_a_restart(twin: Twin, shop: str) -> None:
    given = {"mesh_namespace": shop, "mesh_restart": True}
    assert implicit(opened(twin, "31-mesh-implicit", **given)) == (1, 4)
    given["mesh_options"] = {"proxy-log-level": "debug"}
    assert implicit(opened(twin, "31-mesh-implicit", **given)) == (1, 4)
    assert implicit(opened(twin, "31-mesh-implicit", **given)) == (0, 0)


def test_a_restart_that_fails_ends_the_others(twin: Twin, client: Client, shop: str) -> None:
    assert implicit(opened(twin, "31-mesh-implicit", mesh_namespace=shop)) == (1, 0)
    bad = {"spec": {"template": {"spec": {"priorityClassName": "none-such"}}}}
    client.patch(kinds.DEPLOYMENTS, "web", {"spec": {"paused": True}}, shop)
    client.patch(kinds.DEPLOYMENTS, "web", bad, shop)
    step = opened(twin, "31-mesh-implicit", mesh_namespace=shop, mesh_restart=True, timeout=3)
    plan = step.plan(*meshing.namespace_restarts(step))
    with pytest.raises(WaitError):
        step.apply(plan, one_by_one=True)
    templates = {
        name: client.get(resource, name, shop)["spec"]["template"]["metadata"]
        for resource, name in (
            (kinds.DEPLOYMENTS, "api"),
            (kinds.DAEMON_SETS, "agent"),
            (kinds.STATEFUL_SETS, "db"),
        )
    }
    assert "annotations" in templates["api"]
    assert "annotations" not in templates["agent"]
    assert "annotations" not in templates["db"]
    assert len(step.result().undo) == 2


@pytest.mark.parametrize(
    ("given", "check", "told"),
    [
        ({"mesh_workloads": "deployment/wep"}, "workloads", "did you mean deployment/web?"),
        ({"mesh_namespace": "nowhere"}, "injector-asked", "kubectl get namespaces"),
        ({"mesh_namespace": "kube-system"}, "injector-asked", "inject_kube_system: true"),
    ],
)
def test_what_cannot_be_meshed_is_refused(
    twin: Twin, shop: str, given: dict[str, str], check: str, told: str
) -> None:
    step = opened(twin, "30-mesh-explicit", **{"mesh_namespace": shop, **given})
    with pytest.raises(CheckError):
        step.look(meshing.workloads_chosen, meshing.workloads_meshable)
    wrong = found(step, meshing.workloads_chosen, meshing.workloads_meshable)
    assert told in wrong[check].fix


def test_nothing_is_asked_for(twin: Twin) -> None:
    assert explicit(opened(twin, "30-mesh-explicit")) == 0
    assert implicit(opened(twin, "31-mesh-implicit")) == (0, 0)


@pytest.mark.parametrize("mode", ["plan", "verify"])
def test_other_modes_change_nothing(twin: Twin, client: Client, shop: str, mode: str) -> None:
    before = kept(client)
    for run in (explicit, implicit):
        step = opened(twin, "31-mesh-implicit", mesh_namespace=shop, mesh_restart=True, mode=mode)
        run(step)
    assert kept(client) == before
