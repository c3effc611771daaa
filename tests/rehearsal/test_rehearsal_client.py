"""The client, the cache and the queue under the controllers, and the content they meet."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from runbook.errors import ApiError, ConflictError, InvalidError, NotFoundError, UnreachableError
from runbook.rehearsal import Twin, picluster
from runbook.rehearsal.client import Client, Resource
from runbook.rehearsal.controllers import kinds, pods
from runbook.rehearsal.controllers.cache import Cache, Change
from runbook.rehearsal.controllers.quantities import amount
from runbook.rehearsal.controllers.queue import WorkQueue

Object = dict[str, Any]


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin(content=False, controllers=False) as twin:
        yield twin


@pytest.fixture
def client(twin: Twin) -> Client:
    return Client.from_kubeconfig(twin.kubeconfig, agent="tester/1.0")


def configmap(name: str, **data: str) -> Object:
    return {"metadata": {"name": name, "namespace": "default"}, "data": data}


def test_objects_come_and_go(client: Client) -> None:
    made = client.create(kinds.CONFIGMAPS, configmap("a", x="1"))
    assert (made["apiVersion"], made["kind"]) == ("v1", "ConfigMap")
    assert made["metadata"]["managedFields"][0]["manager"] == "tester"
    changed = client.patch(kinds.CONFIGMAPS, "a", {"data": {"y": "2"}}, "default")
    assert changed["data"] == {"x": "1", "y": "2"}
    path = [{"op": "remove", "path": "/data/x"}]
    assert client.patch(kinds.CONFIGMAPS, "a", path, "default")["data"] == {"y": "2"}
    changed = client.apply(kinds.CONFIGMAPS, configmap("a", z="3"), manager="me")
    assert changed["data"] == {"y": "2", "z": "3"}
    changed["data"] = {"only": "this"}
    assert client.update(kinds.CONFIGMAPS, changed)["data"] == {"only": "this"}
    with pytest.raises(ConflictError):
        client.update(kinds.CONFIGMAPS, made)
    assert client.delete(kinds.CONFIGMAPS, "a", "default")
    assert not client.delete(kinds.CONFIGMAPS, "a", "default")
    assert client.find(kinds.CONFIGMAPS, "a", "default") is None


def test_errors_carry_the_status(client: Client) -> None:
    with pytest.raises(NotFoundError, match='configmaps "none" not found') as caught:
        client.get(kinds.CONFIGMAPS, "none", "default")
    assert (caught.value.code, caught.value.reason) == (404, "NotFound")
    with pytest.raises(InvalidError):
        client.create(kinds.CONFIGMAPS, configmap("Not_A_Name"))
    with pytest.raises(ApiError) as other:
        client.request("GET", "/nowhere")
    assert other.value.code == 404


def test_no_answer_is_told_apart(client: Client) -> None:
    nobody = Client.connect("https://127.0.0.1:1", token="t", ca=client.ca)
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:1 does not answer"):
        nobody.get(kinds.NAMESPACES, "default")
    assert client.token not in repr(client)


def test_lists_are_complete_beyond_a_page(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runbook.rehearsal.client._PAGE", 3)
    for number in range(8):
        client.create(kinds.SECRETS, configmap(f"s{number}") | {"data": None})
    found = [obj["metadata"]["name"] for obj in client.list(kinds.SECRETS, "default")]
    assert found == [f"s{number}" for number in range(8)]
    one = client.list(kinds.SECRETS, "default", fields="metadata.name=s4")
    assert [obj["kind"] for obj in one] == ["Secret"]


def test_resources_are_found_by_kind(client: Client) -> None:
    assert client.served("apps/v1")["Deployment"] == kinds.DEPLOYMENTS
    assert client.served("v1")["Namespace"] == kinds.NAMESPACES


def test_paths() -> None:
    assert kinds.PODS.path("x", "p", "log") == "/api/v1/namespaces/x/pods/p/log"
    assert kinds.NODES.path(name="n") == "/api/v1/nodes/n"
    assert kinds.JOBS.path() == "/apis/batch/v1/jobs"
    assert Resource("g.io", "v2", "things", "Thing").api_version == "g.io/v2"


def thing(name: str, version: int, uid: str = "", owner: str = "") -> Object:
    meta: Object = {"name": name, "namespace": "x", "uid": uid or name}
    meta["resourceVersion"] = str(version)
    if owner:
        meta["ownerReferences"] = [{"uid": owner, "kind": "Deployment", "name": owner}]
    return {"metadata": meta}


def test_cache_keeps_the_newest_and_no_ghosts() -> None:
    changes: list[Change] = []
    cache = Cache(changes.append)
    cache.put(kinds.PODS, thing("early", 1))
    assert cache.get(kinds.PODS, "early", "x") is None
    cache.follows(kinds.PODS)
    cache.put(kinds.PODS, thing("a", 5, owner="o"))
    cache.put(kinds.PODS, thing("a", 4))
    found = cache.get(kinds.PODS, "a", "x")
    assert found is not None
    assert found["metadata"]["resourceVersion"] == "5"
    assert [obj["metadata"]["name"] for obj in cache.owned("o")] == ["a"]
    cache.remove(kinds.PODS, thing("a", 6))
    cache.put(kinds.PODS, thing("a", 5))
    assert cache.get(kinds.PODS, "a", "x") is None
    assert cache.owned("o") == []
    cache.put(kinds.PODS, thing("a", 7, uid="another"))
    assert len(changes) == 3
    cache.put(kinds.PODS, thing("own", 12))
    cache.replace(kinds.PODS, [thing("b", 9)], 10)
    assert {obj["metadata"]["name"] for obj in cache.all(kinds.PODS, "x")} == {"b", "own"}
    cache.forget(kinds.PODS)
    assert cache.resources() == []


def test_queue_gives_each_item_once_and_again_if_it_changed() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for item in ("a", "b", "a"):
        queue.add(item)
    assert queue.get() == "a"
    queue.add("a")
    assert queue.get() == "b"
    queue.done("b")
    assert not queue.idle(0.01)
    queue.done("a")
    assert queue.get() == "a"
    queue.done("a")
    assert queue.idle(1)
    assert queue.work == 3


def test_queue_waits_for_the_shortest_delay_only() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("late", 60)
    assert queue.idle(1)
    queue.add("late", 0.01)
    assert queue.get() == "late"
    queue.done("late")
    assert queue.idle(1)


def test_closed_queue_lets_workers_go() -> None:
    queue: WorkQueue[str] = WorkQueue()
    got: list[str | None] = []
    worker = threading.Thread(target=lambda: got.append(queue.get()))
    worker.start()
    queue.close()
    worker.join(10)
    assert got == [None]


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "2"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "b", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["0"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Lt", "values": ["1"]}]}, False),
    ],
)
def test_selectors(selector: Object | None, selected: bool) -> None:
    assert kinds.matches(selector, {"a": "1"}) is selected


def test_condition_keeps_its_transition_time_while_its_status_does() -> None:
    old = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    same = kinds.with_condition([old], {"type": "Ready", "status": "True", "reason": "R"})
    assert same[0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    other = kinds.with_condition([old], {"type": "Ready", "status": "False"})
    assert other[0]["lastTransitionTime"] > "2026-01-01T00:00:00Z"


def test_small_sums() -> None:
    assert pods.scaled("25%", 5, up=True) == 2
    assert pods.scaled("25%", 5, up=False) == 1
    assert pods.scaled(3, 5, up=True) == 3
    assert amount("100m") + amount("1") == Decimal("1.1")
    assert amount("8010168Ki") == 8010168 * 1024
    digest = pods.safe_hash({"a": 1})
    assert digest == pods.safe_hash({"a": 1}) != pods.safe_hash({"a": 2})
    assert set(digest) <= set("bcdf456789")


def test_pi_cluster_is_that_of_the_seed() -> None:
    objects = picluster.objects("1.35")
    by_kind: dict[str, dict[str, Object]] = {}
    for obj in objects:
        by_kind.setdefault(obj["kind"], {})[obj["metadata"]["name"]] = obj
    nodes = by_kind["Node"]
    assert list(nodes) == ["master", "node1", "node2", "node3", "node4"]
    for node in nodes.values():
        assert node["status"]["nodeInfo"]["architecture"] == "arm64"
        assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.35.0+k3s1"
    assert len({node["spec"]["podCIDR"] for node in nodes.values()}) == 5
    assert set(by_kind["Deployment"]) == {
        "coredns",
        "local-path-provisioner",
        "metrics-server",
        "traefik",
        "cert-manager",
        "cert-manager-cainjector",
        "cert-manager-webhook",
        "kube-prometheus-stack-operator",
        "kube-prometheus-stack-grafana",
    }
    assert by_kind["ConfigMap"][picluster.MARKER]["data"]["rehearsal"] == "true"
    route = by_kind["CustomResourceDefinition"]["httproutes.gateway.networking.k8s.io"]
    assert route["metadata"]["annotations"]["gateway.networking.k8s.io/bundle-version"]
    assert "ClusterIssuer" not in by_kind
    old = {obj["metadata"]["name"] for obj in picluster.definitions(33)}
    assert "httproutes.gateway.networking.k8s.io" not in old
    assert "certificates.cert-manager.io" in old
