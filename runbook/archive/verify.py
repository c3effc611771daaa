"""Whether the archive is what was sealed: every file, every record, every line of the chain.

Whoever may write to the archive may also seal it anew. What shows that is a digest of the chain's
end noted elsewhere, the head: as long as it is in the chain, everything sealed up to there is as
it was.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from runbook.archive import chain
from runbook.archive.canonical import Digest, digest
from runbook.archive.chain import CHAIN, Chain, Line
from runbook.archive.manifest import MANIFEST, PREPARED, Manifest, files, parse, set_aside
from runbook.archive.runs import is_name
from runbook.errors import UsageError

__all__ = ["Finding", "record", "verify"]

_RESTORE = "restore it from a copy; without one, what it said is lost"
_TRIES = 10


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was sealed.

    Attributes:
        run: Name of the record; empty when it is about none.
        file: Path within the record, or ``CHAIN``; empty when it is about the record as a whole.
        severity: ``fail`` for what may be tampering, ``note`` for what is not.
        problem: What is wrong.
        fix: What can be done about it.
    """

    run: str
    file: str
    severity: Literal["fail", "note"]
    problem: str
    fix: str = ""


def verify(output: Path, head: str = "") -> list[Finding]:
    """Compare the archive with what was sealed; nothing is changed or locked.

    Args:
        output: Directory of all runs.
        head: Digest of the end of the chain as it was noted elsewhere, or at least its first
            12 digits; it must be in the chain.

    Returns:
        The findings: none when everything is as it was sealed.

    Raises:
        UsageError: ``head`` is no such digest.
        OSError: The directory or its chain could not be read.
    """
    if head and not re.fullmatch("[0-9a-f]{12,64}", head):
        raise UsageError(f"{head!r} is no head of a chain", fix="give 12 to 64 hexadecimal digits")
    found: list[Finding] = []
    for _ in range(_TRIES):
        before = chain.read(output)
        found = [*_chain(before, head), *_records(output, before)]
        alarming = any(finding.severity == "fail" for finding in found)
        if not alarming or chain.read(output).raw == before.raw:
            break  # else a run was sealed or resumed meanwhile, and what was read is of two times
    return list(dict.fromkeys(found))


def _chain(found: Chain, head: str) -> Iterator[Finding]:
    for run, problem in chain.faults(found):
        yield Finding(run, CHAIN, "fail", problem, "restore CHAIN from a copy; never edit it")
    if head and not any(found.identity(n).startswith(head) for n in range(len(found.raw))):
        yield Finding(
            *("", CHAIN, "fail", f"the head {head} is not in the chain"),
            "its end was cut off or written anew since that head was noted",
        )


def _records(output: Path, found: Chain) -> Iterator[Finding]:
    there = {path.name for path in output.iterdir() if is_name(path.name)}
    for run in sorted(found.runs | there):
        lines = found.of(run)
        directory = output / run
        if directory.is_symlink():
            yield Finding(run, "", "fail", "the record is a symbolic link", "put it back in place")
        elif directory.is_dir():
            yield from record(directory, lines, {})
        elif lines and lines[-1].event != "pruned":
            yield Finding(run, "", "fail", "the record is gone, and was not pruned", _RESTORE)


def record(directory: Path, lines: list[Line], found: dict[str, Digest]) -> Iterator[Finding]:
    """Check a record against what the chain says of it.

    Args:
        directory: The record.
        lines: Those of the chain that are about it.
        found: Takes the digests of its files, by their paths within the record.
    """
    run = directory.name
    yield from _survey(directory, found)
    yield from _named(directory)
    if lines and lines[-1].event == "pruned":
        yield Finding(
            run, "", "note", "pruned, yet there: cut short, or restored; checked as before"
        )
        lines = [line for line in lines if line.event != "pruned"]
    seals = [line for line in lines if line.event == "sealed"]
    for number, line in enumerate(seals[:-1], 1):
        yield from _earlier(directory, found, line, (set_aside(number),))
    if not seals:
        yield from _unsealed(directory, found)
    elif lines[-1].event == "reopened":
        yield Finding(run, "", "note", "resumed, and not sealed since: running or killed")
        names = (set_aside(len(seals)), MANIFEST, PREPARED)
        yield from _earlier(directory, found, seals[-1], names)
        if all((directory / name).exists() for name in names[:2]):
            yield Finding(run, MANIFEST, "fail", "was never sealed", "move it out of the record")
    else:
        manifest, problems = _manifest(directory, seals[-1], (MANIFEST, PREPARED))
        yield from problems
        if manifest:
            yield from _differences(run, found, manifest.files)


