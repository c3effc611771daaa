"""Linkerd's own checks, and what installs it.

Each group is what one cell of a notebook checks. Every check only reads; a dry run is the most it
does. :mod:`runbook.linkerd.catalogue` says which line of ``linkerd check`` each one answers to,
and which lines are not covered.
"""

from __future__ import annotations

from runbook.checks import Check
from runbook.linkerd import (
    cert_manager,
    control_plane,
    crds,
    gateway,
    identity,
    install,
    installed,
    namespaces,
    networks,
    nodes,
    permissions,
    trust,
)
from runbook.linkerd.identity import TrustAnchor, read_trust_anchor
from runbook.linkerd.install import control_plane_release, crds_releases

__all__ = [
    "ANCHOR",
    "ANCHOR_BEFORE",
    "CERT_MANAGER",
    "CLUSTER",
    "CONTROL_PLANE",
    "CONTROL_PLANE_BEFORE",
    "CRDS",
    "CRDS_BEFORE",
    "IDENTITY",
    "INSTALLED",
    "ISSUER",
    "ISSUER_BEFORE",
    "NAMESPACE",
    "NAMESPACE_BEFORE",
    "READY",
    "ROOT_CA",
    "WEBHOOKS",
    "TrustAnchor",
    "control_plane_release",
    "crds_releases",
    "read_trust_anchor",
]

Group = tuple[Check, ...]

CLUSTER: Group = (
    nodes.api_answers,
    nodes.server_version,
    nodes.nodes_ready,
    nodes.node_architecture,
    nodes.container_runtime,
    nodes.node_resources,
    nodes.clocks,
    nodes.kernels,
    networks.cluster_networks,
)
"""00: can this cluster run Linkerd?"""

READY: Group = (
    cert_manager.cert_manager_crds,
    cert_manager.cert_manager_running,
    gateway.gateway_api,
    installed.existing_install,
    installed.helm_releases,
    permissions.permissions,
    nodes.api_authentication,
)
"""00: is everything there that must be, and nothing that is in the way?"""

CERT_MANAGER: Group = (
    cert_manager.cert_manager_crds,
    cert_manager.cert_manager_running,
    cert_manager.root_unclaimed,
)
"""10, before: cert-manager works, and creating a root CA would replace none."""

ROOT_CA: Group = (cert_manager.cluster_issuer, cert_manager.root_certificate)
"""10, after: there is a root CA and an issuer that signs with it."""

NAMESPACE_BEFORE: Group = (installed.existing_install,)
"""11, before: nothing else lives in the namespace."""

NAMESPACE: Group = (namespaces.linkerd_namespace,)
"""11, after: it has the labels and annotations of the line."""

ISSUER_BEFORE: Group = (
    namespaces.linkerd_namespace,
    cert_manager.cert_manager_running,
    cert_manager.cluster_issuer,
)
"""12, before: the Certificate would not wait for ever."""

ISSUER: Group = (identity.issuer_certificate, identity.issuer_secret, identity.issuer_chain)
"""12, after: the issuer certificate is what Linkerd needs."""

ANCHOR_BEFORE: Group = (identity.anchor_shown,)
"""13: what Helm will be given."""

ANCHOR: Group = (identity.issuer_chain, trust.trust_anchor)
"""13: it signs the issuer, lives long enough, and is trusted by what is installed."""

CRDS_BEFORE: Group = (namespaces.linkerd_namespace, install.charts, gateway.gateway_api)
"""14, before: the charts are to be had, and the Gateway API has one owner."""

CRDS: Group = (crds.linkerd_crds, gateway.gateway_api)
"""14, after: every kind of the line is established."""

CONTROL_PLANE_BEFORE: Group = (
    identity.issuer_secret,
    identity.issuer_chain,
    crds.linkerd_crds,
    installed.helm_releases,
)
"""15, before: identity, anchor and kinds are there, and no release is stuck."""

CONTROL_PLANE: Group = (control_plane.control_plane_pods,)
"""15, after: it runs."""

INSTALLED: Group = (
    control_plane.control_plane_objects,
    control_plane.control_plane_pods,
    control_plane.control_plane_versions,
    control_plane.replicas,
    control_plane.extensions,
    crds.linkerd_crds,
    networks.cluster_networks,
)
"""16: everything the chart creates is there and runs."""

IDENTITY: Group = (
    control_plane.linkerd_config,
    trust.trust_roots,
    identity.issuer_certificate,
    identity.issuer_secret,
    identity.issuer_chain,
    trust.trust_anchor,
)
"""16: everybody trusts the same anchor, and it signs the issuer in use."""

WEBHOOKS: Group = (trust.webhooks, trust.injector)
"""16: the webhooks are trusted, and the injector injects."""
