"""Plans of Helm releases: nothing to do, what would change, and interrupted ones."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import chart_server
import pytest
from scripted_api import Target

from runbook.applied import Applied, carry_out
from runbook.cluster import Cluster, connect
from runbook.errors import HelmError
from runbook.helm import Helm, Release, open_helm, record_name
from runbook.plan import Plan, plan_release
from runbook.rehearsal import Twin
from runbook.show import MEDIA_TYPE


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin(content=False, controllers=False, kubelet=False) as running:
        yield running


@pytest.fixture
def cluster(twin: Twin) -> Iterator[Cluster]:
    opened = connect(Target(str(twin.kubeconfig), cluster="rehearsal"))
    yield opened
    opened.close()


@pytest.fixture
def helm(cluster: Cluster) -> Helm:
    return open_helm(cluster)


@pytest.fixture
def demo(cluster: Cluster, request: pytest.FixtureRequest, tmp_path: Path) -> Release:
    """Give a release of a small chart in a namespace of the test's own."""
    name = re.sub(r"[^a-z]+", "-", request.node.name)[:60].strip("-")
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    chart = chart_server.write(tmp_path)
    return Release("demo", name, "demo", "1.0.0", str(chart), {"colour": "red"})


def apply(plan: Plan, cluster: Cluster, helm: Helm) -> Applied:
    applied = Applied("Apply")
    carry_out(plan, cluster, helm, applied, timeout=60)
    return applied


def actions(plan: Plan) -> dict[str, str]:
    return {change.kind: change.action for change in plan.changes}


def dead_holder() -> str:
    """Give the mark of a process of this machine that has ended."""
    code = "from runbook import holder; print(holder.mine())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_install_then_nothing_to_do(cluster: Cluster, helm: Helm, demo: Release) -> None:
    plan = plan_release(helm, cluster, demo)
    assert plan.changes[0].kind == "Release"
    assert actions(plan) == {"Release": "create", "ConfigMap": "create", "ServiceAccount": "create"}
    assert "+  colour: red" in plan.changes[0].diff
    assert plan.undo == (f"helm -n {demo.namespace} uninstall demo",)
    assert plan.digest == plan_release(helm, cluster, demo).digest
    assert helm.release("demo", demo.namespace) is None, "planning changes nothing"

    assert apply(plan, cluster, helm).changed == 3
    again = plan_release(helm, cluster, demo)
    assert again.empty
    assert again.undo == ()


def test_other_values(cluster: Cluster, helm: Helm, demo: Release) -> None:
    apply(plan_release(helm, cluster, demo), cluster, helm)
    blue = replace(demo, values={"colour": "blue"})
    plan = plan_release(helm, cluster, blue)
    assert actions(plan) == {"Release": "update", "ConfigMap": "update", "ServiceAccount": "none"}
    text = str(plan)
    assert "-  colour: red" in text
    assert "+  colour: blue" in text
    assert plan.undo == (f"helm -n {demo.namespace} rollback demo 1",)
    apply(plan, cluster, helm)
    assert plan_release(helm, cluster, blue).empty


def test_other_version_adds_and_removes(
    cluster: Cluster, helm: Helm, demo: Release, tmp_path: Path
) -> None:
    apply(plan_release(helm, cluster, demo), cluster, helm)
    templates = {"map": chart_server.MAP, "tls": chart_server.GENERATED}
    chart = chart_server.write(tmp_path / "new", version="1.1.0", templates=templates)
    plan = plan_release(helm, cluster, replace(demo, version="1.1.0", source=str(chart)))
    assert actions(plan) == {
        "Release": "update",
        "ConfigMap": "none",
        "Secret": "create",
        "ServiceAccount": "delete",
    }
    assert "-chart: demo 1.0.0\n+chart: demo 1.1.0" in plan.changes[0].diff


def test_generated_certificates_are_no_change(
    cluster: Cluster, helm: Helm, demo: Release, tmp_path: Path
) -> None:
    templates = {"map": chart_server.MAP, "tls": chart_server.GENERATED}
    chart = chart_server.write(tmp_path / "tls", templates=templates)
    made = replace(demo, source=str(chart))
    first, second = plan_release(helm, cluster, made), plan_release(helm, cluster, made)
    assert first.digest == second.digest
    apply(first, cluster, helm)
    assert plan_release(helm, cluster, made).empty
    plan = plan_release(helm, cluster, replace(made, values={"colour": "blue"}))
    assert actions(plan)["Secret"] == "none"
    for form in plan._repr_mimebundle_().values():
        assert "PRIVATE KEY" not in str(form)


