"""JSON patch, merge patch and strategic merge patch as the API server applies them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from runbook.rehearsal.objects.crd import types
from runbook.rehearsal.objects.merge import PatchFailed, json_merge, json_patch, strategic
from runbook.rehearsal.objects.schema import builtin

DEPLOYMENT = builtin("1.35").of("apps", "v1", "Deployment")
POD = builtin("1.35").of("", "v1", "Pod")
SERVICE = builtin("1.35").of("", "v1", "Service")
CONFIG_MAP = builtin("1.35").of("", "v1", "ConfigMap")


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": list(containers), **spec}}


def names(obj: dict[str, Any], field: str = "containers") -> list[str]:
    return [item["name"] for item in obj["spec"][field]]


def test_json_patch_adds_and_leaves_the_original_alone() -> None:
    current = {"data": {"a": "1"}}
    assert json_patch(current, [{"op": "add", "path": "/data/c", "value": "3"}]) == {
        "data": {"a": "1", "c": "3"}
    }
    assert current == {"data": {"a": "1"}}


@pytest.mark.parametrize(
    "ops",
    [
        [{"op": "test", "path": "/data/a", "value": "9"}],
        [{"op": "remove", "path": "/data/nope"}],
        [{"op": "replace", "path": "/x/y", "value": 1}],
        [{"op": "add", "path": "/data/a/b/c", "value": 1}],
        [{"op": "frobnicate", "path": "/data/a"}],
    ],
)
def test_json_patch_that_does_not_fit_is_invalid(ops: list[Any]) -> None:
    with pytest.raises(PatchFailed) as refused:
        json_patch({"data": {"a": "1"}}, ops)
    assert (refused.value.code, refused.value.reason) == (422, "Invalid")
    assert refused.value.message == (
        "the server rejected our request due to an error in our request"
    )


def test_json_patch_must_be_a_list() -> None:
    with pytest.raises(PatchFailed, match="cannot unmarshal object into Go value") as refused:
        json_patch({}, {"data": {}})
    assert refused.value.code == 400


def test_json_merge_sets_and_removes() -> None:
    current = {"data": {"a": "1"}, "spec": {"list": [1, 2]}}
    patch = {"data": {"b": "2", "a": None}, "spec": {"list": [3]}, "new": {"x": None, "y": 1}}
    before = copy.deepcopy(current)
    assert json_merge(current, patch) == {
        "data": {"b": "2"},
        "spec": {"list": [3]},
        "new": {"y": 1},
    }
    assert current == before


def test_json_merge_needs_an_object() -> None:
    with pytest.raises(PatchFailed, match="cannot unmarshal array"):
        json_merge({}, [])


def test_strategic_merges_lists_by_key() -> None:
    current = pod({"name": "c", "image": "nginx", "env": [{"name": "A", "value": "1"}]})
    patch = pod({"name": "c", "env": [{"name": "B", "value": "2"}]})
    before = copy.deepcopy(current)
    container = strategic(POD, current, patch)["spec"]["containers"][0]
    assert container["image"] == "nginx"
    assert {e["name"]: e["value"] for e in container["env"]} == {"A": "1", "B": "2"}
    assert current == before


def test_strategic_puts_new_items_before_the_others() -> None:
    # Seen in the Kubernetes documentation: the added container of patch-demo comes first.
    current = pod({"name": "a"}, {"name": "b"})
    assert names(strategic(POD, current, pod({"name": "new"}))) == ["new", "a", "b"]


def test_strategic_order_directive() -> None:
    current = pod({"name": "a"}, {"name": "b"})
    patch = {
        "spec": {
            "$setElementOrder/containers": [{"name": "a"}, {"name": "new"}, {"name": "b"}],
            "containers": [{"name": "new"}],
        }
    }
    assert names(strategic(POD, current, patch)) == ["a", "new", "b"]
    swap = {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}
    assert names(strategic(POD, current, swap)) == ["b", "a"]


def test_strategic_deletes_list_items() -> None:
    current = pod({"name": "a"}, {"name": "b"})
    patch = pod({"$patch": "delete", "name": "a"})
    assert names(strategic(POD, current, patch)) == ["b"]


def test_strategic_replaces_lists_and_maps() -> None:
    current = pod({"name": "a"}, {"name": "b"}, nodeSelector={"x": "1"})
    patch = {
        "spec": {
            "containers": [{"$patch": "replace"}, {"name": "c"}],
            "nodeSelector": {"$patch": "replace", "y": "2"},
        }
    }
    changed = strategic(POD, current, patch)
    assert names(changed) == ["c"]
    assert changed["spec"]["nodeSelector"] == {"y": "2"}


def test_strategic_null_removes() -> None:
    current = {"metadata": {"labels": {"a": "1", "b": "2"}}, "data": {"x": "1"}}
    changed = strategic(CONFIG_MAP, current, {"metadata": {"labels": {"a": None}}, "data": None})
    assert changed == {"metadata": {"labels": {"b": "2"}}}


def test_strategic_retain_keys_drops_the_other_fields() -> None:
    current = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic(DEPLOYMENT, current, patch)["spec"]["strategy"] == {"type": "Recreate"}


def test_strategic_retain_keys_must_list_what_the_patch_sets() -> None:
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}}
    with pytest.raises(PatchFailed, match="retainKeys"):
        strategic(DEPLOYMENT, {"spec": {}}, patch)


def test_strategic_sets_of_scalars() -> None:
    current = {"metadata": {"finalizers": ["a", "b"]}}
    added = strategic(CONFIG_MAP, current, {"metadata": {"finalizers": ["c", "a"]}})
    assert sorted(added["metadata"]["finalizers"]) == ["a", "b", "c"]
    removed = strategic(
        CONFIG_MAP, current, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}
    )
    assert removed["metadata"]["finalizers"] == ["b"]


def test_strategic_replaces_atomic_lists() -> None:
    current = pod({"name": "c", "args": ["a", "b"]})
    changed = strategic(POD, current, pod({"name": "c", "args": ["z"]}))
    assert changed["spec"]["containers"][0]["args"] == ["z"]


def test_strategic_service_ports_merge_by_port() -> None:
    current = {"spec": {"ports": [{"port": 80, "name": "http"}, {"port": 443, "name": "https"}]}}
    changed = strategic(SERVICE, current, {"spec": {"ports": [{"port": 443, "targetPort": 8443}]}})
    assert {"port": 443, "name": "https", "targetPort": 8443} in changed["spec"]["ports"]
    assert len(changed["spec"]["ports"]) == 2


def test_strategic_item_without_key() -> None:
    with pytest.raises(PatchFailed) as refused:
        strategic(POD, pod({"name": "a"}), pod({"image": "x"}))
    assert refused.value.code == 500
    assert refused.value.message == "map: map[image:x] does not contain declared merge key: name"


def test_strategic_is_not_for_custom_resources() -> None:
    schema = {"type": "object", "properties": {"spec": {"type": "object"}}}
    crd = {
        "spec": {
            "group": "example.com",
            "names": {"kind": "Widget"},
            "versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}],
        }
    }
    with pytest.raises(PatchFailed):
        strategic(types(crd)["v1"], {}, {"spec": {}})
