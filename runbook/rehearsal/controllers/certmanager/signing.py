"""CertificateRequests: approved, then signed by their issuer."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping

from cryptography.hazmat.primitives.serialization import Encoding

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.certmanager import x509
from runbook.rehearsal.controllers.certmanager.issuers import NoKeyPairError, key_pair
from runbook.rehearsal.controllers.certmanager.kinds import (
    CLUSTER_ISSUERS,
    ISSUERS,
    REQUESTS,
    decoded,
    running,
    stated,
)
from runbook.rehearsal.controllers.manager import Cluster, Key

__all__ = ["Requests"]

_SOURCE = "cert-manager-certificaterequests-issuer-ca"
_PRIVATE_KEY = "cert-manager.io/private-key-secret-name"
_APPROVED = "Certificate request has been approved by cert-manager.io"
_ISSUED = "Certificate fetched from issuer successfully"


class Requests:
    """Approve and sign CertificateRequests."""

    name = "cert-manager-requests"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster.acting_as("cert-manager-certificaterequests")

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Look at requests when they or their issuers change."""
        return {
            REQUESTS: lambda obj: [kinds.key(obj)],
            ISSUERS: self._of_issuer,
            CLUSTER_ISSUERS: self._of_issuer,
        }

    def reconcile(self, key: Key) -> float | None:
        """Take one request a step further."""
        namespace, name = key
        request = self._cluster.cache.get(REQUESTS, name, namespace)
        if request is None or kinds.deleted(request) or not running(self._cluster.cache):
            return None
        ready = kinds.condition(request, "Ready") or {}
        if ready.get("reason") in ("Issued", "Failed", "Denied"):
            return None
        conditions = stated(request, "Approved", True, "cert-manager.io", _APPROVED)
        request = {**request, "status": {**(request.get("status") or {}), "conditions": conditions}}
        try:
            certificate, authority = self._sign(request)
        except NoKeyPairError as error:
            conditions = stated(request, "Ready", False, "Pending", str(error))
            self._write(request, {"conditions": conditions})
            return None
        conditions = stated(request, "Ready", True, "Issued", _ISSUED)
        status = {
            "conditions": conditions,
            "certificate": b64encode(certificate).decode(),
            "ca": b64encode(authority).decode(),
        }
        self._write(request, status)
        self._cluster.record.normal(REQUESTS, request, _SOURCE, "CertificateIssued", _ISSUED)
        return None

    def _sign(self, request: Object) -> tuple[bytes, bytes]:
        """Give the certificate, with what lies between it and its root, and the root."""
        issuer = self._issuer(request)
        spec = request["spec"]
        csr = b64decode(spec["request"])
        if "selfSigned" in issuer["spec"]:
            namespace = request["metadata"]["namespace"]
            name = (request["metadata"].get("annotations") or {}).get(_PRIVATE_KEY, "")
            secret = self._cluster.cache.get(kinds.SECRETS, name, namespace)
            if secret is None:
                raise NoKeyPairError(
                    "", f'Referenced secret {namespace}/{name} not found: secret "{name}" not found'
                )
            own = x509.load_key(decoded(secret, "tls.key"))
            certificate = x509.sign(spec, csr, None, own)
            return certificate, certificate
        authority = key_pair(self._cluster, issuer)
        certificate = x509.sign(spec, csr, authority, None)
        # The root itself is not part of the chain a server sends.
        between = b"".join(
            link.public_bytes(Encoding.PEM)
            for link in authority.chain
            if link.subject != link.issuer
        )
        return certificate + between, authority.chain[-1].public_bytes(Encoding.PEM)

    def _issuer(self, request: Object) -> Object:
        reference = request["spec"]["issuerRef"]
        kind, name = reference.get("kind") or "Issuer", reference["name"]
        namespace = request["metadata"]["namespace"] if kind == "Issuer" else ""
        resource = ISSUERS if kind == "Issuer" else CLUSTER_ISSUERS
        issuer = self._cluster.cache.get(resource, name, namespace)
        if issuer is None:
            text = (
                f'Referenced "{kind}" not found: {kind.lower()}.cert-manager.io "{name}" not found'
            )
            raise NoKeyPairError("", text)
        if not kinds.holds(issuer, "Ready"):
            raise NoKeyPairError("", "Referenced issuer does not have a Ready status condition")
        return issuer

    def _write(self, request: Object, status: Object) -> None:
        live = self._cluster.cache.get(REQUESTS, *reversed(kinds.key(request)))
        if live is not None:
            self._cluster.set_status(REQUESTS, live, {**(live.get("status") or {}), **status})

    def _of_issuer(self, issuer: Object) -> Iterable[Key]:
        name = issuer["metadata"]["name"]
        for request in self._cluster.cache.all(REQUESTS):
            if request["spec"]["issuerRef"]["name"] == name:
                yield kinds.key(request)
