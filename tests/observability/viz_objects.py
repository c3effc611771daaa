"""A Viz in good health, as plain dicts."""

from __future__ import annotations

from typing import Any

from fake_context import (
    VERSION,
    FakeCluster,
    FakeHelm,
    b64,
    conditions,
    context,
    control_plane_objects,
    obj,
    secret,
)
from make_certs import YEAR, issue

from runbook.observability.viz import EXTERNAL
from runbook.observability.viz_checks import COMPONENTS
from runbook.releases import find

URL = "http://prometheus.k3s-monitoring.svc.cluster.local:9090"
TAP = "v1alpha1.tap.linkerd.io"
RBAC = "rbac.authorization.k8s.io/v1"


def pod(component: str, *, proxy: bool = True, version: str = VERSION) -> dict[str, Any]:
    names = [component, *(["linkerd-proxy"] if proxy else [])]
    images = {"linkerd-proxy": f"cr.l5d.io/linkerd/proxy:{version}"}
    return obj(
        "v1",
        "Pod",
        f"{component}-abc",
        "linkerd-viz",
        {"component": component, "linkerd.io/extension": "viz"},
        spec={"containers": [{"name": n, "image": images.get(n, "x:1")} for n in names]},
        status={
            "phase": "Running",
            "containerStatuses": [{"name": n, "ready": True} for n in names],
        },
    )


def serving(service: str) -> tuple[str, dict[str, Any]]:
    """Give a caBundle and the Secret of a server of Viz."""
    name = f"{service}.linkerd-viz.svc"
    one = issue(name, ca=False, dns=(name,), lasts=YEAR)
    return b64(one.pem), secret(
        f"{service}-k8s-tls", "linkerd-viz", tls_crt=one.pem, tls_key=one.key_pem
    )


def objects() -> list[dict[str, Any]]:
    tap, tap_secret = serving("tap")
    injector, injector_secret = serving("tap-injector")
    namespace = obj(
        "v1",
        "Namespace",
        "linkerd-viz",
        labels={
            "linkerd.io/extension": "viz",
            "pod-security.kubernetes.io/enforce": "privileged",
        },
    )
    namespace["metadata"]["annotations"] = {EXTERNAL: URL}
    api = obj("apps/v1", "Deployment", "metrics-api", "linkerd-viz")
    api["spec"] = {
        "template": {
            "spec": {"containers": [{"name": "metrics-api", "args": [f"-prometheus-url={URL}"]}]}
        }
    }
    roles = [f"linkerd-linkerd-viz-{part}" for part in ("metrics-api", "tap", "tap-admin")]
    bindings = [
        f"linkerd-linkerd-viz-{part}" for part in ("metrics-api", "tap", "tap-auth-delegator")
    ]
    return [
        namespace,
        api,
        *(obj("apps/v1", "Deployment", n, "linkerd-viz") for n in COMPONENTS if n != "metrics-api"),
        *(obj("v1", "Service", n, "linkerd-viz") for n in COMPONENTS),
        *(pod(one) for one in COMPONENTS),
        *(obj(RBAC, "ClusterRole", name) for name in (*roles, "linkerd-tap-injector")),
        *(obj(RBAC, "ClusterRoleBinding", name) for name in (*bindings, "linkerd-tap-injector")),
        obj(
            "apiregistration.k8s.io/v1",
            "APIService",
            TAP,
            spec={"caBundle": tap},
            status=conditions(Available="True"),
        ),
        obj(
            "admissionregistration.k8s.io/v1",
            "MutatingWebhookConfiguration",
            "linkerd-tap-injector-webhook-config",
            webhooks=[{"name": "x", "clientConfig": {"caBundle": injector}}],
        ),
        tap_secret,
        injector_secret,
    ]


def well(**params: Any) -> Any:
    """Give a context with Linkerd and Viz, all well."""
    cluster = FakeCluster([*control_plane_objects(find("edge-2.20")), *objects()])
    return context(cluster, FakeHelm(), **({"prometheus_url": URL} | params))
