"""All charts of a campaign: those that its data supports, and why the others are left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runbook.bench import (
    charts_blocks,
    charts_latency,
    charts_load,
    charts_nodes,
    charts_overhead,
    charts_proxies,
    charts_reference,
)
from runbook.bench.campaign import Campaign
from runbook.bench.charts_frame import NotDrawn
from runbook.bench.charts_reference import Course, Past, history
from runbook.bench.effects import Effect
from runbook.bench.figure import Figure
from runbook.bench.footprint import Footprint

__all__ = ["Course", "NotDrawn", "Past", "Report", "history", "report"]


class Report(list[Figure]):
    """The figures of a campaign, the headline first.

    Attributes:
        left_out: What was not drawn and why, a sentence each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left_out: list[str] = []


def report(campaign: Campaign, effects: Sequence[Effect], costs: Footprint) -> Report:
    """Draw every chart that the data supports; none is ever drawn empty.

    Args:
        campaign: Complete or not.
        effects: Of it, by :func:`runbook.bench.effects.of`.
        costs: Of it, by :func:`runbook.bench.footprint.of`.
    """
    every: tuple[tuple[str, Callable[[], Figure]], ...] = (
        ("What the mesh adds", lambda: charts_overhead.forest(campaign, effects)),
        ("Percentiles", lambda: charts_latency.percentiles(campaign)),
        ("Latency against load", lambda: charts_load.load(campaign, effects)),
        ("Load against payload", lambda: charts_overhead.heat(campaign, effects)),
        ("Nodes side by side", lambda: charts_overhead.nodes(campaign, effects)),
        ("Due and sent", lambda: charts_latency.omission(campaign)),
        ("Blocks in order", lambda: charts_blocks.blocks(campaign, effects)),
        ("Proxies", lambda: charts_proxies.proxies(campaign, costs)),
        ("Control plane", lambda: charts_nodes.control_plane(campaign, costs)),
        ("Whole nodes", lambda: charts_nodes.hosts(campaign, costs)),
        ("Published results", lambda: charts_reference.reference(campaign, effects)),
    )
    made = Report()
    for name, draw in every:
        try:
            made.append(draw())
        except NotDrawn as reason:
            made.left_out.append(f"{name}: {reason}")
    return made
