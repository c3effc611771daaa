"""Records: what is read from executed notebooks, what is kept, and what never is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from runbook.errors import CheckError
from runbook.record import MEDIA_TYPE, Record, StepRecord, collect, read_error, scrubber
from runbook.secrets import Redactor

KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIGt3\n-----END EC PRIVATE KEY-----\n"
TARGET = {"name": "pi", "uid": "0b4b7e5c-1111-2222-3333-444455556666", "version": "1.35.0+k3s1"}


def notebook(*outputs: dict[str, Any], text: str = "# Title") -> dict[str, Any]:
    code = {
        "cell_type": "code",
        "id": "issuer-plan",
        "metadata": {},
        "execution_count": 1,
        "source": "step.plan()",
        "outputs": list(outputs),
    }
    words = {"cell_type": "markdown", "id": "issuer-about", "metadata": {}, "source": text}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [words, code]}


def shown(data: dict[str, Any], **forms: str) -> dict[str, Any]:
    bundle: dict[str, Any] = {MEDIA_TYPE: data, **forms}
    return {"output_type": "display_data", "metadata": {}, "data": bundle}


def failed(error: Exception) -> dict[str, Any]:
    name, text = type(error).__name__, str(error)
    return {"output_type": "error", "ename": name, "evalue": text, "traceback": [text]}


def outcome(name: str, verdict: str) -> dict[str, str]:
    empty = dict.fromkeys(("expected", "seen", "why", "fix", "see", "linkerd"), "")
    return {**empty, "id": name, "title": name, "verdict": verdict}


def record(output: Path, *, target: dict[str, Any] | None = None, **parameters: Any) -> Record:
    return Record(
        output,
        target={**TARGET, "rehearsal": False, **(target or {})},
        parameters={"mode": "apply", "line": "edge-2.20", **parameters},
        steps=[StepRecord("12-identity-issuer", "Issue"), StepRecord("13-trust-anchor", "Read")],
        scrub=scrubber(Redactor(["s3cret-value"]).data, {"/home/someone": "~"}),
    )


def test_result_wins_over_its_parts() -> None:
    found = collect(
        notebook(
            shown({"type": "verdicts", "outcomes": [outcome("early", "pass")]}),
            shown(
                {
                    "type": "result",
                    "checks": [outcome("all", "warn")],
                    "plans": [],
                    "changed": 3,
                    "timings": [{"name": "apply", "seconds": 1.0}],
                    "undo": ["kubectl delete ..."],
                }
            ),
        )
    )
    assert [check["id"] for check in found["checks"]] == ["all"]
    assert found["changed"] == 3
    assert found["undo"] == ["kubectl delete ..."]
    assert found["error"] is None


def test_what_a_failed_notebook_got_to_is_kept() -> None:
    change = {"action": "create", "kind": "Namespace", "namespace": "", "name": "linkerd"}
    found = collect(
        notebook(
            shown({"type": "verdicts", "outcomes": [outcome("a", "pass"), outcome("b", "fail")]}),
            shown({"type": "plan", "digest": "d1", "changes": [change]}),
            failed(CheckError("1 check failed: b", why="no\nreason", fix="mend b")),
        )
    )
    step = StepRecord("12", "Issue", **found)
    assert (step.count("pass"), step.count("fail"), step.planned) == (1, 1, 1)
    assert found["error"] == {
        "name": "CheckError",
        "what": "1 check failed: b",
        "why": "no\nreason",
        "fix": "mend b",
        "see": "",
    }


def test_plans_count_changes_only() -> None:
    same = {"action": "none", "kind": "Namespace", "namespace": "", "name": "linkerd"}
    assert StepRecord("11", "x", plans=[{"digest": "d", "changes": [same]}]).planned == 0


def test_other_outputs_are_passed_over() -> None:
    stream = {"output_type": "stream", "name": "stdout", "text": "hello"}
    assert collect(notebook(stream, shown({"type": "step"})))["checks"] == []
    assert collect(notebook({**shown({}), "data": {MEDIA_TYPE: "no object"}}))["error"] is None


@pytest.mark.parametrize("error", [CheckError("what"), CheckError("what", fix="fix", see="see")])
def test_error_text_is_read_back(error: CheckError) -> None:
    parts = read_error("CheckError", str(error))
    assert (parts["what"], parts["why"], parts["fix"], parts["see"]) == (
        *("what", ""),
        *(error.fix, error.see),
    )


def test_paths_are_replaced_whole() -> None:
    scrub = scrubber(lambda value: value, {"/home/pi": "~", "/home/pi/clone": ".", "/": "no"})
    assert scrub({"/home/pi/a": ["/home/pi/clone/b", "/home/pirate", 1, None]}) == {
        "~/a": ["./b", "/home/pirate", 1, None]
    }


def test_nothing_kept_holds_a_secret_or_a_local_path(tmp_path: Path) -> None:
    kept = record(tmp_path, values={"password": "hidden-word", "note": "s3cret-value"})
    text = f"{KEY} s3cret-value /home/someone/.kube/config"
    output = shown({"type": "step", "note": text}, **{"text/html": text, "text/plain": text})
    executed = notebook(output, failed(RuntimeError(text)), text=text)
    kept.update("12-identity-issuer", status="failed", **collect(executed))
    kept.keep("12-identity-issuer", executed)
    kept.finish("failed", 3)
    files = list(kept.directory.iterdir())
    assert {file.name for file in files} == {
        "12-identity-issuer.ipynb",
        "12-identity-issuer.html",
        "index.html",
        "result.json",
    }
    for file in files:
        content = file.read_text()
        for secret in ("PRIVATE KEY", "MHcCAQEEIGt3", "s3cret-value", "hidden-word", "/home/some"):
            assert secret not in content, f"{secret!r} in {file.name}"


def test_result_says_what_happened(tmp_path: Path) -> None:
    kept = record(tmp_path)
    checks = [outcome("a", "pass"), outcome("b", "warn")]
    kept.update("12-identity-issuer", status="ok", checks=checks, changed=2, seconds=1.5)
    kept.keep("12-identity-issuer", notebook())
    kept.finish("ok", 0)
    result = json.loads((kept.directory / "result.json").read_text())
    assert result["run"] == kept.directory.name
    assert re.fullmatch(r"\d{8}-\d{6}-pi-[0-9a-f]{4}", result["run"])
    assert (result["schema"], result["status"], result["exit_status"]) == (1, "ok", 0)
    assert result["checks"] == {"pass": 1, "warn": 1, "fail": 0, "skip": 0}
    assert result["changed"] == 2
    assert result["cluster"]["uid"] == TARGET["uid"]
    assert result["versions"]["papermill"] != "not installed"
    first, second = result["steps"]
    assert first["files"] == {
        "notebook": "12-identity-issuer.ipynb",
        "html": "12-identity-issuer.html",
    }
    assert (second["status"], second["files"]) == ("not-run", {})


def test_run_that_was_killed_reads_as_running(tmp_path: Path) -> None:
    kept = record(tmp_path)
    kept.save()
    result = json.loads((kept.directory / "result.json").read_text())
    assert (result["status"], result["exit_status"], result["finished"]) == ("running", None, None)
    assert "ended without a word" in (kept.directory / "index.html").read_text()


@pytest.mark.parametrize("rehearsal", [True, False])
def test_pages_say_rehearsal_when_it_was_one(tmp_path: Path, rehearsal: bool) -> None:
    kept = record(tmp_path, target={"rehearsal": rehearsal})
    kept.keep("12-identity-issuer", notebook())
    kept.save()
    for name in ("index.html", "12-identity-issuer.html"):
        content = (kept.directory / name).read_text()
        assert (">REHEARSAL<" in content) == rehearsal


def test_pages_load_nothing_and_escape_everything(tmp_path: Path) -> None:
    kept = record(tmp_path, target={"name": "<script>pi"}, values={"x": "<script>y"})
    wrong = outcome("<script>check", "fail")
    executed = notebook(
        {"output_type": "stream", "name": "stdout", "text": "<script>out"},
        shown({"type": "verdicts", "outcomes": [wrong]}, **{"text/plain": "<script>plain"}),
        failed(CheckError("<script>error")),
    )
    kept.update("12-identity-issuer", status="check-failed", **collect(executed))
    kept.keep("12-identity-issuer", executed)
    kept.finish("check-failed", 1)
    for page in kept.directory.glob("*.html"):
        content = page.read_text()
        assert "<script" not in content
        assert "&lt;script&gt;error" in content
        assert not re.search(r"(?:src|href)=\"(?:https?:)?//|@import|url\(", content)
    assert "<script>" not in kept.directory.name


def test_files_are_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = record(tmp_path)
    kept.save()
    before = (kept.directory / "result.json").read_text()

    def broken(self: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        kept.save()
    assert (kept.directory / "result.json").read_text() == before
    assert not [path for path in kept.directory.iterdir() if path.name.startswith(".")]


def test_links_between_notebooks_lead_to_pages_of_the_run(tmp_path: Path) -> None:
    kept = record(tmp_path)
    text = "[anchor](13-trust-anchor.ipynb) [control plane](15-control-plane.ipynb)"
    kept.keep("12-identity-issuer", notebook(text=text))
    page = (kept.directory / "12-identity-issuer.html").read_text()
    assert '<a href="13-trust-anchor.html">anchor</a>' in page
    assert "<a>control plane</a>" in page
