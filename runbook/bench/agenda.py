"""Which cell is measured next, and when it is enough: decided from the blocks there are alone.

So a resumed campaign decides as one that was never stopped. Blocks of all cells are interleaved in
random order: the cell with the fewest comes next, drawn among equals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from runbook.bench import effects, stopping
from runbook.bench.campaign import Campaign
from runbook.bench.design import Design
from runbook.bench.stats import percentile

__all__ = ["Agenda"]

_TRIES = 2  # a cell may have so many times the blocks it needs, those that do not count included


@dataclass
class Agenda:
    """What is left to do.

    Attributes:
        plans: How many blocks each cell gets, by its index; known when its pilot is complete.
    """

    plans: dict[int, stopping.Plan] = field(default_factory=dict)

    def next_cell(self, campaign: Campaign) -> int | None:
        """Give the cell of the next block; ``None`` when there is none, or no time for one."""
        if out_of_time(campaign):
            return None
        counts = {cell: len(campaign.valid(cell)) for cell in self._open(campaign)}
        if not counts:
            return None
        fewest = min(counts.values())
        among = [cell for cell, count in counts.items() if count == fewest]
        return campaign.design.round(len(campaign.blocks), among)[0]

    def total(self, campaign: Campaign) -> int:
        """Give how many blocks there will be, as far as is known; the budget may end it before."""
        cells = range(len(campaign.design.cells))
        failed = sum(bool(block.invalid) for block in campaign.blocks)
        return failed + sum(self._wanted(campaign, cell) for cell in cells)

    def reasons(self, campaign: Campaign) -> dict[str, str]:
        """Say of each cell why it gets no further block."""
        said = {}
        for cell in range(len(campaign.design.cells)):
            valid, wanted = len(campaign.valid(cell)), self._wanted(campaign, cell)
            tried = sum(block.cell == cell for block in campaign.blocks)
            if valid >= wanted and cell in self.plans:
                said[str(cell)] = _wording(campaign.design, self.plans[cell])
            elif tried >= _TRIES * wanted:
                said[str(cell)] = f"{valid} of {tried} blocks count; see why the others do not"
            else:
                minutes = f"{campaign.design.budget_minutes:g} min"
                said[str(cell)] = f"{valid} of {wanted} blocks: the budget of {minutes} is used up"
        return said

    def _open(self, campaign: Campaign) -> list[int]:
        """Give the cells that need more blocks and may have them."""
        cells = []
        for cell in range(len(campaign.design.cells)):
            wanted = self._wanted(campaign, cell)
            tried = sum(block.cell == cell for block in campaign.blocks)
            if len(campaign.valid(cell)) < wanted and tried < _TRIES * wanted:
                cells.append(cell)
        return cells

    def _wanted(self, campaign: Campaign, cell: int) -> int:
        """Give the blocks of a cell: the pilot's, and when that is complete, Stein's number."""
        design = campaign.design
        if len(campaign.valid(cell)) < design.pilot:
            return design.pilot
        if cell not in self.plans:
            self.plans[cell] = _plan(design, pilot_half_ms(campaign, cell))
        return self.plans[cell].blocks


def _plan(design: Design, half: float) -> stopping.Plan:
    """Give Stein's number of blocks; the most there may be if the pilot has no interval."""
    if not math.isfinite(half):
        most = max(design.most, design.pilot)
        return stopping.Plan(most, "most", half, most)
    return stopping.plan(half, design.pilot, design.half_width_ms, design.most, design.most)


def _wording(design: Design, plan: stopping.Plan) -> str:
    if math.isfinite(plan.half):
        return plan.wording
    return (
        f"{plan.blocks} blocks, the most a cell may have: the first {design.pilot} have too few "
        f"requests to tell how many {percentile(design.quantile)} needs"
    )


def out_of_time(campaign: Campaign) -> bool:
    """Tell whether one more block would go beyond the budget; time between attempts is free."""
    if not campaign.blocks:
        return False
    used = sum(block.seconds for block in campaign.blocks)
    mean = used / len(campaign.blocks)
    return used + mean > campaign.design.budget_minutes * 60


def pilot_half_ms(campaign: Campaign, cell: int) -> float:
    """Give the half-width of the main result over a cell's first blocks, in ms.

    Infinite when the pilot has too few requests for it: its interval is then one of something else.
    """
    pilot = tuple(campaign.valid(cell)[: campaign.design.pilot])
    only = campaign.model_copy(update={"blocks": pilot})
    found = [
        effect
        for effect in effects.of(only, quantiles=(campaign.design.quantile,))
        if effect.cell == campaign.design.cells[cell] and effect.arm == "meshed"
    ]
    if not found or found[0].claim == "too few":
        return math.inf
    half = found[0].difference.half
    return half if math.isfinite(half) else math.inf
