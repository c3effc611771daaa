from __future__ import annotations

import datetime
import re
from typing import Any

import pytest

from runbook.rehearsal.apiserver import podcells
from runbook.rehearsal.apiserver.columns import age, json_path, selector_text, span
from runbook.rehearsal.apiserver.requests import stamp
from runbook.rehearsal.apiserver.resources import builtin
from runbook.rehearsal.apiserver.tables import table

RESOURCES = {r.kind: r for r in builtin("1.35")}
NOW = stamp()


def row(kind: str, **fields: Any) -> dict[str, Any]:
    """Print one object and give its cells by column."""
    obj = {"metadata": {"name": "x", "creationTimestamp": NOW}, **fields}
    printed = table(RESOURCES[kind], [obj], {})
    names = [column["name"] for column in printed["columnDefinitions"]]
    return dict(zip(names, printed["rows"][0]["cells"], strict=True))


def pod(**status: Any) -> dict[str, Any]:
    spec = status.pop("spec", {"containers": [{"name": "c"}]})
    return {"metadata": status.pop("metadata", {"name": "p"}), "spec": spec, "status": status}


def container(state: dict[str, Any], ready: bool = False, **more: Any) -> dict[str, Any]:
    return {"name": "c", "state": state, "ready": ready, **more}


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (pod(phase="Pending"), "Pending"),
        (pod(phase="Running", containerStatuses=[container({"running": {}}, True)]), "Running"),
        (
            pod(
                phase="Pending",
                containerStatuses=[container({"waiting": {"reason": "ImagePullBackOff"}})],
            ),
            "ImagePullBackOff",
        ),
        (
            pod(
                phase="Running",
                containerStatuses=[container({"waiting": {"reason": "CrashLoopBackOff"}})],
            ),
            "CrashLoopBackOff",
        ),
        (
            pod(
                phase="Succeeded",
                containerStatuses=[container({"terminated": {"reason": "Completed"}})],
            ),
            "Completed",
        ),
        (
            pod(phase="Failed", containerStatuses=[container({"terminated": {"exitCode": 3}})]),
            "ExitCode:3",
        ),
        (pod(phase="Failed", reason="Evicted"), "Evicted"),
        (pod(phase="Running", metadata={"name": "p", "deletionTimestamp": NOW}), "Terminating"),
        (
            pod(
                phase="Pending",
                spec={"containers": [], "initContainers": [{"name": "i"}]},
                initContainerStatuses=[{"name": "i", "state": {"running": {}}}],
            ),
            "Init:0/1",
        ),
        (
            pod(
                phase="Pending",
                spec={"containers": [], "initContainers": [{"name": "i"}]},
                initContainerStatuses=[
                    {"name": "i", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}
                ],
            ),
            "Init:Error",
        ),
        (
            pod(
                phase="Pending",
                conditions=[
                    {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
                ],
            ),
            "SchedulingGated",
        ),
    ],
)
def test_the_status_of_a_pod(found: dict[str, Any], word: str) -> None:
    assert podcells.status(found) == word


def test_a_native_sidecar_counts_as_a_container() -> None:
    meshed = pod(
        spec={
            "containers": [{"name": "c"}],
            "initContainers": [{"name": "linkerd-proxy", "restartPolicy": "Always"}],
        },
        phase="Running",
        containerStatuses=[container({"running": {}}, True, restartCount=1)],
        initContainerStatuses=[
            {"name": "linkerd-proxy", "ready": True, "started": True, "restartCount": 2}
        ],
    )
    assert podcells.ready(meshed) == "2/2"
    assert podcells.status(meshed) == "Running"
    assert podcells.restarts(meshed) == "3"


def test_restarts_tell_when_the_last_one_was() -> None:
    ended = {"terminated": {"finishedAt": NOW}}
    crashed = pod(containerStatuses=[container({}, restartCount=4, lastState=ended)])
    assert re.fullmatch(r"4 \(\w+ ago\)", podcells.restarts(crashed))


def test_ages() -> None:
    assert age(None) == "<unknown>"
    assert age("yesterday") == "<invalid>"
    hour = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=61, seconds=1)
    assert age(stamp(hour)) == "61m"
    assert [span(s) for s in (0, 119, 120, 600, 3 * 3600, 8 * 3600, 3 * 86400)] == [
        "0s", "119s", "2m", "10m", "3h", "8h", "3d",
    ]  # fmt: skip


