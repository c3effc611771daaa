"""The campaigns in records: where their data is, and which of it may be relied on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from runbook.archive import chain, runs, verify
from runbook.bench.campaign import Campaign
from runbook.errors import UsageError

__all__ = ["LAST", "Found", "Skipped", "files", "read", "read_file"]

LAST = 30
"""Records with a campaign that are looked at: to check and to read one takes half a second."""


@dataclass(frozen=True)
class Found:
    """A campaign and the record it is from."""

    run: str
    campaign: Campaign


@dataclass(frozen=True)
class Skipped:
    """Data of a campaign that is not looked at.

    Attributes:
        run: Name of the record.
        reason: Why, in words.
    """

    run: str
    reason: str


def files(directory: Path) -> list[Path]:
    """Give the files of a record that hold a campaign: of its first attempt, then of later ones."""
    attempts = sorted(directory.glob("attempt-*"), key=lambda path: (len(path.name), path.name))
    folders = [place / "data" for place in (directory, *attempts)]
    return [path for folder in folders for path in sorted(folder.glob("*campaign*.json*"))]


def read_file(path: Path) -> Campaign:
    """Read a campaign from a file.

    Raises:
        UsageError: The file cannot be read, or holds no campaign.
    """
    try:
        campaign = Campaign.read(path)
        campaign.began.isoformat()
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path.name} cannot be read as a campaign",
            why=str(error),
            fix="`runbook records verify` says whether the record was changed",
        ) from None
    return campaign


def read(
    output: Path, *, rehearsal: bool | None = None, last: int = LAST
) -> tuple[list[Found], list[Skipped]]:
    """Read the campaigns of the newest sealed records, oldest first.

    A campaign that several records have, as its report was made again, is given once: with most
    blocks, from the newest of them. Records that are not sealed or were changed since are skipped;
    one that somebody is at, such as the run that asks, is passed over.

    Args:
        output: Directory of all runs; it need not be there.
        rehearsal: Pass over the records of rehearsals, or all others; by default neither.
        last: How many records with a campaign to look at.

    Raises:
        OSError: The directory could not be read.
    """
    if not output.is_dir():
        return [], []
    found: list[Found] = []
    skipped: list[Skipped] = []
    known = chain.read(output)
    left = last
    for directory in sorted((p for p in output.iterdir() if runs.is_name(p.name)), reverse=True):
        paths, lines = files(directory), known.of(directory.name)
        sealed = bool(lines) and lines[-1].event == "sealed"
        if not paths or (not sealed and runs.alive(directory)):
            continue
        if rehearsal is not None and _rehearsal(directory) == (not rehearsal):
            continue
        left -= 1
        reason = f"only the last {last} records with a campaign are looked at"
        if left >= 0:
            reason = _unreliable(directory, lines)
        if reason:
            skipped.append(Skipped(directory.name, reason))
            continue
        for path in paths:
            try:
                found.append(Found(directory.name, read_file(path)))
            except UsageError as error:
                skipped.append(Skipped(directory.name, error.brief))
    return _once(reversed(found)), skipped[::-1]


def _rehearsal(directory: Path) -> bool | None:
    """Tell whether a record is of a rehearsal; None if it does not say."""
    try:
        return bool(json.loads((directory / "result.json").read_bytes())["cluster"]["rehearsal"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _unreliable(directory: Path, lines: list[chain.Line]) -> str:
    """Say why a record cannot be relied on; empty if it can."""
    if directory.is_symlink():
        return "it is a link, not a record"
    if not lines or lines[-1].event != "sealed":
        return "it is not sealed: it was killed"
    for finding in verify.record(directory, lines, {}):
        if finding.severity == "fail":
            return f"it is damaged: {finding.file} {finding.problem}".replace("  ", " ")
    return ""


def _once(found: Iterable[Found]) -> list[Found]:
    """Give each campaign once, in the order they began."""
    kept: dict[tuple[str, str], Found] = {}
    for one in found:
        key = one.campaign.id, one.campaign.environment.cluster.get("uid", "")
        if key not in kept or len(one.campaign.blocks) >= len(kept[key].campaign.blocks):
            kept[key] = one
    return sorted(kept.values(), key=lambda one: (one.campaign.began, one.campaign.id))
