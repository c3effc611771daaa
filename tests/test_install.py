"""The install path from end to end: every notebook, real kernels, on a rehearsal cluster."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_place import PARAMS, ROOT, Place

from runbook import rehearsal
from runbook.cluster import connect
from runbook.notebooks import select
from runbook.params import Params

pytestmark = pytest.mark.timeout(280)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A cluster on which plan, apply, apply and verify are run once for this module."""
    kept = Place(tmp_path_factory.mktemp("install"))
    kept.start()
    yield kept
    rehearsal.down(kept.rehearsal)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Place]:
    """A cluster of a test's own."""
    kept = Place(tmp_path)
    yield kept
    rehearsal.down(kept.rehearsal)


@pytest.fixture(scope="module")
def runs(place: Place) -> dict[str, tuple[dict[str, Any], str]]:
    """Plan on the fresh cluster, apply, apply again, verify."""
    return {
        "plan": place.run("--mode", "plan"),
        "apply": place.run(),
        "again": place.run(),
        "verify": place.run("--mode", "verify"),
    }


Runs = dict[str, tuple[dict[str, Any], str]]
MODES = pytest.mark.parametrize("name", ["plan", "apply", "again", "verify"])


@MODES
def test_every_notebook_ends_well(runs: Runs, name: str) -> None:
    result, printed = runs[name]
    assert (result["status"], result["exit_status"]) == ("ok", 0)
    assert [step["notebook"] for step in result["steps"]] == [book.name for book in select()]
    assert {step["status"] for step in result["steps"]} == {"ok"}
    assert result["checks"]["fail"] == 0
    assert re.search(r"outputs/.*/index\.html$", printed.strip())


@MODES
def test_one_line_a_notebook(runs: Runs, name: str) -> None:
    _, printed = runs[name]
    lines = [line for line in printed.splitlines() if re.match(r"  \d\d-", line)]
    assert [line.split()[0] for line in lines] == [book.name for book in select()]
    assert all(re.search(r"\d+\.\d s$", line) for line in lines)


def test_plan_changes_nothing(runs: Runs) -> None:
    result, printed = runs["plan"]
    assert result["changed"] == 0
    assert sum(step["planned"] for step in result["steps"]) > 0
    assert "nothing applied" in printed
    first = runs["apply"][0]
    changing = {step["notebook"] for step in first["steps"] if step["changed"]}
    by_default = {book.name for book in select() if book.changes} - {"25-tracing"}
    assert by_default == changing


def test_second_run_has_nothing_to_change(runs: Runs) -> None:
    result, printed = runs["again"]
    assert result["changed"] == 0
    assert [step["planned"] for step in result["steps"]] == [0] * len(select())
    assert "nothing to change" in printed


def test_apply_says_how_to_undo(runs: Runs) -> None:
    steps = {step["notebook"]: step for step in runs["apply"][0]["steps"]}
    assert "kubectl delete namespace linkerd" in steps["11-linkerd-namespace"]["undo"][0]
    assert any("linkerd-control-plane" in line for line in steps["15-control-plane"]["undo"])


def test_verify_reads_what_apply_left(runs: Runs) -> None:
    checks = [check for step in runs["verify"][0]["steps"] for check in step["checks"]]
    compared = {check["linkerd"] for check in checks if check["linkerd"]}
    assert "issuer cert is issued by the trust anchor" in compared
    assert len(compared) >= 15


def test_records_hold_no_private_key_and_no_local_path(runs: Runs, place: Place) -> None:
    assert runs
    files = [path for path in place.output.rglob("*") if path.is_file()]
    whole = len(("result.json", "run.json", "index.html", "MANIFEST"))
    kept = [path for record in place.records() for path in record.rglob("*")]
    assert len(kept) == 4 * (2 * len(select()) + whole)
    token = re.search(r'"token": "(\w+)"', (place.rehearsal / "kubeconfig").read_text())[1]
    for path in files:
        content = path.read_bytes()
        for word in ("PRIVATE KEY", token, str(ROOT), str(place.rehearsal), f"{Path.home()}/"):
            assert word.encode() not in content, f"{word!r} in {path.name}"


def test_pages_say_rehearsal(runs: Runs, place: Place) -> None:
    assert runs
    pages = [page for record in place.records() for page in record.rglob("*.html")]
    assert len(pages) == 4 * (len(select()) + 1)
    for page in pages:
        assert ">REHEARSAL<" in page.read_text(), page.name


def test_nothing_is_left_where_it_was_run(runs: Runs, place: Place) -> None:
    assert runs
    assert list(place.work.iterdir()) == []


