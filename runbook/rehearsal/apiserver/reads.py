"""Getting and listing: selectors, paging, tables and partial objects."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbook.rehearsal.apiserver import tables
from runbook.rehearsal.apiserver.requests import Request, Response, Target
from runbook.rehearsal.apiserver.resources import Resource
from runbook.rehearsal.apiserver.selectors import Selector, field_selector, label_selector
from runbook.rehearsal.apiserver.statuses import bad_request, expired, invalid, missing, too_large
from runbook.rehearsal.apiserver.store import Object, Objects, Store, TooOldError
from runbook.rehearsal.objects.schema import Cause

__all__ = ["Reads", "form", "present", "represent", "selector"]


def selector(request: Request, resource: Resource) -> Selector:
    """Read both selectors of a request.

    Raises:
        Refusal: 400 when one cannot be understood.
    """
    return Selector(
        label_selector(request.query.get("labelSelector", "")),
        field_selector(request.query.get("fieldSelector", ""), resource),
    )


def present(resource: Resource, obj: Object) -> Object:
    """Show a stored object in the version of the resource it is asked through."""
    if obj.get("apiVersion") == resource.api_version and obj.get("kind") == resource.kind:
        return obj
    return {**obj, "kind": resource.kind, "apiVersion": resource.api_version}


def _item(resource: Resource, obj: Object) -> Object:
    """Show an object inside a list: built-in kinds do not repeat kind and apiVersion."""
    if resource.crd is not None:
        return present(resource, obj)
    return {k: v for k, v in obj.items() if k not in ("kind", "apiVersion")}


@dataclass(frozen=True)
class _Page:
    objects: Objects
    revision: int
    token: str = ""
    remaining: int | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        found: dict[str, Any] = {"resourceVersion": str(self.revision)}
        if self.token:
            found["continue"] = self.token
        if self.remaining is not None:
            found["remainingItemCount"] = self.remaining
        return found


class Reads:
    """Answers GET requests from the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, resource: Resource, target: Target, request: Request) -> Response:
        """Answer one object.

        Raises:
            Refusal: 404 when there is none.
        """
        found = self._store.get(resource.key, target.place(resource), target.name)
        if found is None:
            raise missing(resource, target.name)
        return Response(body=represent(resource, [found], request, None))

    def list(self, resource: Resource, target: Target, request: Request) -> Response:
        """Answer a list, a page of it or a table.

        Raises:
            Refusal: 400 for selectors and tokens that make no sense, 410 for those too old.
        """
        wanted = selector(request, resource)
        page = self._page(resource, target.place(resource), wanted, request)
        return Response(body=represent(resource, page.objects, request, page.metadata))

    def _page(
        self, resource: Resource, namespace: str, wanted: Selector, request: Request
    ) -> _Page:
        limit = request.number("limit")
        token = request.query.get("continue", "")
        asked = self._asked_revision(request)
        start, revision = _read_token(token, namespace) if token else ("", 0)
        if not token and request.query.get("resourceVersionMatch") == "Exact":
            revision = asked
        objects = self._objects(resource, namespace, revision, start)
        chosen = [o for o in objects if _place(o, namespace) >= start and wanted.matches(o)]
        revision = revision or self._store.revision
        if not limit or len(chosen) <= limit:
            return _Page(chosen, revision)
        following = _write_token(revision, _place(chosen[limit - 1], namespace) + "\0")
        counted = None if wanted.labels or wanted.fields else len(chosen) - limit
        return _Page(chosen[:limit], revision, following, counted)

    def _asked_revision(self, request: Request) -> int:
        """Read the revision a list asks for.

        Raises:
            Refusal: It makes no sense, or has not been reached yet.
        """
        text = request.query.get("resourceVersion", "")
        match = request.query.get("resourceVersionMatch", "")
        if match and not text:
            detail = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            cause = Cause("FieldValueForbidden", f"Forbidden: {detail}", "resourceVersionMatch")
            raise invalid("meta.k8s.io", "ListOptions", "", [cause])
        if request.query.get("continue") and text not in ("", "0"):
            raise bad_request("specifying resource version is not allowed when using continue")
        if text and not text.isdigit():
            raise bad_request(
                f'invalid resource version: resourceVersion: Invalid value: "{text}": '
                f'strconv.ParseUint: parsing "{text}": invalid syntax'
            )
        revision = int(text or 0)
        if revision > self._store.revision:
            raise too_large(revision, self._store.revision)
        return revision

    def _objects(self, resource: Resource, namespace: str, revision: int, start: str) -> Objects:
        if not revision:
            return self._store.list(resource.key, namespace)
        try:
            return self._store.list_at(resource.key, namespace, revision)
        except TooOldError:
            if not start:
                raise expired("The resourceVersion for the provided list is too old.") from None
            refusal = expired(
                "The provided continue parameter is too old to display a consistent list result. "
                "You can start a new list without the continue parameter, or use the continue "
                "token in this response to retrieve the remainder of the results. Continuing with "
                "the provided token results in an inconsistent list - objects that were created, "
                "modified, or deleted between the time the first chunk was returned and now may "
                "show up in the list."
            )
            refusal.metadata = {"continue": _write_token(-1, start)}
            raise refusal from None


