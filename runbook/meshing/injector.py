"""What the proxy injector of a cluster does: which pods it is asked about, and with which values.

Read from the webhook's configuration and from ConfigMap ``linkerd-config``, because both can be
changed by Helm values; without an installed Linkerd, from the table of release lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runbook.checks import Context
from runbook.linkerd.installed import read_config
from runbook.linkerd.outcomes import Object
from runbook.releases import WEBHOOKS, Line
from runbook.selectors import selects

__all__ = ["Injector", "of_line", "read_injector"]

_NAME = "kubernetes.io/metadata.name"  # label every namespace has
_WEBHOOKS_OFF = "config.linkerd.io/admission-webhooks"
_OWN = ("linkerd.io/control-plane-component", "linkerd.io/cni-resource")
_INJECTOR = WEBHOOKS[0]


@dataclass(frozen=True)
class Injector:
    """The injector of one cluster.

    Attributes:
        installed: Whether its webhook is registered.
        version: ``linkerdVersion``, such as ``edge-26.6.3``.
        namespace_selector: The webhook's; it is not asked about pods elsewhere.
        object_selector: The webhook's; it is not asked about other pods.
        token_projection: Whether pods without a service account token can be meshed.
        native: Whether the proxy is a native sidecar unless an annotation says otherwise.
        native_annotations: Annotations that say otherwise; the first one present wins.
        shutdown: Whether a proxy ends on ``POST /shutdown`` unless an annotation says otherwise.
        ignores_failure: Whether a pod is admitted without a proxy when the webhook fails.
        init_sidecars: Whether a sidecar among the init containers counts as a sidecar (from the
            lines with native sidecars on, ``pkg/healthcheck/sidecar.go``).
    """

    installed: bool
    version: str
    namespace_selector: Mapping[str, Any] = field(default_factory=dict)
    object_selector: Mapping[str, Any] = field(default_factory=dict)
    token_projection: bool = True
    native: bool = False
    native_annotations: tuple[str, ...] = ()
    shutdown: bool = False
    ignores_failure: bool = True
    init_sidecars: bool = True

    def selects(self, namespace: Mapping[str, Any]) -> bool:
        """Tell whether the webhook is asked about pods of a namespace."""
        meta = namespace["metadata"]
        labels = {_NAME: meta["name"], **(meta.get("labels") or {})}
        return selects(self.namespace_selector, labels)


def of_line(line: Line) -> Injector:
    """Give the injector as the charts of a line install it (``proxyInjector`` in values.yaml)."""
    rules: list[Object] = [{"key": _WEBHOOKS_OFF, "operator": "NotIn", "values": ["disabled"]}]
    if line.injector_skips:
        rules.append({"key": _NAME, "operator": "NotIn", "values": list(line.injector_skips)})
    own = [{"key": key, "operator": "DoesNotExist"} for key in _OWN]
    return Injector(
        installed=False,
        version=line.app_version,
        namespace_selector={"matchExpressions": rules},
        object_selector={"matchExpressions": own} if line.injector_skips else {},
        token_projection=line.token_projection,
        native=line.native_sidecar,
        native_annotations=line.native_annotations,
        shutdown=line.shutdown_endpoint,
        init_sidecars=bool(line.native_annotations),
    )


def read_injector(context: Context) -> Injector:
    """Read the injector of a cluster; as the line installs it where there is none yet."""
    expected = of_line(context.line)
    webhook = context.cluster.find(
        "admissionregistration.k8s.io/v1", _INJECTOR.kind, _INJECTOR.configuration
    )
    hooks = (webhook or {}).get("webhooks") or []
    if not hooks:
        return expected
    values = read_config(context) or {}
    proxy, identity = values.get("proxy") or {}, values.get("identity") or {}
    return Injector(
        installed=True,
        version=str(values.get("linkerdVersion") or expected.version),
        namespace_selector=hooks[0].get("namespaceSelector") or {},
        object_selector=hooks[0].get("objectSelector") or {},
        token_projection=bool(
            identity.get("serviceAccountTokenProjection", expected.token_projection)
        ),
        native=bool(proxy.get("nativeSidecar", expected.native)),
        native_annotations=expected.native_annotations,
        shutdown=bool(proxy.get("enableShutdownEndpoint", expected.shutdown)),
        ignores_failure=hooks[0].get("failurePolicy", "Fail") == "Ignore",
        init_sidecars=expected.init_sidecars,
    )
