"""kube-prometheus-stack: its namespace, and the Jobs of its operator that would hang.

Implements "Prometheus Stack" of "Meshing cluster services" of the seed. Erratum: leaving out the
admission Jobs is not needed where the proxy is a native sidecar (the default since 2.20). What
prometheus-operator makes takes its annotations from the operator's own objects.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from runbook import show
from runbook.checks import Context, Outcome
from runbook.helm import Release
from runbook.linkerd.outcomes import condition, few, judge
from runbook.linkerd.pods import name, ready
from runbook.meshing import service
from runbook.meshing.annotate import namespace_patch
from runbook.meshing.asked import injector_asked
from runbook.meshing.decision import INJECT, is_native
from runbook.meshing.forecast import Fate, Forecast
from runbook.meshing.injector import read_injector
from runbook.meshing.jobs import stuck_pods
from runbook.meshing.release import PROMETHEUS_STACK, installed_by_helm, service_release
from runbook.meshing.restart import restart_table, restarts
from runbook.meshing.state import meshed
from runbook.meshing.workloads import Workload, find_workloads
from runbook.patches import Patch

__all__ = [
    "forecast_stack",
    "operator_not_hung",
    "stack_meshed",
    "stack_namespace",
    "stack_restarts",
    "stack_there",
    "stack_to_restart",
    "stack_values",
]

_WANTED: dict[str, str | None] = {INJECT: "enabled"}
_VALUES: dict[str, Any] = {
    "prometheusOperator": {"admissionWebhooks": {"patch": {"podAnnotations": {INJECT: "disabled"}}}}
}
_TURN = 2.0  # seconds between two looks
_ADMISSION = "-admission-"
SEE = "https://github.com/prometheus-community/helm-charts/issues/479"


def stack_there(context: Context) -> Iterator[Outcome]:
    """The stack is there, and can be meshed without hanging its operator."""
    home = context.params.monitoring_namespace
    operators = [
        one.title
        for one in find_workloads(context.cluster, home, ("Deployment",))
        if _is_operator(one)
    ]
    yield judge(
        "there-stack",
        "prometheus-operator is there",
        bool(operators),
        expected=f"its Deployment in {home}",
        seen=few(operators) or "none",
        why="it is not installed, or in another namespace",
        fix="kubectl get prometheus -A, and set monitoring_namespace",
    )
    yield from injector_asked(context, home)
    if _jobs_hang(context):
        yield from installed_by_helm(context, PROMETHEUS_STACK, home)
        yield _by_patch(context)
    yield from _operator(context)


def forecast_stack(context: Context) -> Forecast:
    """Give the table of every pod of the namespace, as it will be."""
    return service.table(context, _future(context))


def stack_values(context: Context) -> list[Release]:
    """Give the release whose admission Jobs stay outside the mesh, where they would hang."""
    if context.params.mesh_by != "values" or not _jobs_hang(context):
        return []
    home = context.params.monitoring_namespace
    found = service_release(context, PROMETHEUS_STACK, home, _VALUES)
    return [found] if found else []


def stack_namespace(context: Context) -> list[Patch]:
    """Give the patch of the namespace."""
    live = context.cluster.find("v1", "Namespace", context.params.monitoring_namespace)
    return [namespace_patch(live, _WANTED)] if live else []


def stack_to_restart(context: Context) -> show.Table:
    """Give the table of what must be restarted, in its order."""
    return restart_table(context, _future(context))


def stack_restarts(context: Context) -> list[Patch]:
    """Give the patches that restart it, with ``mesh_restart``."""
    return restarts(context, _future(context)) if context.params.mesh_restart else []


def stack_meshed(context: Context) -> Iterator[Outcome]:
    """The stack's pods are meshed, those on the host's network are not."""
    yield from meshed(context, _members, replaced=context.params.mesh_restart)


def operator_not_hung(
    context: Context, *, pause: Callable[[float], None] = time.sleep
) -> Iterator[Outcome]:
    """The operator does its work, and none of its Jobs hangs.

    After restarts, in the mode ``apply``, it is given the parameter ``timeout`` to be available.
    """
    restarted = context.params.mode == "apply" and context.params.mesh_restart
    left = int(context.params.timeout / _TURN) if restarted else 0
    while left and any(one.verdict == "warn" for one in _operator(context)):
        left -= 1
        pause(_TURN)
    yield from _operator(context)


def _operator(context: Context) -> Iterator[Outcome]:
    """Judge the operator's Jobs, itself and its Prometheus as they are now."""
    home = context.params.monitoring_namespace
    hanging = [pod for pod in stuck_pods(context, home) if _ADMISSION in name(pod)]
    yield judge(
        "admission-jobs",
        "no admission Job of the operator hangs",
        not hanging,
        expected="none",
        seen=few(f"{name(pod)} is NotReady: its container has ended, its proxy has not"
                 for pod in hanging) or "none",
        why="it was meshed with a proxy that goes on; helm waits for it, and the operator for the "
        "certificate that it brings",
        fix="run notebook 41, then kubectl -n "
        f"{home} delete job {few(_job(pod) for pod in hanging)}, and helm upgrade once more",
        see=SEE,
    )  # fmt: skip
    operators = [one for one in _members(context) if _is_operator(one)]
    down = [one.title for one in operators if not any(ready(pod) for pod in one.pods)]
    servers = list(context.cluster.list("monitoring.coreos.com/v1", "Prometheus", home))
    lost = [
        f"{one['metadata']['name']}: {condition(one, 'Available').get('message') or 'not yet'}"
        for one in servers
        if condition(one, "Available").get("status") != "True"
    ]
    yield judge(
        "operator",
        "the operator and its Prometheus are available",
        "fail" if down else "warn" if lost else "pass",
        expected="a ready pod; Prometheus objects Available",
        seen=few([*down, *lost]) or f"{few(o.title for o in operators)}, {len(servers)} Prometheus",
        why="it waits for the certificate of its webhook, which the admission Job brings"
        if down
        else "its pods are being replaced, or cannot start",
        fix=f"kubectl -n {home} get pods,jobs; kubectl -n {home} describe prometheus",
        see=SEE,
    )


