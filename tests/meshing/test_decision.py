"""The decision about a pod: Linkerd's own cases, over the release lines."""

from __future__ import annotations

from dataclasses import replace

import pytest
from injection_cases import CASES, LINES, Case

from runbook.meshing.decision import REASONS, Decision, decide
from runbook.meshing.injector import Injector, of_line
from runbook.releases import LINES as RELEASES

INJECTORS = {line.version: of_line(line) for line in RELEASES}


def told(decision: Decision) -> str:
    if not decision.meshed:
        return " ".join(decision.reasons)
    return ("ingress " if decision.ingress else "") + decision.mode


def test_there_is_a_case_for_every_reason_and_line() -> None:
    seen = {word for case in CASES for line in LINES for word in case.outcome(line).split()}
    assert set(REASONS) - {"no_injector"} <= seen
    assert len(CASES) >= 40
    assert len({case.title for case in CASES}) == len(CASES)
    assert tuple(INJECTORS) == LINES


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_what_becomes_of_a_pod(case: Case, line: str) -> None:
    decision = decide(case.pod(), case.home(), INJECTORS[line], automounts=case.token)
    assert told(decision) == case.outcome(line)


def test_the_reason_is_told_in_words() -> None:
    case = Case("", {}, outer="enabled", own="disabled", spec={"hostNetwork": True})
    decision = decide(case.pod(), case.home(), INJECTORS["2.20"])
    assert decision.why == "hostNetwork is enabled; it is annotated linkerd.io/inject: disabled"


def test_it_is_told_which_annotation_decided() -> None:
    inside = Case("", {}, outer="disabled", own="enabled")
    outside = Case("", {}, outer="enabled", own="enabled")
    for case, where in ((inside, "workload"), (outside, "namespace")):
        decision = decide(case.pod(), case.home(), INJECTORS["2.20"])
        assert (decision.annotated, decision.why) == (where, f"annotated at the {where}")


@pytest.mark.parametrize(
    ("spec", "automounts", "meshed"),
    [({}, True, True), ({}, False, False), ({"automountServiceAccountToken": True}, False, True)],
)
def test_a_template_takes_its_token_from_the_account(
    spec: dict[str, bool], automounts: bool, meshed: bool
) -> None:
    case = Case("", {}, outer="enabled", spec=spec, token=False)
    decision = decide(case.pod(), case.home(), INJECTORS["2.11"], automounts=automounts)
    assert decision.meshed is meshed


def test_without_token_projection_a_new_line_is_as_an_old_one() -> None:
    case = Case("", {}, outer="enabled", token=False)
    injector: Injector = replace(INJECTORS["2.20"], token_projection=False)
    decision = decide(case.pod(), case.home(), injector, automounts=False)
    assert decision.reasons == ("disabled_automount_service_account_token_account",)
