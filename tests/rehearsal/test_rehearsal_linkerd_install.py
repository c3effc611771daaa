"""Our Linkerd charts, installed by Helm until their pods are ready, line by line."""

from __future__ import annotations

from collections.abc import Iterator

import helm_python as helm
import pytest
import yaml
from kubernetes import client, config, utils
from kubernetes.client.exceptions import ApiException
from linkerd_identity import Identity, make_identity
from linkerd_releases import CHARTS, install, released, remove_namespace, until, values

from runbook.rehearsal import Twin

COMPONENTS = ["linkerd-destination", "linkerd-identity", "linkerd-proxy-injector"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Twin]:
    with Twin() as twin:
        yield twin


@pytest.fixture(scope="module")
def connected(cluster: Twin) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(cluster.kubeconfig), "rehearsal") as api_client:
        yield api_client


@pytest.fixture
def releases(cluster: Twin, connected: client.ApiClient) -> Iterator[helm.Config]:
    """Give the namespace ``linkerd`` to Helm; afterwards remove what it installed."""
    labels = {"linkerd.io/is-control-plane": "true"}
    with released(cluster, client.CoreV1Api(connected), "linkerd", labels) as found:
        yield found


@pytest.fixture
def identity(connected: client.ApiClient, releases: helm.Config) -> Identity:
    """Make a CA and the issuer Secret in the namespace."""
    made = make_identity()
    utils.create_from_dict(connected, made.issuer)
    return made


@pytest.mark.parametrize("line", ["stable-2.14", "edge-2.19", "edge-2.20"])
def test_a_line_installs_until_its_pods_are_ready(
    line: str,
    releases: helm.Config,
    identity: Identity,
    cluster: Twin,
    connected: client.ApiClient,
) -> None:
    install(releases, cluster, line, values(identity))
    deployments = client.AppsV1Api(connected).list_namespaced_deployment("linkerd").items
    assert [d.metadata.name for d in deployments] == COMPONENTS
    assert [d.status.ready_replicas for d in deployments] == [1, 1, 1]
    core = client.CoreV1Api(connected)
    roots = core.read_namespaced_config_map("linkerd-identity-trust-roots", "linkerd")
    assert roots.data["ca-bundle.crt"].strip() == identity.anchors.strip()
    injected(core, line)


def injected(core: client.CoreV1Api, line: str) -> None:
    """Create pods where injection is on: the webhook of the installed line answers."""
    core.create_namespace(
        {"metadata": {"name": "meshed", "annotations": {"linkerd.io/inject": "enabled"}}}
    )
    until(lambda: bool(core.list_namespaced_service_account("meshed").items))
    pod = {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}}
    made = core.create_namespaced_pod("meshed", pod, dry_run="All")
    native = line == "edge-2.20"
    containers = made.spec.init_containers if native else made.spec.containers
    assert "linkerd-proxy" in {container.name for container in containers}
    plain = core.create_namespaced_pod("default", pod, dry_run="All")
    assert [container.name for container in plain.spec.containers] == ["web"]
    remove_namespace(core, "meshed")


def test_2_11_cannot_run_on_this_server(
    releases: helm.Config, identity: Identity, cluster: Twin
) -> None:
    with pytest.raises(helm.HelmError) as refused:
        install(releases, cluster, "stable-2.11", values(identity))
    assert 'no matches for kind "CronJob" in version "batch/v1beta1"' in str(refused.value)


def test_2_11_runs_without_its_heartbeat(
    releases: helm.Config, identity: Identity, cluster: Twin, connected: client.ApiClient
) -> None:
    given = {**values(identity), "disableHeartBeat": True}
    install(releases, cluster, "stable-2.11", given)
    deployments = client.AppsV1Api(connected).list_namespaced_deployment("linkerd").items
    assert [d.status.ready_replicas for d in deployments] == [1, 1, 1]


def test_an_upgrade_keeps_the_mesh_and_renews_the_webhook_certificates(
    releases: helm.Config, identity: Identity, cluster: Twin, connected: client.ApiClient
) -> None:
    core = client.CoreV1Api(connected)
    name = "linkerd-proxy-injector-k8s-tls"
    install(releases, cluster, "edge-2.19", values(identity))
    before = core.read_namespaced_secret(name, "linkerd").data["tls.crt"]
    for chart, version in CHARTS["edge-2.20"]:
        releases.upgrade(
            chart,
            chart,
            {} if chart == "linkerd-crds" else values(identity),
            chart_repo_url=cluster.chart_repository,
            chart_version=version,
            wait="watcher",
            timeout=120,
        )
    assert core.read_namespaced_secret(name, "linkerd").data["tls.crt"] != before
    effective = core.read_namespaced_config_map("linkerd-config", "linkerd").data["values"]
    assert yaml.safe_load(effective)["linkerdVersion"] == "edge-26.6.3"
    injected(core, "edge-2.20")
    releases.rollback("linkerd-control-plane", wait="watcher", timeout=120)
    effective = core.read_namespaced_config_map("linkerd-config", "linkerd").data["values"]
    assert yaml.safe_load(effective)["linkerdVersion"] == "edge-25.10.7"


def test_an_issuer_the_anchor_did_not_sign_keeps_identity_down(
    releases: helm.Config, identity: Identity, cluster: Twin, connected: client.ApiClient
) -> None:
    other = make_identity()
    with pytest.raises(helm.HelmError):
        install(releases, cluster, "edge-2.20", values(other), timeout=8)
    core = client.CoreV1Api(connected)
    selector = "linkerd.io/control-plane-component=identity"
    (pod,) = core.list_namespaced_pod("linkerd", label_selector=selector).items
    statuses = {s.name: s for s in pod.status.container_statuses}
    assert not statuses["identity"].ready
    log = ""
    for previous in (False, True):
        try:
            log += core.read_namespaced_pod_log(
                pod.metadata.name, "linkerd", container="identity", previous=previous
            )
        except ApiException:
            continue
    assert "certificate signed by unknown authority" in log
