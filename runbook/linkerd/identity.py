"""Checks of the identity issuer and the trust anchor (notebooks 12 and 13)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runbook.certs import Certificate, moment, parse_bundle, pem, span
from runbook.checks import Context, Outcome
from runbook.errors import CertificateError
from runbook.linkerd.material import Material, read_secret
from runbook.linkerd.outcomes import absent, anchor_link, condition, few, from_proof, judge
from runbook.manifests import ISSUER
from runbook.params import seconds
from runbook.proofs import anchor_proofs, issuer_proofs

__all__ = [
    "TrustAnchor",
    "anchor_outcomes",
    "issuer_certificate",
    "issuer_chain",
    "issuer_secret",
    "read_trust_anchor",
]

NOTEBOOK = "12-identity-issuer"
_KEYS = ("tls.crt", "tls.key", "ca.crt")
_LINKERD_PROOFS = {
    "issuer-chain": "issuer cert is issued by the trust anchor",
    "issuer-algorithm": "issuer cert is using supported crypto algorithm",
    "issuer-validity": "issuer cert is within its validity period",
    "issuer-renewal": "issuer cert is valid for at least 60 days",
    "anchor-algorithm": "trust anchors are using supported crypto algorithm",
    "anchor-validity": "trust anchors are within their validity period",
    "anchor-lifetime": "trust anchors are valid for at least 60 days",
}


@dataclass(frozen=True)
class TrustAnchor:
    """The trust anchors Helm is given: certificates only, never a key.

    Attributes:
        pem: Canonical PEM text; empty when there is none yet.
        certificates: What the text says.
        source: Where it was read.
        pending: Why there is none yet (plan mode), empty otherwise.
    """

    pem: str = field(repr=False)
    certificates: tuple[Certificate, ...]
    source: str
    pending: str = ""

    def __bool__(self) -> bool:
        return not self.pending

    def __repr__(self) -> str:
        return self.pending or "\n".join(
            [
                f"trust anchor of {self.source}",
                *(
                    f"  {one.subject}, {one.key}, {one.signature}\n"
                    f"  valid {moment(one.not_before)} to {moment(one.not_after)}\n"
                    f"  SHA-256 {one.fingerprint}"
                    for one in self.certificates
                ),
            ]
        )


def read_trust_anchor(context: Context) -> TrustAnchor:
    """Read the trust anchor from ``ca.crt`` of the issuer's Secret (seed step 3).

    In plan mode a trust anchor that does not exist yet is told, not raised, so that what follows
    can still be planned.

    Raises:
        CertificateError: The Secret or its ``ca.crt`` is missing or unreadable.
    """
    namespace = context.params.linkerd_namespace
    source = f"Secret {namespace}/{ISSUER}, key ca.crt"
    material = read_secret(context, ISSUER, namespace)
    if material is None or not material.has("ca.crt"):
        what = "ca.crt" if material else f"Secret {namespace}/{ISSUER}"
        if context.params.mode == "plan" and material is None:
            pending = f"the trust anchor is not there yet: {NOTEBOOK} creates it"
            return TrustAnchor("", (), source, pending)
        raise CertificateError(
            f"no trust anchor: {what} is missing",
            why=_no_anchor_reason(material),
            fix=f"run notebook {NOTEBOOK}"
            if material is None
            else "use a ClusterIssuer of type ca",
            see=anchor_link("l5d-identity-cert-config-valid"),
        )
    certificates = parse_bundle(material.texts["ca.crt"], source=source)
    return TrustAnchor(pem(certificates), certificates, source)


def issuer_certificate(context: Context) -> Iterator[Outcome]:
    """cert-manager has issued the identity issuer and will renew it."""
    namespace = context.params.linkerd_namespace
    title = f"Certificate {ISSUER} is Ready"
    found = context.cluster.find("cert-manager.io/v1", "Certificate", ISSUER, namespace)
    if found is None:
        what = f"Certificate {namespace}/{ISSUER}"
        yield absent(context, "issuer-certificate", title, what, NOTEBOOK)
        return
    ready, issuing = condition(found, "Ready"), condition(found, "Issuing")
    good = ready.get("status") == "True"
    tries = (found.get("status") or {}).get("failedIssuanceAttempts")
    told = ready.get("message") or issuing.get("message") or "no condition yet"
    yield judge(
        "issuer-certificate",
        title,
        good,
        expected="Ready",
        seen=f"{ready.get('reason', 'not Ready')}: {told}"
        + (f" ({tries} failed attempts)" if tries else ""),
        why=f"cert-manager could not issue it: {issuing.get('message') or told}",
        fix=f"kubectl -n {namespace} describe certificate,certificaterequest",
        see="https://cert-manager.io/docs/troubleshooting/",
    )
    yield _renewal(context, (found.get("status") or {}).get("renewalTime"))
    policy = (found["spec"].get("privateKey") or {}).get("rotationPolicy", "")
    yield judge(
        "issuer-rotation",
        "whether the issuer's key changes at renewal is written down",
        "pass" if policy else "warn",
        expected="rotationPolicy: Always",
        seen=policy or "not written",
        why="cert-manager's default changed in 1.18",
        fix=f"run notebook {NOTEBOOK}, which writes it",
    )


def issuer_secret(context: Context) -> Iterator[Outcome]:
    """The issuer's Secret has its three keys, and its key belongs to its certificate."""
    title = f"Secret {ISSUER} holds certificate, key and CA"
    linkerd = "certificate config is valid"
    namespace = context.params.linkerd_namespace
    material = read_secret(context, ISSUER, namespace)
    if material is None:
        what = f"Secret {namespace}/{ISSUER}"
        yield absent(context, "issuer-secret", title, what, NOTEBOOK, linkerd=linkerd)
        return
    missing = [key for key in _KEYS if not material.has(key)]
    good = not missing and material.kind == "kubernetes.io/tls"
    yield judge(
        "issuer-secret",
        title,
        good,
        expected=f"type kubernetes.io/tls, keys {', '.join(_KEYS)}",
        seen=f"type {material.kind}, keys {', '.join(sorted(material.texts)) or 'none'}",
        why=_secret_reason(material, missing),
        fix="use a ClusterIssuer of type ca"
        if missing == ["ca.crt"]
        else f"delete the Secret and run notebook {NOTEBOOK}",
        see=anchor_link("l5d-identity-cert-config-valid"),
        linkerd=linkerd,
    )
    if not material.has("tls.crt"):
        return
    issuer = material.certificates("tls.crt")[0]
    yield judge(
        "issuer-key",
        "the issuer's private key belongs to its certificate",
        material.key_matches(issuer),
        expected="a matching pair",
        seen=issuer.describe(),
        why="tls.crt and tls.key are of two different issues",
        fix="delete the Secret; cert-manager issues both anew",
        see=anchor_link("l5d-identity-cert-config-valid"),
        linkerd=linkerd,
    )


