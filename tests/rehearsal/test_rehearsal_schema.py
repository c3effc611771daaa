"""Strict decoding, wrong types and pruning of built-in kinds."""

from __future__ import annotations

from typing import Any

import pytest

from runbook.errors import RehearsalError
from runbook.rehearsal.objects.formats import base64_error, matches_format, quantity_value
from runbook.rehearsal.objects.schema import Cause, Type, builtin

VERSIONS = [f"1.{minor}" for minor in range(25, 38)]


def kind(name: str, group: str = "", version: str = "v1") -> Type:
    found = builtin("1.35").of(group, version, name)
    assert found is not None
    return found


CONFIG_MAP = kind("ConfigMap")
DEPLOYMENT = kind("Deployment", "apps")
POD = kind("Pod")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_knows_the_common_kinds(version: str) -> None:
    types = builtin(version)
    for group, name in (("", "Pod"), ("apps", "Deployment"), ("batch", "CronJob")):
        found = types.of(group, "v1", name)
        assert found is not None
        assert found.unknown({"metadata": {"name": "x"}, "nope": 1}) == ['unknown field "nope"']


def test_versions_differ() -> None:
    assert builtin("1.25").of("policy", "v1", "PodDisruptionBudget") is not None
    assert builtin("1.35").of("batch", "v1beta1", "CronJob") is None
    assert builtin("1.35").of("example.com", "v1", "Widget") is None


def test_unpublished_version() -> None:
    with pytest.raises(RehearsalError, match=r"1\.99"):
        builtin("1.99")


def test_types_are_made_once() -> None:
    assert builtin("1.35") is builtin("1.35")
    assert kind("Pod") is POD
    assert DEPLOYMENT.api_version == "apps/v1"
    assert DEPLOYMENT.has_status
    assert not CONFIG_MAP.has_status


# Wrong types: the first one is recorded, the others follow Go's decoder


def container(**fields: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"name": "c", **fields}]}}}}


@pytest.mark.parametrize(
    ("type", "obj", "text"),
    [
        (
            CONFIG_MAP,
            {"data": {"a": 1}},
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        (
            DEPLOYMENT,
            {"spec": {"replicas": "2"}},
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas "
            "of type int32",
        ),
        (
            DEPLOYMENT,
            {"spec": {"replicas": 1.5}},
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas "
            "of type int32",
        ),
        (
            DEPLOYMENT,
            container(env=[{"name": "A", "value": 1}]),
            "json: cannot unmarshal number into Go struct field "
            "EnvVar.spec.template.spec.containers.env.value of type string",
        ),
        (
            DEPLOYMENT,
            {"spec": {"template": {"spec": {"containers": {"name": "c"}}}}},
            "json: cannot unmarshal object into Go struct field "
            "PodSpec.spec.template.spec.containers of type []v1.Container",
        ),
        (
            POD,
            {"metadata": {"labels": {"a": True}}},
            "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels "
            "of type string",
        ),
        (
            POD,
            {"metadata": {"labels": "a=b"}},
            "json: cannot unmarshal string into Go struct field ObjectMeta.metadata.labels "
            "of type map[string]string",
        ),
        (
            POD,
            {"spec": "x"},
            "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec",
        ),
        (
            POD,
            {"spec": {"hostNetwork": "yes"}},
            "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork "
            "of type bool",
        ),
        (
            kind("Service"),
            {"spec": {"ports": [{"port": 80, "targetPort": True}]}},
            "json: cannot unmarshal bool into Go value of type int32",
        ),
        (
            DEPLOYMENT,
            container(resources={"limits": {"cpu": "lots"}}),
            "quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (kind("Secret"), {"data": {"k": "***"}}, "illegal base64 data at input byte 0"),
        (
            POD,
            {"metadata": {"creationTimestamp": "yesterday"}},
            'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": '
            'cannot parse "yesterday" as "2006"',
        ),
    ],
)
def test_misfits(type: Type, obj: dict[str, Any], text: str) -> None:
    assert type.misfits(obj) == text


@pytest.mark.parametrize(
    "obj",
    [
        {"spec": {"replicas": None}},
        container(resources={"limits": {"cpu": 1, "memory": "1Gi"}}),
        container(livenessProbe={"httpGet": {"port": "http"}}),
        container(livenessProbe={"httpGet": {"port": 8080}}),
        {"metadata": {"creationTimestamp": "2026-11-23T05:53:22Z", "annotations": None}},
        {"metadata": {"managedFields": [{"fieldsV1": {"f:data": {"f:a": {}}}}]}},
    ],
)
def test_what_fits(obj: dict[str, Any]) -> None:
    assert DEPLOYMENT.misfits(obj) is None


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        ({"spec": {"replicas": "x"}}, "cannot convert string to int32"),
        (container(image=1), "cannot convert int64 to string"),
        (container(env={}), "cannot restore slice from map"),
        ({"metadata": {"labels": "a"}}, "cannot restore map from string"),
        ({"spec": {"template": []}}, "cannot restore struct from: slice"),
        ({"spec": {"replicas": 2}}, None),
    ],
)
def test_conversion_errors_of_strategic_patches(obj: dict[str, Any], text: str | None) -> None:
    assert DEPLOYMENT.unconvertible(obj) == text


# Unknown fields


