"""Checks of the running Viz extension: what ``linkerd viz check`` looks at, and more."""

from __future__ import annotations

from collections.abc import Iterator

from runbook.checks import Context, Outcome
from runbook.linkerd.existing import Existing, existence
from runbook.linkerd.namespaces import namespace_outcome
from runbook.linkerd.outcomes import Object, absent, anchor_link, condition, few, judge
from runbook.linkerd.pods import PROXY, has_proxy, image_tag, problem, ready
from runbook.linkerd.serving import Served, served, webhook_bundles
from runbook.monitoring import prometheus_url
from runbook.observability.viz import EXTERNAL, viz_namespace

__all__ = [
    "COMPONENTS",
    "NOTEBOOK",
    "viz_absent",
    "viz_namespace_ready",
    "viz_objects",
    "viz_pods",
    "viz_prometheus",
    "viz_tap",
]

NAMESPACE_NOTEBOOK = "20-viz-namespace"
NOTEBOOK = "21-viz-install"
COMPONENTS = ("metrics-api", "tap", "tap-injector", "web")
"""The Deployments of Viz without its bundled Prometheus and Grafana, the same on every line."""

_TAP_API = "v1alpha1.tap.linkerd.io"


def viz_namespace_ready(context: Context) -> Iterator[Outcome]:
    """The namespace of Viz says that it is one, and which Prometheus it uses."""
    yield namespace_outcome(
        context,
        viz_namespace(context),
        id_="viz-namespace",
        notebook=NAMESPACE_NOTEBOOK,
        linkerd="linkerd-viz Namespace exists",
    )


def viz_absent(context: Context, id_: str, title: str, *, linkerd: str = "") -> Outcome | None:
    """Say that Viz is not installed; ``None`` when it is."""
    namespace = context.params.viz_namespace
    if context.cluster.find("apps/v1", "Deployment", "web", namespace) is not None:
        return None
    what = f"Viz in namespace {namespace}"
    return absent(context, id_, title, what, NOTEBOOK, linkerd=linkerd)


def viz_objects(context: Context) -> Iterator[Outcome]:
    """The cluster-wide objects of Viz exist."""
    title = "the cluster-wide objects of Viz exist"
    if told := viz_absent(context, "viz-objects", title):
        yield told
        return
    prefix = f"linkerd-{context.params.viz_namespace}"
    rows = {
        "ClusterRole": ("cr", ("metrics-api", "tap", "tap-admin")),
        "ClusterRoleBinding": ("crb", ("metrics-api", "tap", "tap-auth-delegator")),
    }
    for kind, (hint, parts) in rows.items():
        yield existence(
            context,
            Existing(
                id=f"viz-{kind.lower()}s",
                title=f"linkerd-viz {kind}s exist",
                api_version="rbac.authorization.k8s.io/v1",
                kind=kind,
                namespace="",
                names=(*(f"{prefix}-{part}" for part in parts), "linkerd-tap-injector"),
                hint=f"l5d-viz-{hint}-exists",
                notebook=NOTEBOOK,
            ),
        )


def viz_pods(context: Context) -> Iterator[Outcome]:
    """Every pod of Viz is ready, with a proxy of the control plane's version."""
    title = "every pod of Viz is ready"
    if told := viz_absent(context, "viz-pods", title, linkerd="viz extension pods are running"):
        yield told
        return
    namespace = context.params.viz_namespace
    pods = [p for p in context.cluster.list("v1", "Pod", namespace) if not _ended(p)]
    for component in COMPONENTS:
        yield _component(context, component, [p for p in pods if _part(p) == component])
    yield from _proxies(context, [p for p in pods if _part(p) in COMPONENTS])


def viz_tap(context: Context) -> Iterator[Outcome]:
    """The API server reaches the tap API and the tap injector, and trusts them."""
    title = "tap API server has valid cert"
    if told := viz_absent(context, "viz-tap", title, linkerd=title):
        yield told
        return
    namespace = context.params.viz_namespace
    api = context.cluster.find("apiregistration.k8s.io/v1", "APIService", _TAP_API)
    bundles = None if api is None else [str(api["spec"].get("caBundle", ""))]
    registration = f"APIService {_TAP_API}"
    yield from served(context, _server("tap", "tap API server", registration, namespace), bundles)
    configuration = "linkerd-tap-injector-webhook-config"
    kind = "MutatingWebhookConfiguration"
    hooks = context.cluster.find("admissionregistration.k8s.io/v1", kind, configuration)
    yield from served(
        context,
        _server(
            "tap-injector",
            "tap-injector webhook",
            f"{kind} {configuration}",
            namespace,
            checked=False,
        ),
        webhook_bundles(hooks),
    )
    if api is not None:
        yield _available(api)


