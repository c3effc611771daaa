"""The design of a campaign: what is measured against what, in which order, how long it takes."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["KEPT_UP", "LEAST", "Arm", "Cell", "Design", "Protocol"]

Protocol = Literal["http1", "http2", "grpc"]
Arm = Literal["baseline", "meshed", "skipped"]

KEPT_UP = 0.99
"""Share of a rate that must be reached: below, latency measures how long the run was."""

LEAST = 6
"""Blocks of a cell below which no rank interval reaches 95 % (2 x 2^-6 = 0.031)."""

_APART = 3.0  # seconds between the first and the last pod of a Job that starts on a Pi

_PROTOCOLS = {"http1": "HTTP/1.1", "http2": "HTTP/2", "grpc": "gRPC"}


class Cell(BaseModel):
    """One combination of factors; meshed and baseline are compared within it.

    Attributes:
        node: Where the servers run.
        client: Where the generators run; another node.
        rps: Requests a second, over all generators.
        protocol: ``http1``, ``http2`` or ``grpc``.
        payload: Bytes of an answer (of a ping, for gRPC).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: str
    client: str
    rps: int
    protocol: Protocol
    payload: int

    @property
    def title(self) -> str:
        """Name of the cell for a table.

        >>> Cell(node="node2", client="node3", rps=200, protocol="http1", payload=1024).title
        'node2 · 200 RPS · HTTP/1.1 · 1 KiB'
        """
        return " · ".join((self.node, f"{self.rps} RPS", self.protocol_title, self.payload_title))

    @property
    def protocol_title(self) -> str:
        """Name of the protocol."""
        return _PROTOCOLS[self.protocol]

    @property
    def payload_title(self) -> str:
        """Size of the payload with its unit."""
        whole, rest = divmod(self.payload, 1024)
        return f"{whole} KiB" if whole and not rest else f"{self.payload} B"

    @property
    def sides(self) -> dict[str, str]:
        """The nodes that take part, by what they do; one that does both is named once."""
        if self.node == self.client:
            return {"both": self.node}
        return {"server": self.node, "client": self.client}

    @property
    def connections(self) -> int:
        """Connections of all generators together.

        Enough that the schedule never waits for a free one (facts: rate x p99.9 x 3, at least 4):
        with 50 requests a second each, a connection has 20 ms for every request.
        """
        return max(4, -(-self.rps // 50))


class Design(BaseModel):
    """What a campaign does.

    Attributes:
        cells: Combinations of factors.
        arms: What is compared; ``baseline`` comes first.
        seconds: Measured in each run.
        warmup: Seconds before that, in the same process, which are not counted.
        generators: Pods that share the load of a run.
        image: Image of servers and generators.
        quantile: The primary endpoint, such as 0.99.
        half_width_ms: Precision to reach: half the width of the interval of the primary endpoint.
        budget_minutes: Longest time for all blocks.
        pilot: Blocks of each cell that decide how many more it needs.
        most: Most blocks of a cell.
        equivalence_ms: Overhead below which meshed counts as equal to baseline; 0 claims nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cells: tuple[Cell, ...]
    arms: tuple[Arm, ...] = ("baseline", "meshed")
    seconds: float
    warmup: float
    generators: int = 1
    image: str = ""
    quantile: float = 0.99
    half_width_ms: float = 0.2
    budget_minutes: float = 60.0
    pilot: int = 8
    most: int = 40
    equivalence_ms: float = 0.0

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that name what is measured; budget and precision do not count.

        >>> cell = Cell(node="a", client="b", rps=20, protocol="http1", payload=128)
        >>> one = Design(cells=(cell,), seconds=15, warmup=3)
        >>> one.digest == one.model_copy(update={"budget_minutes": 5.0}).digest
        True
        """
        counted = self.model_dump_json(
            exclude={"budget_minutes", "half_width_ms", "pilot", "most", "equivalence_ms"}
        )
        return hashlib.sha256(counted.encode()).hexdigest()[:8]

    @property
    def runs(self) -> int:
        """Runs of one block: each arm twice."""
        return 2 * len(self.arms)

    @property
    def load_seconds(self) -> float:
        """Seconds a generator runs.

        Several of them do not begin together: each goes on a little longer, so that the measured
        window fits into the time all of them run.
        """
        return self.warmup + self.seconds + (_APART if self.generators > 1 else 0)

    def order(self, number: int) -> tuple[Arm, ...]:
        """Give the arms of a block in the order they run.

        Palindromic (ABBA or BAAB), so that whatever drifts steadily during a block weighs the same
        on each arm; which arm begins is drawn for every block. The two runs of the same arm are the
        A/A control, at no extra minutes.

        Args:
            number: Of the block in the campaign; the same number gives the same order.
        """
        arms = list(self.arms)
        self._random("order", number).shuffle(arms)
        return (*arms, *reversed(arms))

    def round(self, number: int, cells: Sequence[int]) -> list[int]:
        """Give the cells of a round of blocks in random order.

        Args:
            number: Of the round.
            cells: Indices of the cells that get a block in it.
        """
        shuffled = list(cells)
        self._random("round", number).shuffle(shuffled)
        return shuffled

    def block_seconds(self, overhead: float) -> float:
        """Give the length of a block.

        Args:
            overhead: Seconds a run takes besides its load: to start and to end a pod.
        """
        return self.runs * (self.load_seconds + overhead)

    def affordable(self, overhead: float) -> int:
        """Give how many blocks of each cell the budget allows."""
        block = self.block_seconds(overhead)
        return int(self.budget_minutes * 60 // (block * max(1, len(self.cells))))

    def _random(self, purpose: str, number: int) -> random.Random:
        """Give a source of chance that a resumed campaign draws the same from."""
        return random.Random(f"{self.digest}/{purpose}/{number}")  # noqa: S311 - an order, no secret
