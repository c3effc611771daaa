"""The objects and values of the seed document."""

import pytest

from runbook.manifests import (
    control_plane_values,
    crds_values,
    identity_issuer,
    namespace,
    probe_pod,
    root_ca,
)
from runbook.params import Params
from runbook.releases import LINES, find

P = Params.parse({})
OLD, NEW = find("stable-2.11"), find("edge-2.20")


def test_the_namespace_of_2_11_is_the_seed_document_s():
    assert namespace(OLD, P) == {
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": {
            "name": "linkerd",
            "annotations": {"linkerd.io/inject": "disabled"},
            "labels": {
                "linkerd.io/is-control-plane": "true",
                "config.linkerd.io/admission-webhooks": "disabled",
                "linkerd.io/control-plane-ns": "linkerd",
            },
        },
    }


def test_later_lines_add_the_pod_security_label():
    for line in LINES[1:]:
        labels = namespace(line, P)["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "privileged"


def test_another_namespace_is_named_in_the_label_too():
    labels = namespace(NEW, Params.parse({"linkerd_namespace": "mesh"}))["metadata"]["labels"]
    assert labels["linkerd.io/control-plane-ns"] == "mesh"


def test_the_identity_issuer_is_the_seed_document_s_with_its_rotation_written():
    assert identity_issuer(P)["spec"] == {
        "secretName": "linkerd-identity-issuer",
        "duration": "48h",
        "renewBefore": "25h",
        "issuerRef": {"name": "ca-issuer", "kind": "ClusterIssuer", "group": "cert-manager.io"},
        "commonName": "identity.linkerd.cluster.local",
        "dnsNames": ["identity.linkerd.cluster.local"],
        "isCA": True,
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        "usages": ["cert sign", "crl sign", "server auth", "client auth"],
    }


def test_the_issuer_is_named_after_namespace_and_trust_domain():
    p = Params.parse({"linkerd_namespace": "mesh", "trust_domain": "pi.example"})
    issuer = identity_issuer(p)
    assert issuer["metadata"] == {"name": "linkerd-identity-issuer", "namespace": "mesh"}
    assert issuer["spec"]["commonName"] == "identity.mesh.pi.example"


def test_the_root_keeps_its_key_and_lives_for_years():
    self_signed, certificate, issuer = root_ca(P)
    assert self_signed["spec"] == {"selfSigned": {}}
    assert certificate["metadata"]["namespace"] == "cert-manager"
    assert certificate["spec"]["issuerRef"]["name"] == self_signed["metadata"]["name"]
    assert certificate["spec"]["privateKey"]["rotationPolicy"] == "Never"
    assert certificate["spec"]["duration"] == "87600h"
    assert certificate["spec"]["isCA"] is True
    assert issuer["metadata"]["name"] == "ca-issuer"
    assert issuer["spec"]["ca"]["secretName"] == certificate["spec"]["secretName"]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("stable-2.11", {}),
        ("stable-2.14", {"enableHttpRoutes": False}),
        ("edge-2.19", {"installGatewayAPI": False}),
        ("edge-2.20", {"installGatewayAPI": False}),
    ],
)
def test_the_crd_chart_is_told_about_the_gateway_api(line, values):
    assert crds_values(find(line), gateway_api=False) == values
    assert crds_values(find(line), gateway_api=True) == dict.fromkeys(values, True)


def test_2_11_gets_the_three_values_of_the_seed_and_its_namespace():
    assert control_plane_values(OLD, P, "PEM") == {
        "identityTrustAnchorsPEM": "PEM",
        "identity": {"issuer": {"scheme": "kubernetes.io/tls"}},
        "installNamespace": False,
        "namespace": "linkerd",
    }


def test_later_lines_get_two_values():
    for line in LINES[1:]:
        assert set(control_plane_values(line, P, "PEM")) == {"identityTrustAnchorsPEM", "identity"}


def test_another_trust_domain_is_passed_on():
    p = Params.parse({"trust_domain": "pi.example"})
    assert control_plane_values(NEW, p, "PEM")["identityTrustDomain"] == "pi.example"


def test_the_user_s_values_win_and_leave_the_rest():
    extra = {"identity": {"issuer": {"issuanceLifetime": "12h"}}, "proxy": {"cores": 1}}
    values = control_plane_values(NEW, P, "PEM", extra)
    assert values["identity"]["issuer"] == {
        "scheme": "kubernetes.io/tls",
        "issuanceLifetime": "12h",
    }
    assert values["proxy"] == {"cores": 1}
    assert extra["identity"] == {"issuer": {"issuanceLifetime": "12h"}}


def test_the_probe_pod_asks_for_injection():
    pod = probe_pod("probe", "default")
    assert pod["metadata"]["annotations"] == {"linkerd.io/inject": "enabled"}
