"""The step: what each part shows, changes and refuses, in each mode."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted_api import kubeconfig

from runbook.checks import Context, Outcome
from runbook.errors import (
    CheckError,
    GuardError,
    LineError,
    ParameterError,
    PlanError,
    UnreachableError,
    UsageError,
    WaitError,
)
from runbook.rehearsal import Twin
from runbook.result import Measure
from runbook.show import MEDIA_TYPE, Showable, Table
from runbook.step import Step, open_step

NOTEBOOK = "11-linkerd-namespace"


class Shown(list[dict[str, Any]]):
    """What a step has shown, as JSON, with its text and HTML."""

    def __call__(self, value: Showable) -> None:
        forms = value._repr_mimebundle_()
        assert set(forms) == {"text/html", "text/plain", MEDIA_TYPE}
        json.dumps(forms[MEDIA_TYPE])
        self.append(forms[MEDIA_TYPE] | {"text": forms["text/plain"], "html": forms["text/html"]})

    def of(self, kind: str) -> dict[str, Any]:
        return [one for one in self if one["type"] == kind][-1]


Open = Callable[..., tuple[Step, Shown]]


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin(content=False, controllers=False, kubelet=False) as running:
        yield running


@pytest.fixture
def opened(twin: Twin) -> Iterator[Open]:
    steps: list[Step] = []

    def open_one(**variables: Any) -> tuple[Step, Shown]:
        shown = Shown()
        given = {"kubeconfig": str(twin.kubeconfig), **variables}
        steps.append(open_step(NOTEBOOK, given, display=shown))
        return steps[-1], shown

    yield open_one
    for one in steps:
        one.cluster.close()


def namespace(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def good(context: Context) -> Iterator[Outcome]:
    """All is well."""
    yield Outcome("good", "All is well", "pass", seen=context.cluster.version)


def bad(context: Context) -> Iterator[Outcome]:
    """It is there."""
    yield Outcome("bad", "It is there", "fail", fix="find it", see="https://example.com")


# --- opening ----------------------------------------------------------------------------------


def test_opening_shows_target_and_mode(opened: Open) -> None:
    made, shown = opened(mode="plan")
    (data,) = shown
    assert (data["type"], data["mode"], data["line"]) == ("step", "plan", "edge-2.20")
    assert data["cluster"]["rehearsal"] is True
    assert "REHEARSAL" in data["html"]
    assert "changes nothing" in data["text"]
    assert (made.notebook, made.mode) == (NOTEBOOK, "plan")


@pytest.mark.parametrize(
    ("variables", "error", "words"),
    [
        ({"mode": "aply"}, ParameterError, "mode"),
        ({"line": "edge-2.2"}, ParameterError, "line"),
        ({"In": ["# Parameters\ntimout = 1\n"], "timout": 1}, ParameterError, "timout"),
        ({"line": "stable-2.11"}, LineError, "too new"),
        ({"cluster": "nope"}, UsageError, "no context 'nope'"),
        ({"cluster_uid": "0b4b7e5c-1111-2222-3333-444455556666"}, GuardError, "another cluster"),
    ],
)
def test_bad_parameters_touch_nothing(
    opened: Open, variables: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        opened(**variables)


def test_unknown_notebook() -> None:
    with pytest.raises(UsageError, match="there is no notebook"):
        open_step("99-nope", {})


def test_unreachable_api(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "k", "https://127.0.0.1:9")
    with pytest.raises(UnreachableError):
        open_step(NOTEBOOK, {"cluster": "pi", "kubeconfig": str(path)})


def test_verifying_an_old_line_is_allowed(opened: Open) -> None:
    made, _ = opened(line="stable-2.11", mode="verify")
    assert made.line.name == "stable-2.11"


# --- checks -----------------------------------------------------------------------------------


def test_look_shows_the_whole_table_and_then_fails(opened: Open) -> None:
    made, shown = opened()
    with pytest.raises(CheckError, match="It is there"):
        made.look(bad, good)
    assert [o["verdict"] for o in shown.of("verdicts")["outcomes"]] == ["fail", "pass"]
    made.finish()
    result = shown.of("result")
    assert result["status"] == "check-failed"
    assert "https://example.com" in result["text"]
    assert result["next"] == "12-identity-issuer"


def test_the_result_leads_to_the_next_notebook_when_all_is_well(opened: Open) -> None:
    made, _ = opened()
    leads = 'href="12-identity-issuer.ipynb"'
    assert leads in made.result()._repr_mimebundle_()["text/html"]
    with pytest.raises(CheckError):
        made.look(bad)
    assert leads not in made.result()._repr_mimebundle_()["text/html"]


def test_verify_is_skipped_in_plan_mode(opened: Open) -> None:
    made, shown = opened(mode="plan")
    made.verify(bad, good)
    assert [o["verdict"] for o in shown.of("verdicts")["outcomes"]] == ["skip", "skip"]
    made.look(good)
    assert shown.of("verdicts")["outcomes"][0]["verdict"] == "pass"


def test_verify_checks_in_the_other_modes(opened: Open) -> None:
    for mode in ("apply", "verify"):
        made, _ = opened(mode=mode)
        with pytest.raises(CheckError):
            made.verify(bad)


# --- plan and apply ---------------------------------------------------------------------------


def test_apply_then_nothing_to_do(opened: Open) -> None:
    made, shown = opened()
    made.apply(made.plan(namespace("one", a="1")))
    assert shown.of("applied")["changed"] == 1
    made.finish()
    result = shown.of("result")
    assert (result["status"], result["changed"]) == ("ok", 1)
    assert result["undo"] == ["kubectl delete namespace one"]
    assert [c["action"] for plan in result["plans"] for c in plan["changes"]] == ["create"]
    assert {t["name"] for t in result["timings"]} == {"Open", "Plan", "Apply"}

    again, shown = opened()
    again.apply(again.plan(namespace("one", a="1")))
    again.finish()
    assert shown.of("applied")["changed"] == 0
    assert "nothing to do" in shown.of("applied")["text"]
    assert shown.of("result")["changed"] == 0
    assert "nothing to do" in shown.of("result")["text"]
    assert shown.of("result")["undo"] == []


@pytest.mark.parametrize("mode", ["plan", "verify"])
def test_other_modes_change_nothing(opened: Open, mode: str) -> None:
    made, shown = opened(mode=mode)
    plan = made.plan(namespace("untouched"))
    made.apply(plan)
    made.wait(plan)
    made.finish()
    assert made.cluster.find("v1", "Namespace", "untouched") is None
    assert f"not applied: the mode is {mode}" in shown.of("applied")["text"]
    assert f"the mode is {mode}" in shown.of("waited")["text"]
    assert "the plan held 1 change" in shown.of("result")["text"]


def test_a_plan_that_no_longer_holds_is_not_applied(opened: Open) -> None:
    made, _ = opened()
    made.apply(made.plan(namespace("moving", a="1")))
    reviewed = made.plan(namespace("moving", a="2"))
    made.cluster.apply(namespace("moving", a="3"))
    with pytest.raises(PlanError, match="no longer as it was") as caught:
        made.apply(reviewed)
    assert "Namespace moving" in caught.value.why
    assert made.cluster.get("v1", "Namespace", "moving")["metadata"]["labels"]["a"] == "3"


def test_undo_is_in_reverse_order(opened: Open) -> None:
    made, shown = opened()
    made.apply(made.plan(namespace("first"), namespace("second")))
    made.apply(made.plan(namespace("third")))
    made.finish()
    names = [line.split()[-1] for line in shown.of("result")["undo"]]
    assert names == ["third", "second", "first"]


def test_interruption_leaves_a_true_account(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    made, shown = opened()
    plan = made.plan(namespace("kept"), namespace("never"))
    apply = type(made.cluster).apply

    def interrupted(cluster: Any, obj: dict[str, Any], **options: Any) -> Any:
        if obj["metadata"]["name"] == "never" and not options.get("dry_run"):
            raise KeyboardInterrupt
        return apply(cluster, obj, **options)

    monkeypatch.setattr(type(made.cluster), "apply", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made.apply(plan)
    assert shown.of("applied")["changed"] == 1
    assert "interrupted with 1 of 2 changes not done" in shown.of("applied")["text"]
    made.finish()
    result = shown.of("result")
    assert (result["status"], result["changed"]) == ("failed", 1)
    assert result["undo"] == ["kubectl delete namespace kept"]


def test_a_part_run_again_and_well_is_ok(opened: Open) -> None:
    made, shown = opened()
    with pytest.raises(CheckError):
        made.look(bad)
    made.look(good)
    made.finish()
    assert shown.of("result")["checks"][-1]["verdict"] == "pass"


def test_nothing_to_plan(opened: Open) -> None:
    made, shown = opened()
    plan = made.plan()
    made.apply(plan)
    made.wait(plan)
    assert plan.empty
    assert "nothing to do" in shown.of("plan")["text"]
    assert "nothing to wait for" in shown.of("waited")["text"]


# --- waiting ----------------------------------------------------------------------------------


def test_wait_takes_plans_and_objects(opened: Open) -> None:
    made, shown = opened()
    plan = made.plan(namespace("awaited"))
    made.apply(plan)
    made.wait(plan)
    assert [o["name"] for o in shown.of("waited")["objects"]] == ["awaited"]
    with pytest.raises(WaitError, match="Namespace nowhere did not become active"):
        made.wait(namespace("nowhere"), timeout=0.1)


# --- secrets and records ----------------------------------------------------------------------


def test_known_secrets_never_show(opened: Open) -> None:
    made, shown = opened()
    made.redactor.add("tr0ub<dor&3")

    def leaky(context: Context) -> Iterator[Outcome]:
        """Leaky."""
        yield Outcome("leaky", "Leaky", "warn", seen="it is tr0ub<dor&3 there")

    made.look(leaky)
    made.plan(
        namespace("leaky") | {"metadata": {"name": "leaky", "annotations": {"a": "tr0ub<dor&3"}}}
    )
    for one in shown:
        assert "tr0ub" not in json.dumps(one)
    assert "[redacted]" in shown.of("verdicts")["html"]


def test_uid_to_keep_is_told_for_real_clusters_only(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, shown = opened()
    made.apply(made.plan(namespace("real")))
    made.finish()
    assert "cluster_uid" not in shown.of("result")["text"]
    monkeypatch.setattr(made.cluster, "rehearsal", False)
    made.cluster.__dict__["uid"] = "0b4b7e5c-1111-2222-3333-444455556666"
    made.finish()
    expected = 'cluster_uid: "0b4b7e5c-1111-2222-3333-444455556666"'
    assert expected in shown.of("result")["text"]


def test_result_has_what_the_runner_reads(opened: Open) -> None:
    made, shown = opened(mode="verify")
    made.look(good)
    made.finish()
    result = shown.of("result")
    for name in (
        *("schema", "notebook", "title", "mode", "cluster", "line", "parameters", "started"),
        *(
            "finished",
            "status",
            "plans",
            "changed",
            "checks",
            "timings",
            "undo",
            "measures",
            "next",
        ),
    ):
        assert name in result, name
    assert set(result["cluster"]) == {"name", "uid", "version", "rehearsal"}
    assert result["parameters"]["mode"] == "verify"
    assert result["checks"][0]["id"] == "good"


def test_prints_without_a_notebook(twin: Twin, capsys: pytest.CaptureFixture[str]) -> None:
    made = open_step(NOTEBOOK, {"kubeconfig": str(twin.kubeconfig), "mode": "verify"})
    made.finish()
    made.cluster.close()
    out = capsys.readouterr().out
    assert "[REHEARSAL] 11 Create the linkerd namespace" in out
    assert "Result of 11-linkerd-namespace" in out


# --- measures, figures and data ---------------------------------------------------------------


def test_measures_are_in_the_result_once(opened: Open) -> None:
    made, shown = opened(mode="verify")
    made.measure(Measure("p99", 3, "ms"), Measure("memory", 12, "MiB"))
    made.measure(Measure("p99", 2.1, "ms", 1.9, 2.3, 40), Measure("p99", 2100, "µs"))
    made.finish()
    result = shown.of("result")
    told = [(one["name"], one["value"], one["unit"]) for one in result["measures"]]
    assert told == [("p99", 2.1, "ms"), ("memory", 12.0, "MiB"), ("p99", 2100.0, "µs")]
    assert "p99: 2.1 ms (1.9 to 2.3)" in result["text"]


def test_what_is_displayed_has_no_secret(twin: Twin) -> None:
    forms: list[dict[str, Any]] = []
    given = {"kubeconfig": str(twin.kubeconfig), "mode": "verify"}
    made = open_step(NOTEBOOK, given, display=lambda value: forms.append(value._repr_mimebundle_()))
    made.redactor.add("tr0ub<dor&3")
    made.keep("campaign.json", json.dumps({"note": "tr0ub<dor&3", "n": [1, 2]}))
    made.display(Table(title="Effects", columns=("",), rows=[("tr0ub<dor&3",)]), made.result())
    made.cluster.close()
    data = forms[1][MEDIA_TYPE]
    assert (data["type"], data["name"], data["media"]) == (
        *("data", "campaign.json", "application/json"),
    )
    assert json.loads(data["text"]) == {"note": "[redacted]", "n": [1, 2]}
    assert forms[1]["text/plain"].startswith("campaign.json, ")
    assert forms[2][MEDIA_TYPE] == {"type": "table", "title": "Effects"}
    assert "[redacted]" in forms[2]["text/html"]
    assert forms[3][MEDIA_TYPE]["type"] == "result"
    assert "tr0ub" not in json.dumps(forms)


def test_a_part_of_a_notebook_is_timed_and_its_error_counts(opened: Open) -> None:
    made, _ = opened(mode="verify")
    with pytest.raises(ZeroDivisionError), made.part("Report"):
        raise ZeroDivisionError
    assert (made.result().timings[-1].name, made.result().status) == ("Report", "failed")
    with made.part("Report"):
        pass
    assert made.result().status == "ok"
