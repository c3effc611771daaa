"""The batch runner, on small notebooks of the test's own and without a cluster."""

from __future__ import annotations

import base64
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook import batch
from runbook.errors import GuardError, LineError, ParameterError, UsageError
from runbook.notebooks import NOTEBOOKS, find, select
from runbook.params import Params
from runbook.record import Record, Status, StepRecord
from runbook.runner import Runner

UID = "0b4b7e5c-1111-2222-3333-444455556666"


RESULT = """
from IPython.display import publish_display_data
check = dict.fromkeys(("id", "title", "expected", "seen", "why", "fix", "see", "linkerd"), "a")
check |= {"title": "a holds", "verdict": globals().get("verdict", "pass")}
result = {"type": "result", "checks": [check], "changed": globals().get("changed", 0)}
result |= {"undo": globals().get("undo", []), **globals().get("more", {})}
if not globals().get("unfinished"):
    publish_display_data({"application/vnd.linkerd-runbook+json": result})
"""
"""The last cell of a test's notebook; what is said before it changes what it says."""


HANDED = """
import base64, json
import numpy
from runbook.result import Data, Measure
from IPython.display import display, publish_display_data
picture = base64.b64encode(b"\\x89PNG\\r\\n\\x1a\\n" + bytes(60_000)).decode()
about = {"type": "figure", "name": "p99", "title": "p99", "alt": "it rises"}
publish_display_data({"image/png": picture, "application/vnd.linkerd-runbook+json": about})
display(Data("campaign.json", json.dumps({"n": list(range(100_000))})))
more = {"measures": [Measure("p99", numpy.float64(2.5), "ms").data()]}
"""
"""A notebook's code that shows a figure and hands over data."""


