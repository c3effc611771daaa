"""Whether the API server can trust a server of Linkerd's: a webhook, or the tap API of Viz."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from runbook.certs import parse_bundle
from runbook.checks import Context, Outcome
from runbook.errors import CertificateError
from runbook.linkerd.material import Material, read_secret
from runbook.linkerd.outcomes import Object, absent, from_proof, judge
from runbook.proofs import server_proofs

__all__ = ["Served", "served", "webhook_bundles"]


@dataclass(frozen=True)
class Served:
    """A server that the API server calls over TLS.

    Attributes:
        id: Begins the ids of the outcomes, such as ``webhook-proxy-injector``.
        subject: Begins their titles, such as ``proxy-injector``.
        title: What must hold, as ``linkerd check`` says it.
        registration: What holds the CA bundle: ``MutatingWebhookConfiguration NAME``.
        secret: Secret of its certificate, type ``kubernetes.io/tls``.
        namespace: Of the Secret and the Service.
        service: Its Service.
        notebook: Which notebook installs it.
        checked: Whether Linkerd's own check looks at it, too.
    """

    id: str
    subject: str
    title: str
    registration: str
    secret: str
    namespace: str
    service: str
    notebook: str
    checked: bool = True

    @property
    def line(self) -> str:
        """Give the line of Linkerd's check, empty if it has none."""
        return self.title if self.checked else ""

    @property
    def lasting(self) -> str:
        """Give the line of Linkerd's check about the certificate's end, empty if it has none."""
        return f"{self.subject} cert is valid for at least 60 days" if self.checked else ""


def webhook_bundles(configuration: Object | None) -> list[str] | None:
    """Give the ``caBundle`` of each webhook of a configuration, ``None`` if there is none."""
    if configuration is None:
        return None
    hooks = configuration.get("webhooks") or []
    return [str((hook.get("clientConfig") or {}).get("caBundle", "")) for hook in hooks]


def served(context: Context, server: Served, bundles: Sequence[str] | None) -> Iterator[Outcome]:
    """Judge a server's certificate.

    Args:
        context: The cluster.
        server: Which one.
        bundles: The ``caBundle`` of each entry of its registration, base64; ``None`` if the
            registration does not exist.
    """
    material = read_secret(context, server.secret, server.namespace)
    if bundles is None or material is None or not material.has("tls.crt"):
        what = (
            server.registration if bundles is None else f"Secret {server.namespace}/{server.secret}"
        )
        yield absent(context, server.id, server.title, what, server.notebook, linkerd=server.line)
        return
    if len(bundles) != 1 or not bundles[0]:
        yield judge(
            server.id,
            server.title,
            False,
            expected="one entry with a caBundle",
            seen=f"{len(bundles)} entries, {sum(map(bool, bundles))} with a caBundle",
            why="the CA has not been injected, or another install added entries of its own",
            fix=f"run notebook {server.notebook}",
            linkerd=server.line,
        )
        return
    yield from _proofs(context, server, material, bundles[0])


def _proofs(context: Context, server: Served, material: Material, bundle: str) -> Iterator[Outcome]:
    try:
        text = base64.b64decode(bundle, validate=True).decode("utf-8", "replace")
        anchors = parse_bundle(text, source=f"caBundle of {server.registration}")
        own, *between = material.certificates("tls.crt")
    except (CertificateError, binascii.Error) as error:
        yield judge(
            server.id,
            server.title,
            False,
            seen=str(error),
            fix=f"run notebook {server.notebook}",
            linkerd=server.line,
        )
        return
    now = context.cluster.now()
    name = f"{server.service}.{server.namespace}.svc"
    for proof in server_proofs(own, anchors, between=between, now=now, name=name):
        yield from_proof(
            proof, prefix=f"{server.id}-", subject=f"{server.subject}: ", linkerd=server.line
        )
    yield judge(
        f"{server.id}-key",
        f"{server.subject}: its key belongs to its certificate",
        material.key_matches(own),
        expected="a matching pair",
        seen=own.short,
        why="tls.crt and tls.key are of two different renderings",
        fix=f"run notebook {server.notebook}",
        linkerd=server.line,
    )
    left = (own.not_after - now).days
    yield judge(
        f"{server.id}-lifetime",
        f"{server.subject}: its certificate lives for another 60 days",
        "pass" if left >= 60 else "warn",
        expected="60 days or more left",
        seen=f"{left} days left",
        why="Helm makes it for a year, anew at every upgrade; nothing else renews it",
        fix=f"run notebook {server.notebook} with any change, or: helm upgrade",
        linkerd=server.lasting,
    )
