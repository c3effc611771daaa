"""The compiled form of a schema, which every walk over an object follows.

A :class:`Shape` describes one place in an object: what may stand there, how lists and maps merge
and who can own what. Built-in shapes come from the definitions of kubernetes-validate, those of
custom resources from ``openAPIV3Schema``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from runbook.errors import RehearsalError

__all__ = ["MISSING", "Shape", "custom_shape", "definitions", "object_meta", "shape_of"]


class _Missing:
    """The absence of a value, which is not the same as ``null``."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()

SCALARS = frozenset(
    {"string", "integer", "number", "boolean", "int-or-string", "quantity", "bytes", "time"}
)

#: Definitions that decode by a method of their own, whatever their published schema says.
_SPECIAL = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int-or-string",
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "any",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": "any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": "any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": "any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "any",
}

#: Optional fields that are plain structs in Go (no pointer), hence always there, as
#: ``(owner, field)``; an owner of "*" stands for every kind. The published schemas do not tell
#: them apart.
_PLAIN_STRUCTS = frozenset(
    {
        ("*", "metadata"),
        ("*", "spec"),
        ("*", "status"),
        ("Container", "resources"),
        ("EphemeralContainer", "resources"),
        ("CronJobSpec", "jobTemplate"),
        ("DaemonSetSpec", "updateStrategy"),
        ("DeploymentSpec", "strategy"),
        ("IngressStatus", "loadBalancer"),
        ("NodeStatus", "daemonEndpoints"),
        ("NodeStatus", "nodeInfo"),
        ("NodeDaemonEndpoints", "kubeletEndpoint"),
        ("PersistentVolumeClaimSpec", "resources"),
        ("ReplicaSetSpec", "template"),
        ("ServiceStatus", "loadBalancer"),
        ("StatefulSetSpec", "updateStrategy"),
        ("NetworkPolicySpec", "podSelector"),
    }
)

#: Owners whose ``spec`` or ``status`` is a pointer after all.
_POINTERS = frozenset({("ReplicationControllerSpec", "template"), ("IngressClass", "spec")})

#: Default of a key field of a keyed list, by field name: an item that omits it has this key.
_KEY_DEFAULTS = {"protocol": "TCP"}


class Shape:
    """What may stand at one place of an object.

    Attributes:
        kind: ``object``, ``list``, ``any``, or one of the scalars.
        go: Name of the Go type as decoding errors print it, such as ``v1.PodSpec``.
        fields: Declared fields of an object; empty for a map.
        values: Shape of the values of a map, or of undeclared fields.
        items: Shape of the items of a list.
        required: Fields that must be there.
        always: Fields the server always writes, with the value they have when nothing is set.
        list_type: ``atomic``, ``set`` or ``map``.
        keys: Key fields of a list of type ``map``.
        key_defaults: Values of key fields an item may omit.
        atomic: The object is owned as a whole.
        merge_key: Key by which a strategic merge patch finds list items.
        strategies: Strategies of a strategic merge patch.
        preserve: Undeclared fields are kept.
        embedded: The value is a complete Kubernetes object.
        custom: Comes from a CustomResourceDefinition.
        raw: The JSON schema of a custom shape.
    """

    __slots__ = (
        "always",
        "atomic",
        "custom",
        "embedded",
        "fields",
        "format",
        "go",
        "items",
        "key_defaults",
        "keys",
        "kind",
        "list_type",
        "merge_key",
        "nullable",
        "preserve",
        "raw",
        "required",
        "strategies",
        "values",
    )

    def __init__(self, kind: str, go: str = "", format: str = "") -> None:
        self.kind = kind
        self.go = go
        self.format = format
        self.fields: dict[str, Shape] = {}
        self.values: Shape | None = None
        self.items: Shape | None = None
        self.required: tuple[str, ...] = ()
        self.always: dict[str, Any] = {}
        self.list_type = "atomic"
        self.keys: tuple[str, ...] = ()
        self.key_defaults: dict[str, Any] = {}
        self.atomic = False
        self.merge_key = ""
        self.strategies: frozenset[str] = frozenset()
        self.preserve = False
        self.embedded = False
        self.custom = False
        self.nullable = False
        self.raw: Mapping[str, Any] = {}

    def __repr__(self) -> str:
        return f"Shape({self.kind} {self.go or self.format})"

    @property
    def leaf(self) -> bool:
        """Whether the value is owned as a whole."""
        if self.kind == "list":
            return self.list_type == "atomic"
        return self.kind in SCALARS or self.atomic

    def child(self, name: str) -> Shape | None:
        """Give the shape of a field or map value; ``None`` if the field is not declared."""
        found = self.fields.get(name)
        if found is not None:
            return found
        if self.values is not None:
            return self.values
        return ANY if self.preserve or self.kind == "any" else None

    def variant(self, **changes: Any) -> Shape:
        """Copy this shape with some attributes changed; fields stay shared."""
        copy = Shape(self.kind, self.go, self.format)
        for name in self.__slots__:
            setattr(copy, name, changes.get(name, getattr(self, name)))
        return copy