class FakeCluster:
    """As much of a cluster as the runner itself looks at."""

    name, uid, version, rehearsal = "fake", UID, "1.35.0+k3s1", True

    def find(self, api_version: str, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        token = base64.b64encode(b"hunter-of-snarks\n").decode()
        held = {"metadata": {"name": "extra", "namespace": "linkerd"}, "data": {"token": token}}
        return held if (kind, namespace, name) == ("Secret", "linkerd", "extra") else None

    def get(self, api_version: str, kind: str, name: str, namespace: str) -> dict[str, Any]:
        return self.find(api_version, kind, name, namespace) or {}


class Told:
    """Progress, remembered."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []
        self.cells: list[str] = []
        self.on_start: Callable[[], None] = lambda: None

    def started(self, step: StepRecord) -> None:
        self.lines.append(("started", step.notebook, step.status))
        self.on_start()

    def cell(self, step: StepRecord, cell: str) -> None:
        self.cells.append(cell)

    def proved(self, step: StepRecord, status: Status) -> None:
        self.lines.append(("proved", step.notebook, status))

    def ended(self, step: StepRecord) -> None:
        self.lines.append(("ended", step.notebook, step.status))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told
) -> Callable[..., tuple[Record, Path]]:
    """Give a function that runs code cells, one text a notebook, as the first notebooks."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setattr(batch, "source", lambda book: folder / f"{book.name}.ipynb")
    monkeypatch.setattr("runbook.cluster.connect", lambda params: FakeCluster())

    def go(*texts: str, resumed: Record | None = None, minutes: float = 0, **given: Any) -> Record:
        books = NOTEBOOKS[: len(texts)]
        for book, text in zip(books, texts, strict=True):
            (folder / f"{book.name}.ipynb").write_text(json.dumps(notebook(text)))
        runner = Runner(
            params=Params.parse(given),
            given=given,
            notebooks=books,
            output=tmp_path / "outputs",
            progress=told,
            minutes=minutes,
        )
        return runner.resume(resumed.directory) if resumed else runner.run()

    return go


def notebook(text: str) -> dict[str, Any]:
    def code(name: str, source: str, *tags: str) -> dict[str, Any]:
        return {
            "cell_type": "code",
            "id": name,
            "metadata": {"tags": list(tags)},
            "execution_count": None,
            "outputs": [],
            "source": source,
        }

    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    cells = [
        code("x-parameters", 'mode: str = "apply"', "parameters"),
        code("x-do", text),
        code("x-result", RESULT),
    ]
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": cells}


def executed(record: Record, number: int) -> str:
    return (record.directory / f"{NOTEBOOKS[number].name}.ipynb").read_text()


def files(record: Record) -> list[Path]:
    return [path for path in record.directory.rglob("*") if path.is_file()]


def raising(name: str) -> str:
    return f'from runbook.errors import {name}\nraise {name}("it did not work", fix="mend it")'


def test_runs_in_order_and_keeps_a_record(run: Callable[..., Record], told: Told) -> None:
    record = run("1 + 1", "print(mode)", mode="plan")
    assert (record.status, record.exit_status) == ("ok", 0)
    assert [line[:2] for line in told.lines] == [
        (what, book.name) for book in NOTEBOOKS[:2] for what in ("started", "ended")
    ]
    result = json.loads((record.directory / "result.json").read_text())
    assert [step["status"] for step in result["steps"]] == ["ok", "ok"]
    assert all(step["seconds"] > 0 for step in result["steps"])
    assert '"plan\\n"' in executed(record, 1), "the parameter reached the kernel"
    assert [cell for cell in told.cells if cell[:2] == "x-"] == [
        *("x-parameters", "x-do", "x-result") * 2
    ]


def test_injects_what_was_given_and_the_guarded_uid(run: Callable[..., Record]) -> None:
    record = run(
        "print(sorted(set(dir()) & {'mode', 'timeout', 'line', 'cluster_uid'}))", timeout=5
    )
    text = executed(record, 0)
    assert "['cluster_uid', 'mode', 'timeout']" in text
    assert f'cluster_uid = \\"{UID}\\"' in text


def test_figures_and_data_of_a_kernel_are_kept(run: Callable[..., Record]) -> None:
    record = run(HANDED, "1", mode="plan")
    step = json.loads((record.directory / "result.json").read_text())["steps"][0]
    (figure,), (data,) = step["files"]["figures"], step["files"]["data"]
    assert (figure, data) == ("figures/00-p99.png", "data/00-campaign.json")
    assert (record.directory / figure).read_bytes() == b"\x89PNG\r\n\x1a\n" + bytes(60_000)
    assert len(json.loads((record.directory / data).read_bytes())["n"]) == 100_000
    assert [measure["value"] for measure in step["measures"]] == [2.5]
    kept = executed(record, 0)
    assert f'"file": "{data}"' in kept
    assert len(kept) < 100_000


def test_a_notebook_knows_where_the_records_are(run: Callable[..., Record], tmp_path: Path) -> None:
    record = run("import os\nprint('there:', os.environ['RUNBOOK_OUTPUT'])", mode="plan")
    assert record.status == "ok"
    assert f"there: {tmp_path / 'outputs'}" in executed(record, 0)


def test_sources_are_only_read(run: Callable[..., Record], tmp_path: Path) -> None:
    run("print('hello')")
    source = tmp_path / "notebooks" / f"{NOTEBOOKS[0].name}.ipynb"
    assert json.loads(source.read_text()) == notebook("print('hello')")


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("CheckError", "check-failed", 1),
        ("LineError", "failed", 2),
        ("WaitError", "failed", 3),
        ("UnreachableError", "failed", 4),
    ],
)
def test_stops_at_the_first_failure(
    run: Callable[..., Record], told: Told, name: str, status: str, code: int
) -> None:
    record = run("1", raising(name), "2")
    assert (record.status, record.exit_status) == (status, code)
    assert [step.status for step in record.steps] == ["ok", status, "not-run"]
    assert record.steps[1].error == {
        **dict.fromkeys(("why", "see"), ""),
        **{"name": name, "what": "it did not work", "fix": "mend it"},
    }
    assert told.lines[-1] == ("ended", NOTEBOOKS[2].name, "not-run")
    assert not (record.directory / f"{NOTEBOOKS[2].name}.ipynb").exists()


