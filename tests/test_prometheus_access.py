"""Prometheus through the API server's proxy of its Service: requests, credentials, refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_context import FakeCluster, obj
from scripted_api import KINDS, UID, Answer, ScriptedApi, Target, status

from runbook.cluster import Cluster, connect
from runbook.errors import ForbiddenError, RunbookError, StepError, UnreachableError
from runbook.prometheus import Prometheus, connect_prometheus
from runbook.transport import Page

PROXY = "/api/v1/namespaces/mon/services/p:9090/proxy"
SECURE = "/api/v1/namespaces/mon/services/https:p:443/proxy"
URL = "http://p.mon.svc.cluster.local:9090"


def result(*values: int) -> Answer:
    series = [{"metric": {"n": str(n)}, "value": [1.0, str(n)]} for n in values]
    return Answer(body={"status": "success", "data": {"resultType": "vector", "result": series}})


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ScriptedApi]:
    with ScriptedApi(tmp_path) as running:
        services = {"name": "services", "kind": "Service", "namespaced": True}
        running.script("/api/v1", Answer(body={"resources": [*KINDS["resources"], services]}))
        yield running


@pytest.fixture
def cluster(api: ScriptedApi) -> Iterator[Cluster]:
    opened = connect(Target(str(api.kubeconfig)))
    yield opened
    opened.close()


@pytest.fixture
def prometheus(cluster: Cluster) -> Iterator[Prometheus]:
    opened = connect_prometheus(cluster, URL, timeout=0.5)
    yield opened
    opened.close()


def asked(api: ScriptedApi) -> list[tuple[str, str]]:
    return [(method, path) for method, path in api.requests if "/proxy" in path]


def failed(prometheus: Prometheus) -> RunbookError:
    with pytest.raises(RunbookError) as caught:
        prometheus.at("up")
    return caught.value


# --- what is sent -------------------------------------------------------------------------------


def test_every_request_is_a_get_with_the_cluster_s_credentials(
    api: ScriptedApi, prometheus: Prometheus
) -> None:
    api.script(f"{PROXY}/api/v1/query", result(1, 2))
    api.script(f"{PROXY}/api/v1/series", Answer(body={"status": "success", "data": []}))
    api.script(f"{PROXY}/-/ready", Answer(body="ready"))
    assert [one.last for one in prometheus.at('up{job="a b"}', 12.5)] == [1.0, 2.0]
    assert prometheus.series("up") == []
    assert prometheus.ready()
    assert asked(api) == [
        ("GET", f"{PROXY}/api/v1/query?query=up%7Bjob%3D%22a+b%22%7D&time=12.500"),
        ("GET", f"{PROXY}/api/v1/series?match%5B%5D=up"),
        ("GET", f"{PROXY}/-/ready"),
    ]
    sent = [{key.lower(): value for key, value in one.items()} for one in api.headers]
    assert {one.get("authorization") for one in sent} == {"Bearer s3cret-token"}


def test_the_time_limit_is_that_of_the_question() -> None:
    class Slow:
        name = "pi"

        def page(self, *where: Any, timeout: float, **_: Any) -> Page:
            raise UnreachableError("cannot reach it", why=f"not in {timeout} s", fix="try again")

    cluster: Any = Slow()
    prometheus = connect_prometheus(cluster, URL, timeout=0.5)
    assert failed(prometheus).why == "cannot reach it: not in 0.5 s"
    prometheus.close()


def test_prefix_and_tls(api: ScriptedApi, cluster: Cluster) -> None:
    api.script(f"{SECURE}/prom/api/v1/query", result(3))
    prometheus = connect_prometheus(cluster, "https://p.mon.svc/prom/")
    assert prometheus.at("up")[0].last == 3.0
    prometheus.close()


def test_pieces_side_by_side(api: ScriptedApi, prometheus: Prometheus) -> None:
    entry = {"metric": {"job": "a"}, "values": [[10.0, "1"]]}
    matrix = {"resultType": "matrix", "result": [entry]}
    api.script(f"{PROXY}/api/v1/query", Answer(body={"status": "success", "data": matrix}))
    (series,) = prometheus.samples("up", 0, 24 * 3600)
    assert series.points == ((10.0, 1.0),)
    assert len(asked(api)) == 24


# --- which way ----------------------------------------------------------------------------------


def through(cluster: Any, url: str, api: ScriptedApi) -> bool:
    """Tell whether a question passes the API server; it fails both ways."""
    prometheus = connect_prometheus(cluster, url, timeout=2)
    before = len(asked(api))
    with pytest.raises(RunbookError):
        prometheus.version()
    prometheus.close()
    return len(asked(api)) > before


def test_short_names_are_services_if_the_cluster_has_them(
    api: ScriptedApi, cluster: Cluster
) -> None:
    service = "/api/v1/namespaces/invalid/services/p"
    url = "http://p.invalid:9090"
    api.script(service, status(404, "NotFound"))
    assert not through(cluster, url, api)
    api.script(service, status(403, "Forbidden"))
    assert through(cluster, url, api)
    api.script(service, Answer(body={"kind": "Service", "metadata": {"name": "p", "uid": UID}}))
    assert through(cluster, url, api)


def test_other_hosts_are_asked_directly(api: ScriptedApi, cluster: Cluster) -> None:
    assert not through(cluster, "http://127.0.0.1:1", api)
    assert not through(cluster, "http://prometheus.example.invalid", api)
    assert through(cluster, "http://p.mon.svc:1", api)


def test_from_a_pod_of_the_cluster_everything_is_asked_directly(api: ScriptedApi) -> None:
    inside = FakeCluster([obj("v1", "Service", "p", "invalid")])
    inside.name = "in-cluster"
    assert not through(inside, "http://p.invalid:9090", api)


# --- what goes wrong ----------------------------------------------------------------------------


def refusal(code: int, reason: str, message: str) -> Answer:
    given = status(code, reason, message)
    return Answer(code, {**given.body, "apiVersion": "v1"})


def test_who_may_not_use_the_proxy(api: ScriptedApi, prometheus: Prometheus) -> None:
    message = 'services "p:9090" is forbidden: User "jane" cannot get resource "services/proxy"'
    api.script(f"{PROXY}/api/v1/query", refusal(403, "Forbidden", message))
    found = failed(prometheus)
    assert isinstance(found, ForbiddenError)
    assert found.what == "cannot get services/proxy in namespace mon"
    assert found.why == message
    assert "kubectl auth can-i get services/proxy -n mon" in found.fix


def test_credentials_the_api_server_does_not_accept(
    api: ScriptedApi, prometheus: Prometheus
) -> None:
    api.script(f"{PROXY}/api/v1/query", refusal(401, "Unauthorized", "Unauthorized"))
    assert failed(prometheus).what == "the API server does not accept these credentials"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (refusal(404, "NotFound", 'services "p" not found'), "there is no Service mon/p"),
        (
            refusal(503, "ServiceUnavailable", 'no endpoints available for service "p:9090"'),
            "Service mon/p has no pod that is ready",
        ),
        (
            refusal(503, "ServiceUnavailable", 'no service port "9090" found for service "p"'),
            "Service mon/p has no port 9090",
        ),
        (
            refusal(
                503,
                "ServiceUnavailable",
                "error trying to reach service: http: server gave HTTP response to HTTPS client",
            ),
            "it speaks plain HTTP",
        ),
        (
            refusal(503, "ServiceUnavailable", "error trying to reach service: dial tcp: refused"),
            "the API server cannot reach it: error trying to reach service: dial tcp: refused",
        ),
        (
            Answer(400, "Client sent an HTTP request to an HTTPS server.\n"),
            "it speaks HTTPS",
        ),
        (Answer(503, "Service Unavailable"), "it is not ready (503): Service Unavailable"),
        (
            Answer(body="<html>Sign in</html>"),
            "what answers is no Prometheus: a web page, as of a login in front of it",
        ),
        (Answer(cut=True), "cannot reach the API server at"),
    ],
)
def test_nobody_answers(api: ScriptedApi, prometheus: Prometheus, answer: Answer, why: str) -> None:
    api.script(f"{PROXY}/api/v1/query", answer)
    found = failed(prometheus)
    assert isinstance(found, UnreachableError)
    assert found.what == f"cannot read from Prometheus at {URL} through the API server"
    assert found.why.startswith(why)
    assert found.fix


def test_a_server_that_comes_back_is_asked_again(api: ScriptedApi, prometheus: Prometheus) -> None:
    gone = refusal(503, "ServiceUnavailable", "no endpoints available")
    api.script(f"{PROXY}/api/v1/query", gone, Answer(502, "bad gateway"), result(1))
    assert prometheus.at("up")[0].last == 1.0
    assert len(asked(api)) == 3


def test_a_query_it_refuses(api: ScriptedApi, prometheus: Prometheus) -> None:
    told = {"status": "error", "errorType": "bad_data", "error": "parse error: no"}
    api.script(f"{PROXY}/api/v1/query", Answer(400, json.dumps(told)))
    found = failed(prometheus)
    assert isinstance(found, StepError)
    assert found.what == f"Prometheus at {URL} through the API server refuses the query up"
    assert found.why == "parse error: no"


def test_a_password_that_cannot_pass(api: ScriptedApi, prometheus: Prometheus) -> None:
    api.script(f"{PROXY}/api/v1/query", Answer(401, "Unauthorized"))
    found = failed(prometheus)
    assert found.why == "it wants another user and password (401)"
    assert found.fix.startswith("a password cannot pass the API server")


def test_a_query_too_long_for_an_address(api: ScriptedApi, prometheus: Prometheus) -> None:
    with pytest.raises(StepError) as caught:
        prometheus.at("vector(1) or " * 80_000)
    assert "too long for HTTP" in caught.value.why
    assert asked(api) == []
