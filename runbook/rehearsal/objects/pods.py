"""Pods and pod templates: what must hold, and what of a pod may change."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from runbook.rehearsal.objects.formats import quantity_value
from runbook.rehearsal.objects.metadata import check_labels, dns_label, dns_subdomain, one_of
from runbook.rehearsal.objects.validation import Cause, duplicate, forbidden, invalid, required

__all__ = ["check_pod", "check_pod_spec", "check_port"]

Object = Mapping[str, Any]

_ENV_NAME = re.compile(r"[ -<>-~]+")
_RANGE = "must be between 1 and 65535, inclusive"
_PORT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def check_pod(obj: Object, old: Object | None) -> Iterator[Cause]:
    """Check a pod, and its update if there is an old one."""
    spec = obj.get("spec") or {}
    yield from check_pod_spec(spec, "spec")
    if old is not None:
        yield from _check_update(spec, old.get("spec") or {})


_MUTABLE = (
    "spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def _check_update(spec: Object, old: Object) -> Iterator[Cause]:
    if _frozen(spec) != _frozen(old):
        yield forbidden(
            "spec", f"pod updates may not change fields other than `{_MUTABLE}".rstrip("`")
        )


def _frozen(spec: Object) -> Any:
    """Give what of a pod's spec may not change through an update."""
    left = copy.deepcopy(dict(spec))
    for name in ("activeDeadlineSeconds", "tolerations", "ephemeralContainers", "nodeName"):
        left.pop(name, None)
    # The kubelet's resize and the scheduler's gates go through updates too.
    left.pop("schedulingGates", None)
    for key in ("containers", "initContainers"):
        for container in left.get(key) or ():
            container.pop("image", None)
            container.pop("resources", None)
    return left


def check_pod_spec(spec: Object, path: str, *, restart: tuple[str, ...] = ()) -> Iterator[Cause]:
    """Check the spec of a pod or pod template.

    Args:
        spec: The spec with its defaults.
        path: Where it stands.
        restart: Restart policies the owner allows; all if empty.
    """
    volumes = _check_volumes(spec.get("volumes") or (), f"{path}.volumes")
    yield from volumes
    names = {volume.get("name") for volume in spec.get("volumes") or ()}
    containers = spec.get("containers") or []
    if not containers:
        yield required(f"{path}.containers")
    seen: set[str] = set()
    for index, container in enumerate(containers):
        where = f"{path}.containers[{index}]"
        yield from _check_container(container, where, names, seen)
    for index, container in enumerate(spec.get("initContainers") or ()):
        where = f"{path}.initContainers[{index}]"
        yield from _check_container(container, where, names, seen)
        yield from _check_init(container, where)
    policy = spec.get("restartPolicy")
    if not restart:
        yield from one_of(f"{path}.restartPolicy", policy, ("Always", "OnFailure", "Never"))
    yield from one_of(
        f"{path}.dnsPolicy",
        spec.get("dnsPolicy"),
        ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    )
    account = spec.get("serviceAccountName")
    if account:
        yield from _names(dns_subdomain(account), f"{path}.serviceAccountName", account)
    if spec.get("nodeName"):
        yield from _names(dns_subdomain(spec["nodeName"]), f"{path}.nodeName", spec["nodeName"])
    yield from check_labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    yield from _check_tolerations(spec.get("tolerations") or (), f"{path}.tolerations")


def _names(texts: Iterable[str], path: str, value: str) -> Iterator[Cause]:
    return (invalid(path, value, text) for text in texts)


def _check_volumes(volumes: Iterable[Object], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        where = f"{path}[{index}]"
        name = volume.get("name", "")
        if not name:
            yield required(f"{where}.name")
        else:
            yield from _names(dns_label(name), f"{where}.name", name)
            if name in seen:
                yield duplicate(f"{where}.name", name)
        seen.add(name)
        sources = [key for key in volume if key != "name"]
        for extra in sources[1:]:
            yield forbidden(f"{where}.{extra}", "may not specify more than 1 volume type")
        if "configMap" in volume and not volume["configMap"].get("name"):
            yield required(f"{where}.configMap.name")
        if "secret" in volume and not volume["secret"].get("secretName"):
            yield required(f"{where}.secret.secretName")


def _check_container(
    container: Object, path: str, volumes: set[Any], seen: set[str]
) -> Iterator[Cause]:
    name = container.get("name", "")
    if not name:
        yield required(f"{path}.name")
    else:
        yield from _names(dns_label(name), f"{path}.name", name)
        if name in seen:
            yield duplicate(f"{path}.name", name)
        seen.add(name)
    image = container.get("image", "")
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
    yield from one_of(
        f"{path}.imagePullPolicy",
        container.get("imagePullPolicy"),
        ("Always", "IfNotPresent", "Never"),
    )
    yield from _check_ports(container.get("ports") or (), f"{path}.ports")
    yield from _check_env(container.get("env") or (), f"{path}.env")
    yield from _check_mounts(container.get("volumeMounts") or (), f"{path}.volumeMounts", volumes)
    yield from _check_resources(container.get("resources") or {}, f"{path}.resources")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe) is not None:
            yield from _check_probe(container[probe], f"{path}.{probe}")


