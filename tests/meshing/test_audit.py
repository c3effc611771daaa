"""The audit: every state of a pod, what it comes to, and what it asks of the API server."""

from __future__ import annotations

import hashlib
import itertools
import json
from typing import Any

import pytest
from fake_context import FakeCluster, context, issuer_objects, obj
from test_workloads import owned

from runbook import page
from runbook.errors import ForbiddenError
from runbook.meshing.audit import WRONG, read_mesh
from runbook.meshing.audit_report import audit

ANCHORS = "-----BEGIN CERTIFICATE-----\n"
RUNNING = "edge-26.6.3"
_uids = itertools.count()


def pod(name: str, space: str = "shop", **given: Any) -> dict[str, Any]:
    """Make a pod of Deployment web; ``proxy`` meshes it."""
    proxy, ready = given.get("proxy", False), given.get("ready", True)
    notes = dict(given.get("notes") or {})
    containers, states = [{"name": "web"}], [{"name": "web", "ready": True, "state": {}}]
    if proxy:
        checksum = hashlib.sha256(ANCHORS.strip().encode()).hexdigest()
        notes = {
            "linkerd.io/proxy-version": RUNNING,
            "linkerd.io/trust-root-sha256": checksum,
            **notes,
        }
        containers.insert(0, {"name": "linkerd-proxy"})
        state = {"name": "linkerd-proxy", "ready": ready, "restartCount": 2}
        states.insert(0, {**state, "state": {"running": {}}})
    labels = {"pod-template-hash": "5d", **(given.get("labels") or {})}
    made = obj("v1", "Pod", name, space, labels=labels)
    made["metadata"] |= {
        "annotations": notes,
        "ownerReferences": owned(given.get("kind", "ReplicaSet"), given.get("of", "web-5d")),
        "uid": str(next(_uids)),
    }
    made["spec"] = {"containers": containers, **(given.get("spec") or {})}
    made["status"] = {"phase": given.get("phase", "Running"), "containerStatuses": states}
    return made


def space(name: str, inject: str = "", **labels: str) -> dict[str, Any]:
    made = obj("v1", "Namespace", name, labels={"kubernetes.io/metadata.name": name, **labels})
    if inject:
        made["metadata"]["annotations"] = {"linkerd.io/inject": inject}
    return made


def linkerd() -> list[dict[str, Any]]:
    rules = [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]}]
    hook = {"namespaceSelector": {"matchExpressions": rules}, "failurePolicy": "Ignore"}
    values = f"linkerdVersion: {RUNNING}\n"
    return [
        obj(
            "admissionregistration.k8s.io/v1",
            "MutatingWebhookConfiguration",
            "linkerd-proxy-injector-webhook-config",
            webhooks=[hook],
        ),
        obj("v1", "ConfigMap", "linkerd-config", "linkerd", data={"values": values}),
        obj(
            "v1",
            "ConfigMap",
            "linkerd-identity-trust-roots",
            "linkerd",
            data={"ca-bundle.crt": ANCHORS},
        ),
        *issuer_objects(),
    ]


class Cluster(FakeCluster):
    uid = "1"
    forbidden = ""

    def list(self, api_version: str, kind: str, namespace: str = "", **given: Any) -> Any:
        if kind == self.forbidden:
            raise ForbiddenError(f"not allowed to list {kind}", code=403)
        yield from super().list(api_version, kind, namespace, **given)

    def find(self, api_version: str, kind: str, name: str, namespace: str = "") -> Any:
        if kind == self.forbidden:
            raise ForbiddenError(f"not allowed to get {kind}", code=403)
        return super().find(api_version, kind, name, namespace)


def look(*objects: dict[str, Any], forbidden: str = "") -> Any:
    cluster = Cluster([*linkerd(), *objects])
    cluster.forbidden = forbidden
    asked = context(cluster)
    return audit(asked, read_mesh(asked))


def test_all_is_well() -> None:
    found = look(space("shop", "enabled"), pod("web-1", proxy=True), space("empty"))
    assert found.attention == ()
    assert found.summary() == "1 of 1 pods meshed in 1 namespaces; nothing needs attention"
    (shop,) = found.data()["namespaces"]
    assert shop["workloads"] == [
        {
            "kind": "Deployment",
            "name": "web",
            "state": "meshed",
            "pods": 1,
            "meshed": 1,
            "reasons": {},
            "why": "",
            "wrong": {},
            "proxy_restarts": 2,
        }
    ]
    assert found.data()["proxies"] == {RUNNING: 1}


