"""Server-side apply, and the managedFields of every other write.

The rules are those of structured-merge-diff as the API server uses them: an applier owns what it
names, everybody else what they change. Objects of other API versions are compared as if they were
of this one; the rehearsal cluster converts nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from runbook.rehearsal.objects.fieldsets import (
    Comparison,
    Fields,
    Path,
    compare,
    merged,
    owned,
    path_text,
    without,
)
from runbook.rehearsal.objects.managers import (
    LAST_APPLIED,
    STRIPPED,
    Managed,
    Manager,
    is_reset,
)
from runbook.rehearsal.objects.schema import Type
from runbook.rehearsal.objects.typed import typed_errors

__all__ = ["ApplyConflict", "ApplyRefused", "keep_times", "server_side_apply", "track"]

Object = dict[str, Any]


class ApplyConflict(Exception):  # noqa: N818
    """Other managers own fields that the applied configuration changes.

    Attributes:
        conflicts: ``(manager, field, message)`` each; ``field`` and ``message`` are those of the
            causes of the ``Status``.
        message: The message of the ``Status`` (409, reason ``Conflict``).
    """

    def __init__(self, conflicts: Iterable[tuple[Manager, Path]]) -> None:
        found = sorted(conflicts, key=lambda pair: (str(pair[0]), pair[1]))
        self.conflicts = [
            (manager.name, path_text(path), f"conflict with {manager.text()}")
            for manager, path in found
        ]
        self.message = _message(found)
        super().__init__(self.message)


def _message(found: list[tuple[Manager, Path]]) -> str:
    if len(found) == 1:
        manager, path = found[0]
        return f"Apply failed with 1 conflict: conflict with {manager.text()}: {path_text(path)}"
    lines = []
    for manager in dict.fromkeys(manager for manager, _ in found):
        lines.append(f"conflicts with {manager.text()}:")
        lines += [f"- {path_text(path)}" for owner, path in found if owner == manager]
    return f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)


class ApplyRefused(Exception):  # noqa: N818
    """The applied configuration cannot be read.

    Attributes:
        message: The message of the ``Status``.
        code: Its code: 400, or 500 (without a reason) for what does not fit the schema.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


@dataclass(frozen=True)
class _Write:
    """One write request as far as ownership is concerned."""

    type: Type
    manager: Manager
    now: str

    @property
    def ignored(self) -> Fields:
        """The fields this endpoint resets, so nobody can own them through it."""
        if not self.type.has_status or self.manager.subresource == "scale":
            return Fields()
        if self.manager.subresource == "status":
            return Fields(["f:spec"], {"f:metadata": Fields(["f:labels"])})
        return Fields(["f:status"])


def server_side_apply(
    type: Type,
    live: Mapping[str, Any] | None,
    applied: Mapping[str, Any],
    *,
    manager: str,
    force: bool,
    api_version: str,
    now: str,
    subresource: str = "",
) -> Object:
    """Apply a configuration to an object.

    The result still needs defaults; pass it through :func:`keep_times` before storing it.

    Args:
        type: Kind of the object.
        live: The stored object, ``None`` if there is none.
        applied: The configuration, without managedFields.
        manager: The field manager.
        force: Take over fields that others own.
        api_version: API version of the request.
        now: Time of the request, RFC 3339 in UTC, whole seconds.
        subresource: ``status`` or ``scale`` when applied there.

    Returns:
        The new object with its managedFields; the live object itself if nothing changes.

    Raises:
        ApplyConflict: Others own fields that would change, and ``force`` is off.
        ApplyRefused: The configuration does not fit the schema or sets managedFields.
    """
    _refuse_bad(type, applied, api_version)
    who = Manager(manager, "Apply", "", subresource)
    write = _Write(type, who, now)
    managed = Managed.decode(live)
    if live is not None and not managed.entries:
        managed = _before_first_apply(type, live, managed, now)
    try:
        result, managed = _apply(write, live, applied, managed, api_version, force=force)
    except ApplyConflict:
        if manager != "kubectl" or not _allowed(write, live, applied, managed, api_version):
            raise
        result, managed = _apply(write, live, applied, managed, api_version, force=True)
    if manager == "kubectl":
        result = _refresh_last_applied(result, applied)
    done = managed.encode(result)
    return done if live is None else keep_times(live, done)


