"""The Status objects an API server refuses requests with, in its own words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from runbook.rehearsal.apiserver.resources import Resource

__all__ = [
    "Refusal",
    "already_exists",
    "bad_request",
    "conflict",
    "expired",
    "forbidden",
    "internal",
    "invalid",
    "method_not_allowed",
    "missing",
    "no_such_resource",
    "success",
    "too_large",
    "unauthorized",
    "unsupported_media",
]


class CauseLike(Protocol):
    """What a validation finding must offer to become a cause of a Status."""

    @property
    def reason(self) -> str:
        """Give the reason, such as ``FieldValueInvalid``."""

    @property
    def message(self) -> str:
        """Give the message without the field."""

    @property
    def field(self) -> str:
        """Give the path of the field."""


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault
    """An answer other than success; carries the whole Status.

    Args:
        code: HTTP status code.
        message: What the server says.
        reason: Machine-readable reason; left out of the Status when empty, as the real one does.
        details: ``details`` of the Status; left out when None.
        headers: Extra response headers.
    """

    def __init__(
        self,
        code: int,
        message: str,
        reason: str = "",
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.details = details
        self.headers = dict(headers or {})
        self.metadata: dict[str, Any] = {}

    @property
    def body(self) -> dict[str, Any]:
        """Give the Status object."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = dict(self.details)
        status["code"] = self.code
        return status


def _details(
    name: str, group: str, kind: str, causes: Sequence[Mapping[str, str]] = ()
) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    details["kind"] = kind
    if causes:
        details["causes"] = list(causes)
    return details


def missing(resource: Resource, name: str) -> Refusal:
    """Say that an object does not exist."""
    return Refusal(
        404,
        f'{resource.qualified} "{name}" not found',
        "NotFound",
        _details(name, resource.group, resource.plural),
    )


def no_such_resource() -> Refusal:
    """Say that a known group has no such resource."""
    return Refusal(404, "the server could not find the requested resource", "NotFound", {})


def already_exists(resource: Resource, name: str, *, generated: bool = False) -> Refusal:
    """Say that an object of that name exists."""
    tail = ", the server was not able to generate a unique name for the object" if generated else ""
    return Refusal(
        409,
        f'{resource.qualified} "{name}" already exists{tail}',
        "AlreadyExists",
        _details(name, resource.group, resource.plural),
    )


def conflict(resource: Resource, name: str, why: str = "") -> Refusal:
    """Say that the object has changed since it was read."""
    reason = why or (
        "the object has been modified; please apply your changes to the latest version "
        "and try again"
    )
    return Refusal(
        409,
        f'Operation cannot be fulfilled on {resource.qualified} "{name}": {reason}',
        "Conflict",
        _details(name, resource.group, resource.plural),
    )


def invalid(group: str, kind: str, name: str, causes: Iterable[CauseLike]) -> Refusal:
    """Say which fields are invalid."""
    found = list(causes)
    texts = list(dict.fromkeys(f"{c.field}: {c.message}" for c in found))
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    qualified = f"{kind}.{group}" if group else kind
    return Refusal(
        422,
        f'{qualified} "{name}" is invalid: {text}',
        "Invalid",
        _details(
            name,
            group,
            kind,
            [{"reason": c.reason, "message": c.message, "field": c.field} for c in found],
        ),
    )


def forbidden(
    resource: Resource, name: str, why: str, causes: Sequence[Mapping[str, str]] = ()
) -> Refusal:
    """Say that the request is forbidden; ``why`` completes the sentence."""
    subject = f'{resource.qualified} "{name}"' if name else resource.qualified
    return Refusal(
        403,
        f"{subject} is forbidden: {why}",
        "Forbidden",
        _details(name, resource.group, resource.plural, causes),
    )


def bad_request(message: str) -> Refusal:
    """Say that the request makes no sense."""
    return Refusal(400, message, "BadRequest")


def unauthorized() -> Refusal:
    """Say that the credentials are not known."""
    return Refusal(401, "Unauthorized", "Unauthorized")


def method_not_allowed() -> Refusal:
    """Say that the path does not take this method."""
    return Refusal(
        405,
        "the server does not allow this method on the requested resource",
        "MethodNotAllowed",
        {},
    )


def unsupported_media(accepted: Sequence[str] = ()) -> Refusal:
    """Say that the body's media type is not understood."""
    if not accepted:
        return Refusal(415, "415: Unsupported Media Type", "UnsupportedMediaType", {})
    return Refusal(
        415,
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(accepted),
        "UnsupportedMediaType",
    )


def expired(message: str) -> Refusal:
    """Say that a resourceVersion or continue token is too old."""
    return Refusal(410, message, "Expired")


def too_large(revision: int, current: int) -> Refusal:
    """Say that a revision has not been reached yet."""
    return Refusal(
        504,
        f"Timeout: Too large resource version: {revision}, current: {current}",
        "Timeout",
        {
            "causes": [
                {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            ],
            "retryAfterSeconds": 1,
        },
        {"Retry-After": "1"},
    )


def internal(message: str) -> Refusal:
    """Say that the server itself, or something it called, failed."""
    return Refusal(
        500,
        f"Internal error occurred: {message}",
        "InternalError",
        {"causes": [{"message": message}]},
    )


def success(resource: Resource, name: str, uid: str) -> dict[str, Any]:
    """Give the Status of a completed deletion."""
    details = _details(name, resource.group, resource.plural)
    details["uid"] = uid
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }
