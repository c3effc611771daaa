"""Reading certificates and keys from Secrets and ConfigMaps.

Private keys stay inside this module: a Secret is read into a value whose ``repr`` says only which
keys it has, and the only question asked of ``tls.key`` is whether it belongs to the certificate.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

from runbook.certs import Certificate, key_matches, parse_bundle
from runbook.checks import Context
from runbook.cluster import Cluster
from runbook.errors import CertificateError, ParameterError
from runbook.linkerd.outcomes import Object
from runbook.secrets import ReadSecret

__all__ = ["Material", "from_config_map", "from_secret", "read_secret", "secret_reader"]


@dataclass(frozen=True)
class Material:
    """The texts of a Secret or ConfigMap that should hold certificates.

    Attributes:
        source: What it is, such as ``Secret linkerd/linkerd-identity-issuer``.
        kind: Type of the Secret, empty for a ConfigMap.
    """

    source: str
    kind: str
    texts: Mapping[str, str] = field(repr=False)

    def __repr__(self) -> str:
        return f"Material({self.source}, keys {', '.join(sorted(self.texts))})"

    def has(self, key: str) -> bool:
        """Tell whether a key is there and not empty."""
        return bool(self.texts.get(key, "").strip())

    def certificates(self, key: str) -> tuple[Certificate, ...]:
        """Read the certificates under a key.

        Raises:
            CertificateError: There is none, or one cannot be read.
        """
        return parse_bundle(self.texts.get(key, ""), source=f"{key} of {self.source}")

    def key_matches(self, certificate: Certificate, key: str = "tls.key") -> bool:
        """Tell whether the private key under a key belongs to a certificate."""
        return key_matches(certificate, self.texts.get(key, ""))


def from_secret(secret: Object) -> Material:
    """Decode a Secret.

    Raises:
        CertificateError: Its data is not base64.
    """
    where = f"Secret {secret['metadata'].get('namespace', '')}/{secret['metadata']['name']}"
    texts = {}
    for key, value in (secret.get("data") or {}).items():
        try:
            texts[key] = base64.b64decode(value, validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            raise CertificateError(f"{key} of {where} is not base64") from None
    return Material(where, str(secret.get("type", "")), texts)


def from_config_map(config_map: Object) -> Material:
    """Take the texts of a ConfigMap."""
    meta = config_map["metadata"]
    where = f"ConfigMap {meta.get('namespace', '')}/{meta['name']}"
    return Material(where, "", dict(config_map.get("data") or {}))


def read_secret(context: Context, name: str, namespace: str) -> Material | None:
    """Read a Secret, ``None`` if it does not exist."""
    found = context.cluster.find("v1", "Secret", name, namespace)
    return from_secret(found) if found else None


def secret_reader(cluster: Cluster) -> ReadSecret:
    """Give the function that reads a ``secret:`` reference from a cluster.

    It raises ParameterError, naming the reference, if the Secret or its key does not exist.
    """

    def read(namespace: str, name: str, key: str) -> str:
        found = cluster.find("v1", "Secret", name, namespace)
        material = from_secret(found) if found else None
        if material is None or not material.has(key):
            raise ParameterError(
                f"secret:{namespace}/{name}/{key} leads nowhere",
                why="there is no such Secret" if material is None else "the Secret has no such key",
            )
        return material.texts[key].rstrip("\n")

    return read