def _check_init(container: Object, path: str) -> Iterator[Cause]:
    """An init container restarts always (a sidecar) or has no probes."""
    policy = container.get("restartPolicy")
    if policy == "Always":
        return
    for key in ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle"):
        if container.get(key) is not None:
            detail = "may not be set for init containers without restartPolicy=Always"
            yield forbidden(f"{path}.{key}", detail)


def check_port(value: Any, path: str) -> Iterator[Cause]:
    """Check a port number."""
    if not isinstance(value, int) or not 1 <= value <= 65535:
        yield invalid(path, value, _RANGE)


def _check_ports(ports: Iterable[Object], path: str) -> Iterator[Cause]:
    names: set[str] = set()
    for index, port in enumerate(ports):
        where = f"{path}[{index}]"
        name = port.get("name")
        if name:
            yield from check_port_name(name, f"{where}.name")
            if name in names:
                yield duplicate(f"{where}.name", name)
            names.add(name)
        if not port.get("containerPort"):
            yield required(f"{where}.containerPort")
        else:
            yield from check_port(port["containerPort"], f"{where}.containerPort")
        yield from one_of(f"{where}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))


def check_port_name(name: str, path: str) -> Iterator[Cause]:
    """Check the name of a container port (an IANA service name)."""
    if len(name) > 15:
        yield invalid(path, name, "must be no more than 15 characters")
    if not _PORT_NAME.fullmatch(name):
        detail = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
        yield invalid(path, name, detail)
    elif not re.search("[a-z]", name):
        yield invalid(path, name, "must contain at least one letter (a-z)")
    elif "--" in name:
        yield invalid(path, name, "must not contain consecutive hyphens")


def _check_env(env: Iterable[Object], path: str) -> Iterator[Cause]:
    for index, variable in enumerate(env):
        where = f"{path}[{index}]"
        name = variable.get("name", "")
        if not name:
            yield required(f"{where}.name")
        elif not _ENV_NAME.fullmatch(name):
            yield invalid(
                f"{where}.name",
                name,
                "a valid environment variable name must consist only of printable ASCII "
                "characters other than '='",
            )
        source = variable.get("valueFrom")
        if source is None:
            continue
        if variable.get("value"):
            yield invalid(
                f"{where}.valueFrom", "", "may not be specified when `value` is not empty"
            )
        if not source:
            detail = (
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, "
                "`secretKeyRef` or `fileKeyRef`"
            )
            yield invalid(f"{where}.valueFrom", "", detail)
        elif len(source) > 1:
            detail = "may not have more than one field specified at a time"
            yield invalid(f"{where}.valueFrom", "", detail)


def _check_mounts(mounts: Iterable[Object], path: str, volumes: set[Any]) -> Iterator[Cause]:
    places: set[str] = set()
    for index, mount in enumerate(mounts):
        where = f"{path}[{index}]"
        name, place = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield required(f"{where}.name")
        elif name not in volumes:
            yield Cause("FieldValueNotFound", f'Not found: "{name}"', f"{where}.name")
        if not place:
            yield required(f"{where}.mountPath")
        elif place in places:
            yield invalid(f"{where}.mountPath", place, "must be unique")
        places.add(place)


def _check_resources(resources: Object, path: str) -> Iterator[Cause]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for group, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            if quantity_value(str(amount)) < 0:
                detail = "must be greater than or equal to 0"
                yield invalid(f"{path}.{group}[{name}]", str(amount), detail)
    for name, amount in requests.items():
        limit = limits.get(name)
        if limit is not None and quantity_value(str(amount)) > quantity_value(str(limit)):
            detail = f"must be less than or equal to {name} limit of {limit}"
            yield invalid(f"{path}.requests", str(amount), detail)


def _check_probe(probe: Object, path: str) -> Iterator[Cause]:
    handlers = [
        key for key in ("exec", "httpGet", "tcpSocket", "grpc") if probe.get(key) is not None
    ]
    if not handlers:
        yield required(path, "must specify a handler type")
    for extra in handlers[1:]:
        yield forbidden(f"{path}.{extra}", "may not specify more than 1 handler type")
    for kind in ("httpGet", "tcpSocket"):
        if kind in handlers:
            yield from _check_target(probe[kind].get("port", 0), f"{path}.{kind}.port")
    for key in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold"):
        if (probe.get(key) or 0) < 0:
            yield invalid(f"{path}.{key}", probe[key], "must be greater than or equal to 0")


def _check_target(port: Any, path: str) -> Iterator[Cause]:
    if isinstance(port, str):
        yield from check_port_name(port, path)
    else:
        yield from check_port(port, path)


def _check_tolerations(tolerations: Iterable[Object], path: str) -> Iterator[Cause]:
    for index, toleration in enumerate(tolerations):
        where = f"{path}[{index}]"
        operator = toleration.get("operator")
        if not toleration.get("key") and operator != "Exists":
            detail = (
                "operator must be Exists when `key` is empty, which means "
                '"match all values and all keys"'
            )
            yield invalid(f"{where}.operator", operator or "", detail)
        if operator == "Exists" and toleration.get("value"):
            detail = "value must be empty when `operator` is 'Exists'"
            yield invalid(f"{where}.operator", dict(toleration), detail)
        yield from one_of(
            f"{where}.effect",
            toleration.get("effect"),
            ("NoExecute", "NoSchedule", "PreferNoSchedule"),
        )
