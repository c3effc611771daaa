"""Scalar syntax: quantities, times, names and the formats of JSON schemas."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

__all__ = [
    "base64_error",
    "go_text",
    "matches_format",
    "quantity_error",
    "quantity_value",
    "time_error",
]

_QUANTITY = re.compile(r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$")
_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(1000),
    "M": Decimal(1000) ** 2,
    "G": Decimal(1000) ** 3,
    "T": Decimal(1000) ** 4,
    "P": Decimal(1000) ** 5,
    "E": Decimal(1000) ** 6,
    "Ki": Decimal(1024),
    "Mi": Decimal(1024) ** 2,
    "Gi": Decimal(1024) ** 3,
    "Ti": Decimal(1024) ** 4,
    "Pi": Decimal(1024) ** 5,
    "Ei": Decimal(1024) ** 6,
}
_SYNTAX = f"quantities must match the regular expression '{_QUANTITY.pattern}'"
_SUFFIX = "unable to parse quantity's suffix"
_TIME = re.compile(r"^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)$")
_LAYOUT = "2006-01-02T15:04:05Z07:00"
_ALPHABET = re.compile(r"[A-Za-z0-9+/]")


@lru_cache(maxsize=4096)
def quantity_value(text: str) -> Decimal:
    """Parse a resource quantity such as ``250m`` or ``1Gi``.

    Raises:
        ValueError: The text is no quantity; the message is the API server's.
    """
    found = _QUANTITY.match(text)
    if found is None:
        raise ValueError(_SYNTAX)
    number, suffix = found.groups()
    try:
        if suffix in _SUFFIXES:
            return Decimal(number) * _SUFFIXES[suffix]
        if suffix[:1] in "eE" and suffix[1:]:
            return Decimal(number + suffix)
    except InvalidOperation as wrong:
        raise ValueError(_SYNTAX) from wrong
    raise ValueError(_SUFFIX)


def quantity_error(value: str | float) -> str | None:
    """Give the API server's complaint about a quantity, if any."""
    try:
        quantity_value(str(value))
    except ValueError as wrong:
        return str(wrong)
    return None


def time_error(text: str) -> str | None:
    """Give Go's complaint about a time that is not RFC 3339, if any."""
    if _TIME.match(text):
        try:
            datetime.fromisoformat(_seconds(text))
        except ValueError:
            return f'parsing time "{text}": day out of range'
        return None
    return f'parsing time "{text}" as "{_LAYOUT}": cannot parse "{text}" as "2006"'


def _seconds(text: str) -> str:
    """Drop the fraction, of which Python takes fewer digits than Go."""
    return re.sub(r"\.\d+", "", text.upper()).replace("Z", "+00:00")


def base64_error(text: str) -> str | None:
    """Give Go's complaint about wrong base64, if any."""
    compact = text.replace("\n", "").replace("\r", "")
    try:
        base64.b64decode(compact, validate=True)
    except (binascii.Error, ValueError):
        return f"illegal base64 data at input byte {_first_illegal(compact)}"
    return None


def _first_illegal(text: str) -> int:
    for index, char in enumerate(text):
        if not _ALPHABET.match(char):
            return index
    return len(text) - len(text) % 4


_SPAN = r"(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)"
_PATTERNS = {
    "uuid": re.compile(r"^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}$"),
    "date": re.compile(r"^\d{4}-\d\d-\d\d$"),
    "email": re.compile(r"^[^@\s]+@[^@\s]+$"),
    "hostname": re.compile(r"^(?=.{1,255}$)[A-Za-z0-9][-A-Za-z0-9]{0,62}(\.[-A-Za-z0-9]{1,63})*$"),
    "mac": re.compile(r"^([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}$"),
    "duration": re.compile(rf"^[+-]?({_SPAN})+$|^0$"),
    "uri": re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*:|/)\S*$"),
}


def matches_format(format: str, value: Any) -> bool:
    """Tell whether a string or number satisfies a format; unknown formats allow everything."""
    if isinstance(value, int) and format in ("int32", "int64"):
        limit = 2**31 if format == "int32" else 2**63
        return -limit <= value < limit
    if not isinstance(value, str):
        return True
    if format == "date-time":
        return time_error(value) is None
    if format == "byte":
        return base64_error(value) is None
    if format in ("ipv4", "ipv6", "cidr"):
        return _is_address(format, value)
    pattern = _PATTERNS.get(format)
    return pattern is None or pattern.match(value) is not None


def _is_address(format: str, value: str) -> bool:
    try:
        if format == "cidr":
            ipaddress.ip_network(value, strict=False)
            return "/" in value
        return ipaddress.ip_address(value).version == int(format[-1])
    except ValueError:
        return False


def go_text(value: Any) -> str:
    """Print a value as Go's ``%v`` does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[{}]".format(" ".join(f"{k}:{go_text(v)}" for k, v in sorted(value.items())))
    if isinstance(value, list):
        return "[{}]".format(" ".join(map(go_text, value)))
    return "<nil>" if value is None else str(value)
