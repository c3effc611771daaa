"""X.509 facts from PEM text.

Certificates are always compared by fingerprint: the same certificate can be written as PEM in many
ways (line ends, spaces, comments). Private keys are used for one question only, whether a key
belongs to a certificate, and are never kept, shown or returned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from runbook.errors import CertificateError

if TYPE_CHECKING:
    from cryptography import x509

__all__ = [
    "Certificate",
    "chain",
    "key_matches",
    "lifetime",
    "moment",
    "parse_bundle",
    "pem",
    "same",
    "span",
]

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_LONGEST_CHAIN = 5
Extension = TypeVar("Extension", bound="x509.ExtensionType")


@dataclass(frozen=True)
class Certificate:
    """What a certificate says. The DER bytes are kept for signatures, not shown.

    Attributes:
        fingerprint: SHA-256 of the DER form, upper-case hexadecimal.
        key: Public key, such as ``ECDSA P-256`` or ``RSA 2048``.
        signature: Signature algorithm, such as ``ECDSA-SHA256``.
        is_ca: CA bit of the basic constraints.
        path_length: How many CAs may follow; ``None`` means any number.
        usages: Key usages in cert-manager's words; empty when the extension is absent.
        extended: Extended key usages in cert-manager's words; empty when absent.
        ski: Subject key identifier, hexadecimal, empty when absent.
        aki: Authority key identifier, hexadecimal, empty when absent.
    """

    subject: str
    issuer: str
    common_name: str
    serial: str
    fingerprint: str
    not_before: datetime
    not_after: datetime
    key: str
    signature: str
    is_ca: bool
    path_length: int | None
    usages: tuple[str, ...]
    extended: tuple[str, ...]
    dns_names: tuple[str, ...]
    ski: str
    aki: str
    der: bytes = field(repr=False, compare=False)

    @property
    def short(self) -> str:
        """Give the first eight bytes of the fingerprint, enough to tell certificates apart."""
        return ":".join(self.fingerprint[i : i + 2] for i in range(0, 16, 2))

    def describe(self) -> str:
        """Give one line for a table."""
        return (
            f"{self.subject}, {self.key}, {moment(self.not_before)} to {moment(self.not_after)}, "
            f"SHA-256 {self.short}..."
        )


def parse_bundle(text: str, *, source: str = "the PEM text") -> tuple[Certificate, ...]:
    """Read every certificate of a PEM text, in order; text between the blocks is ignored.

    Args:
        text: PEM text.
        source: What to call it in messages, such as ``ca.crt of Secret linkerd/x``.

    Raises:
        CertificateError: There is no certificate in it, or one cannot be read. The message never
            repeats the text.
    """
    from cryptography import x509  # noqa: PLC0415  only needed once a certificate is read

    blocks = _BLOCK.findall(text)
    if not blocks:
        raise CertificateError(
            f"{source} holds no certificate",
            why="it is empty" if not text.strip() else "there is no PEM block CERTIFICATE in it",
        )
    try:
        return tuple(_facts(x509.load_pem_x509_certificate(block.encode())) for block in blocks)
    except ValueError as error:
        raise CertificateError(
            f"{source} holds a certificate that cannot be read: {error}"
        ) from None


def pem(certificates: Iterable[Certificate]) -> str:
    """Write certificates as PEM, in one canonical form without a final newline."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    texts = (
        x509.load_der_x509_certificate(one.der).public_bytes(Encoding.PEM).decode().strip()
        for one in certificates
    )
    return "\n".join(texts)


def same(one: Iterable[Certificate], other: Iterable[Certificate]) -> bool:
    """Tell whether two bundles hold the same certificates, in any order."""
    return {c.fingerprint for c in one} == {c.fingerprint for c in other}


def key_matches(certificate: Certificate, key: str) -> bool:
    """Tell whether a PEM private key belongs to a certificate; a key that cannot be read does not.

    The key is not kept.
    """
    from cryptography import x509  # noqa: PLC0415
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        private = load_pem_private_key(key.encode(), password=None)
        public = x509.load_der_x509_certificate(certificate.der).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return private.public_key().public_bytes(*spki) == public.public_bytes(*spki)


def chain(
    leaf: Certificate, anchors: Sequence[Certificate], between: Sequence[Certificate] = ()
) -> tuple[Certificate, ...]:
    """Find the signatures that lead from a certificate to an anchor.

    Args:
        leaf: The certificate to trust.
        anchors: The trust anchors.
        between: Intermediate certificates, as found after the leaf in ``tls.crt``.

    Returns:
        The certificates from leaf to anchor, empty when there is no such chain. CA bits, path
        lengths and key usages count (a CA as leaf will sign others, so it counts as one more);
        validity in time is not looked at.
    """
    paths: list[tuple[Certificate, ...]] = [(leaf,)]
    while paths:
        path = paths.pop(0)
        last = path[-1]
        if any(last.fingerprint == anchor.fingerprint for anchor in anchors):
            return path
        if len(path) == _LONGEST_CHAIN:
            continue
        paths += [
            (*path, parent)
            for parent in (*anchors, *between)
            if parent.fingerprint not in {c.fingerprint for c in path}
            and _may_sign(parent, below=len(path) - 1 + leaf.is_ca)
            and _signs(parent, last)
        ]
    return ()


