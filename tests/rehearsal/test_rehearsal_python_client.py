"""The Kubernetes Python client, unmodified, against the rehearsal cluster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client, dynamic, watch
from kubernetes.client.exceptions import ApiException

Deployment = client.V1Deployment


@pytest.fixture
def core(api_client: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api_client)


@pytest.fixture
def apps(api_client: client.ApiClient) -> client.AppsV1Api:
    return client.AppsV1Api(api_client)


@pytest.fixture(scope="module")
def any_kind(api_client: client.ApiClient) -> dynamic.DynamicClient:
    return dynamic.DynamicClient(api_client)


def deployment(name: str = "web", replicas: int = 1) -> Deployment:
    labels = {"app": name}
    return client.V1Deployment(
        metadata=client.V1ObjectMeta(name=name),
        spec=client.V1DeploymentSpec(
            replicas=replicas,
            selector=client.V1LabelSelector(match_labels=labels),
            template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(labels=labels),
                spec=client.V1PodSpec(
                    containers=[client.V1Container(name="web", image="nginx:1.27")]
                ),
            ),
        ),
    )


def configmap(name: str, labels: dict[str, str] | None = None, **data: str) -> Any:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels=labels), data=data)


def until(
    listing: Callable[..., Any], namespace: str, wanted: Callable[[Any], bool], **options: Any
) -> Any:
    """Watch until an event's object is as wanted."""
    stream = watch.Watch()
    for event in stream.stream(listing, namespace, timeout_seconds=60, **options):
        if wanted(event["object"]):
            stream.stop()
            return event["object"]
    raise AssertionError("the watch ended first")


def test_server_version(api_client: client.ApiClient) -> None:
    version = client.VersionApi(api_client).get_code()
    assert version.git_version.startswith("v1.35.")
    assert version.minor == "35"


def test_a_deployment_becomes_available(
    apps: client.AppsV1Api, core: client.CoreV1Api, namespace: str
) -> None:
    made = apps.create_namespaced_deployment(namespace, deployment(replicas=2))
    assert made.metadata.generation == 1
    assert made.spec.strategy.type == "RollingUpdate"  # a default of the server
    ready = until(
        apps.list_namespaced_deployment,
        namespace,
        lambda d: (d.status.ready_replicas or 0) == 2,
    )
    assert {c.type for c in ready.status.conditions} >= {"Available", "Progressing"}
    pods = core.list_namespaced_pod(namespace, label_selector="app=web").items
    assert {pod.status.phase for pod in pods} == {"Running"}
    assert all(pod.spec.node_name and pod.status.pod_ip for pod in pods)
    (owner,) = pods[0].metadata.owner_references
    assert owner.kind == "ReplicaSet"


def test_an_update_scales_and_a_stale_one_conflicts(apps: client.AppsV1Api, namespace: str) -> None:
    stale = apps.create_namespaced_deployment(namespace, deployment())
    scale = apps.read_namespaced_deployment_scale("web", namespace)
    assert scale.spec.replicas == 1
    scale.spec.replicas = 2
    apps.replace_namespaced_deployment_scale("web", namespace, scale)
    stale.spec.replicas = 5
    with pytest.raises(ApiException) as refused:
        apps.replace_namespaced_deployment("web", namespace, stale)
    assert refused.value.status == 409
    assert '"reason":"Conflict"' in refused.value.body
    assert apps.read_namespaced_deployment("web", namespace).spec.replicas == 2


def test_patch_and_delete_with_a_body(core: client.CoreV1Api, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, configmap("a", key="1"))
    patched = core.patch_namespaced_config_map("a", namespace, {"data": {"more": "2"}})
    assert patched.data == {"key": "1", "more": "2"}
    wrong = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="other"))
    with pytest.raises(ApiException) as refused:
        core.delete_namespaced_config_map("a", namespace, body=wrong)
    assert refused.value.status == 409
    done = core.delete_namespaced_config_map("a", namespace)
    status = done if isinstance(done, dict) else done.to_dict()  # V1Status before client 36
    assert status["status"] == "Success"
    with pytest.raises(ApiException) as missing:
        core.read_namespaced_config_map("a", namespace)
    assert missing.value.status == 404


def test_refusals_are_status_objects(
    core: client.CoreV1Api, apps: client.AppsV1Api, namespace: str
) -> None:
    core.create_namespaced_config_map(namespace, configmap("a"))
    with pytest.raises(ApiException) as twice:
        core.create_namespaced_config_map(namespace, configmap("a"))
    assert (twice.value.status, twice.value.reason) == (409, "Conflict")
    assert '"reason":"AlreadyExists"' in twice.value.body
    wrong = deployment()
    wrong.spec.selector.match_labels = {"app": "other"}
    with pytest.raises(ApiException) as invalid:
        apps.create_namespaced_deployment(namespace, wrong)
    assert invalid.value.status == 422
    assert "`selector` does not match template `labels`" in invalid.value.body
    with pytest.raises(ApiException) as nowhere:
        core.create_namespaced_config_map("no-such-namespace", configmap("a"))
    assert nowhere.value.status == 404


