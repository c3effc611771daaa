"""X.509 facts, bundles, chains and key matching, on real certificates."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from make_certs import IDENTITY, YEAR, issue, issuer

from runbook.certs import chain, key_matches, parse_bundle, pem, same
from runbook.errors import CertificateError


def read(*issued):
    return parse_bundle("".join(one.pem for one in issued))


def test_the_facts_of_a_certificate():
    root = issue("root")
    [facts] = read(issuer(root, extended=(x509.ExtendedKeyUsageOID.SERVER_AUTH,)))
    assert facts.common_name == IDENTITY
    assert facts.dns_names == (IDENTITY,)
    assert (facts.key, facts.signature) == ("ECDSA P-256", "ECDSA-SHA256")
    assert facts.is_ca
    assert facts.path_length is None
    assert "cert sign" in facts.usages
    assert facts.extended == ("server auth",)
    assert facts.not_after - facts.not_before == timedelta(hours=48)
    assert facts.aki == read(root)[0].ski


@pytest.mark.parametrize(
    ("key", "digest", "expected"),
    [
        (ec.generate_private_key(ec.SECP384R1()), None, ("ECDSA P-384", "ECDSA-SHA256")),
        (rsa.generate_private_key(65537, 2048), None, ("RSA 2048", "RSA-SHA256")),
        (
            ec.generate_private_key(ec.SECP256R1()),
            hashes.SHA512(),
            ("ECDSA P-256", "ECDSA-SHA512"),
        ),
    ],
)
def test_key_and_signature_are_named(key, digest, expected):
    [facts] = read(issue("root", key=key, digest=digest))
    assert (facts.key, facts.signature) == expected


def test_neither_repr_nor_description_shows_the_bytes():
    [facts] = read(issue("root"))
    assert "der=" not in repr(facts)
    assert facts.short in facts.describe()


def test_a_bundle_keeps_its_order_and_ignores_what_is_between():
    one, two = issue("one"), issue("two")
    text = f"# first\r\n{one.pem}\n   \nSubject: two\n{two.pem}"
    assert [c.common_name for c in parse_bundle(text)] == ["one", "two"]


@pytest.mark.parametrize("text", ["", "  \n", "hello"])
def test_a_text_without_certificates_is_an_error_naming_the_source(text):
    with pytest.raises(CertificateError, match="Secret linkerd/x holds no certificate"):
        parse_bundle(text, source="Secret linkerd/x")


def test_a_broken_certificate_is_an_error_that_does_not_repeat_it():
    broken = "-----BEGIN CERTIFICATE-----\nQUJDREVGR0g=\n-----END CERTIFICATE-----"
    with pytest.raises(CertificateError, match="cannot be read") as caught:
        parse_bundle(broken)
    assert "QUJDREVGR0g" not in str(caught.value)


def test_a_private_key_in_the_text_is_neither_read_nor_written_back():
    one = issue("one")
    bundle = parse_bundle(one.key_pem + one.pem)
    assert len(bundle) == 1
    assert "PRIVATE" not in pem(bundle) + repr(bundle)


def test_bundles_compare_by_fingerprint_not_by_text():
    one, two = issue("one"), issue("two")
    crlf = parse_bundle(two.pem.replace("\n", "\r\n") + "\n\n" + one.pem)
    assert same(read(one, two), crlf)
    assert not same(read(one), crlf)
    assert pem(crlf).count("BEGIN CERTIFICATE") == 2
    assert same(parse_bundle(pem(crlf)), crlf)


def test_keys_match_their_own_certificate_only():
    one, two = issue("one"), issue("two")
    [facts] = read(one)
    assert key_matches(facts, one.key_pem)
    assert not key_matches(facts, two.key_pem)
    assert not key_matches(facts, "not a key")
    assert not key_matches(facts, "")


def test_an_ed25519_key_is_named_and_never_matches():
    [facts] = read(issue("root"))
    other = ed25519.Ed25519PrivateKey.generate()
    with_key = issue("ed", by=issue("root2"), key=other)
    assert read(with_key)[0].key == "Ed25519"
    assert not key_matches(facts, with_key.key_pem)


def test_a_chain_leads_to_the_anchor():
    root = issue("root")
    leaf = issuer(root)
    assert [c.common_name for c in chain(read(leaf)[0], read(root))] == [IDENTITY, "root"]


def test_a_chain_goes_through_intermediates_in_any_order():
    root = issue("root")
    upper = issue("upper", root)
    lower = issue("lower", upper)
    leaf = issuer(lower)
    path = chain(read(leaf)[0], read(root), read(upper, lower))
    assert [c.common_name for c in path] == [IDENTITY, "lower", "upper", "root"]
    assert chain(read(leaf)[0], read(root), read(upper)) == ()


def test_a_certificate_that_is_the_anchor_needs_no_chain():
    one = issue("webhook", ca=False)
    assert len(chain(read(one)[0], read(one))) == 1


def test_a_root_of_the_same_name_with_another_key_does_not_sign():
    old, new = issue("root"), issue("root")
    assert chain(read(issuer(new))[0], read(old)) == ()
    assert len(chain(read(issuer(new))[0], read(old, new))) == 2


@pytest.mark.parametrize(
    "changes", [{"ca": False}, {"path_length": 0}, {"cert_sign": False}], ids=str
)
def test_a_parent_that_may_not_sign_cas_is_no_parent(changes):
    root = issue("root", **changes)
    assert chain(read(issuer(root))[0], read(root)) == ()


def test_the_root_may_be_renewed_with_its_key():
    old = issue("root", lasts=YEAR)
    new = issue("root", key=old.key)
    assert chain(read(issuer(new))[0], read(old))[-1].fingerprint == read(old)[0].fingerprint
