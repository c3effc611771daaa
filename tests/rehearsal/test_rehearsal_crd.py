"""CustomResourceDefinitions and the validation of custom resources."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from runbook.rehearsal.objects import crd, defaults
from runbook.rehearsal.objects.schema import Type, builtin

NOW = "2026-11-23T05:53:38Z"
Object = dict[str, Any]

WIDGET_SPEC: Object = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1},
        "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
    },
}


def widget_definition() -> Object:
    schema = {
        "type": "object",
        "properties": {
            "spec": copy.deepcopy(WIDGET_SPEC),
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    obj = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
                    ],
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }
    return defaults.fill("CustomResourceDefinition", obj)


def found(obj: Object, old: Object | None = None) -> dict[str, str]:
    return {cause.field: cause.message for cause in crd.causes(obj, old)}


# The definition


def test_a_good_definition_has_no_causes() -> None:
    assert crd.causes(widget_definition()) == []


def test_defaults_of_a_definition() -> None:
    spec = widget_definition()["spec"]
    assert spec["names"]["singular"] == "widget"
    assert spec["names"]["listKind"] == "WidgetList"
    assert spec["conversion"] == {"strategy": "None"}


def test_definition_survives_its_own_schema() -> None:
    kind = builtin("1.35").of("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
    assert kind is not None
    obj = widget_definition()
    assert kind.unknown(obj) == []
    assert kind.prune(obj) == obj


def test_no_schema() -> None:
    obj = widget_definition()
    del obj["spec"]["versions"][0]["schema"]
    assert found(obj) == {"spec.versions[0].schema.openAPIV3Schema": "Required value"}


def test_name_must_be_plural_dot_group() -> None:
    obj = widget_definition()
    obj["metadata"]["name"] = "gadgets.example.com"
    assert found(obj) == {
        "metadata.name": 'Invalid value: "gadgets.example.com": must be '
        'spec.names.plural+"."+spec.group'
    }


def test_one_storage_version() -> None:
    obj = widget_definition()
    obj["spec"]["versions"].append({**obj["spec"]["versions"][0], "name": "v2"})
    assert "must have exactly one version marked as storage version" in found(obj)["spec.versions"]


def test_scope() -> None:
    obj = widget_definition()
    obj["spec"]["scope"] = "Galaxy"
    assert found(obj)["spec.scope"] == (
        'Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"'
    )


ROOT = "spec.versions[0].schema.openAPIV3Schema"


@pytest.mark.parametrize(
    ("schema", "field", "message"),
    [
        ({}, "type", "Required value: must not be empty at the root"),
        ({"type": "string"}, "type", 'Invalid value: "string": must be object at the root'),
        (
            {"type": "object", "properties": {"a": {}}},
            "properties[a].type",
            "Required value: must not be empty for specified object fields",
        ),
        (
            {"type": "object", "properties": {"a": {"type": "array"}}},
            "properties[a].items",
            "Required value: must be specified",
        ),
        (
            {"type": "object", "properties": {"a": {"type": "array", "items": {}}}},
            "properties[a].items.type",
            "Required value: must not be empty for specified array items",
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "object"}},
                "additionalProperties": {"type": "string"},
            },
            "additionalProperties",
            "Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            {"type": "object", "properties": {"a": {"type": "string", "uniqueItems": True}}},
            "properties[a].uniqueItems",
            "Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes "
            "quadratic",
        ),
        (
            {"type": "object", "properties": {"a": {"type": "text"}}},
            "properties[a].type",
            'Unsupported value: "text": supported values: "array", "boolean", "integer", '
            '"number", "object", "string"',
        ),
    ],
)
def test_structural_rules(schema: Object, field: str, message: str) -> None:
    obj = widget_definition()
    obj["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema
    assert found(obj)[f"{ROOT}.{field}"] == message


def test_types_may_be_left_out_where_anything_goes() -> None:
    obj = widget_definition()
    obj["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = {
        "type": "object",
        "properties": {
            "a": {"x-kubernetes-int-or-string": True},
            "b": {"x-kubernetes-preserve-unknown-fields": True},
        },
    }
    assert crd.causes(obj) == []


def test_list_keys_must_exist_and_be_required() -> None:
    items = {"type": "object", "properties": {"id": {"type": "string"}}}
    field = {
        "type": "array",
        "items": items,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["id", "nope"],
    }
    obj = widget_definition()
    obj["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = {
        "type": "object",
        "properties": {"a": field},
    }
    assert sorted(found(obj)) == [
        f"{ROOT}.properties[a].items.properties[id].default",
        f"{ROOT}.properties[a].x-kubernetes-list-map-keys[1]",
    ]


def test_defaults_must_be_valid() -> None:
    obj = widget_definition()
    properties = obj["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    properties["spec"]["properties"]["mode"]["default"] = "z"
    (field, message), *rest = found(obj).items()
    assert field == f"{ROOT}.properties[spec].properties[mode].default"
    assert message.startswith('Unsupported value: "z"')
    assert not rest


def test_immutable_parts_of_a_definition() -> None:
    old = crd.accept(widget_definition(), NOW)
    new = copy.deepcopy(old)
    new["spec"]["scope"] = "Cluster"
    new["spec"]["versions"][0]["name"] = "v2"
    assert found(new, old)["spec.scope"] == 'Invalid value: "Cluster": field is immutable'
    assert "status.storedVersions[0]" in found(new, old)


def test_status_before_and_after_acceptance() -> None:
    new = crd.initial(widget_definition())
    assert new["status"] == {
        "conditions": None,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": ["v1"],
    }
    accepted = crd.accept(new, NOW)
    assert accepted["status"] == {
        "conditions": [
            {
                "type": "NamesAccepted",
                "status": "True",
                "lastTransitionTime": NOW,
                "reason": "NoConflicts",
                "message": "no conflicts found",
            },
            {
                "type": "Established",
                "status": "True",
                "lastTransitionTime": NOW,
                "reason": "InitialNamesAccepted",
                "message": "the initial names have been accepted",
            },
        ],
        "acceptedNames": {
            "plural": "widgets",
            "singular": "widget",
            "shortNames": ["wd"],
            "kind": "Widget",
            "listKind": "WidgetList",
        },
        "storedVersions": ["v1"],
    }
    assert crd.accept(accepted, "2027-01-01T00:00:00Z") == accepted, "times stay"


def test_a_second_storage_version_is_remembered() -> None:
    obj = crd.accept(widget_definition(), NOW)
    first = obj["spec"]["versions"][0]
    obj["spec"]["versions"] = [{**first, "storage": False}, {**first, "name": "v2"}]
    assert crd.causes(obj, obj) == []
    assert crd.accept(obj, NOW)["status"]["storedVersions"] == ["v1", "v2"]


def test_taken_names_are_not_established() -> None:
    obj = crd.accept(crd.initial(widget_definition()), NOW, taken='"widgets" is already in use')
    conditions = {c["type"]: c["status"] for c in obj["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "False", "Established": "False"}


# Its objects


def widget() -> Type:
    return crd.types(widget_definition())["v1"]


def check(kind: Type, **spec: Any) -> list[tuple[str, str, str]]:
    obj = {"metadata": {"name": "w"}, "spec": spec}
    filled = kind.default(kind.prune(obj))
    return [(cause.field, cause.reason, cause.message) for cause in kind.check(filled)]


def test_defaults_and_pruning() -> None:
    obj = {"metadata": {"name": "w1"}, "spec": {"size": 2, "colour": "red"}}
    kind = widget()
    assert kind.unknown(obj) == ['unknown field "spec.colour"']
    assert kind.default(kind.prune(obj))["spec"] == {"size": 2, "mode": "a"}
    assert obj["spec"] == {"size": 2, "colour": "red"}


def test_metadata_of_a_custom_resource() -> None:
    kind = widget()
    assert kind.unknown({"metadata": {"name": "x", "nope": 1}}) == ['unknown field "metadata.nope"']
    assert kind.misfits({"spec": {"size": "2"}}) is None
    assert kind.misfits({"metadata": {"labels": {"a": 1}}}) == (
        "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"
    )


def test_invalid_values_as_recorded() -> None:
    assert check(widget(), size=0, mode="z") == [
        (
            "spec.mode",
            "FieldValueNotSupported",
            'Unsupported value: "z": supported values: "a", "b"',
        ),
        (
            "spec.size",
            "FieldValueInvalid",
            "Invalid value: 0: spec.size in body should be greater than or equal to 1",
        ),
    ]


def test_required_as_recorded() -> None:
    assert check(widget()) == [("spec.size", "FieldValueRequired", "Required value")]


def test_wrong_type() -> None:
    assert check(widget(), size="two") == [
        (
            "spec.size",
            "FieldValueTypeInvalid",
            'Invalid value: "string": spec.size in body must be of type integer: "string"',
        )
    ]


def test_status_keeps_what_it_likes() -> None:
    kind = widget()
    obj = {"spec": {"size": 1}, "status": {"ok": True, "deep": [{"er": 1}]}}
    assert kind.prune(obj)["status"] == obj["status"]
    assert kind.has_status


def field_type(schema: Object) -> Type:
    obj = widget_definition()
    obj["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"f": schema}}},
    }
    assert crd.causes(obj) == []
    return crd.types(obj)["v1"]


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        (
            {"type": "string", "pattern": "^a$"},
            "b",
            "Invalid value: \"b\": spec.f in body should match '^a$'",
        ),
        ({"type": "string", "maxLength": 2}, "abc", "Too long: may not be more than 2 bytes"),
        (
            {"type": "string", "minLength": 2},
            "a",
            'Invalid value: "a": spec.f in body should be at least 2 chars long',
        ),
        (
            {"type": "integer", "maximum": 3, "exclusiveMaximum": True},
            3,
            "Invalid value: 3: spec.f in body should be less than 3",
        ),
        (
            {"type": "integer", "multipleOf": 5},
            7,
            "Invalid value: 7: spec.f in body should be a multiple of 5",
        ),
        (
            {"type": "array", "maxItems": 1, "items": {"type": "string"}},
            ["a", "b"],
            "Too many: 2: must have at most 1 items",
        ),
        (
            {"type": "array", "minItems": 1, "items": {"type": "string"}},
            [],
            "Invalid value: 0: spec.f in body should have at least 1 items",
        ),
        (
            {"type": "string", "format": "date-time"},
            "soon",
            'Invalid value: "soon": spec.f in body must be of type date-time: "soon"',
        ),
        (
            {"x-kubernetes-int-or-string": True},
            True,
            'Invalid value: "boolean": spec.f in body must be of type integer,string: "boolean"',
        ),
        (
            {"type": "array", "items": {"type": "string"}},
            [None],
            'Invalid value: "null": spec.f[0] in body must be of type string: "null"',
        ),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            "x",
            'Invalid value: "string": spec.f in body must be of type object: "string"',
        ),
    ],
)
def test_value_validations(schema: Object, value: Any, message: str) -> None:
    assert [text for _, _, text in check(field_type(schema), f=value)] == [message]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "nullable": True}, None),
        ({"x-kubernetes-int-or-string": True}, "10%"),
        ({"x-kubernetes-int-or-string": True}, 10),
        ({"type": "integer"}, 2.0),
        ({"type": "number"}, 2),
        ({"x-kubernetes-preserve-unknown-fields": True}, {"a": [1]}),
    ],
)
def test_allowed_values(schema: Object, value: Any) -> None:
    assert check(field_type(schema), f=value) == []


def test_null_is_as_good_as_absent_where_it_is_not_allowed() -> None:
    assert field_type({"type": "string"}).default({"spec": {"f": None}}) == {"spec": {}}


def test_null_gives_way_to_a_default() -> None:
    kind = field_type({"type": "string", "default": "d"})
    assert kind.default({"spec": {"f": None}})["spec"]["f"] == "d"
    kind = field_type({"type": "string", "default": "d", "nullable": True})
    assert kind.default({"spec": {"f": None}})["spec"]["f"] is None


def test_duplicates_in_sets_and_keyed_lists() -> None:
    tags = {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}
    assert check(field_type(tags), f=["a", "a"]) == [
        ("spec.f[1]", "FieldValueDuplicate", 'Duplicate value: "a"')
    ]
    items = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}
    parts = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["id"],
        "items": items,
    }
    assert check(field_type(parts), f=[{"id": "a"}, {"id": "a"}]) == [
        ("spec.f[1]", "FieldValueDuplicate", 'Duplicate value: {"id":"a"}')
    ]


def test_one_of() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
    }
    kind = field_type(schema)
    assert check(kind, f={"a": "1"}) == []
    none, both = check(kind, f={}), check(kind, f={"a": "1", "b": "1"})
    text = 'Invalid value: "": "spec.f" must validate one and only one schema (oneOf). '
    assert none[0] == ("<nil>", "FieldValueInvalid", text + "Found none valid")
    assert none[1] == ("spec.f.a", "FieldValueRequired", "Required value")
    assert both == [("<nil>", "FieldValueInvalid", text + "Found 2 valid alternatives")]


def test_any_of_all_of_and_not() -> None:
    kind = field_type({"type": "string", "anyOf": [{"pattern": "^a"}, {"pattern": "^b"}]})
    assert check(kind, f="bx") == []
    assert check(kind, f="c")[0][2].endswith('"spec.f" must validate at least one schema (anyOf)')
    kind = field_type({"type": "string", "allOf": [{"pattern": "^a"}, {"maxLength": 2}]})
    assert check(kind, f="abc")[0][2].endswith('"spec.f" must validate all the schemas (allOf)')
    kind = field_type({"type": "string", "not": {"enum": ["x"]}})
    assert check(kind, f="x")[0][2].endswith('"spec.f" must not validate the schema (not)')


def test_embedded_resources_keep_their_type_and_metadata() -> None:
    schema = {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "properties": {"spec": {"type": "object"}},
    }
    kind = field_type(schema)
    inner = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "data": 1}
    assert kind.unknown({"spec": {"f": inner}}) == ['unknown field "spec.f.data"']
    assert kind.prune({"spec": {"f": inner}})["spec"]["f"].keys() == {
        "apiVersion",
        "kind",
        "metadata",
    }
    assert [c[0] for c in check(kind, f={"metadata": {}})] == ["spec.f.apiVersion", "spec.f.kind"]


def test_unchecked_rules_are_mentioned() -> None:
    rules = [{"rule": "self.size() > 1"}]
    kind = field_type({"type": "string", "x-kubernetes-validations": rules})
    assert check(kind, f="x") == [], "rules are not evaluated"
    causes = check(kind, f=1)
    assert causes[-1][0] == "<nil>"
    assert "some validation rules were not checked" in causes[-1][2]
