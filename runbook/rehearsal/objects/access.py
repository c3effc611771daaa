"""Rules of roles, bindings and webhook configurations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runbook.rehearsal.objects.metadata import dns_subdomain, one_of
from runbook.rehearsal.objects.validation import Cause, duplicate, invalid, not_supported, required

__all__ = ["binding", "role", "webhooks"]

Object = Mapping[str, Any]

_VERBS_TEXT = "verbs must contain at least one value"


def role(obj: Object, old: Object | None) -> Iterator[Cause]:
    """Check the rules of a Role or ClusterRole."""
    del old
    namespaced = obj.get("kind") == "Role"
    for index, rule in enumerate(obj.get("rules") or ()):
        path = f"rules[{index}]"
        if not rule.get("verbs"):
            yield required(f"{path}.verbs", _VERBS_TEXT)
        urls = rule.get("nonResourceURLs")
        if urls:
            if namespaced:
                detail = "namespaced rules cannot apply to non-resource URLs"
                yield invalid(f"{path}.nonResourceURLs", urls, detail)
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                detail = "rules cannot apply to both regular resources and non-resource URLs"
                yield invalid(f"{path}.nonResourceURLs", urls, detail)
            continue
        if not rule.get("apiGroups"):
            yield required(f"{path}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            yield required(f"{path}.resources", "resource rules must supply at least one resource")


_RBAC = "rbac.authorization.k8s.io"


def binding(obj: Object, old: Object | None) -> Iterator[Cause]:
    """Check a RoleBinding or ClusterRoleBinding; its role never changes."""
    reference = obj.get("roleRef") or {}
    cluster = obj.get("kind") == "ClusterRoleBinding"
    if reference.get("apiGroup") != _RBAC:
        yield not_supported("roleRef.apiGroup", reference.get("apiGroup", ""), (_RBAC,))
    kinds = ("ClusterRole",) if cluster else ("Role", "ClusterRole")
    if reference.get("kind") not in kinds:
        yield not_supported("roleRef.kind", reference.get("kind", ""), kinds)
    if not reference.get("name"):
        yield required("roleRef.name")
    for index, subject in enumerate(obj.get("subjects") or ()):
        yield from _subject(subject, f"subjects[{index}]")
    if old is not None and reference != old.get("roleRef"):
        yield invalid("roleRef", dict(reference), "cannot change roleRef")


def _subject(subject: Object, path: str) -> Iterator[Cause]:
    kind, group = subject.get("kind"), subject.get("apiGroup") or ""
    if not subject.get("name"):
        yield required(f"{path}.name")
    if kind == "ServiceAccount":
        if group:
            yield not_supported(f"{path}.apiGroup", group, ("",))
        if not subject.get("namespace"):
            yield required(f"{path}.namespace")
    elif kind in ("User", "Group"):
        if group != _RBAC:
            yield not_supported(f"{path}.apiGroup", group, (_RBAC,))
    else:
        yield not_supported(f"{path}.kind", kind or "", ("ServiceAccount", "User", "Group"))


_SIDE_EFFECTS = ("None", "NoneOnDryRun")


def webhooks(obj: Object, old: Object | None) -> Iterator[Cause]:
    """Check a MutatingWebhookConfiguration or ValidatingWebhookConfiguration."""
    del old
    names: set[str] = set()
    for index, hook in enumerate(obj.get("webhooks") or ()):
        path = f"webhooks[{index}]"
        name = hook.get("name") or ""
        if name.count(".") < 2 or dns_subdomain(name):
            detail = "should be a domain with at least three segments separated by dots"
            yield invalid(f"{path}.name", name, detail)
        if name in names:
            yield duplicate(f"{path}.name", name)
        names.add(name)
        yield from _hook(hook, path)


def _hook(hook: Object, path: str) -> Iterator[Cause]:
    if not hook.get("admissionReviewVersions"):
        yield required(f"{path}.admissionReviewVersions", "must specify one of v1, v1beta1")
    effects = hook.get("sideEffects")
    if effects is None:
        detail = "must specify one of None, NoneOnDryRun"
        yield required(f"{path}.sideEffects", detail)
    else:
        yield from one_of(f"{path}.sideEffects", effects, _SIDE_EFFECTS)
    yield from one_of(f"{path}.failurePolicy", hook.get("failurePolicy"), ("Fail", "Ignore"))
    timeout = hook.get("timeoutSeconds")
    if timeout is not None and not 1 <= timeout <= 30:
        detail = "the timeout value must be between 1 and 30 seconds"
        yield invalid(f"{path}.timeoutSeconds", timeout, detail)
    client = hook.get("clientConfig") or {}
    if (client.get("url") is None) == (client.get("service") is None):
        detail = "exactly one of url or service is required"
        yield required(f"{path}.clientConfig", detail)
