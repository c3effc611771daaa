"""Viz of each line on its control plane: pods, the dashboard's hosts, tap's webhook and API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import helm_python as helm
import pytest
from bare import Api
from kubernetes import client, config, utils
from linkerd_identity import make_identity
from linkerd_releases import install, released, until, values

from runbook.rehearsal import Twin
from runbook.rehearsal.images import tapinjector, web

VERSIONS = {
    "stable-2.11": "2.11.5",
    "stable-2.14": "30.12.11",
    "edge-2.19": "2025.10.7",
    "edge-2.20": "2026.6.3",
}
JAEGER = {"stable-2.11": "2.11.5", "stable-2.14": "30.12.11"}
COMPONENTS = ["metrics-api", "tap", "tap-injector", "web"]
EXTERNAL = {
    "prometheusUrl": "http://prometheus.monitoring:9090",
    "prometheus": {"enabled": False},
    "grafana": {"enabled": False},
    "installNamespace": False,
}
DASHBOARD = "/api/v1/namespaces/linkerd-viz/services/web:http/proxy"
TAP_API = "/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.tap.linkerd.io"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Twin]:
    with Twin() as twin:
        yield twin


@pytest.fixture(scope="module")
def connected(cluster: Twin) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(cluster.kubeconfig), "rehearsal") as api_client:
        yield api_client


@pytest.fixture(scope="module", params=list(VERSIONS))
def line(
    cluster: Twin, connected: client.ApiClient, request: pytest.FixtureRequest
) -> Iterator[str]:
    """Install the control plane of a line and Viz with a Prometheus of somebody else's."""
    core = client.CoreV1Api(connected)
    line: str = request.param
    identity = make_identity()
    notes = {"linkerd.io/inject": "enabled"}
    with released(cluster, core, "linkerd", {}) as linkerd:
        utils.create_from_dict(connected, identity.issuer)
        install(linkerd, cluster, line, {**values(identity), "disableHeartBeat": True})
        with released(cluster, core, "linkerd-viz", {}) as viz:
            core.patch_namespace("linkerd-viz", {"metadata": {"annotations": notes}})
            install_extension(viz, cluster, "linkerd-viz", VERSIONS[line], EXTERNAL)
            yield line


def install_extension(
    releases: helm.Config, cluster: Twin, chart: str, version: str, given: dict[str, Any]
) -> None:
    releases.install(
        chart,
        chart,
        given,
        chart_repo_url=cluster.chart_repository,
        chart_version=version,
        wait="watcher",
        timeout=120,
    )


@pytest.fixture(scope="module")
def api(cluster: Twin) -> Api:
    return Api(cluster)


def test_every_deployment_is_ready_and_meshed(line: str, connected: client.ApiClient) -> None:
    deployments = client.AppsV1Api(connected).list_namespaced_deployment("linkerd-viz").items
    assert [d.metadata.name for d in deployments] == COMPONENTS
    assert [d.status.ready_replicas for d in deployments] == [1, 1, 1, 1]
    selector = "linkerd.io/extension=viz,component"
    pods = client.CoreV1Api(connected).list_namespaced_pod("linkerd-viz", label_selector=selector)
    assert len(pods.items) == len(COMPONENTS)
    for pod in pods.items:
        containers = [*pod.spec.containers, *pod.spec.init_containers]
        assert "linkerd-proxy" in {container.name for container in containers}


def test_taps_api_is_available_while_tap_is_ready(
    line: str, api: Api, connected: client.ApiClient
) -> None:
    def available() -> tuple[str, str]:
        (found,) = (api("GET", TAP_API).body.get("status") or {}).get("conditions") or [{}]
        return found.get("status", ""), found.get("reason", "")

    until(lambda: available() == ("True", "Passed"))
    if line != "edge-2.20":
        return
    apps = client.AppsV1Api(connected)
    apps.patch_namespaced_deployment_scale("tap", "linkerd-viz", {"spec": {"replicas": 0}})
    until(lambda: available() == ("False", "MissingEndpoints"))
    apps.patch_namespaced_deployment_scale("tap", "linkerd-viz", {"spec": {"replicas": 1}})
    until(lambda: available() == ("True", "Passed"))
    assert api("GET", "/apis/tap.linkerd.io/v1alpha1").status == 404


def test_the_dashboard_knows_its_own_names_only(line: str, api: Api) -> None:
    for host in (
        "web.linkerd-viz.svc",
        "web.linkerd-viz.svc.cluster.local:8084",
        "localhost:50750",
    ):
        page = api("GET", f"{DASHBOARD}/", Host=host)
        assert (page.status, page.headers["Content-Type"]) == (200, "text/html")
        assert b"Linkerd dashboard (rehearsal)" in page.raw
    assert api("GET", f"{DASHBOARD}/").status == 200  # the API server's own address is loopback
    refused = api("GET", f"{DASHBOARD}/", Host="linkerd.picluster.example")
    text = refused.raw.decode()
    assert refused.status == 400
    assert text.startswith(
        "It appears that you are trying to reach this service with a host of "
        "'linkerd.picluster.example'.\nThis does not match /^(localhost|127\\.0\\.0\\.1|"
    )
    assert text.endswith(
        "and has been denied for security reasons.\nPlease see https://linkerd.io/dns-rebinding "
        "for an explanation of what is happening and how to fix it.\n"
    )
    admin = "admin-http" if line.startswith("stable") else "admin"
    ready = api("GET", f"/api/v1/namespaces/linkerd-viz/services/web:{admin}/proxy/ready")
    assert ready.raw == b"ok\n"
    metrics = api("GET", f"/api/v1/namespaces/linkerd-viz/services/web:{admin}/proxy/metrics")
    assert b'http_server_requests_total{code="400",method="get"} 1\n' in metrics.raw


