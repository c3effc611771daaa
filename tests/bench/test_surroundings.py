"""Where a campaign runs: what is read of it, and what makes it another place."""

from __future__ import annotations

from typing import Any, cast

import pytest
import samples
from bench_place import NAMESPACE, Place

from runbook.bench.pods import Pods, find_pods
from runbook.bench.surroundings import differences, read_environment
from runbook.bench.targets import Targets
from runbook.cluster import Cluster
from runbook.errors import ApiError
from runbook.params import Params

PARAMS = Params.parse({})
TARGETS = Targets(("node2",), {"node2": "node3"}, {}, ("baseline", "meshed"))
Object = dict[str, Any]


class Pis:
    """A cluster of two Pis with Linkerd."""

    name, uid, version, rehearsal = "pi", "7b0c", "1.33.5+k3s1", False

    def __init__(self) -> None:
        self.config: Object | None = {"data": {"values": "linkerdVersion: edge-26.8.2\n"}}
        self.said = '{"t": 1, "model": "Raspberry Pi 4 Model B Rev 1.4"}\n'
        self.asked: list[str] = []

    def find(self, api_version: str, kind: str, name: str, namespace: str) -> Object | None:
        assert (kind, name, namespace) == ("ConfigMap", "linkerd-config", "linkerd")
        return self.config

    def get(self, api_version: str, kind: str, name: str) -> Object:
        info = {
            "architecture": "arm64",
            "kernelVersion": "6.6.51+rpt-rpi-v8",
            "osImage": "Debian GNU/Linux 12 (bookworm)",
            "kubeletVersion": "v1.33.5+k3s1",
        }
        return {"metadata": {"name": name}, "status": {"nodeInfo": info}}

    def logs(self, namespace: str, pod: str, container: str, *, tail: int) -> str:
        assert (namespace, container, tail) == (NAMESPACE, "probe", 1)
        self.asked.append(pod)
        if not self.said:
            raise ApiError("the container has not started", code=400)
        return self.said


def pods() -> Pods:
    def pod(name: str, *containers: str) -> Object:
        images = [{"name": one, "image": f"cr.l5d.io/x/{one}:edge-26.8.2"} for one in containers]
        return {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": {"containers": images}}

    servers = {
        "echo-baseline-node2": pod("b", "fortio"),
        "echo-meshed-node2": pod("m", "fortio", "linkerd-proxy"),
    }
    return Pods(servers, {"node2": pod("probe-a"), "node3": pod("probe-b")})


def read(cluster: Pis, found: Pods) -> Any:
    return read_environment(cast(Cluster, cluster), PARAMS, TARGETS, found)


def test_versions_nodes_and_their_models() -> None:
    cluster = Pis()
    found = read(cluster, pods())
    assert found.cluster == {"name": "pi", "uid": "7b0c", "version": "1.33.5+k3s1"}
    assert (found.rehearsal, found.linkerd, found.proxy) == (False, "edge-26.8.2", "edge-26.8.2")
    assert found.nodes["node2"] == {
        "model": "Raspberry Pi 4 Model B Rev 1.4",
        "arch": "arm64",
        "kernel": "6.6.51+rpt-rpi-v8",
        "os": "Debian GNU/Linux 12 (bookworm)",
        "kubelet": "v1.33.5+k3s1",
    }
    assert set(found.nodes) == {"node2", "node3"}
    assert cluster.asked == ["probe-a", "probe-b"]
    assert found.generator == PARAMS.bench_image
    assert found.runbook


@pytest.mark.parametrize("said", ["", "\n", '{"t": 1', '{"t": 1}', '{"model": ""}'])
def test_a_probe_that_says_nothing_leaves_the_model_unknown(said: str) -> None:
    cluster = Pis()
    cluster.said = said
    assert read(cluster, pods()).nodes["node2"]["model"] == ""


@pytest.mark.parametrize("config", [None, {}, {"data": {"values": "{"}}, {"data": {"values": "1"}}])
def test_without_linkerd_its_versions_are_unknown(config: Object | None) -> None:
    cluster = Pis()
    cluster.config = config
    found = read(cluster, Pods({}, {}))
    assert (found.linkerd, found.proxy) == ("", "")


def test_the_rehearsal_says_what_it_is(place: Place) -> None:
    pods_there = find_pods(place.cluster, NAMESPACE, place.targets)
    found = read_environment(place.cluster, place.params, place.targets, pods_there)
    assert found.rehearsal
    assert found.cluster["uid"] == place.cluster.uid
    assert set(found.nodes) == {"node1", "node2"}
    assert found.nodes["node2"]["kubelet"].startswith("v1.35")


# --- another place --------------------------------------------------------------------------------

BEFORE = samples.environment(samples.design())


def test_the_same_place_is_no_other() -> None:
    later = BEFORE.model_copy(update={"runbook": "0.2.0", "cluster": {"name": "by another name"}})
    assert differences(BEFORE, later) == ()


@pytest.mark.parametrize("field", ["linkerd", "proxy"])
def test_another_linkerd(field: str) -> None:
    now = BEFORE.model_copy(update={field: "edge-26.9.1"})
    (told,) = differences(BEFORE, now)
    assert told.endswith(f"was {getattr(BEFORE, field)} and is edge-26.9.1")
    assert differences(BEFORE, BEFORE.model_copy(update={field: ""})) == ()


@pytest.mark.parametrize("fact", ["model", "kernel", "os", "kubelet"])
def test_another_node(fact: str) -> None:
    other = {**BEFORE.nodes["node2"], fact: "another"}
    now = BEFORE.model_copy(update={"nodes": {**BEFORE.nodes, "node2": other}})
    was = BEFORE.nodes["node2"][fact]
    assert differences(BEFORE, now) == (f"{fact} of node2 was {was} and is another",)
    unknown = BEFORE.model_copy(update={"nodes": {"node2": {**other, fact: ""}}})
    assert differences(BEFORE, unknown) == differences(unknown, BEFORE) == ()
