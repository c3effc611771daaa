"""Columns of server-side tables and the small formats their cells are written in."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "AGE",
    "AGE_DESCRIPTION",
    "NAME",
    "Cell",
    "Column",
    "Object",
    "age",
    "created",
    "json_path",
    "selector_text",
    "span",
    "text",
]

Object = Mapping[str, Any]
Cell = Callable[[Object], Any]

AGE_DESCRIPTION = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. "
    "It is represented in RFC3339 form and is in UTC."
)


@dataclass(frozen=True)
class Column:
    """One column: its definition and how to fill a cell. Priority 1 shows with ``-o wide``."""

    name: str
    cell: Cell
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0

    @property
    def definition(self) -> dict[str, Any]:
        """Give the column as a Table declares it."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


def age(timestamp: str | None) -> str:
    """Give the time since a timestamp as kubectl shows it.

    >>> age(None)
    '<unknown>'
    """
    if not timestamp:
        return "<unknown>"
    try:
        moment = datetime.datetime.fromisoformat(timestamp)
    except ValueError:
        return "<invalid>"
    return span((datetime.datetime.now(datetime.UTC) - moment).total_seconds())


def span(seconds: float) -> str:
    """Shorten a duration: two units at most, as kubectl's tables do.

    >>> [span(s) for s in (5, 125, 800, 3700, 90000, 800000, 40000000)]
    ['5s', '2m5s', '13m', '61m', '25h', '9d', '462d']
    """
    whole = max(int(seconds), 0)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    pairs = (
        (whole < 120, f"{whole}s"),
        (minutes < 10, _two(minutes, "m", whole % 60, "s")),
        (minutes < 180, f"{minutes}m"),
        (hours < 8, _two(hours, "h", minutes % 60, "m")),
        (hours < 48, f"{hours}h"),
        (hours < 192, _two(days, "d", hours % 24, "h")),
        (days < 730, f"{days}d"),
        (days < 2920, _two(days // 365, "y", days % 365, "d")),
    )
    return next((text for fits, text in pairs if fits), f"{days // 365}y")


def _two(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large}{unit}{small}{small_unit}" if small else f"{large}{unit}"


def created(obj: Object) -> str:
    """Give an object's age."""
    return age(obj["metadata"].get("creationTimestamp"))


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])


NAME = Column(
    "Name",
    _name,
    format="name",
    description="Name must be unique within a namespace. Is required when creating resources. "
    "Cannot be updated.",
)
AGE = Column("Age", created, description=AGE_DESCRIPTION)


def text(value: Any) -> str:
    """Write a value as a cell: JSON for anything that is not a scalar."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


_FILTER = re.compile(r"""\?\(@\.([\w.]+)\s*==\s*["'](.*?)["']\)""")


def json_path(obj: Any, path: str) -> list[Any]:
    r"""Read the values at a simple JSONPath: fields, indices, ``[*]`` and ``[?(@.a=="b")]``.

    >>> json_path({"a": [{"t": "x", "v": 1}, {"t": "y", "v": 2}]}, '.a[?(@.t=="y")].v')
    [2]
    >>> json_path({"l": {"a.b/c": "d"}}, r".l.a\.b/c")
    ['d']
    """
    found = [obj]
    for step in _steps(path.strip().removeprefix("{").removesuffix("}")):
        found = [value for item in found for value in _descend(item, step)]
    return [value for value in found if value is not None]


def _steps(path: str) -> list[str]:
    steps: list[str] = []
    word, depth, position = "", 0, 0
    while position < len(path):
        char = path[position]
        if char == "\\" and position + 1 < len(path):
            word += path[position + 1]
            position += 2
            continue
        if depth == 0 and char in ".[":
            steps.append(word)
            word = ""
        elif depth == 1 and char == "]":
            steps.append(f"[{word}]")
            word = ""
        else:
            word += char
        depth += {"[": 1, "]": -1}.get(char, 0)
        position += 1
    steps.append(word)
    return [step for step in steps if step]


def _descend(item: Any, step: str) -> list[Any]:
    if not step.startswith("["):
        return [item[step]] if isinstance(item, Mapping) and step in item else []
    inner = step[1:-1]
    if inner.startswith(("'", '"')):
        return _descend(item, inner[1:-1])
    if inner == "*" and isinstance(item, Mapping):
        return list(item.values())
    return _pick(item, inner) if isinstance(item, list) else []


def _pick(item: list[Any], inner: str) -> list[Any]:
    """Take the elements of a list that a subscript chooses."""
    if inner == "*":
        return item
    if match := _FILTER.fullmatch(inner):
        return [e for e in item if json_path(e, "." + match[1]) == [match[2]]]
    if inner.lstrip("-").isdigit() and -len(item) <= int(inner) < len(item):
        return [item[int(inner)]]
    return []


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """Write a LabelSelector as one line.

    >>> selector_text({"matchLabels": {"b": "2", "a": "1"}})
    'a=1,b=2'
    """
    found = [f"{k}={v}" for k, v in sorted(((selector or {}).get("matchLabels") or {}).items())]
    for term in (selector or {}).get("matchExpressions") or ():
        values = ",".join(term.get("values") or ())
        match term["operator"]:
            case "Exists":
                found.append(term["key"])
            case "DoesNotExist":
                found.append(f"!{term['key']}")
            case operator:
                found.append(f"{term['key']} {operator.lower()} ({values})")
    return ",".join(found)
