"""Records: what is read from executed notebooks, what is kept, and what never is."""

from __future__ import annotations

import base64
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from executed_samples import PNG, data, failed, figure, finished, notebook, outcome, shown

from runbook.archive.copying import Place, copy
from runbook.archive.manifest import parse
from runbook.archive.verify import Finding, verify
from runbook.errors import CheckError, UsageError
from runbook.executed import collect
from runbook.record import Record, StepRecord, load_steps, read_result
from runbook.scrub import scrubber
from runbook.secrets import Redactor

KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIGt3\n-----END EC PRIVATE KEY-----\n"
TARGET = {"name": "pi", "uid": "0b4b7e5c-1111-2222-3333-444455556666", "version": "1.35.0+k3s1"}


def record(output: Path, *, target: dict[str, Any] | None = None, **parameters: Any) -> Record:
    return Record.begin(
        output,
        given=parameters,
        target={**TARGET, "rehearsal": False, **(target or {})},
        parameters={"mode": "apply", "line": "edge-2.20", **parameters},
        steps=[StepRecord("12-identity-issuer", "Issue"), StepRecord("13-trust-anchor", "Read")],
        scrub=scrubber(Redactor(["s3cret-value"]).data, {"/home/someone": "~"}),
    )


def keep(record: Record, executed: dict[str, Any], log: str = "") -> None:
    """Keep the first notebook, as the batch does."""
    name = "12-identity-issuer"
    record.draft(name, executed)
    record.update(name, attempt=record.attempt, files=record.files(name))
    record.keep(name, log)


def test_nothing_kept_holds_a_secret_or_a_local_path(tmp_path: Path) -> None:
    kept = record(tmp_path, values={"password": "hidden-word", "note": "s3cret-value"})
    text = f"{KEY} s3cret-value /home/someone/.kube/config"
    output = shown({"type": "step", "note": text}, **{"text/html": text, "text/plain": text})
    executed = notebook(output, failed(RuntimeError(text)), text=text)
    kept.update("12-identity-issuer", status="failed", **collect(executed))
    keep(kept, executed, log=text)
    kept.finish("failed", 3)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {file.name for file in files} > {
        *("12-identity-issuer.ipynb", "12-identity-issuer.html", "12-identity-issuer.log"),
        *("index.html", "result.json", "run.json", "MANIFEST", "CHAIN"),
    }
    for file in files:
        content = file.read_text()
        for secret in ("PRIVATE KEY", "MHcCAQEEIGt3", "s3cret-value", "hidden-word", "/home/some"):
            assert secret not in content, f"{secret!r} in {file.name}"


def test_result_says_what_happened(tmp_path: Path) -> None:
    kept = record(tmp_path)
    checks = [outcome("a", "pass"), outcome("b", "warn")]
    kept.update("12-identity-issuer", status="ok", checks=checks, changed=2, seconds=1.5)
    keep(kept, notebook())
    kept.finish("ok", 0)
    result = json.loads((kept.directory / "result.json").read_text())
    assert result["run"] == kept.directory.name
    assert re.fullmatch(r"\d{8}-\d{6}-pi-[0-9a-f]{4}", result["run"])
    assert (result["schema"], result["status"], result["exit_status"]) == (2, "ok", 0)
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
    keep(kept, notebook())
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
    keep(kept, executed)
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
    keep(kept, notebook(text=text))
    page = (kept.directory / "12-identity-issuer.html").read_text()
    assert '<a href="13-trust-anchor.html">anchor</a>' in page
    assert "<a>control plane</a>" in page


def test_attempts_keep_files_of_their_own(tmp_path: Path) -> None:
    first = record(tmp_path)
    keep(first, notebook(finished(), text="# First"))
    first.update("12-identity-issuer", status="check-failed")
    first.finish("check-failed", 1)
    before = {path: path.read_bytes() for path in first.directory.glob("12-*")}
    second = resumed(first)
    assert verify(tmp_path) == [
        Finding(second.id, "", "note", "resumed, and not sealed since: running or killed")
    ]
    second.put(second.step("12-identity-issuer").again())
    keep(second, notebook(finished(), text="# Second"))
    second.finish("ok", 0)
    assert verify(tmp_path) == []
    assert {path: path.read_bytes() for path in before} == before
    result = read_result(second.directory)
    assert result["status"] == "ok"
    assert [attempt["number"] for attempt in result["attempts"]] == [1, 2]
    step = result["steps"][0]
    assert step["files"]["html"] == "attempt-2/12-identity-issuer.html"
    assert "Second" in (second.directory / step["files"]["html"]).read_text()
    assert step["earlier"][0]["files"]["html"] == "12-identity-issuer.html"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 1}', '{"schema": 99}'])
def test_a_record_that_cannot_be_read_is_explained(tmp_path: Path, content: str) -> None:
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(UsageError):
        load_steps(tmp_path)


# --- figures and data -------------------------------------------------------------------------

BOOK = "12-identity-issuer"


def test_figures_and_data_become_files(tmp_path: Path) -> None:
    kept = record(tmp_path)
    text = json.dumps({"node": "one", "n": [1, 2, 3], "note": "s3cret-value in /home/someone"})
    keep(kept, notebook(figure("p99"), data("campaign.json", text)))
    kept.finish("ok", 0)
    files = read_result(kept.directory)["steps"][0]["files"]
    assert files == {
        "notebook": f"{BOOK}.ipynb",
        "html": f"{BOOK}.html",
        "figures": ["figures/12-p99.png"],
        "data": ["data/12-campaign.json"],
    }
    assert (kept.directory / "figures/12-p99.png").read_bytes() == PNG + b"pixels"
    written = (kept.directory / "data/12-campaign.json").read_text()
    assert json.loads(written) == json.loads(text) | {"note": "[redacted] in ~"}
    page = (kept.directory / f"{BOOK}.html").read_text()
    assert '<a href="data/12-campaign.json">campaign.json' in page
    assert 'alt="what p99 shows"' in page
    index = (kept.directory / "index.html").read_text()
    assert '<a href="figures/12-p99.png">12-p99.png</a>' in index
    assert '<a href="data/12-campaign.json">12-campaign.json</a>' in index


