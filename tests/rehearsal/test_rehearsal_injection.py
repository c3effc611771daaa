"""The rehearsal's injector against Linkerd's own cases, and against what the runbook foretells."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from injection_cases import CASES, LINES, Case

from runbook.rehearsal import charts
from runbook.rehearsal.images.injection import pod_injection

UNASKED = ("namespace_not_selected", "pod_not_selected")


def values(line: str) -> dict[str, Any]:
    """Give the values of a line's control plane."""
    name = {"2.11": "linkerd2"}.get(line, "linkerd-control-plane")
    wanted = {"2.11": "stable-2.11", "2.14": "stable-2.14"}.get(line, f"edge-{line}")
    (package,) = (
        one for one in charts.packages() if one.line == wanted and one.metadata["name"] == name
    )
    found: dict[str, Any] = yaml.safe_load(package.files["values.yaml"])
    return found


VALUES = {line: values(line) for line in LINES}


def told(case: Case, line: str) -> str:
    given = VALUES[line]
    injection = pod_injection(
        case.pod(),
        case.home(),
        given,
        anchors="anchors",
        owner=("Deployment", "web"),
        control_namespace="linkerd",
        created_by=str(given.get("linkerdVersion")),
    )
    if injection.reasons:
        return " ".join(injection.reasons)
    added = {
        operation["value"]["name"]: operation["path"]
        for operation in injection.patch
        if "ontainers/" in operation["path"]
    }
    native = "initContainers" in added["linkerd-proxy"]
    proxy = next(
        operation["value"]
        for operation in injection.patch
        if isinstance(operation["value"], dict)
        and operation["value"].get("name") == "linkerd-proxy"
    )
    ingress = {"name": "LINKERD2_PROXY_INGRESS_MODE", "value": "true"} in proxy["env"]
    return ("ingress " if ingress else "") + ("native sidecar" if native else "sidecar")


ASKED = [(case, line) for case in CASES for line in LINES if case.outcome(line) not in UNASKED]


@pytest.mark.parametrize(("case", "line"), ASKED, ids=lambda one: getattr(one, "title", one))
def test_what_becomes_of_a_pod(case: Case, line: str) -> None:
    assert told(case, line) == case.outcome(line)
