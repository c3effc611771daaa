"""Helm itself, as a library, against the rehearsal cluster."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import helm_python as helm
import pytest
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from runbook.rehearsal import Twin
from runbook.rehearsal.installed import RELEASES

TEMPLATES = {
    "deployment.yaml": """
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}, labels: {app: {{ .Release.Name }}}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec:
      containers:
      # A linkerd-proxy without trust anchors ends with an error: the way to crash a pod here.
      - name: {{ .Values.crash | ternary "linkerd-proxy" "web" }}
        image: {{ .Values.image }}
""",
    "settings.yaml": """
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {colour: {{ .Values.colour | quote }}, revision: {{ .Release.Revision | quote }}}
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec: {selector: {app: {{ .Release.Name }}}, ports: [{name: http, port: 80}]}
""",
}
HOOKED = {
    "crds/bulbs.yaml": """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: bulbs.hooks.example.org}
spec:
  group: hooks.example.org
  scope: Namespaced
  names: {plural: bulbs, singular: bulb, kind: Bulb}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {watts: {type: integer}}}}
""",
    "templates/bulb.yaml": """
apiVersion: hooks.example.org/v1
kind: Bulb
metadata: {name: desk}
spec: {watts: 3}
""",
    "templates/hook.yaml": """
apiVersion: batch/v1
kind: Job
metadata: {name: before, annotations: {helm.sh/hook: "pre-install,pre-upgrade"}}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: {{ .Values.crash | ternary "linkerd-proxy" "hook" }}, image: busybox}]
""",
}
VALUES = {"replicas": 1, "image": "nginx:1.27", "colour": "green", "crash": False}


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a small chart."""
    directory = tmp_path_factory.mktemp("charts") / "web"
    (directory / "templates").mkdir(parents=True)
    metadata = {"apiVersion": "v2", "name": "web", "version": "1.0.0", "appVersion": "1.27"}
    (directory / "Chart.yaml").write_text(yaml.safe_dump(metadata))
    (directory / "values.yaml").write_text(yaml.safe_dump(VALUES))
    for name, text in TEMPLATES.items():
        (directory / "templates" / name).write_text(text)
    return directory


@pytest.fixture
def releases(pi_cluster: Twin, namespace: str) -> Iterator[helm.Config]:
    """Give Helm one namespace."""
    with helm.Config(
        kubeconfig_path=pi_cluster.kubeconfig, kube_context="rehearsal", namespace=namespace
    ) as config:
        yield config


@pytest.fixture
def core(api_client: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api_client)


def test_the_chart_repository_is_one(pi_cluster: Twin, tmp_path: Path) -> None:
    index = helm.repo_index(pi_cluster.chart_repository)
    control_plane = {"linkerd-crds", "linkerd-control-plane", "linkerd2"}
    services = {one.name for one in RELEASES}
    assert set(index["entries"]) == control_plane | {"linkerd-viz", "linkerd-jaeger"} | services
    repository = {"repo_url": pi_cluster.chart_repository, "destination": tmp_path}
    helm.pull("linkerd-control-plane", version="2025.10.7", **repository)
    with helm.Chart.load(tmp_path / "linkerd-control-plane-2025.10.7.tgz") as older:
        assert older.values["linkerdVersion"] == "edge-25.10.7"
    helm.pull("linkerd-control-plane", **repository)  # the newest
    assert (tmp_path / "linkerd-control-plane-2026.6.3.tgz").exists()
    with pytest.raises(helm.HelmError, match=r"linkerd-multicluster.*not found"):
        helm.pull("linkerd-multicluster", **repository)


def test_kubeconfig_names_the_chart_repository(pi_cluster: Twin) -> None:
    config = yaml.safe_load(pi_cluster.kubeconfig.read_text())
    (extension,) = config["clusters"][0]["cluster"]["extensions"]
    assert extension["name"] == "runbook-rehearsal"
    assert extension["extension"]["chartRepository"] == pi_cluster.chart_repository


