"""A campaign: its design, where it ran, and every block that was measured. Plain data."""

from __future__ import annotations

import gzip
import zlib
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from runbook.bench.design import Design
from runbook.bench.histogram import Histogram
from runbook.bench.snapshot import Snapshot, Spent
from runbook.errors import UsageError

__all__ = ["Block", "Campaign", "Environment", "Run"]

SCHEMA = 1
"""Version of the layout of a campaign's data."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Run(_Value):
    """One load on one arm.

    Attributes:
        arm: Which one.
        position: In its block, from 0.
        started: When the measured window began, in UTC.
        seconds: Length of the measured window.
        requests: Answered within the window, errors included.
        errors: Of these, those that failed.
        requested_rps: Requests due within the window, a second.
        achieved_rps: Requests sent within the window, a second.
        late: Share of the requests that left more than 2 ms after they could have: the generator's
            own doing, which ``response`` leaves out.
        response: Latency from the moment a request was due, of those that succeeded.
        service: Latency from the moment it was sent.
        sent: All requests of the run, warm-up included.
        fortio: fortio's own percentiles over the whole run, ms by name such as ``p99``.
        version: Of the generator.
        lost: Connections that broke and were opened again.
        clock_step: How far the generator's clock jumped, in seconds; 0 if it did not.
        spent: What nodes spent meanwhile, by name: those of the servers and of the clients.
    """

    arm: str
    position: int
    started: str
    seconds: float
    requests: int
    errors: int
    requested_rps: float
    achieved_rps: float
    late: float
    response: Histogram
    service: Histogram
    sent: int
    fortio: dict[str, float]
    version: str
    lost: int = 0
    clock_step: float = 0.0
    spent: dict[str, Spent] = {}


class Block(_Value):
    """Each arm twice on one cell, within a few minutes: the unit of replication.

    Attributes:
        number: In the campaign, from 0.
        cell: Index of its cell in the design.
        started: When it began, in UTC.
        seconds: How long it took in all.
        runs: In the order they ran.
        before: What nodes and proxies had used when it began.
        after: And when it ended.
        invalid: Why it does not count; empty if it does. Only the environment can be the reason,
            never the latencies themselves.
    """

    number: int
    cell: int
    started: str
    seconds: float
    runs: tuple[Run, ...]
    before: Snapshot
    after: Snapshot
    invalid: tuple[str, ...] = ()

    def of(self, arm: str) -> list[Run]:
        """Give the runs of an arm, in the order they ran."""
        return [run for run in self.runs if run.arm == arm]


class Environment(_Value):
    """Where a campaign ran.

    Attributes:
        cluster: ``name``, ``uid`` and ``version``.
        rehearsal: Whether it is a rehearsal cluster, whose numbers say nothing of a Pi.
        linkerd: Version of the control plane.
        proxy: Image of the servers' proxies.
        nodes: ``model``, ``arch``, ``kernel``, ``os`` and ``kubelet`` of each node.
        generator: Name and version of the load generator.
        runbook: Version of this package.
    """

    cluster: dict[str, str]
    rehearsal: bool
    linkerd: str = ""
    proxy: str = ""
    nodes: dict[str, dict[str, str]] = {}
    generator: str = ""
    runbook: str = ""


class Campaign(_Value):
    """All of it.

    Attributes:
        id: When it began and the digest of its design.
        design: What was to be measured.
        environment: Where.
        blocks: What was, in the order it was.
        idle: Snapshots around a time without load; empty or two.
        complete: Whether it came to its end.
        stop: Why each cell got no further blocks, by its index in the design.
        schema_version: Of this layout.
    """

    id: str
    design: Design
    environment: Environment
    blocks: tuple[Block, ...] = ()
    idle: tuple[Snapshot, ...] = ()
    complete: bool = False
    stop: dict[str, str] = {}
    schema_version: int = SCHEMA

    @property
    def began(self) -> datetime:
        """When it began, in UTC, without a zone."""
        return datetime.strptime(self.id[:15], "%Y%m%d-%H%M%S")

    @property
    def generator(self) -> str:
        """Name of the load generator with its version, as its runs say it."""
        versions = sorted({run.version for block in self.blocks for run in block.runs})
        if not versions:
            return self.environment.generator
        return "; ".join(f"fortio {v}" if v[:1].isdigit() else f"generator: {v}" for v in versions)

    @property
    def snapshots(self) -> list[Snapshot]:
        """What was read before and after each block, in the order it was."""
        return [one for block in self.blocks for one in (block.before, block.after)]

    def runs(self, cell: int, arm: str) -> list[Run]:
        """Give the runs of an arm in the blocks of a cell that count."""
        return [run for block in self.valid(cell) for run in block.of(arm)]

    def valid(self, cell: int) -> list[Block]:
        """Give the blocks of a cell that count."""
        return [block for block in self.blocks if block.cell == cell and not block.invalid]

    def to_json(self) -> str:
        """Give the campaign as JSON, the same text for the same data."""
        return self.model_dump_json()

    @classmethod
    def read(cls, path: Path) -> Campaign:
        """Read a campaign from a file, compressed by gzip when its name says so.

        Raises:
            UsageError: The file cannot be read, or holds no campaign.
        """
        try:
            content = path.read_bytes()
            text = gzip.decompress(content) if path.suffix == ".gz" else content
            return cls.from_json(text.decode("utf-8"))
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise UsageError(
                f"{path.name} cannot be read as a campaign",
                why=getattr(error, "strerror", None) or str(error) or type(error).__name__,
                fix="give the file data/63-campaign.json.gz of a record",
            ) from None

    @classmethod
    def from_json(cls, text: str) -> Campaign:
        """Read a campaign.

        Raises:
            UsageError: The text is no campaign of this layout.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the text"
            raise UsageError(
                "this is not the data of a campaign, or of another version of the runbook",
                why=f"{place}: {first['msg']}",
                fix="give the file data/63-campaign.json.gz of a record",
            ) from None
