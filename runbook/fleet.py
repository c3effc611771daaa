"""Several clusters side by side: one process each, their lines told apart, one summary.

Which clusters is said by the parameter files (:func:`targets`); :func:`run` starts the processes,
a bounded number at a time, and gives how each ended. What a process does is a run like any other.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from runbook import ledger
from runbook.errors import ParameterError, RunbookError
from runbook.params import Params, load

__all__ = ["Ended", "Show", "Target", "cores", "run", "severest", "targets"]

INTERRUPTED = 130
BROKEN = 4

_KEYS = ("cluster", "kubeconfig")  # what names a target
_PATIENCE = 2  # signals that leave a run the time to write its record
_PIECE = 65536  # bytes read at a time
_LAST_WORDS = 5.0  # seconds to wait for output after a process has ended


@dataclass(frozen=True)
class Target:
    """One cluster and the parameter files that are for it, in order; the later one wins."""

    name: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Ended:
    """How the run on one target ended.

    Attributes:
        target: Name of the target.
        status: As in ``result.json``, or ``refused`` when nothing could be run, ``killed`` when
            its process was, ``not-run`` when it was never started.
        exit_status: That of its process.
        seconds: How long it took.
        record: Directory of its record, if it has one.
        result: ``result.json`` of it.
    """

    target: str
    status: str
    exit_status: int
    seconds: float = 0.0
    record: Path | None = None
    result: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Show(Protocol):
    """Shows what the processes write."""

    def __call__(self, target: str, line: str, *, error: bool) -> None:
        """Show a whole line, without its end, of standard output or of standard error."""


def cores() -> int:
    """Give how many processor cores there are, at least one."""
    return os.cpu_count() or 1


def severest(statuses: Iterable[int]) -> int:
    """Give the exit status of several runs: 130 before 4, 3, 2, 1 and 0.

    >>> severest([0, 3, 1])
    3
    """
    return max(statuses, default=0)  # their numbers are in the order of their gravity


def targets(
    files: Sequence[Path], overrides: Mapping[str, Any] | None = None
) -> tuple[Target, ...]:
    """Tell which parameter files are for which cluster.

    Files that name different clusters are for one target each, and so are files that name
    different kubeconfigs. Those that name the same one are merged, and those that tell nothing
    apart are common to all targets. What is given on the command line holds for all files.

    Args:
        files: Parameter files, in order.
        overrides: Parameters of the command line.

    Returns:
        The targets in the order in which they are first named; one without any when the files
        name no more than one.

    Raises:
        ParameterError: Files cannot be read, or a parameter of any target is wrong; the message
            names all of them.
    """
    problems: list[ParameterError] = []
    named = [_named(file, overrides or {}, problems) for file in files]
    _raise(problems)
    apart = [key for key in _KEYS if len({one[key] for one in named if key in one}) > 1]
    groups: dict[tuple[str, ...], list[Path]] = {}
    for file, one in zip(files, named, strict=True):
        if any(key in one for key in apart):
            groups.setdefault(_identity(file, one, apart, problems), []).append(file)
    _raise(problems)
    own = {file for group in groups.values() for file in group}
    merged = [
        tuple(file for file in files if file in group or file not in own)
        for group in groups.values()
    ] or [tuple(files)]
    clusters = [_cluster(group, overrides or {}, problems) for group in merged]
    _raise(problems)
    names = _names(clusters, [group[0].stem for group in groups.values()])
    return tuple(map(Target, names, merged))


def _named(
    file: Path, overrides: Mapping[str, Any], problems: list[ParameterError]
) -> dict[str, str]:
    """Give the parameters of a file that may tell its target from others."""
    try:
        given = load([file])
    except ParameterError as error:
        problems.append(error)
        return {}
    one = {key: str(given[key]) for key in _KEYS if key in given and key not in overrides}
    if one.get("kubeconfig"):
        one["kubeconfig"] = str(Path(one["kubeconfig"]).expanduser().absolute())
    return one


def _identity(
    file: Path, one: Mapping[str, str], apart: Sequence[str], problems: list[ParameterError]
) -> tuple[str, ...]:
    """Give what tells the target of a file from others."""
    if len(apart) == len(_KEYS) and "cluster" not in one:
        problems.append(
            ParameterError(
                f"{file}: names a kubeconfig but no cluster",
                why="the files name several clusters and several kubeconfigs",
                fix="name its cluster in this file too, so that they belong together",
            )
        )
    return tuple(one.get(key, "") for key in apart)


def _cluster(
    files: Sequence[Path], overrides: Mapping[str, Any], problems: list[ParameterError]
) -> str:
    """Validate the parameters of a target and give the cluster they name."""
    try:
        return Params.parse(load(files, overrides)).cluster
    except ParameterError as error:
        problems.append(error)
        return ""


def _raise(problems: Sequence[ParameterError]) -> None:
    """Raise what was found wrong, all of it at once."""
    worded = list(dict.fromkeys(map(str, problems)))  # a common file is wrong for every target
    if len(worded) == 1:
        raise problems[0]
    if worded:
        raise ParameterError("nothing was started:\n" + "\n".join(worded))


def _names(clusters: Sequence[str], stems: Sequence[str]) -> Sequence[str]:
    """Name targets by their cluster where that tells them apart, else by their first file."""
    if len(set(clusters)) == len(clusters):
        return clusters
    if len(set(stems)) == len(stems):
        return stems
    return [f"{stem}-{number}" for number, stem in enumerate(stems, 1)]


def run(
    commands: Mapping[str, Sequence[str]], *, parallel: int, output: Path, show: Show
) -> tuple[Ended, ...]:
    """Run one process for each target, and wait for all of them.

    One that is refused or fails does not touch the others. SIGINT and SIGTERM are passed on, and
    what has not begun is not begun: at the first, each run interrupts its cell and writes its
    record; at the second, it kills its kernel and still writes it; the third kills the runs.

    Args:
        commands: What to run for each target.
        parallel: How many processes at most at the same time.
        output: Directory in which they keep their records.
        show: Shows what they write.

    Returns:
        How each ended, in the order of ``commands``.
    """
    return asyncio.run(_Fleet(parallel, output, show).work(commands))


class _Fleet:
    """The processes at work."""

    def __init__(self, parallel: int, output: Path, show: Show) -> None:
        self._slots = asyncio.Semaphore(parallel)
        self._output = output
        self._show = show
        self._told = 0  # signals received
        self._before = set(_records(output))
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def work(self, commands: Mapping[str, Sequence[str]]) -> tuple[Ended, ...]:
        """Run all of them."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._tell)
        try:
            return tuple(await asyncio.gather(*(self._one(*item) for item in commands.items())))
        finally:
            for process in self._running.values():  # none, unless there is a fault of ours
                process.terminate()

    def _tell(self) -> None:
        """Pass a signal on, as SIGTERM: to a run it is what Ctrl-C is."""
        self._told += 1
        for process in self._running.values():
            self._signal(process)

    def _signal(self, process: asyncio.subprocess.Process) -> None:
        with suppress(ProcessLookupError):
            if self._told <= _PATIENCE:
                process.terminate()
            else:
                os.killpg(process.pid, signal.SIGKILL)  # with what it has started

    async def _one(self, name: str, command: Sequence[str]) -> Ended:
        async with self._slots:
            if self._told:
                return Ended(name, "not-run", INTERRUPTED)
            began = time.monotonic()
            try:
                pid, code = await self._process(name, command)
            except OSError as error:
                self._show(name, f"cannot start its process: {error.strerror}", error=True)
                return Ended(name, "refused", BROKEN)
            return self._ended(name, pid, code, time.monotonic() - began)

    async def _process(self, name: str, command: Sequence[str]) -> tuple[int, int]:
        """Run a process and show what it writes; give its id and its exit status."""
        async with _Pipe() as out, _Pipe() as err:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out.end,
                stderr=err.end,
                process_group=0,  # Ctrl-C is for this process, which passes it on once
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
            out.begun()
            err.begun()
            self._running[name] = process
            if self._told:  # while it was being started
                self._signal(process)
            readers = asyncio.gather(
                self._relay(name, out.lines, error=False), self._relay(name, err.lines, error=True)
            )
            code = await process.wait()
            del self._running[name]
            with suppress(TimeoutError):  # something it has started may hold the pipes open
                await asyncio.wait_for(readers, _LAST_WORDS)
            return process.pid, code

    async def _relay(self, name: str, stream: asyncio.StreamReader, *, error: bool) -> None:
        rest = b""
        while piece := await stream.read(_PIECE):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._show(name, _text(line), error=error)
        if rest:
            self._show(name, _text(rest), error=error)

    def _ended(self, name: str, pid: int, code: int, seconds: float) -> Ended:
        record = next((r for r in _records(self._output) if self._is_of(r, pid)), None)
        result = _result(record)
        status = str(result.get("status", ""))
        if code < 0:  # by a signal
            code = INTERRUPTED if self._told else BROKEN
            status = "interrupted" if self._told else "killed"
        elif not result:
            code = BROKEN if code == 1 else code  # Python itself: no check can have failed
            status = {0: "ok", INTERRUPTED: "interrupted"}.get(code, "refused")
        return Ended(name, status, code, seconds, record, result)

    def _is_of(self, record: Path, pid: int) -> bool:
        """Tell whether a record is that of a process of this fleet."""
        if record in self._before:
            return False
        try:
            return ledger.read(record).holder.split(".")[1] == str(pid)
        except (RunbookError, IndexError):
            return False


class _Pipe:
    """What a process writes to. Those of asyncio keep ``wait`` waiting for grandchildren too."""

    async def __aenter__(self) -> Self:
        reading, self.end = os.pipe()
        self.lines = asyncio.StreamReader()
        self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self.lines), os.fdopen(reading, "rb", 0)
        )
        return self

    def begun(self) -> None:
        """Leave the writing end to the process."""
        os.close(self.end)
        self.end = -1

    async def __aexit__(self, *_: object) -> None:
        if self.end >= 0:  # there is no process
            self.begun()
        self._transport.close()


def _records(output: Path) -> list[Path]:
    return [path.parent for path in output.glob(f"*/{ledger.FILE}")]


def _result(record: Path | None) -> dict[str, Any]:
    if record is None:
        return {}
    try:
        found: dict[str, Any] = json.loads((record / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")
