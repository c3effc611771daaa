"""Checks of the running control plane (notebook 16): objects, pods, versions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runbook import symptoms
from runbook.checks import Context, Outcome
from runbook.linkerd.existing import Existing, existence
from runbook.linkerd.installed import helm_values, not_yet, read_config, wanted_version
from runbook.linkerd.outcomes import Object, absent, anchor_link, condition, few, judge
from runbook.linkerd.pods import PROXY, has_proxy, image_tag, problem, ready, unschedulable
from runbook.releases import CONTROL_PLANE, WEBHOOKS

__all__ = [
    "control_plane_objects",
    "control_plane_pods",
    "control_plane_versions",
    "extensions",
    "linkerd_config",
    "replicas",
]

NOTEBOOK = "15-control-plane"
_ACCOUNTS = ("linkerd-destination", "linkerd-identity", "linkerd-proxy-injector")
_LABEL = "linkerd.io/control-plane-component"
_MUTATING, _VALIDATING = "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"


def linkerd_config(context: Context) -> Iterator[Outcome]:
    """ConfigMap linkerd-config says what was asked for."""
    title = "ConfigMap linkerd-config says what was asked for"
    linkerd = "'linkerd-config' config map exists"
    namespace = context.params.linkerd_namespace
    config = read_config(context)
    if config is None:
        found = context.cluster.find("v1", "ConfigMap", "linkerd-config", namespace)
        if found is None:
            what = f"ConfigMap {namespace}/linkerd-config"
            yield absent(context, "linkerd-config", title, what, NOTEBOOK, linkerd=linkerd)
            return
        yield judge(
            "linkerd-config",
            title,
            False,
            expected="data.values: the chart's values as YAML",
            seen="it cannot be parsed",
            fix=f"run notebook {NOTEBOOK}",
            see=anchor_link("l5d-existence-linkerd-config"),
            linkerd=linkerd,
        )
        return
    wanted = _wanted_config(context)
    seen = {key: _dig(config, key) for key in wanted}
    wrong = {key: value for key, value in seen.items() if value != wanted[key]}
    yield judge(
        "linkerd-config",
        title,
        not wrong,
        expected=few(f"{key}: {_plain(value)}" for key, value in wanted.items()),
        seen=few(f"{key}: {_plain(value)}" for key, value in (wrong or seen).items()),
        why="the control plane was installed with other values than the parameters give now",
        fix=f"run notebook {NOTEBOOK} to apply them, or correct the parameters",
        see=anchor_link("l5d-existence-linkerd-config"),
        linkerd=linkerd,
    )


def control_plane_objects(context: Context) -> Iterator[Outcome]:
    """The objects of the control plane exist."""
    if told := not_yet(context, "control-plane-objects", "the objects of the control plane exist"):
        yield told
        return
    namespace = context.params.linkerd_namespace
    config = read_config(context) or {}
    heartbeat = [] if config.get("disableHeartBeat") else ["linkerd-heartbeat"]
    roles = [
        f"linkerd-{namespace}-{part}" for part in ("identity", "proxy-injector", "destination")
    ]
    mutating = [w.configuration for w in WEBHOOKS if w.kind == _MUTATING]
    validating = [w.configuration for w in WEBHOOKS if w.kind == _VALIDATING]
    rbac, hooks = "rbac.authorization.k8s.io/v1", "admissionregistration.k8s.io/v1"
    rows = (
        ("ClusterRole", rbac, "", roles, "cr"),
        ("ClusterRoleBinding", rbac, "", roles, "crb"),
        ("ServiceAccount", "v1", namespace, _ACCOUNTS, "sa"),
        (_MUTATING, hooks, "", mutating, "mwc"),
        (_VALIDATING, hooks, "", validating, "vwc"),
    )
    for kind, api_version, where, names, hint in rows:
        yield existence(
            context,
            Existing(
                id=f"exist-{kind.lower()}s",
                title=f"control plane {kind}s exist",
                api_version=api_version,
                kind=kind,
                namespace=where,
                names=names,
                hint=f"l5d-existence-{hint}",
                notebook=NOTEBOOK,
            ),
        )
    if heartbeat:
        yield existence(
            context,
            Existing(
                id="exist-heartbeat",
                title="heartbeat ServiceAccount exist",
                api_version="v1",
                kind="ServiceAccount",
                namespace=namespace,
                names=heartbeat,
                hint="l5d-existence-sa",
                notebook=NOTEBOOK,
            ),
        )


def control_plane_pods(context: Context) -> Iterator[Outcome]:
    """Every control plane pod is ready, its proxy included."""
    if missing := not_yet(context, "control-plane-pods", "every control plane pod is ready"):
        yield missing
        return
    namespace = context.params.linkerd_namespace
    pods = _pods(context)
    running = [pod for pod in pods if (pod.get("status") or {}).get("phase") != "Succeeded"]
    for deployment in CONTROL_PLANE:
        component = deployment.removeprefix("linkerd-")
        yield _component(context, deployment, [p for p in running if _part(p) == component])
    proxies = [pod for pod in running if has_proxy(pod)]
    unwell = [problem(pod) for pod in proxies if not ready(pod)]
    without = [p["metadata"]["name"] for p in running if not has_proxy(p) and _part(p) in _parts()]
    yield judge(
        "control-plane-proxies",
        "control plane proxies are healthy",
        bool(proxies) and not unwell and not without,
        expected="linkerd-proxy ready in every pod",
        seen=few(unwell or [f"{one} has no proxy" for one in without]) or f"{len(proxies)} ready",
        why="a proxy becomes ready when identity has given it a certificate",
        fix=f"kubectl -n {namespace} logs POD -c {PROXY}",
        see=anchor_link("l5d-cp-proxy-healthy"),
        linkerd="control plane proxies are healthy",
    )
    stuck = [f"{p['metadata']['name']}: {told}" for p in pods if (told := unschedulable(p))]
    yield judge(
        "no-unschedulable-pods",
        "no pod of the control plane waits for a node",
        "warn" if stuck else "pass",
        expected="none",
        seen=few(stuck, 2) or "none",
        why="no node has the room or the labels they ask for",
        fix=f"kubectl -n {namespace} describe pod NAME",
        see=anchor_link("l5d-existence-unschedulable-pods"),
        linkerd="no unschedulable pods",
    )
    yield _replica_sets(context)


def control_plane_versions(context: Context) -> Iterator[Outcome]:
    """The control plane and its proxies run the version that was asked for."""
    if told := not_yet(
        context, "control-plane-version", "the control plane is of the wanted version"
    ):
        yield told
        return
    wanted = wanted_version(context)
    running = str((read_config(context) or {}).get("linkerdVersion") or "unknown")
    yield judge(
        "control-plane-version",
        f"the control plane is {wanted}",
        "pass" if running == wanted else "warn",
        expected=wanted,
        seen=running,
        why="another version was installed, or an upgrade has not been run",
        fix=f"run notebook {NOTEBOOK}, or choose the line that is installed",
        see=anchor_link("l5d-version-control"),
        linkerd="control plane is up-to-date",
    )
    tags = {image_tag(pod, PROXY) for pod in _pods(context) if has_proxy(pod)} - {""}
    behind = sorted(tags - {running})
    yield judge(
        "control-plane-proxy-version",
        "control plane proxies are of the control plane's version",
        "warn" if behind else "pass",
        expected=running,
        seen=", ".join(sorted(tags)) or "images without tags",
        why="pods were not restarted after an upgrade",
        fix=f"kubectl -n {context.params.linkerd_namespace} rollout restart deployment",
        see=anchor_link("l5d-cp-proxy-version"),
        linkerd="control plane proxies are up-to-date",
    )


def replicas(context: Context) -> Iterator[Outcome]:
    """With high availability there is more than one replica of each."""
    title = "the control plane has several replicas"
    if not (read_config(context) or {}).get("highAvailability"):
        yield judge("control-plane-replicas", title, "skip", seen="highAvailability is off")
        return
    namespace = context.params.linkerd_namespace
    single = [
        name
        for name in CONTROL_PLANE
        if _available(context.cluster.find("apps/v1", "Deployment", name, namespace)) < 2
    ]
    yield judge(
        "control-plane-replicas",
        title,
        "warn" if single else "pass",
        expected="two or more available of each",
        seen=few(single) or "all",
        why="fewer nodes than replicas, or pods not ready",
        fix="kubectl -n linkerd get pods -o wide",
        see=anchor_link("l5d-control-plane-replicas"),
        linkerd="multiple replicas of control plane pods",
    )


def extensions(context: Context) -> Iterator[Outcome]:
    """No two namespaces claim to be the same extension."""
    label = "linkerd.io/extension"
    found: dict[str, list[str]] = {}
    for namespace in context.cluster.list("v1", "Namespace", selector=label):
        meta = namespace["metadata"]
        found.setdefault(meta["labels"][label], []).append(meta["name"])
    twice = [f"{kind} in {' and '.join(names)}" for kind, names in found.items() if len(names) > 1]
    yield judge(
        "extension-namespaces",
        "no two namespaces claim to be the same extension",
        "warn" if twice else "pass",
        expected=f"each value of {label} once",
        seen=few(twice) or few(found) or "no extensions",
        why="Linkerd's tools take the first namespace they find",
        fix=f"kubectl label namespace NAME {label}-",
        see=anchor_link("l5d-extension-namespaces"),
        linkerd="namespace configuration for extensions",
    )


def _wanted_config(context: Context) -> dict[str, Any]:
    params = context.params
    values = helm_values(context)
    wanted: dict[str, Any] = {
        "identityTrustDomain": params.trust_domain,
        "identity.issuer.scheme": "kubernetes.io/tls",
        "identity.externalCA": False,
    }
    external = _dig(values or {}, "identity.externalCA")
    return wanted | ({"identity.externalCA": external} if external is not None else {})


def _dig(values: dict[str, Any], path: str) -> Any:
    found: Any = values
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _component(context: Context, deployment: str, pods: list[Object]) -> Outcome:
    namespace = context.params.linkerd_namespace
    live = context.cluster.find("apps/v1", "Deployment", deployment, namespace)
    unwell = [_told(context, pod) for pod in pods if not ready(pod)]
    some = any(ready(pod) for pod in pods)
    # One replica that serves is enough for Linkerd; another that does not is worth a warning.
    verdict = "pass" if some and not unwell else "warn" if some else "fail"
    return judge(
        f"ready-{deployment}",
        f"every pod of {deployment} is ready",
        verdict,  # type: ignore[arg-type]
        expected="Running, every container and sidecar ready",
        seen=few(unwell, 2) or (f"{len(pods)} ready" if pods else _why_none(live)),
        why=_pod_reason(deployment, " ".join(unwell)),
        fix=f"kubectl -n {namespace} describe deployment,pod -l {_LABEL}="
        f"{deployment.removeprefix('linkerd-')}",
        see=anchor_link("l5d-api-control-ready"),
        linkerd="control plane pods are ready",
    )


def _told(context: Context, pod: Object) -> str:
    """Say why a pod is not ready, with the last words of a crashing container's log."""
    text = problem(pod)
    logs = (symptom.log for symptom in symptoms.look(context.cluster, "Pod", pod))
    last = next((log.strip().splitlines()[-1].lstrip("| ") for log in logs if log.strip()), "")
    return f"{text}; its log ends: {last}" if last and last not in text else text


