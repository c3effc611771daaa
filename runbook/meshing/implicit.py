"""Meshing a namespace: its annotation, what it means for each pod, and restarting what runs.

Implements "Meshing a service with linkerd", implicit, of the seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runbook import show
from runbook.checks import Context, Outcome
from runbook.linkerd.outcomes import few, judge
from runbook.meshing.annotate import annotated_namespace, namespace_patch
from runbook.meshing.asked import injector_asked, options_known, traffic, wanted_annotations
from runbook.meshing.forecast import Fate, Forecast, fates
from runbook.meshing.injector import read_injector
from runbook.meshing.restart import restart_table, restarts
from runbook.meshing.service import badge
from runbook.meshing.state import meshed
from runbook.meshing.workloads import Workload, find_workloads
from runbook.patches import Patch

__all__ = [
    "forecast_namespace",
    "namespace_fates",
    "namespace_meshable",
    "namespace_meshed",
    "namespace_patches",
    "namespace_restarts",
    "namespace_to_restart",
]


def namespace_meshable(context: Context) -> Iterator[Outcome]:
    """The injector would do what is asked for."""
    space = context.params.mesh_namespace
    yield from injector_asked(context, space)
    yield from options_known(context, at_namespace=True)
    if space and context.params.mesh_inject != "disabled":
        found = find_workloads(context.cluster, space)
        yield from traffic(context, found)
        yield _ingress_for_all(context)
        yield _jobs(context)


def forecast_namespace(context: Context) -> Forecast:
    """Give the table of every pod of the namespace, as it will be."""
    return Forecast(_future(context), badge=badge(context))


def namespace_patches(context: Context) -> list[Patch]:
    """Give the patch of the namespace; none without ``mesh_namespace``."""
    home = context.cluster.find("v1", "Namespace", context.params.mesh_namespace)
    return [namespace_patch(home, wanted_annotations(context))] if home else []


def namespace_to_restart(context: Context) -> show.Table:
    """Give the table of what must be restarted, in its order."""
    return restart_table(context, _future(context))


def namespace_restarts(context: Context) -> list[Patch]:
    """Give the patches that restart it, with ``mesh_restart``."""
    return restarts(context, _future(context)) if context.params.mesh_restart else []


def namespace_meshed(context: Context) -> Iterator[Outcome]:
    """What runs is as it was asked for."""
    if not context.params.mesh_namespace:
        title = "every pod is as it was asked for"
        yield judge("proxies", title, "skip", seen="mesh_namespace is empty")
        return
    yield from meshed(context, _members, replaced=context.params.mesh_restart)


def namespace_fates(context: Context, namespace: str, wanted: dict[str, str | None]) -> list[Fate]:
    """Say what is to become of every pod of a namespace that is annotated.

    Args:
        context: The cluster.
        namespace: Which.
        wanted: Its annotations to be.
    """
    home = context.cluster.find("v1", "Namespace", namespace)
    if home is None:
        return []
    found = find_workloads(context.cluster, namespace)
    return list(fates(context, found, annotated_namespace(home, wanted), read_injector(context)))


def _jobs(context: Context) -> Outcome:
    """Warn of Jobs whose pods would not come to their end."""
    endless = dict.fromkeys(
        fate.workload.title
        for fate in _future(context)
        if fate.workload.kind in ("Job", "CronJob") and fate.decision.mode == "sidecar"
    )
    return judge(
        "namespace-jobs",
        "every Job of it comes to its end",
        "warn" if endless else "pass",
        expected="no Jobs, or native sidecars",
        seen=f"would never end: {few(endless)}" if endless else "they do",
        why="the proxy goes on when their own container has ended",
        fix="run notebook 32 afterwards, before their next run",
        see="https://linkerd.io/2-edge/features/proxy-injection/",
    )


def _future(context: Context) -> list[Fate]:
    wanted: dict[str, str | None] = {**wanted_annotations(context)}
    return namespace_fates(context, context.params.mesh_namespace, wanted)


def _members(context: Context) -> Sequence[Workload]:
    return find_workloads(context.cluster, context.params.mesh_namespace)


def _ingress_for_all(context: Context) -> Outcome:
    """Warn of ingress mode for a whole namespace."""
    every = context.params.mesh_inject == "ingress"
    found = find_workloads(context.cluster, context.params.mesh_namespace) if every else []
    return judge(
        "ingress-mode",
        "only ingress controllers run in ingress mode",
        "warn" if every else "pass",
        expected="set at the ingress controller's own template",
        seen=few(one.title for one in found) if every else context.params.mesh_inject,
        why="each pod of the namespace would carry HTTP only, and route by l5d-dst-override",
        fix="annotate the ingress controller alone, with notebook 30 or 50",
        see="https://linkerd.io/2-edge/tasks/using-ingress/",
    )
