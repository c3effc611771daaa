"""Keys, requests and certificates as cert-manager makes them."""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from runbook.rehearsal.client import Object

__all__ = ["KeyPair", "describe", "duration", "encode_key", "new_key", "request", "sign"]

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_DURATION = re.compile(r"([0-9.]+)(h|ms|m|s|us|ns)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_CURVES: dict[int, Callable[[], ec.EllipticCurve]] = {
    256: ec.SECP256R1,
    384: ec.SECP384R1,
    521: ec.SECP521R1,
}
_KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "data encipherment": "data_encipherment",
    "key agreement": "key_agreement",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
}
_EXTENDED = {
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
}
_DEFAULT_USAGES = ("digital signature", "key encipherment")
_HOUR = 3600.0
DEFAULT_DURATION = 90 * 24 * _HOUR
"""Seconds a certificate lives when its ``duration`` is not set: 90 days."""


@dataclass(frozen=True)
class KeyPair:
    """A certificate authority: its certificates, the signing one first, and its key."""

    chain: Sequence[x509.Certificate]
    key: PrivateKey


def duration(text: str | None, default: float) -> float:
    """Read a Go duration.

    Args:
        text: Such as ``48h`` or ``1h30m``.
        default: Seconds to take when there is none.

    >>> duration("48h", 0), duration("1h30m0s", 0), duration(None, 5.0)
    (172800.0, 5400.0, 5.0)
    """
    if not text:
        return default
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))


def new_key(spec: Object) -> PrivateKey:
    """Make a private key as a Certificate's ``spec`` asks; RSA 2048 by default."""
    wanted = spec.get("privateKey") or {}
    algorithm = wanted.get("algorithm", "RSA")
    if algorithm == "ECDSA":
        return ec.generate_private_key(_CURVES[wanted.get("size") or 256]())
    if algorithm == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, wanted.get("size") or 2048)


def fits(key: PrivateKey, spec: Object) -> bool:
    """Tell whether a private key is of the kind a Certificate's ``spec`` asks for."""
    wanted = spec.get("privateKey") or {}
    algorithm, size = wanted.get("algorithm", "RSA"), wanted.get("size")
    if algorithm == "ECDSA":
        return isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size == (size or 256)
    if algorithm == "Ed25519":
        return isinstance(key, ed25519.Ed25519PrivateKey)
    return isinstance(key, rsa.RSAPrivateKey) and key.key_size == (size or 2048)


def encode_key(key: PrivateKey, spec: Object) -> bytes:
    """Write a private key as PEM in the encoding a Certificate asks for, PKCS1 by default."""
    encoding = (spec.get("privateKey") or {}).get("encoding", "PKCS1")
    traditional = encoding == "PKCS1" and not isinstance(key, ed25519.Ed25519PrivateKey)
    form = (
        serialization.PrivateFormat.TraditionalOpenSSL
        if traditional
        else serialization.PrivateFormat.PKCS8
    )
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def load_key(pem: bytes) -> PrivateKey:
    """Read a private key.

    Raises:
        ValueError: It is none, or of a kind cert-manager does not use.
    """
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, PrivateKey):
        raise ValueError(f"unsupported key {type(key).__name__}")
    return key


def request(spec: Object, key: PrivateKey) -> bytes:
    """Make the PEM certificate signing request of a Certificate."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(spec))
    names = _names(spec)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, _digest(key)).public_bytes(serialization.Encoding.PEM)


def sign(spec: Object, csr: bytes, authority: KeyPair | None, key: PrivateKey | None) -> bytes:
    """Make the certificate a CertificateRequest asks for.

    Args:
        spec: Its spec: duration, isCA and usages.
        csr: The PEM signing request.
        authority: Who signs.
        key: The requester's own key, for a self-signed certificate.
    """
    asked = x509.load_pem_x509_csr(csr)
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    life = datetime.timedelta(seconds=duration(spec.get("duration"), DEFAULT_DURATION))
    signer = authority.key if authority is not None else key
    assert signer is not None  # noqa: S101  # one of the two is given
    issuer = authority.chain[0].subject if authority is not None else asked.subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(asked.subject)
        .issuer_name(issuer)
        .public_key(asked.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(bool(spec.get("isCA")), None), critical=True)
    )
    builder = _with_usages(builder, spec)
    subject_id = x509.SubjectKeyIdentifier.from_public_key(asked.public_key())
    if spec.get("isCA"):
        builder = builder.add_extension(subject_id, critical=False)
    if authority is not None:
        identifier = _authority_identifier(authority.chain[0])
        builder = builder.add_extension(identifier, critical=False)
    for extension in asked.extensions:
        builder = builder.add_extension(extension.value, critical=not asked.subject)
    return builder.sign(signer, _digest(signer)).public_bytes(serialization.Encoding.PEM)


def describe(certificate: x509.Certificate) -> tuple[str, str]:
    """Give the validity of a certificate as Kubernetes timestamps."""
    form = "%Y-%m-%dT%H:%M:%SZ"
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return first.strftime(form), last.strftime(form)


def differences(spec: Object, certificate: x509.Certificate) -> list[str]:
    """Give the fields of a Certificate's spec that an issued certificate does not honour."""
    result = []
    if certificate.subject != _subject(spec):
        result.append("spec.commonName")
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        present = set(found.value)
    except x509.ExtensionNotFound:
        present = set()
    for field, kind in (
        ("dnsNames", x509.DNSName),
        ("ipAddresses", x509.IPAddress),
        ("uris", x509.UniformResourceIdentifier),
        ("emailAddresses", x509.RFC822Name),
    ):
        wanted = {name for name in _names(spec) if isinstance(name, kind)}
        if wanted != {name for name in present if isinstance(name, kind)}:
            result.append(f"spec.{field}")
    return result


def _subject(spec: Object) -> x509.Name:
    wanted = spec.get("subject") or {}
    attributes = [
        x509.NameAttribute(oid, value)
        for oid, field in (
            (NameOID.COUNTRY_NAME, "countries"),
            (NameOID.ORGANIZATION_NAME, "organizations"),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, "organizationalUnits"),
        )
        for value in wanted.get(field) or []
    ]
    if spec.get("commonName"):
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, spec["commonName"]))
    return x509.Name(attributes)


def _names(spec: Object) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in spec.get("dnsNames") or []]
    names += [x509.IPAddress(ipaddress.ip_address(ip)) for ip in spec.get("ipAddresses") or []]
    names += [x509.UniformResourceIdentifier(uri) for uri in spec.get("uris") or []]
    names += [x509.RFC822Name(mail) for mail in spec.get("emailAddresses") or []]
    return names


def _with_usages(builder: x509.CertificateBuilder, spec: Object) -> x509.CertificateBuilder:
    usages = list(spec.get("usages") or _DEFAULT_USAGES)
    wanted = {_KEY_USAGES[usage] for usage in usages if usage in _KEY_USAGES}
    if spec.get("isCA"):
        wanted.add("key_cert_sign")
    every = {**dict.fromkeys(set(_KEY_USAGES.values()), False), "encipher_only": False}
    chosen = {**every, "decipher_only": False, **dict.fromkeys(wanted, True)}
    builder = builder.add_extension(x509.KeyUsage(**chosen), critical=True)
    extended = [_EXTENDED[usage] for usage in usages if usage in _EXTENDED]
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    return builder


def _authority_identifier(certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)  # noqa: S101
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found.value)


def _digest(key: PrivateKey) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
