"""Rules of single kinds that are neither pods nor workloads."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from runbook.rehearsal.objects.metadata import (
    check_labels,
    dns_1035,
    dns_label,
    dns_subdomain,
    one_of,
)
from runbook.rehearsal.objects.pods import check_port, check_port_name
from runbook.rehearsal.objects.validation import (
    Cause,
    duplicate,
    forbidden,
    invalid,
    required,
)

__all__ = [
    "autoscaler",
    "config_map",
    "disruption_budget",
    "ingress",
    "namespace",
    "node",
    "secret",
    "service",
    "volume_claim",
]

Object = Mapping[str, Any]

_IMMUTABLE = "field is immutable"
_IMMUTABLE_SET = "field is immutable when `immutable` is set"
_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
    "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_SIZE_LIMIT = 1024 * 1024


def namespace(obj: Object, old: Object | None) -> Iterator[Cause]:
    """Check a Namespace: its name label is the server's."""
    if old is None:
        return
    metadata = obj.get("metadata") or {}
    label = (metadata.get("labels") or {}).get("kubernetes.io/metadata.name")
    if label is not None and label != metadata.get("name"):
        detail = f"must be {metadata.get('name')}"
        yield invalid("metadata.labels[kubernetes.io/metadata.name]", label, detail)


def config_map(obj: Object, old: Object | None) -> Iterator[Cause]:
    """Check a ConfigMap."""
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    for key in data:
        yield from _data_key(key, f"data[{key}]")
        if key in binary:
            yield invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    for key in binary:
        yield from _data_key(key, f"binaryData[{key}]")
    size = sum(len((text or "").encode()) for text in data.values())
    size += sum(len(text or "") * 3 // 4 for text in binary.values())
    if size > _SIZE_LIMIT:
        yield Cause("FieldValueTooLong", f"Too long: may not be more than {_SIZE_LIMIT} bytes", "")
    yield from _frozen(obj, old, ("data", "binaryData"))


def _data_key(key: str, path: str) -> Iterator[Cause]:
    if len(key) > 253:
        yield invalid(path, key, "must be no more than 253 characters")
    if not _KEY.fullmatch(key):
        yield invalid(path, key, _KEY_TEXT)
    elif key == "." or key.startswith(".."):
        yield invalid(path, key, "must not be '.'" if key == "." else "must not start with '..'")


def _frozen(obj: Object, old: Object | None, names: tuple[str, ...]) -> Iterator[Cause]:
    if old is None or not old.get("immutable"):
        return
    if not obj.get("immutable"):
        yield forbidden("immutable", _IMMUTABLE_SET)
    for name in names:
        if (obj.get(name) or {}) != (old.get(name) or {}):
            yield forbidden(name, _IMMUTABLE_SET)


_SECRET_KEYS: Mapping[str, tuple[str, ...]] = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
}


