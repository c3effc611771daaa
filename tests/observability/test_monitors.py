"""The PodMonitors: their form, and what the real Prometheus makes of their relabelings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_prometheus import RealPrometheus, discovered, endpoint, running, scrape_job

from runbook.cluster import Cluster
from runbook.helm import Release, open_helm
from runbook.kubeconfig import open_access
from runbook.manifests import control_plane_values
from runbook.observability.monitors import (
    CONTROLLER,
    MIRROR,
    NAMES,
    PROXY,
    admin_ports,
    pod_monitors,
)
from runbook.params import Params
from runbook.rehearsal import Twin
from runbook.releases import LINES, Line, find

Object = dict[str, Any]

PARAMS = Params(scrape_interval="5s")
SEED_CONTROLLER = {
    "sourceLabels": ["__meta_kubernetes_pod_container_port_name"],
    "action": "keep",
    "regex": "admin-http",
}
"""The seed's rule for the control plane, from before the ports were renamed."""


def test_form() -> None:
    controller, mirror, proxy = pod_monitors(find("edge-2.20"), PARAMS, {"release": "kps"})
    assert [m["metadata"]["name"] for m in (controller, mirror, proxy)] == list(NAMES)
    for one in (controller, mirror, proxy):
        assert one["metadata"]["namespace"] == "k3s-monitoring"
        assert one["metadata"]["labels"] == {"app": "linkerd", "release": "kps"}
        (scraped,) = one["spec"]["podMetricsEndpoints"]
        assert (scraped["interval"], scraped["scrapeTimeout"]) == ("5s", "5s")
        keys = {key for rule in scraped["relabelings"] for key in rule}
        assert keys <= {"action", "regex", "sourceLabels", "targetLabel", "replacement"}
    assert controller["spec"]["namespaceSelector"] == {"matchNames": ["linkerd", "linkerd-viz"]}
    assert proxy["spec"]["namespaceSelector"] == {"any": True}


def test_a_long_interval_keeps_the_timeout_of_the_seed() -> None:
    (one, *_) = pod_monitors(find("edge-2.20"), Params(scrape_interval="30s"), {})
    assert one["spec"]["podMetricsEndpoints"][0]["scrapeTimeout"] == "10s"


@pytest.mark.parametrize(
    ("line", "ports"),
    [
        ("stable-2.11", ("admin", "admin-http")),
        ("stable-2.14", ("admin-http",)),
        (
            "edge-2.20",
            ("admin", "dest-admin", "ident-admin", "injector-admin", "policy-admin", "spval-admin"),
        ),
    ],
)
def test_admin_ports(line: str, ports: tuple[str, ...]) -> None:
    assert admin_ports(find(line)) == ports


# --- what Prometheus makes of them -------------------------------------------------------------


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin(content=False, controllers=False, kubelet=False) as made:
        yield made


@pytest.fixture(scope="module")
def cluster(twin: Twin) -> Iterator[Cluster]:
    made = Cluster(open_access("rehearsal", str(twin.kubeconfig)))
    yield made
    made.close()


def templates(cluster: Cluster, twin: Twin, line: Line) -> list[tuple[str, Object]]:
    """Give the pods that the charts of a line would start: namespace and template."""
    helm = open_helm(cluster)
    chart = line.control_plane
    anchors = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----"
    releases = [
        Release(
            chart.release,
            "linkerd",
            chart.name,
            chart.version,
            twin.chart_repository,
            control_plane_values(line, PARAMS, anchors),
        ),
        Release(
            "linkerd-viz",
            "linkerd-viz",
            "linkerd-viz",
            line.viz.version,
            twin.chart_repository,
            {"prometheusUrl": "http://p:9090", "prometheus": {"enabled": False}}
            | ({} if line.grafana_values else {"grafana": {"enabled": False}}),
        ),
    ]
    return [
        (release.namespace, obj)
        for release in releases
        for obj in helm.render(release)
        if obj["kind"] == "Deployment"
    ]


