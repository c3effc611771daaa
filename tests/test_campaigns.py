"""Campaigns in records: which are found, and which may be relied on."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import campaign_records as records
import pytest
from archive_help import make, name

from runbook import campaigns
from runbook.archive.manifest import reopen, seal
from runbook.campaigns import Skipped
from runbook.errors import UsageError


def runs_of(output: Path) -> list[str]:
    return [one.run for one in campaigns.read(output)[0]]


def test_campaigns_are_read_oldest_first(tmp_path: Path) -> None:
    records.keep(tmp_path, 1, records.campaign(day=22))
    records.keep(tmp_path, 2, records.campaign(day=20))
    seal(make(tmp_path, name(3)))  # a run without any campaign is not spoken of
    found, skipped = campaigns.read(tmp_path)
    assert [one.run for one in found] == [name(2), name(1)]
    assert found[0].campaign == records.campaign(day=20)
    assert skipped == []


def test_nothing_is_there(tmp_path: Path) -> None:
    assert campaigns.read(tmp_path) == ([], [])
    assert campaigns.read(tmp_path / "outputs") == ([], [])


def test_a_campaign_reported_on_twice_is_one(tmp_path: Path) -> None:
    records.keep(tmp_path, 1, records.campaign(day=20, blocks=4))
    records.keep(tmp_path, 2, records.campaign(day=20, blocks=3))
    assert runs_of(tmp_path) == [name(1)]
    records.keep(tmp_path, 3, records.campaign(day=20, blocks=4))
    assert runs_of(tmp_path) == [name(3)]


def test_later_attempts_are_read(tmp_path: Path) -> None:
    directory = records.write(tmp_path, 1, records.campaign(day=20))
    for attempt in (2, 10):
        records.put(directory / f"attempt-{attempt}", records.campaign(day=20 + attempt // 2))
    seal(directory)
    assert [str(path.relative_to(directory)) for path in campaigns.files(directory)] == [
        *("data/63-campaign.json.gz", "attempt-2/data/63-campaign.json.gz"),
        "attempt-10/data/63-campaign.json.gz",
    ]
    assert [one.campaign.began.day for one in campaigns.read(tmp_path)[0]] == [20, 21, 25]


def test_only_the_newest_are_read(tmp_path: Path) -> None:
    for number in range(1, 5):
        records.keep(tmp_path, number, records.campaign(day=20 + number))
    found, skipped = campaigns.read(tmp_path, last=2)
    assert [one.run for one in found] == [name(3), name(4)]
    reason = "only the last 2 records with a campaign are looked at"
    assert skipped == [Skipped(name(1), reason), Skipped(name(2), reason)]


def test_rehearsals_are_passed_over(tmp_path: Path) -> None:
    for number, rehearsal in enumerate((True, False, True, False)):
        cluster = {"name": "pi", "uid": "1", "version": "1", "rehearsal": rehearsal}
        made = records.within(records.campaign(day=20 + number), rehearsal=rehearsal)
        records.put(make(tmp_path, name(number), cluster=cluster), made)
        seal(tmp_path / name(number))
    assert len(campaigns.read(tmp_path)[0]) == 4
    found, skipped = campaigns.read(tmp_path, rehearsal=False, last=2)
    assert ([one.run for one in found], skipped) == ([name(1), name(3)], [])
    found, skipped = campaigns.read(tmp_path, rehearsal=True, last=1)
    assert ([one.run for one in found], len(skipped)) == ([name(2)], 1)
    (tmp_path / name(3) / "result.json").write_text("{")  # it is damaged, and that is said
    assert [one.run for one in campaigns.read(tmp_path, rehearsal=True)[1]] == [name(3)]


def cut(directory: Path) -> None:
    path = directory / "data/63-campaign.json.gz"
    path.write_bytes(path.read_bytes()[:-9])


def other(directory: Path) -> None:
    (directory / "12-identity-issuer.html").write_text("changed")


def replaced(directory: Path) -> None:
    directory.rename(directory.with_name("kept"))
    directory.symlink_to(directory.with_name("kept"))


def resumed(directory: Path) -> None:
    reopen(directory)
    silent(directory)


def silent(directory: Path) -> None:
    """Let the last sign of life of a run be long ago."""
    os.utime(directory / "run.json", (0, 0))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (cut, "it is damaged: data/63-campaign.json.gz was changed"),
        (other, "it is damaged: 12-identity-issuer.html was changed"),
        (replaced, "it is a link, not a record"),
        (resumed, "it is not sealed: it was killed"),
        (lambda directory: (directory / "MANIFEST").unlink(), "it is damaged: MANIFEST is gone"),
    ],
    ids=["cut", "other", "replaced", "resumed", "bare"],
)
def test_what_cannot_be_relied_on_is_skipped_with_its_reason(
    tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    records.keep(tmp_path, 1, records.campaign(day=20))
    spoil(records.keep(tmp_path, 2, records.campaign(day=21)))
    found, skipped = campaigns.read(tmp_path)
    assert [one.run for one in found] == [name(1)]
    assert skipped == [Skipped(name(2), reason)]


def test_a_record_that_was_never_sealed_is_skipped_once_it_is_silent(tmp_path: Path) -> None:
    directory = records.write(tmp_path, 1, records.campaign(day=20))
    assert campaigns.read(tmp_path) == ([], [])  # the run that asks, or another at work
    silent(directory)
    assert campaigns.read(tmp_path) == ([], [Skipped(name(1), "it is not sealed: it was killed")])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "EOF"),
        ('{"id": "x"}', "design: Field required"),
        (records.campaign(day=20).to_json().replace("20261120", "99999999"), "time data"),
        ("\udcff", "utf-8"),
    ],
    ids=["broken", "other", "time", "bytes"],
)
def test_what_is_no_campaign_is_skipped_with_its_reason(
    tmp_path: Path, content: str, why: str
) -> None:
    directory = records.write(tmp_path, 1, records.campaign(day=20))
    path = directory / "data/63-campaign.json.gz"
    path.write_bytes(gzip.compress(content.encode("utf-8", "surrogateescape")))
    seal(directory)
    found, (skipped,) = campaigns.read(tmp_path)
    assert found == []
    assert why in skipped.reason
    with pytest.raises(UsageError):
        campaigns.read_file(path)
