"""A campaign on the rehearsal cluster: killed, gone on with, and what does not count."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
from bench_place import NAMESPACE, Place
from campaign_child import MOMENTS

from runbook.bench import conduct, hosts, kubelet
from runbook.bench.campaign import Campaign
from runbook.bench.conduct import Conductor
from runbook.bench.design import Cell, Design
from runbook.bench.histogram import Histogram
from runbook.bench.load import LOAD, Loader, LoadError
from runbook.bench.pods import find_pods
from runbook.bench.schedule import Measured
from runbook.bench.store import Store
from runbook.errors import StepError
from runbook.rehearsal.faults import Fault

HERE = Path(__file__).parent


def conductor(place: Place, **changes: Any) -> Conductor:
    plain: dict[str, Any] = {"targets": place.targets, "store": place.store}
    return Conductor(place.cluster, place.params, **plain | changes)


def begun(place: Place, **changes: Any) -> Campaign:
    campaign = place.campaign(place.design(**changes))
    place.store.begin(campaign)
    return campaign


@dataclass
class Killed:
    """What was seen of a campaign after each attempt, and what became of it.

    Attributes:
        seen: By moment: exit status, blocks that are kept, Jobs that are left.
        before: The campaign before the attempt that nobody killed.
        after: And after it.
    """

    design: Design
    seen: dict[str, tuple[int, list[int], list[str]]] = field(default_factory=dict)
    before: Campaign | None = None
    after: Campaign | None = None


@pytest.fixture(scope="module")
def killed(place: Place) -> Killed:
    """A campaign of one block, measured by processes that were killed."""
    found = Killed(place.design(seconds=0.1, warmup=0.05, pilot=1, most=1))
    command = [sys.executable, str(HERE / "campaign_child.py"), str(place.twin.kubeconfig)]
    path = {"PYTHONPATH": f"{HERE}:{HERE.parent.parent}", "PATH": os.environ["PATH"]}
    with subprocess.Popen(
        [*command, found.design.model_dump_json()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=path,
    ) as process:
        assert process.stdin
        assert process.stdout
        for moment in MOMENTS:
            if moment == "never":
                found.before = place.store.unfinished(found.design)
            process.stdin.write(f"{moment}\n")
            process.stdin.flush()
            status = int(process.stdout.readline())
            there = place.store.unfinished(found.design)
            blocks = [block.number for block in there.blocks] if there else []
            found.seen[moment] = (status, blocks, place.jobs())
        process.stdin.close()
    found.after = place.store.newest()
    return found


def test_killed_at_any_moment_one_block_is_repeated_at_most(killed: Killed) -> None:
    died = -signal.SIGKILL
    seen = dict(killed.seen)
    status, blocks, left = seen.pop("in a run")
    assert (status, blocks, len(left)) == (died, [], 1), "nobody was there to delete the Job"
    assert seen == {
        "between runs": (died, [], []),
        "before a block is written": (died, [], []),  # and the Job that was left is gone
        "when a block is written": (died, [0], []),
        "before the end is written": (died, [0], []),
        "never": (0, [], []),  # there is no unfinished one any more
    }


def test_what_was_kept_is_not_measured_again(place: Place, killed: Killed) -> None:
    assert killed.before is not None
    assert killed.after is not None
    assert killed.after.id == killed.before.id
    assert killed.after.blocks == killed.before.blocks
    assert place.jobs() == []
    assert not list(place.cluster.list("v1", "Pod", NAMESPACE, selector=LOAD))


def test_it_is_measured_to_its_end_all_the_same(killed: Killed) -> None:
    campaign = killed.after
    assert campaign is not None
    assert campaign.complete
    assert campaign.stop == {
        "0": "1 blocks, the most a cell may have: the first 1 have too few requests to tell how "
        "many p99 needs"
    }
    (block,) = campaign.blocks
    assert block.invalid == ()
    assert tuple(run.arm for run in block.runs) == killed.design.order(0)
    assert [run.position for run in block.runs] == [0, 1, 2, 3]
    starts = [run.started for run in block.runs]
    assert starts == sorted(starts)
    assert all(run.errors == 0 and run.response.count for run in block.runs)
    assert block.seconds > 4 * 0.15


def test_both_nodes_and_servers_are_looked_at_around_a_block(killed: Killed) -> None:
    assert killed.after is not None
    (block,) = killed.after.blocks
    assert block.before.at < block.runs[0].started < block.runs[-1].started < block.after.at
    for look in (block.before, block.after):
        assert set(look.nodes) == set(look.hosts) == {"node1", "node2"}
        servers = {name.partition("/")[2] for name in look.containers if "/fortio" in name}
        arms = {name.rpartition("-node2")[0] for name in servers}
        assert arms == {"echo-baseline", "echo-meshed"}
    for node, used in block.before.nodes.items():
        assert used.cpu_seconds is not None
        assert (block.after.nodes[node].cpu_seconds or 0) > used.cpu_seconds


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take what kubelets say as it is."""
    monkeypatch.setattr(kubelet, "fresh", lambda *_, **__: "")


