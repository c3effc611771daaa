"""Which resources a Kubernetes API server serves by itself, one table.

Names, verbs, short names, categories and subresources are those a kube-apiserver 1.35 lists in its
discovery documents; ``since`` and ``until`` say in which minor versions a row is served.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["ALL_VERBS", "Resource", "Subresource", "builtin", "minor"]

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_CREATE = ("create",)
_STATUS = ("get", "patch", "update")
_PROXY = ("create", "delete", "get", "patch", "update")
_CONNECT = ("create", "get")


@dataclass(frozen=True)
class Subresource:
    """One subresource, such as ``scale``, and the kind it answers with."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str | None = None
    version: str = ""


@dataclass(frozen=True)
class Resource:
    """One resource of one group and version, built in or from a CustomResourceDefinition.

    ``storage`` names the group that stores the objects where several groups serve the same ones;
    ``generation`` tells whether the server counts changes of the specification;
    ``unconditional`` whether PUT works without a resourceVersion;
    ``upsert`` whether PUT creates what is missing;
    ``echo`` whether DELETE answers with the deleted object instead of a Status;
    ``deprecated`` the warning that comes with every answer.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    singular: str = ""
    verbs: tuple[str, ...] = ALL_VERBS
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    list_kind: str = ""
    storage: str | None = None
    generation: bool = False
    unconditional: bool = True
    upsert: bool = False
    echo: bool = False
    deprecated: str = ""
    since: int = 0
    until: int = 999
    crd: Mapping[str, Any] | None = field(default=None, compare=False)

    @property
    def api_version(self) -> str:
        """Give the apiVersion objects of this resource carry."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def key(self) -> tuple[str, str]:
        """Give the store's table: objects are the same whatever version serves them."""
        return (self.group if self.storage is None else self.storage, self.plural)

    @property
    def qualified(self) -> str:
        """Give the resource as messages name it: ``widgets.example.com``, ``pods``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def storage_hash(self) -> str:
        """Give the storageVersionHash of discovery: eight bytes of SHA-256, base64."""
        digest = hashlib.sha256(f"{self.group}/{self.version}/{self.kind}".encode()).digest()
        return base64.b64encode(digest[:8]).decode()

    def subresource(self, name: str) -> Subresource | None:
        """Find a subresource by name."""
        return next((sub for sub in self.subresources if sub.name == name), None)

    @property
    def has_status(self) -> bool:
        """Tell whether status is written through its own subresource."""
        return self.subresource("status") is not None


def minor(version: str) -> int:
    """Give the minor number of a Kubernetes version.

    >>> minor("1.35"), minor("v1.29.4+k3s1")
    (35, 29)
    """
    return int(version.lstrip("v").split(".")[1])


def builtin(version: str) -> tuple[Resource, ...]:
    """List the built-in resources of one Kubernetes version, in discovery order."""
    number = minor(version)
    served = [row for row in _table() if row.since <= number <= row.until]
    if number < 33:
        served = [_before_33(row) for row in served]
    return tuple(served)


def _before_33(row: Resource) -> Resource:
    """Give a row as servers before 1.33 have it: no resizing of pods, no word against Endpoints."""
    if row.kind == "Endpoints":
        return replace(row, deprecated="")
    return replace(row, subresources=tuple(s for s in row.subresources if s.name != "resize"))


def _rows(api_version: str, *rows: Resource) -> list[Resource]:
    """Complete rows with their group, version, singular, list and status kinds."""
    group, _, version = api_version.rpartition("/")
    return [
        replace(
            row,
            group=group,
            version=version,
            singular=row.singular or row.kind.lower(),
            list_kind=row.list_kind or f"{row.kind}List",
            subresources=tuple(replace(sub, kind=sub.kind or row.kind) for sub in row.subresources),
        )
        for row in rows
    ]


def _row(plural: str, kind: str, subresources: str = "", **options: Any) -> Resource:
    """Write one row; ``subresources`` names the common ones, separated by spaces."""
    short = tuple(options.pop("short", "").split())
    categories = ("all",) if options.pop("all", False) else options.pop("categories", ())
    found = tuple(_SUBRESOURCES[name] for name in subresources.split())
    return Resource(
        "",
        "",
        plural,
        kind,
        short_names=short,
        categories=categories,
        subresources=found,
        **options,
    )


_SCALE = Subresource("scale", "Scale", _STATUS, "autoscaling", "v1")
_SUBRESOURCES = {
    "approval": Subresource("approval", "", _STATUS),
    "attach": Subresource("attach", "PodAttachOptions", _CONNECT),
    "binding": Subresource("binding", "Binding", _CREATE),
    "ephemeralcontainers": Subresource("ephemeralcontainers", "", _STATUS),
    "eviction": Subresource("eviction", "Eviction", _CREATE, "policy", "v1"),
    "exec": Subresource("exec", "PodExecOptions", _CONNECT),
    "finalize": Subresource("finalize", "", ("update",)),
    "log": Subresource("log", "", ("get",)),
    "nodeproxy": Subresource("proxy", "NodeProxyOptions", _PROXY),
    "podproxy": Subresource("proxy", "PodProxyOptions", _PROXY),
    "portforward": Subresource("portforward", "PodPortForwardOptions", _CONNECT),
    "resize": Subresource("resize", "", _STATUS),
    "scale": _SCALE,
    "serviceproxy": Subresource("proxy", "ServiceProxyOptions", _PROXY),
    "status": Subresource("status", "", _STATUS),
    "token": Subresource("token", "TokenRequest", _CREATE, "authentication.k8s.io", "v1"),
}
_GONE = "{0}/v1beta1 {1} is deprecated in v1.21+, unavailable in v1.25+; use {0}/v1 {1}"
_ENDPOINTS = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
_CLUSTER: dict[str, Any] = {"namespaced": False}
_REVIEW: dict[str, Any] = {"namespaced": False, "verbs": _CREATE}
_EXTENSION: dict[str, Any] = {
    "namespaced": False,
    "categories": ("api-extensions",),
    "unconditional": False,
}
_RBAC: dict[str, Any] = {"upsert": True}
_POD_PARTS = (
    "attach binding ephemeralcontainers eviction exec log portforward podproxy resize status"
)


def _table() -> list[Resource]:
    """Give every row, groups in the order a server lists them."""
    return [*_core(), *_workloads(), *_policies(), *_cluster_services()]


def _core() -> list[Resource]:
    return _rows(
        "v1",
        _row("bindings", "Binding", verbs=_CREATE),
        _row(
            "componentstatuses",
            "ComponentStatus",
            short="cs",
            verbs=("get", "list"),
            deprecated="v1 ComponentStatus is deprecated in v1.19+",
            **_CLUSTER,
        ),
        _row("configmaps", "ConfigMap", short="cm"),
        _row(
            "endpoints",
            "Endpoints",
            short="ep",
            list_kind="EndpointsList",
            upsert=True,
            deprecated=_ENDPOINTS,
        ),
        _row("events", "Event", short="ev", upsert=True),
        _row("limitranges", "LimitRange", short="limits", upsert=True),
        _row(
            "namespaces",
            "Namespace",
            "finalize status",
            short="ns",
            verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
            **_CLUSTER,
        ),
        _row("nodes", "Node", "nodeproxy status", short="no", **_CLUSTER),
        _row("persistentvolumeclaims", "PersistentVolumeClaim", "status", short="pvc", echo=True),
        _row("persistentvolumes", "PersistentVolume", "status", short="pv", echo=True, **_CLUSTER),
        _row("pods", "Pod", _POD_PARTS, short="po", all=True, generation=True, echo=True),
        _row("podtemplates", "PodTemplate", echo=True, generation=True),
        _row(
            "replicationcontrollers",
            "ReplicationController",
            "scale status",
            short="rc",
            all=True,
            generation=True,
        ),
        _row("resourcequotas", "ResourceQuota", "status", short="quota", echo=True),
        _row("secrets", "Secret"),
        _row("serviceaccounts", "ServiceAccount", "token", short="sa", echo=True),
        _row(
            "services",
            "Service",
            "serviceproxy status",
            short="svc",
            all=True,
            upsert=True,
            echo=True,
        ),
    )


def _workloads() -> list[Resource]:
    return [
        *_rows(
            "apiregistration.k8s.io/v1",
            _row("apiservices", "APIService", "status", **_EXTENSION),
        ),
        *_rows(
            "apps/v1",
            _row("controllerrevisions", "ControllerRevision"),
            _row("daemonsets", "DaemonSet", "status", short="ds", all=True, generation=True),
            _row(
                "deployments",
                "Deployment",
                "scale status",
                short="deploy",
                all=True,
                generation=True,
            ),
            _row(
                "replicasets", "ReplicaSet", "scale status", short="rs", all=True, generation=True
            ),
            _row(
                "statefulsets",
                "StatefulSet",
                "scale status",
                short="sts",
                all=True,
                generation=True,
            ),
        ),
        *_rows("events.k8s.io/v1", _row("events", "Event", short="ev", storage="", upsert=True)),
        *_rows(
            "authentication.k8s.io/v1",
            _row("selfsubjectreviews", "SelfSubjectReview", since=28, **_REVIEW),
            _row("tokenreviews", "TokenReview", **_REVIEW),
        ),
        *_rows(
            "authorization.k8s.io/v1",
            _row("localsubjectaccessreviews", "LocalSubjectAccessReview", verbs=_CREATE),
            _row("selfsubjectaccessreviews", "SelfSubjectAccessReview", **_REVIEW),
            _row("selfsubjectrulesreviews", "SelfSubjectRulesReview", **_REVIEW),
            _row("subjectaccessreviews", "SubjectAccessReview", **_REVIEW),
        ),
        *_rows(
            "autoscaling/v2",
            _row(
                "horizontalpodautoscalers",
                "HorizontalPodAutoscaler",
                "status",
                short="hpa",
                all=True,
                since=23,
            ),
        ),
        *_rows(
            "autoscaling/v1",
            _row(
                "horizontalpodautoscalers",
                "HorizontalPodAutoscaler",
                "status",
                short="hpa",
                all=True,
            ),
        ),
        *_rows(
            "batch/v1",
            _row("cronjobs", "CronJob", "status", short="cj", all=True, generation=True),
            _row("jobs", "Job", "status", all=True, generation=True),
        ),
        *_rows(
            "batch/v1beta1",
            _row(
                "cronjobs",
                "CronJob",
                "status",
                short="cj",
                all=True,
                generation=True,
                until=24,
                deprecated=_GONE.format("batch", "CronJob"),
            ),
        ),
    ]


def _policies() -> list[Resource]:
    return [
        *_rows(
            "certificates.k8s.io/v1",
            _row(
                "certificatesigningrequests",
                "CertificateSigningRequest",
                "approval status",
                short="csr",
                **_CLUSTER,
            ),
        ),
        *_rows(
            "networking.k8s.io/v1",
            _row("ingressclasses", "IngressClass", generation=True, **_CLUSTER),
            _row("ingresses", "Ingress", "status", short="ing", generation=True),
            _row("ipaddresses", "IPAddress", short="ip", since=33, **_CLUSTER),
            _row("networkpolicies", "NetworkPolicy", short="netpol", generation=True),
            _row("servicecidrs", "ServiceCIDR", "status", since=33, **_CLUSTER),
        ),
        *_rows(
            "policy/v1",
            _row(
                "poddisruptionbudgets",
                "PodDisruptionBudget",
                "status",
                short="pdb",
                generation=True,
                unconditional=False,
            ),
        ),
        *_rows(
            "policy/v1beta1",
            _row(
                "poddisruptionbudgets",
                "PodDisruptionBudget",
                "status",
                short="pdb",
                generation=True,
                unconditional=False,
                until=24,
                deprecated=_GONE.format("policy", "PodDisruptionBudget"),
            ),
            _row(
                "podsecuritypolicies",
                "PodSecurityPolicy",
                short="psp",
                until=24,
                deprecated=_GONE.partition(";")[0].format("policy", "PodSecurityPolicy"),
                **_CLUSTER,
            ),
        ),
        *_rows(
            "rbac.authorization.k8s.io/v1",
            _row("clusterrolebindings", "ClusterRoleBinding", namespaced=False, **_RBAC),
            _row("clusterroles", "ClusterRole", namespaced=False, **_RBAC),
            _row("rolebindings", "RoleBinding", **_RBAC),
            _row("roles", "Role", **_RBAC),
        ),
    ]


def _cluster_services() -> list[Resource]:
    return [
        *_rows(
            "storage.k8s.io/v1",
            _row("csidrivers", "CSIDriver", echo=True, **_CLUSTER),
            _row("csinodes", "CSINode", echo=True, **_CLUSTER),
            _row("csistoragecapacities", "CSIStorageCapacity", list_kind="CSIStorageCapacityList"),
            _row("storageclasses", "StorageClass", short="sc", echo=True, **_CLUSTER),
            _row("volumeattachments", "VolumeAttachment", "status", echo=True, **_CLUSTER),
            _row(
                "volumeattributesclasses",
                "VolumeAttributesClass",
                short="vac",
                since=34,
                **_CLUSTER,
            ),
        ),
        *_rows(
            "admissionregistration.k8s.io/v1",
            _row(
                "mutatingwebhookconfigurations",
                "MutatingWebhookConfiguration",
                generation=True,
                **_EXTENSION,
            ),
            _row(
                "validatingadmissionpolicies",
                "ValidatingAdmissionPolicy",
                "status",
                generation=True,
                since=30,
                **_EXTENSION,
            ),
            _row(
                "validatingadmissionpolicybindings",
                "ValidatingAdmissionPolicyBinding",
                generation=True,
                since=30,
                **_EXTENSION,
            ),
            _row(
                "validatingwebhookconfigurations",
                "ValidatingWebhookConfiguration",
                generation=True,
                **_EXTENSION,
            ),
        ),
        *_rows(
            "apiextensions.k8s.io/v1",
            _row(
                "customresourcedefinitions",
                "CustomResourceDefinition",
                "status",
                short="crd crds",
                generation=True,
                **_EXTENSION,
            ),
        ),
        *_rows(
            "scheduling.k8s.io/v1",
            _row("priorityclasses", "PriorityClass", short="pc", generation=True, **_CLUSTER),
        ),
        *_rows("coordination.k8s.io/v1", _row("leases", "Lease", unconditional=False, upsert=True)),
        *_rows("node.k8s.io/v1", _row("runtimeclasses", "RuntimeClass", **_CLUSTER)),
        *_rows(
            "discovery.k8s.io/v1",
            _row("endpointslices", "EndpointSlice", generation=True, unconditional=False),
        ),
        *_rows(
            "resource.k8s.io/v1",
            _row("deviceclasses", "DeviceClass", generation=True, since=34, **_CLUSTER),
            _row("resourceclaims", "ResourceClaim", "status", since=34),
            _row("resourceclaimtemplates", "ResourceClaimTemplate", since=34),
            _row("resourceslices", "ResourceSlice", generation=True, since=34, **_CLUSTER),
        ),
        *_rows(
            "flowcontrol.apiserver.k8s.io/v1",
            _row(
                "flowschemas",
                "FlowSchema",
                "status",
                generation=True,
                since=29,
                unconditional=False,
                **_CLUSTER,
            ),
            _row(
                "prioritylevelconfigurations",
                "PriorityLevelConfiguration",
                "status",
                generation=True,
                since=29,
                unconditional=False,
                **_CLUSTER,
            ),
        ),
    ]
