"""Restarting what runs as it was before: one by one, what keeps data last, operators asked first.

``kubectl rollout restart`` sets an annotation on a pod template; so do these patches. A workload
that an operator made is not touched: prometheus-operator and ECK put their StatefulSets back, and
ECK's pods are replaced by ECK alone (``updateStrategy: OnDelete``). There the annotation goes into
the operator's own object, which hands it on to the pods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runbook import show
from runbook.checks import Context
from runbook.linkerd.outcomes import Object
from runbook.linkerd.pods import name
from runbook.meshing.annotate import annotate
from runbook.meshing.forecast import Fate
from runbook.meshing.service import badge
from runbook.meshing.workloads import Workload
from runbook.patches import Patch, edit

__all__ = ["RESTARTED", "restart_table", "restarts", "stale"]

RESTARTED = "kubectl.kubernetes.io/restartedAt"
"""Annotation by which ``kubectl rollout restart`` makes a template another one."""

_ORDER = ("Deployment", "DaemonSet", "StatefulSet")
_PARTS: Mapping[str, tuple[str, Callable[[Object], Sequence[Object]]]] = {
    "Prometheus": ("monitoring.coreos.com/v1", lambda spec: [_below(spec, "podMetadata")]),
    "Alertmanager": ("monitoring.coreos.com/v1", lambda spec: [_below(spec, "podMetadata")]),
    "Elasticsearch": (
        "elasticsearch.k8s.elastic.co/v1",
        lambda spec: [_below(one, "podTemplate", "metadata") for one in spec["nodeSets"]],
    ),
    "Kibana": (
        "kibana.k8s.elastic.co/v1",
        lambda spec: [_below(spec, "podTemplate", "metadata")],
    ),
}
"""Objects of operators: their API version, and the metadata that they give to their pods."""


def stale(found: Sequence[Fate]) -> list[Workload]:
    """Give the workloads with pods that are not as the next one would be, in restarting order.

    Deployments come first, then DaemonSets, then StatefulSets, which keep data.
    """
    wanted = {
        (one.workload.namespace, one.workload.title): one.workload
        for one in found
        if not one.current and not one.over and not _goes(one)
    }
    return sorted(wanted.values(), key=lambda one: (_rank(one.kind), one.namespace, one.name))


def restarts(context: Context, found: Sequence[Fate]) -> list[Patch]:
    """Give the patches that replace pods which are not as they should be.

    Args:
        context: The cluster; objects of operators are read from it.
        found: What is to become of the pods.
    """
    at = context.cluster.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    patches: dict[tuple[str, str, str], Patch] = {}
    for one in stale(found):
        patch = _restart(context, one, at)
        if patch is not None:
            patches.setdefault((patch.kind, patch.namespace, patch.name), patch)
    return list(patches.values())


def restart_table(context: Context, found: Sequence[Fate]) -> show.Table:
    """Give the table of what must be restarted, in its order, with the command of each."""
    rows = []
    for number, one in enumerate(stale(found), start=1):
        pods = sum(not f.current and f.workload.title == one.title for f in found)
        rows.append((str(number), one.namespace, one.title, str(pods), show.Cell(_how(one))))
    return show.Table(
        title=f"To restart: {len(rows)}" if rows else "To restart: nothing",
        columns=("", "namespace", "workload", "pods", "how"),
        rows=rows,
        badge=badge(context),
        note="" if not rows or context.params.mesh_restart else "mesh_restart: true does it",
    )


def _restart(context: Context, one: Workload, at: str) -> Patch | None:
    kind, _, owner = one.owner.partition("/")
    if not kind:
        return annotate(one, {RESTARTED: at}) if one.kind in _ORDER else None
    if kind not in _PARTS:
        return None
    version, parts = _PARTS[kind]
    live = context.cluster.find(version, kind, owner, one.namespace)
    if live is None:
        return None

    def change(obj: Object) -> None:
        for part in parts(obj["spec"]):
            part["annotations"] = {**(part.get("annotations") or {}), RESTARTED: at}

    return edit(live, change, note=f"its operator then replaces the pods of {one.title}")


def _below(obj: Object, *keys: str) -> Object:
    for key in keys:
        obj = obj.setdefault(key, {})
    return obj


def _how(one: Workload) -> str:
    kind = one.owner.partition("/")[0]
    scope = f"kubectl -n {one.namespace}"
    if kind in _PARTS:
        return f"through {one.owner}: its operator replaces the pods"
    if kind:
        return f"by {one.owner}, which made it"
    if one.kind in _ORDER:
        return f"{scope} rollout restart {one.title}"
    if one.kind == "Pod":
        return "nobody would make it again: by you"
    if one.kind == "Job":
        return f"{scope} delete {one.title}, by you"
    return "with its next run" if one.kind == "CronJob" else f"by {one.title}, which made it"


def _rank(kind: str) -> int:
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)


def _goes(one: Fate) -> bool:
    """Tell whether a pod is being deleted already."""
    pods: Sequence[Mapping[str, Any]] = one.workload.pods
    return any(
        name(dict(pod)) == one.pod and pod["metadata"].get("deletionTimestamp") for pod in pods
    )
