"""Why an applied configuration does not fit its schema, in the words of structured-merge-diff."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from runbook.rehearsal.objects.fieldsets import item_key, path_text
from runbook.rehearsal.objects.formats import go_text
from runbook.rehearsal.objects.shapes import ANY, Shape

__all__ = ["typed_errors"]


def typed_errors(shape: Shape, value: Any) -> list[str]:
    """List undeclared fields, wrong types, items without keys and duplicate items."""
    return list(_errors(shape, value, ""))


def _errors(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if value is None or shape.kind == "any":
        return
    if shape.kind == "object":
        yield from _in_object(shape, value, path)
    elif shape.kind == "list":
        yield from _in_list(shape, value, path)
    else:
        wrong = _scalar_error(shape.kind, value)
        if wrong:
            yield f"{path}: {wrong}"


def _in_object(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: expected map, got &{{{go_text(value)}}}"
        return
    for key, item in value.items():
        child = shape.child(key)
        if child is None:
            yield f"{path}.{key}: field not declared in schema"
        else:
            yield from _errors(child, item, f"{path}.{key}")


def _in_list(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path}: expected list, got &{{{go_text(value)}}}"
        return
    seen: set[str] = set()
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        if shape.list_type != "atomic":
            try:
                key = item_key(shape, item)
            except ValueError as missing:
                yield (
                    f"{path}: element {index}: associative list with keys has an element that "
                    f"omits key field {json.dumps(str(missing))} (and doesn't have default value)"
                )
                continue
            where = path + path_text((key,))
            if key in seen:
                yield f"{path}: duplicate entries for key {path_text((key,))}"
                continue
            seen.add(key)
        yield from _errors(shape.items or ANY, item, where)


def _scalar_error(kind: str, value: Any) -> str:
    if kind in ("string", "bytes", "time"):
        if not isinstance(value, str):
            return f"expected string, got &value.valueUnstructured{{Value:{go_text(value)}}}"
    elif kind in ("integer", "number"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"expected numeric (int or float), got {_go_type(value)}"
    elif kind == "boolean":
        if not isinstance(value, bool):
            return f"expected boolean, got &{{{go_text(value)}}}"
    elif isinstance(value, dict | list):
        return f"expected any scalar, got &{{{go_text(value)}}}"
    return ""


def _go_type(value: Any) -> str:
    names = ((bool, "bool"), (str, "string"), (list, "[]interface {}"))
    return next(
        (name for kind, name in names if isinstance(value, kind)), "map[string]interface {}"
    )
