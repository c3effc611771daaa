"""What is proven, doubted and refuted about issuers, anchors and webhook certificates."""

import re
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from make_certs import IDENTITY, NOW, YEAR, issue, issuer

from runbook.certs import parse_bundle
from runbook.proofs import anchor_proofs, issuer_proofs, server_proofs

RSA_KEY = rsa.generate_private_key(65537, 2048)
BIG_CURVE = ec.generate_private_key(ec.SECP384R1())


def read(*issued):
    return parse_bundle("".join(one.pem for one in issued))


def said(value):
    """Name a parameter, the same in every process."""
    return re.sub(r" object at 0x[0-9a-f]+", "", str(value))


def verdicts(proofs):
    return {proof.id: proof.verdict for proof in proofs}


def prove_issuer(one, root, now=NOW):
    return issuer_proofs(
        read(one)[0], read(root), now=now, name=IDENTITY, renew_before=timedelta(hours=25)
    )


def test_a_seed_style_issuer_proves_everything():
    root = issue("picluster-ca")
    assert set(verdicts(prove_issuer(issuer(root), root)).values()) == {"pass"}


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"ca": False}, {"issuer-ca-bit": "fail"}),
        ({"cert_sign": False}, {"issuer-ca-bit": "fail"}),
        ({"key": RSA_KEY}, {"issuer-algorithm": "fail"}),
        ({"key": BIG_CURVE}, {"issuer-algorithm": "fail"}),
        ({"dns": ("other.local",)}, {"issuer-name": "warn"}),
        (
            {"extended": (x509.ExtendedKeyUsageOID.CLIENT_AUTH,)},
            {"issuer-chain": "fail"},
        ),
        (
            {"start": NOW + timedelta(minutes=5)},
            {"issuer-validity": "fail"},
        ),
        (
            {"start": NOW - timedelta(hours=30)},
            {"issuer-renewal": "warn"},
        ),
        (
            {"start": NOW - timedelta(hours=50)},
            {"issuer-validity": "fail", "issuer-renewal": "fail"},
        ),
    ],
    ids=said,
)
def test_each_defect_is_found_and_only_it(changes, broken):
    root = issue("picluster-ca")
    found = verdicts(prove_issuer(issuer(root, **changes), root))
    assert {key: value for key, value in found.items() if value != "pass"} == broken


def test_an_anchor_that_does_not_sign_the_issuer_fails_with_both_keys():
    old, new = issue("picluster-ca"), issue("picluster-ca")
    chain = next(p for p in prove_issuer(issuer(new), old) if p.id == "issuer-chain")
    assert chain.verdict == "fail"
    assert read(old)[0].ski[:16] in chain.expected
    assert read(new)[0].ski[:16] in chain.seen
    assert chain.fix


def test_the_short_life_of_the_issuer_is_explained_without_alarm():
    root = issue("picluster-ca")
    renewal = next(p for p in prove_issuer(issuer(root), root) if p.id == "issuer-renewal")
    assert renewal.verdict == "pass"
    assert "60 days" in renewal.seen


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({}, {}),
        ({"key": RSA_KEY}, {}),
        ({"key": BIG_CURVE}, {"anchor-algorithm": "fail"}),
        ({"ca": False}, {"anchor-ca-bit": "fail"}),
        ({"lasts": timedelta(days=90)}, {"anchor-lifetime": "warn"}),
        (
            {"start": NOW - 2 * YEAR, "lasts": YEAR},
            {"anchor-validity": "fail", "anchor-lifetime": "warn"},
        ),
    ],
    ids=said,
)
def test_anchors(changes, broken):
    found = verdicts(anchor_proofs(read(issue("picluster-ca", **changes)), now=NOW))
    assert {key: value for key, value in found.items() if value != "pass"} == broken


def test_every_anchor_of_a_bundle_is_looked_at():
    bundle = read(issue("new"), issue("old", lasts=timedelta(days=30)))
    lifetimes = [p for p in anchor_proofs(bundle, now=NOW) if p.id == "anchor-lifetime"]
    assert [p.verdict for p in lifetimes] == ["pass", "warn"]
    assert "old" in lifetimes[1].title


NAME = "linkerd-proxy-injector.linkerd.svc"


@pytest.mark.parametrize(
    ("dns", "other_bundle", "age", "broken"),
    [
        ((NAME,), False, timedelta(0), set()),
        (("else.linkerd.svc",), False, timedelta(0), {"name"}),
        ((NAME,), True, timedelta(0), {"chain"}),
        ((NAME,), False, 2 * YEAR, {"server-validity"}),
    ],
)
def test_webhook_certificates(dns, other_bundle, age, broken):
    server = issue("webhook", dns=dns, start=NOW - age, lasts=YEAR)
    bundle = read(issue("webhook", dns=dns) if other_bundle else server)
    found = server_proofs(read(server)[0], bundle, now=NOW, name=NAME)
    assert {proof.id for proof in found if proof.verdict == "fail"} == broken
