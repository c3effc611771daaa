"""A campaign under way: block after block, until every cell is known well enough or time is up.

It stops on precision, never on significance: looking again and again until an interval excludes
zero finds an effect in every fourth campaign without one. Blocks are kept as they are measured, so
a campaign that was killed goes on where it was; the block it was at is measured again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runbook.bench import hosts, kubelet, readings
from runbook.bench.agenda import Agenda
from runbook.bench.campaign import Block, Campaign, Run
from runbook.bench.deploy import server_name
from runbook.bench.load import Loader, LoadError
from runbook.bench.pods import Pods, find_pods
from runbook.errors import ApiError, StepError
from runbook.progress import progress

if TYPE_CHECKING:
    from runbook.bench.design import Cell
    from runbook.bench.schedule import Measured
    from runbook.bench.snapshot import Snapshot, Spent
    from runbook.bench.store import Store
    from runbook.bench.targets import Targets
    from runbook.cluster import Cluster
    from runbook.params import Params

__all__ = ["Conductor"]

_FRESH = 20.0  # seconds until a kubelet has looked again: every 10 to 15 s, told in whole ones
_FAILURES = 3  # loads in a row that may fail before the campaign gives up
_IDLE, _IDLE_REHEARSED = 60.0, 6.0
"""Seconds without load; the rehearsal's kubelets measure when they are asked."""
_PROBE_TURN = 2.0  # seconds between two lines of the probe