def test_foreign_exception_is_a_failed_step(run: Callable[..., Record]) -> None:
    record = run("1 / 0")
    assert (record.status, record.exit_status) == ("failed", 3)
    assert record.steps[0].error["what"] == "division by zero"
    assert str(Path(batch.__file__).parent.parent) not in executed(record, 0)


def test_dead_kernel_is_infrastructure(run: Callable[..., Record]) -> None:
    record = run("import os, sys\nos.write(2, b'last words\\n')\nos._exit(9)", "1")
    assert (record.status, record.exit_status) == ("failed", 4)
    assert "the kernel ended" in record.steps[0].error["what"]
    assert "last words" in record.steps[0].error["why"]
    assert [step.status for step in record.steps] == ["failed", "not-run"]


def test_interrupt_is_recorded(run: Callable[..., Record], told: Told, tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    def interrupt_when_begun() -> None:
        while not begun.exists():
            if done.wait(0.02):
                return
        os.kill(os.getpid(), signal.SIGINT)

    done = threading.Event()
    watcher = threading.Thread(target=interrupt_when_begun)
    told.on_start = watcher.start
    text = f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(60)"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        record = run(text, "1")
    finally:
        done.set()
        watcher.join()
        signal.signal(signal.SIGINT, before)
    assert (record.status, record.exit_status) == ("interrupted", 130)
    assert [step.status for step in record.steps] == ["interrupted", "not-run"]
    result = json.loads((record.directory / "result.json").read_text())
    assert (result["status"], result["exit_status"]) == ("interrupted", 130)
    assert executed(record, 0)


def test_guard_comes_before_any_kernel(
    run: Callable[..., Record], told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(params: Params) -> None:
        raise GuardError("another cluster answers")

    monkeypatch.setattr("runbook.cluster.connect", refuse)
    with pytest.raises(GuardError):
        run("1")
    assert told.lines == []
    assert not (tmp_path / "outputs").exists()


def test_line_is_refused_before_any_kernel(
    run: Callable[..., Record], told: Told, tmp_path: Path
) -> None:
    with pytest.raises(LineError, match="too new"):
        run("1", line="stable-2.11")
    assert told.lines == []
    assert not (tmp_path / "outputs").exists()
    assert run("1", line="stable-2.11", mode="verify").status == "ok"


def test_secret_references_never_reach_the_record(
    run: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_TEST_SECRET", "correct-horse-battery")
    text = "import os\nprint(os.environ['RUNBOOK_TEST_SECRET'])"
    record = run(text, values={"secretish": "env:RUNBOOK_TEST_SECRET"})
    for file in files(record):
        assert "correct-horse-battery" not in file.read_text(), file.name
    assert "env:RUNBOOK_TEST_SECRET" in (record.directory / "result.json").read_text()


def test_local_paths_never_reach_the_record(run: Callable[..., Record], tmp_path: Path) -> None:
    given = {"kubeconfig": str(tmp_path / "config"), "chart_source": str(tmp_path / "charts")}
    record = run("print(kubeconfig, chart_source)", **given)
    for file in files(record):
        assert str(tmp_path) not in file.read_text(), file.name
    assert "<kubeconfig> <chart_source>" in executed(record, 0)


def test_users_kernel_and_start_up_files_are_left_out(
    run: Callable[..., Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = tmp_path / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    spec = {"argv": ["/bin/false"], "display_name": "x", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("surprise = 1")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    record = run("print('surprise' in globals())")
    assert record.status == "ok"
    assert "False" in executed(record, 0)
    assert os.environ["IPYTHONDIR"] == str(tmp_path / "ipython")


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        ({"last": "16"}, ["00", "10", "11", "12", "13", "14", "15", "16"]),
        ({"first": "15"}, ["15", "16", "20", "21", "22", "23", "24", "25"]),
        ({"last": "10-cert-manager-ca"}, ["00", "10"]),
        ({"only": ["16", "00"]}, ["00", "16"]),
        ({"first": "12", "only": ["11", "12"]}, ["12"]),
        ({"only": ["12-14"]}, ["12", "13", "14"]),
        ({"only": ["00", "60-62"]}, ["00", "60", "61", "62"]),
        ({"only": ["61-bench-latency"]}, ["61"]),
        ({"first": "25", "also": ["60-61", "63"]}, ["25", "60", "61", "63"]),
        ({"first": "15", "last": "15", "also": ["61"]}, ["15", "61"]),
        ({"only": ["15"], "also": ["60"]}, ["15", "60"]),
    ],
)
def test_select(arguments: dict[str, Any], numbers: list[str]) -> None:
    assert [book.name[:2] for book in select(**arguments)] == numbers


def test_only_what_is_asked_for_by_name_runs_when_asked() -> None:
    asked = [book for book in NOTEBOOKS if book.asked]
    meshing = ["30", "31", "32", "40", "41", "42", "43", "50", "51"]
    assert [book.name[:2] for book in asked] == [*meshing, "60", "61", "62", "63", "64"]
    assert not set(asked) & set(select())
    with pytest.raises(UsageError, match="no notebook is left to run") as caught:
        select(first="60")
    assert "--only 60-64" in caught.value.fix


@pytest.mark.parametrize("name", ["17-19", "62-60", "70-79"])
@pytest.mark.parametrize("option", ["only", "also"])
def test_a_range_without_any_notebook_is_refused_and_does_not_mean_all(
    option: str, name: str
) -> None:
    with pytest.raises(UsageError, match=f"there is no notebook in {name}"):
        select(**{option: [name]})


def test_select_refuses_nothing() -> None:
    with pytest.raises(UsageError, match="no notebook is left"):
        select(first="16", last="00")


def test_find_suggests() -> None:
    with pytest.raises(UsageError) as caught:
        find("control-plain")
    assert "did you mean 15-control-plane?" in caught.value.fix


def test_a_secret_kept_with_a_final_newline_is_found_in_what_a_notebook_prints(run: Any) -> None:
    record = run(
        "print('token', 'hunter-of-' + 'snarks')", values={"a": "secret:linkerd/extra/token"}
    )
    written = b"".join(path.read_bytes() for path in files(record))
    assert b"token" in written
    assert b"hunter-of-snarks" not in written


@pytest.mark.parametrize("reference", ["secret:linkerd/extra/none", "secret:linkerd/none/token"])
def test_a_reference_that_leads_nowhere_ends_the_run_before_it_starts(
    run: Any, told: Told, reference: str
) -> None:
    with pytest.raises(ParameterError, match="leads nowhere"):
        run("print(1)", values={"a": reference})
    assert told.lines == []


def test_success_means_that_checks_ran_and_passed(run: Callable[..., Record]) -> None:
    record = run("unfinished = True")
    assert (record.status, record.exit_status) == ("failed", 3)
    assert "without its result" in record.steps[0].error["what"]
    record = run("verdict = 'fail'")
    assert (record.status, record.exit_status) == ("check-failed", 1)
    assert record.steps[0].error["what"] == "1 check failed: a holds"


def test_time_for_the_whole_run_is_kept(run: Callable[..., Record]) -> None:
    record = run("import time\ntime.sleep(60)", "1", minutes=0.03)
    assert (record.status, record.exit_status) == ("failed", 4)
    assert record.steps[0].error["why"] == "the time for the whole run was over"
    assert [step.status for step in record.steps] == ["failed", "not-run"]


@pytest.mark.parametrize("resumed", [False, True])
def test_terminated_between_notebooks_is_recorded(
    run: Callable[..., Record], told: Told, resumed: bool
) -> None:
    before = run("1", raising("CheckError")) if resumed else None
    told.on_start = lambda: os.kill(os.getpid(), signal.SIGTERM)
    handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        record = run("1", "1", resumed=before)
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert (record.status, record.exit_status) == ("interrupted", 130)
    assert record.steps[0].status == ("ok" if resumed else "interrupted")


COUNT = """
import pathlib
with pathlib.Path({path!r}).open("a") as file:
    file.write(mode)
changed, undo = (1, ["undo it"]) if mode == "apply" else (0, [])
"""


def test_resume_proves_what_was_done_and_goes_on(
    run: Callable[..., Record], told: Told, tmp_path: Path
) -> None:
    done = COUNT.format(path=str(tmp_path / "done"))
    first = run(done, "changed = 2\nundo = ['undo two']\n" + raising("WaitError"), "1")
    kept = {path: path.read_bytes() for path in first.directory.rglob("*.ipynb")}
    told.lines.clear()
    second = run(done, "changed = 3\nundo = ['undo three']", "1", resumed=first)
    assert second.directory == first.directory
    assert (second.status, second.exit_status) == ("ok", 0)
    assert (tmp_path / "done").read_text() == "applyverify", "looked at, not done again"
    assert [line[0] for line in told.lines] == [
        *("started", "proved", "ended", "started", "ended", "started", "ended")
    ]
    assert {path: path.read_bytes() for path in kept} == kept, "the first attempt is untouched"

    result = json.loads((second.directory / "result.json").read_text())
    assert [attempt["status"] for attempt in result["attempts"]] == ["failed", "ok"]
    proved, again, new = result["steps"]
    assert (proved["status"], proved["attempt"], proved["changed"]) == ("ok", 1, 1)
    assert [proof["status"] for proof in proved["proofs"]] == ["ok"]
    assert (again["status"], again["attempt"]) == ("ok", 2)
    assert again["earlier"][0]["status"] == "failed"
    assert again["earlier"][0]["error"]["name"] == "WaitError"
    assert (new["attempt"], new["earlier"]) == (2, [])
    for step in result["steps"]:
        for found in (step, *step["proofs"], *step["earlier"]):
            for name in found["files"].values():
                assert (second.directory / name).is_file(), name


def test_resume_does_again_what_no_longer_holds(run: Callable[..., Record], told: Told) -> None:
    gone = "verdict = 'fail' if mode == 'verify' else 'pass'\nchanged = 1"
    first = run(gone, raising("CheckError"))
    second = run(gone, "1", resumed=first)
    assert second.status == "ok"
    step = second.steps[0]
    assert (step.status, step.attempt, step.changed) == ("ok", 2, 2)
    assert step.proofs[0]["status"] == "check-failed"
    assert ("proved", step.notebook, "check-failed") in told.lines


@pytest.mark.parametrize("mode", ["plan", "verify"])
def test_resume_repeats_a_mode_that_only_reads(
    run: Callable[..., Record], tmp_path: Path, mode: str
) -> None:
    done = COUNT.format(path=str(tmp_path / "done"))
    first = run(done, raising("CheckError"), mode=mode)
    assert run(done, "1", resumed=first, mode=mode).status == "ok"
    assert (tmp_path / "done").read_text() == mode * 2


def test_resume_refuses_another_cluster(
    run: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(raising("CheckError"))
    before = {path: path.read_bytes() for path in files(first)}
    monkeypatch.setattr(FakeCluster, "uid", UID.replace("0b4b", "ffff"))
    with pytest.raises(GuardError, match="another cluster"):
        run("1", resumed=first)
    assert {path: path.read_bytes() for path in files(first)} == before


def test_resume_reads_what_a_killed_notebook_had_said(run: Callable[..., Record]) -> None:
    first = run("changed = 4\nundo = ['undo four']", "1")
    file = first.directory / "result.json"
    result = json.loads(file.read_text())
    result["steps"][0] |= {"status": "running", "changed": 0, "undo": [], "checks": []}
    result["steps"][1]["status"] = "not-run"
    file.write_text(json.dumps(result | {"status": "running"}))
    second = run("undo = ['undo nothing']", "1", resumed=first)
    step = second.steps[0]
    assert (step.status, step.changed) == ("ok", 4)
    assert step.undo == ["undo nothing", "undo four"]
    assert step.earlier[0]["status"] == "interrupted"
