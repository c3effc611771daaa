"""Bodies as bytes: JSON with the error texts of Go's decoder, YAML, Protobuf."""

from __future__ import annotations

import json
from typing import Any

import yaml

from runbook.rehearsal.apiserver import protobuf
from runbook.rehearsal.apiserver.requests import Request
from runbook.rehearsal.apiserver.statuses import bad_request, unsupported_media

__all__ = ["parse", "parse_patch", "parse_yaml", "repeated", "syntax_error"]

_ACCEPTED = (
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/cbor",
)


def parse(request: Request, kind: str) -> dict[str, Any]:
    """Parse the body of a create or update request.

    Args:
        request: Its Content-Type says how; without one it is JSON.
        kind: The kind error messages name.

    Raises:
        Refusal: 400 when it is no object, 415 for an unknown media type.
    """
    media = request.content_type or "application/json"
    if media == protobuf.MEDIA_TYPE:
        return _parse_protobuf(request.body)
    if media == "application/yaml":
        obj = parse_yaml(request.body)
    elif media == "application/json":
        obj = _parse_json(request.body, kind)
    else:
        raise unsupported_media(_ACCEPTED)
    if not isinstance(obj, dict):
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): couldn't get "
            "version/kind; json parse error: json: cannot unmarshal "
            f"{_json_kind(obj)} into Go value of type struct"
        )
    return obj


def _parse_protobuf(body: bytes) -> dict[str, Any]:
    try:
        return protobuf.decode(body)
    except ValueError as error:
        raise bad_request(str(error)) from None


class _Repeating(dict[str, Any]):
    """A JSON object some of whose keys came twice."""

    repeated: tuple[str, ...] = ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of a JSON object; a plain one unless keys repeat, as copies of those are fast."""
    if len(plain := dict(pairs)) == len(pairs):
        return plain
    found = _Repeating(pairs)
    keys = [key for key, _ in pairs]
    found.repeated = tuple(dict.fromkeys(key for key in keys if keys.count(key) > 1))
    return found


def repeated(value: Any, path: str = "") -> list[str]:
    """Name the fields that a parsed body has twice, as strict decoding does.

    >>> repeated(_parse_json(b'{"data": {"a": 1, "a": 2}}', "ConfigMap"))
    ['duplicate field "data.a"']
    """
    found = []
    if isinstance(value, _Repeating):
        found += [f'duplicate field "{path}{key}"' for key in value.repeated]
    if isinstance(value, dict):
        for key, item in value.items():
            found += repeated(item, f"{path}{key}.")
    elif isinstance(value, list):
        for position, item in enumerate(value):
            found += repeated(item, f"{path[:-1]}[{position}].")
    return found


def _parse_json(body: bytes, kind: str) -> Any:
    try:
        return json.loads(body, object_pairs_hook=_object)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        shown = body[:1024].decode(errors="replace")
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): couldn't get "
            f"version/kind; json parse error: {syntax_error(error)} ({shown})"
        ) from None


def parse_patch(body: bytes) -> Any:
    """Parse the body of a JSON, merge or strategic merge patch.

    Raises:
        Refusal: 400 when it is no JSON.
    """
    try:
        return json.loads(body)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"error decoding patch: {syntax_error(error)}") from None


def parse_yaml(body: bytes) -> Any:
    """Parse YAML, of which JSON is a part.

    Raises:
        Refusal: 400 when it is none.
    """
    try:
        return json.loads(body)
    except ValueError:
        pass
    try:
        return yaml.load(body, Loader=_Loader)  # noqa: S506 - a subclass of the safe loader
    except yaml.YAMLError as error:
        first = str(error).splitlines()[0]
        raise bad_request(f"error decoding YAML: yaml: {first}") from None


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A safe loader that leaves dates as text, as Kubernetes' YAML does."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in entries if tag != "tag:yaml.org,2002:timestamp"]
    for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def syntax_error(error: ValueError) -> str:
    """Word a JSON syntax error as Go's decoder does.

    >>> try:
    ...     json.loads("{nope")
    ... except ValueError as error:
    ...     syntax_error(error)
    "invalid character 'n' looking for beginning of object key string"
    """
    if not isinstance(error, json.JSONDecodeError):
        return "invalid character '�' in string literal"
    if error.pos >= len(error.doc) or error.msg.startswith("Unterminated"):
        return "unexpected end of JSON input"
    character = error.doc[error.pos]
    wording = {
        "Expecting property name enclosed in double quotes": (
            "looking for beginning of object key string"
        ),
        "Expecting value": "looking for beginning of value",
        "Expecting ',' delimiter": "after object key:value pair",
        "Expecting ':' delimiter": "after object key",
        "Extra data": "after top-level value",
    }
    return f"invalid character '{character}' {wording.get(error.msg, 'in string literal')}"


def _json_kind(value: Any) -> str:
    if isinstance(value, list):
        return "array"
    if isinstance(value, bool):
        return "bool"
    if value is None:
        return "null"
    return "string" if isinstance(value, str) else "number"
