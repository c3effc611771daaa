"""Issuers and ClusterIssuers: may they sign, and if not, why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from cryptography import x509

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.certmanager.kinds import (
    CLUSTER_ISSUERS,
    ISSUERS,
    NAMESPACE,
    decoded,
    running,
    stated,
)
from runbook.rehearsal.controllers.certmanager.x509 import KeyPair, load_key
from runbook.rehearsal.controllers.manager import Cluster, Key

__all__ = ["Issuers", "NoKeyPairError", "key_pair"]

_KINDS = ("ca", "selfSigned", "acme", "vault", "venafi")


class NoKeyPairError(Exception):
    """A CA issuer's Secret cannot be used; the text is cert-manager's.

    Args:
        reason: Reason of the condition.
        message: Message of the condition.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Issuers:
    """Keep the Ready condition of issuers."""

    name = "cert-manager-issuers"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster.acting_as("cert-manager-issuers")

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Look at issuers when they or the Secrets they sign with change."""
        return {
            ISSUERS: lambda obj: [kinds.key(obj)],
            CLUSTER_ISSUERS: lambda obj: [kinds.key(obj)],
            kinds.SECRETS: self._of_secret,
            kinds.DEPLOYMENTS: self._of_deployment,
        }

    def reconcile(self, key: Key) -> float | None:
        """Check one issuer."""
        namespace, name = key
        resource = ISSUERS if namespace else CLUSTER_ISSUERS
        issuer = self._cluster.cache.get(resource, name, namespace)
        if issuer is None or kinds.deleted(issuer) or not running(self._cluster.cache):
            return None
        record = self._cluster.record
        source = "cert-manager-clusterissuers" if not namespace else "cert-manager-issuers"
        try:
            reason, message = self._check(issuer)
            conditions = stated(issuer, "Ready", True, reason, message)
            if message and not kinds.holds(issuer, "Ready"):
                record.normal(resource, issuer, source, reason, message)
        except NoKeyPairError as error:
            conditions = stated(issuer, "Ready", False, error.reason, str(error))
            before = kinds.condition(issuer, "Ready") or {}
            if before.get("message") != str(error):
                record.warning(resource, issuer, source, error.reason, str(error))
        status = {**(issuer.get("status") or {}), "conditions": conditions}
        self._cluster.set_status(resource, issuer, status)
        return None

    def _check(self, issuer: Object) -> tuple[str, str]:
        spec = issuer["spec"]
        if "ca" in spec:
            key_pair(self._cluster, issuer)
            return "KeyPairVerified", "Signing CA verified"
        if "selfSigned" in spec:
            return "IsReady", ""
        found = next((kind for kind in _KINDS if kind in spec), "none")
        raise NoKeyPairError(
            "ErrInitIssuer", f"the rehearsal cluster has no issuer of type {found}"
        )

    def _of_secret(self, secret: Object) -> Iterable[Key]:
        namespace, name = kinds.key(secret)
        places = [(ISSUERS, namespace)]
        if namespace == NAMESPACE:
            places.append((CLUSTER_ISSUERS, ""))
        for resource, space in places:
            for issuer in self._cluster.cache.all(resource, space):
                if (issuer["spec"].get("ca") or {}).get("secretName") == name:
                    yield kinds.key(issuer)

    def _of_deployment(self, deployment: Object) -> Iterable[Key]:
        if kinds.key(deployment) == (NAMESPACE, "cert-manager"):
            for resource in (ISSUERS, CLUSTER_ISSUERS):
                yield from map(kinds.key, self._cluster.cache.all(resource))


def key_pair(cluster: Cluster, issuer: Object) -> KeyPair:
    """Read the key pair a CA issuer signs with.

    Raises:
        NoKeyPairError: It is missing or unfit.
    """
    name = issuer["spec"]["ca"]["secretName"]
    namespace = issuer["metadata"].get("namespace") or NAMESPACE
    start = "Error getting keypair for CA issuer: "
    secret = cluster.cache.get(kinds.SECRETS, name, namespace)
    if secret is None:
        raise NoKeyPairError("ErrGetKeyPair", f'{start}secret "{name}" not found')
    parts = {}
    for entry in ("tls.crt", "tls.key"):
        parts[entry] = decoded(secret, entry)
        if not parts[entry]:
            text = f"no data for \"{entry}\" in secret '{namespace}/{name}'"
            raise NoKeyPairError("ErrGetKeyPair", start + text)
    try:
        chain = x509.load_pem_x509_certificates(parts["tls.crt"])
        key = load_key(parts["tls.key"])
    except ValueError as error:
        raise NoKeyPairError("ErrInvalidKeyPair", f"Invalid signing key pair: {error}") from error
    if key.public_key() != chain[0].public_key():
        text = "Invalid signing key pair: tls: private key does not match public key"
        raise NoKeyPairError("ErrInvalidKeyPair", text)
    if not _is_ca(chain[0]):
        raise NoKeyPairError(
            "ErrInvalidKeyPair", "Invalid signing key pair: certificate is not a CA"
        )
    return KeyPair(chain, key)


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return False
    return found.value.ca
