"""The state of every step: true on a fresh cluster, after the install, and when things break."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runbook import overview, rehearsal
from runbook.checks import Outcome, Unread
from runbook.cluster import Cluster, connect
from runbook.errors import GuardError, ParameterError, RehearsalError, UnreachableError
from runbook.notebooks import INDEX, NOTEBOOKS, find, select, source
from runbook.overview import Finding, State, judge, show_steps
from runbook.params import Params
from runbook.show import MEDIA_TYPE

ROOT = Path(__file__).parent.parent
GIVEN = yaml.safe_load((ROOT / "params" / "rehearsal.yaml").read_text(encoding="utf-8"))
DONE, NOT_YET = State("done", ""), State("not yet", "")
Forms = dict[str, Any]


def missing(notebook: str, what: str = "it") -> Outcome:
    return Outcome(
        "x", what, "fail", expected=what, seen="not found", fix=f"run notebook {notebook}"
    )


def wrong(title: str = "the key fits", fix: str = "") -> Outcome:
    return Outcome("x", title, "fail", seen="it does not", fix=fix)


@pytest.mark.parametrize(
    ("problems", "word", "why"),
    [
        ([missing("12-identity-issuer", "the Secret")], "not yet", "not there: the Secret"),
        ([missing("11-linkerd-namespace")], "not yet", "needs 11"),
        (
            [missing("11-linkerd-namespace"), missing("10-cert-manager-ca")],
            "not yet",
            "needs 10, 11",
        ),
        (
            [missing("11-linkerd-namespace"), missing("12-identity-issuer", "the Secret")],
            "not yet",
            "not there: the Secret",
        ),
        ([missing("00-preflight", "a")], "needs attention", "a: not found"),  # though 00 is done
        ([wrong()], "needs attention", "the key fits: it does not"),
        (
            [missing("11-linkerd-namespace"), wrong()],
            "needs attention",
            "the key fits: it does not",
        ),
        (
            [wrong(fix="run notebook 12-identity-issuer")],
            "needs attention",
            "the key fits: it does not",
        ),
        ([wrong(fix="run notebook 11-linkerd-namespace")], "not yet", "needs 11"),
        ([Unread("x", "may not list pods", "fail")], "cannot tell", "may not list pods"),
        ([Unread("x", "y", "fail"), missing("11-linkerd-namespace")], "not yet", "needs 11"),
    ],
)
def test_what_failed_decides(problems: list[Outcome], word: str, why: str) -> None:
    before = {
        "00-preflight": DONE,
        "10-cert-manager-ca": State("needs attention", ""),
        "11-linkerd-namespace": NOT_YET,
    }
    assert judge(find("12"), Finding(problems=problems), before) == State(word, why)


def test_a_step_is_done_when_its_checks_pass_and_its_plan_is_empty() -> None:
    passed = [Outcome("a", "A", "pass"), Outcome("b", "B", "skip")]
    warned = [*passed, Outcome("c", "C", "warn", seen="old")]
    assert judge(find("11"), Finding(passed), {}) == State("done", "1 check passed")
    told = judge(find("11"), Finding(warned), {})
    assert told == State("done", "1 check passed, 1 warned: C: old")
    told = judge(find("11"), Finding(passed, pending=2), {})
    assert told.word == "needs attention"
    assert "its plan holds 2 changes" in told.why


def test_how_to_run_it_is_said_where_that_is_more_than_running_it() -> None:
    problem = missing("10-cert-manager-ca with create_ca: true", "the CA")
    told = judge(find("10"), Finding(problems=[problem]), {})
    assert told == State("not yet", "not there: the CA; run it with create_ca: true")


def test_a_reason_is_one_short_line() -> None:
    told = judge(find("10"), Finding(problems=[wrong("long\nand " * 99)]), {})
    assert "\n" not in told.why
    assert len(told.why) <= 160


def test_once_the_cluster_is_away_it_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run(book: Any, given: Any, mode: str) -> Finding:
        asked.append(f"{book.name[:2]} {mode}")
        gone = [Unread("error", "the API server does not answer", "fail")]
        return Finding(problems=gone, away=True) if len(asked) == 2 else Finding()

    monkeypatch.setattr(overview, "run", run)
    states = overview.look({"mode": "apply"})
    assert asked == ["00 verify", "10 verify"], "in the mode verify, whatever was given"
    words = [states[book.name].word for book in select()]
    assert words == ["done"] + ["cannot tell"] * (len(select()) - 1)
    rest = {states[book.name].word for book in NOTEBOOKS if book.asked}
    assert rest == {"when asked"}, "nobody runs a benchmark to see where things stand"


def test_a_fault_in_a_notebook_becomes_its_state(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cells = {"x-parameters": 'mode: str = "apply"', "x-look": "1 / 0", "x-plan": "exit(9)"}
    monkeypatch.setattr(overview, "source", lambda book: written(tmp_path, cells))
    found = overview.run(find("11"), {}, "verify")
    assert not found.reached
    told = judge(find("11"), found, {})
    assert told == State("cannot tell", "ZeroDivisionError: division by zero")


def test_after_an_error_only_the_verification_is_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cells = {
        "x-parameters": 'mode: str = "apply"',
        "x-look": "from runbook.errors import StepError; seen = [mode]\nraise StepError('first')",
        "x-apply": "exit(9)",
        "x-verify-a": "seen.append('a')",
        "x-verify-b": "seen.append('b'); assert seen == ['verify', 'a', 'b']",
    }
    monkeypatch.setattr(overview, "source", lambda book: written(tmp_path, cells))
    found = overview.run(find("11"), {}, "verify")
    assert found.reached
    assert [problem.title for problem in found.problems] == ["first"]
    cells["x-verify-b"] = "raise StepError('second')"
    found = overview.run(find("11"), {}, "verify")
    assert not found.reached
    assert [problem.title for problem in found.problems] == ["first"]


def written(folder: Path, cells: dict[str, str]) -> Path:
    """Write a notebook of code cells, by their ids."""
    code = [{"cell_type": "code", "id": name, "source": [text]} for name, text in cells.items()]
    (folder / "x.ipynb").write_text(json.dumps({"cells": code}))
    return folder / "x.ipynb"


def test_a_reached_goal_is_never_not_yet() -> None:
    before = {"11-linkerd-namespace": State("needs attention", "")}
    found = Finding(problems=[missing("11-linkerd-namespace")], reached=True)
    assert judge(find("12"), found, before) == State("needs attention", "needs 11")


def record(output: Path, name: str, uid: str, mode: str, status: str, **steps: str) -> None:
    (output / name).mkdir(parents=True)
    result = {
        "status": status,
        "exit_status": 0,
        "mode": mode,
        "line": "edge-2.20",
        "cluster": {"name": "pi", "uid": uid, "version": "1.35", "rehearsal": False},
        "started": f"{name[:4]}-{name[4:6]}-{name[6:8]}T{name[9:11]}:{name[11:13]}:00+00:00",
        "finished": None,
        "seconds": 1.0,
        "changed": 0,
        "checks": {},
        "parameters": {},
        "steps": [
            {"notebook": find(number[1:]).name, "title": "", "status": told, "checks": []}
            for number, told in steps.items()
        ],
    }
    (output / name / "result.json").write_text(json.dumps(result))


def test_last_run_is_the_newest_on_this_cluster(tmp_path: Path) -> None:
    uid = "0b4b7e5c-1111-2222-3333-444455556666"
    record(tmp_path, "20261101-100000-pi-aaaa", uid, "apply", "ok", _10="ok", _11="ok", _12="ok")
    record(tmp_path, "20261102-110000-pi-bbbb", uid, "verify", "failed", _10="ok", _11="failed")
    record(tmp_path, "20261103-120000-pi-cccc", "another", "plan", "ok", _10="ok", _12="ok")
    record(
        tmp_path, "20261104-130000-pi-dddd", uid, "apply", "running", _10="running", _11="not-run"
    )
    (tmp_path / "20261105-130000-pi-eeee").mkdir()
    (tmp_path / "20261105-130000-pi-eeee" / "result.json").write_text("{half")
    assert overview._last_runs(tmp_path, uid) == {
        "10-cert-manager-ca": "apply killed, 2026-11-04 13:00 UTC",
        "11-linkerd-namespace": "verify failed, 2026-11-02 11:00 UTC",
        "12-identity-issuer": "apply ok, 2026-11-01 10:00 UTC",
    }
    assert overview._last_runs(tmp_path, "") == {}
    assert overview._last_runs(tmp_path / "absent", uid) == {}


# On a rehearsal cluster: the tests below follow one install, in their order.


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("rehearsal")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_REHEARSAL_DIR", str(directory))
        rehearsal.up(directory)
        opened = connect(Params())
        yield opened
        opened.close()
        rehearsal.down(directory)


@pytest.fixture
def shown(cluster: Cluster, tmp_path: Path) -> Callable[..., Forms]:
    def look(**variables: Any) -> Forms:
        values: list[Any] = []
        show_steps(variables, output=tmp_path, display=values.append)
        (table,) = values
        return table._repr_mimebundle_()

    return look


def states(forms: Forms) -> dict[str, tuple[str, str]]:
    """Give state and reason of each step, without those that run when asked for."""
    return {
        step["notebook"][:2]: (step["state"], step["why"])
        for step in forms[MEDIA_TYPE]["steps"]
        if step["state"] != "when asked"
    }


def contents(cluster: Cluster) -> set[tuple[str, str, str]]:
    kinds = (
        *(("v1", "Namespace"), ("v1", "Secret"), ("v1", "ConfigMap"), ("v1", "Pod")),
        *(("apps/v1", "Deployment"), ("apiextensions.k8s.io/v1", "CustomResourceDefinition")),
        *(("cert-manager.io/v1", "Certificate"), ("cert-manager.io/v1", "ClusterIssuer")),
    )
    return {
        (kind, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        for version, kind in kinds
        for obj in cluster.list(version, kind)
    }


def install(first: str, last: str) -> None:
    for book in NOTEBOOKS:
        if first <= book.name[:2] <= last:
            assert not overview.run(book, GIVEN, "apply").problems, book.name


def papermill(tmp_path: Path, *arguments: str, **environment: str) -> tuple[int, list[Forms], str]:
    """Run the index notebook as papermill does; give its status, the outputs of its last cell."""
    out = tmp_path / "out.ipynb"
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", *arguments]
    done = subprocess.run(
        [*command, str(source(INDEX)), str(out)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    cells = json.loads(out.read_text(encoding="utf-8"))["cells"] if out.exists() else []
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    return done.returncode, outputs, done.stderr


FRESH = {
    "00": ("done", "31 checks passed"),
    "10": ("not yet", "not there: ClusterIssuer ca-issuer; run it with create_ca: true"),
    "11": ("not yet", "not there: namespace linkerd"),
    "12": ("not yet", "needs 10, 11"),
    "13": ("not yet", "needs 12"),
    "14": ("not yet", "not there: the CRDs of edge-2.20"),
    "15": ("not yet", "needs 12, 14"),
    "16": ("not yet", "needs 14, 15"),
    "20": ("not yet", "not there: namespace linkerd-viz"),
    "21": ("not yet", "needs 20"),
    "22": ("done", "1 check passed"),  # no viz_host: nothing is to be exposed
    "23": ("not yet", "not there: PodMonitors of Linkerd"),
    "24": ("not yet", "not there: ConfigMaps with Linkerd's dashboards"),
    "25": ("done", "1 check passed"),
}


def test_a_fresh_cluster(shown: Callable[..., Forms], cluster: Cluster) -> None:
    before = contents(cluster)
    forms = shown()
    assert states(forms) == FRESH
    assert contents(cluster) == before, "looking changes nothing"
    text = forms["text/plain"]
    assert text.startswith("[REHEARSAL] Steps on rehearsal: 3 done, 11 not yet\n")
    assert cluster.uid in text
    assert 'href="12-identity-issuer.ipynb"' in forms["text/html"]


def test_a_fresh_cluster_by_papermill(cluster: Cluster, tmp_path: Path) -> None:
    status, outputs, said = papermill(tmp_path, "-f", str(ROOT / "params" / "rehearsal.yaml"))
    assert status == 0, said
    (only,) = outputs  # one table: no bar, no warning
    creating = {"10": ("not yet", "not there: ClusterIssuer ca-issuer")}  # create_ca is in the file
    exposing = {
        "22": ("not yet", "not there: Secret linkerd-viz/linkerd-viz-tls")
    }  # so is viz_host
    assert states(only["data"]) == FRESH | creating | exposing


def test_half_way(shown: Callable[..., Forms]) -> None:
    install("10", "13")
    found = states(shown())
    assert [found[number][0] for number in ("10", "11", "12", "13")] == ["done"] * 4
    assert found["14"] == FRESH["14"]
    assert found["15"] == ("not yet", "needs 14")
    assert found["16"] == ("not yet", "needs 14, 15")


def test_after_the_install(shown: Callable[..., Forms], tmp_path: Path, cluster: Cluster) -> None:
    install("14", "25")
    before = contents(cluster)
    record(tmp_path, "20261101-100000-pi-aaaa", cluster.uid, "apply", "ok", _12="ok")
    given = {**GIVEN, "mode": "apply"}  # what was installed with, or its plans would hold changes
    lines = [f"{name} = {value!r}" for name, value in given.items()]
    forms = shown(In=["\n".join(["# Parameters", *lines])], **given)
    assert {n: s for n, s in states(forms).items() if s[0] != "done"} == {}
    assert contents(cluster) == before
    last = {step["notebook"][:2]: step["last"] for step in forms[MEDIA_TYPE]["steps"]}
    assert last["12"] == "apply ok, 2026-11-01 10:00 UTC"
    assert last["13"] == ""


def test_after_the_install_by_papermill(cluster: Cluster, tmp_path: Path) -> None:
    status, outputs, said = papermill(tmp_path, "-f", str(ROOT / "params" / "rehearsal.yaml"))
    assert status == 0, said
    (only,) = outputs
    assert {n: s for n, s in states(only["data"]).items() if s[0] != "done"} == {}


def test_parameters_of_the_index_reach_every_step(shown: Callable[..., Forms]) -> None:
    found = states(shown(In=["# Parameters\nlinkerd_namespace = 'l5d'"], linkerd_namespace="l5d"))
    assert found["11"][0] == "needs attention"
    assert "in namespace linkerd" in found["11"][1], "Linkerd is in another namespace"
    assert found["12"] == ("not yet", "needs 11")


def test_another_line_is_a_plan_not_carried_out(shown: Callable[..., Forms]) -> None:
    found = states(shown(line="edge-2.19"))
    assert found["11"] == ("needs attention", "no other Linkerd is in the way: edge-26.6.3")
    assert found["15"][0] == "needs attention"
    assert "its plan holds" in found["15"][1]


def test_what_was_changed_by_hand_needs_attention(
    shown: Callable[..., Forms], cluster: Cluster
) -> None:
    namespace = cluster.get("v1", "Namespace", "linkerd")
    labels = dict.fromkeys(namespace["metadata"]["labels"], "wrong") | {
        "kubernetes.io/metadata.name": "linkerd"
    }
    named = {"apiVersion": "v1", "kind": "Namespace"}
    cluster.apply({**named, "metadata": {"name": "linkerd", "labels": labels}}, force=True)
    found = states(shown())
    assert found["11"][0] == "needs attention"
    assert "wrong" in found["11"][1]
    assert found["12"] == ("needs attention", "needs 11"), "its certificate is there"
    assert found["14"][0] == "done"


def test_a_wrong_index_is_refused(shown: Callable[..., Forms]) -> None:
    with pytest.raises(ParameterError, match="lien"):
        shown(In=["# Parameters\nlien = 'edge-2.19'"], lien="edge-2.19")
    with pytest.raises(GuardError, match="another cluster"):
        shown(cluster_uid="0b4b7e5c-1111-2222-3333-444455556666")


def test_a_cluster_that_is_away_is_one_clear_error(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text(encoding="utf-8"))
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    away = tmp_path / "kubeconfig"
    away.write_text(yaml.safe_dump(config))
    with pytest.raises(UnreachableError):
        show_steps({"kubeconfig": str(away)}, output=tmp_path)
    monkeypatch.setenv("RUNBOOK_REHEARSAL_DIR", str(tmp_path / "none"))
    with pytest.raises(RehearsalError, match="no rehearsal cluster is running"):
        show_steps({}, output=tmp_path)
    status, outputs, said = papermill(tmp_path)
    assert status != 0
    assert "no rehearsal cluster is running" in said
    (only,) = [output for output in outputs if output["output_type"] == "error"]
    assert only["ename"] == "RehearsalError"
    assert "runbook rehearsal up" in only["evalue"]
    assert "line 1" not in "".join(only["traceback"]), "the message, no traceback of ours"
