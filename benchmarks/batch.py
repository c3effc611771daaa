"""What a batch costs: `runbook run` beside a shell loop of papermill, on one rehearsal cluster.

    .venv/bin/python benchmarks/batch.py [--rounds 5]

Both run the same notebooks, in the same state of the cluster (everything is done already, so that
neither waits for pods), in turns within one run. Costs are of all processes a command leaves, also
those it does not wait for itself; the rehearsal cluster is a process of its own and counts for
neither. Ratios carry the range over the rounds. Linux only.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from runbook import rehearsal
from runbook.notebooks import NOTEBOOKS

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
PARAMS = ROOT / "params" / "rehearsal.yaml"

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        wall: Seconds from its start to the end of the command itself.
        cpu: Seconds of processor time of it and every process it left.
        peak: Largest memory of all of them together at a time, in MiB, sampled: the sum of their
            proportional set sizes, in which a page that several share counts once.
        written: Bytes they gave to write calls, to files for the most part.
    """

    wall: float
    cpu: float
    peak: float
    written: int


def measure(command: Sequence[str], environment: dict[str, str]) -> Cost:
    """Run a command and give what it took.

    A process of its own becomes the one that inherits whatever the command leaves, waits for all
    of it, and so learns its processor time.

    Raises:
        RuntimeError: The command failed.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        cost = _inherit(command, environment)
        os.write(writing, json.dumps(cost).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        status, *numbers = json.loads(pipe.read())
    os.waitpid(child, 0)
    if status:
        raise RuntimeError(f"{' '.join(command[:4])} ended with {status}")
    return Cost(*numbers)


def _inherit(command: Sequence[str], environment: dict[str, str]) -> tuple[Any, ...]:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    before = _written()
    began = time.monotonic()
    pid = os.posix_spawnp(
        command[0],
        list(command),
        environment,
        file_actions=[(os.POSIX_SPAWN_OPEN, n, os.devnull, os.O_WRONLY, 0) for n in (1, 2)],
    )
    sampler = _Sampler(os.getpid())
    sampler.start()
    _, ended, _ = os.wait4(pid, 0)
    wall = time.monotonic() - began
    while True:  # what it left
        try:
            os.wait()
        except ChildProcessError:
            break
    sampler.over.set()
    sampler.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    written = _written() - before  # the kernel adds up what those waited for had written
    return ended, wall, used.ru_utime + used.ru_stime, sampler.peak, written


def _written() -> int:
    return int(Path("/proc/self/io").read_text().split("wchar: ")[1].split()[0])


class _Sampler(threading.Thread):
    """Looks at the memory of all descendants of a process a few times a second."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.peak = 0.0
        self._root = root

    def run(self) -> None:
        while not self.over.wait(0.1):
            self.peak = max(self.peak, sum(map(_memory, _descendants(self._root))))


