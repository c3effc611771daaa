"""Faults on demand: set in process and over HTTP, once or for good."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from controllers_help import deployment, namespace, pods, rolled_out, until

from runbook.errors import ApiError, ForbiddenError, NotFoundError, RehearsalError
from runbook.rehearsal import Twin, mishaps
from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.certmanager.kinds import CERTIFICATES
from runbook.rehearsal.faults import Fault, Faults


@pytest.fixture(scope="module")
def client(twin: Twin) -> Client:
    return Client.from_kubeconfig(twin.kubeconfig)


@pytest.fixture(autouse=True)
def _clear(twin: Twin) -> Iterator[None]:
    yield
    twin.faults.clear()


def test_refusals_count_down(twin: Twin, client: Client) -> None:
    fault = Fault("api", verb="list", resource="pods", status=429, retry_after=3, times=2)
    twin.faults.set(fault)
    for _ in range(2):
        with pytest.raises(ApiError) as caught:
            list(client.list(kinds.PODS, "default"))
        assert (caught.value.code, caught.value.reason) == (429, "TooManyRequests")
        assert caught.value.body["details"] == {"retryAfterSeconds": 3}
    list(client.list(kinds.PODS, "default"))
    assert not twin.faults.active()


def test_refusals_hit_only_what_they_name(twin: Twin, client: Client) -> None:
    twin.faults.set(Fault("api", verb="get", resource="configmaps", namespace="default", name="a"))
    with pytest.raises(ApiError) as caught:
        client.get(kinds.CONFIGMAPS, "a", "default")
    assert caught.value.code == 500
    with pytest.raises(NotFoundError):
        client.get(kinds.CONFIGMAPS, "b", "default")
    twin.faults.clear()
    with pytest.raises(NotFoundError):
        client.get(kinds.CONFIGMAPS, "a", "default")


def test_conflicts_and_outages_read_like_the_real_ones(twin: Twin, client: Client) -> None:
    text = "the object has been modified"
    number = twin.faults.set(Fault("api", verb="patch", status=409, message=text))
    with pytest.raises(ApiError, match=text) as caught:
        client.patch(kinds.NODES, "node1", {})
    assert caught.value.reason == "Conflict"
    twin.faults.clear(number)
    twin.faults.set(Fault("api", status=503))
    with pytest.raises(ApiError, match="currently unable to handle the request"):
        client.get(kinds.NODES, "node1")


def test_slow_answers_are_only_late(twin: Twin, client: Client) -> None:
    twin.faults.set(Fault("api", verb="get", resource="nodes", status=0, seconds=0.2))
    start = time.monotonic()
    assert client.get(kinds.NODES, "node1")
    assert time.monotonic() - start >= 0.2


def test_controllers_are_spared_unless_told_otherwise(twin: Twin, client: Client) -> None:
    twin.faults.set(Fault("api", verb="create", resource="replicasets"))
    space = namespace(client, "spared")
    deployment(client, space, "web")
    until(lambda: rolled_out(client, space, "web"))
    twin.faults.set(Fault("api", verb="create", resource="pods", times=3, system=True))
    client.patch(kinds.DEPLOYMENTS, "web", {"spec": {"replicas": 2}}, space)
    until(lambda: rolled_out(client, space, "web"))


def test_controllers_survive_dropped_watches(twin: Twin, client: Client) -> None:
    space = namespace(client, "dropped")
    for number in range(3):
        twin.faults.set(Fault("drop-watches"))
        deployment(client, space, f"web{number}")
        twin.faults.set(Fault("drop-watches", resource="pods"))
    for number in range(3):
        until(lambda number=number: rolled_out(client, space, f"web{number}"))


def test_unschedulable_pods_wait_and_then_go(twin: Twin, client: Client) -> None:
    space = namespace(client, "unschedulable")
    twin.faults.set(Fault("unschedulable", namespace=space, message="Insufficient memory"))
    deployment(client, space, "web")

    def refused() -> Any:
        found = pods(client, space)
        return kinds.condition(found[0], "PodScheduled") if found else None

    assert "5 Insufficient memory" in until(refused)["message"]
    twin.faults.clear()
    until(lambda: rolled_out(client, space, "web"))


def test_faults_over_http(twin: Twin, client: Client) -> None:
    made = client.request("POST", "/faults", body={"kind": "crash", "labels": {"app": "x"}})
    found = client.request("GET", "/faults")
    assert found[str(made["number"])]["labels"] == {"app": "x"}
    with pytest.raises(ApiError, match="a fault has no colour"):
        client.request("POST", "/faults", body={"kind": "crash", "colour": "red"})
    with pytest.raises(ApiError, match="no fault of kind 'flood'"):
        client.request("POST", "/faults", body={"kind": "flood"})
    client.request("DELETE", "/faults")
    assert client.request("GET", "/faults") == {}
    assert not twin.faults.active()


def test_restricted_user_may_read_and_no_more(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(mishaps.restricted_kubeconfig(client))
    reader = Client.from_kubeconfig(path)
    assert list(reader.list(kinds.PODS, "kube-system"))
    who = "system:serviceaccount:default:reader"
    with pytest.raises(ForbiddenError, match=f'User "{who}" cannot create resource "configmaps"'):
        reader.create(kinds.CONFIGMAPS, {"metadata": {"name": "x", "namespace": "default"}})
    with pytest.raises(ForbiddenError, match='cannot list resource "secrets"'):
        list(reader.list(kinds.SECRETS, "default"))
    with pytest.raises(ApiError, match="cannot change faults"):
        reader.request("GET", "/faults")


def test_removed_definition_takes_its_objects_along(client: Client) -> None:
    spec = {"issuerRef": {"name": "none"}, "secretName": "c"}
    client.create(CERTIFICATES, {"metadata": {"name": "c", "namespace": "default"}, "spec": spec})
    mishaps.remove_definition(client, "certificates.cert-manager.io")

    def gone() -> bool:
        try:
            list(client.list(CERTIFICATES, "default"))
        except NotFoundError:
            return True
        return False

    until(gone)


def test_unknown_kind_of_fault() -> None:
    with pytest.raises(RehearsalError, match="no fault of kind"):
        Faults().set(Fault("flood"))  # type: ignore[arg-type]