def viz_prometheus(context: Context) -> Iterator[Outcome]:
    """Viz asks the Prometheus it should ask."""
    title = "Viz asks the Prometheus that scrapes Linkerd"
    linkerd = "prometheus is installed and configured correctly"
    if told := viz_absent(context, "viz-prometheus", title, linkerd=linkerd):
        yield told
        return
    namespace = context.params.viz_namespace
    wanted = prometheus_url(context)
    deployment = context.cluster.find("apps/v1", "Deployment", "metrics-api", namespace)
    asked = _argument(deployment, "metrics-api", "prometheus-url")
    live = context.cluster.find("v1", "Namespace", namespace) or {"metadata": {}}
    noted = str((live["metadata"].get("annotations") or {}).get(EXTERNAL, ""))
    yield judge(
        "viz-prometheus",
        title,
        asked == wanted == noted,
        expected=wanted or "an address of Prometheus",
        seen=asked if asked == noted else f"metrics-api asks {asked}; {EXTERNAL}: {noted}",
        why="the address has changed since, and a Helm upgrade does not change the annotation",
        fix=f"run notebooks {NAMESPACE_NOTEBOOK} and {NOTEBOOK}",
        see=anchor_link("l5d-viz-prometheus"),
        linkerd=linkerd,
    )


def _component(context: Context, component: str, pods: list[Object]) -> Outcome:
    namespace = context.params.viz_namespace
    unwell = [told for pod in pods if (told := problem(pod))]
    some = any(ready(pod) for pod in pods)
    return judge(
        f"viz-ready-{component}",
        f"every pod of {component} is ready",
        "pass" if some and not unwell else "warn" if some else "fail",
        expected="Running, every container and sidecar ready",
        seen=few(unwell, 2) or (f"{len(pods)} ready" if pods else "no pods"),
        why="it may still be starting, or its image cannot be pulled",
        fix=f"kubectl -n {namespace} describe deployment,pod -l component={component}",
        see=anchor_link("l5d-viz-pods-running"),
        linkerd="viz extension pods are running",
    )


def _proxies(context: Context, pods: list[Object]) -> Iterator[Outcome]:
    namespace = context.params.viz_namespace
    bare = [p["metadata"]["name"] for p in pods if not has_proxy(p)]
    yield judge(
        "viz-injected",
        "the pods of Viz are meshed",
        "warn" if bare or not pods else "pass",
        expected="linkerd-proxy in each: metrics-api answers meshed clients only",
        seen=f"without a proxy: {few(bare)}" if bare else f"{len(pods)} meshed",
        why="they started while the injector did not answer, or injection is off here",
        fix=f"kubectl -n {namespace} rollout restart deployment",
        see=anchor_link("l5d-viz-pods-injection"),
        linkerd="linkerd-viz pods are injected",
    )
    tags = {image_tag(pod, PROXY) for pod in pods if has_proxy(pod)} - {""}
    control = {
        image_tag(pod, PROXY)
        for pod in context.cluster.list("v1", "Pod", context.params.linkerd_namespace)
        if has_proxy(pod)
    } - {""}
    behind = sorted(tags - control) if control else []
    yield judge(
        "viz-proxy-version",
        "the proxies of Viz are of the control plane's version",
        "warn" if behind else "pass",
        expected=few(sorted(control)) or "that of the control plane",
        seen=few(sorted(tags)) or "images without tags",
        why="the pods were not restarted after an upgrade",
        fix=f"kubectl -n {namespace} rollout restart deployment",
        see=anchor_link("l5d-viz-proxy-cp-version"),
        linkerd="viz extension proxies are up-to-date",
    )


def _server(
    service: str, subject: str, registration: str, namespace: str, *, checked: bool = True
) -> Served:
    return Served(
        id=f"viz-{service}",
        subject=subject,
        title=f"{subject} has valid cert",
        registration=registration,
        secret=f"{service}-k8s-tls",
        namespace=namespace,
        service=service,
        notebook=NOTEBOOK,
        checked=checked,
    )


def _available(api: Object) -> Outcome:
    found = condition(api, "Available")
    return judge(
        "viz-tap-available",
        "tap API service is running",
        "pass" if found.get("status") == "True" else "warn",
        expected=f"APIService {_TAP_API} available",
        seen=str(found.get("message") or found.get("reason") or "no condition yet"),
        why="the API server cannot reach the tap pods, or does not trust them; only tap needs them",
        fix=f"kubectl describe apiservice {_TAP_API}",
        see=anchor_link("l5d-tap-api"),
        linkerd="tap API service is running",
    )


def _argument(deployment: Object | None, container: str, flag: str) -> str:
    """Give the value of ``-flag=value`` among a container's arguments, empty without it."""
    template = ((deployment or {}).get("spec") or {}).get("template") or {}
    for one in (template.get("spec") or {}).get("containers") or []:
        for word in one.get("args") or [] if one["name"] == container else []:
            name, _, value = word.lstrip("-").partition("=")
            if name == flag:
                return str(value)
    return ""


def _part(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get("component", ""))


def _ended(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
