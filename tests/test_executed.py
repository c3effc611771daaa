"""What is read from an executed notebook."""

from __future__ import annotations

import pytest
from executed_samples import failed, finished, notebook, outcome, shown

from runbook.errors import CheckError, exit_status
from runbook.executed import UNFINISHED, collect, read_error
from runbook.record import StepRecord
from runbook.show import MEDIA_TYPE


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
    strange = {**shown({}), "data": {MEDIA_TYPE: "no object"}}
    assert collect(notebook(strange, finished()))["error"] is None


@pytest.mark.parametrize("error", [CheckError("what"), CheckError("what", fix="fix", see="see")])
def test_error_text_is_read_back(error: CheckError) -> None:
    parts = read_error("CheckError", str(error))
    assert (parts["what"], parts["why"], parts["fix"], parts["see"]) == (
        *("what", ""),
        *(error.fix, error.see),
    )


def test_a_notebook_without_its_result_has_not_succeeded() -> None:
    error = collect(notebook(shown({"type": "verdicts", "outcomes": [outcome("a", "pass")]})))
    assert error["error"]["name"] == UNFINISHED
    assert exit_status(UNFINISHED) == 3
    assert collect(notebook(finished()))["error"] is None


def test_a_result_with_a_failed_check_has_not_succeeded() -> None:
    found = collect(notebook(finished(outcome("a", "pass"), outcome("b", "fail"))))
    assert (found["error"]["name"], found["error"]["what"]) == ("CheckError", "1 check failed: b")


def test_a_result_without_any_check_has_not_succeeded() -> None:
    found = collect(notebook(finished(checks=[])))
    assert found["error"]["name"] == UNFINISHED
    assert "no check" in found["error"]["what"]


def test_measures_are_kept() -> None:
    measure = {"name": "p99", "value": 1.5, "unit": "ms", "low": 1.4, "high": 1.6, "n": 20}
    assert collect(notebook(finished(measures=[measure])))["measures"] == [measure]
