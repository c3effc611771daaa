"""Built-in admission: what a kube-apiserver adds to objects or refuses before storing them."""

from __future__ import annotations

import copy
import ipaddress
from typing import Any

from runbook.rehearsal.apiserver.bootstrap import CLUSTER_NETWORK
from runbook.rehearsal.apiserver.lifecycle import generated_name
from runbook.rehearsal.apiserver.resources import Resource
from runbook.rehearsal.apiserver.statuses import forbidden, invalid, missing
from runbook.rehearsal.apiserver.store import Object, Store
from runbook.rehearsal.objects.schema import Cause

__all__ = ["BuiltIn"]

_TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path
_NAMESPACES = ("", "namespaces")
_PROTECTED = ("default", "kube-public", "kube-system")
_NODE_PORTS = range(30000, 32768)
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


class BuiltIn:
    """The admission plugins that are always on.

    Args:
        store: Namespaces, service accounts and services are looked up there.
        namespaces: The resource ``namespaces``, for messages.
    """

    def __init__(self, store: Store, namespaces: Resource) -> None:
        self._store = store
        self._namespaces = namespaces
        self._network = ipaddress.ip_network(CLUSTER_NETWORK)

    def check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        """Refuse to create in a namespace that is missing or going away.

        Raises:
            Refusal: 404 or 403.
        """
        if not resource.namespaced:
            return
        found = self._store.get(_NAMESPACES, "", namespace)
        if found is None:
            raise missing(self._namespaces, namespace)
        if found["metadata"].get("deletionTimestamp"):
            raise forbidden(
                resource,
                name,
                f"unable to create new content in namespace {namespace} because it is being "
                "terminated",
                [
                    {
                        "reason": "NamespaceTerminating",
                        "message": f"namespace {namespace} is being terminated",
                        "field": "metadata.namespace",
                    }
                ],
            )

    def check_deletion(self, resource: Resource, name: str) -> None:
        """Refuse to delete the namespaces the cluster cannot be without.

        Raises:
            Refusal: 403.
        """
        if resource.key == _NAMESPACES and name in _PROTECTED:
            raise forbidden(resource, name, "this namespace may not be deleted")

    def mutate(self, resource: Resource, obj: Object, old: Object | None) -> Object:
        """Give an object with what the server adds to its kind.

        Raises:
            Refusal: What the object refers to does not exist.
        """
        creating = old is None
        match resource.key:
            case ("", "pods") if creating:
                return self._pod(resource, copy.deepcopy(obj))
            case ("", "services"):
                return self._service(copy.deepcopy(obj), old)
            case ("", "persistentvolumeclaims") if creating:
                return self._claim(obj)
            case ("batch", "jobs") if creating:
                return _job(copy.deepcopy(obj))
        return obj

    def _pod(self, resource: Resource, pod: Object) -> Object:
        spec = pod["spec"]
        self._service_account(resource, pod)
        self._priority(resource, pod)
        tolerations = spec.get("tolerations") or []
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
            if not any(_tolerates(t, key) for t in tolerations):
                tolerations.append(
                    {
                        "key": key,
                        "operator": "Exists",
                        "effect": "NoExecute",
                        "tolerationSeconds": 300,
                    }
                )
        spec["tolerations"] = tolerations
        pod["status"] = {**(pod.get("status") or {}), "qosClass": _quality(spec)}
        return pod

    def _service_account(self, resource: Resource, pod: Object) -> None:
        spec, metadata = pod["spec"], pod["metadata"]
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        namespace = metadata["namespace"]
        account = self._store.get(("", "serviceaccounts"), namespace, name)
        if account is None:
            raise forbidden(
                resource,
                metadata["name"],
                f"error looking up service account {namespace}/{name}: serviceaccount "
                f'"{name}" not found',
            )
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        if account.get("imagePullSecrets") and not spec.get("imagePullSecrets"):
            spec["imagePullSecrets"] = account["imagePullSecrets"]
        wanted = spec.get("automountServiceAccountToken")
        if wanted is None:
            wanted = account.get("automountServiceAccountToken")
        if wanted is not False:
            _mount_token(spec)

    def _priority(self, resource: Resource, pod: Object) -> None:
        spec = pod["spec"]
        name = spec.get("priorityClassName")
        value, policy = 0, "PreemptLowerPriority"
        if name:
            found = self._store.get(("scheduling.k8s.io", "priorityclasses"), "", name)
            if found is None:
                why = f"no PriorityClass with name {name} was found"
                raise forbidden(resource, pod["metadata"]["name"], why)
            value, policy = found["value"], found.get("preemptionPolicy", policy)
        spec["priority"] = value
        spec.setdefault("preemptionPolicy", policy)

    def _claim(self, claim: Object) -> Object:
        """Choose the default storage class for a claim that names none."""
        if claim["spec"].get("storageClassName") is not None:
            return claim
        for cls in self._store.list(("storage.k8s.io", "storageclasses")):
            annotations = cls["metadata"].get("annotations") or {}
            if annotations.get(_DEFAULT_CLASS) == "true":
                spec = {**claim["spec"], "storageClassName": cls["metadata"]["name"]}
                return {**claim, "spec": spec}
        return claim

    def _service(self, service: Object, old: Object | None) -> Object:
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            return service
        before = (old or {}).get("spec") or {}
        if not spec.get("clusterIP"):
            spec["clusterIP"] = before.get("clusterIP") or self._free_address()
            spec["clusterIPs"] = [spec["clusterIP"]]
        elif old is None and spec["clusterIP"] != "None":
            self._check_address(service, spec["clusterIP"])
        spec.setdefault("clusterIPs", [spec["clusterIP"]])
        if spec.get("clusterIP") != "None" or spec.get("selector"):
            spec.setdefault("ipFamilies", ["IPv4"])
            spec.setdefault("ipFamilyPolicy", "SingleStack")
        if spec.get("type") in ("NodePort", "LoadBalancer"):
            self._node_ports(spec, before)
        return service

    def _services(self) -> list[Object]:
        return self._store.list(("", "services"))

    def _free_address(self) -> str:
        used = {(s["spec"] or {}).get("clusterIP") for s in self._services()}
        hosts = self._network.hosts()
        return next(str(host) for host in hosts if str(host) not in used)

    def _check_address(self, service: Object, address: str) -> None:
        taken = {(s["spec"] or {}).get("clusterIP") for s in self._services()}
        detail = ""
        if address in taken:
            detail = "failed to allocate IP {}: provided IP is already allocated"
        elif ipaddress.ip_address(address) not in self._network:
            detail = (
                "failed to allocate IP {}: the provided IP ({}) is not in the valid range. "
                f"The range of valid IPs is {CLUSTER_NETWORK}"
            )
        if detail:
            shown = detail.format(address, address)
            message = f'Invalid value: ["{address}"]: {shown}'
            cause = Cause("FieldValueInvalid", message, "spec.clusterIPs")
            raise invalid("", "Service", service["metadata"]["name"], [cause])

    def _node_ports(self, spec: dict[str, Any], before: dict[str, Any]) -> None:
        used = {
            port["nodePort"]
            for service in self._services()
            for port in (service["spec"].get("ports") or ())
            if port.get("nodePort")
        }
        kept = {(p.get("name"), p["port"]): p.get("nodePort") for p in before.get("ports") or ()}
        for port in spec.get("ports") or ():
            if port.get("nodePort"):
                continue
            number = kept.get((port.get("name"), port["port"]))
            port["nodePort"] = number or next(n for n in _NODE_PORTS if n not in used)
            used.add(port["nodePort"])


def _mount_token(spec: dict[str, Any]) -> None:
    """Mount the service account's token into every container that lacks it."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    volumes = spec.get("volumes") or []
    name = next(
        (v["name"] for v in volumes if v["name"].startswith("kube-api-access-")), ""
    ) or generated_name("kube-api-access-")
    mounted = False
    for container in containers:
        mounts = container.get("volumeMounts") or []
        if any(mount["mountPath"] == _TOKEN_PATH for mount in mounts):
            continue
        mounts.append({"name": name, "readOnly": True, "mountPath": _TOKEN_PATH})
        container["volumeMounts"] = mounts
        mounted = True
    if mounted and not any(volume["name"] == name for volume in volumes):
        volumes.append({"name": name, "projected": _token_sources()})
        spec["volumes"] = volumes


def _token_sources() -> dict[str, Any]:
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    root = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": root},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
        ],
        "defaultMode": 420,
    }


def _tolerates(toleration: dict[str, Any], key: str) -> bool:
    if toleration.get("effect") not in (None, "", "NoExecute"):
        return False
    named = toleration.get("key")
    return named == key or (not named and toleration.get("operator") == "Exists")


def _quality(spec: dict[str, Any]) -> str:
    """Give the quality-of-service class of a pod from its requests and limits."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    resources = [c.get("resources") or {} for c in containers]
    named = ("cpu", "memory")
    if not any((r.get(side) or {}).get(n) for r in resources for side in ("requests", "limits") for n in named):  # fmt: skip  # noqa: E501
        return "BestEffort"
    guaranteed = all(
        (r.get("limits") or {}).get(n)
        and (r.get("requests") or r["limits"]).get(n, r["limits"][n]) == r["limits"][n]
        for r in resources
        for n in named
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _job(job: Object) -> Object:
    """Give a job the selector and labels by which its pods are found."""
    spec = job["spec"]
    if spec.get("manualSelector"):
        return job
    uid, name = job["metadata"]["uid"], job["metadata"]["name"]
    template = spec["template"].setdefault("metadata", {})
    template["labels"] = {
        **(template.get("labels") or {}),
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    spec.setdefault("manualSelector", False)
    if not job["metadata"].get("labels"):
        job["metadata"]["labels"] = dict(template["labels"])
    return job
