"""The objects and Helm values of the seed, as pure functions of the parameters.

Each function names the step of the seed document ("Linkerd Installation using Helm") it implements
and the errata it corrects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from runbook.params import Params, merge_values, seconds
from runbook.releases import Line

__all__ = [
    "ISSUER",
    "SELF_SIGNED",
    "control_plane_values",
    "crds_values",
    "extension_namespace",
    "identity_issuer",
    "injector_selector",
    "issuer_ref",
    "namespace",
    "private_key",
    "probe_pod",
    "root_ca",
    "scrape_timeout",
]

Object = dict[str, Any]

ISSUER = "linkerd-identity-issuer"
"""Name of the issuer's Certificate and Secret; Linkerd mounts the Secret by this name."""

SELF_SIGNED = "self-signed-issuer"
"""ClusterIssuer that signs the root with its own key."""


def namespace(line: Line, params: Params) -> Object:
    """Give the control plane's namespace (seed step 3).

    The labels are the seed's; from 2.13 on the Pod Security label that Linkerd's own tooling
    renders is added, because ``linkerd-init`` needs capabilities that ``baseline`` refuses.

    Erratum: since 2.12 Helm never creates this namespace, on no line that this runbook installs.
    """
    labels = {
        "config.linkerd.io/admission-webhooks": "disabled",
        "linkerd.io/control-plane-ns": params.linkerd_namespace,
        "linkerd.io/is-control-plane": "true",
    }
    if line.pod_security:
        labels["pod-security.kubernetes.io/enforce"] = "privileged"
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": params.linkerd_namespace,
            "annotations": {"linkerd.io/inject": "disabled"},
            "labels": labels,
        },
    }


def identity_issuer(params: Params) -> Object:
    """Give the Certificate of Linkerd's identity issuer (seed step 4).

    Erratum: the seed leaves ``rotationPolicy`` to cert-manager, whose default changed from
    ``Never`` to ``Always`` in 1.18; it is written here. ``size: 256`` makes Linkerd's P-256 rule
    visible.
    """
    name = f"identity.{params.linkerd_namespace}.{params.trust_domain}"
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": ISSUER, "namespace": params.linkerd_namespace},
        "spec": {
            "secretName": ISSUER,
            "duration": params.issuer_duration,
            "renewBefore": params.issuer_renew_before,
            "issuerRef": issuer_ref(params.cluster_issuer),
            "commonName": name,
            "dnsNames": [name],
            "isCA": True,
            "privateKey": private_key("Always"),
            "usages": ["cert sign", "crl sign", "server auth", "client auth"],
        },
    }


def root_ca(params: Params) -> list[Object]:
    """Give the root CA and the ClusterIssuer that signs with it (seed: prerequisites).

    Three objects: a self-signed ClusterIssuer, the root Certificate in cert-manager's own
    namespace (where a ClusterIssuer reads its Secret) and the CA ClusterIssuer.

    Errata: the seed's sample root lived 90 days, cert-manager's default, while it was frozen into
    Helm values; this one lives ``ca_duration``. Its ``rotationPolicy`` is ``Never``, so that a
    renewed root keeps its key and the anchor Helm was given still verifies what it signs.
    """
    return [
        _cluster_issuer(SELF_SIGNED, {"selfSigned": {}}),
        {
            "apiVersion": "cert-manager.io/v1",
            "kind": "Certificate",
            "metadata": {"name": params.ca_secret, "namespace": params.cert_manager_namespace},
            "spec": {
                "isCA": True,
                "commonName": params.ca_common_name,
                "secretName": params.ca_secret,
                "duration": params.ca_duration,
                "privateKey": private_key("Never"),
                "issuerRef": issuer_ref(SELF_SIGNED),
            },
        },
        _cluster_issuer(params.cluster_issuer, {"ca": {"secretName": params.ca_secret}}),
    ]


