"""A snapshot: everything side by side, and whatever fails is said."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import summary_samples as samples

from runbook import rehearsal
from runbook.bench import readings
from runbook.cluster import connect
from runbook.errors import ApiError, ForbiddenError

NOW = 1795564810.25
POD = f"linkerd-bench/{samples.SERVER}"
METRICS = (Path(__file__).parent / "proxies" / "2.20.prom").read_text()
LINE = '{"t": 1795564808, "temp_mc": 50000, "throttled": "0x0", "stat": "cpu  9 0 0 1 0 0 2 0"}'


class Cluster:
    """Answers by a part of the path, or by the pod whose log is read."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers

    def read(self, path: str) -> Any:
        return self._answer(path)

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str = "",
        *,
        previous: bool = False,
        tail: int = 0,
    ) -> str:
        assert (container, previous, tail) == ("probe", False, 2)
        return str(self._answer(f"log:{namespace}/{pod}"))

    def _answer(self, asked: str) -> Any:
        for part, answer in self.answers.items():
            if part in asked:
                if isinstance(answer, Exception):
                    raise answer
                return answer() if callable(answer) else answer
        raise ApiError("not found", code=404)


def take(cluster: Cluster, longest: float = 30.0, **changed: Any) -> Any:
    asked: dict[str, Any] = {
        "nodes": ["node2"],
        "proxies": [POD],
        "probes": {"node2": "linkerd-bench/probe-b"},
        **changed,
    }
    return readings.take(cluster, **asked, clock=lambda: NOW, longest=longest)


ANSWERS = {
    "nodes/node2/": samples.summary(
        samples.server(),
        samples.pod("linkerd", "linkerd-identity-7c8-1", samples.container("identity", 9, 9, 9)),
        samples.pod("default", "web-1", samples.container("web", 9, 9, 9)),
    ),
    f"/api/v1/namespaces/linkerd-bench/pods/{samples.SERVER}:4191/proxy/metrics": METRICS,
    "log:linkerd-bench/probe-b": f"{LINE}\n{LINE[:30]}",
}


def test_everything_is_there() -> None:
    found = take(Cluster(ANSWERS))
    assert found.missing == ()
    assert found.at == "2026-11-25T00:00:10.250Z"
    assert list(found.containers) == [
        "linkerd-bench/echo-meshed-node2-6d5f7c9b8d-x2x4z/fortio",
        "linkerd-bench/echo-meshed-node2-6d5f7c9b8d-x2x4z/linkerd-proxy",
        "linkerd/linkerd-identity-7c8-1/identity",
    ]
    assert found.nodes["node2"].cpu_seconds == 4200
    assert found.proxies[POD].requests == 4012
    assert found.hosts["node2"].busy == pytest.approx(0.11)
    assert type(found).model_validate_json(found.model_dump_json()) == found


def test_whatever_fails_is_said_and_nothing_else_is_lost() -> None:
    broken = {
        "nodes/node2/": ForbiddenError("cannot get nodes/proxy", code=403),
        "4191": ApiError("cannot get it", code=503, why="connection refused"),
        "log:": ApiError("cannot get the log", code=404),
    }
    found = take(Cluster(broken))
    assert found.missing == (
        "node node2: cannot get nodes/proxy (needs get on nodes/proxy)",
        "probe on node2: cannot get the log",
        f"proxy of {POD}: cannot get it: connection refused",
    )
    assert (found.containers, found.nodes, found.proxies, found.hosts) == ({}, {}, {}, {})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"kind": "Status"}, "its answer holds no metrics of a proxy"),
        ("<html>", "its answer holds no metrics of a proxy"),
        ("process_cpu_seconds_total 1", "it does not tell its resident memory nor its start time"),
        (KeyError("odd"), "the answer cannot be read (KeyError: 'odd')"),
    ],
)
def test_odd_answers_of_a_proxy(answer: Any, said: str) -> None:
    found = take(Cluster({"4191": answer, **ANSWERS}))
    assert found.missing == (f"proxy of {POD}: {said}",)


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("", "it says nothing that can be read"),
        ("sh: sleep: not found", "it says nothing that can be read"),
        (LINE.replace("4808", "4770"), "it last spoke 40 s ago"),
        (LINE.replace("cpu ", "cpux"), "it does not tell the node's CPU time"),
    ],
)
def test_odd_words_of_a_probe(log: str, said: str) -> None:
    found = take(Cluster({"log:": log, **ANSWERS}))
    assert found.missing == (f"probe on node2: {said}",)


def test_nodes_are_read_at_the_same_time() -> None:
    together = threading.Barrier(5, timeout=30)

    def answer() -> Any:
        together.wait()  # broken unless all five are asked before any is answered
        return samples.summary()

    nodes = [f"node{n}" for n in range(5)]
    found = take(Cluster({"nodes/": answer}), nodes=nodes, proxies=[], probes={})
    assert (list(found.nodes), found.missing) == (nodes, ())


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_kubelet_that_hangs_costs_no_more_than_the_limit(released: threading.Event) -> None:
    cluster = Cluster({"nodes/node1/": released.wait, **ANSWERS})
    found = take(cluster, nodes=["node1", "node2"], longest=0.3)
    assert found.missing == ("node node1: no answer within 0 s",)
    assert found.nodes["node2"].cpu_seconds == 4200
    assert found.proxies[POD].requests == 4012


@dataclass(frozen=True)
class Target:
    """The parameters that name a cluster."""

    kubeconfig: str
    cluster: str = "rehearsal"
    cluster_uid: str = ""


def test_the_transport_may_be_shared_by_threads() -> None:
    """A real client of the rehearsal cluster, with more readings than connections are kept."""
    with rehearsal.Twin() as twin:
        cluster = connect(Target(str(twin.kubeconfig)))
        names = [node["metadata"]["name"] for node in cluster.list("v1", "Node")]
        pods = [
            f"kube-system/{pod['metadata']['name']}"
            for pod in cluster.list("v1", "Pod", "kube-system")
        ]
        probes = dict(zip(pods, pods, strict=True))
        found = readings.take(
            cluster, nodes=names, proxies=[], probes=probes, control_plane="kube-system"
        )
        cluster.close()
    assert list(found.nodes) == sorted(names)
    assert len(names) == 5
    seen = {key.rpartition("/")[0] for key in found.containers}
    assert seen <= set(pods)
    assert len(seen) > 5
    said = [text for text in found.missing if text.startswith("probe on kube-system/")]
    assert len(said) == len(pods), "none of them is a probe"
