"""Meshing workloads: annotations of their pod templates, as ``linkerd inject`` sets them.

Implements "Meshing a service with linkerd", explicit, of the seed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from runbook.checks import Context, Outcome
from runbook.fields import words
from runbook.linkerd.outcomes import few, judge
from runbook.meshing.annotate import annotate, annotated
from runbook.meshing.asked import injector_asked, options_known, traffic, wanted_annotations
from runbook.meshing.decision import decide
from runbook.meshing.forecast import Forecast, fates
from runbook.meshing.injector import read_injector
from runbook.meshing.service import badge
from runbook.meshing.state import meshed
from runbook.meshing.workloads import Workload, find_workloads
from runbook.patches import Patch

__all__ = [
    "chosen",
    "forecast_workloads",
    "workload_patches",
    "workloads_chosen",
    "workloads_meshable",
    "workloads_meshed",
]

_PATCHED = ("Deployment", "DaemonSet", "StatefulSet", "CronJob")
_NOTHING = "mesh_namespace is empty"


def chosen(context: Context) -> list[Workload]:
    """Give the workloads that the parameters name: some, or all of the namespace."""
    params = context.params
    if not params.mesh_namespace:
        return []
    every = find_workloads(context.cluster, params.mesh_namespace)
    named = words(params.mesh_workloads)
    return [one for one in every if not named or one.title in named]


def workloads_chosen(context: Context) -> Iterator[Outcome]:
    """The workloads to mesh are there, and their templates are the user's to change."""
    title = "the workloads to mesh are there"
    space = context.params.mesh_namespace
    if not space:
        yield judge("workloads", title, "skip", seen=_NOTHING)
        return
    every = [one.title for one in find_workloads(context.cluster, space)]
    absent = [name for name in words(context.params.mesh_workloads) if name not in every]
    near = [found for name in absent for found in difflib.get_close_matches(name, every, n=1)]
    yield judge(
        "workloads",
        title,
        not absent and bool(every),
        expected=context.params.mesh_workloads or f"any in {space}",
        seen=f"not in {space}: {few(absent)}" if absent else few(every) or "none",
        why="it is in another namespace, or has another name",
        fix="".join(f"did you mean {name}? " for name in near) + f"kubectl -n {space} get all",
    )
    yield from _left_alone(context)


def workloads_meshable(context: Context) -> Iterator[Outcome]:
    """The injector would do what is asked for."""
    yield from injector_asked(context, context.params.mesh_namespace)
    yield from options_known(context)
    if context.params.mesh_inject != "disabled":
        yield from traffic(context, _patched(context))


def forecast_workloads(context: Context) -> Forecast:
    """Give the table of every pod concerned, as it will be."""
    home = context.cluster.find("v1", "Namespace", context.params.mesh_namespace)
    if home is None:
        return Forecast((), badge=badge(context))
    wanted = wanted_annotations(context)
    ours = {one.title for one in _patched(context)}
    future = [annotated(one, wanted) if one.title in ours else one for one in chosen(context)]
    found = list(fates(context, future, home, read_injector(context)))
    return Forecast(found, badge=badge(context))


def workload_patches(context: Context) -> list[Patch]:
    """Give a patch for each pod template, in the order of kinds and names.

    Errata: the seed's ``kubectl patch`` needs ``-n``, and calls a StatefulSet ``stateful``.
    """
    wanted = wanted_annotations(context)
    return [annotate(one, wanted) for one in _patched(context)]


def workloads_meshed(context: Context) -> Iterator[Outcome]:
    """What runs is as it was asked for."""
    if not context.params.mesh_namespace:
        yield judge("proxies", "every pod is as it was asked for", "skip", seen=_NOTHING)
        return
    yield from meshed(context, _patched)


def _patched(context: Context) -> list[Workload]:
    """Give the chosen workloads that can be patched to some effect."""
    spared = _spared(context)
    return [
        one
        for one in chosen(context)
        if one.kind in _PATCHED and not one.owner and one.title not in spared
    ]


def _spared(context: Context) -> dict[str, str]:
    """Give workloads whose pods would be replaced for nothing, or never end, and why.

    ``linkerd inject`` refuses pods on their host's network as well. A CronJob that is named is
    meshed all the same.
    """
    params = context.params
    home = context.cluster.find("v1", "Namespace", params.mesh_namespace)
    if home is None or params.mesh_inject == "disabled":
        return {}
    injector, named = read_injector(context), words(params.mesh_workloads)
    wanted = wanted_annotations(context)
    found = {}
    for one in chosen(context):
        decision = decide(annotated(one, wanted).template, home, injector)
        unasked = "namespace_not_selected" in decision.reasons  # told of by itself
        if one.kind in _PATCHED and not decision.meshed and not unasked:
            found[one.title] = decision.why
        elif one.kind == "CronJob" and decision.mode == "sidecar" and one.title not in named:
            found[one.title] = "it would never end"
    return found


def _left_alone(context: Context) -> Iterator[Outcome]:
    """Tell of workloads that a patch would not help."""
    found, spared = chosen(context), _spared(context)
    operated = [f"{one.title} (of {one.owner})" for one in found if one.owner]
    fixed = [one.title for one in found if one.kind not in _PATCHED and not one.owner]
    parts = [
        *([f"an operator would put back: {few(operated)}"] if operated else []),
        *([f"cannot be changed once made: {few(fixed)}"] if fixed else []),
        *([few(f"{title}: {why}" for title, why in spared.items())] if spared else []),
    ]
    yield judge(
        "left-alone",
        "every one of them can be patched",
        "warn" if parts else "pass",
        expected="Deployments, DaemonSets, StatefulSets, CronJobs of nobody's",
        seen="; ".join(parts) or "all of them",
        why="these are left as they are",
        fix="annotate the operator's own object (41, 42), or the namespace (31); create a Job or a "
        "Pod again with the annotation; for CronJobs see 32, or name them",
    )
