"""Proofs about certificates: can this one be Linkerd's issuer, its anchor, a webhook's server?

The algorithm rules are those of Linkerd's ``pkg/issuercerts``; the CA bit is what its identity
controller requires when it starts, although ``linkerd check`` never looks at it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from runbook.certs import Certificate, chain, lifetime, moment, span

__all__ = ["Proof", "anchor_proofs", "issuer_proofs", "server_proofs", "validity_proof"]


@dataclass(frozen=True)
class Proof:
    """One thing proven, doubted or refuted about a certificate."""

    id: str
    title: str
    verdict: Literal["pass", "warn", "fail"]
    expected: str
    seen: str
    why: str = ""
    fix: str = ""


def issuer_proofs(
    issuer: Certificate,
    anchors: Sequence[Certificate],
    *,
    between: Sequence[Certificate] = (),
    now: datetime,
    name: str,
    renew_before: timedelta,
) -> list[Proof]:
    """Prove that a certificate can be Linkerd's identity issuer.

    Args:
        issuer: First certificate of ``tls.crt``.
        anchors: The trust anchors: ``ca.crt``.
        between: Further certificates of ``tls.crt``.
        now: The API server's time.
        name: ``identity.<namespace>.<trust domain>``; only warned about, since the identity
            controller verifies the chain without a name.
        renew_before: How long before the end cert-manager renews it.
    """
    return [
        _chain_proof(issuer, anchors, between),
        _ca_proof("issuer-ca-bit", "the issuer certificate is a CA", issuer),
        _algorithm_proof("issuer", issuer, rsa=False),
        validity_proof("issuer", "the issuer certificate", issuer, now),
        _renewal_proof(issuer, now, renew_before),
        _name_proof(issuer, name),
    ]


def anchor_proofs(
    anchors: Sequence[Certificate], *, now: datetime, warn_below: timedelta = timedelta(days=365)
) -> list[Proof]:
    """Prove that certificates can be Linkerd's trust anchors.

    Args:
        anchors: The trust anchors.
        now: The API server's time.
        warn_below: Warn when less than this is left. An anchor given to Helm stays there until
            the next upgrade, so it must outlive the years between two of them.
    """
    proofs: list[Proof] = []
    for anchor in anchors:
        proofs += [
            _ca_proof("anchor-ca-bit", f"the trust anchor {anchor.common_name} is a CA", anchor),
            _algorithm_proof("anchor", anchor, rsa=True),
            validity_proof("anchor", f"the trust anchor {anchor.common_name}", anchor, now),
            _anchor_lifetime_proof(anchor, now, warn_below),
        ]
    return proofs


def server_proofs(
    certificate: Certificate,
    anchors: Sequence[Certificate],
    *,
    between: Sequence[Certificate] = (),
    now: datetime,
    name: str,
) -> list[Proof]:
    """Prove that a webhook's server certificate is the one its clients accept.

    Args:
        certificate: First certificate of the webhook's Secret.
        anchors: ``caBundle`` of the webhook configuration.
        between: Further certificates of the Secret.
        now: The API server's time.
        name: Server name the API server asks for: ``<service>.<namespace>.svc``.
    """
    trusted = bool(chain(certificate, anchors, between))
    named = name in certificate.dns_names
    return [
        Proof(
            "chain",
            "its certificate is signed by caBundle",
            "pass" if trusted else "fail",
            expected=", ".join(anchor.short for anchor in anchors),
            seen=certificate.short
            if trusted
            else f"{certificate.short} issued by {certificate.issuer}",
            why="" if trusted else "the Secret and the webhook configuration are of two renderings",
            fix="" if trusted else "run notebook 15 again: helm upgrade writes both anew",
        ),
        Proof(
            "name",
            f"its certificate is for {name}",
            "pass" if named else "fail",
            expected=name,
            seen=", ".join(certificate.dns_names) or "no DNS name",
        ),
        validity_proof("server", "its certificate", certificate, now),
    ]


def validity_proof(id_: str, title: str, certificate: Certificate, now: datetime) -> Proof:
    """Prove that a certificate is inside its validity period now."""
    early, late = now < certificate.not_before, now > certificate.not_after
    why = {
        (True, False): "its validity begins in the future: the clock of a Pi without RTC may be "
        "behind until NTP sets it",
        (False, True): "it has expired and nothing renewed it",
    }.get((early, late), "")
    fix = {
        (True, False): "compare the clocks: timedatectl on each node",
        (False, True): "look at why: kubectl describe certificate -A",
    }.get((early, late), "")
    return Proof(
        f"{id_}-validity",
        f"{title} is within its validity period",
        "fail" if early or late else "pass",
        expected=f"{moment(certificate.not_before)} to {moment(certificate.not_after)}",
        seen=f"now {moment(now)}",
        why=why,
        fix=fix,
    )


def _chain_proof(
    issuer: Certificate, anchors: Sequence[Certificate], between: Sequence[Certificate]
) -> Proof:
    path = chain(issuer, anchors, between)
    limited = next(
        (c for c in path if c.extended and not {"server auth", "any"} & {*c.extended}), None
    )
    if limited is not None:
        return Proof(
            "issuer-chain",
            "the trust anchor signs the issuer certificate",
            "fail",
            expected="extended key usage server auth, or none at all",
            seen=f"{limited.common_name} is limited to {', '.join(limited.extended)}",
            why="every certificate of a chain must allow what the last one is used for",
            fix="add the usage server auth to that Certificate",
        )
    names = " <- ".join(c.common_name or c.subject for c in path)
    return Proof(
        "issuer-chain",
        "the trust anchor signs the issuer certificate",
        "pass" if path else "fail",
        expected=", ".join(f"{a.common_name} {a.ski[:16]}" for a in anchors),
        seen=names or f"issued by {issuer.issuer}, key {issuer.aki[:16] or 'unnamed'}",
        why=""
        if path
        else "ca.crt is not the CA that issued tls.crt: the root has a new key, or "
        "the Secret is a mixture of two issues",
        fix=""
        if path
        else "have cert-manager issue it anew: cmctl renew linkerd-identity-issuer, "
        "or delete the Secret",
    )


def _ca_proof(id_: str, title: str, certificate: Certificate) -> Proof:
    signs = not certificate.usages or "cert sign" in certificate.usages
    good = certificate.is_ca and signs
    return Proof(
        id_,
        title,
        "pass" if good else "fail",
        expected="CA true, key usage cert sign",
        seen=f"CA {str(certificate.is_ca).lower()}, key usage "
        f"{', '.join(certificate.usages) or 'not limited'}",
        why="" if good else "a certificate without the CA bit cannot sign others",
        fix="" if good else "set isCA: true (and usage cert sign) on the Certificate",
    )


def _algorithm_proof(who: str, certificate: Certificate, *, rsa: bool) -> Proof:
    ecdsa = certificate.key == "ECDSA P-256" and certificate.signature in (
        "ECDSA-SHA256",
        "RSA-SHA256",
    )
    big = certificate.key in ("RSA 2048", "RSA 4096") and certificate.signature == "RSA-SHA256"
    good = ecdsa or (rsa and big)
    title = "the issuer certificate" if who == "issuer" else f"the anchor {certificate.common_name}"
    return Proof(
        f"{who}-algorithm",
        f"{title} uses an algorithm Linkerd supports",
        "pass" if good else "fail",
        expected="ECDSA P-256 with SHA-256" + (" or RSA 2048/4096 with SHA-256" if rsa else ""),
        seen=f"{certificate.key}, signed with {certificate.signature}",
        why="" if good else "cert-manager makes RSA keys unless privateKey.algorithm says ECDSA",
        fix="" if good else "set privateKey.algorithm: ECDSA and size: 256 on the Certificate",
    )


def _renewal_proof(issuer: Certificate, now: datetime, renew_before: timedelta) -> Proof:
    left = issuer.not_after - now
    late = left < renew_before - timedelta(hours=1)  # an hour of slack for a busy cert-manager
    return Proof(
        "issuer-renewal",
        "the issuer certificate is renewed in time",
        "fail" if left <= timedelta(0) else "warn" if late else "pass",
        expected=f"renewed {span(renew_before)} before its end, "
        f"{moment(issuer.not_after - renew_before)}",
        seen=f"{span(left)} of {span(lifetime(issuer))} left. linkerd check warns below 60 days, "
        "always with an issuer this short; cert-manager renews it, so that is no alarm",
        why="its renewal time has passed" if late else "",
        fix="kubectl describe certificate linkerd-identity-issuer" if late else "",
    )


def _name_proof(issuer: Certificate, name: str) -> Proof:
    names = {issuer.common_name, *issuer.dns_names}
    good = issuer.common_name == name and name in (issuer.dns_names or (name,))
    return Proof(
        "issuer-name",
        f"the issuer certificate is named {name}",
        "pass" if good else "warn",
        expected=name,
        seen=", ".join(sorted(names - {""})) or "no name",
        why=""
        if good
        else "Linkerd does not verify the name; a different one only misleads readers",
    )


def _anchor_lifetime_proof(anchor: Certificate, now: datetime, warn_below: timedelta) -> Proof:
    left = anchor.not_after - now
    short = left < warn_below
    return Proof(
        "anchor-lifetime",
        f"the trust anchor {anchor.common_name} outlives the next year",
        "warn" if short else "pass",
        expected=f"more than {span(warn_below)} left",
        seen=f"{span(left)} left, until {moment(anchor.not_after)}",
        why="the anchor is frozen into Helm values: when it ends, the whole mesh stops trusting "
        "itself (the seed's own sample root lived 90 days, cert-manager's default)"
        if short
        else "",
        fix="give the root Certificate a duration of years and upgrade the control plane with it"
        if short
        else "",
    )
