"""The resources the controllers follow, and short ways to read objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from runbook.rehearsal.client import Object, Resource

PODS = Resource("", "v1", "pods", "Pod")
SERVICES = Resource("", "v1", "services", "Service")
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints")
CONFIGMAPS = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS = Resource("", "v1", "secrets", "Secret")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
EVENTS = Resource("", "v1", "events", "Event")
CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet")
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet")
STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "StatefulSet")
REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
JOBS = Resource("batch", "v1", "jobs", "Job")
CRON_JOBS = Resource("batch", "v1", "cronjobs", "CronJob")
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
INGRESSES = Resource("networking.k8s.io", "v1", "ingresses", "Ingress")
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
API_SERVICES = Resource(
    "apiregistration.k8s.io", "v1", "apiservices", "APIService", namespaced=False
)
CRDS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    namespaced=False,
)

FOLLOWED: tuple[Resource, ...] = (
    NAMESPACES,
    NODES,
    CRDS,
    API_SERVICES,
    CONFIGMAPS,
    SECRETS,
    SERVICE_ACCOUNTS,
    PODS,
    SERVICES,
    ENDPOINTS,
    CLAIMS,
    DEPLOYMENTS,
    REPLICA_SETS,
    DAEMON_SETS,
    STATEFUL_SETS,
    REVISIONS,
    JOBS,
    CRON_JOBS,
    SLICES,
    BUDGETS,
    INGRESSES,
    NETWORK_POLICIES,
    ROLES,
    ROLE_BINDINGS,
)
"""Built-in resources kept in the cache; those of CRDs are added as they are established."""

UNFOLLOWED: tuple[Resource, ...] = (EVENTS, LEASES)
"""Namespaced resources that change too often to follow; a dying namespace empties them too."""


def now() -> str:
    """Give the current time as Kubernetes writes it, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_now() -> str:
    """Give the current time as Kubernetes writes a MicroTime."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """Read a Kubernetes timestamp."""
    return datetime.fromisoformat(text)


def age(text: str) -> float:
    """Give the seconds since a Kubernetes timestamp."""
    return (datetime.now(UTC) - parse_time(text)).total_seconds()


def key(obj: Object) -> tuple[str, str]:
    """Give namespace and name of an object."""
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]


def deleted(obj: Object) -> bool:
    """Tell whether an object is being deleted."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def controller_of(obj: Object) -> Object | None:
    """Give the owner reference that is marked as the controller."""
    for owner in obj["metadata"].get("ownerReferences") or []:
        if owner.get("controller"):
            found: Object = owner
            return found
    return None


def owner_reference(resource: Resource, owner: Object) -> Object:
    """Make the owner reference a controller puts on what it creates."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def condition(obj: Object, kind: str) -> Object | None:
    """Find the status condition of a type."""
    for entry in (obj.get("status") or {}).get("conditions") or []:
        if entry.get("type") == kind:
            found: Object = entry
            return found
    return None


def holds(obj: Object, kind: str) -> bool:
    """Tell whether the status condition of a type is True."""
    found = condition(obj, kind)
    return found is not None and found.get("status") == "True"


def with_condition(conditions: Iterable[Object] | None, new: Object) -> list[Object]:
    """Set one condition in a list; its transition time moves only when its status does."""
    result: list[Object] = []
    fresh = {"lastTransitionTime": now(), **new}
    placed = False
    for old in conditions or []:
        if old["type"] != new["type"]:
            result.append(old)
            continue
        placed = True
        if old.get("status") == new.get("status") and "lastTransitionTime" in old:
            fresh["lastTransitionTime"] = old["lastTransitionTime"]
        result.append(fresh)
    if not placed:
        result.append(fresh)
    return result


def matches(selector: Mapping[str, object] | None, labels: Mapping[str, str] | None) -> bool:
    """Tell whether a LabelSelector object selects these labels; a missing selector selects none."""
    if selector is None:
        return False
    own = labels or {}
    wanted = selector.get("matchLabels") or {}
    if not isinstance(wanted, Mapping) or any(own.get(k) != v for k, v in wanted.items()):
        return False
    terms = selector.get("matchExpressions") or []
    return isinstance(terms, list) and all(_term(term, own) for term in terms)


def _term(term: Object, labels: Mapping[str, str]) -> bool:
    name, values = term["key"], term.get("values") or []
    own = labels.get(name)
    tests: Mapping[str, Callable[[], bool]] = {
        "In": lambda: own in values,
        "NotIn": lambda: own not in values,
        "Exists": lambda: own is not None,
        "DoesNotExist": lambda: own is None,
        "Gt": lambda: own is not None and int(own) > int(values[0]),
        "Lt": lambda: own is not None and int(own) < int(values[0]),
    }
    return tests[term["operator"]]()


def within(wanted: object, live: object) -> bool:
    """Tell whether all that is wanted is there; defaults the API server has added do not count."""
    if isinstance(wanted, dict):
        known = live if isinstance(live, dict) else {}
        return all(within(value, known.get(name)) for name, value in wanted.items())
    if isinstance(wanted, list):
        others = live if isinstance(live, list) else []
        pairs = zip(wanted, others, strict=False)
        return len(wanted) == len(others) and all(within(one, other) for one, other in pairs)
    return wanted == live