def test_install_waits_until_pods_are_ready(
    releases: helm.Config, chart: Path, namespace: str, api_client: client.ApiClient
) -> None:
    release = releases.install(chart, "web", {"replicas": 2}, wait="watcher", timeout=90)
    assert release["status"] == "deployed"
    found = client.AppsV1Api(api_client).read_namespaced_deployment("web", namespace)
    assert found.status.ready_replicas == 2
    assert found.metadata.labels["app.kubernetes.io/managed-by"] == "Helm"
    assert found.metadata.annotations["meta.helm.sh/release-name"] == "web"


def test_status_values_upgrade_history_rollback_and_uninstall(
    releases: helm.Config, chart: Path, namespace: str, core: client.CoreV1Api
) -> None:
    releases.install(chart, "web", {"colour": "red"}, wait="watcher", timeout=90)
    assert "kind: Deployment" in releases.status("web")["manifest"]
    assert releases.get_values("web") == {"colour": "red"}
    assert releases.get_values("web", all_values=True) == {**VALUES, "colour": "red"}

    releases.upgrade(chart, "web", {"colour": "blue"}, wait="watcher", timeout=90)
    assert core.read_namespaced_config_map("web", namespace).data["colour"] == "blue"
    with pytest.raises(helm.HelmError):
        releases.install(chart, "web")

    releases.rollback("web", version=1, wait="watcher", timeout=90)
    settings = core.read_namespaced_config_map("web", namespace).data
    assert settings == {"colour": "red", "revision": "1"}
    history = [(entry["revision"], entry["status"]) for entry in releases.history("web")]
    assert history == [(1, "superseded"), (2, "superseded"), (3, "deployed")]
    assert [entry["name"] for entry in releases.list()] == ["web"]

    releases.uninstall("web", wait="watcher", timeout=90)
    assert releases.list(all_states=True) == []
    with pytest.raises(ApiException) as gone:
        core.read_namespaced_config_map("web", namespace)
    assert gone.value.status == 404
    with pytest.raises(helm.HelmError, match="not found"):
        releases.status("web")


def test_an_upgrade_to_the_same_values_changes_no_object(
    releases: helm.Config, chart: Path, namespace: str, api_client: client.ApiClient
) -> None:
    releases.install(chart, "web", wait="watcher", timeout=90)
    apps = client.AppsV1Api(api_client)
    before = apps.read_namespaced_deployment("web", namespace).metadata
    releases.upgrade(chart, "web", wait="watcher", timeout=90)
    after = apps.read_namespaced_deployment("web", namespace).metadata
    assert after.generation == before.generation
    assert after.resource_version == before.resource_version


def test_a_server_dry_run_leaves_nothing(
    releases: helm.Config, chart: Path, namespace: str, core: client.CoreV1Api
) -> None:
    rendered = releases.install(chart, "web", dry_run="server")
    assert "kind: Service" in rendered["manifest"]
    assert releases.list(all_states=True) == []
    assert core.list_namespaced_service(namespace).items == []


def test_a_pod_that_crashes_fails_the_install(
    releases: helm.Config, chart: Path, namespace: str, core: client.CoreV1Api
) -> None:
    with pytest.raises(helm.HelmError, match=r"deadline|timed out|not ready|Ready"):
        releases.install(chart, "web", {"crash": True}, wait="watcher", timeout=5)
    assert [entry["status"] for entry in releases.history("web")] == ["failed"]
    (pod,) = core.list_namespaced_pod(namespace).items
    (container,) = pod.status.container_statuses
    ended = container.last_state.terminated or container.state.terminated
    assert ended.exit_code == 64
    releases.upgrade(chart, "web", {"crash": False}, wait="watcher", timeout=90)
    assert [entry["status"] for entry in releases.history("web")] == ["superseded", "deployed"]


def test_a_failed_install_can_be_rolled_back_at_once(
    releases: helm.Config, chart: Path, namespace: str, core: client.CoreV1Api
) -> None:
    with pytest.raises(helm.HelmError):
        releases.install(
            chart, "web", {"crash": True}, wait="watcher", timeout=5, rollback_on_failure=True
        )
    assert releases.list(all_states=True) == []
    assert core.list_namespaced_service(namespace).items == []