@dataclass
class Conductor:
    """Measures the blocks of one campaign.

    Attributes:
        cluster: Where.
        params: Namespaces and timeouts.
        targets: The nodes.
        store: Keeps what was measured.
        agenda: Says what comes next.
    """

    cluster: Cluster
    params: Params
    targets: Targets
    store: Store
    agenda: Agenda = field(default_factory=Agenda)
    _known_since: float = 0.0

    def run(self, campaign: Campaign) -> Campaign:
        """Measure what is left of a campaign and keep it, block by block.

        Raises:
            LoadError: Loads failed again and again; what was measured before is kept.
            StepError: A server is not there.
        """
        loader = self._loader(campaign)
        loader.sweep()
        failures = 0
        with progress("blocks", self.agenda.total(campaign)) as told:
            while (cell := self.agenda.next_cell(campaign)) is not None:
                told.total = self.agenda.total(campaign)
                told.tell(len(campaign.blocks), campaign.design.cells[cell].title)
                try:
                    block = self._block(campaign, loader, cell)
                except LoadError:
                    failures += 1
                    if failures >= _FAILURES:
                        raise
                    loader.sweep()
                    self._known_since = 0.0  # the nodes have been under load since
                    continue
                failures = 0
                self.store.keep(campaign, block)
                campaign = campaign.model_copy(update={"blocks": (*campaign.blocks, block)})
        stop = self.agenda.reasons(campaign)
        ended = campaign.model_copy(update={"complete": True, "stop": stop})
        self.store.end(ended)
        return ended

    def rest(self, campaign: Campaign) -> Campaign:
        """Look at everything before and after a time without load, and keep both.

        Long enough for what kubelets say: they look every 10 s or so, and cut times to the second.
        """
        self._loader(campaign).sweep()
        length = _IDLE_REHEARSED if self.cluster.rehearsal else _IDLE
        cells = campaign.design.cells
        pods = self._pods(cells[0])
        nodes = self._nodes(*(node for cell in cells for node in (cell.node, cell.client)))
        first = self._snapshot(pods, nodes, time.time())
        with progress("idle") as told:
            end = time.monotonic() + length
            while (left := end - time.monotonic()) > 0:
                told.tell(note=f"no load for {left:.0f} s more")
                time.sleep(min(1.0, left))
        idle = (first, self._snapshot(pods, nodes, time.time()))
        self.store.rest(campaign, idle)
        return campaign.model_copy(update={"idle": idle})

    def _loader(self, campaign: Campaign) -> Loader:
        namespace, timeout = self.params.bench_namespace, float(self.params.timeout)
        design, hostnames = campaign.design, self.targets.hostnames
        return Loader(self.cluster, namespace, design, hostnames, timeout)

    def _block(self, campaign: Campaign, loader: Loader, index: int) -> Block:
        design, number = campaign.design, len(campaign.blocks)
        cell = design.cells[index]
        began, clock = datetime.now(UTC), time.monotonic()
        pods = self._pods(cell)
        nodes = self._nodes(cell.node, cell.client)
        before = self._snapshot(pods, nodes, self._known_since or began.timestamp())
        runs: list[Run] = []
        for position, arm in enumerate(design.order(number)):
            name = f"load-{campaign.id[9:15]}-{number}-{position}"
            found = loader.run(cell, arm, name)
            spent = {"spent": self._spent(pods, cell, found)}
            runs.append(found.run(arm, position).model_copy(update=spent))
        last = runs[-1]
        ended = datetime.fromisoformat(last.started).timestamp() + last.seconds
        after = self._snapshot(pods, nodes, ended)
        self._known_since = ended  # nothing is under load until the next block begins
        return Block(
            number=number,
            cell=index,
            started=began.isoformat(timespec="milliseconds"),
            seconds=time.monotonic() - clock,
            runs=tuple(runs),
            before=before,
            after=after,
            invalid=tuple(self._invalid(cell, pods, before, after, runs)),
        )

    def _pods(self, cell: Cell) -> Pods:
        """Find the pods of a cell.

        Raises:
            StepError: A server is missing.
        """
        pods = find_pods(self.cluster, self.params.bench_namespace, self.targets)
        for arm in self.targets.arms:
            if pods.server(arm, cell.node) is None:
                raise StepError(
                    f"there is no server {server_name(arm, cell.node)}",
                    why="it was deleted while the campaign ran, or notebook 60 has not been run",
                    fix="run notebook 60-bench-deploy, then this one again: it goes on",
                )
        return pods

    def _nodes(self, *measured: str) -> dict[str, bool]:
        """Give the nodes to look at, and whether their kubelets must have looked again.

        The control plane's are among them, whose load is light and steady.
        """
        found = self.cluster.list("v1", "Pod", self.params.linkerd_namespace)
        others = (str(pod["spec"].get("nodeName") or "") for pod in found)
        return dict.fromkeys(filter(None, others), False) | dict.fromkeys(measured, True)

    def _snapshot(self, pods: Pods, nodes: Mapping[str, bool], since: float) -> Snapshot:
        """Read what was used so far, when kubelets have looked after a moment."""
        namespaces = (self.params.bench_namespace,)
        stale = [
            kubelet.fresh(self.cluster, node, since, _FRESH, namespaces=namespaces)
            for node, needed in nodes.items()
            if needed
        ]
        servers = {node for node in self.targets.servers if nodes.get(node)}
        found = readings.take(
            self.cluster,
            nodes=nodes,
            proxies=[path for node in servers for path in pods.proxies(node, self.targets.arms)],
            probes={n: path for n, path in pods.probe_paths().items() if nodes.get(n)},
            control_plane=self.params.linkerd_namespace,
        )
        said = tuple(text for text in stale if text)
        return found.model_copy(update={"missing": (*found.missing, *said)})

    def _spent(self, pods: Pods, cell: Cell, run: Measured) -> dict[str, Spent]:
        """Read what the nodes of a run spent while it was measured."""
        start = datetime.fromisoformat(run.started).timestamp()
        tail = math.ceil((run.seconds + 30) / _PROBE_TURN)
        found = {}
        for node in dict.fromkeys((cell.node, cell.client)):
            path = pods.probe_paths().get(node)
            if path is None:
                continue
            namespace, _, name = path.partition("/")
            try:
                log = self.cluster.logs(namespace, name, "probe", tail=tail)
            except ApiError:
                continue  # the figures that need it say that they miss it
            used = hosts.spent(hosts.history(log), start, start + run.seconds)
            if used is not None:
                found[node] = used
        return found

    def _invalid(
        self, cell: Cell, pods: Pods, before: Snapshot, after: Snapshot, runs: list[Run]
    ) -> Iterator[str]:
        """Say why a block does not count: by its environment alone, never by its latencies."""
        for node in before.hosts.keys() & after.hosts.keys():
            for problem in hosts.problems(before.hosts[node], after.hosts[node]):
                yield f"{node}: {problem}"
        during = {
            f"{node}: {problem}"
            for run in runs
            for node, used in run.spent.items()
            for problem in hosts.problems_during(used)
        }
        yield from sorted(during)
        step = max((run.clock_step for run in runs), key=abs, default=0.0)
        if step:
            yield f"{cell.client}: its clock jumped by {step * 1000:.0f} ms"
        later = find_pods(self.cluster, self.params.bench_namespace, self.targets)
        yield from _changed(
            pods.lives(cell.node, self.targets.arms), later.lives(cell.node, self.targets.arms)
        )


def _changed(
    before: Mapping[str, tuple[str, int]], after: Mapping[str, tuple[str, int]]
) -> Iterator[str]:
    for name, life in before.items():
        if after.get(name) != life:
            yield f"the pod of {name} was restarted or replaced"
