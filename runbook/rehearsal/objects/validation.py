"""Value validation against a schema, with the causes a real API server gives.

Custom resources are held to everything their structural schema says except
``x-kubernetes-validations``: CEL rules are not evaluated. Built-in objects are held to their
required strings; what else they must satisfy is in :mod:`runbook.rehearsal.objects.rules`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from runbook.rehearsal.objects.formats import matches_format
from runbook.rehearsal.objects.shapes import Shape

__all__ = [
    "Cause",
    "check_builtin",
    "check_custom",
    "duplicate",
    "forbidden",
    "invalid",
    "not_supported",
    "required",
    "shown",
    "too_long",
]


@dataclass(frozen=True)
class Cause:
    """One cause of a ``Status`` with reason ``Invalid``.

    Attributes:
        reason: Such as ``FieldValueInvalid``.
        message: The error without the field.
        field: Path such as ``spec.template.spec.containers[0].image``.
    """

    reason: str
    message: str
    field: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def shown(value: Any) -> str:
    """Print a value as field errors do: JSON, compact, with sorted keys."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def invalid(field: str, value: Any, detail: str) -> Cause:
    """Build a ``FieldValueInvalid`` cause."""
    return Cause("FieldValueInvalid", f"Invalid value: {shown(value)}: {detail}", field)


def required(field: str, detail: str = "") -> Cause:
    """Build a ``FieldValueRequired`` cause."""
    return Cause(
        "FieldValueRequired", f"Required value: {detail}" if detail else "Required value", field
    )


def not_supported(field: str, value: Any, supported: tuple[Any, ...] | list[Any]) -> Cause:
    """Build a ``FieldValueNotSupported`` cause."""
    names = ", ".join(json.dumps(v if isinstance(v, str) else shown(v)) for v in supported)
    message = f"Unsupported value: {shown(value)}: supported values: {names}"
    return Cause("FieldValueNotSupported", message, field)


def duplicate(field: str, value: Any) -> Cause:
    """Build a ``FieldValueDuplicate`` cause."""
    return Cause("FieldValueDuplicate", f"Duplicate value: {shown(value)}", field)


def forbidden(field: str, detail: str) -> Cause:
    """Build a ``FieldValueForbidden`` cause."""
    return Cause("FieldValueForbidden", f"Forbidden: {detail}", field)


def too_long(field: str, limit: int) -> Cause:
    """Build a ``FieldValueTooLong`` cause; the limit counts bytes."""
    return Cause("FieldValueTooLong", f"Too long: may not be more than {limit} bytes", field)


def _too_many(field: str, count: int, limit: int) -> Cause:
    return Cause("FieldValueTooMany", f"Too many: {count}: must have at most {limit} items", field)


def check_builtin(shape: Shape, value: Any, path: str = "") -> Iterator[Cause]:
    """Yield a cause for every required string that is missing or empty."""
    if shape.kind == "list":
        if shape.items is not None and shape.items.kind == "object" and isinstance(value, list):
            for index, item in enumerate(value):
                yield from check_builtin(shape.items, item, f"{path}[{index}]")
        return
    if shape.kind != "object" or not isinstance(value, Mapping):
        return
    for key in shape.required:
        # Of headers and sysctls an empty value is as good as any.
        if shape.fields[key].kind == "string" and key != "value" and not value.get(key):
            yield required(_join(path, key))
    for key, item in value.items():
        # The status is written by controllers; the real server hardly validates it.
        if not path and key in ("status", "metadata"):
            continue
        child = shape.child(key)
        if child is not None and child.kind in ("object", "list"):
            yield from check_builtin(child, item, _join(path, key))


def check_custom(shape: Shape, value: Any) -> list[Cause]:
    """Validate a custom resource against its structural schema."""
    causes = list(_check(shape, value, ""))
    if causes and _has_rules(shape):
        skipped = (
            "some validation rules were not checked because the object was invalid; "
            "correct the existing errors to complete validation"
        )
        causes.append(Cause("FieldValueInvalid", f'Invalid value: "null": {skipped}', "<nil>"))
    return causes