def test_a_release_stuck_in_pending_install_refuses_an_upgrade(
    releases: helm.Config, chart: Path, namespace: str, core: client.CoreV1Api
) -> None:
    releases.install(chart, "web")
    (secret,) = core.list_namespaced_secret(namespace, label_selector="owner=helm").items
    stored = base64.b64decode(secret.data["release"])
    release = json.loads(gzip.decompress(base64.b64decode(stored)))
    release["info"]["status"] = "pending-install"
    written = base64.b64encode(gzip.compress(json.dumps(release).encode()))
    secret.data["release"] = base64.b64encode(written).decode()
    secret.metadata.labels["status"] = "pending-install"
    core.replace_namespaced_secret(secret.metadata.name, namespace, secret)

    assert [entry["status"] for entry in releases.history("web")] == ["pending-install"]
    with pytest.raises(helm.HelmError, match="another operation"):
        releases.upgrade(chart, "web")
    releases.uninstall("web")
    assert releases.list(all_states=True) == []


def test_install_refuses_objects_of_somebody_else(
    releases: helm.Config, chart: Path, namespace: str, core: client.CoreV1Api
) -> None:
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="web"), data={"mine": "yes"})
    core.create_namespaced_config_map(namespace, body)
    with pytest.raises(helm.HelmError, match="invalid ownership metadata"):
        releases.install(chart, "web")
    assert core.read_namespaced_config_map("web", namespace).data == {"mine": "yes"}


def test_hooks_run_and_definitions_come_first(
    releases: helm.Config, namespace: str, api_client: client.ApiClient, tmp_path: Path
) -> None:
    directory = tmp_path / "hooked"
    for name, text in HOOKED.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    (directory / "Chart.yaml").write_text("{apiVersion: v2, name: hooked, version: 1.0.0}")
    (directory / "values.yaml").write_text("{crash: false}")
    releases.install(directory, "hooked", wait="watcher", timeout=90)
    custom = client.CustomObjectsApi(api_client)
    where = ("hooks.example.org", "v1", namespace, "bulbs", "desk")
    assert custom.get_namespaced_custom_object(*where)["spec"] == {"watts": 3}
    job = client.BatchV1Api(api_client).read_namespaced_job("before", namespace)
    assert job.status.succeeded == 1
    with pytest.raises(helm.HelmError, match="hooks failed"):
        releases.upgrade(directory, "hooked", {"crash": True}, wait="watcher", timeout=90)
    statuses = [entry["status"] for entry in releases.history("hooked")]
    assert statuses == ["deployed", "failed"]
    releases.uninstall("hooked")
    crds = client.ApiextensionsV1Api(api_client)
    crds.delete_custom_resource_definition("bulbs.hooks.example.org")


def test_install_creates_its_namespace(
    pi_cluster: Twin, chart: Path, core: client.CoreV1Api
) -> None:
    with helm.Config(kubeconfig_path=pi_cluster.kubeconfig, namespace="fresh") as config:
        config.install(chart, "web", create_namespace=True, wait="legacy", timeout=90)
        assert core.read_namespace("fresh").metadata.labels["name"] == "fresh"
        config.uninstall("web")
    core.delete_namespace("fresh")


def test_a_template_can_look_up_live_objects(
    releases: helm.Config, namespace: str, core: client.CoreV1Api, tmp_path: Path
) -> None:
    core.create_namespaced_config_map(
        namespace, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="seen"), data={"a": "1"})
    )
    directory = tmp_path / "look"
    (directory / "templates").mkdir(parents=True)
    (directory / "Chart.yaml").write_text("{apiVersion: v2, name: look, version: 1.0.0}")
    text = '{{ (lookup "v1" "ConfigMap" .Release.Namespace "seen").data.a }}'
    (directory / "templates" / "x.txt").write_text(text)
    with helm.Chart.load(directory) as looking:
        rendered = releases.render(looking, name="look", namespace=namespace)
    assert list(rendered.values()) == ["1"]


def test_a_chart_for_newer_servers_is_refused() -> None:
    bare = {"content": False, "controllers": False, "kubelet": False}
    with (
        Twin(kubernetes_version="1.30", **bare) as old,
        helm.Config(kubeconfig_path=old.kubeconfig, namespace="default") as config,
        pytest.raises(helm.HelmError, match=r"kubeVersion: >=1\.31\.0-0"),
    ):
        config.install(
            "linkerd-crds",
            "linkerd-crds",
            chart_repo_url=old.chart_repository,
            chart_version="2026.6.3",
        )
