"""What the benchmark notebooks do: propose a campaign, measure it, show what it says.

>>> proposal = benchmark.plan(step)                 # doctest: +SKIP
>>> campaign = benchmark.measure(step, proposal)    # doctest: +SKIP
>>> benchmark.overhead(step, campaign)              # doctest: +SKIP

The work itself is in :mod:`runbook.bench`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook import show
from runbook.bench import deploy, report, tables, targets
from runbook.bench.campaign import Campaign, Environment
from runbook.bench.conduct import Conductor
from runbook.bench.design import Design
from runbook.bench.pods import find_pods
from runbook.bench.store import Store
from runbook.bench.surroundings import differences, read_environment
from runbook.bench.targets import Targets
from runbook.result import Measure

if TYPE_CHECKING:
    from runbook.bench.figure import Figure
    from runbook.step import Step

__all__ = ["Proposal", "latest", "measure", "objects", "overhead", "plan", "publish"]


@dataclass(frozen=True)
class Proposal:
    """A campaign as it would be.

    Attributes:
        targets: Where.
        design: What.
        begun: A campaign of this design that was begun and stopped: it is gone on with.
    """

    targets: Targets
    design: Design
    begun: Campaign | None = None


def objects(step: Step) -> list[dict[str, Any]]:
    """Give what notebook 60 puts into the cluster."""
    return deploy.objects(step.params, targets.find_targets(step.cluster, step.params))


def plan(step: Step) -> Proposal:
    """Show what would be measured, in how many minutes, and give it.

    A campaign of this design that was stopped is gone on with, unless Linkerd or a node has become
    another since: then a new one begins.
    """
    with step.part("Plan"):
        found = targets.find_targets(step.cluster, step.params)
        made = targets.design(step.params, found, rehearsal=step.cluster.rehearsal)
        begun = _store(step).unfinished(made)
        changed = differences(begun.environment, _environment(step, found)) if begun else ()
        proposal = Proposal(found, made, None if changed else begun)
        overhead = targets.overhead(rehearsal=step.cluster.rehearsal)
        done = len(proposal.begun.blocks) if proposal.begun else 0
        step.display(tables.proposal(made, overhead, done=done, changed=changed, badge=step.badge))
        return proposal


def measure(step: Step, proposal: Proposal) -> Campaign | None:
    """Measure a campaign, or what is left of it; in other modes than apply give the newest.

    Every block is kept as soon as it is measured. A campaign that was interrupted, killed or whose
    loads failed goes on here when the notebook is run again.
    """
    if step.mode != "apply":
        step.display(tables.note("Measure", f"nothing is measured: the mode is {step.mode}"))
        return latest(step)
    with step.part("Measure"):
        store = _store(step)
        campaign = proposal.begun or _begin(step, proposal, store)
        conductor = Conductor(step.cluster, step.params, proposal.targets, store)
        if not campaign.idle:
            campaign = conductor.rest(campaign)
        measured = conductor.run(campaign)
        step.display(tables.blocks(measured, badge=step.badge))
        return measured


def latest(step: Step) -> Campaign | None:
    """Give the campaign to look at: of the file ``bench_data``, else the cluster's newest.

    Raises:
        UsageError: The file cannot be read, or is no campaign.
    """
    name = step.params.bench_data
    if not name:
        return _store(step).newest()
    return Campaign.read(Path(name))


def overhead(step: Step, campaign: Campaign | None) -> None:
    """Show what the mesh costs in latency, and give the numbers to the record."""
    if campaign is None:
        step.display(tables.note("Overhead", "no campaign has been measured yet"))
        return
    with step.part("Overhead"):
        found = report.latency(campaign)
        margin = campaign.design.equivalence_ms
        step.display(tables.effects(found, margin=margin, badge=step.badge))
        step.measure(*(Measure(*numbers) for numbers in report.latency_measures(found)))


def footprint(step: Step, campaign: Campaign | None) -> None:
    """Show what the mesh costs in CPU and memory, and give the numbers to the record."""
    if campaign is None:
        step.display(tables.note("Footprint", "no campaign has been measured yet"))
        return
    with step.part("Footprint"):
        found = report.footprint(campaign)
        for table in tables.footprint(found, badge=step.badge):
            step.display(table)
        step.measure(*(Measure(*numbers) for numbers in report.footprint_measures(found)))


def publish(step: Step, campaign: Campaign | None) -> None:
    """Draw the charts of a campaign and hand it to the record as data."""
    if campaign is None:
        step.display(tables.note("Report", "no campaign has been measured yet"))
        return
    with step.part("Report"):
        drawn = report.figures(campaign)
        step.display(*_with_numbers(drawn))
        if drawn.left_out:
            step.display(tables.note("Charts left out", "\n".join(drawn.left_out)))
        step.keep("campaign.json.gz", campaign.to_json())


def _with_numbers(drawn: Iterable[Figure]) -> Iterator[show.Showable]:
    """Give each chart and, folded under it, the table its words speak of."""
    for figure in drawn:
        yield figure
        if figure.table is not None:
            yield replace(figure.table, folded=True)


def _store(step: Step) -> Store:
    return Store(step.cluster, step.params.bench_namespace)


def _environment(step: Step, found: Targets) -> Environment:
    pods = find_pods(step.cluster, step.params.bench_namespace, found)
    return read_environment(step.cluster, step.params, found, pods)


def _begin(step: Step, proposal: Proposal, store: Store) -> Campaign:
    campaign = Campaign(
        id=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{proposal.design.digest}",
        design=proposal.design,
        environment=_environment(step, proposal.targets),
    )
    store.begin(campaign)
    return campaign
