"""Admission of one write: built-in plugins first, then the configured webhooks."""

from __future__ import annotations

from typing import Any

from runbook.rehearsal.apiserver.admission import BuiltIn
from runbook.rehearsal.apiserver.bodies import Bodies
from runbook.rehearsal.apiserver.store import Object
from runbook.rehearsal.apiserver.webhooks import Review, Webhooks
from runbook.rehearsal.apiserver.writes import Call

__all__ = ["Gate"]

_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


class Gate:
    """Admits writes.

    Args:
        built_in: The plugins that are always on.
        webhooks: Those the cluster's configurations name.
        bodies: Completes what webhooks patch.
    """

    def __init__(self, built_in: BuiltIn, webhooks: Webhooks, bodies: Bodies) -> None:
        self._built_in = built_in
        self._webhooks = webhooks
        self._bodies = bodies

    def check_namespace(self, call: Call, name: str) -> None:
        """Refuse to create in a namespace that is missing or going away."""
        self._built_in.check_namespace(call.resource, call.namespace, name)

    async def mutate(self, call: Call, obj: Object, old: Object | None) -> Object:
        """Give the object as it shall be stored."""
        resource = call.resource
        if call.target.subresource in ("", "ephemeralcontainers", "resize"):
            obj = self._built_in.mutate(resource, obj, old)
        review = _review(call, "CREATE" if old is None else "UPDATE", obj, old)
        changed = await self._webhooks.mutate(review)
        call.warnings += review.warnings
        if changed is None or changed is obj:
            return obj
        # A webhook's patch is decoded like a body: what is empty and may be left out is left out,
        # or the next update of the object would seem to change it.
        kind = self._bodies.type_of(resource)
        decoded = changed if kind is None else kind.prune(changed)
        completed = self._bodies.complete(resource, decoded)
        return self._built_in.mutate(resource, completed, old)

    async def validate(
        self, call: Call, operation: str, obj: Object | None, old: Object | None
    ) -> None:
        """Refuse what must not be."""
        if operation == "DELETE" and old is not None:
            self._built_in.check_deletion(call.resource, old["metadata"]["name"])
        review = _review(call, operation, obj, old)
        await self._webhooks.validate(review)
        call.warnings += review.warnings


def _review(call: Call, operation: str, obj: Object | None, old: Object | None) -> Review:
    options: dict[str, Any] = {"kind": _OPTIONS[operation], "apiVersion": "meta.k8s.io/v1"}
    if operation != "DELETE":
        options["fieldManager"] = call.options.manager
    metadata = (obj or old or {}).get("metadata") or {}
    return Review(
        call.resource,
        call.target.subresource,
        operation,
        metadata.get("namespace", ""),
        metadata.get("name", ""),
        call.request.user,
        obj,
        old,
        call.options.dry_run,
        options,
    )
