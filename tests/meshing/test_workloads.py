"""Workloads, their pods, and annotations on their templates."""

from __future__ import annotations

from typing import Any

import pytest
from fake_context import FakeCluster, context, obj

from runbook.meshing.annotate import annotate, annotated, annotated_namespace, namespace_patch
from runbook.meshing.forecast import Forecast, fates
from runbook.meshing.injector import of_line, read_injector
from runbook.meshing.workloads import Workload, find_workloads, owner
from runbook.releases import find
from runbook.show import MEDIA_TYPE

INJECT = "linkerd.io/inject"
HOME = obj("v1", "Namespace", "shop", labels={"kubernetes.io/metadata.name": "shop"})


def owned(kind: str, name: str) -> list[dict[str, Any]]:
    return [{"kind": kind, "name": name, "controller": True, "uid": "1"}]


def pod(name: str, kind: str = "", of: str = "", proxy: str = "", **labels: str) -> dict[str, Any]:
    made = obj("v1", "Pod", name, "shop", labels=labels)
    made["spec"] = {"containers": [{"name": "web"}]}
    made["status"] = {"phase": "Running"}
    sidecar = {"name": "linkerd-proxy"}
    if proxy == "sidecar":
        made["spec"]["containers"].insert(0, sidecar)
    elif proxy:
        made["spec"]["initContainers"] = [{**sidecar, "restartPolicy": "Always"}]
    if kind:
        made["metadata"]["ownerReferences"] = owned(kind, of)
    return made