def test_paging(core: client.CoreV1Api, namespace: str) -> None:
    for number in range(7):
        core.create_namespaced_config_map(namespace, configmap(f"c{number}", {"page": "yes"}))
    names, sizes, token = [], [], None
    while True:
        page = core.list_namespaced_config_map(
            namespace, label_selector="page=yes", limit=3, _continue=token
        )
        names += [item.metadata.name for item in page.items]
        sizes.append(len(page.items))
        token = page.metadata._continue
        if not token:
            break
    assert names == [f"c{number}" for number in range(7)]
    assert sizes == [3, 3, 1]


def test_watch_from_a_version_sees_what_came_after(core: client.CoreV1Api, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, configmap("before"))
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, configmap("a", step="1"))
    core.patch_namespaced_config_map("a", namespace, {"data": {"step": "2"}})
    core.delete_namespaced_config_map("a", namespace)
    stream, seen = watch.Watch(), []
    for event in stream.stream(
        core.list_namespaced_config_map,
        namespace,
        field_selector="metadata.name=a",
        resource_version=start,
        timeout_seconds=60,
    ):
        seen.append((event["type"], event["object"].metadata.name, event["object"].data))
        if event["type"] == "DELETED":
            stream.stop()
    assert seen == [
        ("ADDED", "a", {"step": "1"}),
        ("MODIFIED", "a", {"step": "2"}),
        ("DELETED", "a", {"step": "2"}),
    ]


def test_watch_ends_at_its_timeout(core: client.CoreV1Api, namespace: str) -> None:
    stream = watch.Watch()
    events = stream.stream(core.list_namespaced_config_map, namespace, timeout_seconds=1)
    assert {event["object"].metadata.name for event in events} <= {"kube-root-ca.crt"}


def test_logs(core: client.CoreV1Api, apps: client.AppsV1Api, namespace: str) -> None:
    apps.create_namespaced_deployment(namespace, deployment())
    pod = until(core.list_namespaced_pod, namespace, lambda found: found.status.phase == "Running")
    name = pod.metadata.name
    lines = core.read_namespaced_pod_log(name, namespace).splitlines()
    assert any("nginx:1.27" in line for line in lines)
    assert core.read_namespaced_pod_log(name, namespace, tail_lines=1).splitlines() == lines[-1:]
    with pytest.raises(ApiException) as refused:
        core.read_namespaced_pod_log(name, namespace, previous=True)
    assert refused.value.status == 400


def test_dynamic_server_side_apply(any_kind: dynamic.DynamicClient, namespace: str) -> None:
    maps = any_kind.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}

    def apply(manager: str, force: bool = False, **data: str) -> Any:
        return maps.server_side_apply(
            {**body, "data": data},
            namespace=namespace,
            field_manager=manager,
            force_conflicts=force,
        )

    assert apply("one", key="1").data.to_dict() == {"key": "1"}
    with pytest.raises(dynamic.exceptions.ConflictError) as refused:
        apply("two", key="2")
    assert 'conflict with \\"one\\"' in str(refused.value.body)
    taken = apply("two", force=True, key="2", other="3")
    assert taken.data.to_dict() == {"key": "2", "other": "3"}
    assert apply("two", key="2").data.to_dict() == {"key": "2"}
    managers = [(f.manager, f.operation) for f in taken.metadata.managedFields]
    assert managers == [("two", "Apply")] or ("one", "Apply") in managers


def test_dynamic_patches_and_dry_run(any_kind: dynamic.DynamicClient, namespace: str) -> None:
    maps = any_kind.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "1"}}
    dry = maps.create(body=body, namespace=namespace, dry_run="All")
    assert dry.metadata.uid
    with pytest.raises(dynamic.exceptions.NotFoundError):
        maps.get(name="a", namespace=namespace)
    maps.create(body=body, namespace=namespace)
    steps = [{"op": "add", "path": "/data/l", "value": "2"}]
    maps.patch(
        body=steps, name="a", namespace=namespace, content_type="application/json-patch+json"
    )
    merged = maps.patch(
        body={"data": {"k": None}},
        name="a",
        namespace=namespace,
        content_type="application/merge-patch+json",
    )
    assert merged.data.to_dict() == {"l": "2"}


