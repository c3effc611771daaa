"""The meshing notebooks from end to end: real kernels, plan, apply, again, verify."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_place import Place
from mesh_place import KUBERNETES

from runbook import rehearsal
from runbook.notebooks import select

pytestmark = pytest.mark.timeout(280)

ONLY = ("--only", "30-51")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Place]:
    kept = Place(tmp_path)
    yield kept
    rehearsal.down(kept.rehearsal)


@pytest.mark.parametrize("line", ["edge-2.20", "stable-2.14"])
def test_plan_apply_again_verify(fresh: Place, line: str) -> None:
    fresh.start(KUBERNETES[line])
    given = ("-p", f"line={line}")
    names = [book.name for book in select(only=["30-51"])]
    fresh.run(*given, "--from", "10", "--until", "22")
    planned, _ = fresh.run(*given, *ONLY, "--mode", "plan")
    assert planned["changed"] == 0
    assert [step["notebook"] for step in planned["steps"]] == names
    assert all(step["planned"] for step in planned["steps"] if step["notebook"] != "32-jobs")
    applied, _ = fresh.run(*given, *ONLY)
    assert {step["status"] for step in applied["steps"]} == {"ok"}
    assert all(step["undo"] for step in applied["steps"] if step["changed"])
    again, _ = fresh.run(*given, *ONLY)
    changed = {step["notebook"]: step["changed"] for step in again["steps"]}
    assert changed == dict.fromkeys(names, 0)
    verified, _ = fresh.run(*given, *ONLY, "--mode", "verify")
    assert (verified["changed"], verified["checks"]["fail"]) == (0, 0)
