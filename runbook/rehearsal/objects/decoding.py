"""What the API server does to a body before it looks at its meaning.

Values of the wrong JSON type are refused in the words of Go's decoder, unknown fields are named
and pruned, and the schema defaults of custom resources are filled in.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from runbook.rehearsal.objects.formats import base64_error, quantity_error, time_error
from runbook.rehearsal.objects.shapes import ANY, Shape

__all__ = ["default", "misfit", "prune", "unconvertible", "unknown"]

#: Optional strings that are pointers in Go: an empty one means something and is kept.
_POINTER_STRINGS = frozenset(
    {
        "CrossVersionObjectReference.apiVersion",
        "EndpointPort.appProtocol",
        "EndpointPort.name",
        "GRPCAction.service",
        "HostPathVolumeSource.type",
        "IngressSpec.ingressClassName",
        "PersistentVolumeClaimSpec.storageClassName",
        "PersistentVolumeClaimSpec.volumeAttributesClassName",
        "PodSpec.runtimeClassName",
        "ServicePort.appProtocol",
        "ServiceReference.path",
        "ServiceSpec.loadBalancerClass",
        "TypedLocalObjectReference.apiGroup",
        "TypedObjectReference.apiGroup",
        "TypedObjectReference.namespace",
        "WebhookClientConfig.url",
    }
)

_EXPECTED = {
    "string": (str,),
    "boolean": (bool,),
    "object": (Mapping,),
    "list": (list,),
    "bytes": (str,),
}


def misfit(shape: Shape, value: Any) -> str | None:
    """Give the first decoding error of a built-in object, or ``None``.

    The wording is that of ``encoding/json``: the innermost struct, then the path of field names
    without list positions and map keys.
    """
    return _misfit(shape, value, "", "")


def _misfit(shape: Shape, value: Any, struct: str, path: str) -> str | None:
    if value is None or shape.kind == "any" or shape.custom:
        return None
    if shape.kind in ("quantity", "time", "int-or-string"):
        return _own_decoder(shape.kind, value)
    if not _fits(shape, value):
        where = f"Go struct field {struct}.{path}" if path else "Go value"
        return f"json: cannot unmarshal {_json_name(shape, value)} into {where} of type {shape.go}"
    if shape.kind == "bytes":
        return base64_error(value)
    return _misfit_below(shape, value, struct, path)


def _misfit_below(shape: Shape, value: Any, struct: str, path: str) -> str | None:
    if shape.kind == "object":
        return _misfit_in_object(shape, value, struct, path)
    items = shape.items
    if items is None:
        return None
    return _first(_misfit(items, item, struct, path) for item in value)


def _misfit_in_object(shape: Shape, value: Any, struct: str, path: str) -> str | None:
    fields = shape.fields
    if not fields:
        values = shape.values
        if values is None:
            return None
        return _first(_misfit(values, item, struct, path) for item in value.values())
    name = shape.go.rsplit(".", 1)[-1]
    for key, item in value.items():
        field = fields.get(key)
        if field is not None:
            wrong = _misfit(field, item, name, f"{path}.{key}" if path else key)
            if wrong is not None:
                return wrong
    return None


def _first(found: Iterator[str | None]) -> str | None:
    return next((item for item in found if item is not None), None)


def _fits(shape: Shape, value: Any) -> bool:
    if shape.kind in ("integer", "number"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if shape.kind == "number":
            return True
        limit = 2**63 if shape.go == "int64" else 2**31
        return isinstance(value, int) and -limit <= value < limit
    return isinstance(value, _EXPECTED[shape.kind])


def _json_name(shape: Shape, value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return f"number {value}" if shape.kind == "integer" else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _own_decoder(kind: str, value: Any) -> str | None:
    """Check values whose Go type decodes itself; their errors name no field."""
    name = _json_name(ANY, value)
    if kind == "int-or-string":
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            return None
        shown = f"number {value}" if isinstance(value, float) else name
        return f"json: cannot unmarshal {shown} into Go value of type int32"
    if kind == "time":
        if isinstance(value, str):
            return time_error(value)
        return f"json: cannot unmarshal {name} into Go value of type string"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return quantity_error("")
    return quantity_error(value)


_GO_KINDS = ((bool, "bool"), (int, "int64"), (float, "float64"), (str, "string"))
_RESTORED = {"list": "cannot restore slice from", "object": "cannot restore struct from:"}


def unconvertible(shape: Shape, value: Any) -> str | None:
    """Give the first conversion error of an object patched by strategic merge, or ``None``.

    The outcome of such a patch is converted, not decoded, so the words differ from
    :func:`misfit`: ``cannot convert string to int32``.
    """
    if value is None or shape.kind == "any" or shape.custom:
        return None
    if shape.kind in ("quantity", "time", "int-or-string"):
        return _own_decoder(shape.kind, value)
    if not _fits(shape, value):
        return _conversion(shape, value)
    return _unconvertible_below(shape, value)


def _unconvertible_below(shape: Shape, value: Any) -> str | None:
    if shape.kind == "bytes":
        return base64_error(value)
    if shape.kind == "object":
        below = ((shape.child(key), item) for key, item in value.items())
        return _first(unconvertible(child, item) for child, item in below if child is not None)
    items = shape.items
    if items is None:
        return None
    return _first(unconvertible(items, item) for item in value)


def _conversion(shape: Shape, value: Any) -> str:
    if shape.kind in _RESTORED:
        kind = next((name for type, name in _GO_KINDS if isinstance(value, type)), "")
        source = kind or ("slice" if isinstance(value, list) else "map")
        text = _RESTORED[shape.kind]
        if shape.values is not None:
            text = "cannot restore map from"
        return f"{text} {source}"
    composite = "[]interface {}" if isinstance(value, list) else "map[string]interface {}"
    source = next((name for type, name in _GO_KINDS if isinstance(value, type)), composite)
    return f"cannot convert {source} to {shape.go}"


def unknown(shape: Shape, value: Any) -> list[str]:
    """Name the fields that the schema does not declare, as strict decoding does."""
    return [f'unknown field "{path}"' for path in _unknown(shape, value, "")]


def _unknown(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if shape.kind == "list":
        if shape.items is not None and shape.items.kind in ("object", "list"):
            for index, item in enumerate(value if isinstance(value, list) else ()):
                yield from _unknown(shape.items, item, f"{path}[{index}]")
        return
    if shape.kind != "object" or not isinstance(value, Mapping):
        return
    for key, item in value.items():
        where = f"{path}.{key}" if path else key
        child = shape.child(key)
        if child is None:
            yield where
        elif child.kind in ("object", "list"):
            yield from _unknown(child, item, where)


def prune(shape: Shape, value: Any) -> Any:
    """Give a copy without what does not survive decoding.

    Undeclared fields go. In built-in objects ``null``, and optional lists, maps and strings that
    are empty go too: Go's encoder leaves them out.
    """
    if shape.kind == "list":
        if not isinstance(value, list) or shape.items is None:
            return copy.deepcopy(value)
        items = shape.items
        return [prune(items, item) for item in value]
    if shape.kind != "object" or not isinstance(value, Mapping):
        return copy.deepcopy(value) if isinstance(value, dict | list) else value
    result = {}
    for key, item in value.items():
        child = shape.child(key)
        if child is None:
            continue
        if not shape.custom and _left_out(shape, child, key, item):
            continue
        result[key] = prune(child, item)
    return result


def _left_out(shape: Shape, child: Shape, key: str, item: Any) -> bool:
    """Tell whether Go's ``omitempty`` drops an optional field of a built-in struct."""
    if item is None:
        return child.kind != "any"
    if item or key not in shape.fields or key in shape.required:
        return False
    if child.kind == "list" or (child.kind == "object" and child.values is not None):
        return True
    owner = shape.go.rsplit(".", 1)[-1]
    return child.kind == "string" and item == "" and f"{owner}.{key}" not in _POINTER_STRINGS


def default(shape: Shape, value: Any) -> Any:
    """Give a copy with schema defaults (custom) or always-present structs (built-in) filled in."""
    if shape.kind == "list":
        if not isinstance(value, list) or shape.items is None:
            return value
        items = shape.items
        return [default(items, item) for item in value]
    if shape.kind != "object" or not isinstance(value, Mapping):
        return value
    result = dict(value)
    if shape.custom:
        _custom_defaults(shape, result)
    else:
        for key, zero in shape.always.items():
            if isinstance(zero, dict):
                result.setdefault(key, {})
    for key, item in result.items():
        child = shape.child(key)
        if child is not None:
            result[key] = default(child, item)
    return result


def _custom_defaults(shape: Shape, result: dict[str, Any]) -> None:
    """Fill defaults; a ``null`` where null is not allowed counts as absent."""
    for key, item in list(result.items()):
        child = shape.fields.get(key, shape.values)
        if item is None and child is not None and child.custom and not child.nullable:
            del result[key]
            if key not in shape.fields and "default" in child.raw:
                result[key] = copy.deepcopy(child.raw["default"])
    for key, field in shape.fields.items():
        if key not in result and "default" in field.raw:
            result[key] = copy.deepcopy(field.raw["default"])
