"""Redaction and references."""

import base64
import json

import pytest
from make_certs import issue

from runbook.errors import ParameterError
from runbook.secrets import (
    REDACTED,
    Redactor,
    is_reference,
    resolve,
    resolve_all,
    secret_values,
)

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


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def test_a_secret_across_the_stream_outputs_of_a_cell_is_found():
    redactor = Redactor(["correct-horse-battery"])
    shown = {"output_type": "display_data", "data": {"text/plain": "x"}, "metadata": {}}
    outputs = [
        stream("it is correct-ho"),
        stream("warning\n", "stderr"),
        stream(["rse-bat", "tery\n", "more\n"]),
        shown,
        stream("correct-horse"),
    ]
    clean = redactor.data({"outputs": outputs})["outputs"]
    assert clean == [
        stream(f"it is {REDACTED}\nmore\n"),
        stream("warning\n", "stderr"),
        shown,
        stream("correct-horse"),
    ]
    assert outputs[0]["text"] == "it is correct-ho"


def test_the_lines_of_a_text_are_read_together():
    lines = [f"{line}\n" for line in KEY.splitlines()]
    assert PLAIN.data(["before\n", *lines, "after"]) == ["before\n", f"{REDACTED}\n", "after"]
    assert PLAIN.data(["a\n", "b"]) == ["a\n", "b"]
    assert PLAIN.data([]) == []


def test_variables_and_arguments_of_containers():
    container = {
        "env": [
            {"name": "DB_PASSWORD", "value": "hunter2"},
            {"name": "DB_TOKEN", "valueFrom": {"secretKeyRef": {"name": "x", "key": "token"}}},
            {"name": "MODE", "value": "fast"},
        ],
        "args": ["--password", "hunter2", "--token=hunter3", "--debug", "serve"],
    }
    assert PLAIN.data(container) == {
        "env": [
            {"name": "DB_PASSWORD", "value": REDACTED},
            {"name": "DB_TOKEN", "valueFrom": {"secretKeyRef": {"name": "x", "key": "token"}}},
            {"name": "MODE", "value": "fast"},
        ],
        "args": ["--password", REDACTED, f"--token={REDACTED}", "--debug", "serve"],
    }


def test_keys_are_redacted_and_stay_apart():
    tokens = [f"ghp_{'a' * 35}{n}" for n in range(3)]
    clean = PLAIN.data({token: n for n, token in enumerate(tokens)})
    assert clean == {REDACTED: 0, f"{REDACTED} 2": 1, f"{REDACTED} 3": 2}
    assert PLAIN.data(clean) == clean


def test_a_secret_that_is_a_word_of_records_leaves_them_readable():
    cell = {"cell_type": "code", "outputs": [stream("markdown, stream and status")]}
    clean = Redactor(["stream", "markdown", "status", "cell_type"]).data(cell | {"status": "ok"})
    assert clean["cell_type"] == "code"
    assert clean["outputs"][0]["output_type"] == "stream"
    assert clean["outputs"][0]["text"] == f"{REDACTED}, {REDACTED} and {REDACTED}"
    assert clean["status"] == "ok"


@pytest.mark.parametrize(
    ("data", "clean"),
    [
        ({"password": 12345678}, {"password": REDACTED}),
        ({"token": ["abc", "def"]}, {"token": [REDACTED, REDACTED]}),
        ({"token": {"expires": 5}}, {"token": {"expires": 5}}),
        ({"token": True, "password": ""}, {"token": True, "password": ""}),
        ({"Authorization": "Basic dTpw"}, {"Authorization": f"Basic {REDACTED}"}),
        ({"authorization": ["Bearer a1"]}, {"authorization": [f"Bearer {REDACTED}"]}),
        ({"auth": b64("pi:hunter2")}, {"auth": REDACTED}),
        ({"auth": "none"}, {"auth": "none"}),
        ({"type": ["x"], "kind": None, "data": {"a": "b"}},) * 2,
        ({1: "x", None: KEY}, {1: "x", None: REDACTED + "\n"}),
    ],
)
def test_what_a_name_says_of_its_value(data, clean):
    assert PLAIN.data(data) == clean
    assert PLAIN.data(clean) == clean


def test_json_in_a_text_is_redacted_as_data_and_keeps_its_look():
    data = {"kind": "Secret", "data": {"a": "c2VjcmV0"}, "metadata": {"name": "x"}}
    hidden = {**data, "data": {"a": REDACTED}}
    for options in ({}, {"indent": 2}, {"separators": (",", ":")}):
        assert PLAIN.text(json.dumps(data, **options)) == json.dumps(hidden, **options)
    annotation = json.dumps({"last-applied": json.dumps(data)})
    assert json.loads(json.loads(PLAIN.text(annotation))["last-applied"]) == hidden
    assert PLAIN.text('{ "a":1, "b" : 2.50 }') == '{ "a":1, "b" : 2.50 }'


def test_values_learned_later_are_found_in_texts_seen_before():
    redactor = Redactor()
    assert redactor.text("correct-horse") == "correct-horse"
    redactor.add("correct-horse")
    assert redactor.text("correct-horse") == REDACTED


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


def test_secrets_written_into_the_data_itself_are_reported_too():
    data = {
        "grafana": {"adminPassword": "correct-horse", "user": "admin"},
        "env": [{"name": "API_TOKEN", "value": "battery"}, {"name": "MODE", "value": "fast"}],
        "token": "env:HOME",
        "password": 123456,
        "tokens": {"token": False, "password": ""},
    }
    assert sorted(secret_values(data)) == ["123456", "battery", "correct-horse"]
    _, secrets = resolve_all({"grafana": data["grafana"]})
    assert secrets == ["correct-horse"]