def workload(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    version = "batch/v1" if kind in ("Job", "CronJob") else "apps/v1"
    template = {"template": {"metadata": {}, "spec": {"containers": [{"name": "web"}], **spec}}}
    body = {"jobTemplate": {"spec": template}} if kind == "CronJob" else template
    return obj(version, kind, name, "shop", spec=body)


def cluster() -> FakeCluster:
    job = workload("Job", "backup-29") | {}
    job["metadata"]["ownerReferences"] = owned("CronJob", "backup")
    return FakeCluster(
        [
            HOME,
            *(workload("Deployment", name) for name in ("web", "api")),
            workload("DaemonSet", "agent", hostNetwork=True),
            workload("StatefulSet", "db"),
            workload("CronJob", "backup"),
            job,
            workload("Job", "once"),
            pod("web-5d-1", "ReplicaSet", "web-5d", **{"pod-template-hash": "5d"}),
            pod("agent-1", "DaemonSet", "agent"),
            pod("backup-29-x", "Job", "backup-29"),
            pod("once-x", "Job", "once"),
            pod("alone"),
        ]
    )


def test_pods_go_with_the_workload_a_user_knows() -> None:
    found = find_workloads(cluster(), "shop")  # type: ignore[arg-type]
    assert [(one.title, [p["metadata"]["name"] for p in one.pods]) for one in found] == [
        ("deployment/api", []),
        ("deployment/web", ["web-5d-1"]),
        ("daemonset/agent", ["agent-1"]),
        ("statefulset/db", []),
        ("cronjob/backup", ["backup-29-x"]),
        ("job/once", ["once-x"]),
        ("pod/alone", ["alone"]),
    ]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (pod("a"), ("Pod", "a")),
        (pod("a", "ReplicaSet", "web-5d"), ("ReplicaSet", "web-5d")),
        (pod("a", "ReplicaSet", "w", **{"pod-template-hash": "5d"}), ("ReplicaSet", "w")),
        (pod("a", "Job", "unknown"), ("Job", "unknown")),
        (pod("a", "Rollout", "r"), ("Rollout", "r")),
    ],
)
def test_owners_that_are_not_the_usual_ones(
    made: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert owner(made, {}) == expected


def test_the_owner_of_a_workload_is_told() -> None:
    one = workload("StatefulSet", "prometheus-k8s")
    one["metadata"]["ownerReferences"] = owned("Prometheus", "k8s")
    assert Workload("StatefulSet", "prometheus-k8s", "shop", one).owner == "Prometheus/k8s"
    assert Workload("Deployment", "web", "shop", workload("Deployment", "web")).owner == ""


@pytest.mark.parametrize("kind", ["Deployment", "DaemonSet", "StatefulSet", "CronJob", "Job"])
def test_a_template_is_annotated(kind: str) -> None:
    one = Workload(kind, "x", "shop", workload(kind, "x"))
    wanted = annotated(one, {INJECT: "enabled"})
    assert wanted.template["metadata"]["annotations"] == {INJECT: "enabled"}
    assert one.template["metadata"] == {}, "the one that lives is not touched"
    patch = annotate(one, {INJECT: "enabled"})
    assert [step["op"] for step in patch.operations] == ["add"]
    assert annotate(wanted, {INJECT: "enabled"}).operations == ()
    back = annotated(wanted, {INJECT: None})
    assert back.obj == one.obj


def test_a_namespace_is_annotated() -> None:
    wanted = annotated_namespace(HOME, {INJECT: "enabled"})
    assert wanted["metadata"]["annotations"] == {INJECT: "enabled"}
    assert namespace_patch(HOME, {INJECT: "enabled"}).kind == "Namespace"
    assert annotated_namespace(wanted, {INJECT: None}) == HOME


def test_the_forecast_names_every_pod_and_the_reason() -> None:
    live = cluster()
    asked = context(live)
    wanted = annotated_namespace(HOME, {INJECT: "enabled"})
    found = find_workloads(live, "shop")  # type: ignore[arg-type]
    table = Forecast(list(fates(asked, found, wanted, of_line(find("edge-2.20")))))
    assert table.summary() == "6 of 7 meshed, 4 to be replaced"
    rows = {one["workload"]: one for one in table.data()["pods"]}
    assert rows["daemonset/agent"]["reasons"] == ["host_network_enabled"]
    assert not rows["daemonset/agent"]["replaced"]
    assert rows["statefulset/db"]["pod"] == ""
    assert rows["deployment/web"] == {
        "namespace": "shop",
        "workload": "deployment/web",
        "pod": "web-5d-1",
        "now": "not meshed",
        "becomes": "meshed, native sidecar",
        "reasons": [],
        "replaced": True,
    }
    text = table._repr_mimebundle_()["text/plain"]
    assert "hostNetwork is enabled" in text
    assert "(its next pod)" in text
    assert table._repr_mimebundle_()[MEDIA_TYPE]["type"] == "forecast"


@pytest.mark.parametrize(
    ("proxy", "line", "replaced"),
    [
        ("native", "edge-2.20", False),
        ("sidecar", "edge-2.20", True),
        ("sidecar", "edge-2.19", False),
        ("", "edge-2.19", True),
    ],
)
def test_a_pod_is_replaced_when_the_next_one_differs(proxy: str, line: str, replaced: bool) -> None:
    labels = {"pod-template-hash": "5d"}
    running = pod("web-5d-1", "ReplicaSet", "web-5d", proxy=proxy, **labels)
    one = Workload("Deployment", "web", "shop", workload("Deployment", "web"), [running])
    home = annotated_namespace(HOME, {INJECT: "enabled"})
    (fate,) = fates(context(FakeCluster()), [one], home, of_line(find(line)))
    assert fate.current is not replaced


def test_finished_pods_are_left_out_of_the_counts() -> None:
    over = pod("once-x", "Job", "once")
    over["status"]["phase"] = "Succeeded"
    one = Workload("Job", "once", "shop", workload("Job", "once"), [over])
    home = annotated_namespace(HOME, {INJECT: "enabled"})
    table = Forecast(list(fates(context(FakeCluster()), [one], home, of_line(find("edge-2.20")))))
    assert table.summary() == "0 of 0 meshed, 0 to be replaced"
    assert "finished" in str(table)


def test_on_2_11_the_account_decides_about_the_token() -> None:
    account = obj("v1", "ServiceAccount", "robot", "shop", automountServiceAccountToken=False)
    one = workload("Deployment", "web", serviceAccountName="robot")
    home = annotated_namespace(HOME, {INJECT: "enabled"})
    asked = context(FakeCluster([account]))
    found = [Workload("Deployment", "web", "shop", one)]
    (fate,) = fates(asked, found, home, of_line(find("stable-2.11")))
    assert fate.decision.reasons == ("disabled_automount_service_account_token_account",)
    (fate,) = fates(asked, found, home, of_line(find("edge-2.20")))
    assert fate.decision.meshed


def test_the_injector_is_read_from_its_webhook_and_configuration() -> None:
    hook = {"namespaceSelector": {"matchLabels": {"a": "b"}}, "failurePolicy": "Fail"}
    webhook = obj(
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        "linkerd-proxy-injector-webhook-config",
        webhooks=[hook],
    )
    values = "linkerdVersion: edge-1\nproxy: {nativeSidecar: false, enableShutdownEndpoint: true}\n"
    config = obj("v1", "ConfigMap", "linkerd-config", "linkerd", data={"values": values})
    found = read_injector(context(FakeCluster([webhook, config])))
    assert (found.installed, found.version) == (True, "edge-1")
    assert (found.native, found.shutdown, found.ignores_failure) == (False, True, False)
    assert found.namespace_selector == {"matchLabels": {"a": "b"}}
    assert found.token_projection, "as the line has it, where the values do not say"
    assert not read_injector(context(FakeCluster())).installed
