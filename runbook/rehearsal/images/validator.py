"""The sp-validator and policy-validator webhooks as processes of their own."""

from __future__ import annotations

import re
from typing import Any

from runbook.rehearsal.images.serving import Settings, log, review, serve

__all__ = ["answer", "problem"]

Object = dict[str, Any]


def problem(kind: str, spec: Object) -> str:
    """Say what is wrong with a policy resource or a ServiceProfile; empty when nothing is.

    Args:
        kind: Kind of the object.
        spec: Its spec.
    """
    if kind == "ServiceProfile":
        return _profile(spec)
    if kind == "Server" and len({"podSelector", "externalWorkloadSelector"} & set(spec)) != 1:
        return "exactly one of podSelector and externalWorkloadSelector must be set"
    if kind == "AuthorizationPolicy" and not spec.get("targetRef"):
        return "missing field `targetRef`"
    if kind == "MeshTLSAuthentication" and not (spec.get("identities") or spec.get("identityRefs")):
        return "at least one of 'identities' and 'identityRefs' must be set"
    if kind == "NetworkAuthentication" and not spec.get("networks"):
        return "at least one network must be specified"
    return ""


def answer(request: Object) -> Object:
    """Answer one AdmissionReview."""
    asked = request["request"]
    obj = asked.get("object") or {}
    found = problem(asked["kind"]["kind"], obj.get("spec") or {})
    if found:
        log("info", f"denied {asked['kind']['kind']} {asked.get('name', '')}: {found}")
    return review(request, None, found)


def _profile(spec: Object) -> str:
    for route in spec.get("routes") or []:
        if not route.get("name"):
            return "ServiceProfile has a route with no name"
        if not route.get("condition"):
            return "ServiceProfile has a route with no condition"
        pattern = route["condition"].get("pathRegex")
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                return f"error parsing regexp: {error}"
    return ""


if __name__ == "__main__":
    serve(Settings.load(), answer, lambda: "")
