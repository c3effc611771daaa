"""Server-side apply and managedFields, against what a kube-apiserver 1.35 was seen to do."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from runbook.rehearsal.objects import crd, defaults
from runbook.rehearsal.objects.apply import (
    ApplyConflict,
    ApplyRefused,
    keep_times,
    server_side_apply,
    track,
)
from runbook.rehearsal.objects.managers import LAST_APPLIED
from runbook.rehearsal.objects.schema import Type, builtin

NOW = "2026-11-23T05:53:22Z"
LATER = "2026-11-23T05:54:00Z"

Object = dict[str, Any]


def kind(name: str, group: str = "", version: str = "v1") -> Type:
    found = builtin("1.35").of(group, version, name)
    assert found is not None
    return found


CONFIG_MAP = kind("ConfigMap")
DEPLOYMENT = kind("Deployment", "apps")
SERVICE = kind("Service")


def apply(
    live: Object | None, body: Object, manager: str, *, type: Type = CONFIG_MAP, **options: Any
) -> Object:
    """Apply with defaults for what most tests do not care about."""
    given = {"force": False, "now": NOW, "api_version": type.api_version, **options}
    full = {"apiVersion": type.api_version, "kind": type.kind, **body}
    return server_side_apply(type, live, full, manager=manager, **given)


def config_map(**data: Any) -> Object:
    return {"metadata": {"name": "s"}, "data": data}


def managed(obj: Object, manager: str, operation: str = "Apply", subresource: str = "") -> Any:
    """Give what a manager owns, None if nothing."""
    for entry in obj["metadata"].get("managedFields", []):
        key = (entry["manager"], entry["operation"], entry.get("subresource", ""))
        if key == (manager, operation, subresource):
            return entry["fieldsV1"]
    return None


def web(*containers: Object, **spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": list(containers)}}
    return {
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template, **spec},
    }


def created(obj: Object, manager: str = "c", type: Type = DEPLOYMENT) -> Object:
    """Create an object as the server would, as far as ownership is concerned."""
    full = {"apiVersion": type.api_version, "kind": type.kind, **obj}
    done = type.default(defaults.fill(type.kind, type.prune(full)))
    return track(type, None, done, manager=manager, api_version=type.api_version, now=NOW)


# Recorded: one manager, a second one, a conflict, force, giving up fields


def test_apply_creates() -> None:
    obj = apply(None, config_map(x="1"), "one")
    assert obj["data"] == {"x": "1"}
    assert obj["metadata"]["managedFields"] == [
        {
            "manager": "one",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": NOW,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {"f:x": {}}},
        }
    ]


def test_apply_again_changes_nothing_not_even_the_time() -> None:
    first = apply(None, config_map(x="1"), "one")
    assert apply(first, config_map(x="1"), "one", now=LATER) == first


def test_managers_own_their_fields_side_by_side() -> None:
    both = apply(apply(None, config_map(x="1"), "one"), config_map(y="2"), "two")
    assert both["data"] == {"x": "1", "y": "2"}
    assert managed(both, "one") == {"f:data": {"f:x": {}}}
    assert managed(both, "two") == {"f:data": {"f:y": {}}}


def test_conflict_names_the_owner() -> None:
    both = apply(apply(None, config_map(x="1"), "one"), config_map(y="2"), "two")
    with pytest.raises(ApplyConflict) as refused:
        apply(both, config_map(x="9"), "two")
    assert refused.value.message == 'Apply failed with 1 conflict: conflict with "one": .data.x'
    assert refused.value.conflicts == [("one", ".data.x", 'conflict with "one"')]


def test_force_takes_over_and_gives_up_what_is_no_longer_applied() -> None:
    both = apply(apply(None, config_map(x="1"), "one"), config_map(y="2"), "two")
    forced = apply(both, config_map(x="9"), "two", force=True)
    assert forced["data"] == {"x": "9"}
    assert managed(forced, "one") is None
    assert managed(forced, "two") == {"f:data": {"f:x": {}}}


def test_several_conflicts_are_listed_by_manager() -> None:
    live = apply(None, config_map(a="1", b="1"), "one")
    live = apply(live, config_map(c="1"), "two")
    with pytest.raises(ApplyConflict) as refused:
        apply(live, config_map(a="2", b="2", c="2"), "three")
    assert refused.value.message == (
        "Apply failed with 3 conflicts: "
        'conflicts with "one":\n- .data.a\n- .data.b\nconflicts with "two":\n- .data.c'
    )


def test_conflict_with_an_update_names_its_version() -> None:
    live = created({"metadata": {"name": "s"}, "data": {"x": "1"}}, "python", CONFIG_MAP)
    with pytest.raises(ApplyConflict) as refused:
        apply(live, config_map(x="2"), "one")
    assert refused.value.message == (
        'Apply failed with 1 conflict: conflict with "python" using v1: .data.x'
    )


def test_the_same_value_is_shared() -> None:
    live = apply(None, config_map(x="1"), "one")
    live = apply(live, config_map(x="1"), "two")
    assert managed(live, "one") == managed(live, "two") == {"f:data": {"f:x": {}}}
    live = apply(live, config_map(), "one")
    assert live["data"] == {"x": "1"}, "the other owner keeps it"
    live = apply(live, {"metadata": {"name": "s"}}, "two")
    assert "data" not in live


def test_fields_of_others_survive() -> None:
    live = created({"metadata": {"name": "s"}, "data": {"x": "1"}}, "python", CONFIG_MAP)
    live = apply(live, config_map(y="2"), "one")
    live = apply(live, {"metadata": {"name": "s"}}, "one")
    assert live["data"] == {"x": "1"}


def test_labels_and_annotations_are_maps() -> None:
    body = {"metadata": {"name": "s", "labels": {"a": "1"}, "annotations": {"x/y": "1"}}}
    live = apply(None, body, "one")
    assert managed(live, "one") == {
        "f:metadata": {"f:annotations": {"f:x/y": {}}, "f:labels": {"f:a": {}}}
    }


def test_inputs_are_left_alone() -> None:
    live = apply(None, config_map(x="1"), "one")
    body = {"apiVersion": "v1", "kind": "ConfigMap", **config_map(x="2")}
    before = copy.deepcopy((live, body))
    server_side_apply(
        CONFIG_MAP, live, body, manager="one", force=False, api_version="v1", now=LATER
    )
    assert (live, body) == before


# Lists


def test_keyed_lists_merge_by_key() -> None:
    live = created(web({"name": "c", "image": "nginx"}))
    template = {"spec": {"containers": [{"name": "side", "image": "side"}]}}
    done = apply(
        live,
        {"metadata": {"name": "web"}, "spec": {"template": template}},
        "m",
        type=DEPLOYMENT,
    )
    containers = done["spec"]["template"]["spec"]["containers"]
    assert [item["name"] for item in containers] == ["c", "side"]
    assert managed(done, "m") == {
        "f:spec": {
            "f:template": {
                "f:spec": {
                    "f:containers": {'k:{"name":"side"}': {".": {}, "f:image": {}, "f:name": {}}}
                }
            }
        }
    }


def test_an_item_nobody_applies_any_more_goes() -> None:
    live = apply(None, web({"name": "a", "image": "x"}, {"name": "b"}), "m", type=DEPLOYMENT)
    done = apply(live, web({"name": "b"}), "m", type=DEPLOYMENT)
    assert [c["name"] for c in done["spec"]["template"]["spec"]["containers"]] == ["b"]


def test_an_item_field_nobody_applies_any_more_goes() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    live = apply(None, web({"name": "a", "env": env}), "m", type=DEPLOYMENT)
    done = apply(live, web({"name": "a", "env": env[:1]}), "m", type=DEPLOYMENT)
    assert done["spec"]["template"]["spec"]["containers"][0]["env"] == env[:1]


def test_ports_are_keyed_by_port_and_protocol() -> None:
    ports = [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "UDP"}]
    live = apply(None, web({"name": "a", "ports": ports}), "m", type=DEPLOYMENT)
    owned = managed(live, "m")["f:spec"]["f:template"]["f:spec"]["f:containers"]
    assert set(owned['k:{"name":"a"}']["f:ports"]) == {
        'k:{"containerPort":80,"protocol":"TCP"}',
        'k:{"containerPort":80,"protocol":"UDP"}',
    }
    # An item without a protocol is the TCP one: it has that default.
    done = apply(live, web({"name": "a", "ports": [{"containerPort": 80}]}), "m", type=DEPLOYMENT)
    assert len(done["spec"]["template"]["spec"]["containers"][0]["ports"]) == 1


def test_atomic_lists_and_maps_are_owned_whole() -> None:
    live = apply(None, web({"name": "a", "args": ["x"]}), "one", type=DEPLOYMENT)
    owned = managed(live, "one")["f:spec"]
    assert owned["f:selector"] == {}
    container = {"name": "a", "args": ["y"]}
    with pytest.raises(ApplyConflict) as refused:
        apply(live, web(container), "two", type=DEPLOYMENT)
    assert refused.value.conflicts == [
        ("one", '.spec.template.spec.containers[name="a"].args', 'conflict with "one"')
    ]


def test_sets_of_scalars_merge() -> None:
    first = {"metadata": {"name": "s", "finalizers": ["x/a"]}}
    second = {"metadata": {"name": "s", "finalizers": ["x/b"]}}
    live = apply(apply(None, first, "one"), second, "two")
    assert live["metadata"]["finalizers"] == ["x/a", "x/b"]
    assert managed(live, "two") == {"f:metadata": {"f:finalizers": {'v:"x/b"': {}}}}
    live = apply(live, {"metadata": {"name": "s"}}, "one")
    assert live["metadata"]["finalizers"] == ["x/b"]


def test_merged_lists_keep_the_applied_order() -> None:
    live = apply(None, web({"name": "a"}, {"name": "b"}, {"name": "c"}), "m", type=DEPLOYMENT)
    live = apply(live, web({"name": "c"}, {"name": "d"}, {"name": "a"}), "n", type=DEPLOYMENT)
    order = [c["name"] for c in live["spec"]["template"]["spec"]["containers"]]
    assert order == ["b", "c", "d", "a"]


# What an applied configuration must be


def refusal(body: Object, type: Type = CONFIG_MAP) -> ApplyRefused:
    with pytest.raises(ApplyRefused) as refused:
        apply(None, body, "one", type=type)
    return refused.value


def test_undeclared_field() -> None:
    error = refusal({**config_map(a="1"), "datta": {}})
    assert error.code == 500
    assert error.message == (
        "failed to create typed patch object (/s; /v1, Kind=ConfigMap): "
        ".datta: field not declared in schema"
    )


def test_managed_fields_must_not_be_applied() -> None:
    error = refusal({"metadata": {"name": "s", "managedFields": []}})
    assert (error.code, error.message) == (400, "metadata.managedFields must be nil")


def test_other_version() -> None:
    error = refusal({**config_map(), "apiVersion": "v2"})
    assert error.code == 400
    assert "Specified patch version: v2, expected: v1" in error.message


@pytest.mark.parametrize(
    ("container", "text"),
    [
        (
            {"name": "c", "env": [{"name": "A"}, {"name": "A"}]},
            '.spec.template.spec.containers[name="c"].env: duplicate entries for key [name="A"]',
        ),
        (
            {"image": "x"},
            ".spec.template.spec.containers: element 0: associative list with keys has an element "
            'that omits key field "name" (and doesn\'t have default value)',
        ),
        (
            {"name": "c", "image": 1},
            '.spec.template.spec.containers[name="c"].image: expected string, got '
            "&value.valueUnstructured{Value:1}",
        ),
        (
            {"name": "c", "stdin": "yes"},
            '.spec.template.spec.containers[name="c"].stdin: expected boolean, got &{yes}',
        ),
        (
            {"name": "c", "env": {"A": "1"}},
            '.spec.template.spec.containers[name="c"].env: expected list, got &{map[A:1]}',
        ),
    ],
)
def test_misfits(container: Object, text: str) -> None:
    error = refusal(web(container), DEPLOYMENT)
    assert error.message == (
        f"failed to create typed patch object (/web; apps/v1, Kind=Deployment): {text}"
    )


# Creates, updates and patches


def test_create_owns_everything_but_what_is_always_there() -> None:
    # Recorded: spec, template and strategy are plain structs and have no "." of their own.
    obj = created(web({"name": "c", "image": "nginx"}, **{"replicas": 2}), "python-requests")
    assert managed(obj, "python-requests", "Update") == {
        "f:spec": {
            "f:progressDeadlineSeconds": {},
            "f:replicas": {},
            "f:revisionHistoryLimit": {},
            "f:selector": {},
            "f:strategy": {
                "f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}},
                "f:type": {},
            },
            "f:template": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"c"}': {
                            ".": {},
                            "f:image": {},
                            "f:imagePullPolicy": {},
                            "f:name": {},
                            "f:resources": {},
                            "f:terminationMessagePath": {},
                            "f:terminationMessagePolicy": {},
                        }
                    },
                    "f:dnsPolicy": {},
                    "f:restartPolicy": {},
                    "f:schedulerName": {},
                    "f:securityContext": {},
                    "f:terminationGracePeriodSeconds": {},
                },
            },
        }
    }


def update(live: Object, changed: Object, manager: str, **options: Any) -> Object:
    given = {"api_version": "v1", "now": LATER, "type": CONFIG_MAP, **options}
    return track(given.pop("type"), live, changed, manager=manager, **given)


def test_update_takes_what_it_changes_and_drops_what_it_removes() -> None:
    live = created(config_map(a="1", b="1"), "one", CONFIG_MAP)
    done = update(live, {**live, "data": {"a": "2", "c": "3"}}, "two")
    assert managed(done, "one", "Update") == {"f:data": {}}
    assert managed(done, "two", "Update") == {"f:data": {"f:a": {}, "f:c": {}}}


def test_update_that_changes_nothing_keeps_the_entries() -> None:
    live = created(config_map(a="1"), "one", CONFIG_MAP)
    assert update(live, copy.deepcopy(live), "two") == live


def test_update_without_managed_fields_keeps_the_stored_ones() -> None:
    live = created(config_map(a="1"), "one", CONFIG_MAP)
    bare = {**live, "metadata": {"name": "s"}}
    assert managed(update(live, bare, "two"), "one", "Update") == {"f:data": {".": {}, "f:a": {}}}


def test_managed_fields_can_be_replaced_and_cleared() -> None:
    live = created(config_map(a="1"), "one", CONFIG_MAP)
    entry = {**live["metadata"]["managedFields"][0], "manager": "kubectl", "operation": "Apply"}
    moved = {**live, "metadata": {"name": "s", "managedFields": [entry]}}
    done = update(live, moved, "kubectl")
    assert managed(done, "kubectl") == {"f:data": {".": {}, "f:a": {}}}
    assert managed(done, "one", "Update") is None
    cleared = update(live, {**live, "metadata": {"name": "s", "managedFields": [{}]}}, "x")
    assert "managedFields" not in cleared["metadata"]


def test_untracked_object_conflicts_as_before_first_apply() -> None:
    live = {"apiVersion": "v1", "kind": "ConfigMap", **config_map(a="1")}
    with pytest.raises(ApplyConflict, match='"before-first-apply" using v1'):
        apply(live, config_map(a="2"), "one")


def test_owner_references_are_leaves() -> None:
    owner = {"apiVersion": "v1", "kind": "X", "name": "x", "uid": "u1"}
    obj = created({"metadata": {"name": "s", "ownerReferences": [owner]}}, "m", CONFIG_MAP)
    assert managed(obj, "m", "Update") == {
        "f:metadata": {"f:ownerReferences": {".": {}, 'k:{"uid":"u1"}': {}}}
    }


def test_generate_name_is_owned_and_names_are_not() -> None:
    obj = created({"metadata": {"generateName": "g-", "namespace": "n"}}, "m", CONFIG_MAP)
    assert managed(obj, "m", "Update") == {"f:metadata": {"f:generateName": {}}}


def test_status_is_owned_through_its_subresource() -> None:
    live = created(web({"name": "c", "image": "x"}))
    condition = {"type": "Available", "status": "True"}
    changed = {**live, "status": {"replicas": 1, "conditions": [condition]}}
    through_main = update(live, changed, "m", type=DEPLOYMENT, api_version="apps/v1")
    assert managed(through_main, "m", "Update") is None
    done = update(live, changed, "m", type=DEPLOYMENT, api_version="apps/v1", subresource="status")
    assert managed(done, "m", "Update", "status") == {
        "f:status": {
            "f:conditions": {
                ".": {},
                'k:{"type":"Available"}': {".": {}, "f:status": {}, "f:type": {}},
            },
            "f:replicas": {},
        }
    }


def test_scale_takes_replicas_without_a_time() -> None:
    # Recorded: the entry of the scale subresource has no time and sorts before the others.
    live = created(web({"name": "c", "image": "x"}, **{"replicas": 2}))
    changed = {**live, "spec": {**live["spec"], "replicas": 1}}
    done = update(live, changed, "c", type=DEPLOYMENT, api_version="apps/v1", subresource="scale")
    first, second = done["metadata"]["managedFields"]
    assert first == {
        "manager": "c",
        "operation": "Update",
        "apiVersion": "apps/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
        "subresource": "scale",
    }
    assert "f:replicas" not in second["fieldsV1"]["f:spec"]


def test_appliers_come_before_updaters() -> None:
    live = created(config_map(a="1"), "a-updater", CONFIG_MAP)
    live = apply(live, config_map(b="1"), "z-applier", now=LATER)
    assert [m["manager"] for m in live["metadata"]["managedFields"]] == ["z-applier", "a-updater"]


def test_old_update_managers_are_merged() -> None:
    live = created(config_map(k="0"), "m", CONFIG_MAP)
    for number in range(1, 13):
        data = {**live["data"], f"k{number}": "1"}
        now = f"2026-11-23T06:{number:02}:00Z"
        live = update(live, {**live, "data": data}, f"m{number}", now=now)
    managers = [m["manager"] for m in live["metadata"]["managedFields"]]
    assert len(managers) == 10
    assert "ancient-changes" in managers
    assert "m" not in managers


def test_keep_times_undoes_a_write_that_only_moves_times() -> None:
    live = created(config_map(a="1"), "one", CONFIG_MAP)
    moved = copy.deepcopy(live)
    moved["metadata"]["managedFields"][0]["time"] = LATER
    assert keep_times(live, moved) == live
    changed = {**moved, "data": {"a": "2"}}
    assert keep_times(live, changed) == changed


# kubectl


def test_kubectl_moves_from_client_side_apply() -> None:
    """Follow the requests of ``kubectl apply --server-side`` on what ``kubectl apply`` made."""
    body = web({"name": "c", "image": "nginx"})
    full = {"apiVersion": "apps/v1", "kind": "Deployment", **body}
    annotated = copy.deepcopy(body)
    annotated["metadata"]["annotations"] = {LAST_APPLIED: json.dumps(full)}
    live = created(annotated, "kubectl-client-side-apply")
    # A changed image conflicts with nobody: the annotation shows it is kubectl's own.
    newer = web({"name": "c", "image": "nginx:2"})
    done = apply(live, newer, "kubectl", type=DEPLOYMENT, now=LATER)
    assert done["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:2"
    kept = json.loads(done["metadata"]["annotations"][LAST_APPLIED])
    assert kept["spec"] == newer["spec"], "the annotation follows"
    # Then kubectl turns the old entry into an applied one by patching managedFields.
    entries = copy.deepcopy(done["metadata"]["managedFields"])
    entries = [e for e in entries if e["manager"] != "kubectl-client-side-apply"]
    moved = {**done, "metadata": {**done["metadata"], "managedFields": entries}}
    done = track(DEPLOYMENT, done, moved, manager="kubectl", api_version="apps/v1", now=LATER)
    assert managed(done, "kubectl-client-side-apply", "Update") is None
    again = apply(done, web({"name": "c", "image": "nginx:3"}), "kubectl", type=DEPLOYMENT)
    assert again["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:3"


def test_other_managers_do_not_profit_from_kubectls_annotation() -> None:
    body = config_map(a="1")
    body["metadata"]["annotations"] = {
        LAST_APPLIED: json.dumps({"apiVersion": "v1", "kind": "ConfigMap", **config_map(a="1")})
    }
    live = created(body, "kubectl-client-side-apply", CONFIG_MAP)
    with pytest.raises(ApplyConflict):
        apply(live, config_map(a="2"), "helm")
    assert apply(live, config_map(a="2"), "kubectl")["data"] == {"a": "2"}


def test_kubectl_still_conflicts_on_what_changed_since() -> None:
    body = config_map(a="1")
    body["metadata"]["annotations"] = {
        LAST_APPLIED: json.dumps({"apiVersion": "v1", "kind": "ConfigMap", **config_map(a="1")})
    }
    live = created(body, "kubectl-client-side-apply", CONFIG_MAP)
    live = update(live, {**live, "data": {"a": "edited"}}, "somebody")
    with pytest.raises(ApplyConflict, match="somebody"):
        apply(live, config_map(a="2"), "kubectl")


# Custom resources


def widget() -> Type:
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer"},
                    "mode": {"type": "string", "default": "a"},
                    "plain": {"type": "array", "items": {"type": "string"}},
                    "tags": {
                        "type": "array",
                        "x-kubernetes-list-type": "set",
                        "items": {"type": "string"},
                    },
                    "parts": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["id"],
                        "items": {
                            "type": "object",
                            "required": ["id"],
                            "properties": {"id": {"type": "string"}, "n": {"type": "integer"}},
                        },
                    },
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    "whole": {
                        "type": "object",
                        "x-kubernetes-map-type": "atomic",
                        "additionalProperties": {"type": "string"},
                    },
                },
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    version = {
        "name": "v1",
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    names = {"kind": "Widget", "plural": "widgets"}
    return crd.types({"spec": {"group": "example.com", "names": names, "versions": [version]}})[
        "v1"
    ]


WIDGET = widget()


def make(spec: Object) -> Object:
    return {"metadata": {"name": "w"}, "spec": spec}


def test_custom_resource_update_owns_its_structs() -> None:
    obj = created(make({"size": 2}), "m", WIDGET)
    assert managed(obj, "m", "Update") == {"f:spec": {".": {}, "f:mode": {}, "f:size": {}}}


def test_custom_resource_apply() -> None:
    obj = apply(None, make({"size": 1}), "m", type=WIDGET)
    assert managed(obj, "m") == {"f:spec": {"f:size": {}}}


def test_custom_resource_status() -> None:
    live = created(make({"size": 1}), "m", WIDGET)
    done = update(
        live,
        {**live, "status": {"ok": True}},
        "m",
        type=WIDGET,
        api_version="example.com/v1",
        subresource="status",
    )
    assert managed(done, "m", "Update", "status") == {"f:status": {".": {}, "f:ok": {}}}


def test_custom_resource_topologies() -> None:
    spec = {
        "plain": ["a"],
        "tags": ["x"],
        "parts": [{"id": "1", "n": 1}],
        "free": {"deep": {"er": [1]}},
        "whole": {"k": "v"},
    }
    live = apply(None, make(spec), "one", type=WIDGET)
    assert managed(live, "one") == {
        "f:spec": {
            "f:free": {"f:deep": {".": {}, "f:er": {}}},
            "f:parts": {'k:{"id":"1"}': {".": {}, "f:id": {}, "f:n": {}}},
            "f:plain": {},
            "f:tags": {'v:"x"': {}},
            "f:whole": {},
        }
    }
    live = apply(live, make({"tags": ["y"], "parts": [{"id": "2"}]}), "two", type=WIDGET)
    assert live["spec"]["tags"] == ["x", "y"]
    assert [part["id"] for part in live["spec"]["parts"]] == ["1", "2"]
    with pytest.raises(ApplyConflict, match=r"\.spec\.plain"):
        apply(live, make({"plain": ["b"]}), "two", type=WIDGET)


def test_custom_resource_undeclared_field() -> None:
    error = refusal(make({"colour": "red"}), WIDGET)
    assert error.message.endswith(".spec.colour: field not declared in schema")
