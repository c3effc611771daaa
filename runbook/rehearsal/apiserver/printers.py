"""The columns of built-in kinds, as a kube-apiserver prints them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from runbook.rehearsal.apiserver import podcells
from runbook.rehearsal.apiserver.columns import (
    AGE,
    NAME,
    Cell,
    Column,
    Object,
    age,
    json_path,
    selector_text,
    span,
)
from runbook.rehearsal.apiserver.resources import Resource

__all__ = ["layout"]

_NONE = "<none>"


def layout(resource: Resource) -> Sequence[Column]:
    """Give the columns of a kind; those without their own show name and creation time."""
    return _LAYOUTS.get(resource.kind, _PLAIN)


def _at(path: str, default: Any = "") -> Cell:
    """Read a cell at a path of fields."""
    return partial(_read, path, default)


def _read(path: str, default: Any, obj: Object) -> Any:
    found = json_path(obj, "." + path)
    return found[0] if found else default


def _c(name: str, cell: Cell | str, kind: str = "string", *, wide: bool = False) -> Column:
    reader = _at(cell, 0 if kind == "integer" else "") if isinstance(cell, str) else cell
    return Column(name, reader, type=kind, description=name, priority=int(wide))


def _template(obj: Object) -> Mapping[str, Any]:
    spec = obj.get("spec") or {}
    if "jobTemplate" in spec:
        spec = spec["jobTemplate"].get("spec") or {}
    found: Mapping[str, Any] = (spec.get("template") or {}).get("spec") or {}
    return found


def _containers(field: str, obj: Object) -> str:
    return ",".join(c.get(field, "") for c in _template(obj).get("containers") or ())


def _selector(obj: Object) -> str:
    selector = (obj.get("spec") or {}).get("selector")
    if selector is None:
        return _NONE
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        selector = {"matchLabels": selector}
    return selector_text(selector) or _NONE


_TEMPLATE = (
    _c("Containers", partial(_containers, "name"), wide=True),
    _c("Images", partial(_containers, "image"), wide=True),
)
_SELECTED = (*_TEMPLATE, _c("Selector", _selector, wide=True))


def _count(path: str, total: str, obj: Object) -> str:
    return f"{_read(path, 0, obj)}/{_read(total, 0, obj)}"


def _node_selector(obj: Object) -> str:
    chosen = _template(obj).get("nodeSelector")
    return selector_text({"matchLabels": chosen}) if chosen else _NONE


def _created_at(obj: Object) -> str:
    return str(obj["metadata"].get("creationTimestamp", ""))


# jobs


def _job_status(job: Object) -> str:
    conditions = (job.get("status") or {}).get("conditions") or ()
    true = {c["type"] for c in conditions if c["status"] == "True"}
    for kind, word in (("Complete", "Complete"), ("Failed", "Failed")):
        if kind in true:
            return word
    if job["metadata"].get("deletionTimestamp"):
        return "Terminating"
    if "Suspended" in true:
        return "Suspended"
    return "FailureTarget" if "FailureTarget" in true else "Running"


def _completions(job: Object) -> str:
    done = _read("status.succeeded", 0, job)
    wanted = _read("spec.completions", None, job)
    if wanted is not None:
        return f"{done}/{wanted}"
    parallel = _read("spec.parallelism", 0, job)
    return f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def _duration(job: Object) -> str:
    status = job.get("status") or {}
    if not status.get("startTime"):
        return ""
    if not status.get("completionTime"):
        return age(status["startTime"])
    start, end = (
        datetime.datetime.fromisoformat(status[k]) for k in ("startTime", "completionTime")
    )
    return span((end - start).total_seconds())


def _last_schedule(job: Object) -> str:
    when = _read("status.lastScheduleTime", None, job)
    return age(when) if when else _NONE


# services


def _external(service: Object) -> str:
    spec = service.get("spec") or {}
    given = list(spec.get("externalIPs") or ())
    match spec.get("type"):
        case "LoadBalancer":
            points = _read("status.loadBalancer.ingress", [], service)
            found = [p.get("ip") or p.get("hostname", "") for p in points] + given
            return ",".join(found) if found else "<pending>"
        case "ExternalName":
            return str(spec.get("externalName", ""))
    return ",".join(given) or _NONE


def _ports(service: Object) -> str:
    found = []
    for port in (service.get("spec") or {}).get("ports") or ():
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        found.append(f"{port['port']}{node}/{port.get('protocol', 'TCP')}")
    return ",".join(found) or _NONE


def _endpoints(obj: Object) -> str:
    found = [
        f"{address['ip']}:{port['port']}"
        for subset in obj.get("subsets") or ()
        for port in subset.get("ports") or ()
        for address in subset.get("addresses") or ()
    ]
    return _few(found)


def _few(values: Sequence[str], most: int = 3) -> str:
    if not values:
        return _NONE
    more = f" + {len(values) - most} more..." if len(values) > most else ""
    return ",".join(values[:most]) + more


def _slice_addresses(obj: Object) -> str:
    return _few([a for e in obj.get("endpoints") or () for a in e.get("addresses") or ()])


def _slice_ports(obj: Object) -> str:
    return _few([str(p.get("port", "*")) for p in obj.get("ports") or ()])


def _hosts(ingress: Object) -> str:
    hosts = [r["host"] for r in (ingress.get("spec") or {}).get("rules") or () if r.get("host")]
    return _few(hosts) if hosts else "*"


def _ingress_address(ingress: Object) -> str:
    points = _read("status.loadBalancer.ingress", [], ingress)
    return ",".join(p.get("ip") or p.get("hostname", "") for p in points)


def _ingress_ports(ingress: Object) -> str:
    return "80, 443" if (ingress.get("spec") or {}).get("tls") else "80"


# nodes and events


def _node_status(node: Object) -> str:
    conditions = (node.get("status") or {}).get("conditions") or ()
    known = [c for c in conditions if c["type"] == "Ready"]
    word = "Unknown"
    if known:
        word = "Ready" if known[0]["status"] == "True" else "NotReady"
    unschedulable = (node.get("spec") or {}).get("unschedulable")
    return f"{word},SchedulingDisabled" if unschedulable else word


def _roles(node: Object) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = node["metadata"].get("labels") or {}
    found = sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))
    return ",".join(filter(None, found)) or _NONE


def _address(kind: str, node: Object) -> str:
    addresses = (node.get("status") or {}).get("addresses") or ()
    return next((a["address"] for a in addresses if a["type"] == kind), _NONE)


def _event_object(event: Object) -> str:
    involved = event.get("involvedObject") or event.get("regarding") or {}
    return f"{involved.get('kind', '').lower()}/{involved.get('name', '')}"


def _seen(fields: Sequence[str], event: Object) -> str:
    series = (event.get("series") or {}).get("lastObservedTime")
    times = [series] if series and fields[0] == "lastTimestamp" else []
    times += [event[field] for field in (*fields, "eventTime") if event.get(field)]
    return age(times[0] if times else None)


def _event_source(event: Object) -> str:
    source = event.get("source") or {}
    component = source.get("component") or event.get("reportingComponent", "")
    return f"{component}, {source['host']}" if source.get("host") else str(component)


# volumes and access

_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _modes(path: str, obj: Object) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in _read(path, [], obj))


def _claim(volume: Object) -> str:
    claim = (volume.get("spec") or {}).get("claimRef") or {}
    return f"{claim['namespace']}/{claim['name']}" if claim else ""


def _terminating(word: str, obj: Object) -> str:
    gone = obj["metadata"].get("deletionTimestamp")
    return "Terminating" if gone else str(_read("status.phase", word, obj))


def _subjects(kind: str, binding: Object) -> str:
    found = [s for s in binding.get("subjects") or () if s["kind"] == kind]
    return ",".join(
        f"{s.get('namespace', '')}/{s['name']}" if kind == "ServiceAccount" else s["name"]
        for s in found
    )


def _role(binding: Object) -> str:
    return f"{binding['roleRef']['kind']}/{binding['roleRef']['name']}"


def _size(*fields: str) -> Callable[[Object], int]:
    def count(obj: Object) -> int:
        return sum(len(obj.get(field) or ()) for field in fields)

    return count


def _storage_name(obj: Object) -> str:
    default = "storageclass.kubernetes.io/is-default-class"
    annotations = obj["metadata"].get("annotations") or {}
    name = str(obj["metadata"]["name"])
    return f"{name} (default)" if annotations.get(default) == "true" else name


def _api_service(obj: Object) -> str:
    service = (obj.get("spec") or {}).get("service")
    return f"{service['namespace']}/{service['name']}" if service else "Local"


def _available(obj: Object) -> str:
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition["type"] == "Available":
            good = condition["status"] == "True"
            return "True" if good else f"{condition['status']} ({condition.get('reason', '')})"
    return "Unknown"


def _reference(obj: Object) -> str:
    target = _read("spec.scaleTargetRef", {}, obj)
    return f"{target.get('kind', '')}/{target.get('name', '')}"


def _budget(path: str, obj: Object) -> str:
    return str(_read(path, "N/A", obj))


_BINDING = (
    NAME,
    _c("Role", _role),
    AGE,
    _c("Users", partial(_subjects, "User"), wide=True),
    _c("Groups", partial(_subjects, "Group"), wide=True),
    _c("ServiceAccounts", partial(_subjects, "ServiceAccount"), wide=True),
)
_WEBHOOKS = (NAME, _c("Webhooks", _size("webhooks"), "integer"), AGE)
_PLAIN = (NAME, _c("Created At", _created_at, "date"))
_REPLICAS = (
    NAME,
    _c("Desired", "spec.replicas", "integer"),
    _c("Current", "status.replicas", "integer"),
    _c("Ready", "status.readyReplicas", "integer"),
    AGE,
    *_SELECTED,
)

_LAYOUTS: Mapping[str, Sequence[Column]] = {
    "Pod": (
        NAME,
        _c("Ready", podcells.ready),
        _c("Status", podcells.status),
        _c("Restarts", podcells.restarts),
        AGE,
        _c("IP", _at("status.podIP", _NONE), wide=True),
        _c("Node", _at("spec.nodeName", _NONE), wide=True),
        _c("Nominated Node", _at("status.nominatedNodeName", _NONE), wide=True),
        _c("Readiness Gates", lambda _: _NONE, wide=True),
    ),
    "Deployment": (
        NAME,
        _c("Ready", partial(_count, "status.readyReplicas", "spec.replicas")),
        _c("Up-to-date", _at("status.updatedReplicas", 0)),
        _c("Available", _at("status.availableReplicas", 0)),
        AGE,
        *_SELECTED,
    ),
    "ReplicaSet": _REPLICAS,
    "ReplicationController": _REPLICAS,
    "StatefulSet": (
        NAME,
        _c("Ready", partial(_count, "status.readyReplicas", "spec.replicas")),
        AGE,
        *_TEMPLATE,
    ),
    "DaemonSet": (
        NAME,
        _c("Desired", "status.desiredNumberScheduled", "integer"),
        _c("Current", "status.currentNumberScheduled", "integer"),
        _c("Ready", "status.numberReady", "integer"),
        _c("Up-to-date", "status.updatedNumberScheduled", "integer"),
        _c("Available", "status.numberAvailable", "integer"),
        _c("Node Selector", _node_selector),
        AGE,
        *_SELECTED,
    ),
    "Job": (
        NAME,
        _c("Status", _job_status),
        _c("Completions", _completions),
        _c("Duration", _duration),
        AGE,
        *_SELECTED,
    ),
    "CronJob": (
        NAME,
        _c("Schedule", "spec.schedule"),
        _c("Timezone", _at("spec.timeZone", _NONE)),
        _c("Suspend", lambda job: str(bool(_read("spec.suspend", False, job))), "boolean"),
        _c("Active", lambda job: len(_read("status.active", (), job)), "integer"),
        _c("Last Schedule", _last_schedule),
        AGE,
        *_SELECTED,
    ),
    "Service": (
        NAME,
        _c("Type", "spec.type"),
        _c("Cluster-IP", _at("spec.clusterIP", _NONE)),
        _c("External-IP", _external),
        _c("Port(s)", _ports),
        AGE,
        _c("Selector", _selector, wide=True),
    ),
    "Ingress": (
        NAME,
        _c("Class", _at("spec.ingressClassName", _NONE)),
        _c("Hosts", _hosts),
        _c("Address", _ingress_address),
        _c("Ports", _ingress_ports),
        AGE,
    ),
    "IngressClass": (
        NAME,
        _c("Controller", "spec.controller"),
        _c("Parameters", _at("spec.parameters.name", _NONE)),
        AGE,
    ),
    "Endpoints": (NAME, _c("Endpoints", _endpoints), AGE),
    "EndpointSlice": (
        NAME,
        _c("AddressType", "addressType"),
        _c("Ports", _slice_ports),
        _c("Endpoints", _slice_addresses),
        AGE,
    ),
    "Node": (
        NAME,
        _c("Status", _node_status),
        _c("Roles", _roles),
        AGE,
        _c("Version", "status.nodeInfo.kubeletVersion"),
        _c("Internal-IP", partial(_address, "InternalIP"), wide=True),
        _c("External-IP", partial(_address, "ExternalIP"), wide=True),
        _c("OS-Image", _at("status.nodeInfo.osImage", "<unknown>"), wide=True),
        _c("Kernel-Version", _at("status.nodeInfo.kernelVersion", "<unknown>"), wide=True),
        _c(
            "Container-Runtime",
            _at("status.nodeInfo.containerRuntimeVersion", "<unknown>"),
            wide=True,
        ),
    ),
    "Event": (
        _c("Last Seen", partial(_seen, ("lastTimestamp", "firstTimestamp"))),
        _c("Type", "type"),
        _c("Reason", "reason"),
        _c("Object", _event_object),
        _c("Subobject", "involvedObject.fieldPath", wide=True),
        _c("Source", _event_source, wide=True),
        _c("Message", lambda e: str(e.get("message") or e.get("note") or "").strip()),
        _c("First Seen", partial(_seen, ("firstTimestamp",)), wide=True),
        _c("Count", lambda e: str(e.get("count") or 1), wide=True),
        Column("Name", NAME.cell, format="name", description=NAME.description, priority=1),
    ),
    "Namespace": (NAME, _c("Status", "status.phase"), AGE),
    "Secret": (NAME, _c("Type", "type"), _c("Data", _size("data")), AGE),
    "ConfigMap": (NAME, _c("Data", _size("data", "binaryData")), AGE),
    "ServiceAccount": (NAME, _c("Secrets", _size("secrets")), AGE),
    "PersistentVolume": (
        NAME,
        _c("Capacity", "spec.capacity.storage"),
        _c("Access Modes", partial(_modes, "spec.accessModes")),
        _c("Reclaim Policy", "spec.persistentVolumeReclaimPolicy"),
        _c("Status", partial(_terminating, "Pending")),
        _c("Claim", _claim),
        _c("StorageClass", "spec.storageClassName"),
        _c("VolumeAttributesClass", _at("spec.volumeAttributesClassName", "<unset>")),
        _c("Reason", "status.reason"),
        AGE,
        _c("VolumeMode", _at("spec.volumeMode", "<unset>"), wide=True),
    ),
    "PersistentVolumeClaim": (
        NAME,
        _c("Status", partial(_terminating, "Pending")),
        _c("Volume", "spec.volumeName"),
        _c("Capacity", "status.capacity.storage"),
        _c("Access Modes", partial(_modes, "status.accessModes")),
        _c("StorageClass", "spec.storageClassName"),
        _c("VolumeAttributesClass", _at("spec.volumeAttributesClassName", "<unset>")),
        AGE,
        _c("VolumeMode", _at("spec.volumeMode", "<unset>"), wide=True),
    ),
    "StorageClass": (
        Column("Name", _storage_name, format="name", description=NAME.description),
        _c("Provisioner", "provisioner"),
        _c("ReclaimPolicy", _at("reclaimPolicy", "Delete")),
        _c("VolumeBindingMode", _at("volumeBindingMode", "Immediate")),
        _c("AllowVolumeExpansion", _at("allowVolumeExpansion", False)),
        AGE,
    ),
    "PodDisruptionBudget": (
        NAME,
        _c("Min Available", partial(_budget, "spec.minAvailable")),
        _c("Max Unavailable", partial(_budget, "spec.maxUnavailable")),
        _c("Allowed Disruptions", "status.disruptionsAllowed", "integer"),
        AGE,
    ),
    "HorizontalPodAutoscaler": (
        NAME,
        _c("Reference", _reference),
        _c("Targets", lambda _: "<unknown>"),
        _c("MinPods", lambda o: str(_read("spec.minReplicas", "<unset>", o))),
        _c("MaxPods", _at("spec.maxReplicas", 0)),
        _c("Replicas", _at("status.currentReplicas", 0)),
        AGE,
    ),
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
    "MutatingWebhookConfiguration": _WEBHOOKS,
    "ValidatingWebhookConfiguration": _WEBHOOKS,
    "NetworkPolicy": (
        NAME,
        _c("Pod-Selector", lambda o: selector_text(_read("spec.podSelector", {}, o)) or _NONE),
        AGE,
    ),
    "PriorityClass": (
        NAME,
        _c("Value", "value", "integer"),
        _c("Global-Default", _at("globalDefault", False), "boolean"),
        AGE,
        _c("PreemptionPolicy", "preemptionPolicy"),
    ),
    "Lease": (NAME, _c("Holder", "spec.holderIdentity"), AGE),
    "RuntimeClass": (NAME, _c("Handler", "handler"), AGE),
    "APIService": (NAME, _c("Service", _api_service), _c("Available", _available), AGE),
}
