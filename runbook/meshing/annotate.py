"""Annotating what makes pods, as ``linkerd inject`` and ``kubectl patch`` do, and the inverse."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from runbook.linkerd.outcomes import Object
from runbook.meshing.workloads import KINDS, Workload
from runbook.patches import Patch, edit

__all__ = ["annotate", "annotated", "annotated_namespace", "namespace_patch"]

Wanted = Mapping[str, str | None]
"""Annotations by name; ``None`` takes one away."""


def annotate(workload: Workload, wanted: Wanted, note: str = "") -> Patch:
    """Give the patch that annotates a workload's pod template; its pods are then replaced.

    Erratum: the seed's command needs ``-n``, and the kind is ``statefulset``.

    Args:
        workload: Which.
        wanted: Annotations of the template.
        note: What a reader of the plan should know.
    """
    return edit(workload.obj, lambda obj: _set(_template(workload.kind, obj), wanted), note)


def annotated(workload: Workload, wanted: Wanted) -> Workload:
    """Give a workload as it will be with annotations on its pod template; its pods stay."""
    obj = copy.deepcopy(dict(workload.obj))
    _set(_template(workload.kind, obj), wanted)
    return replace(workload, obj=obj)


def namespace_patch(live: Mapping[str, Any], wanted: Wanted, note: str = "") -> Patch:
    """Give the patch that annotates a namespace; pods that run already stay as they are."""
    return edit(live, lambda obj: _set(obj, wanted), note)


def annotated_namespace(live: Mapping[str, Any], wanted: Wanted) -> Object:
    """Give a namespace as it will be with annotations."""
    obj = copy.deepcopy(dict(live))
    _set(obj, wanted)
    return obj


def _template(kind: str, obj: Object) -> Object:
    """Give the part of a workload whose metadata its pods get, to be changed in place."""
    if kind not in KINDS:
        return obj
    spec = obj["spec"]["jobTemplate"]["spec"] if kind == "CronJob" else obj["spec"]
    found: Object = spec["template"]
    return found


def _set(part: Object, wanted: Wanted) -> None:
    meta = part.setdefault("metadata", {})
    notes = dict(meta.get("annotations") or {})
    for name, value in wanted.items():
        if value is None:
            notes.pop(name, None)
        else:
            notes[name] = value
    if notes:
        meta["annotations"] = notes
    else:
        meta.pop("annotations", None)