def test_sources_are_untouched(runs: Runs) -> None:
    assert runs
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        assert not any(cell.get("outputs") for cell in cells)


def test_papermill_alone(runs: Runs, place: Place, tmp_path: Path) -> None:
    assert runs
    source = ROOT / "notebooks" / "12-identity-issuer.ipynb"
    command = [sys.executable, "-m", "papermill", str(source), str(tmp_path / "out.ipynb")]
    done = subprocess.run(
        [*command, "-f", str(PARAMS)],
        env=place.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in (tmp_path / "out.ipynb").read_text()


def test_wrong_uid_touches_nothing(place: Place) -> None:
    before = len(list(place.output.iterdir())) if place.output.exists() else 0
    uid = "00000000-1111-2222-3333-444444444444"
    done = subprocess.run(
        place.command("-p", f"cluster_uid={uid}"),
        env=place.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "fix:" in done.stderr
    assert uid in done.stderr
    after = len(list(place.output.iterdir())) if place.output.exists() else 0
    assert before == after


def test_missing_ca_is_a_failed_check(fresh: Place) -> None:
    fresh.start()
    result, _ = fresh.run("-p", "create_ca=false", "--only", "10,11", status=1)
    assert [step["status"] for step in result["steps"]] == ["check-failed", "not-run"]
    assert result["steps"][0]["error"]["name"] == "CheckError"
    assert result["steps"][0]["error"]["fix"]


def test_absent_chart_is_found_before_helm_is_asked(fresh: Place, tmp_path: Path) -> None:
    fresh.start()
    nowhere = tmp_path / "no-charts"
    result, _ = fresh.run("--only", "11,14", "-p", f"chart_source={nowhere}", status=1)
    failed = result["steps"][1]
    assert failed["status"] == "check-failed"
    assert "linkerd-crds" in failed["error"]["what"]
    assert "chart_source" in failed["error"]["fix"]


def test_missing_issuer_is_a_failed_step(fresh: Place) -> None:
    fresh.start()
    result, _ = fresh.run("--mode", "verify", "--only", "13", status=3)
    assert result["steps"][0]["error"]["name"] == "CertificateError"
    assert "12-identity-issuer" in result["steps"][0]["error"]["fix"]


@pytest.mark.parametrize("where", ["between notebooks", "inside helm install"])
def test_killed_run_is_taken_up_again(fresh: Place, where: str) -> None:
    fresh.start()
    cluster = connect(Params(kubeconfig=str(fresh.rehearsal / "kubeconfig")))
    with subprocess.Popen(
        fresh.command(), env=fresh.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if line.startswith("  14-"):  # printed when 14 has ended: 15 is about to begin
                break
        while where == "inside helm install" and process.poll() is None:
            if any(cluster.list("v1", "Secret", "linkerd", selector="name=linkerd-control-plane")):
                break
        process.kill()
    (killed,) = fresh.records()
    assert json.loads((killed / "result.json").read_text())["status"] == "running"
    result, _ = fresh.run()
    assert result["status"] == "ok"
    result, _ = fresh.run()
    assert result["changed"] == 0


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_run_and_its_cluster(
    fresh: Place, tmp_path: Path, sent: signal.Signals
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {**fresh.environment, "TMPDIR": str(scratch)}
    with subprocess.Popen(
        fresh.command(), env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if line.startswith("  00-"):
                break
        process.send_signal(sent)
        rest = process.stdout.read()
        assert process.wait(60) == 130, rest
    (interrupted,) = fresh.records()
    result = json.loads((interrupted / "result.json").read_text())
    assert (result["status"], result["exit_status"]) == ("interrupted", 130)
    assert not list(scratch.glob("runbook-rehearsal-*")), "the temporary cluster is gone"


@pytest.mark.parametrize(
    ("line", "kubernetes"),
    [("stable-2.11", "1.24"), ("stable-2.14", "1.35"), ("edge-2.19", "1.35")],
)
def test_other_release_lines(fresh: Place, line: str, kubernetes: str) -> None:
    fresh.start(kubernetes)
    jaeger = str(line.startswith("stable")).lower()  # the lines that have the extension
    given = ("-p", f"line={line}", "-p", f"tracing={jaeger}")
    planned, _ = fresh.run(*given, "--mode", "plan")
    assert planned["changed"] == 0
    applied, _ = fresh.run(*given)
    assert applied["changed"] == sum(step["planned"] for step in planned["steps"])
    again, _ = fresh.run(*given)
    assert again["changed"] == 0