def test_json_paths() -> None:
    obj = {"a": {"b": [{"t": "x", "v": 1}, {"t": "y", "v": 2}]}, "l": {"k.io/n": "q"}}
    assert json_path(obj, ".a.b[*].v") == [1, 2]
    assert json_path(obj, ".a.b[1].v") == [2]
    assert json_path(obj, '.a.b[?(@.t=="x")].v') == [1]
    assert json_path(obj, "{.l['k.io/n']}") == ["q"]
    assert json_path(obj, r".l.k\.io/n") == ["q"]
    assert json_path(obj, ".a.c.d") == []
    assert json_path(obj, ".a.b[7]") == []


def test_selectors_as_text() -> None:
    expressions = [
        {"key": "a", "operator": "In", "values": ["1", "2"]},
        {"key": "b", "operator": "Exists"},
        {"key": "c", "operator": "DoesNotExist"},
    ]
    assert selector_text({"matchExpressions": expressions}) == "a in (1,2),b,!c"
    assert selector_text(None) == ""


def test_a_deployment() -> None:
    template = {"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}}
    printed = row(
        "Deployment",
        spec={"replicas": 3, "selector": {"matchLabels": {"app": "w"}}, "template": template},
        status={"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2},
    )
    assert printed == {
        "Name": "x", "Ready": "2/3", "Up-to-date": 3, "Available": 2, "Age": printed["Age"],
        "Containers": "a,b", "Images": "x,y", "Selector": "app=w",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "status", "external", "ports"),
    [
        ({"type": "ClusterIP", "ports": [{"port": 80}]}, {}, "<none>", "80/TCP"),
        (
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30001}]},
            {},
            "<none>",
            "80:30001/TCP",
        ),
        (
            {"type": "LoadBalancer", "ports": [{"port": 53, "protocol": "UDP"}]},
            {},
            "<pending>",
            "53/UDP",
        ),
        (
            {"type": "LoadBalancer"},
            {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}},
            "10.0.0.1",
            "<none>",
        ),
        ({"type": "ExternalName", "externalName": "e.org"}, {}, "e.org", "<none>"),
    ],
)
def test_services(spec: dict[str, Any], status: dict[str, Any], external: str, ports: str) -> None:
    printed = row("Service", spec=spec, status=status)
    assert (printed["External-IP"], printed["Port(s)"]) == (external, ports)


@pytest.mark.parametrize(
    ("conditions", "word"),
    [
        ([], "Running"),
        ([{"type": "Complete", "status": "True"}], "Complete"),
        ([{"type": "Failed", "status": "True"}], "Failed"),
        ([{"type": "Suspended", "status": "True"}], "Suspended"),
    ],
)
def test_jobs(conditions: list[dict[str, str]], word: str) -> None:
    status = {
        "conditions": conditions,
        "succeeded": 1,
        "startTime": "2026-01-01T00:00:00Z",
        "completionTime": "2026-01-01T00:02:05Z",
    }
    printed = row("Job", spec={"completions": 2}, status=status)
    assert (printed["Status"], printed["Completions"], printed["Duration"]) == (word, "1/2", "2m5s")


def test_nodes() -> None:
    printed = row(
        "Node",
        metadata={"name": "m", "labels": {"node-role.kubernetes.io/control-plane": "true"}},
        spec={"unschedulable": True},
        status={
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.10"}],
            "nodeInfo": {"kubeletVersion": "v1.35.0+k3s1"},
        },
    )
    assert printed["Status"] == "Ready,SchedulingDisabled"
    assert printed["Roles"] == "control-plane"
    assert (printed["Internal-IP"], printed["External-IP"]) == ("10.0.0.10", "<none>")


@pytest.mark.parametrize("kind", sorted(RESOURCES))
def test_every_kind_can_be_printed_even_when_almost_empty(kind: str) -> None:
    fields = {"roleRef": {"kind": "Role", "name": "r"}} if "Binding" in kind else {}
    assert row(kind, **fields)["Name"] == "x"