def _refuse_bad(type: Type, applied: Mapping[str, Any], api_version: str) -> None:
    metadata = applied.get("metadata") or {}
    stated = applied.get("apiVersion")
    if stated != api_version:
        raise ApplyRefused(
            "Incorrect version specified in apply patch. "
            f"Specified patch version: {stated}, expected: {api_version}",
            400,
        )
    if metadata.get("managedFields") is not None:
        raise ApplyRefused("metadata.managedFields must be nil", 400)
    errors = typed_errors(type.shape, applied)
    if errors:
        text = errors[0] if len(errors) == 1 else "\n  ".join(["errors:", *errors])
        group, _, version = api_version.rpartition("/")
        where = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
        kind = f"{group}/{version}, Kind={applied.get('kind', '')}"
        raise ApplyRefused(f"failed to create typed patch object ({where}; {kind}): {text}", 500)


def _before_first_apply(type: Type, live: Mapping[str, Any], managed: Managed, now: str) -> Managed:
    """Give what an untracked object holds to a manager of its own, so apply can conflict."""
    manager = Manager("before-first-apply", "Update", str(live.get("apiVersion", "")), "")
    return _updated(_Write(type, manager, now), {}, live, managed)


def _apply(
    write: _Write,
    live: Mapping[str, Any] | None,
    applied: Mapping[str, Any],
    managed: Managed,
    api_version: str,
    *,
    force: bool,
) -> tuple[Object, Managed]:
    type, who = write.type, write.manager
    before = _bare(live) if live is not None else {}
    config = dict(applied)
    last = managed.fields(who)
    claimed = owned(type.shape, config).difference(STRIPPED).without(write.ignored)
    claims = managed.claiming(who, claimed, api_version)
    new = _pruned(type, merged(type.shape, before, config), claims, last)
    new = type.prune(new)
    changes = compare(type.shape, before, new)
    others = _settled(claims, who, changes, force=force).owning(who, claimed)
    if before != new or claimed != last:
        others = others.at(who, write.now)
    return new, others


def _bare(obj: Mapping[str, Any]) -> Object:
    """Copy an object without its managedFields."""
    metadata = {k: v for k, v in (obj.get("metadata") or {}).items() if k != "managedFields"}
    return {**obj, "metadata": metadata}


def _settled(managed: Managed, who: Manager, changes: Comparison, *, force: bool) -> Managed:
    """Take changed and removed fields from everybody but the writer.

    Raises:
        ApplyConflict: Somebody owns a changed field and ``force`` is off.
    """
    taken = changes.modified.union(changes.added)
    conflicts = {
        other: both
        for other, fields in managed.sets()
        if other != who and (both := fields.intersection(taken))
    }
    if conflicts and not force:
        raise ApplyConflict((o, path) for o, fields in conflicts.items() for path in fields.paths())
    for other, fields in managed.sets():
        if other == who:
            continue
        left = fields.difference(conflicts.get(other, Fields())).difference(changes.removed)
        managed = managed.owning(other, left)
    return managed


def _pruned(type: Type, new: Object, managed: Managed, last: Fields) -> Object:
    """Remove what the applier claimed last time and nobody claims any more."""
    if not last:
        return new
    shape = type.shape
    named_last = last.with_named(shape)
    smaller = without(shape, new, named_last)
    everything = owned(shape, new).with_named(shape)
    claimed = Fields()
    for _, fields in managed.sets():
        claimed = claimed.union(fields)
    kept = owned(shape, smaller).with_named(shape).union(claimed.with_named(shape))
    smaller = without(shape, new, everything.difference(kept))
    # What was nobody's before is not this applier's to remove.
    left = owned(shape, smaller).with_named(shape)
    gone = everything.difference(left).intersection(named_last)
    result: Object = without(shape, new, gone)
    return result


