"""The three patch types that are not server-side apply.

All are pure: they give a new object and leave their arguments alone.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import jsonpatch
import jsonpointer

from runbook.rehearsal.objects.formats import go_text
from runbook.rehearsal.objects.schema import Type
from runbook.rehearsal.objects.shapes import ANY, Shape

__all__ = ["PatchFailed", "json_merge", "json_patch", "strategic"]

Object = dict[str, Any]

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"


class PatchFailed(Exception):  # noqa: N818
    """The patch cannot be applied.

    Attributes:
        message: The message of the ``Status``.
        code: 400 for a patch that makes no sense, 422 for one that does not fit the object,
            500 for a strategic merge patch whose list items lack their merge key.
        reason: Its reason: ``BadRequest``, ``Invalid`` or empty.
    """

    def __init__(self, message: str, *, code: int = 400, reason: str = "BadRequest") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason


#: What the real server answers to a JSON patch that does not fit (its own text is generic).
_REJECTED = "the server rejected our request due to an error in our request"


def json_patch(current: Mapping[str, Any], ops: Any) -> Object:
    """Apply an RFC 6902 patch.

    Raises:
        PatchFailed: 400 if the patch is malformed, 422 if it does not fit the object.
    """
    if not isinstance(ops, list):
        raise PatchFailed(_undecodable(ops, "[]interface {}"))
    for op in ops:
        if not isinstance(op, Mapping):
            raise PatchFailed(_undecodable(op, "jsonpatch.Operation"))
    try:
        result = jsonpatch.apply_patch(copy.deepcopy(dict(current)), ops)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as wrong:
        raise PatchFailed(_REJECTED, code=422, reason="Invalid") from wrong
    except (TypeError, KeyError, IndexError, AttributeError) as wrong:
        raise PatchFailed(_REJECTED, code=422, reason="Invalid") from wrong
    if not isinstance(result, dict):
        raise PatchFailed(_REJECTED, code=422, reason="Invalid")
    return result


def _undecodable(patch: Any, wanted: str) -> str:
    kinds = ((bool, "bool"), (str, "string"), (list, "array"), (Mapping, "object"))
    kind = next((name for type, name in kinds if isinstance(patch, type)), "number")
    return f"error decoding patch: json: cannot unmarshal {kind} into Go value of type {wanted}"


def json_merge(current: Mapping[str, Any], patch: Any) -> Object:
    """Apply an RFC 7386 merge patch.

    Raises:
        PatchFailed: The patch is no JSON object.
    """
    if not isinstance(patch, Mapping):
        raise PatchFailed(_undecodable(patch, "map[string]interface {}"))
    merged: Object = _json_merge(current, patch)
    return merged


def _json_merge(current: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(current) if isinstance(current, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _json_merge(result.get(key), value)
    return result


def strategic(type: Type, current: Mapping[str, Any], patch: Any) -> Object:
    """Apply a strategic merge patch with its directives.

    Lists with a merge key merge by it, lists of scalars marked so merge as sets, all others are
    replaced. Understood are ``$patch`` (replace, delete, merge), ``$retainKeys``,
    ``$setElementOrder/<list>`` and ``$deleteFromPrimitiveList/<list>``.

    Args:
        type: A built-in kind; custom resources have no merge keys and take no such patch.
        current: The stored object.
        patch: The patch.

    Raises:
        PatchFailed: The patch makes no sense for this kind.
    """
    if not isinstance(patch, Mapping):
        raise PatchFailed(_undecodable(patch, "map[string]interface {}").partition(": ")[2])
    if type.custom:
        raise PatchFailed("strategic merge patch is not supported for custom resources")
    merged: Object = _object(type.shape, current, patch)
    return merged


def _object(shape: Shape, current: Any, patch: Mapping[str, Any]) -> Any:
    directive = patch.get(_DIRECTIVE)
    if directive == "replace":
        return _clean(shape, {k: v for k, v in patch.items() if k != _DIRECTIVE})
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise PatchFailed(f"Unknown patch directive: {directive}", code=500, reason="")
    result = dict(current) if isinstance(current, Mapping) else {}
    if _RETAIN in patch:
        _retain(result, patch)
    for key, value in patch.items():
        if key.startswith(_DELETE):
            _delete_items(result, key[len(_DELETE) :], value)
        elif key not in (_DIRECTIVE, _RETAIN) and not key.startswith(_ORDER):
            _merge_field(shape, result, key, value, patch.get(f"{_ORDER}{key}"))
    _order_only(shape, result, patch)
    return result


def _delete_items(result: Object, name: str, values: Any) -> None:
    if isinstance(result.get(name), list):
        result[name] = [item for item in result[name] if item not in (values or ())]


def _merge_field(shape: Shape, result: Object, key: str, value: Any, order: Any) -> None:
    child = shape.child(key) or ANY
    if value is None:
        result.pop(key, None)
    elif isinstance(value, list):
        result[key] = _list(child, result.get(key), value, order)
    elif isinstance(value, Mapping):
        result[key] = _field(child, result.get(key), value)
    else:
        result[key] = value


def _field(shape: Shape, current: Any, patch: Mapping[str, Any]) -> Any:
    if "replace" in shape.strategies and _DIRECTIVE not in patch:
        return _clean(shape, patch)
    return _object(shape, current, patch)


def _retain(result: Object, patch: Mapping[str, Any]) -> None:
    """Drop the fields a ``$retainKeys`` does not list."""
    keys = patch[_RETAIN]
    if not isinstance(keys, list):
        raise PatchFailed("invalid patch format of $retainKeys", code=500, reason="")
    unlisted = [k for k, v in patch.items() if k[0] != "$" and v is not None and k not in keys]
    if unlisted:
        raise PatchFailed(
            "retainKeys list doesn't contain all fields present in patch", code=500, reason=""
        )
    for key in [key for key in result if key not in keys]:
        del result[key]


def _order_only(shape: Shape, result: Object, patch: Mapping[str, Any]) -> None:
    """Reorder lists of which the patch gives nothing but the order."""
    for key, order in patch.items():
        name = key[len(_ORDER) :]
        if key.startswith(_ORDER) and name not in patch and isinstance(result.get(name), list):
            child = shape.child(name) or ANY
            result[name] = _ordered(result[name], order, child.merge_key, result[name])


def _list(shape: Shape, current: Any, patch: list[Any], order: Any) -> list[Any]:
    if "merge" not in shape.strategies:
        return copy.deepcopy([item for item in patch if not _is_directive(item)])
    before = current if isinstance(current, list) else []
    if shape.merge_key:
        result = _keyed(shape, before, patch)
    else:
        result = before + [item for item in patch if item not in before]
    if order is None:
        # Without a stated order the patch itself is one: what it adds comes before the rest.
        order = [item for item in patch if not (isinstance(item, Mapping) and _DIRECTIVE in item)]
    return _ordered(result, order, shape.merge_key, before)


def _is_directive(item: Any) -> bool:
    return isinstance(item, Mapping) and set(item) == {_DIRECTIVE}


def _keyed(shape: Shape, before: list[Any], patch: list[Any]) -> list[Any]:
    key, items = shape.merge_key, shape.items or ANY
    if any(_is_directive(item) and item[_DIRECTIVE] == "replace" for item in patch):
        rest = [item for item in patch if not _is_directive(item)]
        return [_clean(items, item) for item in rest]
    result = list(before)
    for item in patch:
        if not isinstance(item, Mapping) or key not in item:
            raise PatchFailed(
                f"map: {go_text(item)} does not contain declared merge key: {key}",
                code=500,
                reason="",
            )
        found = [i for i, old in enumerate(result) if old.get(key) == item[key]]
        if item.get(_DIRECTIVE) == "delete":
            result = [old for i, old in enumerate(result) if i not in found]
        elif found:
            result[found[0]] = _object(items, result[found[0]], item)
        else:
            result.append(_object(items, {}, item))
    return result


def _ordered(result: list[Any], order: Any, key: str, before: list[Any]) -> list[Any]:
    """Sort a merged list: listed items in the listed order, others before what they preceded."""
    if not isinstance(order, Sequence) or isinstance(order, str):
        return result

    def name(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, Mapping) else item

    wanted = [name(item) for item in order]
    places = [name(item) for item in before]
    listed = sorted(
        (item for item in result if name(item) in wanted), key=lambda i: wanted.index(name(i))
    )
    others = [item for item in result if name(item) not in wanted]
    final: list[Any] = []
    for item in listed:
        while others and _earlier(name(others[0]), name(item), places):
            final.append(others.pop(0))
        final.append(item)
    return final + others


def _earlier(first: Any, second: Any, places: list[Any]) -> bool:
    """Tell whether the first stood before the second in the stored list."""
    return first in places and second in places and places.index(first) < places.index(second)


def _clean(shape: Shape, value: Any) -> Any:
    """Give new content without directives and nulls."""
    if isinstance(value, Mapping):
        return _object(shape, {}, value)
    return copy.deepcopy(value)
