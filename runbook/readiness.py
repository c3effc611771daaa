"""When an object of a kind counts as ready, and when its own status says that it never will.

The rules for workloads are those of ``kubectl rollout status``; cert-manager's conditions are
described in its API reference (``CertificateCondition``), the status of Elasticsearch and Kibana in
that of ECK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Readiness", "condition", "describe", "has_rule", "is_observed", "readiness"]

Object = dict[str, Any]

_CHANGING = "ApplyingChanges"  # phase of ECK's objects while it replaces pods


@dataclass(frozen=True)
class Readiness:
    """What to look for in an object of one kind.

    Attributes:
        name: The awaited state in a word: ``available``, ``ready``.
        met: Whether the object has reached it.
        failed: Why it never will; empty while it may.
        seen: The state it is in, in words.
    """

    name: str
    met: Callable[[Object], bool]
    failed: Callable[[Object], str]
    seen: Callable[[Object], str]


def condition(obj: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Give a condition of an object's status, empty if it has none of that type."""
    found = (obj.get("status") or {}).get("conditions") or []
    return next((dict(c) for c in found if c.get("type") == name), {})


def describe(obj: Object) -> str:
    """Give an object's conditions in words.

    >>> describe({"status": {"conditions": [
    ...     {"type": "Ready", "status": "False", "reason": "Pending", "message": "wait"}]}})
    'Ready is False (Pending: wait)'
    """
    found = (obj.get("status") or {}).get("conditions") or []
    if not found:
        return "it exists, without conditions"
    return "; ".join(_condition_text(c) for c in found)


def readiness(api_version: str, kind: str) -> Readiness:
    """Give the rules for a kind; anything unknown is ready when it exists."""
    group = api_version.rpartition("/")[0]
    return _RULES.get((group, kind), _EXISTS)


def has_rule(api_version: str, kind: str) -> bool:
    """Tell whether a kind gets ready in a way of its own, beyond existing."""
    return (api_version.rpartition("/")[0], kind) in _RULES


def _condition_text(found: dict[str, Any]) -> str:
    detail = ": ".join(str(found[key]) for key in ("reason", "message") if found.get(key))
    return f"{found.get('type')} is {found.get('status')}" + (f" ({detail})" if detail else "")


def _nothing(_: Object) -> str:
    return ""


def _true(name: str) -> Callable[[Object], bool]:
    def met(obj: Object) -> bool:
        found = condition(obj, name)
        current = int(obj["metadata"].get("generation", 0))
        observed = int(found.get("observedGeneration", current))
        return found.get("status") == "True" and observed >= current

    return met


def is_observed(obj: Object) -> bool:
    """Tell whether the controller has seen the newest version of a workload."""
    status = obj.get("status") or {}
    return int(status.get("observedGeneration", 0)) >= int(obj["metadata"].get("generation", 0))


def _deployment_met(obj: Object) -> bool:
    wanted, status = _replicas(obj), obj.get("status") or {}
    updated = int(status.get("updatedReplicas", 0))
    return (
        is_observed(obj)
        and updated >= wanted
        and int(status.get("replicas", 0)) <= updated  # the old ones are gone
        and int(status.get("availableReplicas", 0)) >= wanted
    )


def _deployment_failed(obj: Object) -> str:
    if not is_observed(obj):
        return ""
    progress, refused = condition(obj, "Progressing"), condition(obj, "ReplicaFailure")
    if progress.get("reason") == "ProgressDeadlineExceeded":
        return str(progress.get("message") or "its progress deadline is over")
    if refused.get("status") == "True":
        return f"its pods cannot be created: {refused.get('message')}"
    return ""


def _replicas(obj: Object) -> int:
    return int((obj.get("spec") or {}).get("replicas", 1))


def _deployment_seen(obj: Object) -> str:
    available = int((obj.get("status") or {}).get("availableReplicas", 0))
    return f"{available} of {_replicas(obj)} replicas available"


