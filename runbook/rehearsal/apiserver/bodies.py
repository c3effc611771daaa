"""Request bodies: decoding, validation, defaults, patches and who owns which field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbook.rehearsal.apiserver import parsing
from runbook.rehearsal.apiserver.requests import Request, stamp
from runbook.rehearsal.apiserver.resources import Resource, minor
from runbook.rehearsal.apiserver.statuses import Refusal, bad_request, invalid, unsupported_media
from runbook.rehearsal.objects import crd as definitions
from runbook.rehearsal.objects import defaults, merge, rules, schema
from runbook.rehearsal.objects.apply import (
    ApplyConflict,
    ApplyRefused,
    keep_times,
    server_side_apply,
    track,
)
from runbook.rehearsal.objects.formats import go_text
from runbook.rehearsal.objects.schema import Cause, Type

__all__ = ["Bodies", "Options", "options"]

Object = dict[str, Any]

APPLY = "application/apply-patch+yaml"
_PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    APPLY,
)
#: The oldest and newest versions with published schemas; others borrow from the nearest.
_SCHEMAS = (25, 37)


@dataclass(frozen=True)
class Options:
    """The options of a write request."""

    manager: str
    dry_run: bool = False
    validation: str = "Warn"
    force: bool = False


def options(request: Request) -> Options:
    """Read the options of a write request.

    Raises:
        Refusal: 422 when one has a value the server does not know.
    """
    kinds = {"POST": "CreateOptions", "PUT": "UpdateOptions", "DELETE": "DeleteOptions"}
    kind = kinds.get(request.method, "PatchOptions")
    dry_run = request.query.get("dryRun", "")
    validation = request.query.get("fieldValidation", "") or "Warn"
    manager = request.query.get("fieldManager", "")
    causes = []
    if dry_run not in ("", "All"):
        causes.append(_unsupported("dryRun", [dry_run], ("All",)))
    if validation not in ("Ignore", "Warn", "Strict"):
        known = ("Ignore", "Strict", "Warn")
        causes.append(_unsupported("fieldValidation", validation, known))
    if len(manager) > 128:
        message = "Too long: may not be more than 128 bytes"
        causes.append(Cause("FieldValueTooLong", message, "fieldManager"))
    if request.method == "PATCH":
        causes += _apply_causes(request, manager)
    if causes:
        raise invalid("meta.k8s.io", kind, "", causes)
    agent = request.headers.get("user-agent", "unknown").partition("/")[0][:128]
    return Options(manager or agent, bool(dry_run), validation, request.flag("force"))


def _apply_causes(request: Request, manager: str) -> list[Cause]:
    applying = request.content_type == APPLY
    if applying and not manager:
        message = "Required value: is required for apply patch"
        return [Cause("FieldValueRequired", message, "fieldManager")]
    if not applying and "force" in request.query:
        message = "Forbidden: may not be specified for non-apply patch"
        return [Cause("FieldValueForbidden", message, "force")]
    return []


def _unsupported(field: str, value: Any, known: tuple[str, ...]) -> Cause:
    names = ", ".join(f'"{name}"' for name in known)
    shown = json.dumps(value)
    message = f"Unsupported value: {shown}: supported values: {names}"
    return Cause("FieldValueNotSupported", message, field)


class Bodies:
    """Turns bodies into objects and objects into what is stored.

    Args:
        version: Kubernetes version whose schemas count.
    """

    def __init__(self, version: str) -> None:
        number = min(max(minor(version), _SCHEMAS[0]), _SCHEMAS[1])
        self._builtin = schema.builtin(f"1.{number}")
        self._custom: dict[tuple[str, str], dict[str, Type]] = {}

    def type_of(self, resource: Resource) -> Type | None:
        """Give the schema of a resource's kind; None for the few without one."""
        if resource.crd is None:
            found = self._builtin.of(resource.group, resource.version, resource.kind)
            return found or self._builtin.of(resource.group, "v1", resource.kind)
        metadata = resource.crd["metadata"]
        key = (metadata["name"], metadata["resourceVersion"])
        if key not in self._custom:
            for old in [known for known in self._custom if known[0] == key[0]]:
                del self._custom[old]
            self._custom[key] = definitions.types(resource.crd)
        return self._custom[key][resource.version]

    def decode(
        self, resource: Resource, request: Request, wanted: Options
    ) -> tuple[Object, tuple[str, ...]]:
        """Decode the body of a create or update request.

        Returns:
            The object, pruned of unknown fields, and the warnings about them.

        Raises:
            Refusal: 400 when the body is no such object, or has unknown fields and the request
                wants strict validation; 415 when its media type is not understood.
        """
        obj = parsing.parse(request, resource.kind)
        self._check_kind(resource, obj)
        kind = self.type_of(resource)
        if kind is None:
            return obj, ()
        prefix = (
            f'{obj["kind"]} in version "{resource.version}" cannot be handled as a {obj["kind"]}: '
        )
        if (misfit := kind.misfits(obj)) is not None:
            raise bad_request(prefix + misfit)
        unknown = self._unknown(kind, obj, wanted)
        if wanted.validation != "Ignore":
            unknown = parsing.repeated(obj) + unknown
        if unknown and wanted.validation == "Strict":
            raise bad_request(f"{prefix}strict decoding error: {', '.join(unknown)}")
        return kind.prune(obj), tuple(unknown)

    def patched(
        self, resource: Resource, obj: Object, wanted: Options, request: Request
    ) -> tuple[Object, tuple[str, ...]]:
        """Check the outcome of a patch as an object of its kind.

        A strategic merge patch is quoted itself and its outcome converted; of the other patches
        the outcome is quoted and decoded.

        Raises:
            Refusal: 422 when it is none, or has unknown fields and they are refused.
        """
        kind = self.type_of(resource)
        if kind is None:
            return obj, ()
        strategic = request.content_type.startswith("application/strategic")
        misfit = kind.unconvertible(obj) if strategic else kind.misfits(obj)
        unknown = [] if misfit else self._unknown(kind, obj, wanted)
        if misfit is None and unknown and wanted.validation == "Strict":
            misfit = f"strict decoding error: {', '.join(unknown)}"
        if misfit is not None:
            body = parsing.parse_patch(request.body) if strategic else None
            text = go_text(body) if strategic else json.dumps(obj, separators=(",", ":"))
            message = f"Invalid value: {json.dumps(text)}: {misfit}"
            cause = Cause("FieldValueInvalid", message, "patch")
            raise _invalid_patch(cause)
        return kind.prune(obj), tuple(unknown)

    def applied(self, resource: Resource, request: Request) -> Object:
        """Decode the body of a server-side apply request.

        Raises:
            Refusal: 400 when it is no object of the resource's kind.
        """
        obj = parsing.parse_yaml(request.body)
        if not isinstance(obj, dict):
            raise bad_request("error decoding YAML: the apply configuration is no object")
        kind = obj.get("kind")
        if not kind or not obj.get("apiVersion"):
            missing = "kind" if not kind else "apiVersion"
            raise bad_request(f"{missing} must be set on an apply patch")
        if kind != resource.kind:
            raise bad_request(
                f"invalid object type: /{resource.version}, Kind={kind}, expected {resource.kind}"
            )
        return obj

    def apply(
        self,
        resource: Resource,
        live: Object | None,
        applied: Object,
        wanted: Options,
        subresource: str = "",
    ) -> Object:
        """Merge an applied configuration into the live object.

        Raises:
            Refusal: 409 when others own the fields, 400 or 500 when the configuration is malformed.
        """
        kind = self._need(resource)
        try:
            return server_side_apply(
                kind,
                live,
                applied,
                manager=wanted.manager,
                force=wanted.force,
                api_version=resource.api_version,
                now=stamp(),
                subresource=subresource,
            )
        except ApplyConflict as conflict:
            causes = [
                {"reason": "FieldManagerConflict", "message": message, "field": field}
                for _, field, message in conflict.conflicts
            ]
            raise Refusal(409, conflict.message, "Conflict", {"causes": causes}) from None
        except ApplyRefused as refused:
            reason = "BadRequest" if refused.code == 400 else ""
            raise Refusal(refused.code, str(refused), reason) from None

    def patch(self, resource: Resource, current: Object, request: Request) -> Object:
        """Apply the patch in a request's body to an object.

        Raises:
            Refusal: 400 or 422 when it does not fit, 415 for an unknown kind of patch.
        """
        media = request.content_type
        if media not in _PATCHES:
            raise unsupported_media()
        if media.startswith("application/strategic") and resource.crd is not None:
            raise unsupported_media([p for p in _PATCHES if "strategic" not in p])
        body = parsing.parse_patch(request.body)
        try:
            if media == _PATCHES[0]:
                return merge.json_patch(current, body)
            if media == _PATCHES[1]:
                return merge.json_merge(current, body)
            return merge.strategic(self._need(resource), current, body)
        except merge.PatchFailed as failed:
            details: Object | None = {} if failed.code == 422 else None
            raise Refusal(failed.code, failed.message, failed.reason, details) from None

    def complete(self, resource: Resource, obj: Object) -> Object:
        """Fill in the defaults of a kind."""
        kind = self.type_of(resource)
        filled = defaults.fill(resource.kind if resource.crd is None else "", obj)
        return filled if kind is None else kind.default(filled)

    def causes(self, resource: Resource, obj: Object, old: Object | None) -> list[Cause]:
        """Find what is wrong with the values of an object."""
        found = list(rules.causes(resource.qualified, obj, old))
        kind = self.type_of(resource)
        checked = [] if kind is None else kind.check(obj)
        return found + [cause for cause in checked if cause not in found]

    def track(
        self,
        resource: Resource,
        before: Object | None,
        after: Object,
        wanted: Options,
        subresource: str = "",
    ) -> Object:
        """Record in managedFields what a create, update or patch changed."""
        kind = self.type_of(resource)
        if kind is None:
            return after
        tracked = track(
            kind,
            before,
            after,
            manager=wanted.manager,
            api_version=resource.api_version,
            now=stamp(),
            subresource=subresource,
        )
        return tracked if before is None else keep_times(before, tracked)

    def _need(self, resource: Resource) -> Type:
        kind = self.type_of(resource)
        if kind is None:
            raise Refusal(500, f"no schema for {resource.api_version} {resource.kind}")
        return kind

    def _unknown(self, kind: Type, obj: Mapping[str, Any], wanted: Options) -> list[str]:
        return [] if wanted.validation == "Ignore" else kind.unknown(obj)

    def _check_kind(self, resource: Resource, obj: Object) -> None:
        """Fill in what the body leaves out and refuse objects of another kind."""
        if resource.crd is not None and not obj.get("kind"):
            shown = json.dumps(obj, separators=(",", ":"))
            raise bad_request(f"Object 'Kind' is missing in '{shown}'")
        kind = obj.setdefault("kind", resource.kind)
        version = obj.setdefault("apiVersion", resource.api_version)
        if kind != resource.kind:
            raise bad_request(self._wrong_kind(resource, kind, str(version)))
        if version != resource.api_version:
            raise bad_request(
                f"the API version in the data ({version}) does not match the expected API version "
                f"({resource.api_version})"
            )

    def _wrong_kind(self, resource: Resource, kind: str, api_version: str) -> str:
        group, _, version = api_version.rpartition("/")
        prefix = f'{kind} in version "{version}" cannot be handled as a {resource.kind}: '
        if self._builtin.of(group, version, kind) is None:
            return (
                f'{prefix}no kind "{kind}" is registered for version "{api_version}" in scheme '
                '"pkg/api/legacyscheme/scheme.go:30"'
            )
        internal = resource.group.partition(".")[0] or "core"
        return (
            f"{prefix}converting ({version}.{kind}) to ({internal}.{resource.kind}): "
            "unknown conversion"
        )


def _invalid_patch(cause: Cause) -> Refusal:
    """Refuse the outcome of a patch, as the real server does: about no kind and no name."""
    entry = {"reason": cause.reason, "message": cause.message, "field": cause.field}
    message = f' "" is invalid: {cause.field}: {cause.message}'
    return Refusal(422, message, "Invalid", {"causes": [entry]})