def test_what_is_missing_is_made_again(cluster: Cluster, helm: Helm, demo: Release) -> None:
    apply(plan_release(helm, cluster, demo), cluster, helm)
    cluster.delete("v1", "ServiceAccount", "demo", demo.namespace)
    plan = plan_release(helm, cluster, demo)
    assert actions(plan) == {"Release": "update", "ConfigMap": "none", "ServiceAccount": "create"}
    assert "missing from the cluster" in str(plan)
    apply(plan, cluster, helm)
    assert cluster.find("v1", "ServiceAccount", "demo", demo.namespace)
    assert plan_release(helm, cluster, demo).empty


def test_a_namespace_that_is_not_there_yet(cluster: Cluster, helm: Helm, demo: Release) -> None:
    plan = plan_release(helm, cluster, replace(demo, namespace="nowhere"))
    assert "not there yet: namespace nowhere" in plan.changes[0].note
    assert not plan.empty


def test_chart_that_is_not_to_be_had(cluster: Cluster, helm: Helm, demo: Release) -> None:
    with pytest.raises(HelmError, match=r"chart demo 1\.0\.0 not found"):
        plan_release(helm, cluster, replace(demo, source="/nowhere"))


def test_stuck_release_is_left_alone(cluster: Cluster, helm: Helm, demo: Release) -> None:
    apply(plan_release(helm, cluster, demo), cluster, helm)
    chart_server.leave(cluster, "demo", demo.namespace, 1, "pending-install", "elsewhere.1.2")
    before = cluster.get("v1", "Secret", record_name("demo", 1), demo.namespace)
    with pytest.raises(HelmError, match=r"stuck in pending-install \(revision 1\)") as caught:
        plan_release(helm, cluster, demo)
    assert f"helm -n {demo.namespace} uninstall demo" in caught.value.fix
    assert cluster.get("v1", "Secret", record_name("demo", 1), demo.namespace) == before


def test_stuck_upgrade_names_the_last_good_revision(
    cluster: Cluster, helm: Helm, demo: Release
) -> None:
    apply(plan_release(helm, cluster, demo), cluster, helm)
    helm.upgrade(replace(demo, values={"colour": "blue"}), timeout=60)
    chart_server.leave(cluster, "demo", demo.namespace, 2, "pending-upgrade", "")
    with pytest.raises(HelmError, match="stuck in pending-upgrade") as caught:
        plan_release(helm, cluster, demo)
    assert "rollback demo 1" in caught.value.fix


@pytest.mark.parametrize("status", ["pending-install", "pending-upgrade"])
def test_a_killed_run_of_ours_is_taken_up_again(
    cluster: Cluster, helm: Helm, demo: Release, status: str
) -> None:
    revision = 1 if status == "pending-install" else 2
    apply(plan_release(helm, cluster, demo), cluster, helm)
    if revision == 2:
        helm.upgrade(replace(demo, values={"colour": "blue"}), timeout=60)
    cluster.delete("v1", "ServiceAccount", "demo", demo.namespace)  # it had not come that far
    chart_server.leave(cluster, "demo", demo.namespace, revision, status, dead_holder())

    plan = plan_release(helm, cluster, demo)
    record = plan.changes[0]
    assert (record.action, record.name) == ("delete", record_name("demo", revision))
    assert "killed" in record.note
    assert plan.digest == plan_release(helm, cluster, demo).digest
    apply(plan, cluster, helm)
    found = helm.release("demo", demo.namespace)
    assert found is not None
    assert (found.status, dict(found.values)) == ("deployed", {"colour": "red"})
    assert cluster.find("v1", "ServiceAccount", "demo", demo.namespace)
    assert plan_release(helm, cluster, demo).empty


def test_a_failed_install_is_mended(cluster: Cluster, helm: Helm, demo: Release) -> None:
    apply(plan_release(helm, cluster, demo), cluster, helm)
    chart_server.leave(cluster, "demo", demo.namespace, 1, "failed", "")
    plan = plan_release(helm, cluster, demo)
    assert plan.changes[0].action == "update"
    assert "its last operation left it failed" in plan.changes[0].note
    apply(plan, cluster, helm)
    assert plan_release(helm, cluster, demo).empty


def test_forms(cluster: Cluster, helm: Helm, demo: Release) -> None:
    secret = replace(demo, values={"password": "s3cret-password", "colour": "<b>"})
    plan = plan_release(helm, cluster, secret)
    forms = plan._repr_mimebundle_()
    assert "s3cret" not in str(forms)
    assert "<b>" not in forms["text/html"]
    assert forms[MEDIA_TYPE]["changes"][0]["kind"] == "Release"