def moment(when: datetime) -> str:
    """Write a time to the minute, in UTC."""
    return when.strftime("%Y-%m-%d %H:%M UTC")


def lifetime(certificate: Certificate) -> timedelta:
    """Give the whole length of a certificate's validity."""
    return certificate.not_after - certificate.not_before


def span(length: timedelta) -> str:
    """Write a span of time in the unit that suits it.

    >>> span(timedelta(seconds=20)), span(timedelta(hours=23)), span(timedelta(days=89))
    ('20 s', '23 h', '89 days')
    """
    hours = length.total_seconds() / 3600
    if abs(length) < timedelta(minutes=2):
        return f"{length.total_seconds():.0f} s"
    if abs(hours) < 1:
        return f"{length.total_seconds() / 60:.0f} min"
    return f"{hours:.0f} h" if abs(hours) < 72 else f"{length.days} days"


def _may_sign(parent: Certificate, *, below: int) -> bool:
    """Tell whether a certificate may have ``below`` CAs under it."""
    room = parent.path_length is None or parent.path_length >= below
    return parent.is_ca and room and (not parent.usages or "cert sign" in parent.usages)


def _signs(parent: Certificate, child: Certificate) -> bool:
    from cryptography import x509  # noqa: PLC0415
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415

    below = x509.load_der_x509_certificate(child.der)
    try:
        below.verify_directly_issued_by(x509.load_der_x509_certificate(parent.der))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _facts(cert: x509.Certificate) -> Certificate:
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    constraints = _extension(cert, x509.BasicConstraints)
    names = _extension(cert, x509.SubjectAlternativeName)
    own = _extension(cert, x509.SubjectKeyIdentifier)
    authority = _extension(cert, x509.AuthorityKeyIdentifier)
    common = cert.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return Certificate(
        subject=cert.subject.rfc4514_string(),
        issuer=cert.issuer.rfc4514_string(),
        common_name=str(common[0].value) if common else "",
        serial=f"{cert.serial_number:x}",
        fingerprint=cert.fingerprint(SHA256()).hex().upper(),
        not_before=cert.not_valid_before_utc,
        not_after=cert.not_valid_after_utc,
        key=_key(cert),
        signature=_signature(cert),
        is_ca=bool(constraints and constraints.ca),
        path_length=constraints.path_length if constraints else None,
        usages=_usages(_extension(cert, x509.KeyUsage)),
        extended=_extended(_extension(cert, x509.ExtendedKeyUsage)),
        dns_names=tuple(names.get_values_for_type(x509.DNSName)) if names else (),
        ski=own.digest.hex() if own else "",
        aki=(authority.key_identifier or b"").hex() if authority else "",
        der=cert.public_bytes(Encoding.DER),
    )


def _extension(cert: x509.Certificate, kind: type[Extension]) -> Extension | None:
    from cryptography.x509 import ExtensionNotFound  # noqa: PLC0415

    try:
        return cert.extensions.get_extension_for_class(kind).value
    except ExtensionNotFound:
        return None


def _key(cert: x509.Certificate) -> str:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: PLC0415

    try:
        key = cert.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "unknown"
    if isinstance(key, ec.EllipticCurvePublicKey):
        curves = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
        return f"ECDSA {curves.get(key.curve.name, key.curve.name)}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return type(key).__name__.strip("_").removesuffix("PublicKey")


def _signature(cert: x509.Certificate) -> str:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415

    oid = cert.signature_algorithm_oid.dotted_string
    family = {"1.2.840.10045": "ECDSA", "1.2.840.113549.1.1": "RSA"}
    known = next((name for prefix, name in family.items() if oid.startswith(prefix)), oid)
    try:
        digest = cert.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return oid
    return f"{known}-{digest.name.upper()}" if digest else known


def _usages(usage: x509.KeyUsage | None) -> tuple[str, ...]:
    if usage is None:
        return ()
    named = {
        "digital signature": usage.digital_signature,
        "key encipherment": usage.key_encipherment,
        "cert sign": usage.key_cert_sign,
        "crl sign": usage.crl_sign,
    }
    return tuple(name for name, given in named.items() if given) or ("other",)


def _extended(usage: x509.ExtendedKeyUsage | None) -> tuple[str, ...]:
    names = {"serverAuth": "server auth", "clientAuth": "client auth", "anyExtendedKeyUsage": "any"}
    return tuple(names.get(oid._name, oid.dotted_string) for oid in usage or ())
