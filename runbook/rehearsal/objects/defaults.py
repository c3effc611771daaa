"""Defaults of built-in kinds, as the API server fills them in before storing an object.

Facts: the defaulting functions of Kubernetes (``pkg/apis/*/v1/defaults.go``), seen in recordings
of a 1.35 server. Only what clients rely on is here. Values that come from admission plugins or
controllers (service account, tolerations, cluster IP) are not defaults.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["fill"]

Object = dict[str, Any]


def fill(kind: str, obj: Mapping[str, Any]) -> Object:
    """Give a copy of an object with the defaults of its kind.

    Args:
        kind: Such as ``Deployment``; unknown kinds (custom resources too) get none.
        obj: A pruned object of that kind.
    """
    result = copy.deepcopy(dict(obj))
    filler = _FILLERS.get(kind)
    if filler is not None:
        filler(result)
    return result


def _put(target: Object, **values: Any) -> None:
    """Set fields that are absent or, for strings, empty."""
    for key, value in values.items():
        if target.get(key) in (None, ""):
            target[key] = copy.deepcopy(value)


def _each(items: Any) -> Iterable[Object]:
    return (item for item in items or () if isinstance(item, dict))


def _pod_template(template: Object) -> None:
    _pod_spec(template.setdefault("spec", {}))


def _pod(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _put(spec, enableServiceLinks=True)
    _pod_spec(spec)
    for container in (*_each(spec.get("initContainers")), *_each(spec.get("containers"))):
        _requests_from_limits(container)
        if spec.get("hostNetwork"):
            for port in _each(container.get("ports")):
                _put(port, hostPort=port.get("containerPort"))
    obj.setdefault("status", {}).setdefault("phase", "Pending")


def _pod_spec(spec: Object) -> None:
    for container in _each(spec.get("initContainers")):
        _container(container)
    for container in (*_each(spec.get("containers")), *_each(spec.get("ephemeralContainers"))):
        _container(container)
    _put(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )
    if spec.get("serviceAccountName"):
        _put(spec, serviceAccount=spec["serviceAccountName"])
    elif spec.get("serviceAccount"):
        _put(spec, serviceAccountName=spec["serviceAccount"])
    for volume in _each(spec.get("volumes")):
        _volume(volume)


def _requests_from_limits(container: Object) -> None:
    """Give a pod's container a request for whatever it limits."""
    resources = container.get("resources") or {}
    limits = resources.get("limits")
    if limits:
        requests = {**limits, **(resources.get("requests") or {})}
        container["resources"] = {**resources, "requests": requests}


