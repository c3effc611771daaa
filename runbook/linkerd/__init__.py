"""Linkerd's own checks, and what installs it.

Every check only reads; a dry run is the most it does. :mod:`runbook.linkerd.catalogue` says which
line of ``linkerd check`` each one answers to, and which lines are not covered.
"""

from __future__ import annotations

from runbook.linkerd.cert_manager import (
    cert_manager_crds,
    cert_manager_running,
    cluster_issuer,
    root_certificate,
    root_unclaimed,
)
from runbook.linkerd.control_plane import (
    control_plane_objects,
    control_plane_pods,
    control_plane_versions,
    extensions,
    linkerd_config,
    replicas,
)
from runbook.linkerd.crds import linkerd_crds
from runbook.linkerd.gateway import gateway_api
from runbook.linkerd.identity import (
    TrustAnchor,
    issuer_certificate,
    issuer_chain,
    issuer_secret,
    read_trust_anchor,
)
from runbook.linkerd.install import charts, control_plane_release, crds_release, root_ca
from runbook.linkerd.installed import existing_install, helm_releases
from runbook.linkerd.namespaces import linkerd_namespace
from runbook.linkerd.networks import cluster_networks
from runbook.linkerd.nodes import (
    api_answers,
    api_authentication,
    clocks,
    container_runtime,
    kernels,
    node_architecture,
    node_resources,
    nodes_ready,
    server_version,
)
from runbook.linkerd.permissions import permissions
from runbook.linkerd.trust import injector, trust_anchor, trust_roots, webhooks

__all__ = [
    "TrustAnchor",
    "api_answers",
    "api_authentication",
    "cert_manager_crds",
    "cert_manager_running",
    "charts",
    "clocks",
    "cluster_issuer",
    "cluster_networks",
    "container_runtime",
    "control_plane_objects",
    "control_plane_pods",
    "control_plane_release",
    "control_plane_versions",
    "crds_release",
    "existing_install",
    "extensions",
    "gateway_api",
    "helm_releases",
    "injector",
    "issuer_certificate",
    "issuer_chain",
    "issuer_secret",
    "kernels",
    "linkerd_config",
    "linkerd_crds",
    "linkerd_namespace",
    "node_architecture",
    "node_resources",
    "nodes_ready",
    "permissions",
    "read_trust_anchor",
    "replicas",
    "root_ca",
    "root_certificate",
    "root_unclaimed",
    "server_version",
    "trust_anchor",
    "trust_roots",
    "webhooks",
]
