"""The ledger of a run: what a later attempt needs, and whether anybody is at work."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from runbook import holder, ledger
from runbook.errors import UsageError
from runbook.ledger import Ledger

GIVEN = {"cluster": "pi", "timeout": 5, "values": {"a": "env:A", "b": {"c": 1}}}


def made(**changes: Any) -> Ledger:
    facts: dict[str, Any] = {"run": "r", "attempt": 1, "given": GIVEN, "notebooks": ["00"]}
    return Ledger(**{**facts, "holder": holder.mine(), **changes})


def test_reads_what_was_written(tmp_path: Path) -> None:
    made().write(tmp_path)
    assert ledger.read(tmp_path) == made()


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", json.dumps({"run": "r"})])
def test_an_unreadable_one_is_explained(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / ledger.FILE).write_text(content)
    with pytest.raises(UsageError, match="cannot be gone on with"):
        ledger.read(tmp_path)


def test_what_is_given_now_wins() -> None:
    given = made().parameters({"timeout": 9, "values": {"b": {"d": 2}}})
    assert given == {
        "cluster": "pi",
        "timeout": 9,
        "values": {"a": "env:A", "b": {"c": 1, "d": 2}},
    }


@pytest.mark.parametrize(
    "value", ["[redacted]", "https://[redacted]@x", "<kubeconfig>", {"a": ["[redacted]"]}]
)
def test_what_a_record_does_not_keep_must_be_given_again(value: Any) -> None:
    kept = made(given={"cluster": "pi", "kubeconfig": value})
    with pytest.raises(UsageError, match="kubeconfig") as caught:
        kept.parameters({})
    assert "-p NAME=VALUE" in caught.value.fix
    assert kept.parameters({"kubeconfig": "/x"})["kubeconfig"] == "/x"


def test_shows_signs_of_life_while_it_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "BEAT", 0.01)
    made().write(tmp_path)
    file = tmp_path / ledger.FILE
    os.utime(file, (0, 0))
    with ledger.beating(tmp_path):
        for _ in range(1000):
            if file.stat().st_mtime > 0:
                break
            ledger.threading.Event().wait(0.01)
    assert file.stat().st_mtime > 0
