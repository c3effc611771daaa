"""Defaults of built-in kinds; the first ones are as a 1.35 server was seen to fill them in."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from runbook.rehearsal.objects.defaults import fill

Object = dict[str, Any]

CONTAINER = {
    "name": "c",
    "image": "nginx",
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "imagePullPolicy": "Always",
}
POD_SPEC = {
    "containers": [CONTAINER],
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}


def template(**spec: Any) -> Object:
    return {"spec": {"containers": [{"name": "c", "image": "nginx"}], **spec}}


def test_deployment() -> None:
    assert fill("Deployment", {"spec": {"replicas": 2, "template": template()}})["spec"] == {
        "replicas": 2,
        "template": {"spec": POD_SPEC},
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
        },
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    }


def test_zero_replicas_are_not_a_default() -> None:
    assert fill("Deployment", {"spec": {"replicas": 0}})["spec"]["replicas"] == 0


def test_recreate_has_no_rolling_update() -> None:
    obj = {"spec": {"strategy": {"type": "Recreate"}, "template": template()}}
    assert fill("Deployment", obj)["spec"]["strategy"] == {"type": "Recreate"}


def test_pod() -> None:
    obj = fill("Pod", template())
    assert obj["spec"] == {**POD_SPEC, "enableServiceLinks": True}
    assert obj["status"] == {"phase": "Pending"}


def test_job_as_recorded() -> None:
    body = {"completionMode": "Indexed", "completions": 2, "parallelism": 2}
    obj = fill("Job", {"spec": {**body, "template": template(restartPolicy="Never")}})
    assert {k: v for k, v in obj["spec"].items() if k != "template"} == {
        **body,
        "backoffLimit": 6,
        "manualSelector": False,
        "suspend": False,
        "podReplacementPolicy": "TerminatingOrFailed",
    }


def test_plain_job_completes_once() -> None:
    spec = fill("Job", {"spec": {"template": template()}})["spec"]
    assert (spec["completions"], spec["parallelism"]) == (1, 1)


def test_webhook_as_recorded() -> None:
    hook = {
        "name": "h.example.com",
        "clientConfig": {"service": {"namespace": "t1", "name": "s"}},
        "rules": [{"operations": ["CREATE"]}],
    }
    kind = "MutatingWebhookConfiguration"
    (done,) = fill(kind, {"kind": kind, "webhooks": [hook]})["webhooks"]
    assert done == {
        "name": "h.example.com",
        "clientConfig": {"service": {"namespace": "t1", "name": "s", "port": 443}},
        "rules": [{"operations": ["CREATE"], "scope": "*"}],
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
        "timeoutSeconds": 10,
        "reinvocationPolicy": "Never",
    }


def test_secret_as_recorded() -> None:
    assert fill("Secret", {"stringData": {"k": "v"}, "data": {"a": "MQ=="}}) == {
        "data": {"a": "MQ==", "k": "dg=="},
        "type": "Opaque",
    }


def test_namespace_label() -> None:
    obj = fill("Namespace", {"metadata": {"name": "t1", "labels": {"a": "b"}}})
    assert obj["metadata"]["labels"] == {"a": "b", "kubernetes.io/metadata.name": "t1"}


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.2", "IfNotPresent"),
        ("registry:5000/nginx", "Always"),
        ("registry:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:0123", "IfNotPresent"),
    ],
)
def test_pull_policy(image: str, policy: str) -> None:
    obj = fill("Pod", {"spec": {"containers": [{"name": "c", "image": image}]}})
    assert obj["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_probes_ports_and_references() -> None:
    container = {
        "name": "c",
        "image": "x",
        "ports": [{"containerPort": 80}],
        "readinessProbe": {"httpGet": {"port": 80}},
        "lifecycle": {"preStop": {"httpGet": {"port": 80}}},
        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
    }
    done = fill("Pod", {"spec": {"containers": [container]}})["spec"]["containers"][0]
    assert done["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert done["readinessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert done["lifecycle"]["preStop"]["httpGet"]["scheme"] == "HTTP"
    assert done["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"


def test_volumes() -> None:
    token = {"serviceAccountToken": {"path": "t"}}
    volumes = [
        {"name": "a"},
        {"name": "b", "configMap": {"name": "x"}},
        {"name": "c", "projected": {"sources": [token]}},
        {"name": "d", "hostPath": {"path": "/"}},
    ]
    done = fill("Pod", template(volumes=volumes))["spec"]["volumes"]
    assert done[0] == {"name": "a", "emptyDir": {}}
    assert done[1]["configMap"]["defaultMode"] == 420
    assert done[2]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] == 3600
    assert done[3]["hostPath"] == {"path": "/", "type": ""}


def test_limits_become_requests_in_pods_only() -> None:
    container = {"name": "c", "image": "x", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    spec = {"containers": [container]}
    done = fill("Pod", {"spec": spec})["spec"]["containers"][0]["resources"]
    assert done["requests"] == {"cpu": "1", "memory": "1Gi"}
    workload = fill("Deployment", {"spec": {"template": {"spec": spec}}})
    kept = workload["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert "requests" not in kept


def test_service_account_has_two_names() -> None:
    spec = fill("Pod", template(serviceAccountName="sa"))["spec"]
    assert spec["serviceAccount"] == "sa"


def test_service() -> None:
    spec = fill("Service", {"spec": {"ports": [{"port": 80}]}})["spec"]
    assert spec == {
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "sessionAffinity": "None",
        "type": "ClusterIP",
        "internalTrafficPolicy": "Cluster",
    }
    balanced = fill("Service", {"spec": {"type": "LoadBalancer"}})["spec"]
    assert balanced["allocateLoadBalancerNodePorts"] is True
    assert balanced["externalTrafficPolicy"] == "Cluster"


def test_binding_subjects() -> None:
    obj = fill("RoleBinding", {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User"}]})  # fmt: skip  # noqa: E501
    assert obj["roleRef"]["apiGroup"] == "rbac.authorization.k8s.io"
    assert obj["subjects"][0]["apiGroup"] == "rbac.authorization.k8s.io"


@pytest.mark.parametrize(
    "kind",
    [
        "CronJob",
        "DaemonSet",
        "Deployment",
        "HorizontalPodAutoscaler",
        "Job",
        "NetworkPolicy",
        "Node",
        "PersistentVolumeClaim",
        "Pod",
        "ReplicaSet",
        "Service",
        "StatefulSet",
        "StorageClass",
        "Widget",
    ],
)
def test_defaults_are_idempotent_and_leave_their_input_alone(kind: str) -> None:
    obj: Object = {"metadata": {"name": "x"}, "spec": {"template": template()}}
    before = copy.deepcopy(obj)
    once = fill(kind, obj)
    assert obj == before
    assert fill(kind, once) == once
