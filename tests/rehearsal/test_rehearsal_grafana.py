"""Grafana in the rehearsal: dashboards to be had, its sidecar, and what it takes up."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bare import Answer, Api
from controllers_help import namespace, rolled_out, until

from runbook.cluster import connect
from runbook.params import Params
from runbook.rehearsal import Twin, dashboards, mishaps
from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.monitoring.grafana import Site
from runbook.rehearsal.monitoring.provisioning import Provisioner
from runbook.rehearsal.monitoring.sidecar import Sidecar

Object = dict[str, Any]
SPACE, NAME = "k3s-monitoring", "kube-prometheus-stack-grafana"
PROXY = f"/api/v1/namespaces/{SPACE}/services/{NAME}:http-web/proxy"
PODS = "app.kubernetes.io/name=grafana"
LABEL = {"grafana_dashboard": "1"}


@pytest.fixture(scope="module")
def client(twin: Twin) -> Client:
    return Client.from_kubeconfig(twin.kubeconfig)


@dataclass(frozen=True)
class Grafana:
    """Grafana's pod."""

    twin: Twin
    client: Client

    def pod(self) -> str:
        found = [
            pod["metadata"]["name"]
            for pod in self.client.list(kinds.PODS, SPACE, selector=PODS)
            if not pod["metadata"].get("deletionTimestamp")
        ]
        assert len(found) == 1
        return str(found[0])

    def replaced(self, before: str) -> bool:
        """Tell whether another pod is there, and answers."""
        found = _pods(self.client)
        one = len(found) == 1 and before not in found
        return one and self.twin.backend.endpoint(SPACE, found[0], 3000) is not None

    def log(self, container: str) -> str:
        path = f"/api/v1/namespaces/{SPACE}/pods/{self.pod()}/log"
        return str(self.client.request("GET", path, query={"container": container}))

    def get(self, path: str, authorization: str | None = None) -> Answer:
        """Ask it past the API server, whose proxy keeps the header Authorization to itself."""
        address = self.twin.backend.endpoint(SPACE, self.pod(), 3000)
        assert address is not None
        sent = self.login() if authorization is None else authorization
        connection = http.client.HTTPConnection(*address, timeout=30)
        connection.request("GET", path, headers={"Authorization": sent} if sent else {})
        answer = connection.getresponse()
        found = Answer(answer.status, answer.headers, answer.read())
        connection.close()
        return found

    def login(self, password: str = "") -> str:
        data = self.client.get(kinds.SECRETS, NAME, SPACE)["data"]
        user = b64decode(data["admin-user"]).decode()
        return basic(user, password or b64decode(data["admin-password"]).decode())

    def titles(self) -> list[str]:
        return [one["title"] for one in self.get("/api/search?type=dash-db").body]


@pytest.fixture(scope="module")
def grafana(twin: Twin, client: Client) -> Grafana:
    namespace(client, "apps")
    return Grafana(twin, client)


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def dashboard(uid: str, title: str = "") -> str:
    return json.dumps({"uid": uid, "title": title or uid.title(), "panels": []})


def config_map(
    name: str, space: str = "apps", notes: dict[str, str] | None = None, **files: str
) -> Object:
    meta = {"name": name, "namespace": space, "labels": LABEL, "annotations": notes or {}}
    data = {f"{key.replace('_', '-')}.json": text for key, text in files.items()}
    return {"metadata": meta, "data": data}


def messages(log: str) -> list[str]:
    return [json.loads(line)["msg"] for line in log.splitlines()]


def test_its_health_and_its_login_are_for_everybody(twin: Twin, grafana: Grafana) -> None:
    api = Api(twin)
    health = api("GET", f"{PROXY}/api/health")
    assert health.body == {"database": "ok", "version": "12.2.0", "commit": "rehearsal"}
    assert b"Grafana (rehearsal)" in api("GET", f"{PROXY}/login").raw
    assert api("GET", f"{PROXY}/").headers["Location"] == "/login"
    assert api("GET", f"{PROXY}/api/search").body["messageId"] == "session.token.missing"
    wrong = grafana.get("/api/search", grafana.login("guess"))
    assert (wrong.status, wrong.body["message"]) == (401, "Invalid username or password")
    assert grafana.get("/api/search", "Bearer x").status == 401
    assert grafana.get("/api/search?type=dash-folder").body == []
    assert 'msg="Starting Grafana (rehearsal: a stand-in)" version=12.2.0' in grafana.log("grafana")