def _stateful_met(obj: Object) -> bool:
    status, wanted = obj.get("status") or {}, _replicas(obj)
    same = status.get("currentRevision") == status.get("updateRevision")
    return is_observed(obj) and same and int(status.get("readyReplicas", 0)) >= wanted


def _stateful_seen(obj: Object) -> str:
    ready = int((obj.get("status") or {}).get("readyReplicas", 0))
    return f"{ready} of {_replicas(obj)} replicas ready"


def _daemon_met(obj: Object) -> bool:
    status = obj.get("status") or {}
    wanted = int(status.get("desiredNumberScheduled", 0))
    counts = (status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0))
    return is_observed(obj) and all(int(count) >= wanted for count in counts)


def _daemon_seen(obj: Object) -> str:
    status = obj.get("status") or {}
    available, wanted = status.get("numberAvailable", 0), status.get("desiredNumberScheduled", 0)
    return f"available on {available} of {wanted} nodes"


def _certificate_failed(obj: Object) -> str:
    """Tell a failed issuance; cert-manager tries again only after an hour or more."""
    current = int(obj["metadata"].get("generation", 0))
    attempts = (obj.get("status") or {}).get("failedIssuanceAttempts", 1)
    for found in (condition(obj, "Issuing"), condition(obj, "Ready")):
        stale = int(found.get("observedGeneration", current)) < current
        if found.get("status") == "False" and found.get("reason") == "Failed" and not stale:
            return f"cert-manager could not issue it ({attempts} failed): {found.get('message')}"
    return ""


def _crd_failed(obj: Object) -> str:
    names = condition(obj, "NamesAccepted")
    return f"its names are not accepted: {names.get('message')}" if _is_false(names) else ""


def _job_failed(obj: Object) -> str:
    found = condition(obj, "Failed")
    if found.get("status") != "True":
        return ""
    return ": ".join(str(found[key]) for key in ("reason", "message") if found.get(key))


def _is_false(found: dict[str, Any]) -> bool:
    return found.get("status") == "False"


def _exists(_: Object) -> bool:
    return True


def _active(obj: Object) -> bool:
    return bool((obj.get("status") or {}).get("phase") == "Active")


def _eck_met(obj: Object) -> bool:
    status = obj.get("status") or {}
    return is_observed(obj) and status.get("health") == "green" and status.get("phase") != _CHANGING


def _eck_seen(obj: Object) -> str:
    status = obj.get("status") or {}
    return f"health {status.get('health', 'unknown')}, phase {status.get('phase', 'unknown')}"


_EXISTS = Readiness("present", _exists, _nothing, describe)
_ECK = Readiness("healthy", _eck_met, _nothing, _eck_seen)
_READY = Readiness("ready", _true("Ready"), _nothing, describe)
_RULES: dict[tuple[str, str], Readiness] = {
    ("", "Namespace"): Readiness("active", _active, _nothing, describe),
    ("", "Pod"): _READY,
    ("apps", "Deployment"): Readiness(
        "available", _deployment_met, _deployment_failed, _deployment_seen
    ),
    ("apps", "StatefulSet"): Readiness("ready", _stateful_met, _nothing, _stateful_seen),
    ("apps", "DaemonSet"): Readiness("available", _daemon_met, _nothing, _daemon_seen),
    ("batch", "Job"): Readiness("complete", _true("Complete"), _job_failed, describe),
    ("cert-manager.io", "Certificate"): Readiness(
        "ready", _true("Ready"), _certificate_failed, describe
    ),
    ("cert-manager.io", "ClusterIssuer"): _READY,
    ("cert-manager.io", "Issuer"): _READY,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): Readiness(
        "established", _true("Established"), _crd_failed, describe
    ),
    ("elasticsearch.k8s.elastic.co", "Elasticsearch"): _ECK,
    ("kibana.k8s.elastic.co", "Kibana"): _ECK,
    ("apiregistration.k8s.io", "APIService"): Readiness(
        "available", _true("Available"), _nothing, describe
    ),
}
