"""Reviews: questions about access and identity that are answered, not stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbook.rehearsal.apiserver.bodies import Bodies
from runbook.rehearsal.apiserver.identities import Identities
from runbook.rehearsal.apiserver.rbac import Access, Authorizer
from runbook.rehearsal.apiserver.requests import Response, User, stamp
from runbook.rehearsal.apiserver.resources import Resource
from runbook.rehearsal.apiserver.statuses import bad_request, invalid
from runbook.rehearsal.apiserver.writes import Call
from runbook.rehearsal.objects.schema import Cause

__all__ = ["Reviews"]

Object = dict[str, Any]


class Reviews:
    """Answers the groups authorization.k8s.io and authentication.k8s.io.

    Args:
        bodies: Decodes the questions.
        authorizer: Knows the roles.
        identities: Knows the tokens.
    """

    def __init__(self, bodies: Bodies, authorizer: Authorizer, identities: Identities) -> None:
        self._bodies = bodies
        self._authorizer = authorizer
        self._identities = identities

    def answers(self, resource: Resource) -> bool:
        """Tell whether a resource is a review."""
        return resource.group in ("authentication.k8s.io", "authorization.k8s.io")

    def answer(self, call: Call) -> Response:
        """Answer a review.

        Raises:
            Refusal: The question is incomplete.
        """
        resource, request = call.resource, call.request
        body, warnings = self._bodies.decode(resource, request, call.options)
        body = self._bodies.track(resource, None, body, call.options)
        spec = body.get("spec") or {}
        match resource.kind:
            case "SelfSubjectAccessReview":
                status = self._access(resource, spec, request.user)
            case "SubjectAccessReview" | "LocalSubjectAccessReview":
                status = self._access(resource, spec, _subject(spec))
            case "SelfSubjectRulesReview":
                status = self._rules(spec, request.user)
            case "TokenReview":
                status = self._token(spec)
            case _:
                status = {"userInfo": _info(request.user)}
        metadata = dict(body.get("metadata") or {})
        if resource.kind == "SelfSubjectReview":
            metadata["creationTimestamp"] = stamp()
        if resource.namespaced:
            metadata["namespace"] = call.namespace
        answer: Object = {
            "kind": resource.kind,
            "apiVersion": resource.api_version,
            "metadata": metadata,
        }
        if resource.kind != "SelfSubjectReview":
            answer["spec"] = {} if resource.kind == "SelfSubjectRulesReview" else spec
        return Response(201, {**answer, "status": status}, warnings=warnings)

    def _access(self, resource: Resource, spec: Mapping[str, Any], user: User) -> Object:
        wanted = spec.get("resourceAttributes") or {}
        plain = spec.get("nonResourceAttributes") or {}
        if bool(wanted) is bool(plain):
            message = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            cause = Cause(
                "FieldValueInvalid", f"Invalid value: {message}", "spec.resourceAttributes"
            )
            raise invalid(resource.group, resource.kind, "", [cause])
        if plain:
            access = Access(plain.get("verb", ""), path=plain.get("path", ""))
        else:
            access = Access(
                wanted.get("verb", ""),
                wanted.get("group", ""),
                wanted.get("resource", ""),
                wanted.get("subresource", ""),
                wanted.get("namespace", ""),
                wanted.get("name", ""),
            )
        return {"allowed": self._authorizer.allows(user, access)}

    def _rules(self, spec: Mapping[str, Any], user: User) -> Object:
        namespace = spec.get("namespace", "")
        if not namespace:
            raise bad_request("no namespace on request")
        everything = [
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
            {"verbs": ["*"], "nonResourceURLs": ["*"]},
        ]
        masters = "system:masters" in user.groups
        rules = everything if masters else list(self._authorizer.rules(user, namespace))
        return {
            "resourceRules": [r for r in rules if r.get("resources")],
            "nonResourceRules": [r for r in rules if r.get("nonResourceURLs")],
            "incomplete": False,
        }

    def _token(self, spec: Mapping[str, Any]) -> Object:
        user = self._identities.of_token(spec.get("token", ""))
        if user is None:
            return {"user": {}, "error": "invalid bearer token"}
        audiences = spec.get("audiences") or [self._identities.audience]
        return {"authenticated": True, "user": _info(user), "audiences": audiences}


def _subject(spec: Mapping[str, Any]) -> User:
    return User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""))


def _info(user: User) -> Object:
    info: Object = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    info["groups"] = list(user.groups)
    return info
