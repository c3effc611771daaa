"""Secrets of many kinds as they are met, each with the part that nobody may see."""

from __future__ import annotations

import base64
import json
import random
import string
from dataclasses import dataclass, field

from make_certs import issue

_RANDOM = random.Random(20)
_LETTERS = string.ascii_letters + string.digits


def word(length: int, letters: str = _LETTERS) -> str:
    """Give a new random text; the same ones at every run of the tests."""
    return "".join(_RANDOM.choices(letters, k=length))


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _url64(data: dict[str, object]) -> str:
    encoded = base64.urlsafe_b64encode(json.dumps(data, separators=(",", ":")).encode())
    return encoded.decode().rstrip("=")


def jwt(name: str) -> str:
    """Give a token as the API server issues them to service accounts."""
    account = f"system:serviceaccount:default:{name}"
    claims = {"iss": "https://kubernetes.default.svc", "sub": account, "jti": word(12)}
    return f"{_url64({'alg': 'RS256', 'kid': word(8)})}.{_url64(claims)}.{word(86)}"


KEY = issue("planted").key_pem
CERTIFICATE = issue("planted").pem
HEX = "0123456789abcdef"


@dataclass(frozen=True)
class Sample:
    """One secret.

    Attributes:
        kind: What it is.
        secret: What must not be seen: one text, or the lines of it.
        text: How it is met, the secret in it.
    """

    kind: str
    secret: str
    text: str = field(repr=False)

    @property
    def parts(self) -> list[str]:
        """Give what to search for: a key is broken into lines, and each counts."""
        lines = [line for line in self.secret.splitlines() if "-----" not in line]
        return [line for line in lines if len(line) > 5]


def _sample(kind: str, form: str, secret: str) -> Sample:
    return Sample(kind, secret, form.replace("{}", secret))


def _pem(label: str) -> str:
    body = "\n".join(word(64) for _ in range(3))
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----"


_USER, _PASSWORD = "pi", word(14)
_DOCKER = b64(f"{_USER}:{_PASSWORD}")

