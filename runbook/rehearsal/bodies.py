"""Request bodies: decoding, validation, defaults and patches, by the kind's own schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from runbook.rehearsal.requests import Request
from runbook.rehearsal.resources import Resource
from runbook.rehearsal.statuses import Refusal, bad_request, invalid

__all__ = ["Bodies", "Options", "options"]

Object = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """The options of a write request."""

    manager: str
    dry_run: bool = False
    validation: str = "Warn"
    force: bool = False


@dataclass(frozen=True)
class _Cause:
    reason: str
    message: str
    field: str


def options(request: Request) -> Options:
    """Read the options of a write request.

    Raises:
        Refusal: 422 when one has a value the server does not know.
    """
    kind = {"POST": "CreateOptions", "PUT": "UpdateOptions"}.get(request.method, "PatchOptions")
    dry_run = request.query.get("dryRun", "")
    if dry_run not in ("", "All"):
        raise _unsupported(kind, "dryRun", dry_run, ("All",))
    validation = request.query.get("fieldValidation", "") or "Warn"
    if validation not in ("Ignore", "Warn", "Strict"):
        raise _unsupported(kind, "fieldValidation", validation, ("Ignore", "Strict", "Warn"))
    manager = request.query.get("fieldManager", "")
    if len(manager) > 128:
        cause = _Cause("FieldValueTooLong", "Too long: may not be more than 128 bytes", "fieldManager")
        raise invalid("meta.k8s.io", kind, "", [cause])
    agent = request.headers.get("user-agent", "unknown").partition("/")[0][:128]
    return Options(manager or agent, bool(dry_run), validation, request.flag("force"))


def _unsupported(kind: str, field: str, value: str, known: tuple[str, ...]) -> Refusal:
    names = ", ".join(f'"{name}"' for name in known)
    message = f'Unsupported value: "{value}": supported values: {names}'
    return invalid("meta.k8s.io", kind, "", [_Cause("FieldValueNotSupported", message, field)])


class Bodies:
    """Turns bodies into objects.

    Args:
        version: Kubernetes version whose schemas count.
    """

    def __init__(self, version: str) -> None:
        self._version = version

    def decode(
        self, resource: Resource, request: Request, options: Options
    ) -> tuple[Object, tuple[str, ...]]:
        """Decode the body of a create or update request.

        Returns:
            The object, pruned of unknown fields, and the warnings about them.

        Raises:
            Refusal: 400 when the body is no such object, or has unknown fields and the request
                wants strict validation; 415 when its media type is not understood.
        """
        obj = self._parse(resource, request)
        return self.checked(resource, obj, options)

    def checked(
        self, resource: Resource, obj: Object, options: Options
    ) -> tuple[Object, tuple[str, ...]]:
        return obj, ()

    def _parse(self, resource: Resource, request: Request) -> Object:
        try:
            obj = parse(request)
        except ValueError as error:
            raise bad_request(str(error)) from None
        return obj

    def complete(self, resource: Resource, obj: Object) -> Object:
        return obj

    def causes(self, resource: Resource, obj: Object, old: Object | None) -> list[Any]:
        return []

    def patch(self, resource: Resource, current: Object, request: Request) -> Object:
        patch = json.loads(request.body)
        if request.content_type == "application/json-patch+json":
            import jsonpatch

            return jsonpatch.apply_patch(current, patch)
        return _merge(current, patch)

    def apply(self, resource, live, applied, *, manager, force, now, subresource=""):
        return _merge(live or {}, applied)

    def track(self, resource, before, after, *, manager, now, subresource=""):
        return after


def _merge(current, patch):
    if not isinstance(patch, dict):
        return patch
    found = dict(current) if isinstance(current, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = _merge(found.get(key), value)
    return found


def parse(request: Request) -> Any:
    """Parse a body as JSON, or as YAML when it says so."""
    if "yaml" in request.content_type:
        return yaml.load(request.body, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return json.loads(request.body)
