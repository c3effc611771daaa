"""Which nodes are measured, from where, and the design that follows from the parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from runbook.bench.design import LEAST, Arm, Cell, Design, Protocol
from runbook.errors import UsageError
from runbook.fields import numbers, seconds, words
from runbook.linkerd.outcomes import condition

if TYPE_CHECKING:
    from runbook.cluster import Cluster
    from runbook.params import Params

__all__ = ["Targets", "design", "find_targets"]

_HOSTNAME = "kubernetes.io/hostname"
_ROLES = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")

_PILOT = 8  # blocks of a cell before it is known how many it needs (Stein's first stage)

_MOST = 40
_START = 11.0
"""Seconds a run takes besides its load on a Pi: its pod starts, with its proxy, and goes (some 6),
and its share of the two waits of a block for kubelets to look again (some 10 each)."""
_START_REHEARSED = 1.0


@dataclass(frozen=True)
class Targets:
    """Where servers and generators run.

    Attributes:
        servers: Nodes that are measured.
        clients: The node of the generators for each of them.
        hostnames: Label ``kubernetes.io/hostname`` of each node.
        arms: What is deployed on each server node.
    """

    servers: tuple[str, ...]
    clients: Mapping[str, str]
    hostnames: Mapping[str, str]
    arms: tuple[Arm, ...]

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node that takes part."""
        return tuple(dict.fromkeys((*self.servers, *self.clients.values())))


def find_targets(cluster: Cluster, params: Params) -> Targets:
    """Choose the nodes: those that are named, else every worker that is ready.

    Generators of a node run on the next one, so that server and generator never share a processor;
    only where there is no second worker they do. The K3s server is measured where it is named, or
    is the only node: its own load comes and goes.

    Raises:
        UsageError: A node that is named does not exist or is not ready, or no worker is.
    """
    nodes = {str(node["metadata"]["name"]): node for node in cluster.list("v1", "Node")}
    ready = [name for name, node in nodes.items() if _is_ready(node)]
    others = [name for name, node in nodes.items() if not _is_server(node)] or list(nodes)
    workers = [name for name in others if name in ready]
    named = words(params.bench_nodes)
    for name in named:
        if name not in ready:
            raise UsageError(
                f"node {name} cannot be measured",
                why="it is not ready, or cordoned" if name in nodes else "there is no such node",
                fix=f"bench_nodes may name: {', '.join(workers) or 'none'}",
            )
    if not named and not workers:
        raise UsageError(f"none of {', '.join(others)} is ready", fix="kubectl get nodes")
    chosen = named or tuple(workers)
    clients = {name: _client(name, chosen, workers) for name in chosen}
    hostnames = {
        name: str((node["metadata"].get("labels") or {}).get(_HOSTNAME, name))
        for name, node in nodes.items()
    }
    arms: tuple[Arm, ...] = ("baseline", "meshed")
    if params.bench_skipped:
        arms = (*arms, "skipped")
    return Targets(chosen, clients, hostnames, arms)


def design(params: Params, targets: Targets, *, rehearsal: bool) -> Design:
    """Give the design: every combination of node, rate, protocol and payload.

    The pilot has 8 blocks a cell, or as many as the budget allows, but never fewer than 6.
    """
    cells = tuple(
        Cell(
            node=node,
            client=targets.clients[node],
            rps=rps,
            protocol=cast(Protocol, protocol),
            payload=payload,
        )
        for node in targets.servers
        for protocol in words(params.bench_protocols)
        for payload in numbers(params.bench_payloads)
        for rps in numbers(params.bench_rps)
    )
    made = Design(
        cells=cells,
        arms=targets.arms,
        seconds=seconds(params.bench_seconds),
        warmup=seconds(params.bench_warmup),
        generators=params.bench_generators,
        image=params.bench_image,
        quantile=params.bench_percentile / 100,
        half_width_ms=seconds(params.bench_half_width) * 1000,
        budget_minutes=seconds(params.bench_budget) / 60,
        most=_MOST,
        equivalence_ms=seconds(params.bench_equivalence) * 1000 if params.bench_equivalence else 0,
    )
    pilot = min(_PILOT, max(LEAST, made.affordable(overhead(rehearsal=rehearsal))))
    return made.model_copy(update={"pilot": pilot})


def overhead(*, rehearsal: bool) -> float:
    """Give the seconds a run takes besides its load, before any has been timed."""
    return _START_REHEARSED if rehearsal else _START


def _client(node: str, chosen: tuple[str, ...], workers: list[str]) -> str:
    """Give the next node: in the ring of the chosen ones, else any other worker."""
    ring = chosen if len(chosen) > 1 else (node, *(name for name in workers if name != node))
    return ring[(ring.index(node) + 1) % len(ring)]


def _is_ready(node: Mapping[str, Any]) -> bool:
    cordoned = (node.get("spec") or {}).get("unschedulable")
    return condition(node, "Ready").get("status") == "True" and not cordoned


def _is_server(node: Mapping[str, Any]) -> bool:
    labels = node["metadata"].get("labels") or {}
    return any(role in labels for role in _ROLES)