SAMPLES: tuple[Sample, ...] = (
    _sample("private key", "{}", KEY.strip()),
    _sample("private key", "{}", _pem("RSA PRIVATE KEY")),
    _sample("private key", "{}", _pem("EC PRIVATE KEY")),
    _sample("private key", "{}", _pem("ENCRYPTED PRIVATE KEY")),
    _sample("ssh key", "{}", _pem("OPENSSH PRIVATE KEY")),
    _sample("pgp key", "{}", _pem("PGP PRIVATE KEY BLOCK")),
    _sample("age key", "AGE-SECRET-KEY-1{}", word(58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L")),
    _sample("service account token", "{}", jwt("default")),
    _sample("service account token", "the token {} has expired", jwt("builder")),
    _sample("bearer", "Authorization: Bearer {}", word(20)),
    _sample("bearer", "'authorization': 'Bearer {}'", word(20)),
    _sample("bearer", "curl -H 'Authorization: Bearer {}' https://10.0.0.1", word(20)),
    _sample("basic", "Authorization: Basic {}", b64(f"admin:{word(10)}")),
    _sample("url", "https://pi:{}@charts.local/stable", word(12)),
    _sample("url", "postgres://pi:{}@db:5432/x?sslmode=disable", f"p@{word(9)}"),
    _sample("url", "redis://:{}@cache:6379/0", f"a/{word(9)}"),
    _sample("url", "https://{}@gitea.local/pi/charts.git", word(40, HEX)),
    _sample("database", "pi:{}@tcp(10.0.0.2:3306)/k3s", word(12)),
    _sample("kubeconfig", "    client-key-data: {}", b64(_pem("EC PRIVATE KEY"))),
    _sample("kubeconfig", "    token: {}", word(24)),
    _sample("kubeconfig", '{"user": {"password": "{}"}}', f"correct {word(5)} battery"),
    _sample("kubeconfig", "{'user': {'token': '{}', 'x': 1}}", word(18)),
    _sample("k3s", "K3S_TOKEN=K10{}", f"{word(64, HEX)}::server:{word(32, HEX)}"),
    _sample("k3s", "K10{}", f"{word(64, HEX)}::node:{word(32, HEX)}"),
    _sample("k3s", "K10{}", f"{word(64, HEX)}::{word(6, HEX)}.{word(16, HEX)}"),
    _sample("registry", '{"auths": {"r.local": {"auth": "{}"}}}', _DOCKER),
    _sample("registry", '{"auths":{"r.local":{"username":"pi","password":"{}"}}}', word(14)),
    _sample(
        "registry", ".dockerconfigjson: {}", b64(json.dumps({"auths": {"r": {"auth": _DOCKER}}}))
    ),
    _sample("htpasswd", "admin:{}", f"$apr1${word(8)}${word(22)}"),
    _sample("htpasswd", "admin:{}", f"$2y$05${word(53)}"),
    _sample("htpasswd", "admin:{SHA}{}", b64(word(20))),
    _sample("aws", "aws_access_key_id = {}", f"AKIA{word(16, string.ascii_uppercase)}"),
    _sample("aws", "[default]\naws_secret_access_key = {}\n", f"{word(19)}/{word(20)}"),
    _sample("aws", '"secretAccessKey": "{}"', f"{word(20)}+{word(19)}"),
    _sample("minio", "MINIO_ROOT_PASSWORD={}", word(12)),
    _sample("github", "{}", f"ghp_{word(36)}"),
    _sample("github", "got {}, wanted another", f"github_pat_{word(22)}_{word(59)}"),
    _sample("gitlab", "{}", f"glpat-{word(20)}"),
    _sample("slack", "{}", f"xoxb-{word(12, string.digits)}-{word(24)}"),
    _sample("grafana", "{}", f"glsa_{word(32)}_{word(8, HEX)}"),
    _sample("vault", "{}", f"hvs.{word(24)}"),
    _sample("webhook", "https://hooks.slack.com/services/{}", f"T{word(8)}/B{word(8)}/{word(24)}"),
    _sample(
        "webhook",
        "https://discord.com/api/webhooks/{}",
        f"{word(18, string.digits)}/{word(68)}",
    ),
    _sample("webhook", "https://chat.local/hooks/{}", f"{word(3)}7{word(22)}"),
    _sample("telegram", "https://api.telegram.org/bot{}/send", f"123456789:AA{word(33)}"),
    _sample("secret object", "apiVersion: v1\ndata:\n  a: {}\nkind: Secret\n", b64(word(9))),
    _sample("secret object", "kind: Secret\nstringData:\n  a: {}\n  b: x\n", f"x {word(9)} y"),
    _sample("secret object", '{"data":{"a":"{}"},"kind":"Secret"}', b64(word(8))),
    _sample("secret object", "{'kind': 'Secret', 'data': {'a': '{}'}}", b64(word(8))),
    _sample(
        "secret object",
        "{'api_version': 'v1', 'data': {'a': '{}'}, 'kind': None, 'type': 'Opaque'}",
        b64(word(8)),
    ),
    _sample("helm release", "{}", b64("H4sIAAAAAAAC/" + word(80))),
    _sample("variable", "- name: DB_PASSWORD\n  value: {}\n- name: MODE\n  value: x\n", word(9)),
    _sample("variable", '{"name":"API_TOKEN","value":"{}"}', word(9)),
    _sample("argument", "helm upgrade x --set grafana.adminPassword={} --wait", word(8)),
    _sample("argument", "linkerd --password {} check", word(8)),
    _sample("argument", '["server", "--token", "{}", "--debug"]', word(12)),
    _sample("password", "password: {}", word(7)),
    _sample("password", "login failed for pi with password: {}", word(9)),
    _sample("password", "DB_PASSWORD: >-\n  {}\nMODE: x", f"{word(6)} {word(6)}"),
    _sample("api key", "https://x.local/?api_key={}&page=2", word(16)),
)
"""At least one of every kind that the redactor promises to find by itself."""
