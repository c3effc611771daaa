"""A step that changes objects of others: one by one, and taken back when something fails."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runbook.checks import Context, Outcome
from runbook.errors import CheckError, PlanError, WaitError
from runbook.patches import Patch, edit
from runbook.rehearsal import Twin
from runbook.show import MEDIA_TYPE, Showable
from runbook.step import Step, open_step

Shown = list[dict[str, Any]]
Open = Callable[..., tuple[Step, Shown]]


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin(content=False, controllers=False, kubelet=False) as running:
        yield running


@pytest.fixture
def opened(twin: Twin) -> Iterator[Open]:
    steps: list[Step] = []

    def open_one(**variables: Any) -> tuple[Step, Shown]:
        shown: Shown = []

        def show(value: Showable) -> None:
            shown.append(value._repr_mimebundle_()[MEDIA_TYPE])

        given = {"kubeconfig": str(twin.kubeconfig), "timeout": 1, **variables}
        given["In"] = ["# Parameters\ntimeout = 1"]
        steps.append(open_step("11-linkerd-namespace", given, display=show))
        return steps[-1], shown

    yield open_one
    for one in steps:
        one.cluster.close()


def bad(context: Context) -> Iterator[Outcome]:
    """It is well."""
    yield Outcome("bad", "It is well", "fail")


def namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def deployment(name: str, home: str) -> dict[str, Any]:
    labels = {"app": name}
    pod = {"containers": [{"name": "web", "image": "web:1"}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": home},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def annotation(live: dict[str, Any], value: str = "enabled") -> Patch:
    def change(obj: dict[str, Any]) -> None:
        notes = obj["spec"]["template"]["metadata"].setdefault("annotations", {})
        notes["linkerd.io/inject"] = value

    return edit(live, change)


def kept(step: Step, name: str, home: str) -> str:
    obj = step.cluster.get("apps/v1", "Deployment", name, home)
    meta = {key: value for key, value in obj["metadata"].items() if key in ("name", "annotations")}
    return json.dumps([meta, obj["spec"]])


@pytest.fixture
def home(opened: Open, request: pytest.FixtureRequest) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name)[:60].strip("-")
    step, _ = opened()
    for obj in (namespace(name), deployment("a", name), deployment("b", name)):
        step.cluster.create(obj)
    return name


def live(step: Step, name: str, home: str) -> dict[str, Any]:
    return step.cluster.get("apps/v1", "Deployment", name, home)


def test_a_patch_is_planned_applied_and_undone_by_its_command(opened: Open, home: str) -> None:
    step, _ = opened()
    before = kept(step, "a", home)
    plan = step.plan(annotation(live(step, "a", home)))
    (change,) = plan.changes
    assert (change.action, change.title) == ("update", f"Deployment {home}/a")
    assert "+        linkerd.io/inject: enabled" in change.diff
    assert kept(step, "a", home) == before, "planning changes nothing"
    step.apply(plan)
    assert kept(step, "a", home) != before
    assert step.plan(annotation(live(step, "a", home))).empty
    (undo,) = step.result().undo
    assert undo == change.undo
    assert change.inverse is not None
    place = ("apps/v1", "Deployment", "a", home)
    step.cluster.patch(*place, operations=change.inverse.operations)
    assert kept(step, "a", home) == before


def test_a_patch_of_what_has_moved_on_is_refused(opened: Open, home: str) -> None:
    step, _ = opened()
    step.apply(step.plan(annotation(live(step, "a", home))))
    late = annotation(live(step, "a", home), "disabled")
    step.apply(step.plan(annotation(live(step, "a", home), "ingress")))
    with pytest.raises(PlanError, match="no longer as it was when its change was worked out"):
        step.plan(late)


def test_a_failure_takes_everything_back(opened: Open, home: str) -> None:
    step, shown = opened()
    before = [kept(step, name, home) for name in "ab"]
    patches = [annotation(live(step, name, home)) for name in "ab"]
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": home}}
    with pytest.raises(CheckError), step.undo_on_failure():
        step.apply(step.plan(*patches))
        step.apply(step.plan(config))
        step.verify(bad)
    assert [kept(step, name, home) for name in "ab"] == before
    assert step.cluster.find("v1", "ConfigMap", "c", home) is None
    undone = shown[-1]
    assert (undone["type"], undone["changed"]) == ("applied", 3)
    # There are no controllers here: the workloads cannot become ready again.
    assert "taken back, but" in undone["note"]
    assert step.result().undo == (), "there is nothing left to undo"


def test_what_was_applied_before_stays(opened: Open, home: str) -> None:
    step, _ = opened()
    step.apply(step.plan(annotation(live(step, "a", home))))
    first = kept(step, "a", home)
    with pytest.raises(CheckError), step.undo_on_failure():
        step.apply(step.plan(annotation(live(step, "b", home))))
        step.verify(bad)
    assert kept(step, "a", home) == first
    assert "linkerd.io/inject" not in kept(step, "b", home)
    assert len(step.result().undo) == 1


def test_an_interruption_is_no_failure(opened: Open, home: str) -> None:
    step, _ = opened()
    with pytest.raises(KeyboardInterrupt), step.undo_on_failure():
        step.apply(step.plan(annotation(live(step, "a", home))))
        raise KeyboardInterrupt
    assert "linkerd.io/inject" in kept(step, "a", home)
    assert len(step.result().undo) == 1


def test_an_update_that_only_a_person_can_take_back_is_told(opened: Open, home: str) -> None:
    step, shown = opened()
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": home},
    }
    step.apply(step.plan({**config, "data": {"a": "1"}}))
    with pytest.raises(CheckError), step.undo_on_failure():
        step.apply(step.plan({**config, "data": {"a": "2"}}))
        step.verify(bad)
    assert shown[-1]["type"] == "applied"
    assert "left for you: kubectl apply --server-side" in shown[-1]["note"]
    assert len(step.result().undo) == 2


def test_what_cannot_be_taken_back_does_not_keep_the_rest(opened: Open, home: str) -> None:
    step, shown = opened()
    before = kept(step, "a", home)
    with pytest.raises(CheckError), step.undo_on_failure():
        step.apply(step.plan(*(annotation(live(step, name, home)) for name in "ab")))
        step.cluster.delete("apps/v1", "Deployment", "b", home)
        step.verify(bad)
    assert kept(step, "a", home) == before
    assert "not taken back: " in shown[-1]["note"]
    assert len(step.result().undo) == 1


def test_one_by_one_ends_at_the_first_that_is_not_ready(opened: Open, home: str) -> None:
    step, shown = opened()
    plan = step.plan(*(annotation(live(step, name, home)) for name in "ab"))
    with pytest.raises(WaitError, match=f"Deployment {home}/a"):
        step.apply(plan, one_by_one=True)
    assert "linkerd.io/inject" in kept(step, "a", home)
    assert "linkerd.io/inject" not in kept(step, "b", home)
    assert "failed with 1 of 2 changes not done" in shown[-1]["note"]


@pytest.mark.parametrize("mode", ["plan", "verify"])
def test_other_modes_take_nothing_back(opened: Open, home: str, mode: str) -> None:
    step, shown = opened(mode=mode)
    with pytest.raises(CheckError), step.undo_on_failure():
        step.apply(step.plan(annotation(live(step, "a", home))))
        step.look(bad)
    assert "linkerd.io/inject" not in kept(step, "a", home)
    assert [one["type"] for one in shown if one["type"] == "applied"] == ["applied"]
