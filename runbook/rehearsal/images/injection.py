"""Whether Linkerd injects its proxy into a pod, why not, and what the patch is.

The rules and the words of the reasons are those of Linkerd's ``pkg/inject``.
"""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from runbook.rehearsal.images import proxyspec
from runbook.rehearsal.images.releases import minor_of

__all__ = ["REASONS", "Injection", "pod_injection", "service_patch"]

Object = dict[str, Any]

_INJECT = "linkerd.io/inject"
_OPAQUE = "config.linkerd.io/opaque-ports"
_ENABLED = ("enabled", "ingress")
_VALID = ("enabled", "disabled", "ingress")
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

REASONS = {
    "host_network_enabled": "hostNetwork is enabled",
    "sidecar_already_exists": "pod has a sidecar injected already",
    "injection_enable_annotation_absent": (
        'neither the namespace nor the pod have the annotation "linkerd.io/inject:enabled"'
    ),
    "injection_disable_annotation_present": 'pod has the annotation "linkerd.io/inject:disabled"',
    "invalid_inject_annotation_at_workload": (
        'invalid value for annotation "linkerd.io/inject" at workload'
    ),
    "invalid_inject_annotation_at_ns": (
        'invalid value for annotation "linkerd.io/inject" at namespace'
    ),
    "disabled_automount_service_account_token_account": (
        'automountServiceAccountToken set to "false", '
        'with Values.identity.serviceAccountTokenProjection set to "false"'
    ),
}
"""Why a pod is not injected: the reason in metrics, and the text in events."""

_TEXT = {
    "config.linkerd.io/proxy-image": ("proxy", "image", "name"),
    "config.linkerd.io/proxy-version": ("proxy", "image", "version"),
    "config.linkerd.io/image-pull-policy": ("proxy", "image", "pullPolicy"),
    "config.linkerd.io/proxy-log-level": ("proxy", "logLevel"),
    "config.linkerd.io/proxy-log-format": ("proxy", "logFormat"),
    "config.linkerd.io/access-log": ("proxy", "accessLog"),
    "config.linkerd.io/opaque-ports": ("proxy", "opaquePorts"),
    "config.linkerd.io/skip-inbound-ports": ("proxyInit", "ignoreInboundPorts"),
    "config.linkerd.io/skip-outbound-ports": ("proxyInit", "ignoreOutboundPorts"),
    "config.linkerd.io/skip-subnets": ("proxyInit", "skipSubnets"),
    "config.linkerd.io/default-inbound-policy": ("proxy", "defaultInboundPolicy"),
    "config.linkerd.io/proxy-require-identity-inbound-ports": (
        "proxy", "requireIdentityOnInboundPorts"),
    "config.linkerd.io/proxy-outbound-connect-timeout": ("proxy", "outboundConnectTimeout"),
    "config.linkerd.io/proxy-inbound-connect-timeout": ("proxy", "inboundConnectTimeout"),
    "config.linkerd.io/shutdown-grace-period": ("proxy", "shutdownGracePeriod"),
    "config.linkerd.io/proxy-cpu-request": ("proxy", "resources", "cpu", "request"),
    "config.linkerd.io/proxy-cpu-limit": ("proxy", "resources", "cpu", "limit"),
    "config.linkerd.io/proxy-memory-request": ("proxy", "resources", "memory", "request"),
    "config.linkerd.io/proxy-memory-limit": ("proxy", "resources", "memory", "limit"),
    "config.alpha.linkerd.io/proxy-wait-before-exit-seconds": ("proxy", "waitBeforeExitSeconds"),
}  # fmt: skip
_NUMBERS = {
    "config.linkerd.io/control-port": ("proxy", "ports", "control"),
    "config.linkerd.io/inbound-port": ("proxy", "ports", "inbound"),
    "config.linkerd.io/admin-port": ("proxy", "ports", "admin"),
    "config.linkerd.io/outbound-port": ("proxy", "ports", "outbound"),
    "config.linkerd.io/proxy-uid": ("proxy", "uid"),
    "config.linkerd.io/proxy-gid": ("proxy", "gid"),
}
_FLAGS = {
    "config.linkerd.io/proxy-await": ("proxy", "await"),
    "config.linkerd.io/proxy-admin-shutdown": ("proxy", "enableShutdownEndpoint"),
    "config.linkerd.io/enable-external-profiles": ("proxy", "enableExternalProfiles"),
}
_NATIVE = (
    ("config.linkerd.io/proxy-enable-native-sidecar", 20),
    ("config.beta.linkerd.io/proxy-enable-native-sidecar", 19),
    ("config.alpha.linkerd.io/proxy-enable-native-sidecar", 15),
)
"""Annotations that decide about native sidecars, and the first minor version that reads each; the
first one present wins."""
_FORGOTTEN = ("config.beta.linkerd.io/proxy-enable-native-sidecar", 20)
"""An annotation that pods take from their namespace before this minor version only."""
_NOT_INHERITED = (
    "config.linkerd.io/enable-gateway",
    "config.linkerd.io/close-wait-timeout",
    "config.linkerd.io/proxy-cpu-ratio-limit",
)
"""Overrides that count on a pod template only, not on a namespace."""
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")
_PROXIES = ("linkerd-proxy", "istio-proxy")
_PROXY_IMAGES = ("cr.l5d.io/linkerd/proxy:", "gcr.io/istio-release/proxyv2:")
_INITS = ("linkerd-init", "istio-init")
_INIT_IMAGES = ("cr.l5d.io/linkerd/proxy-init:", "gcr.io/istio-release/proxy_init:")


