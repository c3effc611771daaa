"""What the server itself writes into objects: identity, generation, status and deletion."""

from __future__ import annotations

import copy
import datetime
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbook.rehearsal.apiserver.requests import stamp
from runbook.rehearsal.apiserver.resources import Resource
from runbook.rehearsal.objects import crd

__all__ = ["Deletion", "carry_over", "generated_name", "named", "new", "same", "start_deletion"]

Object = dict[str, Any]
_CLEAN_UP = "customresourcecleanup.apiextensions.k8s.io"
_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SERVER_FIELDS = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
)
_DEFINITIONS = ("apiextensions.k8s.io", "customresourcedefinitions")
_NAMESPACES = ("", "namespaces")
_NOT_BY_STATUS = ("labels", "ownerReferences")
#: Kinds whose status survives creation, as their strategies leave it alone.
_KEEPS_STATUS = {("", "nodes"), ("apiregistration.k8s.io", "apiservices")}
#: Status a new object starts with.
_FIRST_STATUS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("", "namespaces"): {"phase": "Active"},
    ("", "pods"): {"phase": "Pending"},
    ("", "persistentvolumeclaims"): {"phase": "Pending"},
    ("", "persistentvolumes"): {"phase": "Pending"},
    ("", "services"): {"loadBalancer": {}},
    ("networking.k8s.io", "ingresses"): {"loadBalancer": {}},
    ("policy", "poddisruptionbudgets"): {
        "disruptionsAllowed": 0,
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "expectedPods": 0,
    },
    ("autoscaling", "horizontalpodautoscalers"): {"desiredReplicas": 0, "currentMetrics": None},
    ("apps", "daemonsets"): {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    },
    ("apps", "replicasets"): {"replicas": 0},
    ("apps", "statefulsets"): {"replicas": 0, "availableReplicas": 0},
    ("", "replicationcontrollers"): {"replicas": 0},
}


def generated_name(base: str) -> str:
    """Complete a ``generateName`` with five random letters."""
    return base[:58] + "".join(random.choices(_SUFFIX_ALPHABET, k=5))  # noqa: S311


def named(resource: Resource, obj: Object, namespace: str) -> Object:
    """Give an object its place: namespace and, where asked for, a generated name."""
    metadata = dict(obj.get("metadata") or {})
    for name in (*_SERVER_FIELDS, "resourceVersion", "selfLink"):
        metadata.pop(name, None)
    if resource.namespaced:
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = generated_name(metadata["generateName"])
    return {**obj, "metadata": metadata}


def new(resource: Resource, obj: Object) -> Object:
    """Give an object as it is about to be created: identity and first status set."""
    metadata = {**obj["metadata"], "uid": str(uuid.uuid4()), "creationTimestamp": stamp()}
    if resource.generation:
        metadata["generation"] = 1
    found = {**obj, "metadata": metadata}
    if resource.key == _NAMESPACES:
        found["spec"] = {**(obj.get("spec") or {}), "finalizers": ["kubernetes"]}
    if resource.has_status and resource.key not in _KEEPS_STATUS:
        found.pop("status", None)
        if resource.crd is None:
            found["status"] = copy.deepcopy(dict(_FIRST_STATUS.get(resource.key, {})))
    return crd.initial(found) if resource.key == _DEFINITIONS else found


def carry_over(resource: Resource, subresource: str, old: Object, obj: Object) -> Object:
    """Give an updated object with what the client may not change taken from the old one.

    A write to ``status`` changes the status only, one to the object everything else.
    """
    metadata = dict(obj.get("metadata") or {})
    before = old["metadata"]
    for name in (*_SERVER_FIELDS, "name", "namespace", "generateName"):
        if name in before:
            metadata[name] = before[name]
        else:
            metadata.pop(name, None)
    metadata.pop("selfLink", None)
    metadata["resourceVersion"] = before["resourceVersion"]
    found = {**obj, "metadata": metadata}
    if subresource == "status":
        return _only_status(resource, old, found)
    if resource.has_status and resource.key not in _KEEPS_STATUS:
        found.pop("status", None)
        if "status" in old:
            found["status"] = old["status"]
    if resource.generation and _specification(found) != _specification(old):
        metadata["generation"] = before.get("generation", 0) + 1
    return found


