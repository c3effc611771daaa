"""Two rehearsal clusters side by side, by command: real runs, refusals and a signal."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runbook import rehearsal
from runbook.cluster import connect
from runbook.exclusive import sole_run
from runbook.params import Params

pytestmark = pytest.mark.timeout(280)
RUNBOOK = (sys.executable, "-P", "-m", "runbook", "run")


class Fleet:
    """Two clusters, a parameter file for each and one for both."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.output = directory / "outputs"
        for name in ("attic", "cellar"):
            kubeconfig = rehearsal.up(directory / name, persist=True)
            self.write(name, kubeconfig)
        self.both = directory / "both.yaml"
        self.both.write_text("create_ca: true\ntimeout: 120\n")

    def write(self, name: str, kubeconfig: Path) -> Path:
        path = self.directory / f"{name}.yaml"
        path.write_text(f"kubeconfig: {kubeconfig}\n")
        return path

    def command(self, *arguments: str, names: tuple[str, ...] = ("attic", "cellar")) -> list[str]:
        files = [self.both, *(self.directory / f"{name}.yaml" for name in names)]
        given = [word for file in files for word in ("-f", str(file))]
        return [*RUNBOOK, *given, "--output", str(self.output), *arguments]

    def run(self, *arguments: str, status: int = 0, **names: Any) -> tuple[str, str]:
        """Run to the end; give what was written to standard output and standard error."""
        done = subprocess.run(
            self.command(*arguments, **names),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
            cwd=self.directory,
        )
        assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
        return done.stdout, done.stderr

    def uid(self, name: str) -> str:
        cluster = connect(Params(kubeconfig=str(self.directory / name / "kubeconfig")))
        found = cluster.uid
        cluster.close()
        return found


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("fleet")
    yield Fleet(directory)
    for name in ("attic", "cellar"):
        rehearsal.down(directory / name)


def summary(out: str) -> dict[str, list[str]]:
    """Give the rows of the summary by their target; the columns are at least two blanks apart."""
    _, _, table = out.rpartition("\n\n")
    heading, *rows = [re.split(r" {2,}", line.strip()) for line in table.splitlines()]
    assert heading == ["cluster", "status", "checks", "changed", "seconds", "record"]
    return {row[0]: row[1:] for row in rows}


def result(fleet: Fleet, row: list[str]) -> dict[str, Any]:
    """Read the record that a row of the summary leads to."""
    page = fleet.directory / row[-1]
    assert page.name == "index.html"
    assert page.exists()
    return json.loads((page.parent / "result.json").read_text())


def test_two_clusters_are_two_records_and_one_summary(fleet: Fleet, tmp_path: Path) -> None:
    told = f"{sys.executable} -c \"import os; print(file=open(os.environ['RUNBOOK_RUN'], 'w'))\""
    out, err = fleet.run("--only", "00,11", "--notify", told)
    assert err == ""
    head, *lines = out.partition("\n\n")[0].splitlines()
    assert head.startswith("2 clusters, ")
    for name in ("attic ", "cellar"):
        own = [line.removeprefix(f"{name} | ") for line in lines if line.startswith(name)]
        assert own[0].split()[0] == "00-preflight"
        assert own[1].split()[0] == "11-linkerd-namespace"
    assert all(line.startswith(("attic  | ", "cellar | ")) for line in lines)
    rows = summary(out)
    assert list(rows) == ["attic", "cellar"]
    records = [result(fleet, row) for row in rows.values()]
    for row, record in zip(rows.values(), records, strict=True):
        assert (row[0], row[2], record["status"]) == ("ok", "1", "ok")
        assert record["changed"] == 1
        assert (fleet.directory / record["run"]).exists(), "it has notified for itself"
    assert [record["cluster"]["uid"] for record in records] == [
        fleet.uid("attic"),
        fleet.uid("cellar"),
    ]


def test_one_that_is_refused_does_not_stop_the_others(fleet: Fleet) -> None:
    fleet.write("absent", fleet.directory / "nowhere")
    names = ("absent", "attic", "cellar")
    out, err = fleet.run("--only", "00", "--mode", "verify", names=names, status=2)
    assert err.splitlines()[0].startswith("absent | there is no kubeconfig at ")
    assert all(line.startswith("absent | ") for line in err.splitlines())
    rows = summary(out)
    assert [row[0] for row in rows.values()] == ["refused", "ok", "ok"]
    assert rows["absent"][-1] == "no record"


def test_a_cluster_under_a_second_name_is_refused(fleet: Fleet) -> None:
    """Have the first at work for certain: this process is it."""
    copied = fleet.directory / "copied"
    shutil.copyfile(fleet.directory / "attic" / "kubeconfig", copied)
    fleet.write("again", copied)
    with sole_run(fleet.output, fleet.uid("attic")):
        out, err = fleet.run("--only", "00", names=("again", "cellar"), status=2)
    assert "again  | another run is at work on this cluster" in err
    assert [row[0] for row in summary(out).values()] == ["refused", "ok"]


def test_wrong_parameters_start_nothing(fleet: Fleet) -> None:
    before = sorted(fleet.output.iterdir())
    for option, value, words in (
        ("-p", "tiemout=5", "did you mean timeout?"),
        ("--only", "99", "there is no notebook '99'"),
    ):
        out, err = fleet.run(option, value, status=2)
        assert out == ""
        assert words in err
    assert sorted(fleet.output.iterdir()) == before


def test_sigterm_ends_all_with_their_records(fleet: Fleet) -> None:
    process = subprocess.Popen(
        fleet.command("--from", "10"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=fleet.directory,
    )
    begun = []
    with process:
        for line in process.stdout:
            begun.append(line)
            if "14-linkerd-crds" in line:  # the next takes seconds
                os.kill(process.pid, signal.SIGTERM)
                break
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    rows = summary("".join(begun) + rest)
    records = [result(fleet, row) for row in rows.values()]
    assert [row[0] for row in rows.values()] == ["interrupted", "interrupted"]
    assert [record["status"] for record in records] == ["interrupted", "interrupted"]
    assert [record["exit_status"] for record in records] == [130, 130]
    assert any(step["status"] == "not-run" for step in records[0]["steps"])
