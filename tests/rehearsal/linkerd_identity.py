"""A trust anchor and an issuer Secret as cert-manager would leave them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Identity:
    """What the control plane needs.

    Attributes:
        anchors: PEM of the trust anchor.
        issuer: The Secret ``linkerd-identity-issuer``.
    """

    anchors: str
    issuer: dict[str, Any]


def make_identity() -> Identity:
    """Make a root, and an issuer it signed."""
    root_key, issuer_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate("root.linkerd.cluster.local", root_key, None, root_key)
    issuer = _certificate("identity.linkerd.cluster.local", issuer_key, root, root_key)
    private = issuer_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "linkerd-identity-issuer", "namespace": "linkerd"},
        "type": "kubernetes.io/tls",
        "stringData": {
            "ca.crt": _pem(root),
            "tls.crt": _pem(issuer),
            "tls.key": private.decode(),
        },
    }
    return Identity(_pem(root), secret)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    signer: x509.Certificate | None,
    signing_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signer_key = signing_key.public_key()
    usage = dict.fromkeys(
        (
            *("digital_signature", "content_commitment", "key_encipherment"),
            *("data_encipherment", "key_agreement", "encipher_only", "decipher_only"),
        ),
        False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=2 if signer else 3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer_key), critical=False
        )
        .sign(signing_key, hashes.SHA256())
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