def _survey(directory: Path, found: dict[str, Digest]) -> Iterator[Finding]:
    """Take the digests of all files of a record; report what is no file or cannot be read."""
    try:
        for name, path in files(directory):
            found[name] = Digest("", 0)
            if stat.S_ISREG(path.lstat().st_mode):
                found[name] = digest(path)
            else:
                problem = "no file but a link or a device"
                yield Finding(directory.name, name, "fail", problem, _RESTORE)
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        yield Finding(directory.name, "", "fail", problem, "mend the permissions or the disk")


def _named(directory: Path) -> Iterator[Finding]:
    """Report a result that is of another run: a record was renamed or replaced."""
    try:
        named = json.loads((directory / "result.json").read_bytes())["run"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return  # whether it should be there and what it should say, the MANIFEST knows
    if named != directory.name:
        problem = f"is of the run {named}"
        yield Finding(directory.name, "result.json", "fail", problem, "give it its own name again")


def _unsealed(directory: Path, found: dict[str, Digest]) -> Iterator[Finding]:
    """Report a record the chain does not know."""
    run = directory.name
    if not (directory / MANIFEST).exists():
        yield Finding(run, "", "note", "never sealed: running or killed; nothing of it is proven")
        return
    problem = "sealed, but its line is not in CHAIN"
    yield Finding(run, MANIFEST, "fail", problem, "restore CHAIN from a copy")
    manifest = parse((directory / MANIFEST).read_bytes())
    if manifest:
        yield from _differences(run, found, manifest.files)


def _earlier(
    directory: Path, found: dict[str, Digest], line: Line, names: tuple[str, ...]
) -> Iterator[Finding]:
    """Check what a resumed record must have kept: its former MANIFEST and what notebooks made."""
    manifest, problems = _manifest(directory, line, names)
    yield from problems
    if manifest:
        kept = {name: known for name, known in manifest.files.items() if _permanent(name)}
        there = {name: known for name, known in found.items() if name in kept}
        yield from _differences(directory.name, there, kept)


def _permanent(name: str) -> bool:
    """Tell whether resuming a run leaves a file alone; the others tell how the run stands."""
    if PurePosixPath(name).parent.name in ("figures", "data"):
        return True
    return name.endswith((".ipynb", ".html")) and name != "index.html"


def _manifest(
    directory: Path, line: Line, names: tuple[str, ...]
) -> tuple[Manifest | None, list[Finding]]:
    """Read the MANIFEST a line of the chain names; a kill may have left it under a later name."""
    run = directory.name
    paths = [directory / name for name in names]
    path = next((path for path in paths if path.is_file() and not path.is_symlink()), None)
    if path is None:
        return None, [Finding(run, names[0], "fail", "is gone", _RESTORE)]
    content = path.read_bytes()
    manifest = parse(content)
    if hashlib.sha256(content).hexdigest() != line.manifest:
        problem = "is not the one that was sealed"
    elif not manifest or (manifest.run, manifest.previous) != (run, line.previous):
        problem = "belongs to another run or another place in the chain"
    else:
        return manifest, []
    return manifest, [Finding(run, path.name, "fail", problem, _RESTORE)]


def _differences(
    run: str, found: Mapping[str, Digest], sealed: Mapping[str, Digest]
) -> Iterator[Finding]:
    """Compare the files of a record with those that were sealed."""
    for name in sorted(found.keys() | sealed.keys()):
        if name not in found:
            yield Finding(run, name, "fail", "is gone", _RESTORE)
        elif name not in sealed:
            problem = "was not there when the record was sealed"
            yield Finding(run, name, "fail", problem, "move it out of the record")
        elif found[name].sha256 != sealed[name].sha256:
            if found[name].canonical and found[name].canonical == sealed[name].canonical:
                problem = "was saved again; what it says is the same"
                yield Finding(run, name, "note", problem)
            else:
                yield Finding(run, name, "fail", "was changed", _RESTORE)
