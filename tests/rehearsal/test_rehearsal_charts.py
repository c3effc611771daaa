"""The rehearsal's chart repository renders what the upstream charts create, line by line."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import chart_help
import helm_python as helm
import pytest
import yaml
from chart_help import Rendered, grown, identities, render, table
from cryptography import x509

from runbook.rehearsal import charts

ANCHORS = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
VALUES: dict[str, Any] = {
    "identityTrustAnchorsPEM": ANCHORS,
    "identity": {"issuer": {"scheme": "kubernetes.io/tls"}},
    "installNamespace": False,
    "podMonitor": {"enabled": True, "labels": {"release": "kube-prometheus-stack"}},
}
LINES = ["stable-2.11", "stable-2.14", "edge-2.19", "edge-2.20"]
CLUSTER_WIDE = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "MutatingWebhookConfiguration",
    "Namespace",
    "ValidatingWebhookConfiguration",
}

EXTENSIONS = ("linkerd-viz", "linkerd-jaeger")


def inventory(line: str) -> dict[str, set[str]]:
    return grown(table("linkerd_objects.yaml"), line)


def expected(line: str) -> set[tuple[str, str, str]]:
    """Say the (apiVersion, kind, name) of every object a line creates."""
    return identities(inventory(line))


def packages(line: str) -> list[charts.Package]:
    """Give the charts of Linkerd itself."""
    return [p for p in chart_help.packages(line) if p.metadata["name"] not in EXTENSIONS]


def render_line(line: str, values: dict[str, Any] | None = None) -> Rendered:
    objects: Rendered = {}
    for package in packages(line):
        objects |= render(package, VALUES if values is None else values)
    return objects


@pytest.fixture(scope="module")
def lines() -> dict[str, Rendered]:
    return {line: render_line(line) for line in LINES}


def control_plane(line: str) -> charts.Package:
    return packages(line)[-1]


def pod(objects: Rendered, component: str) -> dict[str, Any]:
    spec: dict[str, Any] = objects["apps/v1", "Deployment", f"linkerd-{component}"]["spec"]
    return spec["template"]["spec"]


def container(spec: dict[str, Any], name: str) -> dict[str, Any]:
    found = [c for c in spec["initContainers"] + spec["containers"] if c["name"] == name]
    assert len(found) == 1
    return found[0]


def test_two_builds_are_equal_to_the_byte(tmp_path: Path) -> None:
    for name in ("one", "two"):
        charts.build(tmp_path / name)
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("one", "two")
    )
    assert one == two
    assert len(one) == 17  # sixteen packages and the index


def test_the_index_names_every_package_with_its_digest(tmp_path: Path) -> None:
    charts.build(tmp_path)
    index = yaml.safe_load((tmp_path / "index.yaml").read_text())
    versions = {
        name: [entry["version"] for entry in entries] for name, entries in index["entries"].items()
    }
    assert versions == {
        "linkerd-crds": ["2026.6.3", "2025.10.7", "1.8.0"],
        "linkerd-control-plane": ["2026.6.3", "2025.10.7", "1.16.11"],
        "linkerd2": ["2.11.5"],
        "linkerd-viz": ["2026.6.3", "2025.10.7", "30.12.11", "2.11.5"],
        "linkerd-jaeger": ["30.12.11", "2.11.5"],
        "kube-prometheus-stack": ["78.3.2"],
        "longhorn": ["1.10.0"],
        "velero": ["11.1.0"],
    }
    for entries in index["entries"].values():
        for entry in entries:
            archive = (tmp_path / entry["urls"][0]).read_bytes()
            assert entry["digest"] == hashlib.sha256(archive).hexdigest()


@pytest.mark.parametrize(
    ("line", "app_version", "kube_version"),
    [
        ("stable-2.11", "stable-2.11.5", ">=1.17.0-0"),
        ("stable-2.14", "stable-2.14.10", ">=1.21.0-0"),
        ("edge-2.19", "edge-25.10.7", ">=1.23.0-0"),
        ("edge-2.20", "edge-26.6.3", ">=1.31.0-0"),
    ],
)
def test_a_chart_says_its_release_and_the_servers_it_accepts(
    line: str, app_version: str, kube_version: str
) -> None:
    metadata = control_plane(line).metadata
    assert metadata["appVersion"] == app_version
    assert {package.metadata["kubeVersion"] for package in packages(line)} == {kube_version}


def test_crds_come_first_where_they_are_a_chart_of_their_own() -> None:
    assert [p.metadata["name"] for p in packages("stable-2.11")] == ["linkerd2"]
    for line in LINES[1:]:
        names = [package.metadata["name"] for package in packages(line)]
        assert names == ["linkerd-crds", "linkerd-control-plane"]


@pytest.mark.parametrize("line", LINES)
def test_a_line_renders_the_inventory_and_nothing_else(
    line: str, lines: dict[str, Rendered]
) -> None:
    assert set(lines[line]) == expected(line)


@pytest.mark.parametrize("line", LINES)
def test_namespaced_objects_are_in_the_control_plane_namespace(
    line: str, lines: dict[str, Rendered]
) -> None:
    for (_, kind, name), document in lines[line].items():
        namespace = document["metadata"].get("namespace")
        assert namespace == (None if kind in CLUSTER_WIDE else "linkerd"), name


@pytest.mark.parametrize("line", LINES)
def test_a_line_has_the_value_keys_of_upstream(line: str) -> None:
    values = yaml.safe_load(control_plane(line).files["values.yaml"])
    assert set(values) == inventory(line)["values keys"]


def test_optional_objects() -> None:
    switched = {
        **VALUES,
        "installNamespace": True,
        "disableHeartBeat": True,
        "identity": {"externalCA": True, "issuer": {"scheme": "kubernetes.io/tls"}},
        "podMonitor": {"enabled": True, "serviceMirror": {"enabled": False}},
    }
    changes = {
        line: set(render_line(line, switched)) ^ expected(line) for line in (LINES[0], LINES[-1])
    }
    heartbeat = {
        ("v1", "ServiceAccount", "linkerd-heartbeat"),
        *(
            ("rbac.authorization.k8s.io/v1", kind, "linkerd-heartbeat")
            for kind in ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
        ),
    }
    roots = ("v1", "ConfigMap", "linkerd-identity-trust-roots")
    monitor = ("monitoring.coreos.com/v1", "PodMonitor")
    assert changes["stable-2.11"] == heartbeat | {
        roots,
        ("batch/v1beta1", "CronJob", "linkerd-heartbeat"),
        ("v1", "Namespace", "linkerd"),  # only this line's chart makes its namespace
    }
    assert changes["edge-2.20"] == heartbeat | {
        roots,
        ("batch/v1", "CronJob", "linkerd-heartbeat"),
        (*monitor, "linkerd-multicluster-controller"),
    }


def test_gateway_api_definitions_are_opt_in_on_edge() -> None:
    crds = packages("edge-2.20")[0]
    gateway = {
        f"{kind}.gateway.networking.k8s.io"
        for kind in ("grpcroutes", "httproutes", "tcproutes", "tlsroutes")
    }
    every = {name for _, _, name in render(crds, {"installGatewayAPI": True})}
    http = {name for _, _, name in render(crds, {"enableHttpRoutes": True})}
    without = {
        name for _, _, name in render(crds, {"installGatewayAPI": True, "enableHttpRoutes": False})
    }
    plain = {name for _, _, name in render(crds, {})}
    assert every - plain == gateway
    assert http - plain == {n for n in gateway if n.startswith(("http", "grpc"))}
    assert without - plain == {n for n in gateway if n.startswith(("tcp", "tls"))}


@pytest.mark.parametrize(
    ("line", "versions"),
    [
        ("stable-2.11", {"v1alpha1": False, "v1beta1": True}),
        ("edge-2.20", {"v1alpha1": False, "v1beta1": False, "v1beta2": False, "v1beta3": True}),
    ],
)
def test_server_definition_serves_the_versions_of_its_line(
    line: str, versions: dict[str, bool], lines: dict[str, Rendered]
) -> None:
    key = ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "servers.policy.linkerd.io")
    spec = lines[line][key]["spec"]
    assert spec["group"] == "policy.linkerd.io"
    assert {v["name"]: v["storage"] for v in spec["versions"]} == versions
    schema = spec["versions"][0]["schema"]["openAPIV3Schema"]
    assert schema["properties"]["spec"]["required"] == ["podSelector", "port"]


@pytest.mark.parametrize("line", LINES)
def test_linkerd_config_holds_the_effective_values_without_keys(
    line: str, lines: dict[str, Rendered]
) -> None:
    data = lines[line]["v1", "ConfigMap", "linkerd-config"]["data"]
    values = yaml.safe_load(data["values"])
    assert values["identityTrustAnchorsPEM"] == ANCHORS
    assert values["identityTrustDomain"] == "cluster.local"
    assert values["linkerdVersion"] == control_plane(line).metadata["appVersion"]
    assert values["identity"]["issuer"]["scheme"] == "kubernetes.io/tls"
    assert ("linkerd-crds-chart-version" in data) == (line != "stable-2.11")


def test_linkerd_config_never_holds_a_private_key() -> None:
    key = "-----BEGIN EC " + "PRIVATE KEY-----\nnever\n-----END EC PRIVATE KEY-----"
    pair = {"crtPEM": ANCHORS, "keyPEM": key, "caBundle": ANCHORS}
    values = {
        "identityTrustAnchorsPEM": ANCHORS,
        "identity": {"issuer": {"tls": {"crtPEM": ANCHORS, "keyPEM": key}}},
        "proxyInjector": pair,
        "profileValidator": pair,
        "policyValidator": pair,
    }
    for line in LINES:
        objects = render(control_plane(line), values)
        config = objects["v1", "ConfigMap", "linkerd-config"]["data"]["values"]
        assert "never" not in config
        issuer = objects["v1", "Secret", "linkerd-identity-issuer"]["data"]
        assert set(issuer) == {"crt.pem", "key.pem"}
        assert base64.b64decode(issuer["key.pem"]).decode() == key


@pytest.mark.parametrize("line", LINES)
def test_trust_roots_are_the_anchors_helm_was_given(line: str, lines: dict[str, Rendered]) -> None:
    data = lines[line]["v1", "ConfigMap", "linkerd-identity-trust-roots"]["data"]
    assert data["ca-bundle.crt"].strip() == ANCHORS.strip()


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize(
    ("kind", "service"),
    [
        ("MutatingWebhookConfiguration", "linkerd-proxy-injector"),
        ("ValidatingWebhookConfiguration", "linkerd-sp-validator"),
        ("ValidatingWebhookConfiguration", "linkerd-policy-validator"),
    ],
)
def test_a_webhook_trusts_the_certificate_of_its_secret(
    line: str, kind: str, service: str, lines: dict[str, Rendered]
) -> None:
    objects = lines[line]
    secret = objects["v1", "Secret", f"{service}-k8s-tls"]
    (webhook,) = objects["admissionregistration.k8s.io/v1", kind, f"{service}-webhook-config"][
        "webhooks"
    ]
    assert secret["type"] == "kubernetes.io/tls"
    assert webhook["clientConfig"]["caBundle"] == secret["data"]["tls.crt"]
    assert webhook["clientConfig"]["service"]["name"] == service
    assert webhook["name"] == f"{service}.linkerd.io"
    assert webhook["failurePolicy"] == "Ignore"
    certificate = x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"]))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [f"{service}.linkerd.svc"]
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert lifetime.days == 365


def test_the_injector_skips_kube_system_from_2_12_on(lines: dict[str, Rendered]) -> None:
    key = (
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        "linkerd-proxy-injector-webhook-config",
    )
    skipped = {
        line: [
            e["key"] for e in objects[key]["webhooks"][0]["namespaceSelector"]["matchExpressions"]
        ]
        for line, objects in lines.items()
    }
    assert skipped.pop("stable-2.11") == ["config.linkerd.io/admission-webhooks"]
    for keys in skipped.values():
        assert keys == ["config.linkerd.io/admission-webhooks", "kubernetes.io/metadata.name"]


@pytest.mark.parametrize(
    ("line", "component", "containers", "init"),
    [
        (
            "stable-2.11",
            "destination",
            ["linkerd-proxy", "destination", "sp-validator", "policy"],
            ["linkerd-init"],
        ),
        ("stable-2.14", "identity", ["identity", "linkerd-proxy"], ["linkerd-init"]),
        ("edge-2.19", "proxy-injector", ["linkerd-proxy", "proxy-injector"], ["linkerd-init"]),
        (
            "edge-2.20",
            "destination",
            ["destination", "sp-validator", "policy"],
            ["linkerd-init", "linkerd-proxy"],
        ),
        ("edge-2.20", "identity", ["identity", "linkerd-proxy"], ["linkerd-init"]),
        ("edge-2.20", "proxy-injector", ["proxy-injector"], ["linkerd-init", "linkerd-proxy"]),
    ],
)
def test_containers_of_a_control_plane_pod(
    line: str, component: str, containers: list[str], init: list[str], lines: dict[str, Rendered]
) -> None:
    spec = pod(lines[line], component)
    assert [c["name"] for c in spec["containers"]] == containers
    assert [c["name"] for c in spec["initContainers"]] == init
    assert spec["serviceAccountName"] == f"linkerd-{component}"
    native = "linkerd-proxy" in init
    assert container(spec, "linkerd-proxy").get("restartPolicy") == ("Always" if native else None)


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("stable-2.11", ["grpc", "admin-http", "grpc", "admin", "policy-https"]),
        ("stable-2.14", ["grpc", "admin-http", "grpc", "admin-http", "policy-https"]),
        ("edge-2.20", ["dest-grpc", "dest-admin", "policy-grpc", "policy-admin", "policy-https"]),
    ],
)
def test_port_names_follow_the_line(
    line: str, names: list[str], lines: dict[str, Rendered]
) -> None:
    spec = pod(lines[line], "destination")
    ports = container(spec, "destination")["ports"] + container(spec, "policy")["ports"]
    assert [port["name"] for port in ports] == names
    assert [port["containerPort"] for port in ports] == [8086, 9996, 8090, 9990, 9443]


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("component", ["destination", "identity", "proxy-injector"])
def test_control_plane_proxies_take_their_anchors_from_the_config_map(
    line: str, component: str, lines: dict[str, Rendered]
) -> None:
    spec = pod(lines[line], component)
    version = control_plane(line).metadata["appVersion"]
    proxy = container(spec, "linkerd-proxy")
    assert proxy["image"] == f"cr.l5d.io/linkerd/proxy:{version}"
    env = {entry["name"]: entry for entry in proxy["env"]}
    assert env["LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS"]["valueFrom"] == {
        "configMapKeyRef": {"name": "linkerd-identity-trust-roots", "key": "ca-bundle.crt"}
    }


@pytest.mark.parametrize("line", LINES)
def test_pods_mount_the_certificates_they_serve_and_sign_with(
    line: str, lines: dict[str, Rendered]
) -> None:
    def mounted(component: str, name: str) -> dict[str, str]:
        spec = pod(lines[line], component)
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        found = {}
        for mount in container(spec, name)["volumeMounts"]:
            volume = volumes[mount["name"]]
            source = volume.get("secret", {}).get("secretName") or volume.get("configMap", {}).get(
                "name"
            )
            if source:
                found[mount["mountPath"].rstrip("/")] = source
        return found

    assert mounted("identity", "identity") == {
        "/var/run/linkerd/identity/issuer": "linkerd-identity-issuer",
        "/var/run/linkerd/identity/trust-roots": "linkerd-identity-trust-roots",
    }
    assert (
        mounted("proxy-injector", "proxy-injector")["/var/run/linkerd/tls"]
        == "linkerd-proxy-injector-k8s-tls"
    )
    assert mounted("destination", "policy") == {
        "/var/run/linkerd/tls": "linkerd-policy-validator-k8s-tls"
    }


@pytest.mark.parametrize(
    ("line", "images"),
    [
        (
            "stable-2.11",
            {
                "controller:stable-2.11.5",
                "policy-controller:stable-2.11.5",
                "proxy-init:v1.5.3",
                "proxy:stable-2.11.5",
            },
        ),
        ("edge-2.19", {"controller:edge-25.10.7", "proxy-init:v2.4.3", "proxy:edge-25.10.7"}),
        ("edge-2.20", {"controller:edge-26.6.3", "proxy:edge-26.6.3"}),
    ],
)
def test_images_of_a_line(line: str, images: set[str], lines: dict[str, Rendered]) -> None:
    found = set()
    for component in ("destination", "identity", "proxy-injector"):
        spec = pod(lines[line], component)
        found |= {c["image"] for c in spec["containers"] + spec["initContainers"]}
    assert found == {f"cr.l5d.io/linkerd/{image}" for image in images}


@pytest.mark.parametrize(
    ("line", "keep"),
    [("stable-2.14", "admin-http"), ("edge-2.19", ".*-admin$"), ("edge-2.20", ".*-admin$")],
)
def test_pod_monitors_keep_the_admin_ports_of_their_line(
    line: str, keep: str, lines: dict[str, Rendered]
) -> None:
    monitor = lines[line]["monitoring.coreos.com/v1", "PodMonitor", "linkerd-controller"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["relabelings"][0]["regex"] == keep
    assert monitor["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    assert monitor["spec"]["namespaceSelector"]["matchNames"][:2] == ["linkerd", "linkerd-viz"]


def test_pod_monitors_are_off_by_default() -> None:
    values = {key: value for key, value in VALUES.items() if key != "podMonitor"}
    kinds = {kind for _, kind, _ in render_line("edge-2.20", values)}
    assert "PodMonitor" not in kinds


def test_the_2_11_chart_puts_objects_where_its_value_says() -> None:
    values = {**VALUES, "namespace": "mesh"}
    objects = render(control_plane("stable-2.11"), values, namespace="elsewhere")
    places = {document["metadata"].get("namespace") for document in objects.values()}
    assert places == {None, "mesh"}


@pytest.mark.parametrize("line", LINES)
def test_webhook_certificates_are_new_at_every_render(line: str) -> None:
    first, second = (render(control_plane(line), VALUES) for _ in range(2))
    key = ("v1", "Secret", "linkerd-proxy-injector-k8s-tls")
    assert first[key]["data"]["tls.crt"] != second[key]["data"]["tls.crt"]


@pytest.mark.parametrize("line", LINES)
def test_an_own_webhook_secret_is_not_rendered(line: str) -> None:
    values = {**VALUES, "proxyInjector": {"externalSecret": True, "caBundle": ANCHORS}}
    objects = render(control_plane(line), values)
    assert ("v1", "Secret", "linkerd-proxy-injector-k8s-tls") not in objects
    key = (
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        "linkerd-proxy-injector-webhook-config",
    )
    (webhook,) = objects[key]["webhooks"]
    assert base64.b64decode(webhook["clientConfig"]["caBundle"]).decode() == ANCHORS.strip()


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"identityTrustAnchorsPEM": ANCHORS}, "Please provide the identity issuer certificate"),
        (
            {"identity": {"issuer": {"tls": {"crtPEM": ANCHORS}}}},
            "Please provide the identity issue private key",
        ),
        (
            {**VALUES, "proxyInjector": {"externalSecret": True}},
            "if externalSecret is set, then caBundle",
        ),
        ({**VALUES, "proxyInit": {"iptablesMode": "ipvs"}}, 'Unsupported value "ipvs"'),
    ],
)
def test_refusals(line: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(helm.HelmRenderError, match=message):
        render(control_plane(line), values)


@pytest.mark.parametrize("line", LINES)
def test_missing_anchors_give_an_empty_bundle_as_upstream_does(line: str) -> None:
    """The charts do not refuse it: a check has to."""
    values = {"identity": {"issuer": {"scheme": "kubernetes.io/tls"}}}
    objects = render(control_plane(line), values)
    data = objects["v1", "ConfigMap", "linkerd-identity-trust-roots"]["data"]
    assert data["ca-bundle.crt"].strip() == ""


@pytest.mark.parametrize("line", LINES)
def test_charts_lint_clean(line: str, tmp_path: Path) -> None:
    for package in packages(line):
        archive = tmp_path / package.archive_name
        archive.write_bytes(package.archive())
        helm.expand(tmp_path, archive)
        report = helm.lint(tmp_path / package.metadata["name"], VALUES)
        assert report["errors"] == []
