"""Copies of records in another place: a directory, a bucket, a machine; read back and compared.

Places are named as fsspec names them: ``/mnt/backup``, ``s3://bucket/runs``, ``gs://``, ``ssh://``.
A record's MANIFEST is written last, so that half a copy is not taken for a record.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from runbook.archive import chain
from runbook.archive.canonical import Digest, digest
from runbook.archive.manifest import MANIFEST
from runbook.archive.verify import record
from runbook.errors import ArchiveError, InfrastructureError, RunbookError, UsageError

__all__ = ["Copied", "Place", "copy", "copy_all"]


@dataclass(frozen=True)
class Copied:
    """What was copied of a record: files and bytes; none when the copy was there already."""

    run: str
    files: int
    size: int


class Place:
    """Somewhere to copy to.

    Args:
        url: As fsspec takes it; a path is a directory of this machine.

    Raises:
        UsageError: fsspec or the driver of this kind of place is not installed, or there is none.
        InfrastructureError: It cannot be reached; some drivers connect at once.
    """

    def __init__(self, url: str) -> None:
        self.shown = _shown(url)
        try:
            from fsspec.core import url_to_fs  # noqa: PLC0415 - an extra
        except ImportError:
            raise UsageError(
                "copying needs fsspec, which is not installed",
                fix="pip install 'linkerd-runbook[remote]'",
            ) from None
        try:
            self._system, self._root = url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UsageError(
                f"{self.shown} cannot be written to",
                why=_shown(str(error)),
                fix="pip install s3fs for s3://, gcsfs for gs://, sshfs for ssh://",
            ) from None
        except Exception as error:  # each driver has exceptions of its own
            raise self._lost(error) from None

    def _lost(self, error: Exception) -> InfrastructureError:
        return InfrastructureError(
            f"{self.shown} cannot be read or written",
            why=f"{type(error).__name__}: {_shown(str(error))}",
            fix="mend the address, the rights or the connection, and copy again",
        )

    @contextmanager
    def _reached(self) -> Iterator[Any]:
        """Give the file system; whatever its driver raises is an error of the place."""
        try:
            yield self._system
        except Exception as error:
            raise self._lost(error) from None

    def read(self, name: str) -> bytes | None:
        """Read a small file; None when it is not there."""
        with self._reached() as system:
            try:
                return bytes(system.cat_file(self._at(name)))
            except FileNotFoundError:
                return None

    def remove(self, name: str) -> None:
        """Delete a file."""
        with self._reached() as system:
            system.rm_file(self._at(name))

    def write(self, name: str, source: BinaryIO, sha256: str) -> None:
        """Write a file, read it back and compare.

        Raises:
            ArchiveError: What is read back has another digest.
            InfrastructureError: It could not be written or read.
        """
        target = self._at(name)
        with self._reached() as system:
            system.makedirs(target.rpartition("/")[0], exist_ok=True)
            with system.open(target, "wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
            with system.open(target, "rb") as file:
                read = hashlib.file_digest(file, "sha256").hexdigest()
        if read != sha256:
            raise ArchiveError(
                f"{name} at {self.shown} is not what was written",
                why="the file changed meanwhile, or the place does not keep what it is given",
                fix="copy again",
            )

    def _at(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"


def _sealed(directory: Path) -> dict[str, Digest]:
    """Give the files of a record that is whole and as it was sealed.

    Raises:
        UsageError: It is not sealed.
        ArchiveError: It is not what was sealed.
    """
    run = directory.name
    path = directory / MANIFEST
    if not directory.is_dir():
        raise ArchiveError(f"{run} is gone", fix="`runbook records verify` says what else is")
    if not path.is_file():
        raise UsageError(
            f"{run} is not sealed",
            why="it is running, or it was killed before it ended",
            fix=f"let it end, or `runbook resume {run}`",
        )
    found: dict[str, Digest] = {}
    lines = chain.read(directory.parent).of(run)
    wrong = [one for one in record(directory, lines, found) if one.severity == "fail"]
    if wrong:
        raise ArchiveError(
            f"{run} is not what was sealed: {wrong[0].file} {wrong[0].problem}",
            fix="`runbook records verify` shows all; a damaged record is not copied",
        )
    return found | {MANIFEST: digest(path)}


def copy(directory: Path, place: Place) -> Copied:
    """Copy a record and read it back.

    Raises:
        UsageError: It is not sealed.
        ArchiveError: It is not what was sealed, what was read back is not what was written, or
            it was resumed or removed meanwhile.
        InfrastructureError: The place could not be read or written.
    """
    run = directory.name
    known = _sealed(directory)
    there = place.read(f"{run}/{MANIFEST}")
    if there is not None:
        if hashlib.sha256(there).hexdigest() == known[MANIFEST].sha256:
            return Copied(run, 0, 0)
        place.remove(f"{run}/{MANIFEST}")
    for name in [*(name for name in known if name != MANIFEST), MANIFEST]:
        try:
            file = (directory / name).open("rb")
        except FileNotFoundError:
            raise ArchiveError(
                f"{run} was resumed or removed while it was copied",
                fix="copy again when it has ended",
            ) from None
        with file:
            place.write(f"{run}/{name}", file, known[name].sha256)
    return Copied(run, len(known), sum(one.size for one in known.values()))


def copy_all(output: Path, place: Place, told: Callable[[Copied], None]) -> list[RunbookError]:
    """Copy every sealed record, and last the chain, so that the copy is an archive itself.

    Args:
        output: Directory of all runs.
        place: Where to.
        told: Is given each record that was copied.

    Returns:
        Why records were not copied, those being damaged or resumed just now.

    Raises:
        ArchiveError: What is at the place is not an earlier copy of this archive.
        InfrastructureError: The place could not be read or written.
    """
    found = chain.read(output)  # before the records: all it names will have been copied
    ours = b"".join(raw + b"\n" for raw in found.raw)
    there = place.read(chain.CHAIN)
    if there is not None and not ours.startswith(there):
        raise ArchiveError(
            f"the chain at {place.shown} is not the beginning of this one",
            why="another archive is there, or this one was changed since it was last copied",
            fix="choose another place, or `runbook records verify` both",
        )
    failed: list[RunbookError] = []
    for run in sorted(found.runs):
        if found.of(run)[-1].event != "pruned":
            try:
                told(copy(output / run, place))
            except (ArchiveError, UsageError) as error:
                failed.append(error)
    if ours != there:
        place.write(chain.CHAIN, io.BytesIO(ours), hashlib.sha256(ours).hexdigest())
    return failed


def _shown(text: str) -> str:
    """Take user and password out of addresses."""
    return re.sub(r"//[^/\s]*@", "//", text)
