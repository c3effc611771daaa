"""What is read from an executed notebook."""

from __future__ import annotations

import copy
import gzip
import json
from typing import Any

import pytest
from executed_samples import PNG, data, failed, figure, finished, notebook, outcome, shown

from runbook.errors import CheckError, exit_status
from runbook.executed import UNFINISHED, collect, detach, read_error
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


# --- files ------------------------------------------------------------------------------------


def test_files_are_taken_out() -> None:
    made = notebook(figure("p99"), data("campaign.json", '{"a": "é"}'), finished())
    before = copy.deepcopy(made)
    kept, files = detach(made, "63")
    assert made == before
    assert files == {
        "figures/63-p99.png": PNG + b"pixels",
        "data/63-campaign.json": '{"a": "é"}'.encode(),
    }
    picture, handed, result = kept["cells"][1]["outputs"]
    assert picture["data"]["image/png"] == made["cells"][1]["outputs"][0]["data"]["image/png"]
    assert picture["data"][MEDIA_TYPE]["file"] == "figures/63-p99.png"
    assert handed["data"][MEDIA_TYPE] == {
        "type": "data",
        "name": "campaign.json",
        "media": "application/json",
        "file": "data/63-campaign.json",
    }
    assert result == made["cells"][1]["outputs"][2]
    assert collect(kept) == collect(made)


def test_a_picture_that_a_notebook_file_holds_in_lines() -> None:
    made = figure("p99")
    text = made["data"]["image/png"]
    made["data"]["image/png"] = [f"{text[:8]}\n", f"{text[8:]}\n"]
    assert detach(notebook(made), "63")[1] == {"figures/63-p99.png": PNG + b"pixels"}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("../../etc/passwd", "data/63-etc-passwd"),
        ("/", "data/63-data"),
        (".hidden", "data/63-hidden"),
        ("", "data/63-data"),
        ("A B\n.JSON", "data/63-a-b-.json"),
        ("x" * 500, f"data/63-{'x' * 80}"),
        ("<b>\x00é\ud800", "data/63-b"),
    ],
)
def test_names_of_files_are_harmless(name: str, path: str) -> None:
    assert list(detach(notebook(data(name, "x")), "63")[1]) == [path]


def test_no_file_takes_the_place_of_another() -> None:
    same = [figure("p99"), figure("p99"), figure("p99-2"), data("c.json", "1"), data("C.json", "2")]
    files = detach(notebook(*same), "63")[1]
    assert list(files) == [
        *("figures/63-p99.png", "figures/63-p99-2.png", "figures/63-p99-2-2.png"),
        *("data/63-c.json", "data/63-c-2.json"),
    ]


@pytest.mark.parametrize(
    "output",
    [
        figure("p99", b"GIF89a"),
        figure("p99") | {"data": {MEDIA_TYPE: {"type": "figure", "name": "p99"}}},
        shown({"type": "figure", "name": "p99"}, **{"image/png": "iVBORw0KGgo[redacted]"}),
        shown({"type": "data", "name": "c.json"}),
        shown({"type": "data", "name": "c.json", "text": {"a": 1}}),
        shown({"type": "other", "text": "x"}),
        {"output_type": "stream", "name": "stdout", "text": "x"},
        {"output_type": "display_data", "metadata": {}, "data": {MEDIA_TYPE: "text"}},
    ],
    ids=str,
)
def test_what_is_laid_out_otherwise_stays_as_it_is(output: dict[str, Any]) -> None:
    made = notebook(output)
    assert detach(made, "63") == (made, {})
    assert json.loads(json.dumps(made)) == made


def test_a_file_whose_name_says_so_is_compressed_to_the_same_bytes_every_time() -> None:
    made = notebook(data("campaign.json.gz", '{"a": "é"}'), finished())
    _, files = detach(made, "63")
    (again,) = detach(made, "63")[1].values()
    assert files == {"data/63-campaign.json.gz": again}
    assert gzip.decompress(again) == '{"a": "é"}'.encode()
