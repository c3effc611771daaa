"""The benchmark's own pods: found on the cluster, and told from those before them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, cast

import pytest
from bench_place import NAMESPACE, Place

from runbook.bench.deploy import PART_OF
from runbook.bench.pods import Pods, find_pods
from runbook.bench.targets import Targets
from runbook.cluster import Cluster

Object = dict[str, Any]
ARMS = ("baseline", "meshed")


@pytest.fixture
def there(place: Place) -> list[Object]:
    """Give all pods of the namespace, to be changed."""
    return list(place.cluster.list("v1", "Pod", NAMESPACE))


class Listed:
    """A cluster that has these pods."""

    def __init__(self, pods: list[Object]) -> None:
        self.pods = pods

    def list(self, *_: str, selector: str) -> Iterator[Object]:
        wanted = dict(part.split("=") for part in selector.split(","))
        return (p for p in self.pods if wanted.items() <= p["metadata"]["labels"].items())


def find(pods: list[Object], targets: Targets) -> Pods:
    return find_pods(cast(Cluster, Listed(pods)), NAMESPACE, targets)


def named(pods: list[Object], name: str) -> Object:
    return next(p for p in pods if p["metadata"]["labels"]["app.kubernetes.io/name"] == name)


def test_servers_and_probes_of_the_cluster(place: Place) -> None:
    found = find_pods(place.cluster, NAMESPACE, place.targets)
    assert set(found.servers) == {"echo-baseline-node2", "echo-meshed-node2"}
    assert set(found.probes) == {"node1", "node2"}
    server = found.server("meshed", "node2")
    assert server is not None
    assert server["spec"]["nodeName"] == "node2"
    assert found.server("meshed", "node1") is None
    assert found.server("skipped", "node2") is None
    assert found.proxies("node2", ARMS) == [f"{NAMESPACE}/{server['metadata']['name']}"]
    assert found.proxies("node1", ARMS) == []
    for node, path in found.probe_paths().items():
        pod = place.cluster.get("v1", "Pod", path.partition("/")[2], NAMESPACE)
        assert pod["spec"]["nodeName"] == node


def test_a_namespace_without_any(place: Place) -> None:
    assert find_pods(place.cluster, "no-such-namespace", place.targets) == Pods({}, {})


def test_what_others_put_there_is_left_out(place: Place, there: list[Object]) -> None:
    foreign = copy.deepcopy(named(there, "echo-baseline-node2"))
    foreign["metadata"]["labels"]["app.kubernetes.io/part-of"] = "emojivoto"
    elsewhere = copy.deepcopy(named(there, "echo-baseline-node2"))
    elsewhere["metadata"]["labels"]["app.kubernetes.io/name"] = "echo-baseline-node7"
    load = copy.deepcopy(named(there, "echo-baseline-node2"))
    load["metadata"]["labels"] = {**PART_OF, "linkerd-runbook/load": "load-1"}
    found = find([*there, foreign, elsewhere, load], place.targets)
    assert found == find(there, place.targets)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("how", ["going", "Failed", "Succeeded"])
@pytest.mark.parametrize("name", ["echo-meshed-node2", "probe"])
def test_of_two_the_one_that_stays(
    place: Place, there: list[Object], name: str, how: str, first: bool
) -> None:
    old = copy.deepcopy(named(there, name))
    old["metadata"] |= {"uid": "of-the-old-one", "name": "old"}
    if how == "going":
        old["metadata"]["deletionTimestamp"] = "2026-11-24T22:00:00Z"
    else:
        old["status"]["phase"] = how
    found = find([old, *there] if first else [*there, old], place.targets)
    assert "old" not in {
        pod["metadata"]["name"] for pod in (*found.servers.values(), *found.probes.values())
    }


def test_a_probe_that_has_no_node_yet_is_none(place: Place, there: list[Object]) -> None:
    for pod in there:
        pod["spec"].pop("nodeName")
    assert find(there, place.targets).probes == {}


@pytest.mark.parametrize("status", ["containerStatuses", "initContainerStatuses"])
def test_a_restart_of_any_container_or_another_pod_is_another_life(
    place: Place, there: list[Object], status: str
) -> None:
    server = named(there, "echo-meshed-node2")
    proxy = {"name": "linkerd-proxy", "restartCount": 0, "state": {}}
    kind = "containers" if status == "containerStatuses" else "initContainers"
    server["spec"].setdefault(kind, []).append(
        {"name": "linkerd-proxy", "image": "proxy", "restartPolicy": "Always"}
    )
    server["status"].setdefault(status, []).append(proxy)
    before = find(there, place.targets).lives("node2", ARMS)
    assert set(before) == {"echo-baseline-node2", "echo-meshed-node2"}
    assert find(there, place.targets).lives("node2", ARMS) == before
    proxy["restartCount"] = 1
    restarted = find(there, place.targets).lives("node2", ARMS)
    assert restarted["echo-meshed-node2"] != before["echo-meshed-node2"]
    assert restarted["echo-baseline-node2"] == before["echo-baseline-node2"]
    proxy["restartCount"] = 0
    server["metadata"]["uid"] = "of-another-pod"
    assert find(there, place.targets).lives("node2", ARMS) != before
    assert find(there, place.targets).lives("node1", ARMS) == {}
