"""What the API server demands of built-in objects beyond their schema."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from runbook.rehearsal.objects import rules
from runbook.rehearsal.objects.defaults import fill
from runbook.rehearsal.objects.validation import Cause

Object = dict[str, Any]

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


def found(resource: str, obj: Object, old: Object | None = None) -> list[str]:
    """Give the causes as text, ``field: message``."""
    return [str(cause) for cause in rules.causes(resource, obj, old)]


def named(name: str = "x", **rest: Any) -> Object:
    return {"metadata": {"name": name}, **rest}


def pod_spec(*containers: Object, **rest: Any) -> Object:
    return {"containers": list(containers) or [{"name": "c", "image": "nginx"}], **rest}


def pod(*containers: Object, **rest: Any) -> Object:
    return fill("Pod", named(spec=pod_spec(*containers, **rest)))


def deployment(*containers: Object, **rest: Any) -> Object:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod_spec(*containers)}
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": template, **rest}
    return fill("Deployment", named("web", spec=spec))


def job(**rest: Any) -> Object:
    template = {"spec": pod_spec(restartPolicy="Never")}
    return fill("Job", named(spec={"template": template, **rest}))


# Metadata


def test_namespace_name_as_recorded() -> None:
    assert rules.causes("namespaces", named("Bad_Name")) == [
        Cause("FieldValueInvalid", f'Invalid value: "Bad_Name": {LABEL}', "metadata.name")
    ]


@pytest.mark.parametrize(
    ("resource", "name", "good"),
    [
        ("configmaps", "a.b-c", True),
        ("configmaps", "a_b", False),
        ("configmaps", "A", False),
        ("namespaces", "a.b", False),
        ("widgets.example.com", "a.b", True),
        ("widgets.example.com", "a b", False),
        ("clusterroles.rbac.authorization.k8s.io", "system:Node_x", True),
        ("clusterroles.rbac.authorization.k8s.io", "a/b", False),
        ("configmaps", "a" * 253, True),
        ("configmaps", "a" * 254, False),
        ("namespaces", "a" * 64, False),
    ],
)
def test_names(resource: str, name: str, good: bool) -> None:
    causes = rules.causes(resource, named(name))
    assert [cause.field for cause in causes] == ([] if good else ["metadata.name"])


def test_generated_names() -> None:
    obj = {"metadata": {"generateName": "g-", "name": "g-abcde"}}
    assert found("configmaps", obj) == []
    obj["metadata"]["generateName"] = "G-"
    assert found("configmaps", obj)[0].startswith('metadata.generateName: Invalid value: "G-"')
    assert found("configmaps", {"metadata": {}}) == [
        "metadata.name: Required value: name or generateName is required"
    ]


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("a b", "x", 'Invalid value: "a b": name part must consist of'),
        ("x/", "x", 'Invalid value: "x/": name part must be non-empty'),
        ("X_/a", "x", "prefix part a lowercase RFC 1123 subdomain"),
        ("a", "b c", 'Invalid value: "b c": a valid label must be an empty string'),
        ("a", "x" * 64, "must be no more than 63 bytes"),
    ],
)
def test_labels(key: str, value: str, part: str) -> None:
    obj = {"metadata": {"name": "x", "labels": {key: value}}}
    causes = rules.causes("configmaps", obj)
    assert {cause.field for cause in causes} == {"metadata.labels"}
    assert any(part in cause.message for cause in causes)


def test_annotations_take_any_value_but_not_any_key() -> None:
    obj = {"metadata": {"name": "x", "annotations": {"linkerd.io/inject": "any thing\n"}}}
    assert found("configmaps", obj) == []
    obj["metadata"]["annotations"] = {"a b": ""}
    assert [c.field for c in rules.causes("configmaps", obj)] == ["metadata.annotations"]
    obj["metadata"]["annotations"] = {"a": "x" * 262145}
    assert [c.reason for c in rules.causes("configmaps", obj)] == ["FieldValueTooLong"]


def test_one_controller_only() -> None:
    owner = {"apiVersion": "v1", "kind": "X", "name": "a", "uid": "1", "controller": True}
    obj = {"metadata": {"name": "x", "ownerReferences": [owner, {**owner, "name": "b"}]}}
    (text,) = found("configmaps", obj)
    assert "Only one reference can have Controller set to true" in text


def test_uid_and_finalizers_of_the_deleted_do_not_change() -> None:
    old = {"metadata": {"name": "x", "uid": "1", "deletionTimestamp": "t", "finalizers": ["a/b"]}}
    new = copy.deepcopy(old)
    new["metadata"].update(uid="2", finalizers=["a/b", "a/c"])
    first, second = found("configmaps", new, old)
    assert first == 'metadata.uid: Invalid value: "2": field is immutable'
    assert second.startswith("metadata.finalizers: Forbidden: no new finalizers can be added")


# Pods


def test_pod_needs_containers() -> None:
    obj = named(spec={"containers": []})
    assert found("pods", obj) == ["spec.containers: Required value"]


@pytest.mark.parametrize(
    ("container", "text"),
    [
        ({"name": "c"}, "spec.containers[0].image: Required value"),
        ({"image": "x"}, "spec.containers[0].name: Required value"),
        (
            {"name": "A", "image": "x"},
            f'spec.containers[0].name: Invalid value: "A": {LABEL}',
        ),
        (
            {"name": "c", "image": "x", "imagePullPolicy": "Sometimes"},
            'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": '
            'supported values: "Always", "IfNotPresent", "Never"',
        ),
        (
            {"name": "c", "image": "x", "ports": [{"containerPort": 0}]},
            "spec.containers[0].ports[0].containerPort: Required value",
        ),
        (
            {"name": "c", "image": "x", "ports": [{"containerPort": 70000}]},
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: "
            "must be between 1 and 65535, inclusive",
        ),
        (
            {"name": "c", "image": "x", "ports": [{"containerPort": 1, "name": "a-very-long-name"}]},  # noqa: E501
            'spec.containers[0].ports[0].name: Invalid value: "a-very-long-name": '
            "must be no more than 15 characters",
        ),
        (
            {"name": "c", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            'spec.containers[0].volumeMounts[0].name: Not found: "v"',
        ),
        (
            {"name": "c", "image": "x", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": 1}}},  # noqa: E501
            'spec.containers[0].resources.requests: Invalid value: "2": '
            "must be less than or equal to cpu limit of 1",
        ),
        (
            {"name": "c", "image": "x", "livenessProbe": {"periodSeconds": 1}},
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
        ),
        (
            {"name": "c", "image": "x", "env": [{"name": "A=B", "value": "1"}]},
            'spec.containers[0].env[0].name: Invalid value: "A=B": a valid environment variable '
            "name must consist only of printable ASCII characters other than '='",
        ),
    ],
)  # fmt: skip
def test_containers(container: Object, text: str) -> None:
    assert found("pods", pod(container)) == [text]


def test_container_names_are_unique_with_init_containers() -> None:
    obj = pod({"name": "c", "image": "x"}, initContainers=[{"name": "c", "image": "x"}])
    assert found("pods", obj) == ['spec.initContainers[0].name: Duplicate value: "c"']


def test_sidecars_may_have_probes_and_other_init_containers_not() -> None:
    sidecar = {
        "name": "linkerd-proxy",
        "image": "x",
        "restartPolicy": "Always",
        "readinessProbe": {"httpGet": {"port": 4191}},
    }
    assert found("pods", pod(initContainers=[sidecar])) == []
    once = {k: v for k, v in sidecar.items() if k != "restartPolicy"}
    (text,) = found("pods", pod(initContainers=[once]))
    assert text.startswith("spec.initContainers[0].readinessProbe: Forbidden")


def test_volumes() -> None:
    volumes = [
        {"name": "v"},
        {"name": "v"},
        {"name": "w", "emptyDir": {}, "hostPath": {"path": "/"}},
    ]
    assert found("pods", pod(volumes=volumes)) == [
        'spec.volumes[1].name: Duplicate value: "v"',
        "spec.volumes[2].hostPath: Forbidden: may not specify more than 1 volume type",
    ]  # fmt: skip


def test_pods_change_little() -> None:
    old = pod()
    new = copy.deepcopy(old)
    new["spec"]["containers"][0]["image"] = "nginx:2"
    new["spec"]["tolerations"] = [{"operator": "Exists"}]
    assert found("pods", new, old) == []
    new["spec"]["containers"][0]["command"] = ["sh"]
    (text,) = found("pods", new, old)
    assert text.startswith("spec: Forbidden: pod updates may not change fields other than")


# Workloads


def test_deployment_as_recorded() -> None:
    template = {"metadata": {"labels": {"app": "b"}}, "spec": {"containers": [{"name": "c"}]}}
    spec = {"selector": {"matchLabels": {"app": "a"}}, "template": template}
    assert found("deployments.apps", fill("Deployment", named(spec=spec))) == [
        'spec.template.metadata.labels: Invalid value: {"app":"b"}: '
        "`selector` does not match template `labels`",
        "spec.template.spec.containers[0].image: Required value",
    ]


def test_selector_is_immutable_as_recorded() -> None:
    new = deployment(selector={"matchLabels": {"app": "other"}})
    assert found("deployments.apps", new, deployment()) == [
        'spec.template.metadata.labels: Invalid value: {"app":"web"}: '
        "`selector` does not match template `labels`",
        'spec.selector: Invalid value: {"matchLabels":{"app":"other"}}: field is immutable',
    ]


def test_deployment_without_selector() -> None:
    obj = deployment()
    del obj["spec"]["selector"]
    assert found("deployments.apps", obj) == [
        "spec.selector: Required value",
        'spec.template.metadata.labels: Invalid value: {"app":"web"}: '
        "`selector` does not match template `labels`",
    ]


@pytest.mark.parametrize(
    ("expression", "good"),
    [
        ({"key": "app", "operator": "In", "values": ["web", "x"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["web"]}, False),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "app", "operator": "DoesNotExist"}, False),
    ],
)
def test_selector_expressions(expression: Object, good: bool) -> None:
    obj = deployment(selector={"matchExpressions": [expression]})
    assert bool(found("deployments.apps", obj)) != good


def test_deployment_values() -> None:
    assert found("deployments.apps", deployment(replicas=-1)) == [
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    ]
    strategy = {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}
    assert found("deployments.apps", deployment(strategy=strategy)) == [
        "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is "
        "'Recreate'"
    ]
    obj = deployment()
    obj["spec"]["template"]["spec"]["restartPolicy"] = "Never"
    assert found("deployments.apps", obj) == [
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'
    ]


def test_stateful_set_changes_only_what_it_may() -> None:
    body = {**deployment()["spec"], "serviceName": "web"}
    body.pop("strategy")
    old = fill("StatefulSet", named(spec=body))
    new = copy.deepcopy(old)
    new["spec"]["replicas"] = 3
    assert found("statefulsets.apps", new, old) == []
    new["spec"]["serviceName"] = "other"
    (text,) = found("statefulsets.apps", new, old)
    assert text.startswith("spec: Forbidden: updates to statefulset spec for fields other than")


def test_jobs_never_restart_always() -> None:
    obj = job()
    assert found("jobs.batch", obj) == []
    obj["spec"]["template"]["spec"]["restartPolicy"] = "Always"
    assert found("jobs.batch", obj) == [
        'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'
    ]


def test_indexed_jobs_need_completions() -> None:
    assert found("jobs.batch", job(completionMode="Indexed", parallelism=2)) == [
        "spec.completions: Required value: when completion mode is Indexed"
    ]


def test_job_template_is_immutable() -> None:
    old = job()
    new = copy.deepcopy(old)
    new["spec"]["parallelism"] = 3
    assert found("jobs.batch", new, old) == []
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    (text,) = found("jobs.batch", new, old)
    assert text.startswith("spec.template: Invalid value: {")
    assert text.endswith("field is immutable")


@pytest.mark.parametrize(
    ("schedule", "good"),
    [("0 0 * * *", True), ("@daily", True), ("*/5 * * * *", True), ("* * *", False), ("", False)],
)
def test_cron_schedules(schedule: str, good: bool) -> None:
    spec = {"schedule": schedule, "jobTemplate": {"spec": job()["spec"]}}
    fields = [c.field for c in rules.causes("cronjobs.batch", named(spec=spec))]
    assert fields == ([] if good else ["spec.schedule"])


# Secrets and ConfigMaps


def test_tls_secret_as_recorded() -> None:
    secret = named("tls", type="kubernetes.io/tls", data={"tls.crt": ""})
    assert rules.causes("secrets", secret) == [
        Cause("FieldValueRequired", "Required value", "data[tls.key]")
    ]
    secret["data"]["tls.key"] = ""
    assert rules.causes("secrets", secret) == []


@pytest.mark.parametrize("resource", ["configmaps", "secrets"])
def test_immutable(resource: str) -> None:
    old = named(data={"a": "MQ=="}, immutable=True)
    assert found(resource, copy.deepcopy(old), old) == []
    changed = {**old, "data": {"a": "Mg=="}}
    assert found(resource, changed, old) == [
        "data: Forbidden: field is immutable when `immutable` is set"
    ]
    thawed = {**old, "immutable": False}
    assert found(resource, thawed, old) == [
        "immutable: Forbidden: field is immutable when `immutable` is set"
    ]


def test_secret_type_is_immutable() -> None:
    old = named(type="Opaque", data={})
    assert found("secrets", {**old, "type": "x/y"}, old) == [
        'type: Invalid value: "x/y": field is immutable'
    ]


def test_secret_messages_show_no_data() -> None:
    secret = named(type="kubernetes.io/dockerconfigjson", data={".dockerconfigjson": "c2VjcmV0"})
    (text,) = found("secrets", secret)
    assert "c2VjcmV0" not in text
    assert "secret contents redacted" in text


def test_data_keys() -> None:
    (text,) = found("configmaps", named(data={"a b": "1"}))
    assert text.startswith('data[a b]: Invalid value: "a b": a valid config key must consist of')
    both = named(data={"a": "1"}, binaryData={"a": "MQ=="})
    assert [c.field for c in rules.causes("configmaps", both)] == ["data[a]"]


# Services


def service(*ports: Object, **rest: Any) -> Object:
    return fill("Service", named("s", spec={"ports": list(ports), **rest}))


def test_services() -> None:
    assert found("services", service({"port": 80})) == []
    assert found("services", service(clusterIP="None")) == []
    assert found("services", service()) == ["spec.ports: Required value"]
    assert found("services", service({"port": 80}, {"port": 81, "name": "x"})) == [
        "spec.ports[0].name: Required value"
    ]
    assert found("services", service({"port": 0, "targetPort": 80})) == [
        "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
    ]
    twice = service({"port": 80, "name": "a"}, {"port": 80, "name": "b"})
    assert found("services", twice) == [
        'spec.ports[1]: Duplicate value: {"port":80,"protocol":"TCP"}'
    ]
    assert found("services", service({"port": 80}, type="Web")) == [
        'spec.type: Unsupported value: "Web": supported values: "ClusterIP", "ExternalName", '
        '"LoadBalancer", "NodePort"'
    ]


def test_service_name_starts_with_a_letter() -> None:
    obj = service({"port": 80})
    obj["metadata"]["name"] = "1s"
    (text,) = found("services", obj)
    assert 'metadata.name: Invalid value: "1s": a DNS-1035 label must consist of' in text


def test_cluster_ip_stays() -> None:
    old = service({"port": 80}, clusterIP="10.0.0.1")
    assert found("services", service({"port": 80}), old) == []
    assert found("services", service({"port": 80}, clusterIP="10.0.0.2"), old) == [
        'spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set'
    ]


# The rest


def test_roles() -> None:
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": []}
    obj = named(kind="Role", rules=[rule, {"verbs": ["get"]}])
    assert found("roles.rbac.authorization.k8s.io", obj) == [
        "rules[0].verbs: Required value: verbs must contain at least one value",
        "rules[1].apiGroups: Required value: resource rules must supply at least one api group",
        "rules[1].resources: Required value: resource rules must supply at least one resource",
    ]


def test_role_ref_is_immutable() -> None:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    subjects = [{"kind": "ServiceAccount", "name": "a", "namespace": "n"}]
    old = named("b", kind="RoleBinding", roleRef=reference, subjects=subjects)
    resource = "rolebindings.rbac.authorization.k8s.io"
    assert found(resource, old) == []
    new = {**old, "roleRef": {**reference, "name": "edit"}}
    (text,) = found(resource, new, old)
    assert text.startswith("roleRef: Invalid value: {")
    assert text.endswith(": cannot change roleRef")
    assert found(resource, {**old, "subjects": [{"kind": "Robot", "name": "r"}]}) == [
        'subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", '
        '"User", "Group"'
    ]


def test_volume_claims() -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    old = named(spec=spec)
    assert found("persistentvolumeclaims", old) == []
    assert found("persistentvolumeclaims", named(spec={})) == [
        "spec.accessModes: Required value: at least 1 access mode is required",
        "spec.resources[storage]: Required value",
    ]
    bound = named(spec={**spec, "volumeName": "pv"})
    assert found("persistentvolumeclaims", bound, old) == []
    grown = copy.deepcopy(bound)
    grown["spec"]["resources"]["requests"]["storage"] = "2Gi"
    assert found("persistentvolumeclaims", grown, bound) == []
    other = {**bound, "spec": {**bound["spec"], "accessModes": ["ReadWriteMany"]}}
    (text,) = found("persistentvolumeclaims", other, bound)
    assert text.startswith("spec: Forbidden: spec is immutable after creation")


def test_webhooks() -> None:
    service_reference = {"namespace": "n", "name": "s"}
    hook = {
        "name": "h.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"service": service_reference},
    }
    resource = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
    assert found(resource, named(webhooks=[hook])) == []
    bad = {"name": "h", "clientConfig": {}, "sideEffects": "Some", "timeoutSeconds": 60}
    fields = [c.field for c in rules.causes(resource, named(webhooks=[bad]))]
    assert fields == [
        "webhooks[0].name",
        "webhooks[0].admissionReviewVersions",
        "webhooks[0].sideEffects",
        "webhooks[0].timeoutSeconds",
        "webhooks[0].clientConfig",
    ]


def test_definitions_are_checked_too() -> None:
    fields = [
        c.field
        for c in rules.causes(
            "customresourcedefinitions.apiextensions.k8s.io", named("a.b.c", spec={"group": "b.c"})
        )
    ]
    assert "spec.names.plural" in fields
    assert "spec.versions" in fields


def test_disruption_budgets_and_autoscalers() -> None:
    budget = named(spec={"minAvailable": 1, "maxUnavailable": "x"})
    fields = [c.field for c in rules.causes("poddisruptionbudgets.policy", budget)]
    assert fields == ["spec", "spec.maxUnavailable"]
    scaler = named(spec={"minReplicas": 3, "maxReplicas": 2})
    assert found("horizontalpodautoscalers.autoscaling", scaler) == [
        "spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`"
    ]
