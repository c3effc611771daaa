"""Figures drawn again from a record's data: same or different, byte for byte."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import campaign_records as records
import click
import pytest
from archive_help import make, name
from executed_samples import PNG

from runbook import redraw
from runbook.archive.manifest import seal
from runbook.archive.verify import verify
from runbook.bench import report
from runbook.bench.campaign import Campaign
from runbook.cli import _status
from runbook.errors import UsageError
from runbook.redraw import Redrawn

Draw = Callable[[Campaign], list["Chart"]]


@dataclass(frozen=True)
class Chart:
    """A figure without a picture to draw."""

    name: str
    png: bytes

    def svg(self) -> bytes:
        return b"<svg>" + self.png


def draw(campaign: Campaign) -> list[Chart]:
    """Draw two charts, whose bytes depend on the data."""
    seen = f"{campaign.id} {len(campaign.blocks)}".encode()
    return [Chart("latency", PNG + seen), Chart("Foot_print", PNG + seen + b"f")]


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Give a record with a campaign and its two figures, not sealed."""
    directory = records.write(tmp_path / "outputs", 1, records.campaign(day=20))
    put_figures(directory, records.campaign(day=20))
    return directory


def put_figures(folder: Path, campaign: Campaign) -> None:
    (folder / "figures").mkdir(exist_ok=True)
    for chart, file in zip(draw(campaign), ("63-latency", "63-foot-print"), strict=True):
        (folder / f"figures/{file}.png").write_bytes(chart.png)


def verdicts(found: list[Redrawn]) -> dict[str, str]:
    return {one.file: one.verdict for one in found}


def test_the_same_data_gives_the_same_bytes(record: Path) -> None:
    assert verdicts(redraw.redraw(record, draw)) == {
        "figures/63-latency.png": "same",
        "figures/63-foot-print.png": "same",
    }  # figures of other notebooks are not spoken of: the record has one


def test_what_is_not_the_same_is_named(record: Path) -> None:
    latency, footprint = (record / f"figures/63-{name}.png" for name in ("latency", "foot-print"))
    latency.write_bytes(latency.read_bytes() + b"x")
    footprint.unlink()
    (record / "figures/63-other.png").write_bytes(PNG)
    assert verdicts(redraw.redraw(record, draw)) == {
        "figures/63-latency.png": "different",
        "figures/63-foot-print.png": "missing",
        "figures/63-other.png": "left",
    }


def test_other_data_gives_other_figures(record: Path) -> None:
    records.put(record, records.campaign(day=21))
    assert set(verdicts(redraw.redraw(record, draw)).values()) == {"different"}


def test_each_attempt_is_compared_with_its_own_data(record: Path) -> None:
    records.put(record / "attempt-2", records.campaign(day=21))
    put_figures(record / "attempt-2", records.campaign(day=21))
    found = verdicts(redraw.redraw(record, draw))
    assert len(found) == 4
    assert found["attempt-2/figures/63-latency.png"] == "same"
    assert set(found.values()) == {"same"}


def test_a_record_without_a_campaign(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no data of a campaign"):
        redraw.redraw(make(tmp_path, name(1)), draw)


def test_data_that_cannot_be_read(record: Path) -> None:
    (record / "data/63-campaign.json.gz").write_bytes(gzip.compress(b"{"))
    with pytest.raises(UsageError, match="not the data of a campaign"):
        redraw.redraw(record, draw)


def test_figures_are_written(record: Path, tmp_path: Path) -> None:
    found = [*redraw.redraw(record, draw), Redrawn("figures/63-other.png", "left")]
    found.append(Redrawn("attempt-2/figures/63-latency.png", "same", Chart("latency", PNG)))
    written = redraw.save(found, tmp_path / "new" / "place", svg=True)
    assert [str(path.relative_to(tmp_path / "new/place")) for path in written] == [
        *("63-latency.png", "63-latency.svg", "63-foot-print.png", "63-foot-print.svg"),
        *("attempt-2/63-latency.png", "attempt-2/63-latency.svg"),
    ]
    assert written[0].read_bytes() == (record / "figures/63-latency.png").read_bytes()
    assert written[1].read_bytes() == b"<svg>" + written[0].read_bytes()
    assert len(redraw.save(found, tmp_path / "only")) == 3


def test_a_place_that_cannot_be_written_to(record: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write to"):
        redraw.save(redraw.redraw(record, draw), tmp_path / "file")


# --- the command ------------------------------------------------------------------------------

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(
    record: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Call:
    """Give a function that runs `runbook records redraw` on the record: status, output, errors."""
    monkeypatch.setattr(redraw.redraw, "__defaults__", (draw,))
    seal(record)

    def call(*arguments: str) -> tuple[int, str, str]:
        output = ["--output", str(record.parent)]
        status = _status(["records", "redraw", "last", *arguments, *output])
        shown = capsys.readouterr()
        return status, click.unstyle(shown.out), click.unstyle(shown.err)

    return call


def test_command_says_the_same(command: Call, record: Path, tmp_path: Path) -> None:
    status, shown, _ = command("--to", str(tmp_path / "new"), "--svg")
    assert status == 0
    assert shown.splitlines()[:2] == [
        "pass   figures/63-latency.png: the same, byte for byte",
        "pass   figures/63-foot-print.png: the same, byte for byte",
    ]
    assert shown.splitlines()[2].endswith("new/63-latency.png")
    assert (tmp_path / "new/63-foot-print.svg").is_file()
    assert verify(record.parent) == []


def test_command_ends_with_1_when_one_differs(command: Call, record: Path) -> None:
    (record / "figures/63-latency.png").write_bytes(PNG)
    result = record / "result.json"
    result.write_text(result.read_text().replace('"papermill": "2', '"matplotlib": "0.1'))
    status, shown, _ = command()
    assert status == 1
    assert "fail   figures/63-latency.png: differs from what its data gives now" in shown
    assert "drawn at first with matplotlib 0.1.6.0, now " in shown


@pytest.mark.parametrize("arguments", [["--svg"], ["--to", "{record}/data"]])
def test_command_is_refused(command: Call, record: Path, arguments: list[str]) -> None:
    status, _, error = command(*(part.format(record=record) for part in arguments))
    assert status == 2
    assert "--to" in error
    assert verify(record.parent) == []


def test_real_figures_are_the_same_when_drawn_again(tmp_path: Path) -> None:
    campaign = records.campaign(day=20)
    directory = records.write(tmp_path, 1, campaign)
    (directory / "figures").mkdir(exist_ok=True)
    for figure in report.figures(campaign):
        (directory / f"figures/63-{figure.name}.png").write_bytes(figure.png)
    found = redraw.redraw(directory)
    assert found
    assert {one.verdict for one in found} == {"same"}
    written = redraw.save(found[:2], tmp_path / "print", svg=True)
    assert {path.suffix for path in written} == {".png", ".svg"}
