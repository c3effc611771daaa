"""The figures of a record, drawn again from its data: do they show what was measured?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from runbook import campaigns
from runbook.archive.files import write_atomic
from runbook.bench import report
from runbook.bench.campaign import Campaign
from runbook.errors import UsageError
from runbook.executed import file_name

__all__ = ["Picture", "Redrawn", "redraw", "save"]


class Picture(Protocol):
    """What is needed of a figure; :class:`runbook.bench.figure.Figure` is one."""

    @property
    def name(self) -> str:
        """Of its file, without number and suffix."""

    @property
    def png(self) -> bytes:
        """The picture."""

    def svg(self) -> bytes:
        """Give the picture for print."""


@dataclass(frozen=True)
class Redrawn:
    """A figure of a record, beside what its data gives.

    Attributes:
        file: Its path within the record.
        verdict: ``same`` byte for byte, or ``different``; ``missing`` when only the data gives it,
            ``left`` when only the record has it.
        picture: As drawn now; None when it is ``left``.
    """

    file: str
    verdict: Literal["same", "different", "missing", "left"]
    picture: Picture | None = None


def redraw(
    directory: Path, draw: Callable[[Campaign], Sequence[Picture]] = report.figures
) -> list[Redrawn]:
    """Draw the figures of every campaign in a record again, and compare.

    Args:
        directory: Of the record; nothing in it is changed.
        draw: Gives the figures of a campaign.

    Raises:
        UsageError: The record has no campaign, or one that cannot be read.
    """
    paths = campaigns.files(directory)
    if not paths:
        raise UsageError(
            f"the record {directory.name} has no data of a campaign",
            why="only notebook 63-bench-report keeps some, when there is a campaign to report on",
            fix="`runbook records list` shows all records, `records show` what one has",
        )
    return [one for path in paths for one in _compared(directory, path, draw)]


def save(found: Sequence[Redrawn], place: Path, *, svg: bool = False) -> list[Path]:
    """Write the figures that were drawn into a directory, those of later attempts below it.

    Args:
        found: What was drawn.
        place: The directory; it is made if need be.
        svg: Write each as SVG besides.

    Returns:
        What was written.

    Raises:
        UsageError: It could not be written.
    """
    written: list[Path] = []
    for one in found:
        if one.picture is None:
            continue
        path = place / one.file.replace("figures/", "")
        forms = {path: one.picture.png}
        if svg:
            forms[path.with_suffix(".svg")] = one.picture.svg()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for file, content in forms.items():
                write_atomic(file, content)
        except OSError as error:
            why = error.strerror or str(error)
            raise UsageError(
                f"cannot write to {place}", why=why, fix="name another place"
            ) from None
        written += forms
    return written


def _compared(
    directory: Path, path: Path, draw: Callable[[Campaign], Sequence[Picture]]
) -> Iterator[Redrawn]:
    """Draw one campaign; its figures have the number of the notebook that kept its data."""
    number = path.name.partition("-")[0]
    folder = path.parent.parent / "figures"
    drawn: dict[Path, Any] = {
        folder / f"{number}-{file_name(picture.name)}.png": picture
        for picture in draw(campaigns.read_file(path))
    }
    kept = sorted(folder.glob(f"{number}-*.png"))
    for file in dict.fromkeys([*drawn, *kept]):
        name = file.relative_to(directory).as_posix()
        picture = drawn.get(file)
        if picture is None:
            yield Redrawn(name, "left")
        elif file not in kept:
            yield Redrawn(name, "missing", picture)
        else:
            same = file.read_bytes() == picture.png
            yield Redrawn(name, "same" if same else "different", picture)
