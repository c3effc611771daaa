"""What the workload controllers share: pods made from templates, and how they fare."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.manager import Cluster, Key

__all__ = [
    "active",
    "available",
    "create",
    "hash_of",
    "owner_keys",
    "ready",
    "safe_hash",
    "scaled",
    "terminal",
]

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Kubernetes' own: no vowels, so that no words come out."""


def terminal(pod: Object) -> bool:
    """Tell whether a pod has run to its end."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def active(pod: Object) -> bool:
    """Tell whether a pod counts as a replica: neither finished nor being deleted."""
    return not terminal(pod) and not kinds.deleted(pod)


def ready(pod: Object) -> bool:
    """Tell whether a pod is ready."""
    return kinds.holds(pod, "Ready")


def available(pod: Object, min_ready: int) -> float | None:
    """Tell how long until a ready pod counts as available.

    Args:
        pod: The pod.
        min_ready: ``minReadySeconds`` of its workload.

    Returns:
        0 when it is available, the seconds still missing, or None when it is not ready.
    """
    found = kinds.condition(pod, "Ready")
    if found is None or found.get("status") != "True":
        return None
    if not min_ready:
        return 0.0
    return max(0.0, min_ready - kinds.age(found["lastTransitionTime"]))


def hash_of(value: object) -> int:
    """Hash any JSON value: 32-bit FNV-1a over its canonical text."""
    result = 2166136261
    for byte in json.dumps(value, sort_keys=True, separators=(",", ":")).encode():
        result = ((result ^ byte) * 16777619) & 0xFFFFFFFF
    return result


def safe_hash(value: object) -> str:
    """Hash a pod template the way its ``pod-template-hash`` label looks."""
    return "".join(_ALPHABET[ord(digit) % len(_ALPHABET)] for digit in str(hash_of(value)))


def scaled(value: int | str | None, total: int, *, up: bool) -> int:
    """Resolve a number or a percentage such as ``25%``.

    Args:
        value: The field's value.
        total: What the percentage is of.
        up: Round up instead of down.
    """
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    share = int(value.rstrip("%")) * total
    return -(-share // 100) if up else share // 100


def owner_keys(kind: str) -> Callable[[Object], Iterable[Key]]:
    """Make a function that gives the key of an object's controller, if that is of a kind."""

    def keys(obj: Object) -> Iterable[Key]:
        owner = kinds.controller_of(obj)
        if owner is not None and owner["kind"] == kind:
            yield obj["metadata"].get("namespace", ""), owner["name"]

    return keys


def create(
    cluster: Cluster,
    resource: Resource,
    owner: Object,
    template: Object,
    *,
    name: str = "",
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    finalizers: list[str] | None = None,
    change: Callable[[Object], None] | None = None,
) -> Object:
    """Create a pod from a template for its controller.

    Args:
        cluster: Where.
        resource: What the owner is.
        owner: The workload.
        template: Its pod template.
        name: Name of the pod; generated from the owner's when empty.
        labels: More labels than the template has.
        annotations: More annotations than the template has.
        finalizers: Finalizers of the pod.
        change: A last touch to the pod before it is sent.
    """
    meta = template.get("metadata") or {}
    namespace, owner_name = kinds.key(owner)
    pod: Object = {
        "metadata": {
            "namespace": namespace,
            "labels": {**(meta.get("labels") or {}), **(labels or {})},
            "annotations": {**(meta.get("annotations") or {}), **(annotations or {})},
            "ownerReferences": [kinds.owner_reference(resource, owner)],
        },
        "spec": copy.deepcopy(template["spec"]),
    }
    pod["metadata"].update({"name": name} if name else {"generateName": f"{owner_name}-"})
    pod["metadata"] = {k: v for k, v in pod["metadata"].items() if v}
    finalizers = [*(meta.get("finalizers") or []), *(finalizers or [])]
    if finalizers:
        pod["metadata"]["finalizers"] = finalizers
    if change is not None:
        change(pod)
    return cluster.client.create(kinds.PODS, pod)
