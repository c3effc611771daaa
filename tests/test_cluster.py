"""The cluster: connecting to the right one, reading and writing objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_api import UID, Answer, ScriptedApi, Target, kubeconfig, status

from runbook import rehearsal
from runbook.cluster import Cluster, connect
from runbook.errors import (
    ApiError,
    ForbiddenError,
    GuardError,
    NotFoundError,
    RehearsalError,
    UsageError,
)

MAPS = "/api/v1/namespaces/t1/configmaps"


def cm(name: str) -> dict:
    return {"metadata": {"name": name, "namespace": "t1", "uid": name}}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ScriptedApi]:
    with ScriptedApi(tmp_path) as running:
        yield running


@pytest.fixture
def cluster(api: ScriptedApi) -> Iterator[Cluster]:
    opened = connect(Target(str(api.kubeconfig)))
    yield opened
    opened.close()


# --- which cluster ----------------------------------------------------------------------------


def test_the_named_context_is_used_not_the_current_one(cluster: Cluster, api: ScriptedApi) -> None:
    assert (cluster.name, cluster.server, cluster.uid) == ("pi", api.url, UID)
    assert cluster.version == "1.35.0+k3s1"
    assert (cluster.rehearsal, cluster.chart_repository, cluster.dashboards) == (False, None, None)


def test_unknown_context_lists_the_known_ones(api: ScriptedApi) -> None:
    with pytest.raises(UsageError, match="no context 'pii'") as caught:
        connect(Target(str(api.kubeconfig), cluster="pii"))
    assert "elsewhere, pi" in caught.value.why
    assert caught.value.fix == "did you mean pi?"
    assert api.requests == []


def test_missing_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="there is no kubeconfig at") as caught:
        connect(Target(str(tmp_path / "none")))
    assert "parameter kubeconfig" in caught.value.why
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "other"))
    with pytest.raises(UsageError, match="other") as caught:
        connect(Target(""))
    assert "$KUBECONFIG" in caught.value.why
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageError, match=r"\.kube/config") as caught:
        connect(Target(""))
    assert "default" in caught.value.why


def test_broken_kubeconfig(tmp_path: Path) -> None:
    path = tmp_path / "k"
    path.write_text("contexts: [{name: pi, context: {cluster: gone, user: x}}]\nkind: Config\n")
    with pytest.raises(UsageError, match="cannot read the kubeconfig"):
        connect(Target(str(path)))
    path.write_text("a: [")
    with pytest.raises(UsageError, match="cannot read the kubeconfig"):
        connect(Target(str(path)))


def test_kubeconfigs_of_the_environment_are_merged(
    api: ScriptedApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = kubeconfig(tmp_path / "other", "http://127.0.0.1:9", context="lab")
    monkeypatch.setenv("KUBECONFIG", f"{other}:{api.kubeconfig}")
    with pytest.raises(UsageError) as caught:
        connect(Target("", cluster="nope"))
    assert "elsewhere, lab, pi" in caught.value.why


def test_no_rehearsal_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "active", lambda: None, raising=False)
    with pytest.raises(RehearsalError, match="no rehearsal cluster is running") as caught:
        connect(Target("", cluster="rehearsal"))
    assert "runbook rehearsal up" in caught.value.fix


def test_a_rehearsal_says_so_itself(api: ScriptedApi, tmp_path: Path) -> None:
    config = json.loads(api.kubeconfig.read_text())
    own = {"chartRepository": "http://charts", "dashboards": "http://dashboards"}
    mark = {"name": "runbook-rehearsal", "extension": own}
    config["clusters"][0]["cluster"]["extensions"] = [mark]
    api.kubeconfig.write_text(json.dumps(config))
    cluster = connect(Target(str(api.kubeconfig)))
    assert (cluster.rehearsal, cluster.chart_repository) == (True, "http://charts")
    assert cluster.dashboards == "http://dashboards"
    cluster.close()


def test_impersonation_of_the_kubeconfig_is_honoured(api: ScriptedApi, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "jane", api.url, user={"token": "t", "as": "jane"})
    connect(Target(str(path))).close()
    assert api.headers[0]["Impersonate-User"] == "jane"


# --- the guard --------------------------------------------------------------------------------


def test_guard_reads_the_uid_first_and_nothing_else(api: ScriptedApi) -> None:
    other = UID.replace("0b", "1c")
    with pytest.raises(GuardError, match="another cluster") as caught:
        connect(Target(str(api.kubeconfig), cluster_uid=other))
    assert other in caught.value.why
    assert UID in caught.value.why
    assert api.requests == [("GET", "/api/v1/namespaces/kube-system")]


@pytest.mark.parametrize("code", [403, 404])
def test_guard_refuses_what_cannot_be_told(api: ScriptedApi, code: int) -> None:
    api.script("/api/v1/namespaces/kube-system", status(code))
    with pytest.raises(GuardError, match="cannot be read"):
        connect(Target(str(api.kubeconfig), cluster_uid=UID))
    cluster = connect(Target(str(api.kubeconfig)))
    assert cluster.uid == ""
    cluster.close()


def test_guard_passes_the_right_cluster(api: ScriptedApi) -> None:
    cluster = connect(Target(str(api.kubeconfig), cluster_uid=UID))
    assert cluster.uid == UID
    assert len(api.requests) == 1
    cluster.close()


# --- objects ----------------------------------------------------------------------------------


def test_kinds_are_looked_up_once(cluster: Cluster, api: ScriptedApi) -> None:
    api.script(f"{MAPS}/a", Answer(body=cm("a")))
    for _ in range(3):
        cluster.get("v1", "ConfigMap", "a", "t1")
    assert [path for _, path in api.requests].count("/api/v1") == 1


def test_unknown_kinds_are_looked_up_again(cluster: Cluster, api: ScriptedApi) -> None:
    assert not cluster.serves("cert-manager.io/v1", "Certificate")
    with pytest.raises(NotFoundError, match="does not know the kind Certificate") as caught:
        cluster.get("cert-manager.io/v1", "Certificate", "x", "t1")
    assert "CustomResourceDefinition" in caught.value.why
    assert cluster.find("cert-manager.io/v1", "Certificate", "x", "t1") is None
    assert list(cluster.list("cert-manager.io/v1", "Certificate")) == []
    kinds = {"resources": [{"name": "certificates", "kind": "Certificate", "namespaced": True}]}
    api.script("/apis/cert-manager.io/v1", Answer(body=kinds))
    assert cluster.serves("cert-manager.io/v1", "Certificate")


def test_a_namespace_is_asked_for(cluster: Cluster) -> None:
    with pytest.raises(UsageError, match="ConfigMap a needs a namespace"):
        cluster.get("v1", "ConfigMap", "a")


def test_list_goes_through_every_page(cluster: Cluster, api: ScriptedApi) -> None:
    first = {"items": [cm("a"), cm("b")], "metadata": {"continue": "token"}}
    api.script(MAPS, Answer(body=first), Answer(body={"items": [cm("c")], "metadata": {}}))
    found = list(cluster.list("v1", "ConfigMap", "t1", selector="a=b"))
    assert [obj["metadata"]["name"] for obj in found] == ["a", "b", "c"]
    assert {(obj["apiVersion"], obj["kind"]) for obj in found} == {("v1", "ConfigMap")}
    assert "labelSelector=a%3Db" in api.requests[-1][1]
    assert "continue=token" in api.requests[-1][1]


def test_an_expired_page_starts_the_list_over(cluster: Cluster, api: ScriptedApi) -> None:
    first = {"items": [cm("a")], "metadata": {"continue": "old"}}
    again = {"items": [cm("a"), cm("b")], "metadata": {}}
    api.script(MAPS, Answer(body=first), status(410, "Expired"), Answer(body=again))
    found = [obj["metadata"]["name"] for obj in cluster.list("v1", "ConfigMap", "t1")]
    assert found == ["a", "b"]


def test_apply_sends_what_server_side_apply_needs(cluster: Cluster, api: ScriptedApi) -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "t1"}}
    api.script(f"{MAPS}/a", Answer(body=obj))
    cluster.apply(obj, dry_run=True)
    method, path = api.requests[-1]
    assert method == "PATCH"
    for part in ("fieldManager=linkerd-runbook", "force=false", "dryRun=All"):
        assert part in path
    assert "fieldValidation=Strict" in path
    assert api.headers[-1]["Content-Type"] == "application/apply-patch+yaml"
    assert api.bodies[-1] == obj
    cluster.apply(obj, force=True)
    assert "dryRun" not in api.requests[-1][1]
    assert "force=true" in api.requests[-1][1]


def test_delete_is_fine_with_absent_objects(cluster: Cluster, api: ScriptedApi) -> None:
    cluster.delete("v1", "ConfigMap", "gone", "t1")
    assert api.requests[-1] == ("DELETE", f"{MAPS}/gone")
    assert api.bodies[-1]["propagationPolicy"] == "Background"
    api.script(f"{MAPS}/a", status(403))
    with pytest.raises(ForbiddenError, match="cannot delete configmaps in namespace t1"):
        cluster.delete("v1", "ConfigMap", "a", "t1")


def test_permissions_are_asked_for(cluster: Cluster, api: ScriptedApi) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    api.script(path, Answer(201, {"status": {"allowed": True}}))
    assert cluster.can("create", "pods/log", namespace="linkerd", group="g")
    assert api.bodies[-1]["spec"]["resourceAttributes"] == {
        "verb": "create",
        "resource": "pods",
        "subresource": "log",
        "group": "g",
        "namespace": "linkerd",
    }
    api.script(path, Answer(201, {"status": {"allowed": False}}))
    assert not cluster.can("create", "namespaces")


def test_logs_are_text(cluster: Cluster, api: ScriptedApi) -> None:
    api.script("/api/v1/namespaces/t1/pods/p/log", Answer(body="one\ntwo\n"))
    assert cluster.logs("t1", "p", "c", previous=True, tail=5) == "one\ntwo\n"
    for part in ("container=c", "previous=true", "tailLines=5"):
        assert part in api.requests[-1][1]


def test_any_path_can_be_read(cluster: Cluster, api: ScriptedApi) -> None:
    api.script("/readyz", Answer(body="ok", headers={"Content-Type": "text/plain; charset=utf-8"}))
    assert cluster.read("/readyz") == "ok"
    assert cluster.read("/version") == {"gitVersion": "v1.35.0+k3s1"}


def test_the_clock_is_the_servers(cluster: Cluster, api: ScriptedApi) -> None:
    date = "Tue, 24 Nov 2020 03:00:00 GMT"
    api.script("/version", Answer(body={}, headers={"Date": date}), Answer(body={}))
    assert cluster.now().isoformat() == "2020-11-24T03:00:00+00:00"
    with pytest.raises(ApiError, match="carry no Date"):
        cluster.now()


def test_other_refusals_are_raised_by_find(cluster: Cluster, api: ScriptedApi) -> None:
    api.script(f"{MAPS}/a", status(403))
    with pytest.raises(ApiError):
        cluster.find("v1", "ConfigMap", "a", "t1")