def test_a_config_map_becomes_a_dashboard(client: Client, grafana: Grafana) -> None:
    client.create(kinds.CONFIGMAPS, config_map("a", one=dashboard("one"), two=dashboard("two")))
    until(lambda: grafana.titles() == ["One", "Two"])
    written = messages(grafana.log("grafana-sc-dashboard"))
    assert {f"Writing /tmp/dashboards/{n}.json (ascii)" for n in ("one", "two")} <= {*written}
    found = grafana.get("/api/dashboards/uid/one").body
    assert found["dashboard"] == json.loads(dashboard("one"))
    assert found["meta"]["provisioned"]
    assert grafana.get("/api/dashboards/uid/none").body == {"message": "Dashboard not found"}
    assert [one["uid"] for one in grafana.get("/api/search?query=tw").body] == ["two"]

    data = {"one.json": dashboard("one", "Changed"), "two.json": None}
    client.patch(kinds.CONFIGMAPS, "a", {"data": data}, "apps")
    until(lambda: grafana.titles() == ["Changed"])
    client.patch(
        kinds.CONFIGMAPS, "a", {"metadata": {"labels": {"grafana_dashboard": "0"}}}, "apps"
    )
    until(lambda: grafana.titles() == [])
    removed = messages(grafana.log("grafana-sc-dashboard"))
    assert {f"Removing /tmp/dashboards/{n}.json" for n in ("one", "two")} <= {*removed}


def test_secrets_and_folders(client: Client, grafana: Grafana) -> None:
    notes = {"k8s-sidecar-target-directory": "Linkerd"}
    data = {"s.json": b64encode(dashboard("s").encode()).decode()}
    meta = {"name": "s", "namespace": SPACE, "labels": LABEL, "annotations": notes}
    client.create(kinds.SECRETS, {"metadata": meta, "data": data})
    until(lambda: grafana.titles() == ["S"])
    client.delete(kinds.SECRETS, "s", SPACE)
    until(lambda: grafana.titles() == [])
    told = messages(grafana.log("grafana-sc-dashboard"))
    assert told[-3:] == [
        "Found a folder override annotation, placing the s in: /tmp/dashboards/Linkerd",
        "Writing /tmp/dashboards/Linkerd/s.json (binary)",
        "Removing /tmp/dashboards/Linkerd/s.json",
    ]


def test_what_grafana_does_not_take_up(client: Client, grafana: Grafana) -> None:
    broken = config_map(
        "broken", cut=dashboard("cut")[:-3], untitled='{"uid": "u"}', good=dashboard("good")
    )
    client.create(kinds.CONFIGMAPS, broken)
    until(lambda: grafana.titles() == ["Good"])
    log = grafana.log("grafana")
    for name in ("cut", "untitled"):
        assert f'msg="failed to load dashboard from " file=/tmp/dashboards/{name}.json' in log
    client.create(kinds.CONFIGMAPS, config_map("twin", again=dashboard("good", "Again")))
    client.create(kinds.CONFIGMAPS, config_map("new", new=dashboard("new")))
    until(lambda: "no database write permissions because of duplicates" in grafana.log("grafana"))
    assert 'msg="the same UID is used more than once" orgId=1 uid=good times=2' in (
        grafana.log("grafana")
    )
    assert grafana.titles() == ["Good"]
    client.delete(kinds.CONFIGMAPS, "twin", "apps")
    until(lambda: grafana.titles() == ["Good", "New"])
    for name in ("broken", "new"):
        client.delete(kinds.CONFIGMAPS, name, "apps")
    until(lambda: grafana.titles() == [])


def test_a_new_pod_has_them_again(client: Client, grafana: Grafana) -> None:
    client.create(kinds.CONFIGMAPS, config_map("kept", kept=dashboard("kept")))
    until(lambda: grafana.titles() == ["Kept"])
    before = grafana.pod()
    client.delete(kinds.PODS, before, SPACE)
    until(lambda: grafana.replaced(before))
    until(lambda: grafana.titles() == ["Kept"])
    client.delete(kinds.CONFIGMAPS, "kept", "apps")


