"""Plans of objects, made and carried out against a real API: the rehearsal's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scripted_api import Target

from runbook.cluster import Cluster, connect
from runbook.errors import PlanError
from runbook.plan import Plan, plan_objects
from runbook.rehearsal import Twin
from runbook.show import MEDIA_TYPE
from runbook.transport import APPLY_PATCH, Wanted


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin(content=False, controllers=False, kubelet=False) as running:
        yield running


@pytest.fixture
def cluster(twin: Twin, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    opened = connect(Target(str(twin.kubeconfig), cluster="rehearsal"))
    yield opened
    opened.close()


@pytest.fixture
def home(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """Give a namespace of the test's own."""
    name = request.node.name.replace("_", "-").partition("[")[0][:60].strip("-")
    cluster.apply(namespace(name))
    return name


def namespace(name: str, **labels: str) -> dict:
    meta = {"name": name, **({"labels": labels} if labels else {})}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}


def config(home: str, name: str = "c", **data: str) -> dict:
    meta = {"name": name, "namespace": home}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def apply(cluster: Cluster, plan: Plan) -> None:
    for obj in plan.objects:
        cluster.apply(obj)


def test_create_then_nothing_to_do_then_update(cluster: Cluster, home: str) -> None:
    created = plan_objects(cluster, [config(home, a="1")])
    (change,) = created.changes
    assert (change.action, change.title) == ("create", f"ConfigMap {home}/c")
    assert "+  a: '1'" in change.diff
    assert change.undo == f"kubectl -n {home} delete configmap c"
    assert cluster.find("v1", "ConfigMap", "c", home) is None, "planning changes nothing"

    apply(cluster, created)
    again = plan_objects(cluster, [config(home, a="1")])
    assert again.empty
    assert again.summary() == "nothing to do"
    assert again.undo == ()

    changed = plan_objects(cluster, [config(home, a="2")])
    (change,) = changed.changes
    assert change.action == "update"
    assert "-  a: '1'" in change.diff
    assert "+  a: '2'" in change.diff
    assert change.previous["data"] == {"a": "1"}
    assert "previous manifest" in change.undo


def test_defaults_of_the_server_are_no_change(cluster: Cluster, home: str) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s", "namespace": home},
        "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]},
    }
    first = plan_objects(cluster, [service])
    assert first.digest == plan_objects(cluster, [service]).digest, "no address of the moment"
    apply(cluster, first)
    assert plan_objects(cluster, [service]).empty


def test_a_namespace_that_is_not_there_yet(cluster: Cluster) -> None:
    (change,) = plan_objects(cluster, [config("nowhere", a="1")]).changes
    assert change.action == "create"
    assert change.note == "not there yet: namespace nowhere"


def test_a_namespace_of_the_same_plan(cluster: Cluster) -> None:
    plan = plan_objects(cluster, [namespace("brandnew"), config("brandnew", a="1")])
    assert [change.note for change in plan.changes] == ["", ""]
    assert plan.undo == (
        "kubectl -n brandnew delete configmap c",
        "kubectl delete namespace brandnew",
    )


def test_a_kind_that_is_not_there_yet(cluster: Cluster, home: str) -> None:
    widget = {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "namespace": home},
    }
    (change,) = plan_objects(cluster, [widget]).changes
    assert change.action == "create"
    assert "kind Widget of example.com/v1" in change.note


def test_secrets_are_compared_and_never_shown(cluster: Cluster, home: str) -> None:
    def secret(value: str) -> dict:
        meta = {"name": "s", "namespace": home}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"password": value}}

    old, new = "b2xkIHBhc3N3b3Jk", "bmV3IHBhc3N3b3Jk"
    apply(cluster, plan_objects(cluster, [secret(old)]))
    assert plan_objects(cluster, [secret(old)]).empty
    plan = plan_objects(cluster, [secret(new)])
    assert plan.changes[0].action == "update"
    forms = plan._repr_mimebundle_()
    for text in (forms["text/html"], forms["text/plain"], str(forms[MEDIA_TYPE]), repr(plan)):
        assert old not in text
        assert new not in text
    assert "(different)" in forms["text/plain"]


def test_fields_of_other_managers_are_not_taken(cluster: Cluster, home: str) -> None:
    apply(cluster, plan_objects(cluster, [config(home, a="1", b="1")]))
    cluster._http.request(
        "PATCH",
        f"/api/v1/namespaces/{home}/configmaps/c",
        Wanted("apply", "configmaps"),
        query={"fieldManager": "kubectl-edit", "force": "true"},
        body=config(home, a="theirs"),
        content_type=APPLY_PATCH,
    )
    with pytest.raises(PlanError) as caught:
        plan_objects(cluster, [config(home, a="1", b="1")])
    assert '.data.a ("kubectl-edit")' in caught.value.what
    assert "--force-conflicts" in caught.value.fix
    assert cluster.get("v1", "ConfigMap", "c", home)["data"]["a"] == "theirs"


def test_digest_covers_target_content_and_live_state(cluster: Cluster, home: str) -> None:
    first = plan_objects(cluster, [config(home, a="1")])
    assert plan_objects(cluster, [config(home, a="1")]).digest == first.digest
    assert plan_objects(cluster, [config(home, a="2")]).digest != first.digest
    apply(cluster, first)
    reviewed = plan_objects(cluster, [config(home, a="2")])
    cluster.apply(config(home, a="3"))
    assert plan_objects(cluster, [config(home, a="2")]).digest != reviewed.digest


def test_forms_of_a_plan(cluster: Cluster, home: str) -> None:
    plan = plan_objects(cluster, [config(home, a="<script>")])
    forms = plan._repr_mimebundle_()
    assert "<script>" not in forms["text/html"]
    assert "REHEARSAL" in forms["text/html"]
    data = forms[MEDIA_TYPE]
    assert (data["type"], data["digest"], data["empty"]) == ("plan", plan.digest, False)
    (change,) = data["changes"]
    assert change["action"] == "create"
    assert change["namespace"] == home