def issuer_chain(context: Context) -> Iterator[Outcome]:
    """The trust anchor signs the issuer, which is a CA Linkerd accepts."""
    params = context.params
    material = read_secret(context, ISSUER, params.linkerd_namespace)
    if material is None or not material.has("tls.crt") or not material.has("ca.crt"):
        what = f"tls.crt and ca.crt in Secret {params.linkerd_namespace}/{ISSUER}"
        title = "the trust anchor signs the issuer certificate"
        yield absent(context, "issuer-chain", title, what, NOTEBOOK)
        return
    issuer, *between = material.certificates("tls.crt")
    proofs = issuer_proofs(
        issuer,
        material.certificates("ca.crt"),
        between=between,
        now=context.cluster.now(),
        name=f"identity.{params.linkerd_namespace}.{params.trust_domain}",
        renew_before=timedelta(seconds=seconds(params.issuer_renew_before)),
    )
    for proof in proofs:
        yield from_proof(proof, linkerd=_LINKERD_PROOFS.get(proof.id, ""))


def anchor_outcomes(context: Context) -> Iterator[Outcome]:
    """Prove the trust anchor: a CA that lives long enough, and the root that signs now."""
    anchor = read_trust_anchor(context)
    if not anchor:
        yield judge("anchor-ca-bit", "the trust anchor is a CA", "skip", seen=anchor.pending)
        return
    for one in anchor.certificates:
        yield judge(
            "trust-anchor",
            "the trust anchor that Helm is given can be read",
            True,
            expected=anchor.source,
            seen=one.describe(),
            linkerd="certificate config is valid",
        )
    for proof in anchor_proofs(anchor.certificates, now=context.cluster.now()):
        yield from_proof(proof, linkerd=_LINKERD_PROOFS.get(proof.id, ""))
    yield from _same_root(context, anchor)


