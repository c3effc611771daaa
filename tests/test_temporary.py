"""A rehearsal cluster for one run: started when wanted, ended always, forsaken ones cleared."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from runbook import rehearsal
from runbook.params import Params
from runbook.temporary import rehearsal_cluster

Calls = list[tuple[str, Path]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Calls:
    """Remember what is started and ended instead of doing it."""
    made: Calls = []

    def up(directory: Path, *, kubernetes_version: str) -> Path:
        made.append((f"up {kubernetes_version}", directory))
        return directory / "kubeconfig"

    def down(directory: Path) -> bool:
        made.append(("down", directory))
        return True

    monkeypatch.setattr(rehearsal, "active", lambda directory=None: None)
    monkeypatch.setattr(rehearsal, "up", up)
    monkeypatch.setattr(rehearsal, "down", down)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return made


def test_ends_with_the_run_whatever_happens(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_REHEARSAL_DIR", "/before")
    with pytest.raises(KeyboardInterrupt), rehearsal_cluster(Params()) as started:
        assert started
        inside = Path(os.environ["RUNBOOK_REHEARSAL_DIR"])
        raise KeyboardInterrupt
    assert calls == [("up 1.35", inside), ("down", inside)]
    assert not inside.exists()
    assert os.environ["RUNBOOK_REHEARSAL_DIR"] == "/before"


@pytest.mark.parametrize(
    ("line", "version"), [("stable-2.11", "1.24"), ("stable-2.14", "1.35"), ("edge-2.20", "1.35")]
)
def test_has_a_kubernetes_the_line_runs_on(calls: Calls, line: str, version: str) -> None:
    with rehearsal_cluster(Params(line=line)):
        pass
    assert calls[0][0] == f"up {version}"


@pytest.mark.parametrize("given", [{"cluster": "pi"}, {"kubeconfig": "/some/where"}])
def test_starts_nothing_for_another_cluster(calls: Calls, given: dict[str, str]) -> None:
    with rehearsal_cluster(Params(**given)) as started:
        assert not started
    assert calls == []


def test_uses_the_one_that_is_up(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(rehearsal, "active", lambda directory=None: tmp_path)
    with rehearsal_cluster(Params()) as started:
        assert not started
    assert calls == []


def test_ends_those_of_killed_runs_and_no_others(calls: Calls, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    forsaken = tmp_path / f"runbook-rehearsal-{gone.pid}-abc"
    alive = tmp_path / f"runbook-rehearsal-{os.getpid()}-abc"
    strange = tmp_path / "runbook-rehearsal-mine-abc"
    for directory in (forsaken, alive, strange):
        directory.mkdir()
    with rehearsal_cluster(Params()):
        pass
    assert calls[0] == ("down", forsaken)
    assert not forsaken.exists()
    assert alive.exists()
    assert strange.exists()