ANY = Shape("any")


@cache
def definitions(version: str) -> dict[str, Any]:
    """Read the published definitions of one Kubernetes version, such as ``1.35``.

    Raises:
        RehearsalError: No schemas are published for that version.
    """
    # Asking for the spec finds the data without importing the package, which takes half a second.
    package = find_spec("kubernetes_validate")
    roots = (package and package.submodule_search_locations) or [""]
    path = Path(roots[0], "kubernetes-json-schema", f"v{version}.0-local", "_definitions.json")
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())["$defs"]
    except FileNotFoundError as missing:
        raise RehearsalError(
            f"no schemas of Kubernetes {version}",
            why="the package kubernetes-validate publishes none for that version",
            fix="choose a version from 1.25 to 1.37",
        ) from missing
    return found


@cache
def shape_of(version: str, name: str) -> Shape:
    """Compile one definition and everything it refers to."""
    return _Compiler(version).named(name)


@cache
def object_meta(version: str = "1.35") -> Shape:
    """Give the shape of ``metadata``, the same for every kind."""
    return shape_of(version, "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")


@cache
def _compiled(version: str) -> dict[str, Shape]:
    """Shapes of one version by definition name, filled as they are asked for."""
    return {}


class _Compiler:
    """Turns definitions into shapes; recursive definitions become recursive shapes."""

    def __init__(self, version: str) -> None:
        self._definitions = definitions(version)
        self._shapes = _compiled(version)

    def named(self, name: str) -> Shape:
        known = self._shapes.get(name)
        if known is not None:
            return known
        package, short = name.split(".")[-2:]
        go = f"{package}.{short}"
        special = _SPECIAL.get(name)
        if special is not None:
            shape = self._shapes[name] = Shape(special, go)
            return shape
        schema = self._definitions[name]
        kind = _kind(schema)
        shape = self._shapes[name] = Shape(kind, go)
        if kind == "object":
            self._object(shape, schema, short)
        return shape

    def _object(self, shape: Shape, schema: Mapping[str, Any], short: str) -> None:
        shape.atomic = schema.get("x-kubernetes-map-type") == "atomic"
        for name, field in schema.get("properties", {}).items():
            shape.fields[name] = self._field(field)
        shape.preserve = not shape.fields
        shape.required = tuple(schema.get("required", ()))
        root = "x-kubernetes-group-version-kind" in schema or short.endswith("TemplateSpec")
        for name, child in shape.fields.items():
            if name in shape.required or _plain(short, name, child, root=root):
                shape.always[name] = _zero(child)

    def _field(self, schema: Mapping[str, Any]) -> Shape:
        reference = schema.get("$ref")
        if reference is not None:
            shape = self.named(reference.rsplit("/", 1)[1])
            return _annotated(shape, schema)
        kind = _kind(schema)
        if kind == "list":
            return self._list(schema)
        if kind != "object":
            return _scalar(kind, schema.get("format", ""))
        shape = Shape("object", "map[string]string")
        shape.atomic = schema.get("x-kubernetes-map-type") == "atomic"
        values = schema.get("additionalProperties")
        if isinstance(values, Mapping):
            shape.values = self._field(values)
            shape.go = f"map[string]{shape.values.go}"
        else:
            shape.preserve = True
        return shape

    def _list(self, schema: Mapping[str, Any]) -> Shape:
        shape = Shape("list")
        shape.items = self._field(schema["items"])
        shape.go = f"[]{shape.items.go}"
        shape.merge_key = schema.get("x-kubernetes-patch-merge-key", "")
        shape.strategies = _strategies(schema)
        declared = schema.get("x-kubernetes-list-type")
        if declared is not None:
            shape.list_type = declared
            shape.keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
        elif "merge" in shape.strategies:
            # Older versions publish only the patch strategy; it implies the list type.
            shape.list_type = "map" if shape.merge_key else "set"
            shape.keys = (shape.merge_key,) if shape.merge_key else ()
        shape.key_defaults = {k: _KEY_DEFAULTS[k] for k in shape.keys if k in _KEY_DEFAULTS}
        return shape