def _only_status(resource: Resource, old: Object, obj: Object) -> Object:
    """Keep everything but the status; built-in kinds also take metadata from a status write."""
    found = {k: v for k, v in old.items() if k != "status"}
    if "status" in obj:
        found["status"] = obj["status"]
    if resource.crd is None:
        kept = {k: old["metadata"][k] for k in _NOT_BY_STATUS if k in old["metadata"]}
        taken = {k: v for k, v in obj["metadata"].items() if k not in _NOT_BY_STATUS}
        found["metadata"] = taken | kept
    else:
        found["metadata"] = dict(old["metadata"])
        if managed := obj["metadata"].get("managedFields"):
            found["metadata"]["managedFields"] = managed
    return found


def _specification(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Give what the generation counts: everything but metadata and status."""
    return {k: v for k, v in obj.items() if k not in ("metadata", "status")}


def same(old: Mapping[str, Any], obj: Mapping[str, Any]) -> bool:
    """Tell whether a write changes nothing worth a new revision.

    Times of managed fields and the resourceVersion do not count.
    """
    return _comparable(old) == _comparable(obj)


def _comparable(obj: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {k: v for k, v in obj["metadata"].items() if k != "resourceVersion"}
    managed = metadata.get("managedFields") or []
    metadata["managedFields"] = [{k: v for k, v in m.items() if k != "time"} for m in managed]
    return {**obj, "metadata": metadata}


@dataclass(frozen=True)
class Deletion:
    """How to delete: the parts of DeleteOptions that matter.

    ``grace`` is in seconds; None leaves it to the object.
    """

    propagation: str = ""
    grace: int | None = None
    uid: str = ""
    revision: str = ""


def start_deletion(resource: Resource, obj: Object, deletion: Deletion) -> Object | None:
    """Give a terminating object, or None when it can go at once."""
    metadata = dict(obj["metadata"])
    finalizers = _finalizers(list(metadata.get("finalizers") or ()), deletion.propagation)
    if resource.key == _DEFINITIONS:
        finalizers = list(dict.fromkeys([*finalizers, _CLEAN_UP]))
    grace = _grace(resource, obj, deletion)
    namespace = resource.key == _NAMESPACES
    waits = bool(finalizers) or grace > 0 or (namespace and bool(_namespace_finalizers(obj)))
    if not waits:
        return None
    if finalizers:
        metadata["finalizers"] = finalizers
    if metadata.get("deletionTimestamp"):
        already = metadata.get("deletionGracePeriodSeconds", 0)
        if resource.key == ("", "pods") and grace < already:
            metadata["deletionGracePeriodSeconds"] = grace
        return {**obj, "metadata": metadata}
    due = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=grace)
    metadata["deletionTimestamp"] = stamp(due)
    if not namespace:
        metadata["deletionGracePeriodSeconds"] = grace
    if metadata.get("generation"):
        metadata["generation"] += 1
    found = {**obj, "metadata": metadata}
    if namespace:
        found["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    return found


def _finalizers(present: list[str], propagation: str) -> list[str]:
    """Add what foreground or orphaning deletion waits for; background waits for neither."""
    wanted = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(propagation)
    if propagation:
        present = [f for f in present if f not in ("foregroundDeletion", "orphan") or f == wanted]
    if wanted and wanted not in present:
        present.append(wanted)
    return present


def _grace(resource: Resource, obj: Object, deletion: Deletion) -> int:
    """Give the seconds a pod may take to stop; nothing else is granted any."""
    if resource.key != ("", "pods"):
        return 0
    spec = obj.get("spec") or {}
    if not spec.get("nodeName"):
        return 0
    if (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    if deletion.grace is not None:
        return max(deletion.grace, 0)
    return int(spec.get("terminationGracePeriodSeconds", 30))


def _namespace_finalizers(obj: Object) -> list[str]:
    return list((obj.get("spec") or {}).get("finalizers") or ())