def _same_root(context: Context, anchor: TrustAnchor) -> Iterator[Outcome]:
    """Compare ca.crt with the root that the ClusterIssuer signs with now."""
    params = context.params
    found = context.cluster.find("cert-manager.io/v1", "ClusterIssuer", params.cluster_issuer)
    name = ((found or {}).get("spec", {}).get("ca") or {}).get("secretName")
    material = read_secret(context, str(name), params.cert_manager_namespace) if name else None
    if material is None or not material.has("tls.crt"):
        return  # an issuer elsewhere: nothing to compare with
    now_signing = material.certificates("tls.crt")[-1]
    here = {one.fingerprint for one in anchor.certificates}
    yield judge(
        "anchor-is-root",
        f"the trust anchor is what ClusterIssuer {params.cluster_issuer} signs with",
        "pass" if now_signing.fingerprint in here else "warn",
        expected=f"SHA-256 {now_signing.short}...",
        seen=few(f"SHA-256 {one.short}..." for one in anchor.certificates),
        why="the root has been renewed since the issuer certificate was issued",
        fix="if the root has a new key, rotate the trust anchor with both in the bundle",
        see="https://linkerd.io/2-edge/tasks/manually-rotating-control-plane-tls-credentials/",
    )


def _renewal(context: Context, renewal: str | None) -> Outcome:
    title = "cert-manager has planned the renewal"
    if not renewal:
        return judge(
            "issuer-renewal-time",
            title,
            "warn",
            expected="status.renewalTime",
            seen="none",
            why="the certificate has not been issued yet",
            fix="wait for Ready and look again",
        )
    now, when = context.cluster.now(), datetime.fromisoformat(renewal)
    late = now - when
    return judge(
        "issuer-renewal-time",
        title,
        "pass" if late < timedelta(hours=1) else "fail",
        expected=f"renewal at {moment(when)}, {_renewal_words(context)}",
        seen=f"in {span(-late)}" if late < timedelta(0) else f"due {span(late)} ago",
        why="the renewal time has passed and nothing happened",
        fix="kubectl -n cert-manager logs deploy/cert-manager",
    )


def _renewal_words(context: Context) -> str:
    """Say which duration and renewal were asked for."""
    params = context.params
    return f"{params.issuer_renew_before} before the end of {params.issuer_duration}"


def _no_anchor_reason(material: Material | None) -> str:
    if material is None:
        return "the identity issuer has not been issued yet"
    return "the issuer that signed it puts no CA into the Secret (ACME and some others do not)"


def _secret_reason(material: Material, missing: list[str]) -> str:
    if material.has("crt.pem"):
        return "it is of the scheme linkerd.io/tls: made by the linkerd CLI, not by cert-manager"
    if missing == ["ca.crt"]:
        return _no_anchor_reason(material)
    return "it was not written by cert-manager, or only in part"
