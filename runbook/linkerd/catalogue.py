"""Every line of ``linkerd check`` and what answers to it here.

The descriptions are those of Linkerd's ``pkg/healthcheck`` at edge-26.6.3 (2.20) and of the
categories that older lines had. Lines that nothing answers to yet say why.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BEYOND", "CATALOGUE", "Entry", "answering"]


@dataclass(frozen=True)
class Entry:
    """One line of ``linkerd check``.

    Attributes:
        category: Its heading there.
        description: The line itself.
        ids: Beginnings of the ids of our outcomes that look at the same thing.
        note: Where we look differently, or why nothing answers to it.
    """

    category: str
    description: str
    ids: tuple[str, ...] = ()
    note: str = ""


_CLI = "about the linkerd program, which the runbook does not use"
_DATA_PLANE = "about meshed workloads: it comes with the notebooks that mesh them"
_CNI = "the runbook installs linkerd-init, not the CNI plugin"
_SHORT = "judged by cert-manager's renewal time: an issuer of two days never has 60"


def _one(category: str, description: str, *ids: str, note: str = "") -> Entry:
    return Entry(category, description, ids, note)


CATALOGUE: tuple[Entry, ...] = (
    _one("kubernetes-api", "can initialize the client", note="open_step does, before any check"),
    _one("kubernetes-api", "can query the Kubernetes API", "api-answers"),
    _one("kubernetes-version", "is running the minimum Kubernetes API version", "server-version"),
    _one(
        "gateway-api-crd",
        "Gateway API CRDs are installed",
        "gateway-api",
        note="a warning, not an error: 2.19 and 2.20 run without them",
    ),
    _one(
        "pre-kubernetes-setup",
        "control plane namespace does not already exist",
        note="inverted: with cert-manager the namespace must exist before the chart "
        "(linkerd-namespace)",
    ),
    _one("pre-kubernetes-setup", "can create non-namespaced resources", "may-cluster-wide"),
    _one("pre-kubernetes-setup", "can create ServiceAccounts", "may-create-serviceaccounts"),
    _one("pre-kubernetes-setup", "can create Services", "may-create-services"),
    _one("pre-kubernetes-setup", "can create Deployments", "may-create-deployments"),
    _one("pre-kubernetes-setup", "can create CronJobs", "may-create-cronjobs"),
    _one("pre-kubernetes-setup", "can create ConfigMaps", "may-create-configmaps"),
    _one("pre-kubernetes-setup", "can create Secrets", "may-create-secrets"),
    _one("pre-kubernetes-setup", "can read Secrets", "may-read-secrets"),
    _one(
        "pre-kubernetes-setup",
        "can read extension-apiserver-authentication configmap",
        "api-authentication",
        note="a warning: only the tap API of viz needs it",
    ),
    _one(
        "pre-kubernetes-setup",
        "no clock skew detected",
        "clocks",
        note="compares each kubelet's Lease with the API server's clock, not with ours",
    ),
    _one("linkerd-crd", "control plane CustomResourceDefinitions exist", "linkerd-crds"),
    _one("linkerd-existence", "'linkerd-config' config map exists", "linkerd-config"),
    _one("linkerd-existence", "heartbeat ServiceAccount exist", "exist-heartbeat"),
    _one(
        "linkerd-existence",
        "control plane replica sets are ready",
        "control-plane-replica-sets",
    ),
    _one("linkerd-existence", "no unschedulable pods", "no-unschedulable-pods"),
    _one(
        "linkerd-existence",
        "control plane pods are ready",
        "ready-linkerd-",
        note="counts native sidecars, which linkerd check overlooks",
    ),
    _one(
        "linkerd-existence",
        "cluster networks contains all node podCIDRs",
        "cluster-networks-nodes",
    ),
    _one("linkerd-existence", "cluster networks contains all pods", "cluster-networks-pods"),
    _one(
        "linkerd-existence", "cluster networks contains all services", "cluster-networks-services"
    ),
    _one("linkerd-config", "control plane Namespace exists", "linkerd-namespace"),
    _one("linkerd-config", "control plane ClusterRoles exist", "exist-clusterroles"),
    _one("linkerd-config", "control plane ClusterRoleBindings exist", "exist-clusterrolebindings"),
    _one("linkerd-config", "control plane ServiceAccounts exist", "exist-serviceaccounts"),
    _one(
        "linkerd-config",
        "control plane MutatingWebhookConfigurations exist",
        "exist-mutatingwebhookconfigurations",
    ),
    _one(
        "linkerd-config",
        "control plane ValidatingWebhookConfigurations exist",
        "exist-validatingwebhookconfigurations",
        note="asks for the policy validator too",
    ),
    _one(
        "linkerd-config",
        "proxy-init container runs as root user if docker container runtime is used",
        "container-runtime",
    ),
    _one("linkerd-cni-plugin", "cni plugin ConfigMap exists", note=_CNI),
    _one("linkerd-cni-plugin", "cni plugin ClusterRole exists", note=_CNI),
    _one("linkerd-cni-plugin", "cni plugin ClusterRoleBinding exists", note=_CNI),
    _one("linkerd-cni-plugin", "cni plugin ServiceAccount exists", note=_CNI),
    _one("linkerd-cni-plugin", "cni plugin DaemonSet exists", note=_CNI),
    _one("linkerd-cni-plugin", "cni plugin pod is running on all nodes", note=_CNI),
    _one(
        "linkerd-identity",
        "certificate config is valid",
        "issuer-secret",
        "issuer-key",
        "trust-anchor",
    ),
    _one(
        "linkerd-identity",
        "trust anchors are using supported crypto algorithm",
        "anchor-algorithm",
    ),
    _one("linkerd-identity", "trust anchors are within their validity period", "anchor-validity"),
    _one(
        "linkerd-identity",
        "trust anchors are valid for at least 60 days",
        "anchor-lifetime",
        note="warns below a year: the anchor stays in Helm's values until the next upgrade",
    ),
    _one("linkerd-identity", "issuer cert is using supported crypto algorithm", "issuer-algorithm"),
    _one("linkerd-identity", "issuer cert is within its validity period", "issuer-validity"),
    _one(
        "linkerd-identity",
        "issuer cert is valid for at least 60 days",
        "issuer-renewal",
        note=_SHORT,
    ),
    _one("linkerd-identity", "issuer cert is issued by the trust anchor", "issuer-chain"),
    *(
        entry
        for name in ("proxy-injector", "sp-validator", "policy-validator")
        for entry in (
            _one(
                "linkerd-webhooks-and-apisvc-tls",
                f"{name} webhook has valid cert",
                f"webhook-{name}",
            ),
            _one(
                "linkerd-webhooks-and-apisvc-tls",
                f"{name} cert is valid for at least 60 days",
                f"webhook-{name}-lifetime",
            ),
        )
    ),
    _one(
        "linkerd-identity-data-plane",
        "data plane proxies certificate match CA",
        note=_DATA_PLANE,
    ),
    _one("linkerd-version", "can determine the latest version", note="needs the internet"),
    _one("linkerd-version", "cli is up-to-date", note=_CLI),
    _one(
        "control-plane-version",
        "can retrieve the control plane version",
        "linkerd-config",
        "control-plane-version",
    ),
    _one(
        "control-plane-version",
        "control plane is up-to-date",
        "control-plane-version",
        note="compared with the chosen line, not with the newest release",
    ),
    _one("control-plane-version", "control plane and cli versions match", note=_CLI),
    _one(
        "linkerd-control-plane-proxy",
        "control plane proxies are healthy",
        "control-plane-proxies",
    ),
    _one(
        "linkerd-control-plane-proxy",
        "control plane proxies are up-to-date",
        "control-plane-proxy-version",
    ),
    _one("linkerd-control-plane-proxy", "control plane proxies and cli versions match", note=_CLI),
    _one("linkerd-data-plane", "data plane namespace exists", note=_DATA_PLANE),
    _one("linkerd-data-plane", "data plane proxies are ready", note=_DATA_PLANE),
    _one("linkerd-data-plane", "data plane is up-to-date", note=_DATA_PLANE),
    _one("linkerd-data-plane", "data plane and cli versions match", note=_CLI),
    _one("linkerd-data-plane", "data plane pod labels are configured correctly", note=_DATA_PLANE),
    _one(
        "linkerd-data-plane",
        "data plane service labels are configured correctly",
        note=_DATA_PLANE,
    ),
    _one(
        "linkerd-data-plane",
        "data plane service annotations are configured correctly",
        note=_DATA_PLANE,
    ),
    _one("linkerd-data-plane", "opaque ports are properly annotated", note=_DATA_PLANE),
    _one(
        "linkerd-ha-checks",
        "multiple replicas of control plane pods",
        "control-plane-replicas",
    ),
    _one(
        "linkerd-extension-checks",
        "namespace configuration for extensions",
        "extension-namespaces",
    ),
)
"""The lines of ``linkerd check``, in its order. Those of its extensions, viz and jaeger, are in
:mod:`runbook.observability.catalogue`."""

BEYOND: tuple[str, ...] = (
    "issuer-ca-bit",
    "anchor-ca-bit",
    "trust-roots-configmap",
    "trust-roots-config",
    "trust-roots-helm",
    "injector",
    "node-architecture",
    "helm-",
)
"""Beginnings of the ids of checks that ``linkerd check`` does not make: the CA bit, the anchor in
every place that holds one, an injection that is really tried, 32-bit nodes, stuck releases."""


def answering(description: str) -> Entry | None:
    """Find the entry of a line of ``linkerd check``, ``None`` if there is no such line."""
    return next((entry for entry in CATALOGUE if entry.description == description), None)
