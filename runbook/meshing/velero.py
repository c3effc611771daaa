"""Velero: its Deployment and the agents on the nodes.

Implements "Velero" of "Meshing cluster services" of the seed. Erratum: the DaemonSet ``restic`` is
called ``node-agent`` since Velero 1.10; the chart's ``podAnnotations`` covers both.
"""

from __future__ import annotations

from collections.abc import Iterator

from runbook.checks import Context, Outcome
from runbook.helm import Release
from runbook.linkerd.outcomes import few, judge
from runbook.meshing import service
from runbook.meshing.annotate import annotate
from runbook.meshing.asked import injector_asked
from runbook.meshing.decision import INJECT
from runbook.meshing.forecast import Forecast
from runbook.meshing.release import VELERO, installed_by_helm, service_release
from runbook.meshing.state import meshed
from runbook.meshing.workloads import Workload
from runbook.patches import Patch

__all__ = ["forecast_velero", "velero_changes", "velero_meshed", "velero_there", "velero_works"]

_WORKLOADS = ("deployment/velero", "daemonset/node-agent", "daemonset/restic")
_WANTED = {INJECT: "enabled"}


def velero_there(context: Context) -> Iterator[Outcome]:
    """Velero is there and can be meshed."""
    home = context.params.velero_namespace
    yield from service.there(context, "Velero", home, _WORKLOADS)
    yield from injector_asked(context, home)
    yield from installed_by_helm(context, VELERO, home)


def forecast_velero(context: Context) -> Forecast:
    """Give the table of every pod of Velero's namespace, as it will be."""
    templates = dict.fromkeys(_WORKLOADS, _WANTED)
    found = service.forecast_of(context, context.params.velero_namespace, templates)
    return service.table(context, found)


def velero_changes(context: Context) -> list[Release | Patch]:
    """Give the release with ``podAnnotations``, or a patch of each workload."""
    if context.params.mesh_by == "values":
        values = {"podAnnotations": _WANTED}
        found = service_release(context, VELERO, context.params.velero_namespace, values)
        return [found] if found else []
    return [annotate(one, _WANTED) for one in _workloads(context)]


def velero_meshed(context: Context) -> Iterator[Outcome]:
    """Velero's pods are meshed."""
    yield from meshed(context, _workloads)


def velero_works(context: Context) -> Iterator[Outcome]:
    """Velero reaches where it keeps its backups."""
    home = context.params.velero_namespace
    places = list(context.cluster.list("velero.io/v1", "BackupStorageLocation", home))
    lost = [
        f"{one['metadata']['name']}: {(one.get('status') or {}).get('phase', 'unknown')}"
        for one in places
        if (one.get("status") or {}).get("phase") != "Available"
    ]
    yield judge(
        "velero-storage",
        "Velero reaches where it keeps its backups",
        "skip" if not places else "warn" if lost else "pass",
        expected="every BackupStorageLocation Available",
        seen=few(lost) or (f"{len(places)} Available" if places else "no BackupStorageLocation"),
        why="the object store may be reached at a port whose server speaks first, or not at all",
        fix=f"kubectl -n {home} describe backupstoragelocation; skip-outbound-ports of that port",
    )


def _workloads(context: Context) -> list[Workload]:
    return service.named(context, context.params.velero_namespace, _WORKLOADS)
