"""Redaction and references."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_certs import issue

from runbook.errors import ParameterError
from runbook.secrets import REDACTED, Redactor, is_reference, resolve, resolve_all

ONE = issue("one")
KEY = ONE.key_pem
BODY = KEY.splitlines()[1]
PLAIN = Redactor()


def b64(text):
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        f"before\n{KEY}after",
        json.dumps({"tls.key": KEY}),
        KEY[:150],
        KEY.replace("\n", "\\n"),
        "\n".join(f"    {line}" for line in KEY.splitlines()),
        KEY.replace("PRIVATE", "EC PRIVATE"),
        b64(KEY),
        f'{{"tls.key": "{b64(KEY)}"}}',
    ],
    ids=["pem", "inside", "json", "cut", "escaped", "indented", "ec", "base64", "base64-json"],
)
def test_private_keys_are_replaced_in_every_form(text):
    shown = PLAIN.text(text)
    assert "PRIVATE KEY" not in shown
    assert BODY[:30] not in shown
    assert b64(KEY)[:40] not in shown
    assert REDACTED in shown


def test_text_around_a_key_stays():
    assert PLAIN.text(f"before\n{KEY}after") == f"before\n{REDACTED}\nafter"


def test_certificates_stay_as_pem_and_as_base64():
    text = f"{ONE.pem} {b64(ONE.pem)}"
    assert PLAIN.text(text) == text


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abcdef123456", "abcdef123456"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("got eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl back", "c2lnbmF0dXJl"),
        ("https://user:hunter2@charts.local/x", "hunter2"),
        ("client-key-data: LS0tLS1CRUdJTiBFQyBQUklWQVRF", "LS0tLS1CRUdJTiBFQyBQUklWQVRF"),
        ("    token: abc123def456", "abc123def456"),
        ("{token: abc123def456}", "abc123def456"),
        ('{"password": "correct horse"}', "correct"),
    ],
)
def test_credentials_are_recognised_by_their_form(text, secret):
    assert secret not in PLAIN.text(text)


@pytest.mark.parametrize(
    "text",
    [
        "basic constraints CA: true",
        "the token is fine",
        "https://helm.linkerd.io/stable",
        "system:serviceaccount:linkerd:linkerd-identity@cluster",
        "identity.linkerd.cluster.local",
    ],
)
def test_ordinary_text_stays(text):
    assert PLAIN.text(text) == text


def test_known_values_are_replaced_as_they_are_and_as_base64():
    secret = "correct horse battery"
    redactor = Redactor([secret])
    for form in (secret, b64(secret), b64(secret + "\n"), json.dumps(secret)):
        assert secret not in redactor.text(form)
        assert b64(secret) not in redactor.text(form)
        assert REDACTED in redactor.text(form)


def test_a_known_value_with_lines_is_replaced_line_by_line():
    assert BODY not in Redactor([KEY]).text(f"a line of it: {BODY}")


def test_short_known_values_do_not_blot_out_words():
    assert Redactor(["a", "no", ""]).text("a banana, no") == "a banana, no"


def test_its_repr_says_nothing():
    assert "battery" not in repr(Redactor(["correct horse battery"]))


def test_a_kubernetes_secret_loses_all_but_its_certificates():
    secret = {
        "kind": "Secret",
        "metadata": {"name": "x"},
        "data": {"tls.crt": b64(ONE.pem), "tls.key": b64(KEY), "other": "c2VjcmV0"},
        "stringData": {"password": "x"},
    }
    shown = PLAIN.data(secret)
    assert shown["data"] == {"tls.crt": b64(ONE.pem), "tls.key": REDACTED, "other": REDACTED}
    assert shown["stringData"] == {"password": REDACTED}
    assert shown["metadata"] == {"name": "x"}
    assert secret["stringData"] == {"password": "x"}


def test_nested_data_is_walked_and_config_maps_stay():
    data = {
        "items": [{"kind": "ConfigMap", "data": {"values": "a: 1", "key": KEY}}],
        "proxy": {"password": "pw", "cores": 1},
        "reference": {"password": "env:PW"},
        "tuple": (KEY, 1, None, True),
    }
    assert PLAIN.data(data) == {
        "items": [{"kind": "ConfigMap", "data": {"values": "a: 1", "key": REDACTED + "\n"}}],
        "proxy": {"password": REDACTED, "cores": 1},
        "reference": {"password": "env:PW"},
        "tuple": [REDACTED + "\n", 1, None, True],
    }


@given(st.text(max_size=300))
def test_any_text_can_be_redacted_twice(text):
    once = PLAIN.text(text)
    assert PLAIN.text(once) == once


@pytest.mark.parametrize("text", ["env:A", "file:~/x", "secret:ns/name/key"])
def test_references(text):
    assert is_reference(text)


@pytest.mark.parametrize("text", ["", "env:", "file:///x", "Env:A", "a env:B", "https://x"])
def test_what_is_no_reference(text):
    assert not is_reference(text)


def test_references_are_resolved(monkeypatch, tmp_path):
    monkeypatch.setenv("RUNBOOK_TEST", "one")
    (tmp_path / "two").write_text("two\n")
    assert resolve("env:RUNBOOK_TEST") == "one"
    assert resolve(f"file:{tmp_path}/two") == "two"
    assert resolve("secret:a/b/c", read_secret=lambda *parts: "/".join(parts)) == "a/b/c"


@pytest.mark.parametrize(
    "reference", ["env:NOT_SET_ANYWHERE", "file:/no/such/file", "secret:a/b", "secret:a//c", "x"]
)
def test_references_that_lead_nowhere_are_parameter_errors(reference):
    with pytest.raises(ParameterError):
        resolve(reference, read_secret=lambda *_: "never")


def test_a_secret_reference_needs_a_cluster():
    with pytest.raises(ParameterError, match="no cluster"):
        resolve("secret:a/b/c")


def test_every_reference_in_nested_values_is_resolved_and_reported(monkeypatch):
    monkeypatch.setenv("RUNBOOK_TEST", "s3cret")
    values = {"a": [{"b": "env:RUNBOOK_TEST"}], "c": 1}
    resolved, secrets = resolve_all(values)
    assert resolved == {"a": [{"b": "s3cret"}], "c": 1}
    assert secrets == ["s3cret"]
    assert values["a"] == [{"b": "env:RUNBOOK_TEST"}]