def represent(
    resource: Resource, objects: list[Object], request: Request, metadata: dict[str, Any] | None
) -> Object:
    """Show objects as the Accept header asks: plain, as a table or as metadata only.

    Args:
        resource: The resource asked through.
        objects: One object, or the items of a list.
        request: Its Accept header and ``includeObject`` decide.
        metadata: Metadata of the list; None when this is a single object.
    """
    shape = form(request.accept)
    if shape == "Table":
        return tables.table(
            resource,
            objects,
            metadata if metadata is not None else _table_metadata(objects[0]),
            include=request.query.get("includeObject", "Metadata"),
        )
    if shape.startswith("PartialObjectMetadata"):
        partial = [tables.partial(o) for o in objects]
        if metadata is None:
            return partial[0]
        return {
            "kind": "PartialObjectMetadataList",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "items": partial,
        }
    if metadata is None:
        return present(resource, objects[0])
    return {
        "kind": resource.list_kind,
        "apiVersion": resource.api_version,
        "metadata": metadata,
        "items": [_item(resource, o) for o in objects],
    }


def _table_metadata(obj: Object) -> dict[str, Any]:
    return {"resourceVersion": obj["metadata"].get("resourceVersion", "")}


def form(accept: str) -> str:
    """Give the ``as=`` form of the first media type that can be served."""
    for media in accept.split(","):
        name, *parameters = [part.strip() for part in media.split(";")]
        options: Mapping[str, str] = dict(p.split("=", 1) for p in parameters if "=" in p)
        if name in ("application/json", "*/*", "application/*") and "as" in options:
            return options["as"]
        if name in ("application/json", "*/*", "application/*"):
            return ""
    return ""


def _place(obj: Object, namespace: str) -> str:
    """Give the key of an object within the listed range, as continue tokens spell it."""
    metadata = obj["metadata"]
    own = metadata.get("namespace", "")
    return metadata["name"] if namespace or not own else f"{own}/{metadata['name']}"


def _write_token(revision: int, start: str) -> str:
    token = {"v": "meta.k8s.io/v1", "rv": revision, "start": start}
    text = json.dumps(token, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def _read_token(token: str, namespace: str) -> tuple[str, int]:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        raise bad_request("continue key is not valid: illegal base64 data") from None
    try:
        read = json.loads(raw)
        start, revision = str(read["start"]).lstrip("/"), int(read["rv"])
    except (ValueError, KeyError, TypeError):
        shown = _go_character(raw)
        raise bad_request(
            "invalid continue token: continue key is not valid: "
            f"invalid character {shown} looking for beginning of value"
        ) from None
    return start, max(revision, 0)


def _go_character(raw: bytes) -> str:
    """Quote the first byte as Go's JSON decoder does."""
    if not raw:
        return "''"
    return f"'\\x{raw[0]:02x}'" if raw[0] >= 0x80 else f"'{chr(raw[0])}'"
