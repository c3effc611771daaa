"""Creating, updating, patching and deleting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from runbook.rehearsal.apiserver import lifecycle, parsing, reads
from runbook.rehearsal.apiserver.bodies import Bodies, Options
from runbook.rehearsal.apiserver.lifecycle import Deletion
from runbook.rehearsal.apiserver.requests import Request, Response, Target
from runbook.rehearsal.apiserver.resources import Resource
from runbook.rehearsal.apiserver.statuses import (
    already_exists,
    bad_request,
    conflict,
    invalid,
    missing,
    success,
)
from runbook.rehearsal.apiserver.store import Object, Store
from runbook.rehearsal.objects.schema import Cause

__all__ = ["Admission", "Call", "Writes"]

_ATTEMPTS = 5


@dataclass
class Call:
    """One write request on one resource, with what it collects on its way."""

    request: Request
    resource: Resource
    target: Target
    options: Options
    warnings: list[str] = field(default_factory=list)

    @property
    def place(self) -> tuple[str, str]:
        """Give namespace and name of the object the request is about."""
        return self.namespace, self.target.name

    @property
    def namespace(self) -> str:
        """Give the namespace objects are stored under."""
        return self.target.place(self.resource)


class Admission(Protocol):
    """What may change or refuse a write before it is stored."""

    def check_namespace(self, call: Call, name: str) -> None:
        """Refuse to create in a namespace that is missing or going away."""

    async def mutate(self, call: Call, obj: Object, old: Object | None) -> Object:
        """Give the object as it shall be."""

    async def validate(
        self, call: Call, operation: str, obj: Object | None, old: Object | None
    ) -> None:
        """Refuse what must not be."""


class Writes:
    """Answers the requests that change objects.

    Args:
        store: Where the objects are.
        bodies: Decodes and validates them.
        admission: Asked before anything is stored.
    """

    def __init__(self, store: Store, bodies: Bodies, admission: Admission) -> None:
        self._store = store
        self._bodies = bodies
        self._admission = admission

    async def create(self, call: Call) -> Response:
        """Create the object in the body.

        Raises:
            Refusal: The object is malformed, invalid, not admitted or exists.
        """
        obj, warnings = self._bodies.decode(call.resource, call.request, call.options)
        call.warnings += warnings
        self._check_namespace(call, obj)
        stored = await self.insert(call, obj)
        return self._answer(call, stored, 201)

    async def insert(self, call: Call, obj: Object, *, tracked: bool = False) -> Object:
        """Store a decoded object as a new one.

        Args:
            call: The request it came with.
            obj: The object.
            tracked: Whether it has its managed fields already.
        """
        resource = call.resource
        self._admission.check_namespace(call, (obj.get("metadata") or {}).get("name", ""))
        obj = self._bodies.complete(resource, lifecycle.named(resource, obj, call.namespace))
        if not tracked:
            obj = self._track(call, None, obj)
        obj = lifecycle.new(resource, obj)
        obj = await self._admission.mutate(call, obj, None)
        self._refuse_invalid(resource, obj, None)
        await self._admission.validate(call, "CREATE", obj, None)
        metadata = obj["metadata"]
        if self._store.get(resource.key, call.namespace, metadata["name"]) is not None:
            generated = bool(metadata.get("generateName"))
            raise already_exists(resource, metadata["name"], generated=generated)
        return obj if call.options.dry_run else self._store.put(resource.key, obj)

    async def update(self, call: Call) -> Response:
        """Replace an object by the one in the body.

        Raises:
            Refusal: As for create, or the object is missing or has changed.
        """
        obj, warnings = self._bodies.decode(call.resource, call.request, call.options)
        call.warnings += warnings
        self._check_namespace(call, obj)
        self._check_name(call, obj)
        missing_now = self._store.get(call.resource.key, call.namespace, call.target.name) is None
        if missing_now and call.resource.upsert and not call.target.subresource:
            return self._answer(call, await self.insert(call, obj), 201)
        stored = await self.modify(call, lambda old: obj)
        return self._answer(call, stored)

    async def patch(self, call: Call) -> Response:
        """Patch an object, or apply it.

        Raises:
            Refusal: As for update, or the patch does not fit.
        """
        if call.request.content_type == "application/apply-patch+yaml":
            return await self._apply(call)

        def change(old: Object) -> Object:
            shown = reads.present(call.resource, old)
            patched = self._bodies.patch(call.resource, shown, call.request)
            obj, warnings = self._bodies.patched(call.resource, patched, call.options, call.request)
            call.warnings += [w for w in warnings if w not in call.warnings]
            self._check_name(call, obj)
            return obj

        return self._answer(call, await self.modify(call, change))

    async def _apply(self, call: Call) -> Response:
        applied = self._bodies.applied(call.resource, call.request)
        self._check_namespace(call, applied)
        self._check_name(call, applied)
        existing = self._store.get(call.resource.key, call.namespace, call.target.name)
        if existing is None:
            if call.target.subresource:
                raise missing(call.resource, call.target.name)
            return self._answer(call, await self._apply_new(call, applied), 201)

        def change(old: Object) -> Object:
            return self._bodies.apply(
                call.resource,
                reads.present(call.resource, old),
                applied,
                call.options,
                call.target.subresource,
            )

        return self._answer(call, await self.modify(call, change, tracked=True))

    async def _apply_new(self, call: Call, applied: Object) -> Object:
        merged = self._bodies.apply(call.resource, None, applied, call.options)
        return await self.insert(call, merged, tracked=True)

    async def replace(self, call: Call, change: Callable[[Object], Object]) -> Object:
        """Change an object as the server itself does: unchecked, its owners kept.

        Raises:
            Refusal: The object is missing, or ``change`` refuses.
        """
        old = self._store.get(call.resource.key, *call.place)
        if old is None:
            raise missing(call.resource, call.target.name)
        obj = change(old)
        if lifecycle.same(old, obj) or call.options.dry_run:
            return obj
        return self._commit(call.resource, obj)

    async def modify(
        self, call: Call, change: Callable[[Object], Object], *, tracked: bool = False
    ) -> Object:
        """Change the object a request is about.

        Args:
            call: The request.
            change: Gives the wanted object from the present one.
            tracked: Whether ``change`` writes the managed fields itself.

        Raises:
            Refusal: The object is missing, has changed, is invalid or not admitted.
        """
        resource = call.resource
        patching = call.request.method == "PATCH"
        for _ in range(_ATTEMPTS):
            old = self._store.get(resource.key, call.namespace, call.target.name)
            if old is None:
                raise missing(resource, call.target.name)
            wanted = change(old)
            pinned = self._check_revision(resource, old, wanted) and not patching
            obj = await self._admitted(call, old, wanted, tracked)
            if lifecycle.same(old, obj):
                return old
            if call.options.dry_run:
                return obj
            if self._store.get(resource.key, call.namespace, call.target.name) is old:
                return self._commit(resource, obj)
            if pinned:
                raise conflict(resource, call.target.name)
        raise conflict(resource, call.target.name)

    async def _admitted(self, call: Call, old: Object, wanted: Object, tracked: bool) -> Object:
        resource, subresource = call.resource, call.target.subresource
        shown = reads.present(resource, old)
        obj = self._bodies.complete(resource, wanted)
        if not tracked:
            obj = self._track(call, shown, obj)
        obj = lifecycle.carry_over(resource, subresource, shown, obj)
        obj = await self._admission.mutate(call, obj, old)
        self._refuse_invalid(resource, obj, old)
        await self._admission.validate(call, "UPDATE", obj, old)
        return obj

    def _commit(self, resource: Resource, obj: Object) -> Object:
        """Store an update, or finish a deletion whose last finalizer has gone."""
        metadata = obj["metadata"]
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            waits = metadata.get("deletionGracePeriodSeconds")
            held = (
                (obj.get("spec") or {}).get("finalizers") if resource.plural == "namespaces" else 0
            )
            if not waits and not held:
                gone = metadata.get("namespace", ""), metadata["name"]
                self._store.remove(resource.key, *gone)
                return obj
        return self._store.put(resource.key, obj)

    async def delete(self, call: Call) -> Response:
        """Delete one object.

        Raises:
            Refusal: It is missing, or is not the one the preconditions mean.
        """
        resource, name = call.resource, call.target.name
        old = self._store.get(resource.key, call.namespace, name)
        if old is None:
            raise missing(resource, name)
        deletion = self._deletion(call)
        self._check_preconditions(resource, old, deletion)
        await self._admission.validate(call, "DELETE", None, old)
        left = self.remove(call, old, deletion)
        if left is not None:
            return self._answer(call, left)
        if resource.echo:
            return self._answer(call, old)
        return Response(body=success(resource, name, old["metadata"]["uid"]))

    async def delete_collection(self, call: Call) -> Response:
        """Delete every object the selectors choose and answer their list."""
        wanted = reads.selector(call.request, call.resource)
        deletion = self._deletion(call)
        found = self._store.list(call.resource.key, call.namespace)
        gone = []
        for old in filter(wanted.matches, found):
            await self._admission.validate(call, "DELETE", None, old)
            gone.append(self.remove(call, old, deletion) or old)
        metadata = {"resourceVersion": str(self._store.revision)}
        return Response(body=reads.represent(call.resource, gone, call.request, metadata))

    def remove(self, call: Call, old: Object, deletion: Deletion) -> Object | None:
        """Delete an object or mark it; gives what is left of it."""
        resource = call.resource
        left = lifecycle.start_deletion(resource, old, deletion)
        if call.options.dry_run:
            return left
        if left is None:
            metadata = old["metadata"]
            self._store.remove(resource.key, metadata.get("namespace", ""), metadata["name"])
            return None
        return old if left == old else self._store.put(resource.key, left)

    def _deletion(self, call: Call) -> Deletion:
        request = call.request
        body: dict[str, Any] = {}
        if request.body.strip():
            body = parsing.parse(request, "DeleteOptions")
        if "All" in (body.get("dryRun") or ()):
            call.options = replace(call.options, dry_run=True)
        grace = body.get("gracePeriodSeconds", request.query.get("gracePeriodSeconds"))
        pre = body.get("preconditions") or {}
        propagation = body.get("propagationPolicy") or request.query.get("propagationPolicy", "")
        if not propagation and body.get("orphanDependents") is not None:
            propagation = "Orphan" if body["orphanDependents"] else "Background"
        if propagation not in ("", "Foreground", "Background", "Orphan"):
            known = '"Foreground", "Background", "Orphan", "nil"'
            message = f'Unsupported value: "{propagation}": supported values: {known}'
            cause = Cause("FieldValueNotSupported", message, "propagationPolicy")
            raise invalid("meta.k8s.io", "DeleteOptions", "", [cause])
        return Deletion(
            propagation,
            None if grace is None else int(grace),
            pre.get("uid") or "",
            pre.get("resourceVersion") or "",
        )

    def _check_preconditions(self, resource: Resource, old: Object, wanted: Deletion) -> None:
        metadata = old["metadata"]
        if wanted.uid and wanted.uid != metadata["uid"]:
            raise _precondition(resource, metadata, "UID", wanted.uid, metadata["uid"])
        if wanted.revision and wanted.revision != metadata["resourceVersion"]:
            raise _precondition(
                resource,
                metadata,
                "ResourceVersion",
                wanted.revision,
                metadata["resourceVersion"],
            )

    def _check_namespace(self, call: Call, obj: Object) -> None:
        named = (obj.get("metadata") or {}).get("namespace", "")
        if named and named != call.namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request"
            )

    def _check_name(self, call: Call, obj: Object) -> None:
        named = (obj.get("metadata") or {}).get("name", "")
        if named != call.target.name and (named or call.request.method == "PUT"):
            if not named:
                raise bad_request("name must be provided")
            raise bad_request(
                f"the name of the object ({named}) does not match the name on the URL "
                f"({call.target.name})"
            )

    def _check_revision(self, resource: Resource, old: Object, wanted: Object) -> bool:
        """Refuse a write meant for another revision; tells whether one was named."""
        metadata = wanted.get("metadata") or {}
        revision = metadata.get("resourceVersion", "")
        uid = metadata.get("uid")
        name = old["metadata"]["name"]
        if uid and uid != old["metadata"]["uid"]:
            why = (
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: "
                f"{old['metadata']['uid']}"
            )
            raise conflict(resource, name, why)
        if revision and revision != old["metadata"]["resourceVersion"]:
            raise conflict(resource, name)
        if not revision and not resource.unconditional:
            cause = Cause(
                "FieldValueInvalid",
                "Invalid value: 0: must be specified for an update",
                "metadata.resourceVersion",
            )
            raise invalid(resource.group, resource.kind, name, [cause])
        return bool(revision)

    def _refuse_invalid(self, resource: Resource, obj: Object, old: Object | None) -> None:
        causes = self._bodies.causes(resource, obj, old)
        if causes:
            raise invalid(resource.group, resource.kind, obj["metadata"].get("name", ""), causes)

    def _track(self, call: Call, before: Object | None, after: Object) -> Object:
        return self._bodies.track(
            call.resource,
            before,
            after,
            call.options,
            call.target.subresource,
        )

    def _answer(self, call: Call, obj: Object, status: int = 200) -> Response:
        body = reads.represent(call.resource, [obj], call.request, None)
        return Response(status, body, warnings=tuple(call.warnings))


def _precondition(
    resource: Resource, metadata: Object, what: str, wanted: str, found: str
) -> Exception:
    why = (
        f"the {what} in the precondition ({wanted}) does not match the {what} in record "
        f"({found}). The object might have been deleted and then recreated"
        if what == "UID"
        else f"the {what} in the precondition ({wanted}) does not match the {what} in record "
        f"({found}). The object might have been modified"
    )
    named = replace(resource, plural=resource.kind, group="")
    return conflict(named, metadata["name"], why)
