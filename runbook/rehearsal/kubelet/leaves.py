"""Certificates of proxies, signed with the identity issuer of the cluster.

As Linkerd's identity controller does: ECDSA P-256, 24 hours, the identity as the only DNS name.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from runbook.rehearsal.client import Object

__all__ = ["Leaf", "control_namespace", "due", "issue"]

_LIFE = timedelta(hours=24)
_SKEW = timedelta(seconds=20)
_RENEW = 0.7
"""Share of its life after which a proxy asks for its next certificate."""
_PAIRS = (("tls.crt", "tls.key"), ("crt.pem", "key.pem"))


@dataclass(frozen=True)
class Leaf:
    """A certificate and what belongs to it.

    Args:
        files: By name, as a relay reads them.
        issued: When it was.
        expires: When it does.
    """

    files: dict[str, bytes]
    issued: datetime
    expires: datetime


def control_namespace(name: str) -> str:
    """Give the namespace of the control plane that is named in an identity; empty if none is."""
    rest = name.partition(".serviceaccount.identity.")[2]
    return rest.partition(".")[0]


def issue(name: str, anchors: str, issuer: Object) -> Leaf | None:
    """Sign a certificate for a proxy.

    Args:
        name: Its identity.
        anchors: Trust anchors it is told to trust, PEM.
        issuer: The Secret with the issuer's certificate and key.

    Returns:
        The certificate; None when the Secret holds no credentials.
    """
    data = {key: b64decode(value) for key, value in (issuer.get("data") or {}).items()}
    names = next((pair for pair in _PAIRS if set(pair) <= set(data)), None)
    if names is None:
        return None
    chain = x509.load_pem_x509_certificates(data[names[0]])
    signer = serialization.load_pem_private_key(data[names[1]], None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        return None  # Linkerd takes no others
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    expires = min(now + _LIFE, chain[0].not_valid_after_utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(chain[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(expires)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files = {
        "expires": str(int(expires.timestamp())).encode(),
        "roots.crt": anchors.encode(),
        "tls.key": private,
        "tls.crt": certificate.public_bytes(pem) + b"".join(c.public_bytes(pem) for c in chain),
    }
    return Leaf(files, now, expires)


def due(leaf: Leaf) -> float:
    """Give the seconds until a certificate is to be renewed; negative when that is past."""
    life = leaf.expires - leaf.issued
    return (leaf.issued + life * _RENEW - datetime.now(UTC)).total_seconds()
