"""Records that hold campaigns, made in milliseconds."""

from __future__ import annotations

import gzip
import sys
from functools import cache
from pathlib import Path
from typing import Any

from archive_help import make, name

from runbook import trend
from runbook.archive.manifest import seal
from runbook.bench.campaign import Campaign
from runbook.bench.design import Cell
from runbook.campaigns import Found
from runbook.trend import History

sys.path.append(str(Path(__file__).parent / "bench"))
import samples

CELL = Cell(node="node2", client="node3", rps=100, protocol="http1", payload=1024)


@cache
def campaign(
    *, day: int, delay: float = 2.0, blocks: int = 6, cells: tuple[Cell, ...] = (CELL,)
) -> Campaign:
    """Give a campaign of a day of November 2026, in which the mesh adds a delay in ms."""
    made = samples.campaign(samples.World(delay=delay), blocks=blocks, seed=day, cells=cells)
    return made.model_copy(update={"id": f"202611{day:02}-220000-{made.design.digest}"})


def within(campaign: Campaign, **changes: Any) -> Campaign:
    """Give the same campaign, measured in another environment."""
    other = campaign.environment.model_copy(update=changes)
    return campaign.model_copy(update={"environment": other})


def history(*made: Campaign, current: Campaign | None = None) -> History:
    """Give the history of campaigns, each in a record of its own."""
    found = [Found(name(number), one) for number, one in enumerate(made)]
    return trend.of(found, current=current)


def put(folder: Path, campaign: Campaign) -> None:
    """Write a campaign where an attempt keeps it."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    packed = gzip.compress(campaign.to_json().encode(), mtime=0)
    (folder / "data/63-campaign.json.gz").write_bytes(packed)


def write(output: Path, number: int, campaign: Campaign) -> Path:
    """Write a record with a campaign; it is not sealed."""
    directory = make(output, name(number))
    put(directory, campaign)
    return directory


def keep(output: Path, number: int, campaign: Campaign) -> Path:
    """Write a record with a campaign and seal it."""
    directory = write(output, number, campaign)
    seal(directory)
    return directory
