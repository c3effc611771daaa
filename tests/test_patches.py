"""Patches: they change what was seen and nothing else, and their inverse gives back every byte."""

from __future__ import annotations

import copy
import json
import shlex
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.patches import edit, holds, inverse

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop", "uid": "1", "resourceVersion": "7"},
    "spec": {"template": {"spec": {"containers": [{"name": "web", "env": [{"name": "A"}]}]}}},
    "status": {"replicas": 1},
}


def applied(obj: dict[str, Any], operations: Any) -> dict[str, Any]:
    found: dict[str, Any] = jsonpatch.apply_patch(obj, list(operations))
    return found


def annotate(obj: dict[str, Any]) -> None:
    obj["spec"]["template"].setdefault("metadata", {})["annotations"] = {"a/b": "1"}


def test_a_patch_says_what_it_does_to_whom() -> None:
    patch = edit(DEPLOYMENT, annotate)
    assert patch.reference == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
    }
    command = shlex.split(patch.command())
    assert command[:6] == ["kubectl", "-n", "shop", "patch", "deployment", "web"]
    assert json.loads(command[-1]) == list(patch.operations)


def test_nothing_to_change_is_no_operation() -> None:
    assert edit(DEPLOYMENT, lambda obj: None).operations == ()


def test_kinds_of_a_definition_go_by_their_full_name() -> None:
    obj = {"apiVersion": "a.example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}
    patch = edit(obj, lambda one: one.update(spec={}))
    assert patch.command().startswith("kubectl patch widget.a.example.com w ")


def test_the_inverse_gives_back_every_byte() -> None:
    after = applied(DEPLOYMENT, edit(DEPLOYMENT, annotate).operations)
    after["metadata"] |= {"resourceVersion": "9", "generation": 2}
    after["status"] = {"replicas": 0}
    back = applied(after, inverse(DEPLOYMENT, after).operations)
    assert json.dumps(back["spec"]) == json.dumps(DEPLOYMENT["spec"])
    assert back["status"] == {"replicas": 0}, "the server's own is left alone"


def test_it_does_not_apply_to_what_has_moved_on() -> None:
    def replaced(obj: dict[str, Any]) -> None:
        obj["spec"]["template"]["spec"]["containers"][0]["env"][0]["name"] = "B"

    patch = edit(DEPLOYMENT, replaced)
    assert holds(patch, DEPLOYMENT)
    moved = copy.deepcopy(DEPLOYMENT)
    moved["spec"]["template"]["spec"]["containers"][0]["env"].insert(0, {"name": "first"})
    assert not holds(patch, moved)
    del moved["spec"]
    assert not holds(patch, moved)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


@given(before=VALUES, after=VALUES)
def test_any_change_leads_there_and_back(before: Any, after: Any) -> None:
    one = {**DEPLOYMENT, "spec": before}
    patch = edit(one, lambda obj: obj.update(spec=copy.deepcopy(after)))
    there = applied(one, patch.operations)
    assert there["spec"] == after
    back = applied(there, inverse(one, there).operations)
    assert json.dumps(back, sort_keys=True) == json.dumps(one, sort_keys=True)


@pytest.mark.parametrize("field", ["uid", "resourceVersion"])
def test_server_fields_are_not_in_the_inverse(field: str) -> None:
    after = copy.deepcopy(DEPLOYMENT)
    after["metadata"][field] = "another"
    assert inverse(DEPLOYMENT, after).operations == ()
