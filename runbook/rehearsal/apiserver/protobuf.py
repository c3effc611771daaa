"""Request bodies in Protobuf, which the typed clients of kubectl and Helm prefer.

Only decoding is needed: the answers are JSON, which every client accepts. The field numbers are in
``messages.txt``; a field that is not listed there is refused rather than lost.
"""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["MAGIC", "MEDIA_TYPE", "decode"]

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"


@dataclass(frozen=True)
class _Field:
    name: str
    type: str
    mode: str  # "" once, "*" list, "%" map

    @property
    def keeps_zero(self) -> bool:
        return self.type.isupper() and len(self.type) == 1


def decode(body: bytes) -> dict[str, Any]:
    """Decode a body: an envelope with apiVersion and kind around the object.

    Raises:
        ValueError: It is not Protobuf, or holds something the table does not know.
    """
    if not body.startswith(MAGIC):
        raise ValueError("provided data does not appear to be a protobuf message")
    envelope = dict(_fields(body[len(MAGIC) :]))
    meta = dict(_fields(envelope.get(1, b"")))
    kind = _text(meta.get(2, b""))
    obj = {"kind": kind, "apiVersion": _text(meta.get(1, b""))}
    return obj | _message(kind, envelope.get(2, b""))


@cache
def _messages() -> Mapping[str, Mapping[int, _Field]]:
    source = resources.files(__package__).joinpath("messages.txt").read_text()
    lines = [line for line in source.splitlines() if not line.startswith("#")]
    found: dict[str, dict[int, _Field]] = {}
    for entry in "\n".join(lines).replace("\n  ", " ").splitlines():
        name, *fields = entry.split()
        found[name] = dict(_parse(field) for field in fields)
    return found


def _parse(text: str) -> tuple[int, _Field]:
    number, name, kind = text.split(":")
    mode = kind[0] if kind[0] in "*%" else ""
    return int(number), _Field(name, kind.removeprefix(mode), mode)


def _message(name: str, raw: bytes) -> dict[str, Any]:
    table = _messages().get(name)
    if table is None:
        raise ValueError(f"no protobuf decoder for {name}")
    found: dict[str, Any] = {}
    for number, value in _fields(raw):
        field = table.get(number)
        if field is None:
            raise ValueError(f"no protobuf decoder for field {number} of {name}")
        if field.type != "-":
            _take(found, field, value)
    return found


def _take(found: dict[str, Any], field: _Field, value: Any) -> None:
    """Add one wire value to the object."""
    if field.mode == "*":
        found.setdefault(field.name, []).append(_value(field.type, value))
    elif field.mode == "%":
        entry = dict(_fields(value))
        empty: Any = b"" if field.type != "i" else 0
        key = _text(entry.get(1, b""))
        found.setdefault(field.name, {})[key] = _value(field.type, entry.get(2, empty))
    elif not field.name:
        found |= _value(field.type, value)
    else:
        read = _value(field.type, value)
        if read is None or (read in ("", 0, False) and not field.keeps_zero and read != {}):
            return
        found[field.name] = read


def _value(kind: str, raw: Any) -> Any:
    """Turn what the wire holds into what JSON holds."""
    convert = _PLAIN.get(kind)
    return convert(raw) if convert else _message(kind, raw)


def _text(raw: bytes) -> str:
    return raw.decode()


def _integer(raw: int) -> int:
    return raw - (1 << 64) if raw >= 1 << 63 else raw


def _moment(raw: bytes, form: str = "%Y-%m-%dT%H:%M:%SZ") -> str | None:
    """Write seconds and nanoseconds since 1970 as RFC 3339; the zero time is nothing."""
    parts = dict(_fields(raw))
    if not parts.get(1):
        return None
    since = datetime.timedelta(seconds=_integer(parts[1]), microseconds=parts.get(2, 0) // 1000)
    return (datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + since).strftime(form)


def _number_or_text(raw: bytes) -> int | str:
    parts = dict(_fields(raw))
    return _text(parts.get(3, b"")) if parts.get(1) else _integer(parts.get(2, 0))


_PLAIN: dict[str, Callable[[Any], Any]] = {
    "s": _text,
    "S": _text,
    "i": _integer,
    "I": _integer,
    "b": bool,
    "B": bool,
    "y": lambda raw: base64.b64encode(raw).decode(),
    "Time": _moment,
    "MicroTime": lambda raw: _moment(raw, "%Y-%m-%dT%H:%M:%S.%fZ"),
    "Quantity": lambda raw: _text(dict(_fields(raw)).get(1, b"")),
    "IntOrString": _number_or_text,
    "FieldsV1": lambda raw: json.loads(dict(_fields(raw)).get(1, b"{}")),
    "ExtraValue": lambda raw: [_text(item) for _, item in _fields(raw)],
}


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Read the wire format: field numbers with integers or byte strings."""
    position = 0
    while position < len(raw):
        tag, position = _varint(raw, position)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, position = _varint(raw, position)
            yield number, value
        elif wire == 2:
            size, position = _varint(raw, position)
            if position + size > len(raw):
                raise ValueError("unexpected EOF")
            yield number, raw[position : position + size]
            position += size
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            yield number, int.from_bytes(raw[position : position + size], "little")
            position += size
        else:
            raise ValueError(f"illegal wire type {wire}")


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(raw):
        byte = raw[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if not byte & 0x80:
            return value, position
        shift += 7
    raise ValueError("unexpected EOF")
