"""The charts of Linkerd's extensions render what the upstream ones create, line by line."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
import yaml
from chart_help import Rendered, grown, identities, package, render, table
from cryptography import x509

LINES = ["stable-2.11", "stable-2.14", "edge-2.19", "edge-2.20"]
NEW = LINES[1:]
STABLE = LINES[:2]
CHARTS = [("linkerd-viz", line) for line in LINES] + [("linkerd-jaeger", line) for line in STABLE]
VALUES: dict[str, Any] = {
    "prometheusUrl": "http://prometheus.monitoring:9090",
    "prometheus": {"enabled": False},
    "grafana": {"enabled": False},
    "installNamespace": False,
}
CLUSTER_WIDE = {
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    "MutatingWebhookConfiguration",
    "Namespace",
}
COMPONENTS = ["metrics-api", "tap", "tap-injector", "web"]


def inventory(chart: str, line: str) -> dict[str, set[str]]:
    return grown(table("extension_objects.yaml")[chart], line)


def rendered(
    line: str, values: dict[str, Any] | None = None, chart: str = "linkerd-viz"
) -> Rendered:
    return render(package(line, chart), VALUES if values is None else values, chart)


def template(objects: Rendered, name: str) -> dict[str, Any]:
    found: dict[str, Any] = objects["apps/v1", "Deployment", name]["spec"]["template"]
    return found


def container(objects: Rendered, name: str) -> dict[str, Any]:
    found: dict[str, Any] = template(objects, name)["spec"]["containers"][0]
    return found


def ports(objects: Rendered, name: str) -> dict[str, int]:
    return {p["name"]: p["containerPort"] for p in container(objects, name)["ports"]}


@pytest.mark.parametrize(("chart", "line"), CHARTS)
def test_a_line_renders_the_inventory_and_nothing_else(chart: str, line: str) -> None:
    assert set(rendered(line, chart=chart)) == identities(inventory(chart, line))


@pytest.mark.parametrize(("chart", "line"), CHARTS)
def test_a_line_has_the_value_keys_of_upstream(chart: str, line: str) -> None:
    values = yaml.safe_load(package(line, chart).files["values.yaml"])
    assert set(values) == inventory(chart, line)["values keys"]
    assert values["linkerdVersion"] == package(line, chart).metadata["appVersion"]


@pytest.mark.parametrize(("chart", "line"), CHARTS)
def test_objects_are_in_the_namespace_of_the_extension(chart: str, line: str) -> None:
    elsewhere = {
        ("Role", "web"): "linkerd",
        ("RoleBinding", "web"): "linkerd",
        ("RoleBinding", f"{chart[8:]}-namespace-metadata-linkerd-config"): "linkerd",
        ("RoleBinding", "linkerd-linkerd-viz-tap-auth-reader"): "kube-system",
    }
    for (_, kind, name), document in rendered(line, chart=chart).items():
        place = None if kind in CLUSTER_WIDE else elsewhere.get((kind, name), chart)
        assert document["metadata"].get("namespace") == place, name
        assert document["metadata"]["labels"]["linkerd.io/extension"] == chart[8:], name


@pytest.mark.parametrize("line", LINES)
def test_ports_of_viz(line: str) -> None:
    objects = rendered(line)
    admin = "admin-http" if line in STABLE else "admin"
    assert {name: ports(objects, name) for name in COMPONENTS} == {
        "metrics-api": {"http": 8085, admin: 9995},
        "tap": {"grpc": 8088, "apiserver": 8089, admin: 9998},
        "tap-injector": {"tap-injector": 8443, admin: 9995},
        "web": {"http": 8084, admin: 9994},
    }
    service = objects["v1", "Service", "web"]["spec"]
    assert {p["name"]: p["port"] for p in service["ports"]} == {"http": 8084, admin: 9994}
    tap = objects["v1", "Service", "tap"]["spec"]
    assert {p["name"]: p["port"] for p in tap["ports"]} == {"grpc": 8088, "apiserver": 443}


@pytest.mark.parametrize("line", LINES)
def test_who_asks_for_injection(line: str) -> None:
    """Up to 2.11 the namespace does, then the pods do."""
    objects = rendered(line, {**VALUES, "installNamespace": True})
    for name in COMPONENTS:
        notes = template(objects, name)["metadata"]["annotations"]
        assert ("linkerd.io/inject" in notes) == (line != "stable-2.11")
    space = objects.get(("v1", "Namespace", "linkerd-viz"))
    assert (space is not None) == (line == "stable-2.11")
    if space is not None:
        assert space["metadata"]["annotations"] == {
            "linkerd.io/inject": "enabled",
            "config.linkerd.io/proxy-await": "enabled",
            "viz.linkerd.io/external-prometheus": VALUES["prometheusUrl"],
        }


@pytest.mark.parametrize("line", LINES)
def test_prometheus_is_somebody_elses_or_the_charts(line: str) -> None:
    args = container(rendered(line), "metrics-api")["args"]
    assert "-prometheus-url=http://prometheus.monitoring:9090" in args
    objects = rendered(line, {})
    args = container(objects, "metrics-api")["args"]
    assert "-prometheus-url=http://prometheus.linkerd-viz.svc.cluster.local:9090" in args
    added = {(kind, name) for _, kind, name in set(objects) - set(rendered(line))}
    profile = "prometheus.linkerd-viz.svc.cluster.local"
    assert added >= {
        ("ConfigMap", "prometheus-config"),
        ("Deployment", "prometheus"),
        ("Service", "prometheus"),
        ("ServiceAccount", "prometheus"),
        ("ClusterRole", "linkerd-linkerd-viz-prometheus"),
        ("ServiceProfile", profile),
    }
    text = objects["v1", "ConfigMap", "prometheus-config"]["data"]["prometheus.yml"]
    jobs = [job["job_name"] for job in yaml.safe_load(text)["scrape_configs"]]
    assert jobs[-1] == "linkerd-proxy"
    assert "linkerd-controller" in jobs


def test_grafana_per_line() -> None:
    old = rendered("stable-2.11", {})
    assert (
        "-grafana-addr=grafana.linkerd-viz.svc.cluster.local:3000" in container(old, "web")["args"]
    )
    assert ports(old, "grafana") == {"http": 3000}
    other = rendered("stable-2.11", {**VALUES, "grafanaUrl": "grafana.monitoring:80"})
    assert "-grafana-addr=grafana.monitoring:80" in container(other, "web")["args"]
    assert ("apps/v1", "Deployment", "grafana") not in other
    outside = {"externalUrl": "https://grafana.example", "uidPrefix": "x-"}
    for line in NEW:
        args = container(rendered(line, {**VALUES, "grafana": outside}), "web")["args"]
        grafana = [arg for arg in args if "grafana" in arg]
        assert grafana == [
            "-grafana-external-addr=https://grafana.example",
            "-grafana-prefix=x-",
        ]
        assert not [arg for arg in container(rendered(line), "web")["args"] if "grafana" in arg]


@pytest.mark.parametrize("line", LINES)
def test_hosts_of_the_dashboard(line: str) -> None:
    own = (
        r"-enforced-host=^(localhost|127\.0\.0\.1|web\.linkerd-viz\.svc\.cluster\.local|"
        r"web\.linkerd-viz\.svc|\[::1\])(:\d+)?$"
    )
    assert own in container(rendered(line), "web")["args"]
    given = {"dashboard": {"enforcedHostRegexp": r"^linkerd\.example$"}}
    args = container(rendered(line, {**VALUES, **given}), "web")["args"]
    assert r"-enforced-host=^linkerd\.example$" in args


@pytest.mark.parametrize("line", LINES)
def test_taps_certificates_are_signed_by_the_chart(line: str) -> None:
    objects = rendered(line)
    service = objects["apiregistration.k8s.io/v1", "APIService", "v1alpha1.tap.linkerd.io"]["spec"]
    assert service["service"] == {"name": "tap", "namespace": "linkerd-viz"}
    assert service["caBundle"] == objects["v1", "Secret", "tap-k8s-tls"]["data"]["tls.crt"]
    (webhook,) = objects[
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        "linkerd-tap-injector-webhook-config",
    ]["webhooks"]
    secret = objects["v1", "Secret", "tap-injector-k8s-tls"]
    assert secret["type"] == "kubernetes.io/tls"
    assert webhook["clientConfig"]["caBundle"] == secret["data"]["tls.crt"]
    assert webhook["name"] == "tap-injector.linkerd.io"
    assert (webhook["failurePolicy"], webhook["reinvocationPolicy"]) == ("Ignore", "IfNeeded")
    assert ("namespaceSelector" in webhook) == (line not in STABLE)
    certificate = x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"]))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["tap-injector.linkerd-viz.svc"]


@pytest.mark.parametrize("line", NEW)
def test_a_hook_labels_the_namespace(line: str) -> None:
    job = rendered(line)["batch/v1", "Job", "namespace-metadata"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-install"
    pod = job["spec"]["template"]
    assert pod["metadata"]["annotations"]["linkerd.io/inject"] == "disabled"
    args = pod["spec"]["containers"][0]["args"]
    assert args[-2:] == ["--prometheus-url", VALUES["prometheusUrl"]]
    without = rendered(line, {**VALUES, "createNamespaceMetadataJob": False})
    left = ("batch/v1", "Job", "namespace-metadata") in without
    assert left == (line == "stable-2.14")  # which has no such value


@pytest.mark.parametrize("line", STABLE)
def test_the_collector_of_jaeger(line: str) -> None:
    objects = rendered(line, chart="linkerd-jaeger")
    service = objects["v1", "Service", "collector"]["spec"]
    names = [port["name"] for port in service["ports"]]
    assert ("otlp-http" in names) == (line == "stable-2.14")
    assert {"otlp", "opencensus", "zipkin", "jaeger-thrift", "jaeger-grpc"} <= set(names)
    config = objects["v1", "ConfigMap", "collector-config"]["data"]["collector-config"]
    assert (
        yaml.safe_load(config)["exporters"]["jaeger"]["endpoint"] == "jaeger.${POD_NAMESPACE}:14250"
    )
    assert ports(objects, "jaeger")["ui"] == 16686
    none = rendered(
        line,
        {**VALUES, "collector": {"enabled": False}, "jaeger": {"enabled": False}},
        "linkerd-jaeger",
    )
    assert {name for _, kind, name in none if kind == "Deployment"} == {"jaeger-injector"}


def test_the_2_11_charts_put_objects_where_their_value_says() -> None:
    given = {**VALUES, "namespace": "seen"}
    objects = render(package("stable-2.11", "linkerd-viz"), given, "elsewhere")
    places = {document["metadata"].get("namespace") for document in objects.values()}
    assert places == {None, "seen", "linkerd", "kube-system"}


@pytest.mark.parametrize(
    ("lines", "values", "message"),
    [
        (
            LINES,
            {"prometheusUrl": ""},
            "Please enable `linkerd-prometheus` or provide `prometheusUrl`",
        ),
        (
            NEW,
            {"grafana": {"url": "grafana.monitoring", "externalUrl": "https://grafana.example"}},
            "Cannot set both grafana.url",
        ),
        (NEW, {"tap": {"externalSecret": True}}, "if externalSecret is set, then caBundle"),
        (
            NEW,
            {"tapInjector": {"injectCaFrom": "a/b", "injectCaFromSecret": "a/b"}},
            "injectCaFrom and injectCaFromSecret cannot both be set",
        ),
        (
            LINES[:1],
            {"tapInjector": {"externalSecret": True}},
            "If tapInjector.externalSecret is true then you need to provide tapInjector.caBundle",
        ),
    ],
)
def test_refusals(lines: list[str], values: dict[str, Any], message: str) -> None:
    for line in lines:
        with pytest.raises(helm.HelmRenderError, match=message):
            rendered(line, {**VALUES, **values})


@pytest.mark.parametrize("line", NEW)
def test_certificates_of_somebody_elses(line: str) -> None:
    bundle = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
    own = {"externalSecret": True, "caBundle": bundle}
    injected = {"externalSecret": True, "injectCaFrom": "linkerd-viz/tap-injector"}
    objects = rendered(line, {**VALUES, "tap": own, "tapInjector": injected})
    assert not {name for _, kind, name in objects if kind == "Secret"}
    service = objects["apiregistration.k8s.io/v1", "APIService", "v1alpha1.tap.linkerd.io"]
    assert base64.b64decode(service["spec"]["caBundle"]).decode() == bundle
    webhook = objects[
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        "linkerd-tap-injector-webhook-config",
    ]
    notes = webhook["metadata"]["annotations"]
    assert notes == {"cert-manager.io/inject-ca-from": "linkerd-viz/tap-injector"}
    assert "caBundle" not in webhook["webhooks"][0]["clientConfig"]


@pytest.mark.parametrize(("chart", "line"), CHARTS)
def test_charts_lint_clean(chart: str, line: str, tmp_path: Path) -> None:
    archive = tmp_path / package(line, chart).archive_name
    archive.write_bytes(package(line, chart).archive())
    helm.expand(tmp_path, archive)
    assert helm.lint(tmp_path / chart, VALUES)["errors"] == []
