"""The kinds of values parameters take, and how a parameter is described."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic.config import JsonDict

from runbook import releases
from runbook.errors import LineError

__all__ = [
    "Duration",
    "Label",
    "LineName",
    "Names",
    "Numbers",
    "OptionalDuration",
    "OptionalLabel",
    "OptionalSubdomain",
    "Subdomain",
    "Text",
    "field",
    "numbers",
    "seconds",
    "words",
]

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|m|s|us|µs|ns))+")
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_REFERENCE = re.compile(r"(env|file|secret):(?!//)")


def seconds(duration: str) -> float:
    """Give the seconds of a Go-like duration.

    >>> seconds("48h"), seconds("1h30m")
    (172800.0, 5400.0)

    Raises:
        ValueError: The text is not such a duration.
    """
    if not _DURATION.fullmatch(duration):
        raise ValueError('must be a duration such as "48h" or "1h30m"')
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)", duration)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _duration(value: str) -> str:
    if seconds(value) <= 0:
        raise ValueError("must be longer than zero")
    return value


def _optional_duration(value: str) -> str:
    return _duration(value) if value else value


def words(value: str) -> tuple[str, ...]:
    """Give the parts of a list that is written with commas.

    >>> words("node1, node2")
    ('node1', 'node2')
    """
    return tuple(part.strip() for part in value.split(",") if part.strip())


def numbers(value: str) -> tuple[int, ...]:
    """Give the numbers of a list that is written with commas.

    >>> numbers("20,200")
    (20, 200)
    """
    return tuple(int(part) for part in words(value))


def _numbers(value: str) -> str:
    parts = words(value)
    if not parts or not all(re.fullmatch(r"[1-9]\d{0,8}", part) for part in parts):
        raise ValueError('must be whole numbers above zero with commas between them, "20,200"')
    if len(set(parts)) < len(parts):
        raise ValueError("must not name the same number twice")
    return value


def _names(value: str) -> str:
    parts = words(value)
    for part in parts:
        _subdomain(part)
    if len(set(parts)) < len(parts):
        raise ValueError("must not name the same one twice")
    return value


def _label(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError(
            "must be a DNS-1123 label: at most 63 lower-case letters, digits and '-', "
            "beginning and ending with a letter or digit"
        )
    return value


def _optional_label(value: str) -> str:
    return _label(value) if value else value


def _subdomain(value: str) -> str:
    if len(value) > 253 or not all(_LABEL.fullmatch(part) for part in value.split(".")):
        raise ValueError(
            "must be a DNS-1123 name: lower-case letters, digits, '-' and '.', at most 253 "
            "characters"
        )
    return value


def _optional_subdomain(value: str) -> str:
    return _subdomain(value) if value else value


def _literal(value: str) -> str:
    if _REFERENCE.match(value):
        raise ValueError(
            "must be the text itself: references (env:, file:, secret:) are resolved only "
            "inside 'values' and 'viz_values'"
        )
    return value


def _line(value: str) -> str:
    try:
        return releases.find(value).name
    except LineError as error:
        raise ValueError(f"must be a release line ({error.why}; {error.fix})") from None


Text = Annotated[str, AfterValidator(_literal)]
Duration = Annotated[str, AfterValidator(_duration)]
Label = Annotated[str, AfterValidator(_label)]
OptionalLabel = Annotated[str, AfterValidator(_optional_label)]
Subdomain = Annotated[str, AfterValidator(_subdomain)]
OptionalSubdomain = Annotated[str, AfterValidator(_optional_subdomain)]
LineName = Annotated[str, AfterValidator(_line)]
OptionalDuration = Annotated[str, AfterValidator(_optional_duration)]
Numbers = Annotated[str, AfterValidator(_numbers)]
Names = Annotated[str, AfterValidator(_names)]


def field(default: Any, description: str, *, unit: str = "", **constraints: Any) -> Any:
    """Describe a parameter: its default, its meaning, its unit and its limits."""
    extra: JsonDict | None = {"unit": unit} if unit else None
    if isinstance(default, dict):
        return Field(default_factory=dict, description=description, json_schema_extra=extra)
    return Field(default=default, description=description, json_schema_extra=extra, **constraints)