def test_new_meshed_pods_may_be_tapped(line: str, connected: client.ApiClient) -> None:
    core = client.CoreV1Api(connected)
    spec = {"containers": [{"name": "app", "image": "nginx"}]}

    def made(**notes: str) -> tuple[str | None, str | None]:
        annotations = {"linkerd.io/inject": "enabled"} | notes
        body = {"metadata": {"name": "app", "annotations": annotations}, "spec": spec}
        pod = core.create_namespaced_pod("default", body, dry_run="All")
        found = [*pod.spec.containers, *(pod.spec.init_containers or [])]
        env = {e.name: e.value for c in found if c.name == "linkerd-proxy" for e in c.env}
        enabled = pod.metadata.annotations.get("viz.linkerd.io/tap-enabled")
        return enabled, env.get("LINKERD2_PROXY_TAP_SVC_NAME")

    service = "tap.linkerd-viz.serviceaccount.identity.linkerd.cluster.local"
    assert made() == ("true", service)
    assert made(**{"viz.linkerd.io/disable-tap": "true"}) == (None, None)
    assert made(**{"linkerd.io/inject": "disabled"}) == (None, None)


@pytest.mark.parametrize("line", list(JAEGER), indirect=True, scope="module")
def test_jaeger_installs_where_the_line_has_it(
    line: str, cluster: Twin, connected: client.ApiClient
) -> None:
    version = JAEGER[line]
    with released(cluster, client.CoreV1Api(connected), "linkerd-jaeger", {}) as jaeger:
        given = {"installNamespace": False}
        install_extension(jaeger, cluster, "linkerd-jaeger", version, given)
        found = client.AppsV1Api(connected).list_namespaced_deployment("linkerd-jaeger").items
        assert [d.metadata.name for d in found] == ["collector", "jaeger", "jaeger-injector"]


@pytest.mark.parametrize("line", ["edge-2.19"], indirect=True, scope="module")
def test_viz_brings_its_own_prometheus(
    line: str, cluster: Twin, connected: client.ApiClient
) -> None:
    with helm.Config(kubeconfig_path=cluster.kubeconfig, namespace="linkerd-viz") as viz:
        viz.upgrade(
            "linkerd-viz",
            "linkerd-viz",
            {"prometheusUrl": "", "prometheus": {"enabled": True}},
            chart_repo_url=cluster.chart_repository,
            chart_version=VERSIONS[line],
            wait="watcher",
            timeout=120,
        )
    apps = client.AppsV1Api(connected)
    prometheus = apps.read_namespaced_deployment("prometheus", "linkerd-viz")
    assert prometheus.status.ready_replicas == 1


def pod(*containers: str) -> dict[str, Any]:
    listed = [{"name": name, "env": []} for name in containers]
    return {"metadata": {"annotations": {}}, "spec": {"containers": listed}}


def test_the_patch_of_a_meshed_pod() -> None:
    space: dict[str, Any] = {"metadata": {}}
    patch = tapinjector.tap_patch(pod("app", "linkerd-proxy"), space, "tap.id")
    assert [entry["path"] for entry in patch] == [
        "/metadata/annotations",
        "/metadata/annotations/viz.linkerd.io~1tap-enabled",
        "/spec/containers/1/env/-",
    ]
    assert patch[2]["value"] == {"name": "LINKERD2_PROXY_TAP_SVC_NAME", "value": "tap.id"}
    assert tapinjector.tap_patch(pod("app"), space, "tap.id") == []
    for value, left in (("true", True), ("1", True), ("yes", False), ("false", False)):
        space = {"metadata": {"annotations": {"viz.linkerd.io/disable-tap": value}}}
        patch = tapinjector.tap_patch(pod("linkerd-proxy"), space, "tap.id")
        assert (patch == []) is left, value


def test_patterns_of_hosts_are_those_of_go() -> None:
    assert web.Hosts("").allow("anything")
    assert web.Hosts(r"linkerd\.example\.com").allow("evil-linkerd.example.com:80")
    assert not web.Hosts(r"^linkerd\.example\.com$").allow("evil-linkerd.example.com")
    for pattern in ("(?!x)", "(?<=x)y", "("):
        with pytest.raises(web.InvalidPatternError):
            web.Hosts(pattern)
    assert "'&lt;b&gt;&#39;'" in web.refusal("<b>'", "x")
