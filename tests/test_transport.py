"""Requests: what is repeated, what never is, and how failures are worded."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_api import Answer, ScriptedApi, Target, kubeconfig, status

from runbook.cluster import Cluster, connect
from runbook.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnreachableError,
)
from runbook.kubeconfig import open_access
from runbook.transport import Transport

A = "/api/v1/namespaces/t1/configmaps/a"
CM = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "t1"}}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ScriptedApi]:
    with ScriptedApi(tmp_path) as running:
        yield running


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def cluster(api: ScriptedApi, pauses: list[float]) -> Iterator[Cluster]:
    access = open_access("pi", str(api.kubeconfig))
    opened = Cluster(access, Transport(access.client, access.headers, pauses.append))
    assert opened.namespaced("v1", "ConfigMap")  # discovery is done, only A is counted below
    api.requests.clear()
    yield opened
    opened.close()


@pytest.mark.parametrize("code", [429, 500, 503, 504])
def test_reads_are_repeated(api: ScriptedApi, cluster: Cluster, code: int) -> None:
    api.script(A, status(code), status(code), Answer(body=CM))
    assert cluster.get("v1", "ConfigMap", "a", "t1") == CM
    assert len(api.requests) == 3


def test_apply_is_repeated_and_create_is_not(api: ScriptedApi, cluster: Cluster) -> None:
    api.script(A, status(503), Answer(body=CM))
    assert cluster.apply(CM) == CM
    api.script("/api/v1/namespaces/t1/configmaps", status(503), Answer(body=CM))
    with pytest.raises(ApiError):
        cluster.create(CM)
    assert [method for method, _ in api.requests] == ["PATCH", "PATCH", "POST"]


def test_a_cut_connection_is_repeated(
    api: ScriptedApi, cluster: Cluster, pauses: list[float]
) -> None:
    api.script(A, Answer(cut=True), Answer(cut=True), Answer(body=CM))
    assert cluster.get("v1", "ConfigMap", "a", "t1") == CM
    assert pauses == sorted(pauses)
    assert len(pauses) == 2


def test_repetition_ends(api: ScriptedApi, cluster: Cluster, pauses: list[float]) -> None:
    api.script(A, status(503, "ServiceUnavailable", "etcd has no leader"))
    with pytest.raises(ApiError, match="etcd has no leader") as caught:
        cluster.get("v1", "ConfigMap", "a", "t1")
    assert caught.value.code == 503
    assert "try again" in caught.value.fix
    assert len(api.requests) == 5
    assert sum(pauses) < 10


def test_retry_after_is_obeyed_within_bounds(
    api: ScriptedApi, cluster: Cluster, pauses: list[float]
) -> None:
    slow = Answer(429, {"code": 429}, {"Retry-After": "3"})
    never = Answer(429, {"code": 429}, {"Retry-After": "86400"})
    api.script(A, slow, never, Answer(body=CM))
    cluster.get("v1", "ConfigMap", "a", "t1")
    assert pauses == [3.0, 10.0]


def test_too_many_requests_is_safe_to_repeat_for_all(api: ScriptedApi, cluster: Cluster) -> None:
    api.script("/api/v1/namespaces/t1/configmaps", status(429), Answer(body=CM))
    assert cluster.create(CM) == CM


def test_a_field_that_does_not_exist_is_not_repeated(api: ScriptedApi, cluster: Cluster) -> None:
    message = "failed to create typed patch object: .datta: field not declared in schema"
    api.script(A, status(500, "", message))
    with pytest.raises(InvalidError, match="datta"):
        cluster.apply(CM)
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("code", "kind", "what"),
    [
        (401, ApiError, "does not accept these credentials"),
        (403, ForbiddenError, "cannot get configmaps in namespace t1"),
        (404, NotFoundError, "ConfigMap t1/a not found"),
        (409, ConflictError, "cannot get ConfigMap t1/a"),
        (422, InvalidError, "finds ConfigMap t1/a invalid"),
    ],
)
def test_refusals_have_their_class_and_words(
    api: ScriptedApi, cluster: Cluster, code: int, kind: type[ApiError], what: str
) -> None:
    api.script(A, status(code, "Reason", "the server's own words"))
    with pytest.raises(kind, match=what) as caught:
        cluster.get("v1", "ConfigMap", "a", "t1")
    assert caught.value.why == "the server's own words"
    assert (caught.value.code, caught.value.reason) == (code, "Reason")


def test_plain_text_refusals_of_proxies(api: ScriptedApi, cluster: Cluster) -> None:
    api.script(A, Answer(400, "<html>bad gateway</html>"))
    with pytest.raises(ApiError, match="bad gateway"):
        cluster.get("v1", "ConfigMap", "a", "t1")


def test_forbidden_says_how_to_ask(api: ScriptedApi, cluster: Cluster) -> None:
    api.script(A, status(403, "Forbidden", 'User "jane" cannot patch'))
    with pytest.raises(ForbiddenError) as caught:
        cluster.apply(CM)
    assert caught.value.what == "cannot apply configmaps in namespace t1"
    assert "kubectl auth can-i patch configmaps -n t1" in caught.value.fix


def test_token_is_sent_and_never_shown(api: ScriptedApi, cluster: Cluster) -> None:
    api.script(A, status(401, "Unauthorized", "Unauthorized"))
    with pytest.raises(ApiError) as caught:
        cluster.get("v1", "ConfigMap", "a", "t1")
    sent = {key.lower(): value for key, value in api.headers[-1].items()}
    assert sent["authorization"] == "Bearer s3cret-token"
    for text in (str(caught.value), repr(caught.value), repr(cluster)):
        assert "s3cret" not in text


def test_connection_refused(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = kubeconfig(tmp_path / "k", f"https://127.0.0.1:{port}")
    with pytest.raises(UnreachableError, match=rf"127\.0\.0\.1:{port}") as caught:
        connect(Target(str(path)))
    assert "refused" in caught.value.why


def test_unknown_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    path = kubeconfig(tmp_path / "k", "https://no-such-host.invalid:6443")
    with pytest.raises(UnreachableError) as caught:
        connect(Target(str(path)))
    assert "does not resolve" in caught.value.why


def test_tls_failure(api: ScriptedApi, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "k", api.url.replace("http://", "https://"))
    with pytest.raises(UnreachableError) as caught:
        connect(Target(str(path)))
    assert "TLS failed" in caught.value.why
    assert "object at 0x" not in caught.value.why


def test_watch_reads_events_to_the_end(api: ScriptedApi, cluster: Cluster) -> None:
    lines = '{"type":"ADDED","object":{"x":1}}\n\n{"type":"MODIFIED","object":{"x":2}}\n'
    api.script("/api/v1/namespaces/t1/configmaps", Answer(body=lines))
    with cluster.watch("v1", "ConfigMap", "t1", since="5", seconds=2) as events:
        assert [event["object"]["x"] for event in events] == [1, 2]
    (_, path), *_ = api.requests
    for part in ("watch=1", "resourceVersion=5", "timeoutSeconds=2", "allowWatchBookmarks=true"):
        assert part in path


def test_watch_error_events_are_raised(api: ScriptedApi, cluster: Cluster) -> None:
    gone = '{"type":"ERROR","object":{"code":410,"reason":"Expired","message":"too old"}}\n'
    api.script("/api/v1/namespaces/t1/configmaps", Answer(body=gone))
    with (
        pytest.raises(ApiError, match="too old") as caught,
        cluster.watch("v1", "ConfigMap", "t1", since="1", seconds=1) as events,
    ):
        list(events)
    assert caught.value.code == 410
