"""Sealing: a MANIFEST of every file of a record, and a line in the chain that names it.

Everything is ordered so that a process may be killed between any two steps and the archive still
proves what it did before: a MANIFEST is prepared under a hidden name, then its digest is added to
the chain, then it takes its name. :mod:`runbook.archive.verify` knows both names, and a MANIFEST
whose digest is not in the chain was never more than prepared.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook.archive import chain
from runbook.archive.canonical import Digest, digest
from runbook.archive.files import locked, write_atomic
from runbook.errors import ArchiveError

__all__ = ["MANIFEST", "PREPARED", "Manifest", "files", "parse", "reopen", "seal", "set_aside"]

MANIFEST = "MANIFEST"
PREPARED = ".MANIFEST"
SCHEMA = 1


@dataclass(frozen=True)
class Manifest:
    """What a record was when it was sealed.

    Attributes:
        run: Name of the record.
        sealed: When, in UTC.
        previous: Digest of the last line of the chain at that time.
        files: The digest of each file by its path within the record.
    """

    run: str
    sealed: str
    previous: str
    files: Mapping[str, Digest]

    @property
    def text(self) -> str:
        """The content of the file."""
        listed = {
            name: {key: value for key, value in asdict(found).items() if value != ""}
            for name, found in sorted(self.files.items())
        }
        made = {"schema": SCHEMA, "run": self.run, "sealed": self.sealed}
        return json.dumps(made | {"previous": self.previous, "files": listed}, indent=1) + "\n"


def parse(text: bytes) -> Manifest | None:
    """Read a MANIFEST; None when it is none."""
    try:
        found: Any = json.loads(text)
        listed = {name: Digest(**entry) for name, entry in found["files"].items()}
        return Manifest(found["run"], found["sealed"], found["previous"], listed)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def files(directory: Path) -> Iterator[tuple[str, Path]]:
    """Give every file a MANIFEST covers, whatever its kind, with its path within the record.

    Dot files are nobody's record: unfinished writes, JupyterLab's checkpoints. Links are given as
    they are and not followed.
    """
    pending = [directory]
    while pending:
        for entry in sorted(os.scandir(pending.pop()), key=lambda found: found.name):
            path = Path(entry.path)
            name = path.relative_to(directory).as_posix()
            if entry.name.startswith(".") or name == MANIFEST:
                continue
            if entry.is_dir(follow_symlinks=False):
                pending.append(path)
            else:
                yield name, path


def set_aside(number: int) -> str:
    """Give the name a MANIFEST has once its record was resumed; numbers count from 1."""
    return f"{MANIFEST}-{number}"


def seal(directory: Path) -> None:
    """Write down the digest of every file of a record, and name that list in the chain.

    A record may be sealed again, after it was resumed; its earlier MANIFEST is then kept beside
    the new one as ``MANIFEST-1`` and so on. A broken chain is added to, never mended.

    Args:
        directory: The record, a directory within that of all runs.

    Raises:
        ArchiveError: It holds something that is no file.
        OSError: It could not be read or written.
    """
    output = directory.parent
    reopen(directory)
    found = {name: _digest(directory, name, path) for name, path in files(directory)}
    with locked(output):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        text = Manifest(directory.name, now, chain.read(output).head, found).text
        write_atomic(directory / PREPARED, text)
        chain.add(output, "sealed", directory.name, hashlib.sha256(text.encode()).hexdigest())
        (directory / PREPARED).replace(directory / MANIFEST)


def reopen(directory: Path) -> None:
    """Say in the chain that a sealed record is about to change; to be called before it does.

    Its MANIFEST is set aside, and goes on proving the notebooks that had been executed. Does
    nothing to a record that was not sealed.

    Raises:
        OSError: It could not be written.
    """
    output, run = directory.parent, directory.name
    with locked(output):
        lines = chain.read(output).of(run)
        if lines and lines[-1].event != "reopened":
            chain.add(output, "reopened", run)
        manifest = _sealed(directory, lines)
        if manifest is not None:
            manifest.replace(directory / set_aside(sum(line.event == "sealed" for line in lines)))


def _sealed(directory: Path, lines: list[chain.Line]) -> Path | None:
    """Give the file that is the MANIFEST of the last seal, if it is still under its own name."""
    wanted = next((line.manifest for line in reversed(lines) if line.event == "sealed"), None)
    for path in (directory / PREPARED, directory / MANIFEST):
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == wanted:
            return path
    return None


def _digest(directory: Path, name: str, path: Path) -> Digest:
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ArchiveError(
            f"{directory.name}/{name} is no file but a link or a device",
            why="what it leads to is not part of the record and may change",
            fix="replace it by a copy",
        )
    return digest(path)
