"""CustomResourceDefinitions: what makes one valid, the kinds it defines and its status.

CEL rules (``x-kubernetes-validations``) are accepted and kept but not compiled or evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runbook.rehearsal.objects import decoding, validation
from runbook.rehearsal.objects.schema import Type, custom
from runbook.rehearsal.objects.shapes import custom_shape
from runbook.rehearsal.objects.validation import Cause, forbidden, invalid, not_supported, required

__all__ = ["accept", "causes", "initial", "types"]

Object = dict[str, Any]


def causes(crd: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> list[Cause]:
    """Validate a CustomResourceDefinition.

    Args:
        crd: The object with its defaults filled in.
        old: The stored one when it is updated.
    """
    spec = crd.get("spec") or {}
    found = [*_name(crd, spec), *_names(spec), *_versions(spec)]
    if old is not None:
        found += _changes(spec, old)
    return found


def _name(crd: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[Cause]:
    name = (crd.get("metadata") or {}).get("name", "")
    plural = (spec.get("names") or {}).get("plural", "")
    if name != f"{plural}.{spec.get('group', '')}":
        yield invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    group = spec.get("group", "")
    if not group:
        yield required("spec.group")
    elif "." not in group:
        yield invalid("spec.group", group, "should be a domain with at least one dot")
    if spec.get("preserveUnknownFields"):
        yield invalid(
            "spec.preserveUnknownFields",
            True,
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
            "spec.versions[*].schema instead",
        )
    scope = spec.get("scope")
    if not scope:
        yield required("spec.scope")
    elif scope not in ("Cluster", "Namespaced"):
        yield not_supported("spec.scope", scope, ("Cluster", "Namespaced"))


def _names(spec: Mapping[str, Any]) -> Iterator[Cause]:
    names = spec.get("names") or {}
    for key in ("plural", "singular", "kind", "listKind"):
        if not names.get(key):
            yield required(f"spec.names.{key}")
    kind = names.get("kind")
    if kind and kind == names.get("listKind"):
        yield invalid("spec.names.listKind", kind, "kind and listKind may not be the same")


def _versions(spec: Mapping[str, Any]) -> Iterator[Cause]:
    versions = spec.get("versions") or []
    if not versions:
        yield required("spec.versions", "must have exactly one version marked as storage version")
        return
    storage = [version for version in versions if version.get("storage")]
    if len(storage) != 1:
        yield invalid(
            "spec.versions", versions, "must have exactly one version marked as storage version"
        )
    seen: set[str] = set()
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        name = version.get("name", "")
        if name in seen:
            yield invalid("spec.versions", versions, "must contain unique version names")
        seen.add(name)
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            yield required(f"{path}.schema.openAPIV3Schema")
            continue
        yield from _structural(schema, f"{path}.schema.openAPIV3Schema")
        yield from _columns(version, path)


def _columns(version: Mapping[str, Any], path: str) -> Iterator[Cause]:
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        where = f"{path}.additionalPrinterColumns[{index}]"
        kinds = ("boolean", "date", "integer", "number", "string")
        if not column.get("type"):
            yield required(f"{where}.type", "must be one of " + ",".join(kinds))
        elif column["type"] not in kinds:
            yield invalid(f"{where}.type", column["type"], "must be one of " + ",".join(kinds))
        if not column.get("jsonPath"):
            yield required(f"{where}.jsonPath")


def _structural(schema: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Check the rules of a structural schema from the root."""
    kind = schema.get("type")
    if not kind:
        yield required(f"{path}.type", "must not be empty at the root")
    elif kind != "object":
        yield invalid(f"{path}.type", kind, "must be object at the root")
    if schema.get("nullable"):
        yield forbidden(f"{path}.nullable", "nullable cannot be true at the root")
    yield from _level(schema, path)


def _level(schema: Mapping[str, Any], path: str) -> Iterator[Cause]:
    yield from _refusals(schema, path)
    yield from _lists(schema, path)
    yield from _default(schema, path)
    for name, field in (schema.get("properties") or {}).items():
        where = f"{path}.properties[{name}]"
        yield from _typed(field, where, "specified object fields")
        yield from _level(field, where)
    items = schema.get("items")
    if isinstance(items, Mapping):
        yield from _typed(items, f"{path}.items", "specified array items")
        yield from _level(items, f"{path}.items")
    values = schema.get("additionalProperties")
    if isinstance(values, Mapping):
        yield from _typed(values, f"{path}.additionalProperties", "specified object fields")
        yield from _level(values, f"{path}.additionalProperties")


def _typed(schema: Mapping[str, Any], path: str, what: str) -> Iterator[Cause]:
    exempt = ("x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields")
    if not schema.get("type") and not any(schema.get(key) for key in exempt):
        yield required(f"{path}.type", f"must not be empty for {what}")


_KINDS = ("array", "boolean", "integer", "number", "object", "string")


def _refusals(schema: Mapping[str, Any], path: str) -> Iterator[Cause]:
    kind = schema.get("type")
    if kind == "null":
        yield forbidden(
            f"{path}.type", "type cannot be set to null, use nullable as an alternative"
        )
    elif kind and kind not in _KINDS:
        yield not_supported(f"{path}.type", kind, _KINDS)
    if schema.get("uniqueItems"):
        yield forbidden(
            f"{path}.uniqueItems",
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        )
    if "additionalProperties" in schema:
        if schema.get("properties"):
            yield forbidden(
                f"{path}.additionalProperties",
                "additionalProperties and properties are mutual exclusive",
            )
        if schema["additionalProperties"] is False:
            yield forbidden(
                f"{path}.additionalProperties", "additionalProperties cannot be set to false"
            )
    for key in ("$ref", "definitions", "dependencies", "patternProperties", "id", "deprecated"):
        if schema.get(key):
            yield forbidden(f"{path}.{key}", f"{key} is not supported")


