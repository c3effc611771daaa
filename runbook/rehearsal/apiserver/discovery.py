"""What is served, as clients discover it: versions, groups, resources."""

from __future__ import annotations

from typing import Any

from runbook.rehearsal.apiserver.registry import Registry
from runbook.rehearsal.apiserver.requests import Response
from runbook.rehearsal.apiserver.resources import Resource

__all__ = ["Discovery"]

_AGGREGATED = "as=APIGroupDiscoveryList"


class Discovery:
    """Writes discovery documents from the registry.

    Args:
        registry: What is served.
        address: ``host:port`` the server announces.
    """

    def __init__(self, registry: Registry, address: str) -> None:
        self._registry = registry
        self._address = address

    def legacy(self, accept: str) -> Response:
        """Answer ``/api``."""
        if version := _aggregated(accept):
            return self._discovery_list(version, [""])
        return Response(
            body={
                "kind": "APIVersions",
                "versions": ["v1"],
                "serverAddressByClientCIDRs": [
                    {"clientCIDR": "0.0.0.0/0", "serverAddress": self._address}
                ],
            }
        )

    def groups(self, accept: str) -> Response:
        """Answer ``/apis``."""
        names = [name for name in self._registry.groups() if name]
        if version := _aggregated(accept):
            return self._discovery_list(version, names)
        return Response(
            body={
                "kind": "APIGroupList",
                "apiVersion": "v1",
                "groups": [self._group(name) for name in names],
            }
        )

    def group(self, name: str) -> Response | None:
        """Answer ``/apis/GROUP``; None when there is no such group."""
        if not name or name not in self._registry.groups():
            return None
        return Response(body={"kind": "APIGroup", "apiVersion": "v1", **self._group(name)})

    def resources(self, group: str, version: str) -> Response | None:
        """Answer ``/api/v1`` or ``/apis/GROUP/VERSION``; None when it is not served."""
        if version not in self._registry.groups().get(group, ()):
            return None
        rows = self._registry.resources(group, version)
        document: dict[str, Any] = {"kind": "APIResourceList"}
        if group:
            document["apiVersion"] = "v1"
        document["groupVersion"] = f"{group}/{version}" if group else version
        document["resources"] = [entry for row in rows for entry in _legacy(row)]
        return Response(body=document)

    def _group(self, name: str) -> dict[str, Any]:
        versions = [
            {"groupVersion": f"{name}/{version}", "version": version}
            for version in self._registry.groups()[name]
        ]
        return {"name": name, "versions": versions, "preferredVersion": versions[0]}

    def _discovery_list(self, version: str, names: list[str]) -> Response:
        items = []
        for name in names:
            versions = [
                {
                    "version": v,
                    "resources": [_modern(row) for row in self._registry.resources(name, v)],
                    "freshness": "Current",
                }
                for v in self._registry.groups()[name]
            ]
            items.append({"metadata": {"name": name} if name else {}, "versions": versions})
        body = {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{version}",
            "metadata": {},
            "items": items,
        }
        media = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
        return Response(body=body, content_type=media)


def _aggregated(accept: str) -> str:
    """Give the version of aggregated discovery that is preferred over plain JSON, or nothing."""
    for media in accept.split(","):
        if _AGGREGATED in media:
            for version in ("v2beta1", "v2"):
                if f"v={version};" in f"{media.strip()};":
                    return version
        elif media.strip() == "application/json":
            return ""
    return ""


def _legacy(row: Resource) -> list[dict[str, Any]]:
    """Describe a resource and its subresources for an APIResourceList."""
    first: dict[str, Any] = {
        "name": row.plural,
        "singularName": row.singular,
        "namespaced": row.namespaced,
        "kind": row.kind,
        "verbs": list(row.verbs),
    }
    if row.short_names:
        first["shortNames"] = list(row.short_names)
    if row.categories:
        first["categories"] = list(row.categories)
    if "watch" in row.verbs:
        first["storageVersionHash"] = row.storage_hash
    found = [first]
    for sub in row.subresources:
        entry: dict[str, Any] = {
            "name": f"{row.plural}/{sub.name}",
            "singularName": "",
            "namespaced": row.namespaced,
        }
        if sub.group is not None:
            entry |= {"group": sub.group, "version": sub.version}
        found.append(entry | {"kind": sub.kind, "verbs": list(sub.verbs)})
    return found


def _modern(row: Resource) -> dict[str, Any]:
    """Describe a resource and its subresources for aggregated discovery."""
    own = row.group if row.crd is not None else ""
    version = row.version if row.crd is not None else ""
    found: dict[str, Any] = {
        "resource": row.plural,
        "responseKind": {"group": own, "version": version, "kind": row.kind},
        "scope": "Namespaced" if row.namespaced else "Cluster",
        "singularResource": row.singular,
        "verbs": list(row.verbs),
    }
    if row.short_names:
        found["shortNames"] = list(row.short_names)
    if row.categories:
        found["categories"] = list(row.categories)
    if row.subresources:
        found["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": {
                    "group": own if sub.group is None else sub.group,
                    "version": sub.version or version,
                    "kind": sub.kind,
                },
                "verbs": list(sub.verbs),
            }
            for sub in row.subresources
        ]
    return found