def _memory(pid: int) -> float:
    """Give the proportional set size of a process in MiB, 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(text.split("Pss:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return 0.0


def _descendants(root: int) -> list[int]:
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                children = [int(number) for number in task.read_text().split()]
            except OSError:
                continue
            found += children
            queue += children
    return found


def loop(notebooks: Sequence[Path], output: Path, parameters: Sequence[str]) -> list[str]:
    """Give the shell loop: papermill for one notebook after the other, ended by a failure."""
    lines = [
        f"'{BIN}/papermill' '{path}' '{output / path.name}' {' '.join(parameters)}"
        for path in notebooks
    ]
    return ["/bin/sh", "-e", "-c", "\n".join(lines)]


def in_turns(
    ours: Callable[[], Cost], theirs: Callable[[], Cost], rounds: int
) -> tuple[list[Cost], list[Cost]]:
    """Measure two commands in turns, the first of each round changing."""
    mine, other = [], []
    for number in range(rounds):
        for mark in (0, 1) if number % 2 else (1, 0):
            (mine if mark else other).append((ours if mark else theirs)())
    return mine, other


def report(title: str, ours: list[Cost], theirs: list[Cost], bars: dict[str, float]) -> bool:
    """Print medians and ratios; tell whether every ratio keeps to its bar."""
    print(f"\n{title} ({len(ours)} rounds, in turns; median, ratio with its range)")
    good = True
    for name, unit in (("wall", "s"), ("cpu", "s"), ("written", "MB"), ("peak", "MiB")):
        scale = 1e-6 if name == "written" else 1.0
        mine = [getattr(cost, name) * scale for cost in ours]
        other = [getattr(cost, name) * scale for cost in theirs]
        ratios = [a / b for a, b in zip(mine, other, strict=True)]
        ratio = statistics.median(ratios)
        bar = bars.get(name)
        kept = bar is None or ratio <= bar
        good = good and kept
        aim = f"   bar {bar:.2f} {'kept' if kept else 'MISSED'}" if bar else ""
        print(
            f"  {name:8} runbook {statistics.median(mine):8.2f} {unit:3}  papermill "
            f"{statistics.median(other):8.2f} {unit:3}  ratio {ratio:.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}){aim}"
        )
    return good


def batch(place: Path, rounds: int) -> bool:
    """All notebooks of the runbook."""
    environment = {**os.environ, "RUNBOOK_REHEARSAL_DIR": str(place / "rehearsal")}
    rehearsal.up(place / "rehearsal")
    try:
        command = [f"{BIN}/runbook", "run", "-f", str(PARAMS), "--output", str(place / "out")]
        measure(command, environment)  # installs everything: from now on there is nothing to do
        paths = [ROOT / "notebooks" / f"{book.name}.ipynb" for book in NOTEBOOKS]
        (place / "loop").mkdir()
        other = loop(paths, place / "loop", ["-f", str(PARAMS)])
        ours, theirs = in_turns(
            lambda: measure(command, environment), lambda: measure(other, environment), rounds
        )
    finally:
        rehearsal.down(place / "rehearsal")
    return report(
        f"{len(NOTEBOOKS)} notebooks of the runbook; ours writes HTML pages and a record, too",
        ours,
        theirs,
        {"wall": 0.35, "cpu": 0.6},
    )


def large(place: Path, rounds: int) -> bool:
    """One notebook of 200 cells, half of them code, through papermill's command line."""
    cells: list[Any] = []
    for number in range(100):
        cells.append(nbformat.v4.new_markdown_cell(f"Cell {number} " + "of words " * 20))
        cells.append(nbformat.v4.new_code_cell(f"print('{number} ' + 'of output ' * 40)"))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    source = place / "large.ipynb"
    nbformat.write(notebook, source)
    plain = [f"{BIN}/papermill", str(source), str(place / "large-out.ipynb")]
    environment = dict(os.environ)
    ours, theirs = in_turns(
        lambda: measure([*plain, "--engine", "runbook"], environment),
        lambda: measure(plain, environment),
        rounds,
    )
    return report("papermill --engine runbook, 200 cells", ours, theirs, {"written": 0.2})


def further(place: Path, rounds: int) -> bool:
    """What each further notebook costs beyond its own work: runs of 2 and of 12 do nothing."""
    program = place / "further.py"
    program.write_text(FURTHER.format(tests=str(ROOT / "tests")))
    seconds = []
    for _ in range(rounds):
        few, many = (
            measure([sys.executable, str(program), str(place), str(count)], dict(os.environ))
            for count in (2, 12)
        )
        seconds.append(((many.wall - few.wall) / 10, (many.cpu - few.cpu) / 10))
    wall = statistics.median(wall for wall, _ in seconds)
    cpu = statistics.median(cpu for _, cpu in seconds)
    low, high = min(s for s, _ in seconds), max(s for s, _ in seconds)
    kept = wall <= 0.3
    print(f"\nA further notebook, beyond its own work ({rounds} rounds)")
    print(
        f"  wall {wall:.2f} s ({low:.2f} to {high:.2f}), cpu {cpu:.2f} s"
        f"   bar 0.30 s {'kept' if kept else 'MISSED'}"
    )
    return kept


FURTHER = """
import sys, json
from pathlib import Path
from types import SimpleNamespace
sys.path.insert(0, {tests!r})
import test_runner
from runbook import batch, cluster
from runbook.notebooks import Notebook
from runbook.params import Params
from runbook.runner import Runner

if __name__ == "__main__":
    place, count = Path(sys.argv[1]), int(sys.argv[2])
    source = place / "nothing.ipynb"
    source.write_text(json.dumps(test_runner.notebook("pass")))
    batch.source = lambda book: source
    cluster.connect = lambda params: test_runner.FakeCluster()
    nothing = SimpleNamespace(
        started=lambda step: None, cell=lambda step, cell: None, ended=lambda step: None
    )
    books = tuple(Notebook(f"{{n:02}}-x", "x", "x", "", 1, (), ()) for n in range(count))
    record = Runner(
        params=Params(), given={{}}, notebooks=books, output=place / "few", progress=nothing
    ).run()
    assert record.status == "ok", record.steps
"""


def main() -> int:
    """Run all parts; exit status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory(prefix="runbook-bench-") as directory:
        place = Path(directory)
        good = [part(place, rounds) for part in (batch, large, further)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