def test_dynamic_watch(any_kind: dynamic.DynamicClient, namespace: str) -> None:
    maps = any_kind.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    start = maps.get(namespace=namespace).metadata.resourceVersion
    late = threading.Thread(target=lambda: maps.create(body=body, namespace=namespace))
    late.start()
    stream, seen = watch.Watch(), []
    for event in maps.watch(
        namespace=namespace, resource_version=start, timeout=60, watcher=stream
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if seen[-1] == ("ADDED", "a"):
            stream.stop()
    late.join()
    assert seen[-1] == ("ADDED", "a")


@pytest.fixture(scope="module")
def lamps(api_client: client.ApiClient) -> Iterator[dict[str, str]]:
    """Define a custom kind."""
    extensions = client.ApiextensionsV1Api(api_client)
    colour = {"type": "string", "enum": ["red", "green"]}
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "colour": colour,
                    "watts": {"type": "integer", "default": 5},
                },
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "lamps.lights.example.org"},
        "spec": {
            "group": "lights.example.org",
            "scope": "Namespaced",
            "names": {"plural": "lamps", "singular": "lamp", "kind": "Lamp"},
            "versions": [version],
        },
    }
    extensions.create_custom_resource_definition(crd)
    stream = watch.Watch()
    for event in stream.stream(
        extensions.list_custom_resource_definition,
        field_selector="metadata.name=lamps.lights.example.org",
        timeout_seconds=60,
    ):
        conditions = event["object"].status.conditions or []
        if any(c.type == "Established" and c.status == "True" for c in conditions):
            stream.stop()
    yield {"group": "lights.example.org", "version": "v1", "plural": "lamps"}
    extensions.delete_custom_resource_definition("lamps.lights.example.org")


def test_custom_objects(
    api_client: client.ApiClient, lamps: dict[str, str], namespace: str
) -> None:
    api = client.CustomObjectsApi(api_client)
    where = {**lamps, "namespace": namespace}
    lamp: dict[str, Any] = {
        "apiVersion": "lights.example.org/v1",
        "kind": "Lamp",
        "metadata": {"name": "desk"},
        "spec": {"colour": "red", "unknown": True},
    }
    made = api.create_namespaced_custom_object(**where, body=lamp)
    assert made["spec"] == {"colour": "red", "watts": 5}  # defaulted and pruned
    with pytest.raises(ApiException) as refused:
        api.patch_namespaced_custom_object(**where, name="desk", body={"spec": {"colour": "blue"}})
    assert refused.value.status == 422
    assert "Unsupported value" in refused.value.body
    status = api.patch_namespaced_custom_object_status(
        **where, name="desk", body={"spec": {"colour": "green"}, "status": {"lit": True}}
    )
    assert (status["spec"]["colour"], status["status"]) == ("red", {"lit": True})
    found = api.list_namespaced_custom_object(**where)
    assert [item["metadata"]["name"] for item in found["items"]] == ["desk"]
    api.delete_namespaced_custom_object(**where, name="desk")
    assert api.list_namespaced_custom_object(**where)["items"] == []


def test_access_reviews(api_client: client.ApiClient, namespace: str) -> None:
    api = client.AuthorizationV1Api(api_client)

    def allowed(user: str, verb: str, resource: str) -> bool:
        attributes = client.V1ResourceAttributes(namespace=namespace, verb=verb, resource=resource)
        spec = client.V1SubjectAccessReviewSpec(user=user, resource_attributes=attributes)
        review = client.V1SubjectAccessReview(spec=spec)
        return bool(api.create_subject_access_review(review).status.allowed)

    own = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(
            resource_attributes=client.V1ResourceAttributes(verb="create", resource="namespaces")
        )
    )
    assert api.create_self_subject_access_review(own).status.allowed
    account = f"system:serviceaccount:{namespace}:default"
    assert not allowed(account, "get", "secrets")
    rbac = client.RbacAuthorizationV1Api(api_client)
    rule = client.V1PolicyRule(api_groups=[""], resources=["secrets"], verbs=["get"])
    name = client.V1ObjectMeta(name="reader")
    rbac.create_namespaced_role(namespace, client.V1Role(metadata=name, rules=[rule]))
    rbac.create_namespaced_role_binding(
        namespace,
        client.V1RoleBinding(
            metadata=name,
            role_ref=client.V1RoleRef(
                api_group="rbac.authorization.k8s.io", kind="Role", name="reader"
            ),
            subjects=[
                client.RbacV1Subject(kind="ServiceAccount", name="default", namespace=namespace)
            ],
        ),
    )
    assert allowed(account, "get", "secrets")
    assert not allowed(account, "list", "secrets")


def test_a_wrong_token_is_unauthorized(api_client: client.ApiClient) -> None:
    settings = client.Configuration()
    settings.host = api_client.configuration.host
    settings.ssl_ca_cert = api_client.configuration.ssl_ca_cert
    settings.api_key = {"authorization": "Bearer wrong"}
    with client.ApiClient(settings) as stranger, pytest.raises(ApiException) as refused:
        client.CoreV1Api(stranger).list_namespace()
    assert refused.value.status == 401


def test_a_deleted_namespace_takes_its_objects_along(
    core: client.CoreV1Api, apps: client.AppsV1Api
) -> None:
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name="gone")))
    apps.create_namespaced_deployment("gone", deployment())
    core.delete_namespace("gone")
    stream = watch.Watch()
    for event in stream.stream(
        core.list_namespace, field_selector="metadata.name=gone", timeout_seconds=60
    ):
        if event["type"] == "DELETED":
            stream.stop()
    assert core.list_namespaced_pod("gone").items == []
    assert apps.list_namespaced_deployment("gone").items == []
