"""What the redactor finds, in every form in which a record may show it, and what it leaves."""

from __future__ import annotations

import base64
import html
import json
import pprint
import re
import textwrap
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from make_certs import issue
from secret_samples import CERTIFICATE, KEY, SAMPLES, Sample, b64, jwt, word

from runbook.redaction import names, scan
from runbook.redaction.known import SHORTEST
from runbook.secrets import REDACTED, Redactor
from runbook.show import diff_html

PLAIN = Redactor()
Form = Callable[[str], str]


def lines(text: str, before: str) -> str:
    return "\n".join(before + line for line in text.splitlines())


FORMS: dict[str, Form] = {
    "plain": lambda text: text,
    "prose": lambda text: f"it said:\n{text}\nand went on",
    "indented": lambda text: lines(text, "      "),
    "json": lambda text: json.dumps({"message": text}),
    "json in a log": lambda text: f"level=info {json.dumps({'message': text})}",
    "json in json": lambda text: f"got {json.dumps({'a': json.dumps({'m': text})})}",
    "python": lambda text: repr({"message": text}),
    "pprint": lambda text: pprint.pformat({"name": "x", "message": f"some words and {text}"}),
    "yaml": lambda text: yaml.safe_dump({"name": "x", "messages": [text, {"a": text}]}),
    "yaml in html": lambda text: html.escape(yaml.safe_dump({"message": text}, width=60)),
    "yaml in a diff": lambda text: diff_html(lines(yaml.safe_dump({"m": {"n": text}}), "+")),
    "html": lambda text: f"<pre>{html.escape(text)}</pre>",
    "json in html": lambda text: html.escape(json.dumps({"message": text})),
    "diff": lambda text: lines(text, "+"),
    "diff in html": lambda text: diff_html(lines(text, "-  ")),
    "base64": lambda text: f"it is {b64(text)}",
    "base64 in lines": lambda text: base64.encodebytes(text.encode()).decode(),
    "base64 in json": lambda text: json.dumps([base64.encodebytes(text.encode()).decode()]),
    "url": lambda text: f"https://x.local/?q={quote(text, safe='')}",
    "form": lambda text: f"q={quote_plus(text)}&page=2",
}


def seen(sample: Sample, text: str) -> list[str]:
    """Give the forms of a secret that a text still shows."""
    forms = [
        form
        for part in sample.parts
        for form in (part, quote(part, safe=""), html.escape(part), json.dumps(part)[1:-1])
    ]
    return [form for form in forms if form in text]


def test_there_are_samples_enough() -> None:
    assert len(SAMPLES) >= 30
    assert len({sample.kind for sample in SAMPLES}) >= 10


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.kind)
def test_secrets_are_found_by_themselves(sample: Sample, form: str) -> None:
    text = FORMS[form](sample.text)
    shown = PLAIN.text(text)
    assert not seen(sample, shown), f"{text!r} gave {shown!r}"
    assert REDACTED in shown
    assert PLAIN.text(shown) == shown
    if form.startswith("base64"):
        assert b64(sample.text)[:40] not in shown.replace("\\n", "").replace("\n", "")
    if form == "json":
        json.loads(shown)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.kind)
def test_what_is_around_a_secret_stays(sample: Sample) -> None:
    shown = PLAIN.text(f"before it\n{sample.text}\n\nafter it\n{CERTIFICATE}")
    assert shown.startswith("before it\n")
    assert shown.endswith(f"\nafter it\n{CERTIFICATE}")