STUCK = {"kind": "Job", "of": "once", "proxy": True}
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "missing": ({}, "enabled"),
    "left over": ({"proxy": True}, ""),
    "old proxy": ({"proxy": True, "notes": {"linkerd.io/proxy-version": "edge-25.1.1"}}, "enabled"),
    "old anchors": (
        {"proxy": True, "notes": {"linkerd.io/trust-root-sha256": "another"}},
        "enabled",
    ),
    "unready": ({"proxy": True, "ready": False}, "enabled"),
}


@pytest.mark.parametrize("wrong", CASES)
def test_what_is_wrong_with_a_pod(wrong: str) -> None:
    given, inject = CASES[wrong]
    found = look(space("shop", inject), pod("web-1", **given))
    tally = found.mesh.spaces["shop"].workloads["Deployment", "web"]
    assert dict(tally.wrong) == {wrong: 1}
    told = [one for one in found.attention if one.where == "shop/deployment/web"]
    assert [one.what for one in told] == [f"1 of 1 pods: {WRONG[wrong]} (web-1)"]
    expected = "logs web-1" if wrong == "unready" else "rollout restart deployment web"
    assert expected in told[0].fix


def test_a_job_that_hangs() -> None:
    hanging = pod("once-x", **STUCK)
    hanging["status"]["containerStatuses"][1]["state"] = {"terminated": {"exitCode": 0}}
    found = look(space("shop", "enabled"), hanging)
    assert "its Job has ended, its proxy has not" in found.attention[0].what
    assert "notebook 32" in found.attention[0].fix


def test_every_wrong_is_tested() -> None:
    assert set(WRONG) == {*CASES, "hanging"}


def test_partly_meshed_and_why() -> None:
    host = pod("host-1", spec={"hostNetwork": True}, kind="DaemonSet", of="agent")
    none = pod("web-2", notes={"linkerd.io/inject": "disabled"})
    found = look(space("shop", "enabled"), pod("web-1", proxy=True), none, host)
    tallies = found.mesh.spaces["shop"].workloads
    web, agent = tallies["Deployment", "web"], tallies["DaemonSet", "agent"]
    assert (web.state, web.why) == ("partly", "it is annotated linkerd.io/inject: disabled")
    assert (agent.state, agent.why) == ("not", "hostNetwork is enabled")
    assert found.attention == ()


def test_an_annotation_without_effect() -> None:
    found = look(space("kube-system", "enabled"), pod("web-1", "kube-system"))
    (told,) = found.attention
    assert "has no effect" in told.what
    assert "inject_kube_system: true" in told.fix


def test_a_value_that_is_none() -> None:
    found = look(space("shop"), pod("web-1", notes={"linkerd.io/inject": "yes"}))
    assert "no valid value" in found.attention[0].what


@pytest.mark.parametrize(
    "kind", ["Pod", "Job", "Namespace", "MutatingWebhookConfiguration", "ConfigMap", "Secret"]
)
def test_what_may_not_be_read_is_told(kind: str) -> None:
    found = look(space("shop", "enabled"), pod("web-1", proxy=True), forbidden=kind)
    told = [one.what for one in found.attention]
    assert any(f"not allowed to {verb} {kind}" in one for one in told for verb in ("list", "get"))


def test_pods_that_have_ended_or_are_ending_do_not_count() -> None:
    gone = pod("web-2", proxy=True)
    gone["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    found = look(space("shop", "enabled"), pod("web-1", phase="Succeeded"), gone)
    assert found.mesh.pods == 0


def test_without_linkerd() -> None:
    cluster = Cluster([space("shop"), pod("web-1")])
    asked = context(cluster)
    found = audit(asked, read_mesh(asked))
    assert [one.what for one in found.attention] == [
        "Linkerd's injector is not installed",
        "there is no Secret linkerd-identity-issuer",
    ]


def test_the_page_escapes_what_came_from_the_cluster() -> None:
    notes = {"linkerd.io/proxy-version": "<script>alert(1)</script>"}
    found = look(space("shop", "<b>"), pod("web-1", proxy=True, notes=notes))
    html = page.audit(json.loads(json.dumps(found.data())))
    assert "<script>alert" not in html
    assert "&lt;script&gt;" in html
    assert "inject: <b>" not in html
