from __future__ import annotations

import pytest

from runbook.rehearsal.apiserver.resources import builtin
from runbook.rehearsal.apiserver.selectors import (
    Selector,
    field_selector,
    label_selector,
    matches_labels,
)
from runbook.rehearsal.apiserver.statuses import Refusal

RESOURCES = {(r.group, r.plural): r for r in builtin("1.35")}
PODS = RESOURCES["", "pods"]


def selects(text: str, **labels: str) -> bool:
    return Selector(label_selector(text)).matches({"metadata": {"labels": labels}})


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("a=1", {"a": "1"}, {"a": "2"}),
        ("a==1", {"a": "1"}, {}),
        ("a!=1", {}, {"a": "1"}),
        ("a", {"a": ""}, {"b": ""}),
        ("!a", {}, {"a": ""}),
        ("a in (1, 2)", {"a": "2"}, {"a": "3"}),
        ("a notin (1,2)", {}, {"a": "1"}),
        ("a>3", {"a": "4"}, {"a": "3"}),
        ("a<3", {"a": "2"}, {"a": "x"}),
        ("a=1,b!=2", {"a": "1"}, {"a": "1", "b": "2"}),
        ("a=", {"a": ""}, {"a": "1"}),
        ("linkerd.io/control-plane-ns", {"linkerd.io/control-plane-ns": "linkerd"}, {}),
        ("", {}, None),
    ],
)
def test_label_selectors(text: str, yes: dict[str, str], no: dict[str, str] | None) -> None:
    assert selects(text, **yes)
    assert no is None or not selects(text, **no)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a in", "unable to parse requirement: found '' expected: '('"),
        ("a in (1", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a=1 b", "found 'b', expected: ',' or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        (
            "=1",
            "unable to parse requirement: found '=', expected: !, identifier, or 'end of string'",
        ),
    ],
)
def test_bad_label_selectors_are_refused(text: str, message: str) -> None:
    with pytest.raises(Refusal) as refused:
        label_selector(text)
    assert (refused.value.code, refused.value.message) == (400, message)


def test_field_selectors() -> None:
    pod = {
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"nodeName": "node1"},
        "status": {"phase": "Running"},
    }
    for text, selected in (
        ("metadata.name=p", True),
        ("metadata.name!=p", False),
        ("spec.nodeName=node1,status.phase!=Succeeded", True),
        ("spec.hostNetwork=false", True),
        ("status.podIP=", True),
    ):
        assert Selector(fields=field_selector(text, PODS)).matches(pod) is selected, text


def test_events_are_selected_by_what_they_are_about() -> None:
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p"},
        "reportingComponent": "kubelet",
    }
    text = "involvedObject.kind=Pod,involvedObject.name=p,source=kubelet"
    assert Selector(fields=field_selector(text, RESOURCES["", "events"])).matches(event)


@pytest.mark.parametrize(
    ("resource", "text", "message"),
    [
        (
            "configmaps",
            "data.a=1",
            '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        ("pods", "spec.colour=red", "field label not supported: spec.colour"),
        ("pods", "nonsense", "invalid selector: 'nonsense'; can't understand 'nonsense'"),
    ],
)
def test_unknown_fields_are_refused(resource: str, text: str, message: str) -> None:
    with pytest.raises(Refusal) as refused:
        field_selector(text, RESOURCES["", resource])
    assert refused.value.message == message


def test_label_selector_objects() -> None:
    labels = {"app": "web", "tier": "front"}
    assert not matches_labels(None, labels)
    assert matches_labels({}, labels)
    assert matches_labels({"matchLabels": {"app": "web"}}, labels)
    assert not matches_labels({"matchLabels": {"app": "api"}}, labels)
    expressions = [
        {"key": "app", "operator": "In", "values": ["web"]},
        {"key": "tier", "operator": "NotIn", "values": ["back"]},
        {"key": "tier", "operator": "Exists"},
        {"key": "gone", "operator": "DoesNotExist"},
    ]
    assert matches_labels({"matchExpressions": expressions}, labels)
    assert not matches_labels(
        {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, labels
    )
