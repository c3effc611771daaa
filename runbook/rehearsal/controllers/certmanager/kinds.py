"""cert-manager's resources, annotations and conditions."""

from __future__ import annotations

from base64 import b64decode

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.cache import Cache

__all__ = ["CERTIFICATES", "CLUSTER_ISSUERS", "ISSUERS", "REQUESTS", "decoded", "running", "stated"]

_GROUP = "cert-manager.io"
CERTIFICATES = Resource(_GROUP, "v1", "certificates", "Certificate")
REQUESTS = Resource(_GROUP, "v1", "certificaterequests", "CertificateRequest")
ISSUERS = Resource(_GROUP, "v1", "issuers", "Issuer")
CLUSTER_ISSUERS = Resource(_GROUP, "v1", "clusterissuers", "ClusterIssuer", namespaced=False)

NAMESPACE = "cert-manager"
"""Cluster-resource namespace: where a ClusterIssuer looks for its Secret."""


def running(cache: Cache) -> bool:
    """Tell whether cert-manager is there to act: its Deployment has an available replica."""
    found = cache.get(kinds.DEPLOYMENTS, "cert-manager", NAMESPACE)
    # A Deployment of no replicas is Available: the replicas themselves count.
    return bool(((found or {}).get("status") or {}).get("availableReplicas"))


def decoded(secret: Object | None, name: str) -> bytes:
    """Give one entry of a Secret; empty when it is not there."""
    if secret is None:
        return b""
    return b64decode((secret.get("data") or {}).get(name) or "")


def stated(obj: Object, kind: str, status: bool, reason: str, message: str) -> list[Object]:
    """Give the conditions of an object with one set, as cert-manager writes it."""
    entry: Object = {"type": kind, "status": str(status), "reason": reason, "message": message}
    if obj["metadata"].get("generation"):
        entry["observedGeneration"] = obj["metadata"]["generation"]
    return kinds.with_condition((obj.get("status") or {}).get("conditions"), entry)