def test_without_its_sidecar_it_gets_none(client: Client, grafana: Grafana) -> None:
    before = grafana.pod()
    mishaps.remove_dashboard_sidecar(client)
    until(lambda: rolled_out(client, SPACE, NAME) and grafana.replaced(before))
    pod = client.get(kinds.PODS, grafana.pod(), SPACE)
    names = [container["name"] for container in pod["spec"]["containers"]]
    assert names == ["grafana-sc-datasources", "grafana"]
    assert grafana.get("/api/health").status == 200


def _pods(client: Client) -> list[str]:
    return [pod["metadata"]["name"] for pod in client.list(kinds.PODS, SPACE, selector=PODS)]


def test_the_published_dashboards_are_to_be_had(twin: Twin) -> None:
    cluster = connect(Params(cluster="rehearsal", kubeconfig=str(twin.kubeconfig)))
    assert cluster.dashboards == twin.dashboards
    cluster.close()
    for one in dashboards.PUBLISHED:
        path = f"/api/dashboards/{one.id}/revisions/{one.revision}/download"
        with urllib.request.urlopen(twin.dashboards + path) as answer:
            read = json.load(answer)
        assert (read["uid"], read["title"], read["gnetId"]) == (one.uid, one.title, one.id)
        assert read["__inputs"][0]["name"] == "DS_PROMETHEUS"
        assert "REHEARSAL" in read["description"]
        assert len(read["panels"]) == len(one.queries)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{twin.dashboards}/api/dashboards/15474/revisions/99/download")


def test_no_two_published_dashboards_are_alike() -> None:
    for values in zip(*((o.id, o.uid, o.title) for o in dashboards.PUBLISHED), strict=True):
        assert len(set(values)) == len(dashboards.PUBLISHED) == 18
    queries = [query for one in dashboards.PUBLISHED for query in one.queries.values()]
    for name in ("request_total", "response_latency_ms_bucket", "route_response_total"):
        assert any(name in query for query in queries)


def test_titles_must_differ_within_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    provisioner = Provisioner(tmp_path, "/tmp/dashboards")
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.json").write_text(dashboard("a", "Same"))
    (tmp_path / "sub" / "b.json").write_text(dashboard("b", "Same"))
    (tmp_path / ".c.json.new").write_text("{")
    provisioner.look()
    assert [one.uid for one in provisioner.dashboards] == ["a", "b"]
    assert "not unique" not in capsys.readouterr().out
    (tmp_path / "c.json").write_text(dashboard("c", "Same"))
    (tmp_path / "a.json").unlink()
    (tmp_path / "d.json").write_text('{"title": "Same"}')
    provisioner.look()
    assert 'msg="dashboard title is not unique in folder" orgId=1 title=Same' in (
        capsys.readouterr().out
    )
    assert [one.uid for one in provisioner.dashboards] == ["b"]
    provisioner.look()  # nothing has changed: nothing is said
    assert capsys.readouterr().out == ""


def test_a_dashboard_without_a_uid_keeps_the_one_it_was_given(tmp_path: Path) -> None:
    provisioner = Provisioner(tmp_path, "/tmp/dashboards")
    for title in ("First", "Second"):
        (tmp_path / "a.json").write_text(json.dumps({"title": title}))
        provisioner.look()
        (found,) = provisioner.dashboards
        assert found.title == title
        uid = found.uid
    assert uid == found.uid
    assert len(uid) == 14
    site = Site(provisioner, version="1", user="u", password="p")
    status, body = site.answer(f"/api/dashboards/uid/{uid}", basic("u", "p"))
    assert (status, body["dashboard"]["title"]) == (200, "Second")
    assert site.answer("/api/other", basic("u", "p"))[0] == 404
    assert site.answer("/other", "")[0] == 404


def test_a_sidecar_writes_only_where_it_may(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sidecar = Sidecar({"/tmp/dashboards": str(tmp_path)}, "/tmp/dashboards", "folder")
    for folder in ("/etc", "../.."):
        sidecar.hear("configmap", "ADDED", config_map("a", notes={"folder": folder}, a="{}"))
    sidecar.hear("configmap", "ADDED", {"metadata": {"name": "e", "namespace": "apps"}})
    assert list(tmp_path.iterdir()) == []
    said = messages(capsys.readouterr().out)
    assert "Error: insufficient privileges to create /etc. Skipping a.json." in said
    assert said[-1] == "No data/binaryData field in configmap"
