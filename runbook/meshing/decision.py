"""Whether a pod is meshed when it is created, and if not, why: the rules of Linkerd's injector.

The rules, their order and the names of the reasons are those of ``pkg/inject/report.go`` and
``pkg/healthcheck/sidecar.go`` in linkerd2, read at stable-2.11.5, stable-2.14.10, version-2.19 and
version-2.20. Before them come the selectors of the webhook: it is never asked about pods they leave
out, and nothing anywhere says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from runbook.meshing.injector import Injector
from runbook.selectors import selects

__all__ = [
    "INJECT",
    "REASONS",
    "Decision",
    "Mode",
    "decide",
    "is_native",
]

INJECT = "linkerd.io/inject"
"""Annotation of a namespace or a pod template: ``enabled``, ``disabled`` or ``ingress``."""

Mode = Literal["", "sidecar", "native sidecar"]

_VALID = ("", "enabled", "disabled", "ingress")
_ENABLED = ("enabled", "ingress")
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_NAMES = ("linkerd-proxy", "istio-proxy")
_IMAGES = ("cr.l5d.io/linkerd/proxy:", "gcr.io/istio-release/proxyv2:")
_INIT_NAMES = ("linkerd-init", "istio-init")
_INIT_IMAGES = ("cr.l5d.io/linkerd/proxy-init:", "gcr.io/istio-release/proxy_init:")

_TRUE, _FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")
_BOOLEANS = {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}  # strconv.ParseBool

REASONS: Mapping[str, str] = {
    "no_injector": "Linkerd's injector is not installed",
    "namespace_not_selected": "the webhook is not asked about pods of this namespace",
    "pod_not_selected": "the webhook is not asked about pods of Linkerd itself",
    "host_network_enabled": "hostNetwork is enabled",
    "sidecar_already_exists": "it has a sidecar already",
    "invalid_inject_annotation_at_ns": "the namespace's linkerd.io/inject has no valid value",
    "invalid_inject_annotation_at_workload": "its linkerd.io/inject has no valid value",
    "injection_disable_annotation_present": "it is annotated linkerd.io/inject: disabled",
    "injection_enable_annotation_absent": (
        "neither the namespace nor the pod is annotated linkerd.io/inject: enabled"
    ),
    "disabled_automount_service_account_token_account": (
        "automountServiceAccountToken is false, and this Linkerd needs the pod's token"
    ),
}
"""Why a pod is not meshed, by the injector's own names; the first three are never reported."""


@dataclass(frozen=True)
class Decision:
    """What the injector makes of a pod.

    Attributes:
        reasons: Names from :data:`REASONS`, in the injector's order; empty if it is meshed.
        mode: How the proxy is added, empty if it is not.
        ingress: Whether the proxy runs in ingress mode.
        annotated: ``namespace`` or ``workload``: where the annotation stands that decided.
    """

    reasons: tuple[str, ...] = ()
    mode: Mode = ""
    ingress: bool = False
    annotated: str = ""

    @property
    def meshed(self) -> bool:
        """Whether the pod gets the proxy."""
        return not self.reasons

    @property
    def why(self) -> str:
        """Say in words why not; for a meshed pod, which annotation is the reason."""
        if self.reasons:
            return "; ".join(REASONS[reason] for reason in self.reasons)
        return f"annotated at the {self.annotated}"


def decide(
    pod: Mapping[str, Any],
    namespace: Mapping[str, Any],
    injector: Injector,
    *,
    automounts: bool = True,
) -> Decision:
    """Say what the injector makes of a pod, or of a pod template.

    Args:
        pod: ``metadata`` and ``spec`` as they are before the injector has been at them.
        namespace: Its namespace as it will be then.
        injector: The cluster's injector.
        automounts: Whether its ServiceAccount has its token mounted into pods that do not say.
    """
    unasked = _unasked(pod, namespace, injector)
    if unasked:
        return Decision((unasked,))
    own, outer = _annotation(pod), _annotation(namespace)
    spec = pod["spec"]
    reasons = [
        name
        for name, holds in (
            ("host_network_enabled", bool(spec.get("hostNetwork"))),
            ("sidecar_already_exists", _has_sidecar(spec, injector)),
        )
        if holds
    ]
    if refusal := _refusal(outer, own):
        reasons.append(refusal)
    if not injector.token_projection and not _has_token(spec, automounts):
        reasons.append("disabled_automount_service_account_token_account")
    if reasons:
        return Decision(tuple(reasons))
    return Decision(
        mode="native sidecar" if is_native(pod, namespace, injector) else "sidecar",
        ingress="ingress" in (own, outer),
        annotated="namespace" if outer in _ENABLED else "workload",
    )


def is_native(pod: Mapping[str, Any], namespace: Mapping[str, Any], injector: Injector) -> bool:
    """Tell whether the proxy of a pod would be a native sidecar.

    A namespace's annotation counts as well, but 2.20 forgot its beta form (``ProxyAnnotations`` in
    ``pkg/inject/inject.go``). A value that Go does not take for a boolean changes nothing.
    """
    own = pod["metadata"].get("annotations") or {}
    outer = namespace["metadata"].get("annotations") or {}
    for key in injector.native_annotations:
        forgotten = key.startswith("config.beta.") and key != injector.native_annotations[0]
        value = own.get(key, None if forgotten else outer.get(key))
        if value is not None:
            return _BOOLEANS.get(str(value), injector.native)
    return injector.native


def _unasked(pod: Mapping[str, Any], namespace: Mapping[str, Any], injector: Injector) -> str:
    """Say why the webhook would not be asked at all."""
    if not injector.selects(namespace):
        return "namespace_not_selected"
    if not selects(injector.object_selector, pod["metadata"].get("labels") or {}):
        return "pod_not_selected"
    return ""


def _annotation(obj: Mapping[str, Any]) -> str:
    return str((obj["metadata"].get("annotations") or {}).get(INJECT, ""))


def _refusal(outer: str, own: str) -> str:
    if outer not in _VALID:
        return "invalid_inject_annotation_at_ns"
    if own not in _VALID:
        return "invalid_inject_annotation_at_workload"
    if outer in _ENABLED:
        return "injection_disable_annotation_present" if own == "disabled" else ""
    return "" if own in _ENABLED else "injection_enable_annotation_absent"


def _has_sidecar(spec: Mapping[str, Any], injector: Injector) -> bool:
    containers = list(spec.get("containers") or [])
    inits = list(spec.get("initContainers") or [])
    proxies = containers + inits if injector.init_sidecars else containers
    return any(_is(one, _NAMES, _IMAGES) for one in proxies) or any(
        _is(one, _INIT_NAMES, _INIT_IMAGES) for one in inits
    )


def _is(container: Mapping[str, Any], names: tuple[str, ...], images: tuple[str, ...]) -> bool:
    return container["name"] in names or str(container.get("image", "")).startswith(images)


def _has_token(spec: Mapping[str, Any], automounts: bool) -> bool:
    """Tell whether the first container gets the token, as the injector of 2.11 looks for it."""
    if spec.get("automountServiceAccountToken") is False:
        return False
    first = (spec.get("containers") or [{}])[0]
    mounted = any(one["mountPath"] == _ACCOUNT for one in first.get("volumeMounts") or [])
    return mounted or bool(spec.get("automountServiceAccountToken", automounts))