def test_data_is_in_a_record_once(tmp_path: Path) -> None:
    kept = record(tmp_path)
    keep(kept, notebook(data("campaign.json", '{"word":"only-here"}')))
    kept.finish("ok", 0)
    holding = [path for path in kept.directory.rglob("*.*") if b"only-here" in path.read_bytes()]
    assert holding == [kept.directory / "data/12-campaign.json"]


def test_figures_and_data_are_sealed_and_copied(tmp_path: Path) -> None:
    kept = record(tmp_path / "outputs")
    keep(kept, notebook(figure("p99"), data("campaign.json", "{}")))
    kept.finish("ok", 0)
    sealed = parse((kept.directory / "MANIFEST").read_bytes())
    assert sealed is not None
    assert {"figures/12-p99.png", "data/12-campaign.json"} < sealed.files.keys()
    copy(kept.directory, Place(str(tmp_path / "copy")))
    assert (tmp_path / "copy" / kept.id / "data/12-campaign.json").read_text() == "{}"
    (kept.directory / "figures/12-p99.png").write_bytes(PNG)
    (found,) = verify(tmp_path / "outputs")
    assert (found.file, found.problem) == ("figures/12-p99.png", "was changed")


def test_attempts_keep_figures_of_their_own(tmp_path: Path) -> None:
    first = record(tmp_path)
    keep(first, notebook(figure("p99", PNG + b"first"), data("campaign.json", "[1]")))
    first.update(BOOK, status="check-failed")
    first.finish("check-failed", 1)
    second = resumed(first)
    second.put(second.step(BOOK).again())
    keep(second, notebook(figure("p99", PNG + b"second"), data("campaign.json", "[2]")))
    second.finish("ok", 0)
    assert verify(tmp_path) == []
    step = read_result(second.directory)["steps"][0]
    assert step["files"]["figures"] == ["attempt-2/figures/12-p99.png"]
    assert step["earlier"][0]["files"]["data"] == ["data/12-campaign.json"]
    assert (second.directory / "data/12-campaign.json").read_text() == "[1]"
    assert (second.directory / "attempt-2/data/12-campaign.json").read_text() == "[2]"
    page = (second.directory / f"attempt-2/{BOOK}.html").read_text()
    assert '<a href="data/12-campaign.json">' in page  # beside it, in attempt-2
    (second.directory / "data/12-campaign.json").write_text("[3]")
    assert [finding.file for finding in verify(tmp_path)] == ["data/12-campaign.json"]


def test_what_an_earlier_attempt_made_is_proven_while_the_run_goes_on(tmp_path: Path) -> None:
    first = record(tmp_path)
    keep(first, notebook(figure("p99")))
    first.finish("interrupted", 130)
    second = resumed(first)
    (second.directory / "figures/12-p99.png").write_bytes(PNG + b"other")
    wrong = [finding.file for finding in verify(tmp_path) if finding.severity == "fail"]
    assert wrong == ["figures/12-p99.png"]


def test_a_proof_has_its_own_figures(tmp_path: Path) -> None:
    first = record(tmp_path)
    keep(first, notebook(figure("p99")))
    first.update(BOOK, status="ok")
    first.finish("interrupted", 130)
    second = resumed(first)
    second.draft(BOOK, notebook(figure("p99")))
    proof = {"attempt": 2, "status": "ok", "seconds": 1.0, "files": second.files(BOOK)}
    second.update(BOOK, proofs=[proof])
    second.keep(BOOK)
    second.finish("ok", 0)
    step = read_result(second.directory)["steps"][0]
    assert step["files"]["figures"] == ["figures/12-p99.png"]
    assert step["proofs"][0]["files"]["figures"] == ["attempt-2/figures/12-p99.png"]


def test_a_record_with_figures_and_data_stays_small(tmp_path: Path) -> None:
    chance = random.Random(1)
    text = json.dumps({"us": [chance.randrange(100, 99999) for _ in range(73_000)]})
    assert 500_000 < len(text) < 600_000
    pictures = [PNG + chance.randbytes(60_000) for _ in range(10)]
    shown = [figure(f"chart-{number}", content) for number, content in enumerate(pictures)]
    kept = record(tmp_path)
    keep(kept, notebook(*shown, data("campaign.json", text)))
    kept.finish("ok", 0)
    sizes = [path.stat().st_size for path in kept.directory.rglob("*") if path.is_file()]
    assert sum(sizes) < 3_000_000
    for number, content in enumerate(pictures):
        assert (kept.directory / f"figures/12-chart-{number}.png").read_bytes() == content
        assert base64.b64encode(content) in (kept.directory / f"{BOOK}.html").read_bytes()


def resumed(first: Record) -> Record:
    """Begin a second attempt at a run that has ended."""
    return Record.resume(
        first.directory,
        given={},
        attempts=read_result(first.directory)["attempts"],
        target={**TARGET, "rehearsal": False},
        parameters={"mode": "apply", "line": "edge-2.20"},
        steps=load_steps(first.directory),
        scrub=lambda value: value,
    )
