"""Traefik: a stand-in that routes by Ingresses and Middlewares."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from runbook.rehearsal.client import Object
from runbook.rehearsal.images.kinds import Access, Behaviour, Notice, Situation

__all__ = ["Traefik", "is_traefik"]

_GROUP, _OLD_GROUP = "traefik.io", "traefik.containo.us"
_NEW_SINCE = (2, 10)


class Traefik:
    """The container ``traefik``."""

    def start(self, situation: Situation) -> Behaviour:
        """Run it as a process, with the API group that its version reads."""
        version = situation.container["image"].rpartition(":")[2]
        ports = [port["containerPort"] for port in situation.container.get("ports") or []]
        numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
        group = _OLD_GROUP if numbers and numbers < _NEW_SINCE else _GROUP
        return Behaviour(
            module="runbook.rehearsal.ingress.server",
            ports=tuple(ports),
            extra={"version": version, "group": group},
            files=_default_certificate,
        )

    def changed(self, before: Situation, after: Situation) -> Notice | None:
        """Do nothing: nothing is mounted."""
        return None


def is_traefik(container: Object) -> bool:
    """Tell whether a container is Traefik."""
    return container["name"] == "traefik" and "traefik:" in container.get("image", "")


def _default_certificate(_: Situation, __: Access) -> Mapping[str, bytes]:
    """Make the certificate for hosts that have none, here where the library is loaded already."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "TRAEFIK DEFAULT CERT")])
    host = f"{secrets.token_hex(16)}.{secrets.token_hex(16)}.traefik.default"
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {"tls.crt": certificate.public_bytes(serialization.Encoding.PEM), "tls.key": private}
