"""Copies elsewhere are whole and verified, or they are refused with a reason."""

from __future__ import annotations

import io
import shutil
import socket
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from archive_help import archive, make, name, resumed
from fsspec.implementations.memory import MemoryFileSystem

from runbook.archive import chain
from runbook.archive.chain import CHAIN
from runbook.archive.copying import Copied, Place, copy, copy_all
from runbook.archive.manifest import MANIFEST, files, parse, seal
from runbook.archive.prune import remove
from runbook.archive.verify import verify
from runbook.errors import ArchiveError, InfrastructureError, UsageError


@pytest.fixture
def output(tmp_path: Path) -> Path:
    output = tmp_path / "outputs"
    output.mkdir()
    for number in range(2):
        seal(make(output, name(number)))
    return output


@pytest.fixture
def bucket() -> Iterator[str]:
    """Give the address of a place in memory."""
    url = f"memory://{uuid.uuid4().hex}"
    yield url
    system = fsspec.filesystem("memory")
    if system.exists(url):
        system.rm(url, recursive=True)


def covered(directory: Path) -> dict[str, bytes]:
    found = {name: path.read_bytes() for name, path in files(directory)}
    return found | {MANIFEST: (directory / MANIFEST).read_bytes()}


def test_a_record_is_copied_to_a_directory(output: Path, tmp_path: Path) -> None:
    place = Place(str(tmp_path / "a" / "b"))
    done = copy(output / name(0), place)
    expected = covered(output / name(0))
    assert covered(tmp_path / "a" / "b" / name(0)) == expected
    assert done == Copied(name(0), len(expected), sum(map(len, expected.values())))
    there = [path for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(there) == len(expected), "dot files are no part of a record"
    assert copy(output / name(0), place) == Copied(name(0), 0, 0)


def test_a_record_is_copied_to_a_bucket(output: Path, bucket: str) -> None:
    assert copy(output / name(0), Place(bucket)).files
    system = fsspec.filesystem("memory")
    for file, content in covered(output / name(0)).items():
        assert system.cat_file(f"{bucket}/{name(0)}/{file}") == content


def test_a_copy_of_all_is_an_archive_itself(tmp_path: Path) -> None:
    output, place = tmp_path / "outputs", tmp_path / "copy"
    output.mkdir()
    archive(output)
    remove(output, [name(0)])
    told: list[Copied] = []
    (problem,) = copy_all(output, Place(str(place)), told.append)
    assert isinstance(problem, UsageError)  # resumed just now
    assert problem.what == f"{name(3)} is not sealed"
    assert [one.run for one in told] == [name(1), name(2), name(4)]
    assert {found.run for found in verify(place) if found.severity == "fail"} == {name(3)}
    seal(output / name(3))
    assert copy_all(output, Place(str(place)), told.append) == []
    assert verify(place) == []
    assert verify(place, chain.read(output).head) == []
    assert [(one.run, one.files > 0) for one in told[3:]] == [
        (name(1), False),
        (name(2), False),
        (name(3), True),
        (name(4), False),
    ]


def test_a_record_sealed_again_is_copied_again(output: Path, tmp_path: Path) -> None:
    place = Place(str(tmp_path / "copy"))
    copy(output / name(0), place)
    resumed(output / name(0))
    seal(output / name(0))
    assert copy_all(output, place, lambda _: None) == []
    assert covered(tmp_path / "copy" / name(0)) == covered(output / name(0))
    assert verify(tmp_path / "copy") == []


def test_only_sealed_records_are_copied(output: Path, tmp_path: Path) -> None:
    make(output, name(7))
    with pytest.raises(UsageError, match="is not sealed"):
        copy(output / name(7), Place(str(tmp_path / "copy")))
    with pytest.raises(ArchiveError, match="is gone"):
        copy(output / name(8), Place(str(tmp_path / "copy")))
    assert not (tmp_path / "copy").exists()


def damage_file(directory: Path) -> None:
    (directory / "index.html").write_text("other")


def damage_both(directory: Path) -> None:
    """Change a file and make the MANIFEST say the same of it."""
    sealed = parse((directory / MANIFEST).read_bytes())
    assert sealed
    (directory / "index.html").write_bytes((directory / "12-identity-issuer.html").read_bytes())
    forged = {**sealed.files, "index.html": sealed.files["12-identity-issuer.html"]}
    text = type(sealed)(sealed.run, sealed.sealed, sealed.previous, forged).text
    (directory / MANIFEST).write_text(text)


def damage_link(directory: Path) -> None:
    path = directory / "index.html"
    path.symlink_to(path.rename(directory.parent / "aside"))


@pytest.mark.parametrize("damage", [damage_file, damage_both, damage_link, shutil.rmtree])
def test_a_damaged_record_is_not_copied(output: Path, tmp_path: Path, damage: Any) -> None:
    damage(output / name(0))
    told: list[Copied] = []
    (problem,) = copy_all(output, Place(str(tmp_path / "copy")), told.append)
    assert isinstance(problem, ArchiveError)
    assert name(0) in problem.what
    assert [one.run for one in told] == [name(1)]
    assert not (tmp_path / "copy" / name(0)).exists()


def test_the_chain_of_another_archive_is_not_overwritten(output: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    seal(make(other, name(9)))
    before = (other / CHAIN).read_bytes()
    with pytest.raises(ArchiveError, match="not the beginning of this one"):
        copy_all(output, Place(str(other)), lambda _: None)
    assert (other / CHAIN).read_bytes() == before
    assert not (other / name(0)).exists()


def test_a_record_resumed_meanwhile_is_named(output: Path, tmp_path: Path) -> None:
    class Slow(Place):
        def write(self, name_: str, source: Any, sha256: str) -> None:
            super().write(name_, source, sha256)
            if name_.startswith(name(0)) and (output / name(0) / MANIFEST).exists():
                resumed(output / name(0))

    found = copy_all(output, Slow(str(tmp_path / "copy")), lambda _: None)
    assert [type(one) for one in found] == [ArchiveError]
    assert not (tmp_path / "copy" / name(0) / MANIFEST).exists()
    assert (tmp_path / "copy" / name(1) / MANIFEST).exists()


class Odd(MemoryFileSystem):  # type: ignore[misc] # it has no types
    """A place that breaks after some writes, or gives back something else."""

    protocol = "odd"
    store: dict[str, Any] = {}  # noqa: RUF012 - as in its base
    pseudo_dirs = [""]  # noqa: RUF012
    left = 1000
    wrong = b""

    def _open(self, path: str, mode: str = "rb", **more: Any) -> Any:
        if mode == "wb":
            if not Odd.left:
                raise TimeoutError("gone: odd://me:hidden@word@host/x")
            Odd.left -= 1
        elif Odd.wrong:
            return io.BytesIO(Odd.wrong)
        return super()._open(path, mode, **more)


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> type[Odd]:
    fsspec.register_implementation("odd", Odd, clobber=True)
    monkeypatch.setattr(Odd, "store", {})
    monkeypatch.setattr(Odd, "pseudo_dirs", [""])
    monkeypatch.setattr(Odd, "left", 1000)
    monkeypatch.setattr(Odd, "wrong", b"")
    return Odd


def test_what_is_read_back_is_compared(
    output: Path, odd: type[Odd], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(odd, "wrong", b"other")
    with pytest.raises(ArchiveError, match="is not what was written"):
        copy(output / name(0), Place("odd://place"))


@pytest.mark.parametrize("writes", [0, 1, 5])
def test_half_a_copy_is_not_taken_for_a_record(
    output: Path, odd: type[Odd], monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    monkeypatch.setattr(odd, "left", writes)
    place = Place("odd://place")
    with pytest.raises(InfrastructureError) as caught:
        copy_all(output, place, lambda _: None)
    assert "TimeoutError" in caught.value.why
    assert "hidden" not in str(caught.value)
    assert "word" not in str(caught.value)
    assert place.read(f"{name(0)}/{MANIFEST}") is None
    assert place.read(CHAIN) is None
    monkeypatch.setattr(odd, "left", 1000)
    assert copy_all(output, place, lambda _: None) == []
    assert place.read(f"{name(0)}/{MANIFEST}") == (output / name(0) / MANIFEST).read_bytes()
    assert place.read(CHAIN) == (output / CHAIN).read_bytes()


def test_a_missing_fsspec_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(UsageError) as caught:
        Place("/somewhere")
    assert "linkerd-runbook[remote]" in caught.value.fix


@pytest.mark.parametrize(("url", "why"), [("s3://bucket/x", "s3fs"), ("nonsense://x", "nonsense")])
def test_a_missing_driver_is_explained(monkeypatch: pytest.MonkeyPatch, url: str, why: str) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UsageError) as caught:
        Place(url)
    assert why in caught.value.why
    assert "pip install" in caught.value.fix


def test_a_place_that_does_not_answer_is_explained_without_its_password() -> None:
    with socket.socket() as free:  # bound, not listening: nobody answers
        free.bind(("127.0.0.1", 0))
        with pytest.raises(InfrastructureError) as caught:
            Place(f"ftp://me:hid@den@127.0.0.1:{free.getsockname()[1]}/x")
    assert "ConnectionRefusedError" in caught.value.why
    assert caught.value.what.startswith("ftp://127.0.0.1:")
    assert "hid" not in str(caught.value)
