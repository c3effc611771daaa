"""Checks before anything is measured: nodes, kubelets, servers, sensors, time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from bench_place import NAMESPACE, Place

from runbook.bench import checks, kubelet, readings
from runbook.bench.design import LEAST
from runbook.bench.pods import find_pods
from runbook.bench.snapshot import Host, Snapshot
from runbook.checks import Check, Outcome
from runbook.params import Params

Object = dict[str, Any]


def told(place: Place, check: Check, cluster: Any = None, **given: Any) -> dict[str, Outcome]:
    plain = {"kubeconfig": str(place.twin.kubeconfig), "bench_nodes": "node2"}
    params = Params.parse(plain | given)
    context: Any = SimpleNamespace(cluster=cluster or place.cluster, params=params)
    return {one.id: one for one in check(context)}


def test_servers_and_generators_are_on_nodes_of_their_own(place: Place) -> None:
    found = told(place, checks.nodes, bench_nodes="")["bench-nodes"]
    assert found.verdict == "pass"
    assert found.seen == ("node1 from node2, node2 from node3, node3 from node4, node4 from node1")


def test_a_node_that_does_both_is_a_warning(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = replace(place.targets, clients={"node2": "node2"})
    monkeypatch.setattr(checks, "find_targets", lambda *_: alone)
    found = told(place, checks.nodes)["bench-nodes"]
    assert found.verdict == "warn"
    assert found.seen == "node2 from node2"
    assert "node2 both share one processor" in found.why


# --- kubelets -------------------------------------------------------------------------------------


def test_kubelets_answer(place: Place) -> None:
    found = told(place, checks.access)["bench-kubelets"]
    assert (found.verdict, found.seen) == ("pass", "2 kubelets answered")


def test_who_may_not_ask_kubelets_can_still_measure_latency(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(place.cluster), "can", lambda *_: False)
    found = told(place, checks.access)["bench-kubelets"]
    assert (found.verdict, found.seen) == ("warn", "not allowed")
    assert "nodes/proxy" in found.fix


def test_a_node_without_its_memory_cgroup_is_named(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    gap = "node node2: its kubelet says no memory of the node"
    monkeypatch.setattr(
        kubelet,
        "summary",
        lambda _, node, namespaces: kubelet.Summary(missing=(gap,) if node == "node2" else ()),
    )
    found = told(place, checks.access)["bench-kubelets"]
    assert (found.verdict, found.seen) == ("warn", gap)
    assert "cgroup_enable=memory" in found.fix


# --- extensions -----------------------------------------------------------------------------------


def test_no_extension_runs_beside_it(place: Place) -> None:
    assert told(place, checks.quiet)["bench-quiet"].verdict == "pass"
    viz = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "linkerd-viz", "labels": {"linkerd.io/extension": "viz"}},
    }
    place.cluster.create(viz)
    try:
        found = told(place, checks.quiet)["bench-quiet"]
    finally:
        place.cluster.delete("v1", "Namespace", "linkerd-viz")
    assert (found.verdict, found.seen) == ("warn", "linkerd-viz")
    assert found.fix.startswith("kubectl -n linkerd-viz scale deployment --all --replicas=0")


# --- servers --------------------------------------------------------------------------------------


class Listed:
    """The cluster, with pods that are changed."""

    def __init__(self, place: Place, change: Callable[[list[Object]], None]) -> None:
        self.cluster = place.cluster
        self.pods = copy.deepcopy(list(place.cluster.list("v1", "Pod", NAMESPACE)))
        change(self.pods)

    def list(self, api_version: str, kind: str, *args: str, **options: str) -> Iterator[Object]:
        if kind == "Pod":
            return iter(self.pods)
        return self.cluster.list(api_version, kind, *args, **options)


def server(pods: list[Object], arm: str) -> Object:
    label = "app.kubernetes.io/name"
    return next(p for p in pods if p["metadata"]["labels"][label] == f"echo-{arm}-node2")


def inject(pod: Object) -> None:
    proxy = {"name": "linkerd-proxy", "image": "proxy"}
    pod["spec"]["containers"].append(proxy)
    pod["status"]["containerStatuses"].append({**proxy, "ready": True, "state": {"running": {}}})


def meshed(pods: list[Object]) -> None:
    inject(server(pods, "meshed"))


def test_both_arms_serve(place: Place) -> None:
    found = told(place, checks.servers, Listed(place, meshed))
    assert {one.verdict for one in found.values()} == {"pass"}
    assert found["bench-servers-node2"].title == "node2 serves baseline and meshed"


def test_a_meshed_server_without_its_proxy_fails(place: Place) -> None:
    found = told(place, checks.servers)["bench-servers-node2"]  # there is no Linkerd here
    assert (found.verdict, found.seen) == ("fail", "echo-meshed-node2 lacks its proxy")


def test_a_baseline_server_with_one_fails(place: Place) -> None:
    def both(pods: list[Object]) -> None:
        meshed(pods)
        inject(server(pods, "baseline"))

    found = told(place, checks.servers, Listed(place, both))["bench-servers-node2"]
    assert (found.verdict, found.seen) == ("fail", "echo-baseline-node2 has a proxy")


def test_a_server_that_is_not_ready_or_not_there_fails(place: Place) -> None:
    def crashes(pods: list[Object]) -> None:
        meshed(pods)
        status = server(pods, "baseline")["status"]["containerStatuses"][0]
        status |= {"ready": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
        pods.remove(server(pods, "meshed"))

    found = told(place, checks.servers, Listed(place, crashes))["bench-servers-node2"]
    assert found.verdict == "fail"
    assert "CrashLoopBackOff" in found.seen
    assert found.seen.endswith("; echo-meshed-node2 is not there")


@pytest.mark.parametrize(("mode", "verdict"), [("plan", "skip"), ("apply", "fail")])
@pytest.mark.parametrize("check", [checks.servers, checks.node_health])
def test_before_notebook_60_nothing_is_there(
    place: Place, check: Check, mode: str, verdict: str
) -> None:
    (found,) = told(place, check, bench_namespace="elsewhere", mode=mode).values()
    assert found.verdict == verdict
    assert "60-bench-deploy" in f"{found.seen} {found.fix}"


# --- sensors --------------------------------------------------------------------------------------


def test_the_probes_speak(place: Place) -> None:
    found = told(place, checks.node_health)
    assert (found["bench-probe"].verdict, found["bench-probe"].seen) == ("pass", "node1, node2")
    assert {key.rpartition("-")[0] for key in found} >= {"node1", "node2"}
    assert "fail" not in {one.verdict for one in found.values()}


def test_a_hot_node_fails_and_a_silent_probe_is_a_warning(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    hot = Snapshot(at="", hosts={"node2": Host(temperature=84.0, governor="performance")})
    monkeypatch.setattr(readings, "take", lambda *_, **__: hot)
    found = told(place, checks.node_health)
    assert found["node2-temperature"].verdict == "fail"
    assert (found["bench-probe"].verdict, found["bench-probe"].seen) == (
        "warn",
        "nothing from node1",
    )
    assert find_pods(place.cluster, NAMESPACE, place.targets).probes


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "verdict"), [("1s", "pass"), ("1010ms", "fail")])
def test_a_budget_of_exactly_six_blocks_is_enough(place: Place, seconds: str, verdict: str) -> None:
    given = {"bench_rps": "100", "bench_warmup": "500ms", "bench_budget": "1m"}
    found = told(place, checks.budget, bench_seconds=seconds, **given)["bench-budget"]
    assert found.verdict == verdict, "6 blocks of 4 runs of 2.5 s, with what a run takes besides"
    assert found.title == f"bench_budget allows {LEAST} blocks of each of 1 cells"


def test_a_budget_that_is_too_small_says_what_is_needed(place: Place) -> None:
    given = {"bench_rps": "20,200", "bench_seconds": "1s", "bench_warmup": "500ms"}
    found = told(place, checks.budget, bench_budget="1m59s", **given)["bench-budget"]
    assert found.verdict == "fail"
    assert found.expected == "2 min or more"


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ({"bench_rps": "1000", "bench_seconds": "75s", "bench_warmup": "5s"}, "pass"),
        ({"bench_rps": "1000", "bench_seconds": "76s", "bench_warmup": "5s"}, "fail"),
        (
            {
                "bench_rps": "1000",
                "bench_seconds": "76s",
                "bench_warmup": "5s",
                "bench_generators": 2,
            },
            "pass",
        ),
    ],
)
def test_a_log_must_hold_a_run(place: Place, given: Any, verdict: str) -> None:
    found = told(place, checks.budget, bench_budget="10h", **given)["bench-log"]
    assert found.verdict == verdict