def _annotated(shape: Shape, schema: Mapping[str, Any]) -> Shape:
    """Add what a reference says beside its target."""
    changes: dict[str, Any] = {}
    if "x-kubernetes-patch-strategy" in schema:
        changes["strategies"] = _strategies(schema)
    if "x-kubernetes-map-type" in schema:
        changes["atomic"] = schema["x-kubernetes-map-type"] == "atomic"
    return shape.variant(**changes) if changes else shape


def _strategies(schema: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(filter(None, schema.get("x-kubernetes-patch-strategy", "").split(",")))


def _plain(owner: str, name: str, child: Shape, *, root: bool) -> bool:
    """Tell whether an optional field is a plain struct, so that it is always written."""
    if child.kind != "object" or (owner, name) in _POINTERS:
        return False
    return (owner, name) in _PLAIN_STRUCTS or (root and ("*", name) in _PLAIN_STRUCTS)


def _zero(shape: Shape) -> Any:
    """Give what Go holds where nothing was set."""
    if shape.kind == "object" and shape.fields and not shape.atomic:
        return {}
    return {"string": "", "integer": 0, "number": 0, "boolean": False}.get(shape.kind)


_GO_SCALARS = {"string": "string", "integer": "int32", "number": "float64", "boolean": "bool"}


@cache
def _scalar(kind: str, format: str) -> Shape:
    if kind == "any":
        return ANY
    if format == "byte":
        return Shape("bytes", "[]uint8", format)
    if format == "date-time":
        return Shape("time", "v1.Time", format)
    go = "int64" if format == "int64" else _GO_SCALARS[kind]
    return Shape(kind, go, format)


def _kind(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), None)
    if kind is None:
        return "object" if "properties" in schema else "any"
    return "list" if kind == "array" else str(kind)


def custom_shape(schema: Mapping[str, Any], *, root: bool = False, version: str = "1.35") -> Shape:
    """Compile an ``openAPIV3Schema``.

    Args:
        schema: A structural schema.
        root: Whether it describes a whole object, which then gets the standard metadata.
        version: Kubernetes version whose metadata applies.
    """
    kind = _custom_kind(schema)
    shape = Shape(kind, format=schema.get("format", ""))
    shape.custom = True
    shape.raw = schema
    shape.nullable = bool(schema.get("nullable"))
    shape.preserve = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    shape.embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    if kind == "object":
        _custom_object(shape, schema, version)
    elif kind == "list":
        shape.items = custom_shape(schema.get("items") or {}, version=version)
        shape.list_type = schema.get("x-kubernetes-list-type", "atomic")
        shape.keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
        fields = shape.items.fields
        shape.key_defaults = {
            key: fields[key].raw["default"]
            for key in shape.keys
            if key in fields and "default" in fields[key].raw
        }
    if root or shape.embedded:
        _whole_object(shape, version)
    return shape


def _custom_object(shape: Shape, schema: Mapping[str, Any], version: str) -> None:
    shape.required = tuple(schema.get("required", ()))
    shape.atomic = schema.get("x-kubernetes-map-type") == "atomic"
    for name, field in (schema.get("properties") or {}).items():
        shape.fields[name] = custom_shape(field, version=version)
    values = schema.get("additionalProperties")
    if isinstance(values, Mapping):
        shape.values = custom_shape(values, version=version)
    elif values is True:
        shape.values = ANY


def _whole_object(shape: Shape, version: str) -> None:
    plain = Shape("string", "string")
    shape.fields["apiVersion"] = shape.fields["kind"] = plain
    shape.fields["metadata"] = object_meta(version)


def _custom_kind(schema: Mapping[str, Any]) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "int-or-string"
    kind = schema.get("type")
    if kind == "array":
        return "list"
    if kind is None:
        return "object" if "properties" in schema else "any"
    return str(kind)
