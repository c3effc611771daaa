"""Desired against live: what would change, computed without changing anything.

Objects are planned by a dry run of server-side apply, so defaults, admission and other managers
count. Helm releases are planned by rendering them for this cluster and comparing with the stored
release.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from runbook import chart_values, diff, helm_errors, holder, show
from runbook.changes import Action, Change, Plan, digest
from runbook.cluster import MANAGER, Cluster, Object
from runbook.errors import ConflictError, NotFoundError, PlanError
from runbook.helm import ChartInfo, Helm, Installed, Release, record_name
from runbook.patches import Patch, holds, inverse

__all__ = ["Action", "Change", "Patch", "Plan", "Release", "plan_objects", "plan_release"]

_KEEP = "helm.sh/resource-policy"  # annotation; "keep" makes Helm leave the object alone
_Key = tuple[str, str, str, str]  # group, kind, namespace, name


def plan_objects(cluster: Cluster, objects: Sequence[Mapping[str, Any] | Patch]) -> Plan:
    """Plan to apply objects, and patches to objects of others.

    An object whose namespace or kind is not there yet is planned as a creation: an earlier step
    that has not run makes them.

    Args:
        cluster: Where to.
        objects: Manifests and patches, in the order they shall be applied.

    Raises:
        PlanError: Another manager owns a field that a manifest sets to another value, or an object
            is no longer as a patch expects it.
        ApiError: The API server refuses an object.
    """
    manifests = [obj for obj in objects if not isinstance(obj, Patch)]
    own = {obj["metadata"]["name"] for obj in manifests if obj["kind"] == "Namespace"}
    changes = tuple(
        _plan_patch(cluster, obj) if isinstance(obj, Patch) else _plan_object(cluster, obj, own)
        for obj in objects
    )
    return Plan(
        title="Plan",
        changes=changes,
        target=_target(cluster),
        digest=digest(_target(cluster), changes),
        objects=tuple(objects),
        undo=tuple(change.undo for change in reversed(changes) if change.undo),
        badge=show.REHEARSAL if cluster.rehearsal else "",
    )


def plan_release(helm: Helm, cluster: Cluster, release: Release) -> Plan:
    """Plan to install or upgrade a Helm release.

    There is nothing to do if the release is deployed with the same chart, version and values,
    and none of its objects is missing from the cluster.

    Raises:
        ParameterError: There are values that the chart does not know.
        HelmError: The chart is not to be had or does not render, or the release is stuck.
    """
    info = helm.info(release.chart, release.version, release.source)
    chart = helm.pull(release.chart, release.version, release.source)
    chart_values.require_known(chart, release.values)
    stored = helm.release(release.name, release.namespace)
    interrupted = ""
    if stored is not None and stored.status.startswith("pending"):
        interrupted = _interrupted(helm, cluster, stored)
        changes = _after_interruption(cluster, release, info, stored, interrupted)
        stored = None
    elif stored is None or stored.status == "uninstalled":
        stored = None
        rendered = helm.render(release)
        changes = _installation(cluster, release, info, rendered)
    else:
        missing = _missing(cluster, stored.objects, release.namespace)
        if _same(stored, release, info) and not missing:
            changes = (_release_change("none", release, info, stored),)
        else:
            rendered = helm.render(release)
            changes = _upgrade(cluster, release, info, stored, rendered=rendered, missing=missing)
    undo = _undo(release, stored) if any(c.action != "none" for c in changes) else ""
    return Plan(
        title=f"Release {release.title}",
        changes=changes,
        target=_target(cluster),
        digest=digest(_target(cluster), changes),
        release=release,
        revision=stored.revision if stored else 0,
        interrupted=interrupted,
        undo=(undo,) if undo else (),
        badge=show.REHEARSAL if cluster.rehearsal else "",
    )


def _target(cluster: Cluster) -> str:
    return f"{cluster.name} ({cluster.uid or cluster.server})"


# --- objects ----------------------------------------------------------------------------------


def _plan_object(cluster: Cluster, obj: Mapping[str, Any], own: set[str]) -> Change:
    api_version, kind = str(obj["apiVersion"]), str(obj["kind"])
    name, namespace = str(obj["metadata"]["name"]), str(obj["metadata"].get("namespace", ""))
    live = cluster.find(api_version, kind, name, namespace)
    note = ""
    try:
        dry = cluster.apply(obj, dry_run=True)
    except NotFoundError as error:
        if live is not None:
            raise
        dry = dict(obj)
        note = "" if namespace in own else f"not there yet: {_absent(cluster, namespace, error)}"
    except ConflictError as error:
        raise _owned_by_others(obj, error) from None
    if live is None:
        # The manifest itself: what the dry run fills in is defaults, and addresses of the moment.
        desired, before = diff.normalised(obj), None
        action: Action = "create"
        undo = f"kubectl {_scope(namespace)}delete {kind.lower()} {name}"
    else:
        desired, before = diff.normalised(dry), diff.normalised(live)
        action = "none" if desired == before else "update"
        undo = (
            f"kubectl apply --server-side --force-conflicts --field-manager={MANAGER} -f - "
            f"# with the previous manifest of {kind} {name}, kept in this plan's data"
            if action == "update"
            else ""
        )
    shown_before = diff.hidden(before) if before is not None else None
    return Change(
        action,
        api_version,
        kind,
        name,
        namespace,
        diff="" if action == "none" else diff.yaml_diff(shown_before, diff.hidden(desired, before)),
        undo=undo,
        note=note,
        desired=desired,
        live=before or {},
        previous=(shown_before or {}) if action == "update" else {},
    )


def _plan_patch(cluster: Cluster, patch: Patch) -> Change:
    """Plan a patch: a dry run says what it comes to, and its inverse how to take it back."""
    place = (patch.api_version, patch.kind, patch.name, patch.namespace)
    live = cluster.get(*place)
    if not holds(patch, live):
        raise PlanError(
            f"{patch.kind} {patch.name} is no longer as it was when its change was worked out",
            why="somebody else has changed the same fields meanwhile",
            fix="run the plan cell again, read it, then apply",
        )
    if not patch.operations:
        before = diff.normalised(live)
        return Change("none", *place, note=patch.note, desired=before, live=before)
    dry = cluster.patch(*place, operations=patch.operations, dry_run=True)
    before, desired = diff.normalised(live), diff.normalised(dry)
    back = inverse(live, dry)
    action: Action = "update" if back.operations else "none"
    return Change(
        action,
        *place,
        diff=diff.yaml_diff(diff.hidden(before), diff.hidden(desired, before)),
        undo=back.command() if action == "update" else "",
        note=patch.note,
        desired=desired,
        live=before,
        inverse=back if action == "update" else None,
    )


def _absent(cluster: Cluster, namespace: str, error: NotFoundError) -> str:
    """Say in a few words what an object is waiting for."""
    if namespace and cluster.find("v1", "Namespace", namespace) is None:
        return f"namespace {namespace}"
    return error.what


def _owned_by_others(obj: Mapping[str, Any], error: ConflictError) -> Exception:
    causes = (error.body.get("details") or {}).get("causes") or []
    conflicts = [c for c in causes if c.get("reason") == "FieldManagerConflict"]
    if not conflicts:
        return error
    fields = "; ".join(
        f"{c.get('field')} ({str(c.get('message')).removeprefix('conflict with ')})"
        for c in conflicts
    )
    kind, meta = obj["kind"], obj["metadata"]
    scope = _scope(meta.get("namespace", ""))
    return PlanError(
        f"{kind} {meta['name']}: other managers own fields that this step sets: {fields}",
        why="somebody set these fields to other values with another tool, and taking them over "
        "silently would undo that",
        fix="settle which value is right; to give them to the runbook: kubectl "
        f"{scope}apply --server-side --force-conflicts --field-manager={MANAGER} -f MANIFEST",
        see=f"kubectl {scope}get {kind.lower()} {meta['name']} -o yaml --show-managed-fields",
    )


def _scope(namespace: str) -> str:
    return f"-n {namespace} " if namespace else ""


# --- releases ---------------------------------------------------------------------------------


def _same(stored: Installed, release: Release, info: ChartInfo) -> bool:
    return (
        stored.status == "deployed"
        and (stored.chart, stored.version) == (info.name, info.version)
        and _plain(stored.values) == _plain(release.values)
    )


def _plain(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)


def _installation(
    cluster: Cluster, release: Release, info: ChartInfo, rendered: Sequence[Object]
) -> tuple[Change, ...]:
    absent = cluster.find("v1", "Namespace", release.namespace) is None
    note = f"not there yet: namespace {release.namespace}" if absent else ""
    there = _existing(cluster, rendered, release.namespace)
    first = _release_change("create", release, info, None, note)
    return (
        first,
        *(
            _object_change("update" if key in there else "create", key, obj)
            for key, obj in _keyed(cluster, rendered, release.namespace).items()
        ),
    )


def _upgrade(
    cluster: Cluster,
    release: Release,
    info: ChartInfo,
    stored: Installed,
    *,
    rendered: Sequence[Object],
    missing: set[_Key],
) -> tuple[Change, ...]:
    before = _keyed(cluster, stored.objects, release.namespace)
    after = _keyed(cluster, rendered, release.namespace)
    note = "" if stored.status == "deployed" else f"its last operation left it {stored.status}"
    changes = [_release_change("update", release, info, stored, note)]
    for key, obj in after.items():
        old = diff.steady(before[key]) if key in before else None
        new = diff.steady(obj)
        if key in missing:
            changes.append(_object_change("create", key, obj, note="missing from the cluster"))
        elif old is None:
            changes.append(_object_change("create", key, obj))
        elif old != new:
            changes.append(_object_change("update", key, obj, old))
        else:
            changes.append(_object_change("none", key, obj))
    changes.extend(_removal(key, before[key]) for key in before if key not in after)
    return tuple(changes)


def _removal(key: _Key, obj: Object) -> Change:
    annotations = obj["metadata"].get("annotations") or {}
    if annotations.get(_KEEP) == "keep":
        return _object_change("none", key, obj, note="left by Helm: resource-policy keep")
    return _object_change("delete", key, obj)


def _after_interruption(
    cluster: Cluster, release: Release, info: ChartInfo, stored: Installed, record: str
) -> tuple[Change, ...]:
    """Plan to take up what a killed run of ours began: forget its revision, then go on."""
    there = _existing(cluster, stored.objects, release.namespace)
    return (
        Change(
            "delete",
            "v1",
            "Secret",
            record,
            release.namespace,
            note=f"Helm's record of revision {stored.revision}, {stored.status}: left by a run of "
            "this runbook that was killed",
        ),
        _release_change("create", release, info, None, "taken up again"),
        *(
            _object_change("update" if key in there else "create", key, obj)
            for key, obj in _keyed(cluster, stored.objects, release.namespace).items()
        ),
    )


def _interrupted(helm: Helm, cluster: Cluster, stored: Installed) -> str:
    """Give the record of a revision that a dead process of ours left pending.

    Raises:
        HelmError: The release is stuck, and whoever did it is not known to be gone.
    """
    record = record_name(stored.name, stored.revision)
    secret = cluster.find("v1", "Secret", record, stored.namespace) or {"metadata": {}}
    mark = (secret["metadata"].get("labels") or {}).get(holder.LABEL, "")
    if holder.is_gone(mark):
        return record
    history = helm.history(stored.name, stored.namespace)
    good = [r.revision for r in history if r.status in ("deployed", "superseded")]
    raise helm_errors.stuck(
        stored.name, stored.namespace, stored.status, stored.revision, max(good, default=0)
    )


def _release_change(
    action: Action, release: Release, info: ChartInfo, stored: Installed | None, note: str = ""
) -> Change:
    """Describe the release itself: its chart and the values given to it."""
    wanted = {"chart": f"{info.name} {info.version}", "values": dict(release.values)}
    has = (
        {"chart": f"{stored.chart} {stored.version}", "values": dict(stored.values)}
        if stored
        else None
    )
    before = diff.hidden(has) if has else None
    return Change(
        action,
        "helm.sh/v1",
        "Release",
        release.name,
        release.namespace,
        diff="" if action == "none" else diff.yaml_diff(before, diff.hidden(wanted)),
        undo="" if action == "none" else _undo(release, stored),
        note="; ".join(part for part in (f"chart {info.name} {info.version}", note) if part),
        desired=wanted,
        live={**(has or {}), "status": stored.status} if stored else {},
    )


def _object_change(
    action: Action, key: _Key, obj: Object, old: Object | None = None, note: str = ""
) -> Change:
    new = diff.steady(obj)
    return Change(
        action,
        str(obj["apiVersion"]),
        obj["kind"],
        obj["metadata"]["name"],
        key[2],
        diff=diff.yaml_diff(diff.hidden(old), diff.hidden(new)) if old is not None else "",
        note=note,
        desired=new,
        live=old or {},
    )


def _undo(release: Release, stored: Installed | None) -> str:
    scope = f"helm -n {release.namespace}"
    if stored is None:
        return f"{scope} uninstall {release.name}"
    return f"{scope} rollback {release.name} {stored.revision}"


def _keyed(cluster: Cluster, objects: Sequence[Object], namespace: str) -> dict[_Key, Object]:
    """Give objects by identity; those in namespaces that name none are in the release's."""
    return {_key(cluster, obj, namespace): obj for obj in objects}


def _key(cluster: Cluster, obj: Object, namespace: str) -> _Key:
    meta = obj["metadata"]
    own = str(meta.get("namespace", ""))
    if not own:
        try:
            own = namespace if cluster.namespaced(obj["apiVersion"], obj["kind"]) else ""
        except NotFoundError:  # its CRD comes with an earlier step
            own = ""
    return (str(obj["apiVersion"]).rpartition("/")[0], obj["kind"], own, meta["name"])


def _existing(cluster: Cluster, objects: Sequence[Object], namespace: str) -> set[_Key]:
    keyed = _keyed(cluster, objects, namespace)
    return {
        key
        for key, obj in keyed.items()
        if cluster.find(obj["apiVersion"], obj["kind"], key[3], key[2]) is not None
    }


def _missing(cluster: Cluster, objects: Sequence[Object], namespace: str) -> set[_Key]:
    keyed = set(_keyed(cluster, objects, namespace))
    return keyed - _existing(cluster, objects, namespace)