def pod(name: str, namespace: str, labels: dict[str, str], spec: Object) -> Object:
    meta = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def container(name: str, **ports: int) -> Object:
    listed = [{"name": key.replace("_", "-"), "containerPort": n} for key, n in ports.items()]
    return {"name": name, "image": "x", "ports": listed}


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_every_controller_of_a_line_is_found(
    line: Line, twin: Twin, cluster: Cluster, tmp_path: Path
) -> None:
    pods, expected = [], set()
    for namespace, deployment in templates(cluster, twin, line):
        template = deployment["spec"]["template"]
        name = f"{deployment['metadata']['name']}-{line.name.replace('.', '')}"
        spec = {
            key: [
                {k: c[k] for k in ("name", "image", "ports") if k in c}
                for c in template["spec"].get(key) or []
            ]
            for key in ("initContainers", "containers")
        }
        pods.append(pod(name, namespace, template["metadata"]["labels"], spec))
        expected |= {
            (namespace, name, c["name"])
            for c in spec["containers"]
            for p in c.get("ports") or []
            if "admin" in p["name"] and p["name"] != "linkerd-admin"
        }
    assert len(expected) == 9  # identity, destination with 3, injector; the four of Viz
    monitors = {m["metadata"]["name"]: m for m in pod_monitors(line, PARAMS, {})}
    old = json.loads(json.dumps(monitors[CONTROLLER]))
    old["metadata"]["name"] = "seed"
    rules = old["spec"]["podMetricsEndpoints"][0]["relabelings"]
    rules[0] = SEED_CONTROLLER
    rules[-1]["source_labels"] = ["__address__"]  # no field of a PodMonitor
    with endpoint() as port:
        targets = discovered(pods, port)
        jobs = [scrape_job(m, targets) for m in (*monitors.values(), old)]
        with running(tmp_path, jobs) as prometheus:
            found = prometheus.up(f"podMonitor/k3s-monitoring/{CONTROLLER}/0", 9)
            proxies = prometheus.up(f"podMonitor/k3s-monitoring/{PROXY}/0", 3)
            # From 2.19 on no port is called admin-http; on 2.11 that of the policy controller.
            kept = {"stable-2.11": 8, "stable-2.14": 9}.get(line.name, 0)
            seeds = prometheus.up("podMonitor/k3s-monitoring/seed/0", kept)
    assert {(t["namespace"], t["pod"], t["component"]) for t in found} == expected
    assert {t["job"] for t in found} == {CONTROLLER}
    assert {t["job"] for t in seeds} <= {CONTROLLER}, "source_labels made no difference"
    assert {t["control_plane_ns"] for t in proxies} == {"linkerd"}
    assert {t["deployment"] for t in proxies} == {
        "linkerd-identity",
        "linkerd-destination",
        "linkerd-proxy-injector",
    }


def test_labels_of_the_data_plane(tmp_path: Path) -> None:
    """Labels come out as the dashboards select them, whatever labels the pods have themselves."""
    meshed = {"linkerd.io/control-plane-ns": "linkerd", "linkerd.io/workload-ns": "shop"}
    proxy = container("linkerd-proxy", linkerd_proxy=1, linkerd_admin=1)
    sidecar = {**proxy, "restartPolicy": "Always"}
    web = container("web", http=1)
    pods = [
        pod(
            "web-1",
            "shop",
            {**meshed, "linkerd.io/proxy-deployment": "web", "app": "web", "job": "evil"},
            {"containers": [web, proxy]},
        ),
        pod(
            "db-0",
            "shop",
            {**meshed, "linkerd.io/proxy-statefulset": "db", "app.kubernetes.io/name": "db"},
            {"initContainers": [sidecar], "containers": [web]},
        ),
        pod(
            "migrate-x",
            "shop",
            {**meshed, "linkerd.io/proxy-job": "migrate", "job-name": "migrate"},
            {"containers": [web, proxy]},
        ),
        pod("plain", "shop", {"app": "plain"}, {"containers": [web, container("a", admin=1)]}),
        pod(
            "of-another-mesh",
            "shop",
            {"linkerd.io/control-plane-ns": "linkerd2"},
            {"containers": [web, proxy]},
        ),
        pod(
            "mirror",
            "shop",
            {"linkerd.io/control-plane-component": "linkerd-service-mirror"},
            {"containers": [container("service-mirror", svcmi_admin=1)]},
        ),
    ]
    with endpoint() as port:
        targets = discovered(pods, port)
        jobs = [scrape_job(m, targets) for m in pod_monitors(find("edge-2.20"), PARAMS, {})]
        with running(tmp_path, jobs) as prometheus:
            _labels_are_right(prometheus)


def _labels_are_right(prometheus: RealPrometheus) -> None:
    found = {t["pod"]: t for t in prometheus.up(f"podMonitor/k3s-monitoring/{PROXY}/0", 3)}
    assert set(found) == {"web-1", "db-0", "migrate-x"}
    common = {"job": "linkerd-proxy", "namespace": "shop", "control_plane_ns": "linkerd"}
    for labels in found.values():
        assert common.items() <= labels.items()
        assert labels["workload_ns"] == "shop"
    assert found["web-1"]["deployment"] == "web"
    assert found["web-1"]["app"] == "web"
    assert found["db-0"]["statefulset"] == "db"
    assert found["db-0"]["app_kubernetes_io_name"] == "db"
    assert found["migrate-x"]["k8s_job"] == "migrate"
    assert found["migrate-x"]["job_name"] == "migrate"
    (mirror,) = prometheus.up(f"podMonitor/k3s-monitoring/{MIRROR}/0", 1)
    assert (mirror["job"], mirror["component"]) == (MIRROR, "service-mirror")
    query = 'response_latency_ms_bucket{job="linkerd-proxy",deployment="web",le="1"}'
    (series,) = prometheus.series(query)
    assert series["pod"] == "web-1"
    assert series["direction"] == "inbound"