def _by_patch(context: Context) -> Outcome:
    patching = context.params.mesh_by == "patch"
    return judge(
        "admission-value",
        "the next helm upgrade will not hang",
        "warn" if patching else "pass",
        expected="prometheusOperator.admissionWebhooks.patch.podAnnotations: disabled",
        seen="mesh_by is patch: the Jobs come with each upgrade, and cannot be patched before"
        if patching
        else "set by this notebook",
        why="Helm makes the admission Jobs anew at every upgrade, in a meshed namespace",
        fix="put that value where the release gets its values from",
        see=SEE,
    )


def _jobs_hang(context: Context) -> bool:
    """Tell whether a meshed Job of the namespace would hang."""
    home = {"metadata": {"name": context.params.monitoring_namespace, "annotations": _WANTED}}
    pod: dict[str, Any] = {"metadata": {}, "spec": {}}
    return not is_native(pod, home, read_injector(context))


def _future(context: Context) -> list[Fate]:
    home = context.params.monitoring_namespace
    return service.forecast_of(context, home, {}, _WANTED)


def _members(context: Context) -> Sequence[Workload]:
    return find_workloads(context.cluster, context.params.monitoring_namespace)


def _is_operator(one: Workload) -> bool:
    labels = one.obj["metadata"].get("labels") or {}
    return labels.get("app.kubernetes.io/component") == "prometheus-operator" or (
        one.name == "prometheus-operator"
    )


def _job(pod: dict[str, Any]) -> str:
    owners = pod["metadata"].get("ownerReferences") or []
    return next((str(one["name"]) for one in owners if one["kind"] == "Job"), name(pod))
