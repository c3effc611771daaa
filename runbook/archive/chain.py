"""The chain: one line for each seal, resumption and removal of a record, each naming the last.

``outputs/CHAIN`` holds JSON lines. Each carries a digest of itself and that of the line before, so
a line that was changed, moved, repeated or taken out from between shows. What a line says is
nowhere else, so nothing here ever mends the file: a broken one is only added to.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from runbook.archive.files import write_atomic

__all__ = ["CHAIN", "Chain", "Event", "Line", "add", "faults", "parse", "read"]

CHAIN = "CHAIN"
"""Name of the file in the directory of all runs."""

Event = Literal["sealed", "reopened", "pruned"]

_RUN = re.compile(r"[^./\x00-\x1f][^/\x00-\x1f]*")  # a plain name: no path, no dot file


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        number: Its place, counted from 1.
        event: What happened to the record.
        run: Name of the record.
        manifest: SHA-256 of its MANIFEST as it was sealed; else empty.
        previous: Digest of the line before; empty in the first.
        time: When, in UTC.
    """

    number: int
    event: Event
    run: str
    manifest: str
    previous: str
    time: str

    @property
    def digest(self) -> str:
        """SHA-256 of all the line says."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()

    @property
    def text(self) -> bytes:
        """The line as it is written, without its end."""
        return json.dumps(asdict(self) | {"digest": self.digest}).encode()


@dataclass(frozen=True)
class Chain:
    """A chain as it was found.

    Attributes:
        raw: The lines as they stand in the file.
        whole: Whether the last one has its end.
        lines: The same, read; None where a line is not one that was written here.
    """

    raw: tuple[bytes, ...]
    whole: bool
    lines: tuple[Line | None, ...]

    @property
    def head(self) -> str:
        """Digest of the last line, which stands for the whole chain; empty in an empty one."""
        return self.identity(len(self.raw) - 1)

    def identity(self, place: int) -> str:
        """Give what the line after this place must name; empty before the first."""
        if place < 0:
            return ""
        line = self.lines[place]
        return line.digest if line else hashlib.sha256(self.raw[place]).hexdigest()

    def number(self, place: int) -> int:
        """Give the number of a line, for one that cannot be read the one it should have."""
        for back in range(place + 1):
            if line := self.lines[place - back]:
                return line.number + back
        return place + 1

    def of(self, run: str) -> list[Line]:
        """Give the lines of one record, in their order."""
        return [line for line in self.lines if line and line.run == run]

    @property
    def runs(self) -> set[str]:
        """The records it names."""
        return {line.run for line in self.lines if line}

    @property
    def kept(self) -> set[str]:
        """The records that are sealed, as far as it says."""
        last = {line.run: line.event for line in self.lines if line}
        return {run for run, event in last.items() if event == "sealed"}


def read(output: Path) -> Chain:
    """Read the chain of a directory of runs; there need not be one yet.

    Raises:
        OSError: It could not be read.
    """
    path = output / CHAIN
    data = path.read_bytes() if path.exists() else b""
    raw = tuple(data.split(b"\n"))
    whole = raw[-1] == b""
    raw = raw[:-1] if whole else raw
    return Chain(raw, whole, tuple(parse(line) for line in raw))


def parse(raw: bytes) -> Line | None:
    """Read one line; None unless it is exactly as :attr:`Line.text` writes it."""
    try:
        found: Any = json.loads(raw)
        found.pop("digest")
        line = Line(**found)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    texts = (line.run, line.manifest, line.previous, line.time)
    sane = type(line.number) is int and all(isinstance(text, str) for text in texts)
    known = sane and line.event in get_args(Event) and _RUN.fullmatch(line.run)
    return line if known and line.text == raw else None


def faults(chain: Chain) -> Iterator[tuple[str, str]]:
    """Find the lines that are not as or where they were written.

    Yields:
        The run a line is about, as far as it can be read, and what is wrong with it.
    """
    first: dict[bytes, int] = {}
    for place, (raw, line) in enumerate(zip(chain.raw, chain.lines, strict=True)):
        here = f"line {place + 1}"
        expected = chain.number(place - 1) + 1
        if line is None:
            yield _about(raw), f"{here} was changed"
        elif raw in first:
            yield line.run, f"{here} repeats line {first[raw]}"
        elif line.number > expected:
            gone = f"{line.number - expected} of the lines before it"
            yield line.run, f"{gone} were removed or moved ({here}, numbered {line.number})"
        elif line.number < expected:
            yield line.run, f"{here} was moved: it is numbered {line.number}"
        elif line.previous != chain.identity(place - 1):
            yield line.run, f"{here} does not follow the one before it, which was changed"
        first.setdefault(raw, place + 1)
    if not chain.whole:
        yield _about(chain.raw[-1]), f"line {len(chain.raw)} has no end: the file was cut off"


def _about(raw: bytes) -> str:
    """Give the run that a line names, even if it is no line any more."""
    run = re.search(rb'"run": "([^"/]*)"', raw)
    return run[1].decode(errors="replace") if run else ""


def add(output: Path, event: Event, run: str, manifest: str = "") -> Line:
    """Add a line to the chain; the caller holds the lock of the directory.

    The file is written anew as a whole: a killed process cannot leave half a line.

    Raises:
        OSError: It could not be written; the chain is as it was.
    """
    chain = read(output)
    last = len(chain.raw) - 1
    line = Line(
        number=chain.number(last) + 1,
        event=event,
        run=run,
        manifest=manifest,
        previous=chain.head,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    lines = [*chain.raw, line.text]
    write_atomic(output / CHAIN, b"".join(raw + b"\n" for raw in lines))
    return line