@pytest.mark.parametrize(
    "text",
    [
        CERTIFICATE,
        b64(CERTIFICATE),
        base64.encodebytes(CERTIFICATE.encode()).decode(),
        f'"caBundle": "{b64(CERTIFICATE)}"',
        f"certificate-authority-data: {b64(CERTIFICATE)}",
        json.dumps({"ca.crt": CERTIFICATE}),
        "image: cr.l5d.io/linkerd/proxy@sha256:" + word(64, "0123456789abcdef"),
        "uid: 0b4b7e5c-1111-2222-3333-444455556666",
        'resourceVersion: "184467440737"',
        "SHA-256 " + ":".join(["AB", "09"] * 16),
        "checksum/config: " + word(64, "0123456789abcdef"),
        "https://helm.linkerd.io/stable/linkerd2-2.11.5.tgz",
        "https://10.0.0.1:6443/api/v1/namespaces/kube-system/secrets?limit=500",
        "oci://ghcr.io:443/charts/linkerd@sha256:abc",
        "https://[::1]:6443/x@y",
        "system:serviceaccount:linkerd:linkerd-identity@cluster",
        "spiffe://root.linkerd.cluster.local/ns/linkerd/sa/default",
        "automountServiceAccountToken: false",
        "automountServiceAccountToken: true   # the chart's default",
        "- serviceAccountToken:\n    audience: identity.l5d.io\n    path: linkerd-identity-token",
        "passwordSecretRef:\n  name: grafana\n  key: admin-password",
        "imagePullSecrets: [{name: regcred}]",
        "privateKey:\n  algorithm: ECDSA\n  rotationPolicy: Always",
        '{"privateKey": {"algorithm": "ECDSA"}, "secretName": "linkerd-identity-issuer"}',
        "password: env:GRAFANA_PASSWORD",
        "token: secret:linkerd/extra/token",
        "password: file:~/password",
        'password: ""',
        "token: null",
        "args: [$(TOKEN)]",
        "password: {{ .Values.password }}",
        "invalid token: expired",
        "Unauthorized: the bearer authentication of this user failed",
        "WWW-Authenticate: Bearer realm=x",
        "the webhook linkerd-proxy-injector-webhook-config is ready",
        "https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/",
        "kind: ConfigMap\ndata:\n  values: |\n    a: 1\n",
        '{"kind": "ConfigMap", "data": {"a": "visible"}}',
        "kind: ServiceAccount\nsecrets:\n- name: default-token-x2x4z",
        "- data:\n    a: visible\n  kind: ConfigMap\n- kind: Secret\n",
        "AKIAB is no key id, and BAKIA0123456789ABCDEFG neither",
        "echo $1 $2y ${HOME} $(date)",
        "frameworks.something.else and keyJsonSchema.properties.metadata",
        "100% of ServiceAccountTokenVolumeProjection is ApplicationAvailableCondition",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert PLAIN.text(text) == text
    assert PLAIN.text(json.dumps({"x": text})) == json.dumps({"x": text})


@pytest.mark.parametrize(
    "shape",
    [
        lambda key: key,
        lambda key: key[:120],
        lambda key: key[-120:],
        lambda key: lines(key, "2026-01-01T00:00:00.000000000Z stdout F "),
        lambda key: lines(key, "[pod/x/y] "),
        lambda key: repr(key.splitlines()),
        lambda key: json.dumps(key.splitlines(), indent=1),
        lambda key: key.replace("\n", "\r\n"),
        lambda key: key.replace("\n", "<br>"),
        lambda key: key.replace("\n", " "),
        lambda key: key.replace("/", "\\/").replace("\n", "\\n"),
        lambda key: diff_html(lines(key, "+  ")),
        lambda key: f"{CERTIFICATE}{key}",
        lambda key: f"{CERTIFICATE}{key}{CERTIFICATE}",
        lambda key: b64(CERTIFICATE + key),
    ],
)
def test_private_keys_are_found_in_pieces_and_among_markup(shape: Form) -> None:
    key = issue("pieces").key_pem
    shown = PLAIN.text(f"see: {shape(key)} end")
    body = [line for line in key.splitlines() if "-----" not in line]
    for line in body:
        assert line[:20] not in shown.replace("\\/", "/")
        assert line[-8:] not in shown.replace("\\/", "/")
    assert "PRIVATE KEY" not in shown
    assert shown.startswith("see: ")
    if CERTIFICATE in shape(key):
        assert CERTIFICATE.strip() in shown


def test_markup_around_a_key_stays_whole() -> None:
    shown = PLAIN.text(diff_html(lines(KEY, "+")))
    assert len(re.findall("<div", shown)) == len(re.findall("</div>", shown))


KNOWN = {
    "plain": "correct-horse-battery",
    "short": "s3cr3t",
    "marks": "a\"b'c&d<e>f",
    "address": "pa ss/wo+rd?x=1&y",
    "backslash": "back\\slash\\end",
    "lines": "first line of it\nsecond line of it",
    "accents": "ünïcödé-pass",
    "key": KEY.strip(),
    "long": " ".join(["many", "words", "of", "one", "secret"] * 8),
    "brackets": "x{}[]|:;,.'",
}
KNOWN_FORMS: dict[str, Form] = {
    "raw": str,
    "json": json.dumps,
    "json with letters": lambda value: json.dumps(value, ensure_ascii=False),
    "json in json": lambda value: json.dumps(json.dumps(value)),
    "python": repr,
    "html": html.escape,
    "html with breaks": lambda value: html.escape(value).replace("\n", "<br>"),
    "json in html": lambda value: html.escape(json.dumps(value)),
    "url": lambda value: quote(value, safe=""),
    "path": quote,
    "form": quote_plus,
    "base64": b64,
    "base64 with newline": lambda value: b64(f"{value}\n"),
    "base64 after 1": lambda value: b64(f"u{value}"),
    "base64 after 2": lambda value: b64(f"u:{value}z"),
    "base64 after 3": lambda value: b64(f"us:{value}yz"),
    "base64 for urls": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
    "base64 in lines": lambda value: base64.encodebytes(f"{'x' * 50} {value}".encode()).decode(),
    "yaml": lambda value: yaml.safe_dump({"k": value}, width=30),
    'yaml "': lambda value: yaml.safe_dump({"k": value}, width=30, default_style='"'),
    "yaml '": lambda value: yaml.safe_dump({"k": value}, width=30, default_style="'"),
    "yaml |": lambda value: yaml.safe_dump({"k": value}, width=30, default_style="|"),
    "diff": lambda value: lines(value, "+  "),
    "wrapped": lambda value: "\n".join(textwrap.wrap(value, 30, break_long_words=False)),
}


@pytest.mark.parametrize("form", KNOWN_FORMS)
@pytest.mark.parametrize("kind", KNOWN)
def test_known_values_are_found_in_every_form(kind: str, form: str) -> None:
    value = KNOWN[kind]
    redactor = Redactor([value])
    written = KNOWN_FORMS[form](value)
    shown = redactor.text(f"here: {written} !")
    # What may be left are the quotes and marks of the notation.
    left = shown.replace(REDACTED, "")
    assert REDACTED in shown
    assert len(left) < 25, f"{written!r} gave {shown!r}"
    assert not {part for part in re.findall(r"\w{5,}", value) if part in left}
    assert redactor.text(shown) == shown


def test_values_shorter_than_the_least_are_left() -> None:
    assert SHORTEST == 6
    assert Redactor(["12345", "yes", ""]).text("12345 yes") == "12345 yes"
    assert Redactor(["123456"]).text("123456") == REDACTED


def test_a_known_certificate_stays_visible() -> None:
    redactor = Redactor([CERTIFICATE, f"{CERTIFICATE}{KEY}"])
    shown = redactor.text(f"{CERTIFICATE}{b64(CERTIFICATE)}\n{KEY}")
    assert shown == f"{CERTIFICATE}{b64(CERTIFICATE)}\n{REDACTED}\n"


def test_passwords_in_a_known_file_are_known_by_themselves() -> None:
    redactor = Redactor(["[default]\naws_access_key_id=x\naws_secret_access_key=k3lv1n-scale\n"])
    assert redactor.text("bad credentials k3lv1n-scale") == f"bad credentials {REDACTED}"


def test_a_known_value_cannot_break_the_mark() -> None:
    redactor = Redactor(["redacted", "abcdef[", "]ghijkl"])
    shown = redactor.text("abcdef[ and ]ghijkl, redacted and [redacted]")
    assert shown == " and ".join([REDACTED, f"{REDACTED}, {REDACTED}", REDACTED])
    assert redactor.text(shown) == shown


def test_the_same_value_in_capitals_is_another() -> None:
    assert Redactor(["correct-horse"]).text("CORRECT-HORSE") == "CORRECT-HORSE"


def test_a_block_of_yaml_is_hidden_line_by_line() -> None:
    text = "a:\n  password: |\n    one\n    two\n\n    three\n  name: x\n"
    shown = PLAIN.text(text)
    assert not {"one", "two", "three"} & set(re.findall(r"\w+", shown))
    assert "  name: x\n" in shown
    assert shown.count("\n") == text.count("\n")


def test_only_secrets_among_objects_are_hidden() -> None:
    objects = [
        {"kind": "ConfigMap", "data": {"a": "visible-1"}},
        {"kind": "Secret", "data": {"a": "hidden-1"}, "stringData": {"b": "hidden-2"}},
        {"kind": "ConfigMap", "data": {"a": "visible-2"}},
        {"data": {"a": "hidden-3"}, "type": "Opaque", "metadata": {"name": "of a list"}},
    ]
    documents = yaml.safe_dump_all(objects, default_flow_style=False)
    listed = yaml.safe_dump({"items": objects})
    for text in (repr(objects), f"{json.dumps(objects)} end", documents, listed):
        shown = PLAIN.text(text)
        assert re.findall(r"visible-\d", shown) == ["visible-1", "visible-2"]
        assert "hidden-1" not in shown
        assert "hidden-2" not in shown
    assert "hidden-3" not in PLAIN.text(repr(objects))
    clean = PLAIN.data(objects)
    assert [item.get("data") for item in clean] == [
        {"a": "visible-1"},
        {"a": REDACTED},
        {"a": "visible-2"},
        {"a": REDACTED},
    ]


def test_a_secret_cut_off_is_hidden_as_far_as_it_goes() -> None:
    text = '{"kind": "Secret", "metadata": {"name": "x"}, "data": {"a": "c2VjcmV0LXdvcmQ='
    assert "c2VjcmV0" not in PLAIN.text(text)


def test_colours_of_a_traceback_do_not_hide_a_name() -> None:
    text = "\x1b[0mconnect(password\x1b[38;5;241m=\x1b[39m\x1b[38;5;124m'hunter2 x'\x1b[39m)"
    assert "hunter2" not in PLAIN.text(text)


@pytest.mark.parametrize(
    ("text", "start", "quoted", "value"),
    [
        ('"a" b', 1, '"', "a"),
        (r'"a\"b" c', 1, '"', r"a\"b"),
        (r'"a\\" c"', 1, '"', r"a\\"),
        (r"x \"a\\\"b\" c", 4, r"\"", r"a\\\"b"),
        (r'{"x": "\"a"}', 9, r"\"", "a"),
        ("'it''s' x", 1, "'", "it''s"),
        ("'' x", 1, "'", ""),
        ("&quot;a b&quot; c", 6, "&quot;", "a b"),
        ('"a\nb', 1, '"', "a"),
    ],
)
def test_where_a_quoted_value_ends(text: str, start: int, quoted: str, value: str) -> None:
    assert text[start : scan.closing(text, start, quoted)] == value


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *((name, True) for name in ("password", "DB_PASSWORD", "adminPassword", "tls.key")),
        *((name, True) for name in ("id-token", "secretAccessKey", "client-key-data", "keyPEM")),
        *((name, False) for name in ("tokenRef", "passwordKey", "secretName", "maxTokens")),
        *((name, False) for name in ("automountServiceAccountToken", "key", "ca.crt", "user")),
    ],
)
def test_names_of_secrets(name: str, secret: bool) -> None:
    assert names.is_secret(name) == secret