def secret(obj: Object, old: Object | None) -> Iterator[Cause]:
    """Check a Secret; no message shows its data."""
    data = obj.get("data") or {}
    for key in data:
        yield from _data_key(key, f"data[{key}]")
    if sum(len(value or "") * 3 // 4 for value in data.values()) > _SIZE_LIMIT:
        yield Cause(
            "FieldValueTooLong", f"Too long: may not be more than {_SIZE_LIMIT} bytes", "data"
        )
    kind = obj.get("type")
    for key in _SECRET_KEYS.get(kind or "", ()):
        if key not in data:
            yield required(f"data[{key}]")
    if kind == "kubernetes.io/basic-auth" and not data.keys() & {"username", "password"}:
        yield required("data[username]")
        yield required("data[password]")
    yield from _docker(kind, data)
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    account = "kubernetes.io/service-account.name"
    if kind == "kubernetes.io/service-account-token" and not annotations.get(account):
        yield required(f"metadata.annotations[{account}]")
    if old is not None and kind != old.get("type"):
        yield invalid("type", kind, _IMMUTABLE)
    yield from _frozen(obj, old, ("data",))


def _docker(kind: Any, data: Object) -> Iterator[Cause]:
    for key in (".dockercfg", ".dockerconfigjson"):
        if kind == f"kubernetes.io/{key[1:]}" and key in data:
            try:
                json.loads(base64.b64decode(data[key] or ""))
            except ValueError:
                redacted = "<secret contents redacted>"
                yield invalid(f"data[{key}]", redacted, "unexpected end of JSON input")


_SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")


def service(obj: Object, old: Object | None) -> Iterator[Cause]:
    """Check a Service."""
    spec = obj.get("spec") or {}
    kind, ports = spec.get("type"), spec.get("ports") or []
    headless = spec.get("clusterIP") == "None"
    if not ports and not headless and kind != "ExternalName":
        yield required("spec.ports")
    yield from one_of("spec.type", kind, _SERVICE_TYPES)
    yield from one_of("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    if kind == "ExternalName":
        name = spec.get("externalName") or ""
        if not name:
            yield required("spec.externalName")
        for text in dns_subdomain(name.rstrip(".")) if name else ():
            yield invalid("spec.externalName", name, text)
    yield from check_labels(spec.get("selector"), "spec.selector")
    yield from _service_ports(ports, kind)
    address = spec.get("clusterIP")
    if address and address != "None" and not _is_address(address):
        detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        yield invalid("spec.clusterIPs[0]", address, detail)
    yield from _service_update(spec, old)


def _service_ports(ports: list[Object], kind: Any) -> Iterator[Cause]:
    names: set[str] = set()
    pairs: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        name = port.get("name") or ""
        if not name and len(ports) > 1:
            yield required(f"{path}.name")
        elif name:
            for text in dns_label(name):
                yield invalid(f"{path}.name", name, text)
            if name in names:
                yield duplicate(f"{path}.name", name)
            names.add(name)
        yield from check_port(port.get("port", 0), f"{path}.port")
        yield from one_of(f"{path}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))
        target = port.get("targetPort")
        if isinstance(target, str):
            yield from check_port_name(target, f"{path}.targetPort")
        elif target is not None:
            yield from check_port(target, f"{path}.targetPort")
        if port.get("nodePort") and kind == "ClusterIP":
            detail = "may not be used when `type` is 'ClusterIP'"
            yield forbidden(f"{path}.nodePort", detail)
        pair = (port.get("protocol"), port.get("port"))
        if pair in pairs:
            yield duplicate(path, {"port": pair[1], "protocol": pair[0]})
        pairs.add(pair)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _service_update(spec: Object, old: Object | None) -> Iterator[Cause]:
    before = (old or {}).get("spec") or {}
    address = before.get("clusterIP")
    external = "ExternalName" in (spec.get("type"), before.get("type"))
    wanted = spec.get("clusterIP")
    # An update that leaves the address out keeps it.
    if address and wanted and not external and wanted != address:
        yield invalid("spec.clusterIPs[0]", [wanted], "may not change once set")


_ACCESS = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_CLAIM_TEXT = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName "
    "for bound claims"
)


def volume_claim(obj: Object, old: Object | None) -> Iterator[Cause]:
    """Check a PersistentVolumeClaim."""
    spec = obj.get("spec") or {}
    modes = spec.get("accessModes") or []
    if not modes:
        yield required("spec.accessModes", "at least 1 access mode is required")
    for index, mode in enumerate(modes):
        yield from one_of(f"spec.accessModes[{index}]", mode, _ACCESS)
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if storage is None:
        yield required("spec.resources[storage]")
    if old is None:
        return
    before = old.get("spec") or {}
    if _claimed(spec, before) != _claimed(before, before):
        yield forbidden("spec", _CLAIM_TEXT)


def _claimed(spec: Object, before: Object) -> Object:
    """Give what of a claim may not change; the volume may be set once."""
    left = {k: v for k, v in spec.items() if k not in ("resources", "volumeAttributesClassName")}
    if not before.get("volumeName"):
        left.pop("volumeName", None)
    if "storageClassName" not in before:
        left.pop("storageClassName", None)
    return left


def ingress(obj: Object, old: Object | None) -> Iterator[Cause]:
    """Check an Ingress."""
    del old
    spec = obj.get("spec") or {}
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        yield invalid("spec", dict(spec), "either `defaultBackend` or `rules` must be specified")
    for index, rule in enumerate(spec.get("rules") or ()):
        for place, route in enumerate((rule.get("http") or {}).get("paths") or ()):
            path = f"spec.rules[{index}].http.paths[{place}]"
            yield from _route(route, path)


_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")


def _route(route: Object, path: str) -> Iterator[Cause]:
    kind, text = route.get("pathType"), route.get("path") or ""
    if kind is None:
        yield required(f"{path}.pathType", "pathType must be specified")
    else:
        yield from one_of(f"{path}.pathType", kind, _PATH_TYPES)
    if kind in ("Exact", "Prefix") and not text.startswith("/"):
        yield invalid(f"{path}.path", text, "must be an absolute path")
    target = (route.get("backend") or {}).get("service")
    if target is not None:
        for wrong in dns_1035(target.get("name") or ""):
            yield invalid(f"{path}.backend.service.name", target.get("name") or "", wrong)
        port = target.get("port") or {}
        if not port.get("name") and not port.get("number"):
            detail = "port name or number is required"
            yield required(f"{path}.backend.service.port", detail)


def node(obj: Object, old: Object | None) -> Iterator[Cause]:
    """Check the taints of a Node."""
    del old
    for index, taint in enumerate((obj.get("spec") or {}).get("taints") or ()):
        yield from one_of(
            f"spec.taints[{index}].effect",
            taint.get("effect") or "",
            ("NoExecute", "NoSchedule", "PreferNoSchedule"),
        )


def autoscaler(obj: Object, old: Object | None) -> Iterator[Cause]:
    """Check a HorizontalPodAutoscaler."""
    del old
    spec = obj.get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if least is not None and least < 1:
        yield invalid("spec.minReplicas", least, "must be greater than or equal to 1")
    if most < 1:
        yield invalid("spec.maxReplicas", most, "must be greater than 0")
    elif least is not None and most < least:
        yield invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")


def disruption_budget(obj: Object, old: Object | None) -> Iterator[Cause]:
    """Check a PodDisruptionBudget."""
    del old
    spec = obj.get("spec") or {}
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and most is not None:
        yield invalid("spec", dict(spec), "minAvailable and maxUnavailable cannot be both set")
    for name, value in (("minAvailable", least), ("maxUnavailable", most)):
        if isinstance(value, str) and not re.fullmatch(r"[0-9]+%", value):
            detail = (
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. "
                "'1%',  or '93%', regex used for validation is '[0-9]+%')"
            )
            yield invalid(f"spec.{name}", value, detail)
        elif isinstance(value, int) and value < 0:
            yield invalid(f"spec.{name}", value, "must be greater than or equal to 0")