@dataclass(frozen=True)
class Injection:
    """What the injector makes of a pod.

    Args:
        reasons: Why the proxy is not added; empty when it is.
        patch: JSON patch, possibly empty.
    """

    reasons: tuple[str, ...] = ()
    patch: list[Object] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Give the reasons in words."""
        return ", ".join(REASONS[reason] for reason in self.reasons)


def pod_injection(
    pod: Object,
    namespace: Object,
    values: Object,
    *,
    anchors: str,
    owner: tuple[str, str],
    control_namespace: str,
    created_by: str,
) -> Injection:
    """Decide about a pod and build the patch.

    Args:
        pod: The pod under admission.
        namespace: Its namespace object.
        values: The control plane's values.
        anchors: Trust anchors as mounted, PEM.
        owner: Kind and name of the workload the pod belongs to.
        control_namespace: Namespace of the control plane.
        created_by: Version the patch is marked with.
    """
    notes = pod["metadata"].get("annotations") or {}
    outer = namespace["metadata"].get("annotations") or {}
    line = minor_of(created_by)
    reasons = _refusals(pod, notes, outer, values, line)
    if reasons:
        opaque = _opaque(pod, notes, outer, values)
        patch = _annotate(pod, {_OPAQUE: opaque}) if opaque and _OPAQUE not in notes else []
        return Injection(tuple(reasons), patch)
    inherited = {
        key: value
        for key, value in outer.items()
        if key.startswith(("config.linkerd.io/", "config.alpha.linkerd.io/", _FORGOTTEN[0]))
        and key not in notes
        and key not in _NOT_INHERITED
        and (key != _FORGOTTEN[0] or line < _FORGOTTEN[1])
    }
    effective = _overridden(values, {**inherited, **notes}, outer, notes)
    _choose_native(effective, {**inherited, **notes}, line)
    effective["proxy"]["podInboundPorts"] = _inbound_ports(pod)
    extra = {"linkerd.io/created-by": f"linkerd/proxy-injector {created_by}", **inherited}
    version = effective["proxy"]["image"].get("version") or effective.get("linkerdVersion")
    extra["linkerd.io/proxy-version"] = str(version)
    if proxyspec.projected(values):
        extra["linkerd.io/trust-root-sha256"] = hashlib.sha256(anchors.encode()).hexdigest()
    else:
        extra["linkerd.io/identity-mode"] = "default"
    if _OPAQUE not in notes and _OPAQUE not in extra:
        opaque = _opaque(pod, notes, outer, values)
        if opaque:
            extra[_OPAQUE] = opaque
    labels = _labels(owner, pod["metadata"].get("namespace", ""), control_namespace)
    patch = _annotate(pod, extra) + _label(pod, labels)
    return Injection((), patch + _containers(pod, effective, anchors, control_namespace))


def service_patch(service: Object, namespace: Object, values: Object) -> list[Object]:
    """Give the patch that marks the opaque ports of a Service, if it has any."""
    notes = service["metadata"].get("annotations") or {}
    outer = namespace["metadata"].get("annotations") or {}
    if _OPAQUE in notes:
        return []
    opaque = outer.get(_OPAQUE)
    if opaque is None:
        known = _known_opaque(values)
        found = []
        for port in service["spec"].get("ports") or []:
            target = port.get("targetPort") or port["port"]
            if isinstance(target, int) and str(target) in known:
                found.append(str(port["port"]))
        opaque = ",".join(found)
    return _annotate(service, {_OPAQUE: opaque}) if opaque else []


def _refusals(pod: Object, notes: Object, outer: Object, values: Object, line: int) -> list[str]:
    spec = pod["spec"]
    reasons = []
    if spec.get("hostNetwork"):
        reasons.append("host_network_enabled")
    if _has_sidecar(spec, line):
        reasons.append("sidecar_already_exists")
    reason = _annotation_refusal(outer.get(_INJECT, ""), notes.get(_INJECT, ""))
    if reason:
        reasons.append(reason)
    if not proxyspec.projected(values) and _account(pod) is None:
        reasons.append("disabled_automount_service_account_token_account")
    return reasons


def _has_sidecar(spec: Object, line: int) -> bool:
    """Tell whether a pod has a sidecar; before 2.15 one among the init containers is not seen."""
    inits = spec.get("initContainers") or []
    proxies = [*spec["containers"], *(inits if line >= 15 else [])]
    return any(_is(one, _PROXIES, _PROXY_IMAGES) for one in proxies) or any(
        _is(one, _INITS, _INIT_IMAGES) for one in inits
    )


def _is(container: Object, names: tuple[str, ...], images: tuple[str, ...]) -> bool:
    return container["name"] in names or str(container.get("image", "")).startswith(images)


def _choose_native(values: Object, notes: Object, line: int) -> None:
    """Apply the annotation about native sidecars that counts on a line, if it is a boolean."""
    for key, since in _NATIVE:
        if line >= since and key in notes:
            if notes[key] in (*_TRUE, *_FALSE):
                values["proxy"]["nativeSidecar"] = notes[key] in _TRUE
            return


def _annotation_refusal(outer: str, own: str) -> str:
    if outer and outer not in _VALID:
        return "invalid_inject_annotation_at_ns"
    if own and own not in _VALID:
        return "invalid_inject_annotation_at_workload"
    if outer in _ENABLED:
        return "injection_disable_annotation_present" if own == "disabled" else ""
    return "" if own in _ENABLED else "injection_enable_annotation_absent"


def _account(pod: Object) -> Object | None:
    for mount in pod["spec"]["containers"][0].get("volumeMounts") or []:
        if mount["mountPath"] == _ACCOUNT:
            found: Object = mount
            return found
    return None


def _overridden(values: Object, notes: Object, outer: Object, own: Object) -> Object:
    result = copy.deepcopy(values)
    result.setdefault("proxyInit", {})
    for key, path in _TEXT.items():
        if key in notes:
            _put(result, path, notes[key])
    for key, path in _NUMBERS.items():
        if str(notes.get(key, "")).isdigit():
            _put(result, path, int(notes[key]))
    for key, path in _FLAGS.items():
        if key in notes:
            _put(result, path, notes[key] in ("true", "enabled"))
    if "ingress" in (own.get(_INJECT), outer.get(_INJECT)):
        result["proxy"]["isIngress"] = True
    additional = "config.linkerd.io/proxy-additional-env"
    merged = {entry["name"]: entry for entry in result["proxy"].get("additionalEnv") or []}
    for layer in (outer, own):
        try:
            merged.update({e["name"]: e for e in json.loads(layer.get(additional) or "[]")})
        except (ValueError, TypeError, KeyError):
            continue
    result["proxy"]["additionalEnv"] = list(merged.values())
    return result


def _put(values: Object, path: tuple[str, ...], value: object) -> None:
    for part in path[:-1]:
        if not isinstance(values.get(part), dict):
            values[part] = {}
        values = values[part]
    values[path[-1]] = value


def _containers(pod: Object, values: Object, anchors: str, namespace: str) -> list[Object]:
    spec = pod["spec"]
    account = _account(pod)
    native = proxyspec.native(values)
    patch: list[Object] = []
    if not spec.get("volumes"):
        patch.append(_add("/spec/volumes", []))
    if not spec.get("initContainers"):
        patch.append(_add("/spec/initContainers", []))
    place = 0
    if not values.get("cniEnabled"):
        volume = {"emptyDir": {}, "name": "linkerd-proxy-init-xtables-lock"}
        patch.append(_add("/spec/volumes/-", volume))
        where = "0" if native else "-"
        init = proxyspec.init_container(values, account)
        patch.append(_add(f"/spec/initContainers/{where}", init))
        place = 1
    memory = {"name": "linkerd-identity-end-entity", "emptyDir": {"medium": "Memory"}}
    patch.append(_add("/spec/volumes/-", memory))
    if proxyspec.projected(values):
        patch.append(_add("/spec/volumes/-", proxyspec.token_volume()))
    proxy = proxyspec.proxy_container(values, anchors, namespace, account)
    if native:
        patch.append(_add(f"/spec/initContainers/{place}", proxy))
    else:
        first = values["proxy"].get("await", True)
        patch.append(_add(f"/spec/containers/{'0' if first else '-'}", proxy))
    return patch


def _labels(owner: tuple[str, str], namespace: str, control_namespace: str) -> dict[str, str]:
    kind, name = owner
    labels = {"linkerd.io/control-plane-ns": control_namespace, "linkerd.io/workload-ns": namespace}
    known = ("deployment", "replicationcontroller", "replicaset", "job", "daemonset", "statefulset")
    if kind.lower() in known:
        labels[f"linkerd.io/proxy-{kind.lower()}"] = name
    return labels


def _known_opaque(values: Object) -> set[str]:
    result: set[str] = set()
    for part in str(values["proxy"].get("opaquePorts") or "").split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            result.update(str(port) for port in range(int(first), int(last or first) + 1))
    return result


def _opaque(pod: Object, notes: Object, outer: Object, values: Object) -> str:
    if _OPAQUE in outer and _OPAQUE not in notes:
        return str(outer[_OPAQUE])
    known = _known_opaque(values)
    containers = [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
    ports = [str(p["containerPort"]) for c in containers for p in c.get("ports") or []]
    return ",".join(port for port in ports if port in known)


def _inbound_ports(pod: Object) -> str:
    ports: set[int] = set()
    for container in [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]:
        ports.update(port["containerPort"] for port in container.get("ports") or [])
        for probe in ("readinessProbe", "livenessProbe"):
            port = ((container.get(probe) or {}).get("httpGet") or {}).get("port")
            if isinstance(port, int):
                ports.add(port)
    return ",".join(sorted(map(str, ports)))


def _annotate(obj: Object, notes: dict[str, str]) -> list[Object]:
    return _metadata(obj, "annotations", notes)


def _label(obj: Object, labels: dict[str, str]) -> list[Object]:
    return _metadata(obj, "labels", labels)


def _metadata(obj: Object, name: str, entries: dict[str, str]) -> list[Object]:
    patch = [] if obj["metadata"].get(name) else [_add(f"/metadata/{name}", {})]
    for key, value in sorted(entries.items()):
        escaped = key.replace("~", "~0").replace("/", "~1")
        patch.append(_add(f"/metadata/{name}/{escaped}", value))
    return patch


def _add(path: str, value: object) -> Object:
    return {"op": "add", "path": path, "value": value}
