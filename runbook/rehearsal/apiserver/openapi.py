"""OpenAPI documents: enough for kubectl and Helm to validate, merge and explain."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from runbook.rehearsal.apiserver.registry import Registry
from runbook.rehearsal.apiserver.requests import Request, Response, encode
from runbook.rehearsal.apiserver.resources import Resource, minor
from runbook.rehearsal.objects.shapes import definitions

__all__ = ["OpenApi"]

Schema = dict[str, Any]

_REF = "#/components/schemas/"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_EXTRA = (".well-known/openid-configuration", "logs", "openid/v1/jwks", "version")
_V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_DELETE = ("dryRun", "gracePeriodSeconds", "propagationPolicy")
_PATCH_MEDIA = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)


class OpenApi:
    """Writes OpenAPI documents from the registry and the published schemas.

    Args:
        registry: What is served.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._schemas = f"1.{min(max(minor(registry.version), 25), 37)}"
        self._documents: dict[str, bytes] = {}
        self._names: dict[tuple[str, str, str], str] = {}

    def index(self, request: Request) -> Response:
        """Answer ``/openapi/v3``: the documents there are, with a hash of each."""
        paths = {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
            for path, digest in sorted(self._hashes().items())
        }
        body = encode({"paths": paths})
        return _cached(request, body, "text/plain; charset=utf-8")

    def document(self, request: Request, path: str) -> Response | None:
        """Answer ``/openapi/v3/PATH``; None when there is no such document."""
        digest = self._hashes().get(path)
        if digest is None:
            return None
        if digest not in self._documents:
            self._documents[digest] = encode(self._document(path))
        return _cached(request, self._documents[digest], "application/json", digest)

    def legacy(self, request: Request) -> Response:
        """Answer ``/openapi/v2``: present, but empty of definitions; clients use version 3.

        kubectl asks for it, as protobuf, about kinds version 3 does not have; a document without
        fields is no bytes at all.
        """
        if "proto-openapi" in request.accept:
            return _cached(request, b"", _V2_PROTOBUF)
        body = {
            "swagger": "2.0",
            "info": {"title": "Kubernetes", "version": self._registry.version},
            "paths": {path: {"get": _plain(path)} for path in self._roots()},
            "definitions": {},
        }
        return _cached(request, encode(body), "application/json")

    def _roots(self) -> list[str]:
        """Name the paths that lead to other documents."""
        found = ["/.well-known/openid-configuration/", "/api/", "/api/v1/", "/apis/"]
        for group, versions in self._registry.groups().items():
            if group:
                found.append(f"/apis/{group}/")
                found += [f"/apis/{group}/{version}/" for version in versions]
        return sorted(found)

    def _hashes(self) -> dict[str, str]:
        found = dict.fromkeys([*_EXTRA, "api", "api/v1", "apis"], "")
        for group, versions in self._registry.groups().items():
            if group:
                found[f"apis/{group}"] = ""
                found |= {f"apis/{group}/{version}": "" for version in versions}
        return {path: self._hash(path) for path in found}

    def _hash(self, path: str) -> str:
        """Hash what a document is made from, which is cheaper than making it."""
        group, version = _split(path)
        basis = [self._registry.version, path]
        for row in self._registry.resources(group, version) if version else ():
            definition = row.crd["metadata"]["resourceVersion"] if row.crd else ""
            basis.append(f"{row.plural} {definition}")
        return hashlib.sha512("\n".join(basis).encode()).hexdigest().upper()

    def _document(self, path: str) -> dict[str, Any]:
        group, version = _split(path)
        rows = self._registry.resources(group, version) if version else []
        paths: dict[str, Any] = {}
        schemas: dict[str, Schema] = {}
        for row in rows:
            name = self._schema_name(row)
            paths |= _paths(row, name)
            if row.crd is not None:
                schemas[name] = _custom_schema(row)
                self._collect(_META, schemas)
            else:
                self._collect(name, schemas)
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": f"v{self._registry.version}.0"},
            "paths": paths,
            "components": {"schemas": schemas},
        }

    def _schema_name(self, row: Resource) -> str:
        if row.crd is not None:
            reverse = ".".join(reversed(row.group.split(".")))
            return f"{reverse}.{row.version}.{row.kind}"
        if not self._names:
            for name, schema in definitions(self._schemas).items():
                for kind in schema.get("x-kubernetes-group-version-kind", ()):
                    key = (kind.get("group", ""), kind["version"], kind["kind"])
                    self._names.setdefault(key, name)
        return self._names.get((row.group, row.version, row.kind), f"io.k8s.{row.kind}")

    def _collect(self, name: str, schemas: dict[str, Schema]) -> None:
        """Add a definition and everything it refers to."""
        waiting = [name]
        while waiting:
            current = waiting.pop()
            if current in schemas:
                continue
            found = definitions(self._schemas).get(current, {"type": "object"})
            schemas[current] = _convert(found)
            waiting += _references(schemas[current])