def _allowed(
    write: _Write,
    live: Mapping[str, Any] | None,
    applied: Mapping[str, Any],
    managed: Managed,
    api_version: str,
) -> bool:
    """Tell whether all conflicts of ``kubectl apply --server-side`` stem from ``kubectl apply``.

    kubectl keeps what it applied in an annotation. Fields that are still as applied there are
    kubectl's own, whoever managedFields says they belong to.
    """
    text = ((live or {}).get("metadata", {}).get("annotations") or {}).get(LAST_APPLIED)
    try:
        last = json.loads(text) if text else None
    except ValueError:
        last = None
    if not isinstance(last, dict) or live is None:
        return False
    shape = write.type.shape
    changes = compare(shape, last, _bare(live))
    allowed = owned(shape, last)
    for different in (changes.modified, changes.added, changes.removed):
        allowed = allowed.difference(different)
    claims = managed.claiming(write.manager, owned(shape, applied), api_version)
    new = merged(shape, _bare(live), dict(applied))
    taken = compare(shape, _bare(live), new)
    changed = taken.modified.union(taken.added)
    conflicts = Fields()
    for other, fields in claims.sets():
        if other != write.manager:
            conflicts = conflicts.union(fields.intersection(changed))
    return not conflicts.difference(allowed)


def _refresh_last_applied(obj: Object, applied: Mapping[str, Any]) -> Object:
    """Keep kubectl's annotation in step, so ``kubectl apply`` can follow a server-side one."""
    metadata = obj.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    if LAST_APPLIED not in annotations:
        return obj
    text = json.dumps(applied, separators=(",", ":"), sort_keys=True) + "\n"
    return {**obj, "metadata": {**metadata, "annotations": {**annotations, LAST_APPLIED: text}}}


def track(
    type: Type,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any],
    *,
    manager: str,
    api_version: str,
    now: str,
    subresource: str = "",
) -> Object:
    """Record in managedFields what a create, update or patch changed.

    Call it after defaults and before admission and the fields the server sets itself (uid,
    generation, status of a new object): a real server tracks at that point, so those are nobody's.

    Args:
        type: Kind of the object.
        before: The stored object, ``None`` when it is created.
        after: The object as the request leaves it; managedFields in it replace the stored ones,
            and ``[{}]`` clears them.
        manager: The field manager, by default the first word of the user agent.
        api_version: API version of the request.
        now: Time of the request, RFC 3339 in UTC, whole seconds.
        subresource: Such as ``status`` or ``scale``.
    """
    managed = Managed.decode(before if subresource else after)
    if not subresource and not managed.entries and not is_reset(after):
        managed = Managed.decode(before)
    new = _bare(after)
    if before is not None and not managed.entries:
        return new  # untracked until somebody applies
    write = _Write(type, Manager(manager, "Update", api_version, subresource), now)
    managed = _updated(write, _bare(before) if before is not None else {}, new, managed)
    return managed.encode(new)


def _updated(
    write: _Write, before: Mapping[str, Any], after: Mapping[str, Any], managed: Managed
) -> Managed:
    who = write.manager
    start = before or {"metadata": {}}
    changes = compare(write.type.shape, _with_structs(write.type, start), after)
    managed = _settled(managed, who, changes, force=True)
    former = managed.fields(who)
    gained = changes.modified.union(changes.added).difference(STRIPPED).without(write.ignored)
    now_owned = former.difference(changes.removed).union(gained)
    managed = managed.owning(who, now_owned)
    if not gained:
        return managed
    # A real server leaves the time out for the scale subresource.
    return managed.at(who, "" if who.subresource == "scale" else write.now)


def _with_structs(type: Type, start: Mapping[str, Any]) -> Mapping[str, Any]:
    return start if type.custom else type.default(start)


def keep_times(before: Mapping[str, Any], after: Mapping[str, Any]) -> Object:
    """Give back ``before`` if ``after`` differs from it in nothing but times of managedFields.

    Such a write is a no-op for a real server: the resourceVersion stays.
    """
    if before is not None and _timeless(before) == _timeless(after):
        return dict(before)
    return dict(after)


def _timeless(obj: Mapping[str, Any]) -> Object:
    metadata = dict(obj.get("metadata") or {})
    entries = metadata.get("managedFields") or []
    metadata["managedFields"] = [{k: v for k, v in e.items() if k != "time"} for e in entries]
    return {**obj, "metadata": metadata}
