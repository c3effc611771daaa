"""Linkerd's identity controller: refuses to run on credentials that do not prove.

The messages are those of Linkerd's ``controller/cmd/identity`` and ``pkg/identity``.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from runbook.rehearsal.images.kinds import Behaviour, Notice, Situation

__all__ = ["Identity"]

_ROOTS = "/var/run/linkerd/identity/trust-roots/ca-bundle.crt"
_ISSUER = "/var/run/linkerd/identity/issuer"
_NAMES = (("tls.crt", "tls.key"), ("crt.pem", "key.pem"))
_DEPLOYMENT = "linkerd-identity"


class _FatalError(Exception):
    """What the controller would log before it gives up."""


class Identity:
    """The container ``identity`` of the control plane."""

    def start(self, situation: Situation) -> Behaviour:
        """Read trust roots and issuer as mounted; run on only if one proves the other."""
        try:
            anchors = _anchors(situation)
        except _FatalError as error:
            text = f"Failed to read trust anchors: {error}"
            return Behaviour(exit_code=1, log=(_log("fatal", text),))
        try:
            issuer = _issuer(situation, anchors)
        except _FatalError as error:
            text = f"Failed to initialize identity service: {error}"
            return Behaviour(exit_code=1, log=(_log("fatal", text),))
        left = int((issuer.not_valid_after_utc - datetime.now(UTC)).total_seconds())
        return Behaviour(
            log=(
                _log("info", "starting admin server on :9990"),
                _log("info", f"Issuer cert loaded ttl_seconds={left}"),
                _log("info", "starting gRPC server on :8080"),
            )
        )

    def changed(self, before: Situation, after: Situation) -> Notice | None:
        """Load a changed issuer, as its file watcher does; trust roots are read only once."""
        if _issuer_files(before) == _issuer_files(after):
            return None
        try:
            _issuer(after, _anchors(before))
        except _FatalError as error:
            text = f"Skipping issuer update as certs could not be read from disk: {error}"
            line = (_log("warning", text),)
            return Notice(line, "IssuerUpdateSkipped", text, warning=True, deployment=_DEPLOYMENT)
        text = "Updated identity issuer"
        return Notice((_log("info", text),), "IssuerUpdated", text, deployment=_DEPLOYMENT)


def _log(level: str, text: str) -> str:
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    quoted = text.replace('"', '\\"')
    return f'time="{stamp}" level={level} msg="{quoted}"'


def _issuer_files(situation: Situation) -> dict[str, bytes]:
    return {k: v for k, v in situation.files.items() if k.startswith(_ISSUER)}


def _anchors(situation: Situation) -> list[x509.Certificate]:
    text = situation.files.get(_ROOTS, b"")
    if b"-----BEGIN" not in text:
        raise _FatalError("not a PEM certificate")
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError as error:
        raise _FatalError(f"not a PEM certificate: {error}") from error


def _issuer(situation: Situation, anchors: list[x509.Certificate]) -> x509.Certificate:
    certificates = _credentials(situation)
    issuer = certificates[0]
    _verify(issuer, [*certificates[1:], *anchors], anchors)
    if not _is_ca(issuer):
        raise _FatalError(
            "failed to verify issuer certificate: it must be an intermediate-CA, but it is not"
        )
    return issuer


def _credentials(situation: Situation) -> list[x509.Certificate]:
    present = [names for names in _NAMES if f"{_ISSUER}/{names[0]}" in situation.files]
    if not present:
        text = f"open {_ISSUER}/tls.key: no such file or directory"
        raise _FatalError(f"failed to read CA from disk: {text}")
    crt, key = present[0]
    try:
        certificates = x509.load_pem_x509_certificates(situation.files[f"{_ISSUER}/{crt}"])
        private = serialization.load_pem_private_key(situation.files[f"{_ISSUER}/{key}"], None)
    except (KeyError, ValueError, TypeError) as error:
        raise _FatalError("failed to read CA from disk: not PEM-encoded") from error
    if private.public_key() != certificates[0].public_key():
        raise _FatalError("failed to read CA from disk: tls: Public and private key do not match")
    return certificates


def _verify(
    certificate: x509.Certificate,
    candidates: list[x509.Certificate],
    anchors: list[x509.Certificate],
) -> None:
    name = "identity.linkerd.cluster.local"
    start = f"failed to verify issuer credentials for '{name}' with trust anchors: "
    moment = datetime.now(UTC)
    window = (
        f" - Current Time : {moment:%Y-%m-%d %H:%M:%S} +0000 UTC"
        f" - Invalid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S} +0000 UTC"
        f" - Invalid After {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} +0000 UTC"
    )
    chain = [certificate]
    while chain[-1] not in anchors:
        signer = next((c for c in candidates if c not in chain and signed(chain[-1], c)), None)
        if signer is None:
            raise _FatalError(f"{start}x509: certificate signed by unknown authority{window}")
        chain.append(signer)
    for link in chain:
        if not link.not_valid_before_utc <= moment <= link.not_valid_after_utc:
            raise _FatalError(
                f"{start}x509: certificate has expired or is not yet valid: "
                f"current time {moment:%Y-%m-%dT%H:%M:%SZ} is "
                f"after {link.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}{window}"
            )


def signed(certificate: x509.Certificate, signer: x509.Certificate) -> bool:
    """Tell whether one certificate's key signed another."""
    if certificate.issuer != signer.subject:
        return False
    key = signer.public_key()
    algorithm = certificate.signature_hash_algorithm
    try:
        if isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None:
            key.verify(
                certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(algorithm)
            )
        elif isinstance(key, rsa.RSAPublicKey) and algorithm is not None:
            data = certificate.tbs_certificate_bytes
            key.verify(certificate.signature, data, padding.PKCS1v15(), algorithm)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return False
    return found.value.ca