def _plain(path: str) -> dict[str, Any]:
    """Describe a GET that takes nothing, in the words of version 2."""
    return {
        "description": f"get {path}",
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "schemes": ["https"],
        "tags": [path.strip("/").replace("/", "_")],
        "operationId": "get" + path.title().replace("/", "").replace(".", ""),
        "responses": {
            "200": {"description": "OK", "schema": {"type": "string"}},
            "401": {"description": "Unauthorized"},
        },
    }


def _split(path: str) -> tuple[str, str]:
    parts = path.split("/")
    if parts[0] == "api":
        return "", parts[1] if len(parts) > 1 else ""
    return (parts[1], parts[2]) if parts[0] == "apis" and len(parts) == 3 else ("", "")


def _convert(schema: Any) -> Any:
    """Turn JSON schema into OpenAPI 3: references moved, ``null`` dropped from types."""
    if isinstance(schema, list):
        return [_convert(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {key: _convert(value) for key, value in schema.items()}
    reference = found.get("$ref")
    if isinstance(reference, str):
        found["$ref"] = _REF + reference.rpartition("/")[2]
    if isinstance(found.get("type"), list):
        kinds = [kind for kind in found["type"] if kind != "null"]
        found["type"] = kinds[0] if kinds else "object"
    if "description" in found and isinstance(found["description"], str) and "$ref" in found:
        return {"description": found["description"], "allOf": [{"$ref": found["$ref"]}]}
    return found


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)
    elif isinstance(schema, Mapping):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(_REF)
            else:
                yield from _references(value)


def _custom_schema(row: Resource) -> Schema:
    assert row.crd is not None  # noqa: S101 - the caller looked
    version = next(v for v in row.crd["spec"]["versions"] if v["name"] == row.version)
    schema = json.loads(json.dumps(version["schema"]["openAPIV3Schema"]))
    properties = schema.setdefault("properties", {})
    properties["apiVersion"] = {"type": "string"}
    properties["kind"] = {"type": "string"}
    properties["metadata"] = {"allOf": [{"$ref": _REF + _META}]}
    schema["x-kubernetes-group-version-kind"] = [_kind(row)]
    found: Schema = schema
    return found


def _kind(row: Resource) -> dict[str, str]:
    return {"group": row.group, "version": row.version, "kind": row.kind}


def _paths(row: Resource, schema: str) -> dict[str, Any]:
    """Describe the collection and item paths of a resource."""
    root = f"/apis/{row.group}/{row.version}" if row.group else f"/api/{row.version}"
    scope = "/namespaces/{namespace}" if row.namespaced else ""
    item = {"$ref": _REF + schema}
    collection: dict[str, Any] = {}
    single: dict[str, Any] = {}
    media = _PATCH_MEDIA[:3] if row.crd is not None else _PATCH_MEDIA
    if "list" in row.verbs:
        collection["get"] = _operation(row, "list", item)
    if "create" in row.verbs:
        collection["post"] = _operation(row, "post", item, body=("*/*",), query=_WRITE)
    if "get" in row.verbs:
        single["get"] = _operation(row, "get", item)
    if "update" in row.verbs:
        single["put"] = _operation(row, "put", item, body=("*/*",), query=_WRITE)
    if "patch" in row.verbs:
        single["patch"] = _operation(row, "patch", item, body=media, query=(*_WRITE, "force"))
    if "delete" in row.verbs:
        single["delete"] = _operation(row, "delete", item, query=_DELETE)
    found = {f"{root}{scope}/{row.plural}": collection}
    if single:
        found[f"{root}{scope}/{row.plural}/{{name}}"] = single
    return found


def _operation(
    row: Resource,
    action: str,
    item: Schema,
    *,
    body: tuple[str, ...] = (),
    query: tuple[str, ...] = (),
) -> dict[str, Any]:
    content = {"application/json": {"schema": item}}
    operation: dict[str, Any] = {
        "operationId": f"{action}{row.group.title().replace('.', '')}{row.version}{row.kind}",
        "responses": {"200": {"description": "OK", "content": content}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _kind(row),
    }
    if query:
        operation["parameters"] = [
            {
                "name": name,
                "in": "query",
                "schema": {"type": "boolean" if name == "force" else "string", "uniqueItems": True},
            }
            for name in query
        ]
    if body:
        operation["requestBody"] = {"content": {media: {"schema": item} for media in body}}
    return operation


def _cached(request: Request, body: bytes, media: str, digest: str = "") -> Response:
    """Answer a document with its ETag, or that the client's copy is still good."""
    etag = f'"{digest or hashlib.sha512(body).hexdigest().upper()}"'
    headers = {"Etag": etag, "Vary": "Accept"}
    if request.query.get("hash") == digest and digest:
        headers["Cache-Control"] = "public, immutable"
    if request.headers.get("if-none-match") == etag:
        return Response(304, headers=headers)
    return Response(200, body, media, headers)