def crds_values(line: Line, *, gateway_api: bool) -> Object:
    """Give the Helm values of ``linkerd-crds`` (lines from 2.12 on).

    Args:
        line: The release line.
        gateway_api: Whether to install Linkerd's own copy of the Gateway API CRDs. They belong to
            whoever installed them first; K3s and its Traefik bring them from 1.34 on.
    """
    return {line.gateway_value: gateway_api} if line.gateway_value else {}


def control_plane_values(
    line: Line,
    params: Params,
    anchors: str,
    extra: Mapping[str, Any] | None = None,
    monitor_labels: Mapping[str, str] | None = None,
) -> Object:
    """Give the Helm values of the control plane (seed step 4, "Install Linkerd").

    Errata: ``installNamespace`` exists on 2.11 only, where ``namespace`` must be given as well
    because ``-n`` alone places nothing but the Helm release; later charts use the release's own.

    Args:
        line: The release line.
        params: The parameters.
        anchors: PEM text of the trust anchors.
        extra: The user's own values, references resolved; they win over these.
        monitor_labels: Labels of the PodMonitors that the chart shall make; ``None`` for none.
    """
    values: Object = {
        "identityTrustAnchorsPEM": anchors,
        "identity": {"issuer": {"scheme": "kubernetes.io/tls"}},
    }
    if line.install_namespace:
        values |= {"installNamespace": False, "namespace": params.linkerd_namespace}
    if params.trust_domain != "cluster.local":
        values["identityTrustDomain"] = params.trust_domain
    if params.inject_kube_system and line.injector_skips:
        values["proxyInjector"] = {"namespaceSelector": injector_selector()}
    if monitor_labels is not None:
        values["podMonitor"] = {
            "enabled": True,
            "scrapeInterval": params.scrape_interval,
            "scrapeTimeout": scrape_timeout(params.scrape_interval),
            "labels": dict(monitor_labels),
        }
    return merge_values(values, extra or {})


def injector_selector() -> Object:
    """Give the selector of an injector that looks at kube-system (charts from 2.12 on do not).

    Helm replaces lists as a whole, so what is to stay is said again: cert-manager stays out, since
    it must be able to start before the injector.
    """
    return {
        "matchExpressions": [
            {
                "key": "config.linkerd.io/admission-webhooks",
                "operator": "NotIn",
                "values": ["disabled"],
            },
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["cert-manager"]},
        ]
    }


def scrape_timeout(interval: str) -> str:
    """Give the scrape timeout: the seed's 10 s, or the interval, which it may not exceed.

    >>> scrape_timeout("5s"), scrape_timeout("30s")
    ('5s', '10s')
    """
    return min(("10s", interval), key=seconds)


def probe_pod(name: str, namespace_: str) -> Object:
    """Give a pod that asks for injection, for a dry run that shows whether the injector works."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace_,
            "annotations": {"linkerd.io/inject": "enabled"},
        },
        "spec": {"containers": [{"name": "probe", "image": "pause:3.10"}]},
    }


def issuer_ref(name: str) -> Object:
    """Refer to a ClusterIssuer from a Certificate."""
    return {"name": name, "kind": "ClusterIssuer", "group": "cert-manager.io"}


def private_key(rotation: Literal["Always", "Never"]) -> Object:
    """Give the key of a Certificate: P-256, new at each renewal or kept."""
    return {"algorithm": "ECDSA", "size": 256, "rotationPolicy": rotation}


def extension_namespace(
    line: Line, name: str, extension: str, annotations: Mapping[str, str]
) -> Object:
    """Give the namespace of one of Linkerd's extensions.

    Args:
        line: From 2.13 on a Pod Security label lets ``linkerd-init`` set up a pod's network.
        name: Of the namespace.
        extension: ``viz`` or ``jaeger``.
        annotations: Of the namespace.
    """
    labels = {"linkerd.io/extension": extension}
    if line.pod_security:
        labels["pod-security.kubernetes.io/enforce"] = "privileged"
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels, "annotations": dict(annotations)},
    }


def _cluster_issuer(name: str, spec: Object) -> Object:
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "ClusterIssuer",
        "metadata": {"name": name},
        "spec": spec,
    }
