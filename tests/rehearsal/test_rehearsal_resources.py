from __future__ import annotations

from typing import Any

import pytest

from runbook.rehearsal.apiserver.discovery import Discovery
from runbook.rehearsal.apiserver.registry import Registry
from runbook.rehearsal.apiserver.requests import Request, Target, target
from runbook.rehearsal.apiserver.resources import builtin

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V2BETA1 = V2.replace("v2;", "v2beta1;")


def definition(**version: Any) -> dict[str, Any]:
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"]}
    versions = [
        {"name": "v1alpha1", "served": True, "storage": False},
        {"name": "v1", "served": True, "storage": True, **version},
        {"name": "v2", "served": False, "storage": False},
    ]
    return {
        "metadata": {"name": "widgets.example.com", "resourceVersion": "7"},
        "spec": {"group": "example.com", "scope": "Cluster", "names": names, "versions": versions},
    }


def served(version: str) -> set[str]:
    return {f"{r.api_version}/{r.plural}" for r in builtin(version)}


@pytest.mark.parametrize(
    ("resource", "first", "last"),
    [
        ("batch/v1beta1/cronjobs", None, "1.24"),
        ("policy/v1beta1/podsecuritypolicies", None, "1.24"),
        ("networking.k8s.io/v1/servicecidrs", "1.33", None),
        ("resource.k8s.io/v1/deviceclasses", "1.34", None),
    ],
)
def test_resources_come_and_go_with_versions(
    resource: str, first: str | None, last: str | None
) -> None:
    if first:
        before = f"1.{int(first.split('.')[1]) - 1}"
        assert resource in served(first)
        assert resource not in served(before)
    if last:
        after = f"1.{int(last.split('.')[1]) + 1}"
        assert resource in served(last)
        assert resource not in served(after)


def test_storage_hashes_are_those_of_a_real_server() -> None:
    hashes = {r.plural: r.storage_hash for r in builtin("1.35")}
    assert hashes["configmaps"] == "qFsyl6wFWjQ="
    assert hashes["deployments"] == "8aSe+NMegvE="


def test_a_definition_is_served_until_it_is_dropped() -> None:
    registry = Registry("1.35")
    registry.define(definition(subresources={"status": {}, "scale": {}}))
    widget = registry.find("example.com", "v1", "widgets")
    assert widget is not None
    assert not widget.namespaced
    assert [s.name for s in widget.subresources] == ["status", "scale"]
    assert registry.groups()["example.com"] == ["v1", "v1alpha1"]
    assert registry.find("example.com", "v2", "widgets") is None
    registry.drop("widgets.example.com")
    assert registry.find("example.com", "v1", "widgets") is None
    assert "example.com" not in registry.groups()


def test_versions_are_ordered_by_maturity() -> None:
    registry = Registry("1.35")
    crd = definition()
    names = ["v1alpha1", "v10", "v2beta1", "v2", "nightly", "v2beta2"]
    crd["spec"]["versions"] = [{"name": name, "served": True} for name in names]
    registry.define(crd)
    assert registry.groups()["example.com"] == [
        "v10", "v2", "v2beta2", "v2beta1", "v1alpha1", "nightly",
    ]  # fmt: skip


def test_aggregated_discovery_of_a_custom_resource() -> None:
    registry = Registry("1.35")
    registry.define(definition(subresources={"status": {}}))
    discovery = Discovery(registry, "localhost:1")
    groups = {g["metadata"]["name"]: g for g in discovery.groups(V2).body["items"]}
    first = groups["example.com"]["versions"][0]
    assert first["version"] == "v1"
    assert first["resources"] == [
        {
            "resource": "widgets",
            "responseKind": {"group": "example.com", "version": "v1", "kind": "Widget"},
            "scope": "Cluster",
            "singularResource": "widget",
            "verbs": [
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "create",
                "update",
                "watch",
            ],
            "shortNames": ["wd"],
            "subresources": [
                {
                    "subresource": "status",
                    "responseKind": {"group": "example.com", "version": "v1", "kind": "Widget"},
                    "verbs": ["get", "patch", "update"],
                }
            ],
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "APIGroupList"),
        ("*/*", "APIGroupList"),
        (f"{V2},{V2BETA1},application/json", "apidiscovery.k8s.io/v2"),
        (f"{V2BETA1},application/json", "apidiscovery.k8s.io/v2beta1"),
        (f"application/json,{V2}", "APIGroupList"),
    ],
)
def test_discovery_answers_in_the_form_that_is_preferred(accept: str, kind: str) -> None:
    answer = Discovery(Registry("1.35"), "localhost:1").groups(accept)
    assert kind in (answer.body["kind"], answer.body["apiVersion"])


@pytest.mark.parametrize(
    ("method", "uri", "expected"),
    [
        ("GET", "/version", {"verb": "get", "resource": ""}),
        ("GET", "/api/v1/pods", {"verb": "list", "resource": "pods", "namespace": ""}),
        ("GET", "/api/v1/pods?watch=true", {"verb": "watch", "resource": "pods"}),
        ("GET", "/api/v1/pods?watch=0", {"verb": "list"}),
        (
            "GET",
            "/api/v1/namespaces/t",
            {"verb": "get", "resource": "namespaces", "namespace": "t", "name": "t"},
        ),
        (
            "PUT",
            "/api/v1/namespaces/t/finalize",
            {"verb": "update", "resource": "namespaces", "subresource": "finalize"},
        ),
        (
            "GET",
            "/api/v1/namespaces/t/pods",
            {"verb": "list", "resource": "pods", "namespace": "t"},
        ),
        ("DELETE", "/api/v1/namespaces/t/pods", {"verb": "deletecollection"}),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/t/deployments/w/scale",
            {"verb": "patch", "group": "apps", "subresource": "scale", "name": "w"},
        ),
        (
            "GET",
            "/api/v1/nodes/n/proxy/stats/summary",
            {"subresource": "proxy", "rest": "stats/summary"},
        ),
        (
            "GET",
            "/api/v1/namespaces/t/services/http:s:80/proxy/",
            {"name": "http:s:80", "rest": ""},
        ),
        ("GET", "/apis/apps/v1", {"resource": ""}),
    ],
)
def test_what_a_request_is_about(method: str, uri: str, expected: dict[str, str]) -> None:
    found: Target = target(Request.parse(method, uri, {}))
    assert {key: getattr(found, key) for key in expected} == expected
