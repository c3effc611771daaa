"""Notebook 42 on rehearsal clusters, of today and of 2.11, which needs the pods' token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Kept
from mesh_place import KUBERNETES, carry, found, install_linkerd, opened, undo, until

from runbook import meshing
from runbook.meshing.forecast import Forecast
from runbook.rehearsal import Twin
from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds

SPACES = ("elastic-system", "k3s-logging")
BOOK = "42-logging-efk"


@pytest.fixture(scope="module", params=["edge-2.20", "stable-2.11"])
def line(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def twin(line: str) -> Iterator[Twin]:
    with Twin(services=True, kubernetes_version=KUBERNETES[line]) as running:
        install_linkerd(running, line)
        yield running


def logging(step: Any) -> tuple[int, int]:
    step.look(meshing.logging_there)
    step.display(meshing.forecast_logging(step))
    changed = carry(step, *meshing.logging_namespaces(step), *meshing.logging_tokens(step))
    step.display(meshing.logging_to_restart(step))
    restarted = carry(step, *meshing.logging_restarts(step), one_by_one=True)
    step.verify(meshing.logging_meshed, meshing.logging_healthy)
    return changed, restarted


def test_meshed_twice_and_taken_back(twin: Twin, line: str, client: Client, kept: Kept) -> None:
    before = kept(*SPACES)
    shown: list[Any] = []
    old = line == "stable-2.11"
    given = {"line": line, "mesh_restart": True}
    step = opened(twin, BOOK, shown, **given)
    tokens = found(step, meshing.logging_there).get("logging-tokens")
    assert (tokens is not None) is old, "Elasticsearch and Kibana without the token are found"
    if tokens is not None:
        assert "Elasticsearch efk, Kibana kibana" in tokens.seen
        assert "the injector of this Linkerd then leaves the pods out" in tokens.why
    # Fluent Bit and the operator are restarted; ECK's pods as well, unless ECK did it already.
    assert logging(step) == ((4, 2) if old else (2, 4))
    assert found(step, meshing.logging_meshed, meshing.logging_healthy) == {}
    (forecast,) = (one.value for one in shown if isinstance(one.value, Forecast))
    assert all(fate.decision.meshed for fate in forecast.fates)
    for space in SPACES:
        for pod in client.list(kinds.PODS, space):
            assert "linkerd.io/proxy-version" in pod["metadata"]["annotations"]
    assert logging(opened(twin, BOOK, **given)) == (0, 0)
    undo(step)
    until(lambda: kept(*SPACES) == before)  # ECK follows


def test_without_the_token_nothing_is_meshed(twin: Twin, line: str) -> None:
    if line != "stable-2.11":
        pytest.skip("the proxies of newer lines bring a token of their own")
    step = opened(twin, BOOK, line=line)
    carry(step, *meshing.logging_namespaces(step))
    step.cluster.delete("v1", "Pod", "efk-es-default-0", "k3s-logging")
    until(lambda: _ready(step))
    reading = opened(twin, BOOK, line=line, mode="verify")
    told = {o.id: o for o in meshing.logging_meshed(reading)}
    assert told["logging-tokens"].verdict == "warn"
    seen = told["outside"]
    assert "automountServiceAccountToken is false" in seen.seen
    undo(step)


def _ready(step: Any) -> bool:
    pod = step.cluster.find("v1", "Pod", "efk-es-default-0", "k3s-logging")
    states = ((pod or {}).get("status") or {}).get("containerStatuses") or []
    return bool(states) and all(state["ready"] for state in states)


def test_tls_of_its_own_is_told(twin: Twin, line: str, client: Client) -> None:
    step = opened(twin, BOOK, line=line)
    tls = {"selfSignedCertificate": {"disabled": False}}
    live = step.cluster.get("kibana.k8s.elastic.co/v1", "Kibana", "kibana", "k3s-logging")
    place = ("kibana.k8s.elastic.co/v1", "Kibana", "kibana", "k3s-logging")
    wanted = [{"op": "replace", "path": "/spec/http/tls", "value": tls}]
    step.cluster.patch(*place, operations=wanted)
    wrong = found(step, meshing.logging_there)["logging-tls"]
    assert wrong.seen == "on: Kibana kibana"
    assert "no metrics by request" in wrong.why
    back = [{"op": "replace", "path": "/spec/http/tls", "value": live["spec"]["http"]["tls"]}]
    step.cluster.patch(*place, operations=back)