@pytest.mark.usefixtures("at_once")
def test_a_rest_is_looked_at_before_and_after(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conduct, "_IDLE_REHEARSED", 0.05)
    campaign = begun(place)
    rested = conductor(place).rest(campaign)
    first, second = rested.idle
    assert first.at < second.at
    assert set(first.nodes) == {"node1", "node2"}
    assert place.store.read(campaign.id) == rested


# --- failing loads --------------------------------------------------------------------------------


@pytest.mark.usefixtures("at_once")
def test_three_loads_in_a_row_that_fail_end_it_and_what_was_measured_stays(place: Place) -> None:
    campaign = begun(place, seconds=0.31)
    number = place.twin.faults.set(
        Fault("crash", namespace=NAMESPACE, container="fortio", message="out of memory")
    )
    try:
        with pytest.raises(LoadError) as caught:
            conductor(place).run(campaign)
    finally:
        place.twin.faults.clear(number)
    assert "out of memory" in caught.value.why
    assert place.jobs() == []
    found = place.store.unfinished(campaign.design)
    assert found == campaign


@pytest.fixture(scope="module")
def load(place: Place) -> Measured:
    """What a load says, to be said again by tests that are not about loads."""
    design = place.design()
    return place.loader(design).run(design.cells[0], "baseline", "load-once")


class Scripted:
    """Loads that fail or not, as written; each gives the same numbers."""

    def __init__(self, load: Measured, script: str = "") -> None:
        self.load, self.script = load, list(script)
        self.count = 0
        self.during: Callable[[], None] = lambda: None

    def __call__(self, loader: Loader, cell: Cell, arm: str, name: str) -> Measured:
        self.count += 1
        if self.script and self.script.pop(0) == "x":
            raise LoadError("the load generator failed")
        self.during()
        return self.load


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, load: Measured, at_once: None) -> Scripted:
    script = Scripted(load)
    monkeypatch.setattr(Loader, "run", partialmethod(script))
    return script


def test_failures_that_are_not_in_a_row_cost_a_block_each(place: Place, scripted: Scripted) -> None:
    scripted.script = list("x..x....xx....")
    found = conductor(place).run(begun(place, seconds=0.32))
    assert scripted.script == []
    assert [block.number for block in found.blocks] == [0, 1]
    assert found.complete