def _why_none(deployment: Object | None) -> str:
    if deployment is None:
        return "no such Deployment"
    failing = condition(deployment, "ReplicaFailure")
    return f"no pods: {failing.get('message') or 'none created yet'}"


def _pod_reason(deployment: str, told: str) -> str:
    if "linkerd-init" in told:
        return "iptables could not be set up: kernel modules missing, or the wrong iptablesMode"
    if "trust anchors" in told or "issuer credentials" in told:
        return "the trust anchor given to Helm does not sign the issuer certificate"
    if "cannot be scheduled" in told:
        return "no node has the room or the labels it asks for"
    if "ImagePull" in told:
        return "the node cannot pull the image: no network, a mirror without it, or rate limits"
    if deployment == "linkerd-identity":
        return "identity starts only with a valid issuer Secret and trust roots ConfigMap"
    return "pods wait for identity, and for their webhook's certificate"


def _replica_sets(context: Context) -> Outcome:
    namespace = context.params.linkerd_namespace
    failing = [
        f"{one['metadata']['name']}: {condition(one, 'ReplicaFailure').get('message', '')}"
        for one in context.cluster.list("apps/v1", "ReplicaSet", namespace)
        if condition(one, "ReplicaFailure").get("status") == "True"
    ]
    return judge(
        "control-plane-replica-sets",
        "no replica set fails to create its pods",
        not failing,
        expected="none",
        seen=few(failing, 2) or "none",
        why="quota, Pod Security or an admission webhook refuses the pods",
        fix=f"kubectl -n {namespace} describe replicaset",
        see=anchor_link("l5d-existence-replicasets"),
        linkerd="control plane replica sets are ready",
    )


def _pods(context: Context) -> list[Object]:
    return list(
        context.cluster.list("v1", "Pod", context.params.linkerd_namespace, selector=_LABEL)
    )


def _part(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get(_LABEL, ""))


def _parts() -> tuple[str, ...]:
    return tuple(name.removeprefix("linkerd-") for name in CONTROL_PLANE)


def _available(deployment: Object | None) -> int:
    return int(((deployment or {}).get("status") or {}).get("availableReplicas", 0))