def _container(container: Object) -> None:
    container.setdefault("resources", {})
    _put(
        container,
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy=_pull_policy(container.get("image") or ""),
    )
    for port in _each(container.get("ports")):
        _put(port, protocol="TCP")
    for env in _each(container.get("env")):
        reference = (env.get("valueFrom") or {}).get("fieldRef")
        if isinstance(reference, dict):
            _put(reference, apiVersion="v1")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if isinstance(probe, dict):
            _put(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
            _handler(probe)
    for handler in (container.get("lifecycle") or {}).values():
        if isinstance(handler, dict):
            _handler(handler)


def _handler(handler: Object) -> None:
    request = handler.get("httpGet")
    if isinstance(request, dict):
        _put(request, path="/", scheme="HTTP")
    call = handler.get("grpc")
    if isinstance(call, dict):
        call.setdefault("service", "")


def _pull_policy(image: str) -> str:
    name = image.rsplit("/", 1)[-1]
    if "@" in name:
        return "IfNotPresent"
    _, _, tag = name.partition(":")
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _volume(volume: Object) -> None:
    for kind in ("secret", "configMap", "downwardAPI", "projected"):
        if isinstance(volume.get(kind), dict):
            _put(volume[kind], defaultMode=0o644)
    for source in _each((volume.get("projected") or {}).get("sources")):
        token = source.get("serviceAccountToken")
        if isinstance(token, dict):
            _put(token, expirationSeconds=3600)
        _downward(source.get("downwardAPI"))
    _downward(volume.get("downwardAPI"))
    if isinstance(volume.get("hostPath"), dict):
        volume["hostPath"].setdefault("type", "")
    if not set(volume) - {"name"}:
        volume["emptyDir"] = {}


def _downward(source: Any) -> None:
    for item in _each((source or {}).get("items")):
        reference = item.get("fieldRef")
        if isinstance(reference, dict):
            _put(reference, apiVersion="v1")


def _deployment(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _pod_template(spec.setdefault("template", {}))
    _put(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = spec.setdefault("strategy", {})
    _put(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _put(strategy.setdefault("rollingUpdate", {}), maxUnavailable="25%", maxSurge="25%")


def _replica_set(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _put(spec, replicas=1)
    _pod_template(spec.setdefault("template", {}))


def _stateful_set(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _pod_template(spec.setdefault("template", {}))
    _put(spec, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady")
    strategy = spec.setdefault("updateStrategy", {})
    _put(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _put(strategy.setdefault("rollingUpdate", {}), partition=0)
    _put(
        spec.setdefault("persistentVolumeClaimRetentionPolicy", {}),
        whenDeleted="Retain",
        whenScaled="Retain",
    )
    for claim in _each(spec.get("volumeClaimTemplates")):
        claim.setdefault("apiVersion", "v1")
        claim.setdefault("kind", "PersistentVolumeClaim")
        _claim(claim)


def _daemon_set(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _pod_template(spec.setdefault("template", {}))
    _put(spec, revisionHistoryLimit=10)
    strategy = spec.setdefault("updateStrategy", {})
    _put(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _put(strategy.setdefault("rollingUpdate", {}), maxUnavailable=1, maxSurge=0)


def _job(obj: Object) -> None:
    _job_spec(obj.setdefault("spec", {}))


def _job_spec(spec: Object) -> None:
    _pod_template(spec.setdefault("template", {}))
    if spec.get("completions") is None and spec.get("parallelism") is None:
        _put(spec, completions=1)
    per_index = spec.get("backoffLimitPerIndex") is not None
    _put(
        spec,
        parallelism=1,
        backoffLimit=2**31 - 1 if per_index else 6,
        completionMode="NonIndexed",
        suspend=False,
        manualSelector=False,
        podReplacementPolicy="Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed",
    )


def _cron_job(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _put(
        spec,
        concurrencyPolicy="Allow",
        suspend=False,
        successfulJobsHistoryLimit=3,
        failedJobsHistoryLimit=1,
    )
    template = spec.setdefault("jobTemplate", {}).setdefault("spec", {})
    _pod_template(template.setdefault("template", {}))


def _service(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _put(spec, sessionAffinity="None", type="ClusterIP")
    kind = spec["type"]
    if spec["sessionAffinity"] == "ClientIP":
        config = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        _put(config, timeoutSeconds=10800)
    for port in _each(spec.get("ports")):
        _put(port, protocol="TCP", targetPort=port.get("port"))
        if port["targetPort"] == 0:
            port["targetPort"] = port.get("port")
    if kind in ("NodePort", "LoadBalancer"):
        _put(spec, externalTrafficPolicy="Cluster")
    if kind == "LoadBalancer":
        _put(spec, allocateLoadBalancerNodePorts=True)
    if kind != "ExternalName":
        _put(spec, internalTrafficPolicy="Cluster")


def _secret(obj: Object) -> None:
    _put(obj, type="Opaque")
    texts = obj.pop("stringData", None)
    if texts:
        data = dict(obj.get("data") or {})
        for key, text in texts.items():
            data[key] = base64.b64encode((text or "").encode()).decode()
        obj["data"] = data


def _namespace(obj: Object) -> None:
    metadata = obj.setdefault("metadata", {})
    if metadata.get("name"):
        labels = dict(metadata.get("labels") or {})
        labels["kubernetes.io/metadata.name"] = metadata["name"]
        metadata["labels"] = labels
    obj.setdefault("status", {}).setdefault("phase", "Active")


def _claim(obj: Object) -> None:
    _put(obj.setdefault("spec", {}), volumeMode="Filesystem")
    obj.setdefault("status", {}).setdefault("phase", "Pending")


def _volume_object(obj: Object) -> None:
    _put(
        obj.setdefault("spec", {}),
        volumeMode="Filesystem",
        persistentVolumeReclaimPolicy="Retain",
    )
    obj.setdefault("status", {}).setdefault("phase", "Pending")


def _storage_class(obj: Object) -> None:
    _put(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _webhooks(obj: Object) -> None:
    for hook in _each(obj.get("webhooks")):
        _put(
            hook,
            failurePolicy="Fail",
            matchPolicy="Equivalent",
            namespaceSelector={},
            objectSelector={},
            timeoutSeconds=10,
        )
        if obj.get("kind") == "MutatingWebhookConfiguration":
            _put(hook, reinvocationPolicy="Never")
        service = (hook.get("clientConfig") or {}).get("service")
        if isinstance(service, dict):
            _put(service, port=443)
        for rule in _each(hook.get("rules")):
            _put(rule, scope="*")


def _binding(obj: Object) -> None:
    reference = obj.get("roleRef")
    if isinstance(reference, dict):
        _put(reference, apiGroup="rbac.authorization.k8s.io")
    for subject in _each(obj.get("subjects")):
        if subject.get("kind") in ("User", "Group"):
            _put(subject, apiGroup="rbac.authorization.k8s.io")


def _custom_resource_definition(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    if names.get("kind"):
        _put(names, singular=names["kind"].lower(), listKind=names["kind"] + "List")
    conversion = spec.setdefault("conversion", {})
    _put(conversion, strategy="None")
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if isinstance(service, dict):
        _put(service, port=443)


def _api_service(obj: Object) -> None:
    service = obj.setdefault("spec", {}).get("service")
    if isinstance(service, dict):
        _put(service, port=443)


def _autoscaler(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _put(spec, minReplicas=1)
    if obj.get("apiVersion") == "autoscaling/v2" and not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def _network_policy(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    for rule in (*_each(spec.get("ingress")), *_each(spec.get("egress"))):
        for port in _each(rule.get("ports")):
            _put(port, protocol="TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def _endpoint_slice(obj: Object) -> None:
    for port in _each(obj.get("ports")):
        port.setdefault("name", "")
        _put(port, protocol="TCP")


def _endpoints(obj: Object) -> None:
    for subset in _each(obj.get("subsets")):
        for port in _each(subset.get("ports")):
            _put(port, protocol="TCP")


def _node(obj: Object) -> None:
    status = obj.setdefault("status", {})
    if status.get("capacity"):
        _put(status, allocatable=status["capacity"])


def _priority_class(obj: Object) -> None:
    _put(obj, preemptionPolicy="PreemptLowerPriority")


_FILLERS: Mapping[str, Callable[[Object], None]] = {
    "APIService": _api_service,
    "ClusterRoleBinding": _binding,
    "CronJob": _cron_job,
    "CustomResourceDefinition": _custom_resource_definition,
    "DaemonSet": _daemon_set,
    "Deployment": _deployment,
    "EndpointSlice": _endpoint_slice,
    "Endpoints": _endpoints,
    "HorizontalPodAutoscaler": _autoscaler,
    "Job": _job,
    "MutatingWebhookConfiguration": _webhooks,
    "Namespace": _namespace,
    "NetworkPolicy": _network_policy,
    "Node": _node,
    "PersistentVolume": _volume_object,
    "PersistentVolumeClaim": _claim,
    "Pod": _pod,
    "PodTemplate": lambda obj: _pod_template(obj.setdefault("template", {})),
    "PriorityClass": _priority_class,
    "ReplicaSet": _replica_set,
    "ReplicationController": _replica_set,
    "RoleBinding": _binding,
    "Secret": _secret,
    "Service": _service,
    "StatefulSet": _stateful_set,
    "StorageClass": _storage_class,
    "ValidatingWebhookConfiguration": _webhooks,
}