def test_after_a_failure_kubelets_must_have_looked_again(
    place: Place, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    since: list[float] = []
    monkeypatch.setattr(kubelet, "fresh", lambda _, __, moment, *___, **____: since.append(moment))
    scripted.script = list("....x....")
    began = time.time()
    conductor(place).run(begun(place, seconds=0.33))
    first, after, before_failed, again = since[::2][:4]
    assert first >= began
    assert before_failed == after, "nothing ran between the end of a block and the next"
    assert again >= began > after, "the load that failed ran in between"


def test_the_budget_ends_it_with_a_reason(place: Place, scripted: Scripted) -> None:
    found = conductor(place).run(begun(place, seconds=0.34, budget_minutes=1e-6))
    assert len(found.blocks) == 1
    assert found.stop == {"0": "1 of 2 blocks: the budget of 1e-06 min is used up"}


def test_a_server_that_is_missing_is_no_failed_load(place: Place, scripted: Scripted) -> None:
    targets = replace(place.targets, arms=("baseline", "meshed", "skipped"))
    with pytest.raises(StepError, match="there is no server echo-skipped-node2") as caught:
        conductor(place, targets=targets).run(begun(place, seconds=0.35))
    assert "60-bench-deploy" in caught.value.fix
    assert scripted.count == 0


# --- what does not count --------------------------------------------------------------------------


def said(place: Place, throttled: bool) -> None:
    """Wait until the probe of node2 says so."""
    path = find_pods(place.cluster, NAMESPACE, place.targets).probe_paths()["node2"]
    namespace, _, name = path.partition("/")
    end = time.monotonic() + 30
    while True:
        spoken = hosts.history(place.cluster.logs(namespace, name, "probe", tail=1))
        if spoken and bool(hosts.throttling(spoken[-1].throttled)) == throttled:
            return
        assert time.monotonic() < end, "the probe does not say it"
        time.sleep(0.05)


def test_a_node_that_is_throttled_makes_a_block_invalid(place: Place, scripted: Scripted) -> None:
    number = place.twin.faults.set(Fault("throttled", name="node2"))
    try:
        said(place, throttled=True)
        found = conductor(place).run(begun(place, seconds=0.36, pilot=1, most=1))
    finally:
        place.twin.faults.clear(number)
        said(place, throttled=False)
    assert len(found.blocks) == 2, "twice as many as it needs, then it is given up"
    for block in found.blocks:
        assert block.invalid
        assert all(reason.startswith("node2: ") for reason in block.invalid)
        assert any("throttled" in reason for reason in block.invalid)
    assert found.stop == {"0": "0 of 2 blocks count; see why the others do not"}
    assert place.store.read(found.id) == found, "they are kept, with the reason"


def test_latency_is_never_a_reason(place: Place, scripted: Scripted) -> None:
    seconds = scripted.load.response
    slow = Histogram(us=tuple(us * 1000 for us in seconds.us), n=seconds.n)
    scripted.load = replace(
        scripted.load, response=slow, service=slow, late=1.0, behind=1.0, errors=5
    )
    found = conductor(place).run(begun(place, seconds=0.37, pilot=1, most=1))
    assert [block.invalid for block in found.blocks] == [()]


def test_a_clock_that_jumped_makes_a_block_invalid(place: Place, scripted: Scripted) -> None:
    scripted.load = replace(scripted.load, clock_step=-0.25)
    found = conductor(place).run(begun(place, seconds=0.39, pilot=1, most=1))
    assert {block.invalid for block in found.blocks} == {("node1: its clock jumped by -250 ms",)}


def test_a_server_that_is_replaced_makes_a_block_invalid(place: Place, scripted: Scripted) -> None:
    before = find_pods(place.cluster, NAMESPACE, place.targets)
    server = before.server("meshed", "node2")
    assert server is not None
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "echo-meshed-node2", "namespace": NAMESPACE},
    }
    left = ["once"]

    def replaced() -> None:
        if left:
            left.pop()
            place.cluster.delete("v1", "Pod", server["metadata"]["name"], NAMESPACE)
            place.cluster.wait_ready([deployment], 30)

    scripted.during = replaced
    found = conductor(place).run(begun(place, seconds=0.38, pilot=1, most=1))
    place.cluster.wait_ready([deployment], 30)
    assert [block.invalid for block in found.blocks] == [
        ("the pod of echo-meshed-node2 was restarted or replaced",),
        (),
    ]


def test_a_store_elsewhere_is_left_alone(place: Place, scripted: Scripted, space: str) -> None:
    store = Store(place.cluster, space)
    campaign = place.campaign(place.design(seconds=0.39, pilot=1, most=1))
    store.begin(campaign)
    before = place.store.ids()
    found = conductor(place, store=store).run(campaign)
    assert store.ids() == [found.id]
    assert place.store.ids() == before
