"""The secrets of a kubeconfig's user, read so that they can be kept out of records."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import yaml
from make_certs import issue

from runbook.errors import UsageError
from runbook.kubeconfig import IN_CLUSTER, credentials, open_access

KEY = issue("admin").key_pem


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def kubeconfig(path: Path, **users: dict[str, object]) -> str:
    path.write_text(
        yaml.safe_dump(
            {
                "contexts": [
                    {"name": name, "context": {"cluster": "pi", "user": name}} for name in users
                ],
                "clusters": [{"name": "pi", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": name, "user": user} for name, user in users.items()],
            }
        )
    )
    return str(path)


def test_every_secret_of_the_user_is_given(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("in-a-file\n")
    (tmp_path / "admin.key").write_text("in-a-key-file\n")
    user = {
        "token": "bearer-token",
        "username": "admin",
        "password": "correct-horse",
        "tokenFile": "token",
        "client-key": str(tmp_path / "admin.key"),
        "client-key-data": b64(KEY),
        "client-certificate-data": b64(issue("admin").pem),
        "exec": {"command": "x", "env": [{"name": "VAULT_TOKEN", "value": "for-the-plugin"}]},
        "auth-provider": {
            "name": "oidc",
            "config": {
                "client-id": "public",
                "client-secret": "for-oidc",
                "id-token": "id-of-oidc",
                "refresh-token": "refresh-of-oidc",
            },
        },
    }
    path = kubeconfig(tmp_path / "config", pi=user, other={"token": "not-mine"})
    assert sorted(credentials("pi", path)) == sorted(
        [
            *("bearer-token", "correct-horse", "in-a-file", "in-a-key-file", b64(KEY), KEY),
            *("for-the-plugin", "for-oidc", "id-of-oidc", "refresh-of-oidc"),
        ]
    )


def test_of_several_files_the_first_that_has_the_user_counts(tmp_path: Path) -> None:
    first = kubeconfig(tmp_path / "a", one={"token": "token-one"})
    second = kubeconfig(tmp_path / "b", one={"token": "shadowed"}, two={"token": "token-two"})
    joined = f"{first}:{second}"
    assert credentials("one", joined) == ["token-one"]
    assert credentials("two", joined) == ["token-two"]


@pytest.mark.parametrize(
    "text",
    ["", "users: 5", "[", "a: *b", "users: [{name: pi, user: {token: x}}]", "\x00", "- 1"],
)
def test_nothing_is_given_where_nothing_can_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    assert credentials("pi", str(tmp_path / "config")) == []


def test_nothing_is_given_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_REHEARSAL_DIR", str(tmp_path / "none"))
    for cluster, path in (("pi", str(tmp_path / "none")), ("rehearsal", ""), (IN_CLUSTER, "")):
        assert credentials(cluster, path) == []
    user = {"tokenFile": "none", "client-key": "/none", "client-key-data": "no base64"}
    path = kubeconfig(tmp_path / "config", pi=user, plain={}, key={"client-key-data": "x"})
    assert credentials("plain", path) == []
    assert credentials("key", path) == []


def test_a_pods_token_is_its_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("of-the-pod")
    monkeypatch.setattr(
        "kubernetes.config.incluster_config.SERVICE_TOKEN_FILENAME", str(tmp_path / "token")
    )
    assert credentials(IN_CLUSTER, "") == ["of-the-pod"]


@pytest.mark.parametrize(
    "text",
    [
        "users:\n- name: pi\n  user: {token: correct-horse\n",
        "users:\n- name: pi\n  user:\n    token: *correct-horse\n",
        "users:\n- name: pi\n  user:\n    token: !correct-horse\n",
        "users:\n- name: pi\n  user:\n    token: 'correct-horse\n",
        "users:\n- name: pi\n  user:\n    token: correct-horse\n\tx: y\n",
        "users:\n- name: pi\n  user:\n    token: correct-horse: x\n",
        "correct-horse",
        "users: correct-horse",
    ],
)
def test_errors_do_not_quote_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(UsageError) as caught:
        open_access("pi", str(tmp_path / "config"))
    assert "correct-horse" not in str(caught.value)
    assert caught.value.fix
