"""The objects an API server creates by itself before anyone asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runbook.rehearsal.apiserver.registry import Registry

__all__ = ["CLUSTER_NETWORK", "objects"]

Object = dict[str, Any]

#: K3s' service network; the API server itself is its first address.
CLUSTER_NETWORK = "10.43.0.0/16"
_KUBERNETES_IP = "10.43.0.1"
_RBAC = "rbac.authorization.k8s.io"
_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_DISCOVERY = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"]
_PUBLIC = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_WORKLOADS: dict[str, list[str]] = {
    "": [
        "configmaps",
        "endpoints",
        "events",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "replicationcontrollers/scale",
        "serviceaccounts",
        "services",
    ],
    "apps": [
        "controllerrevisions",
        "daemonsets",
        "deployments",
        "deployments/scale",
        "replicasets",
        "replicasets/scale",
        "statefulsets",
        "statefulsets/scale",
    ],
    "autoscaling": ["horizontalpodautoscalers"],
    "batch": ["cronjobs", "jobs"],
    "discovery.k8s.io": ["endpointslices"],
    "networking.k8s.io": ["ingresses", "networkpolicies"],
    "policy": ["poddisruptionbudgets"],
}
_WATCHED = ["pods/log", "pods/status", "namespaces", "limitranges", "resourcequotas"]


def objects(registry: Registry, port: int) -> Iterator[Object]:
    """Give the bootstrap objects.

    Args:
        registry: Its built-in groups become APIServices.
        port: The port the server listens on, endpoint of the service ``kubernetes``.
    """
    for name in ("kube-system", "default", "kube-public", "kube-node-lease"):
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    yield from _kubernetes(port)
    yield from _roles()
    for name, value, text in (
        ("system-cluster-critical", 2_000_000_000, "Used for system critical pods that must run in "
         "the cluster, but can be moved to another node if necessary."),
        ("system-node-critical", 2_000_001_000, "Used for system critical pods that must not be "
         "moved from their current node."),
    ):  # fmt: skip
        yield {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": text,
        }
    for group, versions in registry.groups().items():
        for version in versions:
            yield api_service(group, version)


def api_service(group: str, version: str, *, service: str = "Local") -> Object:
    """Give the APIService of a group version the server serves itself."""
    name = f"{version}.{group}"
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {
            "name": name,
            "labels": {"kube-aggregator.kubernetes.io/automanaged": "onstart"},
        },
        "spec": {
            **({"group": group} if group else {}),
            "version": version,
            "groupPriorityMinimum": 18000 if not group else 17000,
            "versionPriority": 15 if version.startswith("v1") else 10,
        },
        "status": {
            "conditions": [
                {
                    "type": "Available",
                    "status": "True",
                    "reason": service,
                    "message": "Local APIServices are always available",
                }
            ]
        },
    }


def _kubernetes(port: int) -> Iterator[Object]:
    metadata = {"name": "kubernetes", "namespace": "default"}
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            **metadata,
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": _KUBERNETES_IP,
            "clusterIPs": [_KUBERNETES_IP],
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
        },
    }
    yield {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            **metadata,
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [
            {
                "addresses": [{"ip": "127.0.0.1"}],
                "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
            }
        ],
    }


def _roles() -> Iterator[Object]:
    everything = [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ]
    reviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]
    basic = [
        {"apiGroups": ["authorization.k8s.io"], "resources": reviews, "verbs": ["create"]},
        {
            "apiGroups": ["authentication.k8s.io"],
            "resources": ["selfsubjectreviews"],
            "verbs": ["create"],
        },
    ]
    view = [_rule(group, names, _READ) for group, names in _WORKLOADS.items()]
    view.append(_rule("", _WATCHED, _READ))
    edit = [_rule(group, names, [*_READ, *_WRITE]) for group, names in _WORKLOADS.items()]
    edit.append(_rule("", _WATCHED, _READ))
    edit.append(_rule("", ["secrets"], [*_READ, *_WRITE]))
    edit.append(_rule("", ["pods/eviction", "serviceaccounts/token"], ["create"]))
    edit.append(_rule("coordination.k8s.io", ["leases"], [*_READ, *_WRITE]))
    admin = [*edit, _rule(_RBAC, ["rolebindings", "roles"], [*_READ, *_WRITE])]
    admin.append(_rule("authorization.k8s.io", ["localsubjectaccessreviews"], ["create"]))
    urls = [*_DISCOVERY, *_PUBLIC]
    yield from _bound("cluster-admin", everything, ("system:masters",))
    yield from _bound("system:basic-user", basic, ("system:authenticated",))
    discovery = [{"nonResourceURLs": urls, "verbs": ["get"]}]
    yield from _bound("system:discovery", discovery, ("system:authenticated",))
    public = [{"nonResourceURLs": _PUBLIC, "verbs": ["get"]}]
    groups = ("system:authenticated", "system:unauthenticated")
    yield from _bound("system:public-info-viewer", public, groups)
    for name, rules in (("admin", admin), ("edit", edit), ("view", view)):
        yield _aggregated(name)
        label = f"rbac.authorization.k8s.io/aggregate-to-{name}"
        yield _role(f"system:aggregate-to-{name}", rules, {label: "true"})


def _rule(group: str, names: list[str], verbs: list[str]) -> dict[str, list[str]]:
    return {"apiGroups": [group], "resources": list(names), "verbs": list(verbs)}


def _role(name: str, rules: list[Any], labels: dict[str, str]) -> Object:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults", **labels},
        },
        "rules": rules,
    }


def _aggregated(name: str) -> Object:
    label = f"rbac.authorization.k8s.io/aggregate-to-{name}"
    role = _role(name, [], {})
    selectors = [{"matchLabels": {label: "true"}}]
    return {**role, "aggregationRule": {"clusterRoleSelectors": selectors}}


def _bound(name: str, rules: list[Any], groups: tuple[str, ...]) -> Iterator[Object]:
    yield _role(name, rules, {})
    yield {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": group} for group in groups],
    }
