"""Notebooks 41 and 43 on rehearsal clusters: applied, again, undone; and Jobs that hang (32)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Kept
from mesh_place import carry, found, install_linkerd, opened, undo, until

from runbook import meshing
from runbook.errors import CheckError
from runbook.rehearsal import Twin, mesh_mishaps
from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds

LINE = "edge-2.19"  # with classic sidecars


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin(services=True) as running:
        install_linkerd(running, LINE)
        yield running


def velero(step: Any) -> int:
    step.look(meshing.velero_there)
    step.display(meshing.forecast_velero(step))
    changed = carry(step, *meshing.velero_changes(step))
    step.verify(meshing.velero_meshed, meshing.velero_works)
    return changed


@pytest.mark.parametrize("way", ["values", "patch"])
def test_velero(twin: Twin, kept: Kept, way: str) -> None:
    before = kept("velero")
    step = opened(twin, "43-velero", line=LINE, mesh_by=way)
    assert velero(step) == (3 if way == "values" else 2)
    assert found(step, meshing.velero_meshed) == {}
    assert velero(opened(twin, "43-velero", line=LINE, mesh_by=way)) == 0
    undo(step)
    assert kept("velero") == before


def test_velero_with_restic(twin: Twin, client: Client, kept: Kept) -> None:
    """As before 1.10. The chart of today would bring the node agent back, so by a patch."""
    mesh_mishaps.name_it_restic(client)
    until(lambda: _available(client, "restic"))
    before = kept("velero")
    step = opened(twin, "43-velero", line=LINE, mesh_by="patch")
    assert velero(step) == 2
    names = [change.name for change in step.result().plans[0].changes]
    assert names == ["velero", "restic"]
    undo(step)
    assert kept("velero") == before


def _available(client: Client, name: str) -> bool:
    status = client.get(kinds.DAEMON_SETS, name, "velero").get("status") or {}
    return bool(status.get("numberAvailable"))


def stack(step: Any) -> tuple[int, int, int]:
    step.look(meshing.stack_there)
    step.display(meshing.forecast_stack(step))
    released = carry(step, *meshing.stack_values(step))
    changed = carry(step, *meshing.stack_namespace(step))
    step.display(meshing.stack_to_restart(step))
    restarted = carry(step, *meshing.stack_restarts(step), one_by_one=True)
    step.verify(meshing.stack_meshed, meshing.operator_not_hung)
    return released, changed, restarted


def test_the_stack(twin: Twin, client: Client, kept: Kept) -> None:
    before = kept("k3s-monitoring")
    step = opened(twin, "41-prometheus-stack", line=LINE, mesh_restart=True)
    assert stack(step) == (1, 1, 4)
    wrong = found(step, meshing.stack_meshed, meshing.operator_not_hung)
    assert {key: one.seen for key, one in wrong.items()} == {}
    outside = [
        pod["metadata"]["name"]
        for pod in client.list(kinds.PODS, "k3s-monitoring")
        if "linkerd.io/proxy-version" not in (pod["metadata"].get("annotations") or {})
    ]
    assert outside
    assert all("node-exporter" in name for name in outside)
    again = opened(twin, "41-prometheus-stack", line=LINE, mesh_restart=True)
    assert stack(again) == (0, 0, 0)
    undo(step)
    until(lambda: kept("k3s-monitoring") == before)  # the operator follows


def test_an_admission_job_that_hangs_is_found_and_explained(twin: Twin, client: Client) -> None:
    mesh_mishaps.stick_admission_job(client)
    step = opened(twin, "41-prometheus-stack", line=LINE)
    with pytest.raises(CheckError, match="admission Job"):
        step.look(meshing.stack_there)
    wrong = found(step, meshing.operator_not_hung)["admission-jobs"]
    assert "its container has ended, its proxy has not" in wrong.seen
    assert "delete job kube-prometheus-stack-admission-create" in wrong.fix
    client.delete(kinds.JOBS, "kube-prometheus-stack-admission-create", "k3s-monitoring")


def test_a_cronjob_that_hangs_is_found_and_mended(twin: Twin, client: Client, kept: Kept) -> None:
    client.create(kinds.NAMESPACES, {"metadata": {"name": "work"}})
    mesh_mishaps.stick_cronjob(client, "work")
    before = kept("work")
    step = opened(twin, "32-jobs", line=LINE, mesh_namespace="work", mesh_jobs="disable")
    wrong = found(step, meshing.jobs_end, meshing.stuck_jobs)
    assert "its proxy goes on when it has ended" in wrong["jobs-end"].seen
    assert "work/backup-29400000-" in wrong["jobs-stuck"].seen
    assert "never ends" in str(meshing.job_endings(step))
    step.look(meshing.jobs_changeable)
    assert carry(step, *meshing.job_patches(step)) == 1
    assert set(found(step, meshing.jobs_end, meshing.stuck_jobs)) == {"jobs-stuck"}
    client.delete(kinds.JOBS, "backup-29400000", "work")
    again = opened(twin, "32-jobs", line=LINE, mesh_namespace="work", mesh_jobs="disable")
    assert carry(again, *meshing.job_patches(again)) == 0
    undo(step)
    assert kept("work") == before


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("auto", {"config.beta.linkerd.io/proxy-enable-native-sidecar": "true"}),
        ("native", {"config.beta.linkerd.io/proxy-enable-native-sidecar": "true"}),
        ("disable", {"linkerd.io/inject": "disabled"}),
        ("await", {"config.linkerd.io/proxy-admin-shutdown": "enabled"}),
    ],
)
def test_every_way_lets_a_job_end(
    twin: Twin, client: Client, way: str, told: dict[str, str]
) -> None:
    """Native and outside in truth: the run comes to its end. (The image has no linkerd-await.)"""
    name = f"way-{way}"
    notes = {"linkerd.io/inject": "enabled"}
    client.create(kinds.NAMESPACES, {"metadata": {"name": name, "annotations": notes}})
    container = {"name": "run", "image": "run:1", "command": ["/run", "--fast"]}
    pod = {"restartPolicy": "Never", "containers": [container]}
    job = {"spec": {"template": {"spec": pod}}}
    spec = {"schedule": "0 3 * * *", "jobTemplate": job}
    meta = {"name": "nightly", "namespace": name}
    client.create(kinds.CRON_JOBS, {"metadata": meta, "spec": spec})
    step = opened(twin, "32-jobs", line=LINE, mesh_namespace=name, mesh_jobs=way)
    step.look(meshing.jobs_changeable)
    assert carry(step, *meshing.job_patches(step)) == 1
    made = client.get(kinds.CRON_JOBS, "nightly", name)["spec"]["jobTemplate"]["spec"]
    assert made["template"]["metadata"]["annotations"] == told
    command = made["template"]["spec"]["containers"][0]["command"]
    wrapped = ["linkerd-await", "--shutdown", "--"] if way == "await" else []
    assert command == [*wrapped, "/run", "--fast"]
    assert found(step, meshing.jobs_end) == {}
    if way != "await":
        client.create(kinds.JOBS, {"metadata": {**meta, "name": "now"}, "spec": made})
        step.cluster.wait_ready(
            [{"apiVersion": "batch/v1", "kind": "Job", "metadata": {**meta, "name": "now"}}], 60
        )
    client.delete(kinds.NAMESPACES, name)


def test_a_cronjob_that_would_not_end_is_left_alone_unless_named(
    twin: Twin, client: Client
) -> None:
    given = {"line": LINE, "mesh_namespace": "shop"}
    step = opened(twin, "30-mesh-explicit", **given)
    told = found(step, meshing.workloads_chosen)["left-alone"]
    assert told.seen == (
        "daemonset/agent: hostNetwork is enabled, cronjob/backup: it would never end"
    )
    names = [patch.name for patch in meshing.workload_patches(step)]
    assert names == ["web", "db"]
    implicit = opened(twin, "31-mesh-implicit", **given)
    told = found(implicit, meshing.namespace_meshable)["namespace-jobs"]
    assert told.seen == "would never end: cronjob/backup"
    named = opened(twin, "30-mesh-explicit", mesh_workloads="cronjob/backup", **given)
    assert [patch.name for patch in meshing.workload_patches(named)] == ["backup"]
