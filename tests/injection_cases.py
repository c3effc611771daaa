"""What Linkerd's injector makes of pods: cases read off ``pkg/inject`` of linkerd2 at four tags.

Each case has a namespace, a pod and what becomes of it: how the proxy is added, or the reasons why
it is not. Where the lines differ, the outcome is given by line; ``2.11+`` means from then on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]

LINES = ("2.11", "2.14", "2.19", "2.20")

INJECT = "linkerd.io/inject"
NATIVE = "config.linkerd.io/proxy-enable-native-sidecar"
BETA = "config.beta.linkerd.io/proxy-enable-native-sidecar"
ALPHA = "config.alpha.linkerd.io/proxy-enable-native-sidecar"
MESHED = {"2.11+": "sidecar", "2.20+": "native sidecar"}
INGRESS = {"2.11+": "ingress sidecar", "2.20+": "ingress native sidecar"}
SIDECAR, NATIVE_SIDECAR = {"2.11+": "sidecar"}, {"2.11+": "native sidecar"}
ABSENT = {"2.11+": "injection_enable_annotation_absent"}
DISABLED = {"2.11+": "injection_disable_annotation_present"}
HOST = {"2.11+": "host_network_enabled"}
TWICE = {"2.11+": "sidecar_already_exists"}
AT_NAMESPACE = {"2.11+": "invalid_inject_annotation_at_ns"}
AT_WORKLOAD = {"2.11+": "invalid_inject_annotation_at_workload"}
UNASKED = {"2.11+": "namespace_not_selected"}
TOKEN = "disabled_automount_service_account_token_account"
NO_TOKEN = {**MESHED, "2.11": TOKEN}
MOUNT = {"name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}


@dataclass(frozen=True)
class Case:
    """One pod in one namespace.

    Attributes:
        title: What is special about it.
        expected: Outcome by the first line it holds for.
        outer: ``linkerd.io/inject`` of the namespace, or all of its annotations.
        own: The same of the pod.
        spec: What the pod's spec has beside its container.
        container: What its container has beside name and image.
        labels: Of the pod.
        namespace: Name of the namespace.
        namespace_labels: Its labels.
        token: Whether the ServiceAccount admission has mounted a token.
    """

    title: str
    expected: dict[str, str]
    outer: str | dict[str, str] = ""
    own: str | dict[str, str] = ""
    spec: Object = field(default_factory=dict)
    container: Object = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    namespace: str = "shop"
    namespace_labels: dict[str, str] = field(default_factory=dict)
    token: bool = True

    def outcome(self, line: str) -> str:
        """Give what is expected on a line."""
        if line in self.expected:
            return self.expected[line]
        reached = [first for first in LINES if LINES.index(first) <= LINES.index(line)]
        return next(
            self.expected[f"{one}+"] for one in reversed(reached) if f"{one}+" in self.expected
        )

    def home(self) -> Object:
        """Give the namespace."""
        name = {"kubernetes.io/metadata.name": self.namespace}
        return {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": self.namespace,
                "labels": {**name, **self.namespace_labels},
                "annotations": _annotations(self.outer),
            },
        }

    def pod(self) -> Object:
        """Give the pod as the webhook would see it."""
        mounts = {"volumeMounts": [MOUNT]} if self.token else {}
        container = {"name": "web", "image": "web:1", **mounts, **self.container}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "web",
                "namespace": self.namespace,
                "labels": self.labels,
                "annotations": _annotations(self.own),
            },
            "spec": {"containers": [container], **self.spec},
        }


def _annotations(given: str | dict[str, str]) -> dict[str, str]:
    if isinstance(given, dict):
        return dict(given)
    return {INJECT: given} if given else {}


def _container(name: str, image: str = "other:1") -> Object:
    return {"name": name, "image": image}


def _beside(*others: Object) -> Object:
    return {"containers": [{**_container("web"), "volumeMounts": [MOUNT]}, *others]}


CASES = (
    # The truth table of report.go: namespace, then pod.
    Case("nothing anywhere", ABSENT),
    Case("the namespace alone", MESHED, outer="enabled"),
    Case("the pod alone", MESHED, own="enabled"),
    Case("both", MESHED, outer="enabled", own="enabled"),
    Case("the pod against its namespace", DISABLED, outer="enabled", own="disabled"),
    Case("the pod for itself", MESHED, outer="disabled", own="enabled"),
    Case("both against it", ABSENT, outer="disabled", own="disabled"),
    Case("the namespace against it", ABSENT, outer="disabled"),
    Case("the pod against it, the namespace silent", ABSENT, own="disabled"),
    # Ingress mode.
    Case("ingress at the pod", INGRESS, own="ingress"),
    Case("ingress at the namespace", INGRESS, outer="ingress"),
    Case("ingress at the pod of an enabled namespace", INGRESS, outer="enabled", own="ingress"),
    Case("ingress at the pod of a disabled namespace", INGRESS, outer="disabled", own="ingress"),
    Case("enabled in an ingress namespace stays ingress", INGRESS, outer="ingress", own="enabled"),
    Case("disabled in an ingress namespace", DISABLED, outer="ingress", own="disabled"),
    # Values that are none.
    Case("a typing error at the namespace", AT_NAMESPACE, outer="enable"),
    Case("a typing error at the namespace is not mended below", AT_NAMESPACE, "true", "enabled"),
    Case("a typing error at the pod", AT_WORKLOAD, own="Enabled"),
    Case("a typing error at the pod of an enabled namespace", AT_WORKLOAD, "enabled", "yes"),
    Case("an empty value is as none", ABSENT, own={INJECT: ""}),
    Case("an empty value leaves it to the namespace", MESHED, "enabled", {INJECT: ""}),
    # hostNetwork.
    Case("hostNetwork", HOST, outer="enabled", spec={"hostNetwork": True}),
    Case("hostNetwork: false", MESHED, outer="enabled", spec={"hostNetwork": False}),
    Case(
        "hostNetwork and nobody asked",
        {"2.11+": "host_network_enabled injection_enable_annotation_absent"},
        spec={"hostNetwork": True},
    ),
    Case(
        "hostNetwork and disabled",
        {"2.11+": "host_network_enabled injection_disable_annotation_present"},
        outer="enabled",
        own="disabled",
        spec={"hostNetwork": True},
    ),
    Case(
        "hostPort alone is no reason",
        MESHED,
        "enabled",
        container={"ports": [{"containerPort": 80, "hostPort": 80}]},
    ),
    Case(
        "UDP ports are no reason",
        MESHED,
        "enabled",
        container={"ports": [{"containerPort": 53, "protocol": "UDP"}]},
    ),
    # Sidecars that are there.
    Case("Linkerd's proxy", TWICE, "enabled", spec=_beside(_container("linkerd-proxy"))),
    Case(
        "Linkerd's proxy under another name",
        TWICE,
        "enabled",
        spec=_beside(_container("mesh", "cr.l5d.io/linkerd/proxy:edge-26.6.3")),
    ),
    Case("linkerd-init", TWICE, "enabled", spec={"initContainers": [_container("linkerd-init")]}),
    Case(
        "linkerd-init under another name",
        TWICE,
        "enabled",
        spec={"initContainers": [_container("setup", "cr.l5d.io/linkerd/proxy-init:v2.0.0")]},
    ),
    Case(
        "the proxy as a native sidecar, which the oldest lines do not see",
        {"2.11+": "sidecar", "2.19+": "sidecar_already_exists"},
        outer="enabled",
        spec={"initContainers": [{**_container("linkerd-proxy"), "restartPolicy": "Always"}]},
    ),
    Case("Istio's proxy", TWICE, "enabled", spec=_beside(_container("istio-proxy"))),
    Case("istio-init", TWICE, "enabled", spec={"initContainers": [_container("istio-init")]}),
    Case("another init container", MESHED, "enabled", spec={"initContainers": [_container("db")]}),
    Case(
        "a sidecar and nobody asked",
        {"2.11+": "sidecar_already_exists injection_enable_annotation_absent"},
        spec=_beside(_container("linkerd-proxy")),
    ),
    # The token of the ServiceAccount, which 2.11 needs.
    Case("no token is mounted", NO_TOKEN, "enabled", token=False),
    Case(
        "automountServiceAccountToken: false",
        NO_TOKEN,
        "enabled",
        token=False,
        spec={"automountServiceAccountToken": False},
    ),
    Case(
        "automountServiceAccountToken: true",
        MESHED,
        "enabled",
        spec={"automountServiceAccountToken": True},
    ),
    Case(
        "no token and disabled",
        {**DISABLED, "2.11": f"injection_disable_annotation_present {TOKEN}"},
        outer="enabled",
        own="disabled",
        token=False,
        spec={"automountServiceAccountToken": False},
    ),
    # Native sidecars.
    Case("native off", SIDECAR, own={INJECT: "enabled", NATIVE: "false"}),
    Case(
        "native on",
        {"2.11+": "sidecar", "2.20+": "native sidecar"},
        own={INJECT: "enabled", NATIVE: "true"},
    ),
    Case(
        "native on in beta",
        {"2.11+": "sidecar", "2.19+": "native sidecar"},
        own={INJECT: "enabled", BETA: "true"},
    ),
    Case(
        "native on in alpha",
        {"2.11+": "sidecar", "2.19+": "native sidecar"},
        own={INJECT: "enabled", ALPHA: "true"},
    ),
    Case("native off in alpha", SIDECAR, own={INJECT: "enabled", ALPHA: "false"}),
    Case(
        "beta before alpha",
        {"2.11+": "sidecar", "2.19+": "native sidecar"},
        own={INJECT: "enabled", BETA: "true", ALPHA: "false"},
    ),
    Case(
        "no stage before beta",
        {"2.11+": "sidecar"},
        own={INJECT: "enabled", NATIVE: "false", BETA: "false", ALPHA: "false"},
    ),
    Case(
        "no stage wins",
        {"2.11+": "sidecar", "2.20+": "native sidecar", "2.19": "sidecar"},
        own={INJECT: "enabled", NATIVE: "true", BETA: "false", ALPHA: "false"},
    ),
    Case("native off at the namespace", SIDECAR, outer={INJECT: "enabled", NATIVE: "false"}),
    Case(
        "native off at the namespace in alpha", SIDECAR, outer={INJECT: "enabled", ALPHA: "false"}
    ),
    Case(
        "native on at the namespace in beta",
        {"2.11+": "sidecar", "2.19+": "native sidecar"},
        outer={INJECT: "enabled", BETA: "true"},
    ),
    Case(
        "native off at the namespace in beta, which 2.20 forgot",
        MESHED,
        outer={INJECT: "enabled", BETA: "false"},
    ),
    Case(
        "the pod before its namespace",
        SIDECAR,
        outer={INJECT: "enabled", NATIVE: "true"},
        own={NATIVE: "false"},
    ),
    Case("no boolean changes nothing", MESHED, own={INJECT: "enabled", NATIVE: "on"}),
    # Pods that the webhook is never asked about.
    Case("kube-system", {**UNASKED, **{"2.11": "sidecar"}}, "enabled", namespace="kube-system"),
    Case(
        "kube-system, annotated at the pod",
        {**UNASKED, **{"2.11": "ingress sidecar"}},
        own="ingress",
        namespace="kube-system",
    ),
    Case("cert-manager", {**UNASKED, **{"2.11": "sidecar"}}, "enabled", namespace="cert-manager"),
    Case(
        "webhooks are off",
        UNASKED,
        "enabled",
        namespace_labels={"config.linkerd.io/admission-webhooks": "disabled"},
    ),
    Case(
        "webhooks are on by a label",
        MESHED,
        "enabled",
        namespace_labels={"config.linkerd.io/admission-webhooks": "enabled"},
    ),
    Case(
        "a pod of the control plane",
        {"2.11+": "pod_not_selected", **{"2.11": "sidecar"}},
        "enabled",
        labels={"linkerd.io/control-plane-component": "identity"},
    ),
    Case(
        "a pod of the CNI plugin",
        {"2.11+": "pod_not_selected", **{"2.11": "sidecar"}},
        "enabled",
        labels={"linkerd.io/cni-resource": "true"},
    ),
)
