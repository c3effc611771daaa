"""Which nodes are measured, from where, and the design that follows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from runbook.bench import targets
from runbook.bench.design import LEAST
from runbook.bench.targets import Targets, design, find_targets
from runbook.cluster import Cluster
from runbook.errors import UsageError
from runbook.params import Params
from runbook.rehearsal import picluster

WORKERS = ("node1", "node2", "node3", "node4")
Object = dict[str, Any]


class Nodes:
    """The nodes of the Pi cluster: a master and four workers."""

    def __init__(self, *names: str) -> None:
        every = [obj for obj in picluster.objects("1.35") if obj["kind"] == "Node"]
        self.nodes = [obj for obj in every if not names or obj["metadata"]["name"] in names]
        for node in self.nodes:
            node["status"]["conditions"] = [{"type": "Ready", "status": "True"}]

    def list(self, api_version: str, kind: str) -> Iterator[Object]:
        assert (api_version, kind) == ("v1", "Node")
        return iter(self.nodes)

    def node(self, name: str) -> Object:
        return next(node for node in self.nodes if node["metadata"]["name"] == name)

    def not_ready(self, name: str) -> None:
        self.node(name)["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]

    def cordoned(self, name: str) -> None:
        self.node(name).setdefault("spec", {})["unschedulable"] = True


def find(nodes: Nodes, **given: Any) -> Targets:
    return find_targets(cast(Cluster, nodes), Params.parse(given))


def refusal(nodes: Nodes, **given: Any) -> UsageError:
    with pytest.raises(UsageError) as caught:
        find(nodes, **given)
    return caught.value


def test_every_worker_is_measured_from_the_next_and_never_the_server() -> None:
    found = find(Nodes())
    assert found.servers == WORKERS
    assert found.clients == {"node1": "node2", "node2": "node3", "node3": "node4", "node4": "node1"}
    assert found.nodes == WORKERS
    assert found.arms == ("baseline", "meshed")


@pytest.mark.parametrize("role", ["control-plane", "master"])
def test_older_clusters_call_the_server_master(role: str) -> None:
    nodes = Nodes("node1", "node2")
    nodes.node("node1")["metadata"]["labels"][f"node-role.kubernetes.io/{role}"] = "true"
    assert find(nodes).servers == ("node2",)


@pytest.mark.parametrize("spoil", [Nodes.not_ready, Nodes.cordoned])
def test_what_is_not_ready_or_cordoned_is_left_out(spoil: Any) -> None:
    nodes = Nodes()
    spoil(nodes, "node2")
    found = find(nodes)
    assert found.servers == ("node1", "node3", "node4")
    assert "node2" not in found.clients.values()
    error = refusal(nodes, bench_nodes="node1,node2")
    assert error.what == "node node2 cannot be measured"
    assert error.why == "it is not ready, or cordoned"
    assert error.fix == "bench_nodes may name: node1, node3, node4"


def test_a_node_that_does_not_exist_is_refused_with_the_choices() -> None:
    error = refusal(Nodes(), bench_nodes="node9")
    assert error.why == "there is no such node"
    assert error.fix == "bench_nodes may name: node1, node2, node3, node4"
    assert error.status == 2


@pytest.mark.parametrize(
    ("named", "clients"),
    [
        ("node2", {"node2": "node1"}),
        ("node1", {"node1": "node2"}),
        ("node2,node4", {"node2": "node4", "node4": "node2"}),
        ("node4,node1,node2", {"node4": "node1", "node1": "node2", "node2": "node4"}),
        ("master", {"master": "node1"}),  # who names it wants it
    ],
)
def test_named_nodes_are_a_ring_and_one_has_another_worker_beside_it(
    named: str, clients: dict[str, str]
) -> None:
    found = find(Nodes(), bench_nodes=named)
    assert found.servers == tuple(clients)
    assert found.clients == clients
    assert all(node != client for node, client in clients.items())


@pytest.mark.parametrize("only", [("master",), ("node1",), ("master", "node1")])
def test_without_a_second_worker_one_node_does_both(only: tuple[str, ...]) -> None:
    found = find(Nodes(*only))
    assert found.clients == {only[-1]: only[-1]}
    assert found.nodes == only[-1:]


def test_the_server_is_no_substitute_for_workers_that_are_not_ready() -> None:
    nodes = Nodes("master", "node1", "node2")
    nodes.not_ready("node1")
    nodes.cordoned("node2")
    assert refusal(nodes).what == "none of node1, node2 is ready"
    assert refusal(nodes, bench_nodes="node1").fix == "bench_nodes may name: none"


def test_pods_are_pinned_by_the_label_not_the_name() -> None:
    nodes = Nodes("node1", "node2")
    nodes.node("node1")["metadata"]["labels"]["kubernetes.io/hostname"] = "node1.lan"
    nodes.node("node2")["metadata"].pop("labels")
    assert find(nodes).hostnames == {"node1": "node1.lan", "node2": "node2"}


def test_a_third_arm_when_asked_for() -> None:
    assert find(Nodes(), bench_skipped=True).arms == ("baseline", "meshed", "skipped")


def test_the_design_is_every_combination_of_factors() -> None:
    given = {
        "bench_nodes": "node1,node3",
        "bench_rps": "20,200",
        "bench_protocols": "http1,grpc",
        "bench_payloads": "128,1024",
        "bench_seconds": "2s",
        "bench_warmup": "500ms",
        "bench_budget": "90m",
        "bench_half_width": "150us",
        "bench_equivalence": "1ms",
        "bench_percentile": 95,
        "bench_generators": 2,
        "bench_image": "fortio:x",
    }
    params = Params.parse(given)
    made = design(params, find(Nodes(), **given), rehearsal=True)
    assert len(set(made.cells)) == len(made.cells) == 16
    assert {(cell.node, cell.client) for cell in made.cells} == {
        ("node1", "node3"),
        ("node3", "node1"),
    }
    assert {cell.rps for cell in made.cells} == {20, 200}
    assert {cell.protocol for cell in made.cells} == {"http1", "grpc"}
    assert {cell.payload for cell in made.cells} == {128, 1024}
    assert (made.seconds, made.warmup, made.budget_minutes) == (2.0, 0.5, 90.0)
    assert made.half_width_ms == pytest.approx(0.15)
    assert made.equivalence_ms == pytest.approx(1.0)
    assert (made.quantile, made.generators, made.image) == (0.95, 2, "fortio:x")


@pytest.mark.parametrize(("minutes", "pilot"), [(1, LEAST), (50, LEAST), (58, 7), (600, 8)])
def test_the_pilot_is_8_blocks_or_what_the_time_allows_but_never_below_6(
    minutes: int, pilot: int
) -> None:
    params = Params.parse({"bench_budget": f"{minutes}m", "bench_rps": "200"})
    made = design(params, find(Nodes()), rehearsal=False)
    assert len(made.cells) == 4
    block = made.block_seconds(targets.overhead(rehearsal=False))
    assert pilot in (LEAST, 8) or pilot == minutes * 60 // (4 * block)
    assert made.pilot == pilot


def test_the_cells_keep_their_order_or_a_resumed_campaign_would_be_another() -> None:
    params = Params.parse({"bench_rps": "200,20", "bench_protocols": "grpc,http1"})
    one, other = (design(params, find(Nodes()), rehearsal=False) for _ in range(2))
    assert one.cells == other.cells
    assert [(cell.node, cell.protocol, cell.rps) for cell in one.cells][:4] == [
        ("node1", "grpc", 200),
        ("node1", "grpc", 20),
        ("node1", "http1", 200),
        ("node1", "http1", 20),
    ]
