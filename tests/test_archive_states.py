"""States of a record that a change at random would hardly hit: each is told for what it is."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archive_help import BOOKS, archive, make, name, resumed

from runbook.archive import verify as verifying
from runbook.archive.chain import CHAIN, read
from runbook.archive.manifest import MANIFEST, PREPARED, seal
from runbook.archive.verify import Finding, verify


@pytest.fixture
def output(tmp_path: Path) -> Path:
    archive(tmp_path)
    return tmp_path


def alarms(output: Path, head: str = "") -> list[Finding]:
    return [one for one in verify(output, head) if one.severity == "fail"]


def places(output: Path) -> set[tuple[str, str]]:
    return {(one.run, one.file) for one in alarms(output)}


def leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    """Give each place of a single value, but for the kernel: saving may change that."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        if isinstance(inner, dict | list):
            yield from leaves(inner) if key != "kernelspec" else ()
        else:
            yield value, key


@pytest.mark.parametrize("file", ["result.json", f"{BOOKS[0]}.ipynb", MANIFEST])
def test_any_value_changed_in_json_is_an_alarm(output: Path, file: str) -> None:
    path = output / name(2) / file
    before = path.read_text()
    for seed in range(25):
        data = json.loads(before)
        leaf, key = random.Random(seed).choice([*leaves(data)])
        was = leaf[key]
        leaf[key] = f"{was}x" if isinstance(was, str) else 4711
        path.write_text(json.dumps(data, indent=1))
        assert (name(2), file) in places(output), f"{key}: {was}"


def test_first_attempt_changed_and_sealed_again_is_found(output: Path) -> None:
    path = output / name(3) / f"{BOOKS[0]}.ipynb"
    path.write_text(path.read_text().replace("verdict pass", "verdict fail"))
    seal(output / name(3))
    assert places(output) == {(name(3), path.name)}


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("change", ["drop", "edit"])
def test_earlier_manifest_of_a_resumed_run_is_proven(
    output: Path, number: int, change: str
) -> None:
    path = output / name(number) / f"{MANIFEST}-1"
    if change == "drop":
        path.unlink()
    else:
        path.write_text(path.read_text().replace("a", "b", 1))
    assert (name(number), path.name) in places(output)


def test_manifest_put_into_a_record_being_resumed_is_found(output: Path) -> None:
    shutil.copy(output / name(3) / f"{MANIFEST}-1", output / name(3) / MANIFEST)
    assert places(output) == {(name(3), MANIFEST)}


def test_prepared_manifest_does_not_stand_in_for_a_changed_one(output: Path) -> None:
    path = output / name(0) / MANIFEST
    shutil.copy(path, output / name(0) / PREPARED)
    path.write_text("{}")
    assert (name(0), MANIFEST) in places(output)


def test_manifest_that_is_a_link_is_found(output: Path) -> None:
    path = output / name(0) / MANIFEST
    path.symlink_to(path.rename(output / "aside"))
    assert (name(0), MANIFEST) in places(output)


def test_record_that_is_a_link_is_found(output: Path) -> None:
    (output / name(0)).symlink_to((output / name(0)).rename(output / "aside"))
    assert places(output) == {(name(0), "")}


def test_pipe_in_a_record_is_found_and_not_waited_for(output: Path) -> None:
    os.mkfifo(output / name(0) / "pipe")
    assert places(output) == {(name(0), "pipe")}


def test_record_put_in_the_place_of_another_is_found(output: Path) -> None:
    shutil.rmtree(output / name(5))
    shutil.copytree(output / name(0), output / name(5))
    assert places(output) >= {(name(5), "result.json"), (name(5), MANIFEST)}


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\xff", b"[]", b"5", b"{}", b"[" * 99_999),
        *(b'{"files": 5}', b'{"files": {"../../x": 5}}'),
        b'{"run": 1, "sealed": 2, "previous": 3, "files": {"/etc/x": {"sha256": 1, "size": 2}}}',
    ],
)
def test_any_manifest_is_read_without_falling_over(output: Path, content: bytes) -> None:
    for number in (0, 5):  # sealed, and never sealed
        (output / name(number) / MANIFEST).write_bytes(content)
    assert places(output) >= {(name(0), MANIFEST), (name(5), MANIFEST)}


def test_unreadable_file_is_an_alarm(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(verifying, "digest", refused)
    assert alarms(output)[0].problem == "cannot be read: Permission denied"


def test_run_sealed_while_it_is_looked_at_is_no_alarm(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, sealed = verifying.digest, []

    def slow(path: Path) -> Any:
        if not sealed:  # the chain has been read, and this run was not in it
            sealed.append(path)
            seal(output / name(5))
        return real(path)

    monkeypatch.setattr(verifying, "digest", slow)
    assert alarms(output) == []
    assert sealed


def test_end_cut_off_with_its_record_shows_by_a_head_alone(output: Path) -> None:
    seal(make(output, name(10)))
    head = read(output).head
    lines = (output / CHAIN).read_bytes().splitlines(keepends=True)
    (output / CHAIN).write_bytes(b"".join(lines[:-1]))
    shutil.rmtree(output / name(10))
    assert alarms(output) == []
    assert [one.file for one in alarms(output, head)] == [CHAIN]


def test_chain_that_is_gone_names_every_sealed_record(output: Path) -> None:
    (output / CHAIN).unlink()
    assert {(name(number), MANIFEST) for number in (0, 1, 2, 4)} <= places(output)


def test_resuming_and_verifying_in_turn(tmp_path: Path) -> None:
    directory = make(tmp_path, name(0))
    for _ in range(3):
        seal(directory)
        assert verify(tmp_path) == []
        resumed(directory)
        assert alarms(tmp_path) == []