def _lists(schema: Mapping[str, Any], path: str) -> Iterator[Cause]:
    if schema.get("type") == "array" and schema.get("items") is None:
        yield required(f"{path}.items", "must be specified")
    kind = schema.get("x-kubernetes-list-type")
    keys = schema.get("x-kubernetes-list-map-keys") or []
    if kind is None:
        return
    if kind not in ("atomic", "map", "set"):
        yield not_supported(f"{path}.x-kubernetes-list-type", kind, ("atomic", "map", "set"))
    if kind != "map":
        return
    if not keys:
        yield required(
            f"{path}.x-kubernetes-list-map-keys",
            "must not be empty if x-kubernetes-list-type is map",
        )
    items = schema.get("items") or {}
    for index, key in enumerate(keys):
        where = f"{path}.x-kubernetes-list-map-keys[{index}]"
        field = (items.get("properties") or {}).get(key)
        if field is None:
            yield invalid(where, key, "entries must all be names of item properties")
        elif key not in items.get("required", ()) and "default" not in field:
            yield required(
                f"{path}.items.properties[{key}].default",
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be "
                "a required property",
            )


def _default(schema: Mapping[str, Any], path: str) -> Iterator[Cause]:
    if schema.get("default") is None:
        return
    shape = custom_shape(schema)
    value = schema["default"]
    for field in decoding.unknown(shape, value):
        yield invalid(f"{path}.default", value, f"must not have unknown fields: {field}")
    for cause in validation.check_custom(shape, decoding.default(shape, value)):
        where = f"{path}.default{cause.field and '.'}{cause.field}".rstrip(".")
        yield Cause(cause.reason, cause.message, where.replace(".<nil>", ""))


def _changes(spec: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[Cause]:
    before = old.get("spec") or {}
    pairs = (("group",), ("names", "kind"), ("names", "plural"), ("scope",))
    for path in pairs:
        was, now = before, spec
        for key in path[:-1]:
            was, now = was.get(key) or {}, now.get(key) or {}
        if was.get(path[-1]) != now.get(path[-1]):
            yield invalid("spec." + ".".join(path), now.get(path[-1]), "field is immutable")
    names = {version.get("name") for version in spec.get("versions") or ()}
    stored = (old.get("status") or {}).get("storedVersions") or ()
    for index, version in enumerate(stored):
        if version not in names:
            yield invalid(
                f"status.storedVersions[{index}]",
                version,
                "missing from spec.versions; "
                f"{version} was previously a storage version, and must remain in spec.versions "
                "until a storage migration ensures no data remains persisted in "
                f"{version} and removes {version} from status.storedVersions",
            )


def types(crd: Mapping[str, Any]) -> dict[str, Type]:
    """Give the kind of every served or stored version of a valid CustomResourceDefinition."""
    spec = crd["spec"]
    found = {}
    for version in spec["versions"]:
        found[version["name"]] = custom(
            spec["group"],
            version["name"],
            spec["names"]["kind"],
            version["schema"]["openAPIV3Schema"],
            has_status="status" in (version.get("subresources") or {}),
        )
    return found


def initial(crd: Mapping[str, Any]) -> Object:
    """Give a new CustomResourceDefinition the status it is stored with before it is accepted."""
    status = {
        "conditions": None,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": _stored(crd),
    }
    return {**crd, "status": status}


def _stored(crd: Mapping[str, Any]) -> list[str]:
    before = list((crd.get("status") or {}).get("storedVersions") or ())
    versions = (crd.get("spec") or {}).get("versions") or ()
    return before + [v["name"] for v in versions if v.get("storage") and v["name"] not in before]


def accept(crd: Mapping[str, Any], now: str, *, taken: str = "") -> Object:
    """Give a CustomResourceDefinition with the status of an accepted one.

    Args:
        crd: A valid object.
        now: Time of the transition, RFC 3339.
        taken: If the names belong to another CustomResourceDefinition: what conflicts, such as
            ``"widgets" is already in use``; the definition is then not established.
    """
    status = dict(crd.get("status") or {})
    names = crd["spec"]["names"]
    if taken:
        wanted = [
            _condition("NamesAccepted", "False", "PluralConflict", taken),
            _condition("Established", "False", "NotAccepted", "not all names are accepted"),
        ]
    else:
        status["acceptedNames"] = dict(names)
        wanted = [
            _condition("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
            _condition(
                "Established",
                "True",
                "InitialNamesAccepted",
                "the initial names have been accepted",
            ),
        ]
    status["conditions"] = _transitions(status.get("conditions") or [], wanted, now)
    status["storedVersions"] = _stored(crd)
    return {**crd, "status": status}


def _condition(kind: str, status: str, reason: str, message: str) -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def _transitions(before: list[Object], wanted: list[Object], now: str) -> list[Object]:
    """Merge conditions; the time changes only with the status."""
    known = {condition["type"]: condition for condition in before}
    for condition in wanted:
        old = known.get(condition["type"])
        same = old is not None and old["status"] == condition["status"]
        since = old["lastTransitionTime"] if old is not None and same else now
        known[condition["type"]] = {
            "type": condition["type"],
            "status": condition["status"],
            "lastTransitionTime": since,
            "reason": condition["reason"],
            "message": condition["message"],
        }
    return list(known.values())
