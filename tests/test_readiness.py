"""When each kind counts as ready."""

from __future__ import annotations

from typing import Any

import pytest

from runbook.readiness import describe, has_rule, readiness


def conditions(**found: str) -> dict[str, Any]:
    listed = [{"type": kind, "status": status} for kind, status in found.items()]
    return {"conditions": listed}


CASES = [
    ("v1", "Namespace", {"phase": "Active"}, {"phase": "Terminating"}),
    ("v1", "Pod", conditions(Ready="True"), conditions(Ready="False")),
    (
        "apps/v1",
        "StatefulSet",
        {"readyReplicas": 2, "currentRevision": "b", "updateRevision": "b"},
        {"readyReplicas": 2, "currentRevision": "a", "updateRevision": "b"},
    ),
    (
        "apps/v1",
        "DaemonSet",
        {"desiredNumberScheduled": 5, "updatedNumberScheduled": 5, "numberAvailable": 5},
        {"desiredNumberScheduled": 5, "updatedNumberScheduled": 5, "numberAvailable": 4},
    ),
    ("batch/v1", "Job", conditions(Complete="True"), conditions()),
    ("cert-manager.io/v1", "Certificate", conditions(Ready="True"), conditions(Issuing="True")),
    ("cert-manager.io/v1", "ClusterIssuer", conditions(Ready="True"), {}),
    (
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        conditions(Established="True"),
        conditions(NamesAccepted="True"),
    ),
    ("apiregistration.k8s.io/v1", "APIService", conditions(Available="True"), {}),
]


@pytest.mark.parametrize(("api_version", "kind", "good", "bad"), CASES)
def test_ready_and_not_ready(
    api_version: str, kind: str, good: dict[str, Any], bad: dict[str, Any]
) -> None:
    rule = readiness(api_version, kind)
    base = {"metadata": {"generation": 1}, "spec": {"replicas": 2}}
    assert has_rule(api_version, kind)
    assert rule.met(base | {"status": {"observedGeneration": 1, **good}})
    unready = base | {"status": {"observedGeneration": 1, **bad}}
    assert not rule.met(unready)
    assert not rule.failed(unready)
    assert rule.seen(unready)


def test_everything_else_is_ready_when_it_exists() -> None:
    assert not has_rule("v1", "ConfigMap")
    assert readiness("v1", "ConfigMap").met({"metadata": {}})


def test_kinds_of_other_groups_are_told_apart() -> None:
    assert not has_rule("example.com/v1", "Certificate")


def test_description_without_conditions() -> None:
    assert describe({"metadata": {}}) == "it exists, without conditions"
