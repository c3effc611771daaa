"""Sets of fields: who owns what, and how two objects differ.

The algebra of structured-merge-diff, which server-side apply is made of, over compiled shapes.
Path elements are the strings of the FieldsV1 format: ``f:name``, ``k:{"name":"c"}``, ``v:"x"``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from runbook.rehearsal.objects.shapes import ANY, MISSING, Shape

__all__ = [
    "Comparison",
    "Fields",
    "Path",
    "compare",
    "item_key",
    "items_by_key",
    "merged",
    "owned",
    "path_text",
    "without",
]

Path = tuple[str, ...]


class Fields:
    """A set of paths.

    Attributes:
        members: Elements that are in the set themselves.
        children: Elements below which there are more.
    """

    __slots__ = ("children", "members")

    def __init__(
        self, members: Iterable[str] = (), children: Mapping[str, Fields] | None = None
    ) -> None:
        self.members = set(members)
        self.children = dict(children or {})

    def __bool__(self) -> bool:
        return bool(self.members or self.children)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Fields):
            return NotImplemented
        return self.members == other.members and self.children == other.children

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Fields({[path_text(path) for path in self.paths()]})"

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Fields:
        """Build a set from paths."""
        result = cls()
        for path in paths:
            node = result
            for element in path[:-1]:
                node = node.children.setdefault(element, cls())
            if path:
                node.members.add(path[-1])
        return result

    @classmethod
    def decode(cls, fields: Mapping[str, Any]) -> Fields:
        """Read the ``fieldsV1`` of a managedFields entry."""
        result = cls()
        for element, below in fields.items():
            if element == ".":
                continue
            if not below or "." in below:
                result.members.add(element)
            child = cls.decode(below or {})
            if child:
                result.children[element] = child
        return result

    def encode(self) -> dict[str, Any]:
        """Write this set as ``fieldsV1``."""
        result: dict[str, Any] = {}
        for element in sorted(self.members | self.children.keys()):
            child = self.children.get(element)
            below: dict[str, Any] = child.encode() if child is not None else {}
            if element in self.members and below:
                below = {".": {}, **below}
            result[element] = below
        return result

    def paths(self, prefix: Path = ()) -> Iterator[Path]:
        """Iterate over all paths, parents first."""
        for element in sorted(self.members | self.children.keys()):
            path = (*prefix, element)
            if element in self.members:
                yield path
            if element in self.children:
                yield from self.children[element].paths(path)

    def union(self, other: Fields) -> Fields:
        """Give the paths in either set."""
        children = dict(self.children)
        for element, child in other.children.items():
            mine = children.get(element)
            children[element] = child if mine is None else mine.union(child)
        return Fields(self.members | other.members, children)

    def difference(self, other: Fields) -> Fields:
        """Give the paths of this set that are not in the other."""
        children = {}
        for element, child in self.children.items():
            theirs = other.children.get(element)
            left = child if theirs is None else child.difference(theirs)
            if left:
                children[element] = left
        return Fields(self.members - other.members, children)

    def without(self, other: Fields) -> Fields:
        """Give this set without the members of the other and everything below them."""
        children = {}
        for element, child in self.children.items():
            if element in other.members:
                continue
            theirs = other.children.get(element)
            left = child if theirs is None else child.without(theirs)
            if left:
                children[element] = left
        return Fields(self.members - other.members, children)

    def intersection(self, other: Fields) -> Fields:
        """Give the paths in both sets."""
        children = {}
        for element in self.children.keys() & other.children.keys():
            both = self.children[element].intersection(other.children[element])
            if both:
                children[element] = both
        return Fields(self.members & other.members, children)

    def with_named(self, shape: Shape) -> Fields:
        """Add every declared struct field on the way to a member as a member itself."""
        members = set(self.members)
        children = {}
        for element, child in self.children.items():
            if element[:2] == "f:" and element[2:] in shape.fields:
                members.add(element)
            children[element] = child.with_named(_below(shape, element))
        return Fields(members, children)


def _below(shape: Shape, element: str) -> Shape:
    if element[:2] == "f:":
        return shape.child(element[2:]) or ANY
    return shape.items or ANY


def path_text(path: Path) -> str:
    """Print a path as conflicts do: ``.spec.containers[name="c"].image``."""
    return "".join(map(_element_text, path))


def _element_text(element: str) -> str:
    kind, text = element[:2], element[2:]
    if kind == "f:":
        return f".{text}"
    if kind == "k:":
        keys = json.loads(text)
        return "[{}]".format(",".join(f"{k}={_compact(v)}" for k, v in sorted(keys.items())))
    return f"[={text}]" if kind == "v:" else f"[{text}]"


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def item_key(shape: Shape, item: Any) -> str:
    """Give the path element of a list item.

    Raises:
        ValueError: The item omits a key field that has no default; the argument is its name.
    """
    if shape.list_type != "map":
        return f"v:{_compact(item)}"
    keys = {}
    for name in sorted(shape.keys):
        value = item.get(name) if isinstance(item, Mapping) else None
        if value is None:
            value = shape.key_defaults.get(name)
        if value is None:
            raise ValueError(name)
        keys[name] = value
    return f"k:{_compact(keys)}"


def items_by_key(shape: Shape, items: Any) -> dict[str, Any]:
    """Index list items by path element; of duplicates the first one counts."""
    result: dict[str, Any] = {}
    for index, item in enumerate(items or ()):
        try:
            key = item_key(shape, item)
        except ValueError:
            key = f"i:{index}"
        result.setdefault(key, item)
    return result


def is_leaf(shape: Shape, value: Any) -> bool:
    """Tell whether a value is owned as a whole; undeclared content is judged by its form."""
    if shape.kind in ("any", "object") and not shape.atomic:
        return not isinstance(value, dict)
    return shape.leaf


def owned(shape: Shape, value: Any) -> Fields:
    """Give the fields an applied configuration claims."""
    return Fields.of(_owned(shape, value, ()))


def _owned(shape: Shape, value: Any, path: Path) -> Iterator[Path]:
    if value is None:
        return  # the parent claims a null
    if is_leaf(shape, value):
        yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            below = (*path, f"f:{key}")
            if item is None or item == {} or key not in shape.fields:
                yield below
            yield from _owned(shape.child(key) or ANY, item, below)
    elif isinstance(value, list):
        for key, item in items_by_key(shape, value).items():
            yield (*path, key)
            if shape.list_type == "map":
                yield from _owned(shape.items or ANY, item, (*path, key))


@dataclass(frozen=True)
class Comparison:
    """How a new object differs from an old one."""

    added: Fields
    modified: Fields
    removed: Fields


@dataclass
class _Walk:
    """The paths found so far."""

    added: list[Path] = field(default_factory=list)
    modified: list[Path] = field(default_factory=list)
    removed: list[Path] = field(default_factory=list)

    def leaf(self, old: Any, new: Any, path: Path) -> None:
        if old is MISSING:
            self.added.append(path)
        elif new is MISSING:
            self.removed.append(path)
        elif old != new:
            self.modified.append(path)

    def visit(self, shape: Shape, old: Any, new: Any, path: Path) -> None:
        if old is not MISSING and new is not MISSING and old == new:
            return
        if _atomic(shape, old, new) or (_empty(old) and _empty(new)):
            self.leaf(old, new, path)
            return
        if isinstance(old, list) or isinstance(new, list):
            self._lists(shape, old, new, path)
        else:
            self._objects(shape, old, new, path)
        if old is MISSING:
            self.added.append(path)
        elif new is MISSING:
            self.removed.append(path)

    def _lists(self, shape: Shape, old: Any, new: Any, path: Path) -> None:
        before, after = items_by_key(shape, old), items_by_key(shape, new)
        below = shape.items or ANY
        for key in dict.fromkeys((*before, *after)):
            self.visit(below, before.get(key, MISSING), after.get(key, MISSING), (*path, key))

    def _objects(self, shape: Shape, old: Any, new: Any, path: Path) -> None:
        before, after = old or {}, new or {}
        always = shape.always
        for key in dict.fromkeys((*before, *after)):
            was, now = before.get(key, MISSING), after.get(key, MISSING)
            if key in always:
                # Go writes such a field even where nobody set it, so it is neither added
                # nor removed as long as its struct is there.
                was = always[key] if was is MISSING and old is not MISSING else was
                now = always[key] if now is MISSING and new is not MISSING else now
            self.visit(shape.child(key) or ANY, was, now, (*path, f"f:{key}"))


def _empty(value: Any) -> bool:
    return value is MISSING or value is None or (isinstance(value, dict | list) and not value)


def _atomic(shape: Shape, old: Any, new: Any) -> bool:
    if shape.kind in ("any", "object") and not shape.atomic:
        return not (isinstance(old, dict) or isinstance(new, dict)) or (
            # The form changed: an object became a scalar or the reverse.
            not all(_empty(value) or isinstance(value, dict) for value in (old, new))
        )
    return shape.leaf


def compare(shape: Shape, old: Mapping[str, Any], new: Mapping[str, Any]) -> Comparison:
    """Compare two objects field by field."""
    walk = _Walk()
    walk.visit(shape, old, new, ())
    return Comparison(Fields.of(walk.added), Fields.of(walk.modified), Fields.of(walk.removed))


def merged(shape: Shape, live: Any, config: Any) -> Any:
    """Lay an applied configuration over an object."""
    if config is MISSING:
        return live
    if live is MISSING or is_leaf(shape, config) or type(live) is not type(config):
        return config
    if isinstance(config, dict):
        result = dict(live)
        for key, item in config.items():
            child = shape.child(key) or ANY
            result[key] = merged(child, live.get(key, MISSING), item)
        return result
    return _merged_list(shape, live, config)


def _merged_list(shape: Shape, live: list[Any], config: list[Any]) -> list[Any]:
    """Merge keyed lists: applied items in the applied order, other items where they stood."""
    before, applied = items_by_key(shape, live), items_by_key(shape, config)
    below = shape.items or ANY
    order, position = list(before), 0
    shared = [key for key in applied if key in before]
    result: list[Any] = []
    for key, item in applied.items():
        upcoming = shared[0] if shared else None
        while position < len(order) and order[position] != upcoming:
            if order[position] not in applied:
                result.append(before[order[position]])
            position += 1
        if key == upcoming:
            position += 1
            shared.pop(0)
        result.append(merged(below, before.get(key, MISSING), item))
    return result + [before[key] for key in order[position:] if key not in applied]


def without(shape: Shape, value: Any, fields: Fields) -> Any:
    """Give a copy of a value without the given fields and everything below them."""
    if not fields or is_leaf(shape, value):
        return value
    if isinstance(value, dict):
        result = {}
        for key, item in value.items():
            element = f"f:{key}"
            if element in fields.members:
                continue
            below = fields.children.get(element)
            result[key] = item if below is None else without(shape.child(key) or ANY, item, below)
        return result
    return _without_items(shape, value, fields) if isinstance(value, list) else value


def _without_items(shape: Shape, items: list[Any], fields: Fields) -> list[Any]:
    kept = []
    for item in items:
        try:
            key = item_key(shape, item)
        except ValueError:
            kept.append(item)  # an item without key cannot be owned
            continue
        if key in fields.members:
            continue
        below = fields.children.get(key)
        kept.append(item if below is None else without(shape.items or ANY, item, below))
    return kept