def _has_rules(shape: Shape) -> bool:
    if shape.raw.get("x-kubernetes-validations"):
        return True
    below = [*shape.fields.values(), shape.items, shape.values]
    return any(_has_rules(child) for child in below if child is not None and child.custom)


def _check(shape: Shape, value: Any, path: str) -> Iterator[Cause]:
    if not shape.custom:
        return
    wrong = _wrong_type(shape, value, path)
    if wrong is not None:
        yield wrong
        return
    if value is None:
        return
    yield from _constraints(shape.raw, value, path)
    if isinstance(value, Mapping) and shape.kind in ("object", "any"):
        yield from _check_object(shape, value, path)
    elif isinstance(value, list) and shape.items is not None:
        yield from _check_list(shape, shape.items, value, path)


def _check_object(shape: Shape, value: Mapping[str, Any], path: str) -> Iterator[Cause]:
    for key in shape.required:
        if key not in value:
            yield required(_join(path, key))
    if shape.embedded:
        for key in ("apiVersion", "kind"):
            if not value.get(key):
                yield required(_join(path, key), "must not be empty")
    for key in sorted(value):
        child = shape.child(key)
        if child is not None:
            yield from _check(child, value[key], _join(path, key))


def _check_list(shape: Shape, items: Shape, value: list[Any], path: str) -> Iterator[Cause]:
    for index, item in enumerate(value):
        yield from _check(items, item, f"{path}[{index}]")
    if shape.list_type == "atomic":
        return
    seen: list[Any] = []
    for index, item in enumerate(value):
        key = item
        if shape.list_type == "map":
            if not isinstance(item, Mapping):
                continue
            key = {name: item.get(name, shape.key_defaults.get(name)) for name in shape.keys}
        if key in seen:
            yield duplicate(f"{path}[{index}]", key)
        seen.append(key)


_JSON_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, Mapping),
    "list": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: (
        (isinstance(value, int) and not isinstance(value, bool))
        or (isinstance(value, float) and value.is_integer())
    ),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "int-or-string": lambda value: isinstance(value, int | str) and not isinstance(value, bool),
    "any": lambda value: True,
}


def _wrong_type(shape: Shape, value: Any, path: str) -> Cause | None:
    if value is None:
        fits = shape.nullable or shape.kind == "any"
    else:
        fits = _JSON_TYPES[shape.kind](value)
    if fits:
        return None
    expected = {"list": "array", "int-or-string": "integer,string"}.get(shape.kind, shape.kind)
    name = shown(_type_name(value))
    message = f"Invalid value: {name}: {_body(path)} must be of type {expected}: {name}"
    return Cause("FieldValueTypeInvalid", message, path or "<nil>")


def _type_name(value: Any) -> str:
    names = ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"))
    if value is None:
        return "null"
    found = next((name for kind, name in names if isinstance(value, kind)), None)
    return found or ("array" if isinstance(value, list) else "object")


def _body(path: str) -> str:
    return f"{path} in body"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


@lru_cache(maxsize=1024)
def _pattern(pattern: str) -> re.Pattern[str] | None:
    """Compile a Go pattern; one that Python cannot read is not enforced."""
    try:
        return re.compile(pattern.replace(r"\z", r"\Z"))
    except re.error:
        return None