TEXT = st.text(max_size=80)
NOTATION = st.text(alphabet="\\\"'{}[]:,=<>&;-+|\n\r\t %#$@/abcN0", max_size=80)
PIECES = st.one_of(
    TEXT,
    NOTATION,
    st.sampled_from([REDACTED, scan.MARK, "kind: Secret\n", '"data": {', "data:\n", "password: "]),
    st.sampled_from(["token=", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "<br>"]),
    st.sampled_from(["\\n", "&quot;", "\\u003d", "%3D", "Bearer ", "://", "--token ", "|\n  "]),
    st.sampled_from(SAMPLES).map(lambda sample: sample.text),
    st.sampled_from(list(KNOWN.values())),
)
MIXED = st.lists(PIECES, max_size=8).map("".join)
DATA = st.recursive(
    st.one_of(MIXED, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(MIXED, inner, max_size=4),
    max_leaves=8,
)
KNOWING = Redactor([*KNOWN.values(), "redacted"])


@given(MIXED)
@settings(max_examples=400, deadline=None)
def test_redacting_twice_is_redacting_once(text: str) -> None:
    once = KNOWING.text(text)
    assert KNOWING.text(once) == once


@given(DATA)
@settings(max_examples=200, deadline=None)
def test_data_redacted_twice_is_redacted_once(data: object) -> None:
    once = KNOWING.data(data)
    assert KNOWING.data(once) == once


@given(DATA, st.sampled_from([None, 2]))
@settings(max_examples=200, deadline=None)
def test_json_stays_json(data: object, indent: int | None) -> None:
    json.loads(KNOWING.text(json.dumps(data, indent=indent)))
    json.loads(KNOWING.text(json.dumps(data, indent=indent, ensure_ascii=False)))


ALONE = [s for s in SAMPLES if s.kind in {"private key", "age key", "service account token"}]
ALONE += [s for s in SAMPLES if s.kind in {"github", "grafana", "webhook", "gitlab", "vault"}]


@given(TEXT, st.sampled_from(ALONE), TEXT)
@settings(max_examples=400, deadline=None)
def test_a_secret_is_found_whatever_is_around_it(before: str, sample: Sample, after: str) -> None:
    shown = PLAIN.text(f"{before} {sample.text} {after}")
    assert not [part for part in sample.parts if part in shown]


@given(TEXT, st.sampled_from(sorted(KNOWN)), TEXT)
@settings(max_examples=400, deadline=None)
def test_a_known_value_is_found_whatever_is_around_it(before: str, kind: str, after: str) -> None:
    redactor = Redactor([KNOWN[kind]])
    assert KNOWN[kind] not in redactor.text(f"{before}{KNOWN[kind]}{after}")


@given(TEXT, TEXT)
@settings(max_examples=200, deadline=None)
def test_a_certificate_stays_whatever_is_around_it(before: str, after: str) -> None:
    text = f"{before}\n{CERTIFICATE}\n{b64(CERTIFICATE)}\n{after}"
    shown = PLAIN.text(text)
    assert CERTIFICATE in shown
    assert b64(CERTIFICATE) in shown


def test_a_long_text_of_one_kind_takes_no_longer_than_its_length() -> None:
    """Nothing is looked at again and again: each of these once took minutes, or for ever."""
    size = 20_000
    words = (
        "a",
        "A1b2",
        '"',
        "\\",
        "password:",
        "eyJ",
        "://a:",
        "kind: Secret\n",
        '{"data":{',
        "%41",
    )
    for text in (*words, "-----BEGIN PRIVATE KEY-----", "&quot;", "name: token value ", "hooks/"):
        PLAIN.text(text * (size // len(text)))
    Redactor(["one two"]).text("one" + "\n" * size)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"<{jwt('x')}>", "<*>"),
        ("https://hooks.slack.com/services/T1/B2/c3", "https://hooks.slack.com/*"),
        ("https://discord.com/api/webhooks/123/abc-def", "https://discord.com/api/webhooks/*"),
        ("https://api.telegram.org/bot1:AAx/send", "https://api.telegram.org/*"),
        ("https://pi:hunter2@x.local/y?z=1", "https://*@x.local/y?z=1"),
        ("K3S_TOKEN=K10" + "a" * 64 + "::server:" + "b" * 32 + " k3s", "K3S_TOKEN=* k3s"),
        ("got K10" + "a" * 64 + "::server:" + "b" * 32 + ", ok", "got *, ok"),
        ("Authorization: Basic dXNlcjpwYXNz, more", "Authorization: Basic *, more"),
        ("admin:$apr1$abcdefgh$" + "i" * 22, "admin:*"),
        ("x --password hunter2 --debug", "x --password * --debug"),
        ("?token=abc&page=2", "?token=*&page=2"),
        ("say: DB_PASSWORD: |\n    a\n    b\nc: d", "say: DB_PASSWORD: |\n    *\n    *\nc: d"),
        ("{'a': {'password': 'it\\'s'}, 'b': 1}", "{'a': {'password': '*'}, 'b': 1}"),
    ],
)
def test_what_is_left_reads_well(text: str, shown: str) -> None:
    assert PLAIN.text(text) == shown.replace("*", REDACTED)