def test_unknown_fields_are_named_by_path() -> None:
    obj = {
        "metadata": {"name": "x", "labells": {}},
        "spec": {"colour": 1, "template": {"spec": {"containers": [{"imagee": "x"}]}}},
    }
    assert DEPLOYMENT.unknown(obj) == [
        'unknown field "metadata.labells"',
        'unknown field "spec.colour"',
        'unknown field "spec.template.spec.containers[0].imagee"',
    ]


def test_maps_and_free_content_have_no_unknown_fields() -> None:
    assert CONFIG_MAP.unknown({"data": {"anything": "1"}}) == []
    crd = kind("CustomResourceDefinition", "apiextensions.k8s.io")
    schema = {"type": "object", "default": {"x": 1}, "properties": {"a": {"items": {"q": 1}}}}
    obj = {"spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}}
    assert crd.unknown(obj) == []
    revision = kind("ControllerRevision", "apps")
    assert revision.unknown({"data": {"spec": {"any": 1}}, "revision": 1}) == []


# Pruning


def test_prune_drops_what_go_does_not_write() -> None:
    obj = {
        "metadata": {
            "name": "x",
            "labels": {},
            "annotations": {"a": ""},
            "deletionTimestamp": None,
        },
        "data": {"empty": "", "a": "1"},
        "datta": {},
    }
    assert CONFIG_MAP.prune(obj) == {
        "metadata": {"name": "x", "annotations": {"a": ""}},
        "data": {"empty": "", "a": "1"},
    }


def test_prune_keeps_structs_pointers_and_zeros() -> None:
    obj = {
        "spec": {
            "replicas": 0,
            "paused": False,
            "template": {
                "spec": {
                    "containers": [{"name": "c", "env": [], "resources": {}}],
                    "volumes": [{"name": "v", "emptyDir": {}}, {"hostPath": {"type": ""}}],
                }
            },
        }
    }
    spec = DEPLOYMENT.prune(obj)["spec"]
    assert spec["replicas"] == 0
    assert spec["template"]["spec"] == {
        "containers": [{"name": "c", "resources": {}}],
        "volumes": [{"name": "v", "emptyDir": {}}, {"hostPath": {"type": ""}}],
    }


def test_an_empty_storage_class_means_none_and_stays() -> None:
    claim = kind("PersistentVolumeClaim").prune(
        {"spec": {"storageClassName": "", "volumeName": ""}}
    )
    assert claim == {"spec": {"storageClassName": ""}}


def test_prune_does_not_share_or_change_its_input() -> None:
    obj = {"spec": {"template": {"spec": {"containers": [{"name": "c", "args": ["a"]}]}}}}
    pruned = DEPLOYMENT.prune(obj)
    pruned["spec"]["template"]["spec"]["containers"][0]["args"].append("b")
    assert obj["spec"]["template"]["spec"]["containers"][0]["args"] == ["a"]


def test_default_adds_the_structs_that_are_always_there() -> None:
    assert DEPLOYMENT.default({"spec": {"template": {}}}) == {
        "metadata": {},
        "spec": {"template": {"metadata": {}, "spec": {}}, "strategy": {}},
        "status": {},
    }
    assert "status" not in CONFIG_MAP.default({})


# Required strings


def test_check_asks_for_required_strings() -> None:
    volumes = [{"name": "v", "hostPath": {}}]
    obj = {"spec": {"volumes": volumes, "containers": [{"image": "x"}]}}
    found = POD.check(obj)
    assert Cause("FieldValueRequired", "Required value", "spec.volumes[0].hostPath.path") in found
    assert Cause("FieldValueRequired", "Required value", "spec.containers[0].name") in found


def test_check_leaves_the_status_to_its_controllers() -> None:
    assert POD.check({"status": {"conditions": [{}]}, "spec": {}}) == []


# Scalars


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("250m", 0.25), ("1Ki", 1024), ("1.5Gi", 1.5 * 2**30), ("1e3", 1000), ("2E", 2e18)],
)
def test_quantities(text: str, value: float) -> None:
    assert float(quantity_value(text)) == value


@pytest.mark.parametrize("text", ["", "x", "1.2.3", "1Q", "1ki"])
def test_bad_quantities(text: str) -> None:
    with pytest.raises(ValueError, match="quantit"):
        quantity_value(text)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [("dg==", None), ("dg=", "byte"), ("a b", "byte 1"), ("", None), ("dg==\n", None)],
)
def test_base64(text: str, wrong: str | None) -> None:
    found = base64_error(text)
    assert (found is None) == (wrong is None)
    assert wrong is None or wrong in (found or "")


@pytest.mark.parametrize(
    ("format", "good", "bad"),
    [
        ("date-time", "2026-11-23T05:53:22.5Z", "2026-13-23T05:53:22Z"),
        ("ipv4", "10.0.0.1", "10.0.0.256"),
        ("ipv6", "::1", "10.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("duration", "1h30m", "90"),
        ("uuid", "b5f462c9-f320-46e1-bc87-eb99c620feed", "b5f462c9"),
        ("uri", "https://x/y", "no uri"),
        ("int32", 2**31 - 1, 2**31),
        ("byte", "dg==", "***"),
    ],
)
def test_formats(format: str, good: Any, bad: Any) -> None:
    assert matches_format(format, good)
    assert not matches_format(format, bad)
    assert matches_format("unheard-of", bad)