def _constraints(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[Cause]:
    """Apply the value validations of one level of a JSON schema."""
    if "enum" in schema and value not in schema["enum"]:
        yield not_supported(path, value, schema["enum"])
    if isinstance(value, str):
        yield from _string(schema, value, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(schema, value, path)
    elif isinstance(value, list):
        yield from _sizes(schema, len(value), path, "Items", "items")
    elif isinstance(value, Mapping):
        yield from _sizes(schema, len(value), path, "Properties", "properties")
    if "format" in schema and not matches_format(schema["format"], value):
        kind = schema["format"]
        yield invalid(path, value, f"{_body(path)} must be of type {kind}: {shown(value)}")
    yield from _junctors(schema, value, path)


def _string(schema: Mapping[str, Any], value: str, path: str) -> Iterator[Cause]:
    if len(value) > schema.get("maxLength", len(value)):
        yield too_long(path, schema["maxLength"])
    if len(value) < schema.get("minLength", 0):
        detail = f"{_body(path)} should be at least {schema['minLength']} chars long"
        yield invalid(path, value, detail)
    if "pattern" in schema:
        pattern = _pattern(schema["pattern"])
        if pattern is not None and pattern.search(value) is None:
            yield invalid(path, value, f"{_body(path)} should match '{schema['pattern']}'")


def _number(schema: Mapping[str, Any], value: float, path: str) -> Iterator[Cause]:
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if low is not None:
        if schema.get("exclusiveMinimum"):
            if value <= low:
                yield invalid(path, value, f"{_body(path)} should be greater than {low}")
        elif value < low:
            yield invalid(path, value, f"{_body(path)} should be greater than or equal to {low}")
    if high is not None:
        if schema.get("exclusiveMaximum"):
            if value >= high:
                yield invalid(path, value, f"{_body(path)} should be less than {high}")
        elif value > high:
            yield invalid(path, value, f"{_body(path)} should be less than or equal to {high}")
    if step and value % step:
        yield invalid(path, value, f"{_body(path)} should be a multiple of {step}")


def _sizes(
    schema: Mapping[str, Any], count: int, path: str, suffix: str, noun: str
) -> Iterator[Cause]:
    most, least = schema.get(f"max{suffix}"), schema.get(f"min{suffix}")
    if most is not None and count > most:
        yield _too_many(path, count, most)
    if least is not None and count < least:
        yield invalid(path, count, f"{_body(path)} should have at least {least} {noun}")


def _junctors(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[Cause]:
    if "oneOf" in schema:
        yield from _one_of(schema["oneOf"], value, path)
    if "anyOf" in schema:
        failures = [list(_free(option, value, path)) for option in schema["anyOf"]]
        if all(failures):
            yield _composite(path, "must validate at least one schema (anyOf)")
            yield from failures[0]
    if "allOf" in schema:
        failures = [list(_free(option, value, path)) for option in schema["allOf"]]
        if any(failures):
            yield _composite(path, "must validate all the schemas (allOf)")
            for causes in failures:
                yield from causes
    if "not" in schema and not list(_free(schema["not"], value, path)):
        yield _composite(path, "must not validate the schema (not)")


def _one_of(options: list[Mapping[str, Any]], value: Any, path: str) -> Iterator[Cause]:
    failures = [list(_free(option, value, path)) for option in options]
    valid = sum(not causes for causes in failures)
    if valid == 1:
        return
    found = f"Found {valid} valid alternatives" if valid else "Found none valid"
    yield _composite(path, f"must validate one and only one schema (oneOf). {found}")
    if not valid:
        yield from failures[0]


def _composite(path: str, detail: str) -> Cause:
    """Build a cause of oneOf and the like: the real server gives it no field."""
    return Cause("FieldValueInvalid", f'Invalid value: "": "{path}" {detail}', "<nil>")


def _free(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[Cause]:
    """Validate against a schema inside oneOf, anyOf, allOf or not."""
    declared = schema.get("type")
    if declared is not None:
        kind = {"array": "list"}.get(declared, declared)
        if not _JSON_TYPES[kind](value):
            name = shown(_type_name(value))
            message = f"Invalid value: {name}: {_body(path)} must be of type {declared}: {name}"
            yield Cause("FieldValueTypeInvalid", message, path)
            return
    yield from _constraints(schema, value, path)
    if isinstance(value, Mapping):
        yield from _free_object(schema, value, path)
    elif isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        for index, item in enumerate(value):
            yield from _free(schema["items"], item, f"{path}[{index}]")


def _free_object(schema: Mapping[str, Any], value: Mapping[str, Any], path: str) -> Iterator[Cause]:
    for key in schema.get("required", ()):
        if key not in value:
            yield required(_join(path, key))
    fields = schema.get("properties") or {}
    values = schema.get("additionalProperties")
    for key, item in value.items():
        if key in fields:
            yield from _free(fields[key], item, _join(path, key))
        elif isinstance(values, Mapping):
            yield from _free(values, item, _join(path, key))
