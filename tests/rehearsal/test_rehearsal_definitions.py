"""Custom resources, from their definition to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bare import APPLY, MERGE, Api

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
LAMPS = "/apis/example.org/v1/namespaces/default/lamps"


def definition(**changes: Any) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "watts": {"type": "integer"},
                    "replicas": {"type": "integer", "default": 1},
                },
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [
            {"name": "Watts", "type": "integer", "jsonPath": ".spec.watts"},
            {"name": "Since", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
    }
    names = {"plural": "lamps", "singular": "lamp", "kind": "Lamp", "categories": ["lights"]}
    spec = {"group": "example.org", "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": "lamps.example.org"}, "spec": {**spec, **changes}}


def eventually(check: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not check():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def lamps(api: Api) -> Iterator[str]:
    assert api("POST", CRDS, definition()).status == 201
    eventually(lambda: api("GET", LAMPS).status == 200)
    yield LAMPS
    api("DELETE", f"{CRDS}/lamps.example.org")
    eventually(lambda: api("GET", f"{CRDS}/lamps.example.org").status == 404)


def lamp(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.org/v1",
        "kind": "Lamp",
        "metadata": {"name": name},
        "spec": spec,
    }


def test_a_definition_is_served_and_announced(api: Api, lamps: str) -> None:
    (resource, *subresources) = api("GET", "/apis/example.org/v1").body["resources"]
    assert (resource["kind"], resource["categories"]) == ("Lamp", ["lights"])
    assert [s["name"] for s in subresources] == ["lamps/status", "lamps/scale"]
    services = "/apis/apiregistration.k8s.io/v1/apiservices"
    assert api("GET", f"{services}/v1.example.org").status == 200
    assert "apis/example.org/v1" in api("GET", "/openapi/v3").body["paths"]
    document = api("GET", "/openapi/v3/apis/example.org/v1").body
    kinds = document["components"]["schemas"]["org.example.v1.Lamp"]
    assert kinds["properties"]["spec"]["properties"]["watts"] == {"type": "integer"}


def test_custom_resources_live_like_others(api: Api, lamps: str) -> None:
    made = api("POST", lamps, lamp("desk", watts=5)).body
    assert made["spec"] == {"watts": 5, "replicas": 1}
    assert made["metadata"]["generation"] == 1
    changed = api("PATCH", f"{lamps}/desk", {"spec": {"watts": 7}}, MERGE).body
    assert changed["metadata"]["generation"] == 2
    applied = api("PATCH", f"{lamps}/desk?fieldManager=m&force=true", lamp("desk", watts=8), APPLY)
    assert applied.body["spec"]["watts"] == 8
    stale = api("PUT", f"{lamps}/desk", lamp("desk", watts=9))
    assert stale.status == 422, "a custom resource needs its resourceVersion"
    assert "metadata.resourceVersion" in stale.message


def test_their_scale(api: Api, lamps: str) -> None:
    api("POST", lamps, lamp("many", replicas=2))
    status = {"status": {"replicas": 1, "selector": "lamp=many"}}
    assert api("PATCH", f"{lamps}/many/status", status, MERGE).status == 200
    scale = api("GET", f"{lamps}/many/scale").body
    assert scale["spec"] == {"replicas": 2}
    assert scale["status"] == {"replicas": 1, "selector": "lamp=many"}
    assert api("PATCH", f"{lamps}/many/scale", {"spec": {"replicas": 4}}, MERGE).status == 200
    assert api("GET", f"{lamps}/many").body["spec"]["replicas"] == 4


def test_their_table(api: Api, lamps: str) -> None:
    api("POST", lamps, lamp("printed", watts=3))
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    table = api("GET", lamps, Accept=accept).body
    assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "Watts", "Since"]
    name, watts, since = table["rows"][0]["cells"]
    assert (name, watts, since[-1]) == ("printed", 3, "s")


def test_new_versions_are_served_without_conversion(api: Api, lamps: str) -> None:
    api("POST", lamps, lamp("both", watts=1))
    crd = api("GET", f"{CRDS}/lamps.example.org").body
    second = {**crd["spec"]["versions"][0], "name": "v2", "storage": False}
    crd["spec"]["versions"].append(second)
    assert api("PUT", f"{CRDS}/lamps.example.org", crd).status == 200
    path = "/apis/example.org/v2/namespaces/default/lamps/both"
    eventually(lambda: api("GET", path).status == 200)
    found = api("GET", path).body
    assert (found["apiVersion"], found["spec"]["watts"]) == ("example.org/v2", 1)
    group = api("GET", "/apis/example.org").body
    assert [v["version"] for v in group["versions"]] == ["v2", "v1"]


def test_deleting_a_definition_deletes_its_resources(api: Api, lamps: str) -> None:
    api("POST", lamps, lamp("gone"))
    held = lamp("held")
    held["metadata"]["finalizers"] = ["example.org/hold"]
    api("POST", lamps, held)
    left = api("DELETE", f"{CRDS}/lamps.example.org").body
    assert "customresourcecleanup.apiextensions.k8s.io" in left["metadata"]["finalizers"]
    eventually(lambda: api("GET", f"{lamps}/gone").status == 404)
    assert "deletionTimestamp" in api("GET", f"{lamps}/held").body["metadata"]
    api("PATCH", f"{lamps}/held", {"metadata": {"finalizers": None}}, MERGE)
    eventually(lambda: api("GET", f"{CRDS}/lamps.example.org").status == 404)
    assert api("GET", lamps).status == 404
    services = "/apis/apiregistration.k8s.io/v1/apiservices"
    assert api("GET", f"{services}/v1.example.org").status == 404


def test_names_belong_to_the_first_definition(api: Api, lamps: str) -> None:
    names = {"plural": "lampes", "singular": "lampe", "kind": "Lamp"}
    other = definition(names=names)
    other["metadata"]["name"] = "lampes.example.org"
    assert api("POST", CRDS, other).status == 201
    path = f"{CRDS}/lampes.example.org"

    def refused() -> bool:
        conditions = api("GET", path).body["status"]["conditions"] or []
        return {"NamesAccepted": "False"}.items() <= {
            c["type"]: c["status"] for c in conditions
        }.items()

    eventually(refused)
    assert api("GET", "/apis/example.org/v1/namespaces/default/lampes").status == 404
    api("DELETE", path)
    eventually(lambda: api("GET", path).status == 404)
