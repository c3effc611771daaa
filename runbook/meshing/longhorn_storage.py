"""Whether Longhorn's storage is complete and healthy: its managers, its CSI driver, its nodes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from runbook.checks import Context, Outcome
from runbook.linkerd.outcomes import Object, condition, few, judge
from runbook.meshing.service import named
from runbook.readiness import readiness

__all__ = ["longhorn_complete", "longhorn_healthy"]

_DRIVER = "driver.longhorn.io"
_SIDECARS = ("csi-attacher", "csi-provisioner", "csi-resizer", "csi-snapshotter")
_PLUGIN, _MANAGER = "daemonset/longhorn-csi-plugin", "daemonset/longhorn-manager"
_DEPLOYER = "deployment/longhorn-driver-deployer"
_TURN = 2.0  # seconds between two looks
_STEADY = 3  # looks in a row that must be well: a plugin notices only when it next asks
SEE = "https://longhorn.io/docs/"


def longhorn_complete(context: Context) -> Iterator[Outcome]:
    """Longhorn is complete: only then may it be meshed."""
    yield from _storage(context, "Longhorn is complete", "complete")


def longhorn_healthy(
    context: Context, *, pause: Callable[[float], None] = time.sleep
) -> Iterator[Outcome]:
    """Storage is still healthy.

    In the mode ``apply`` it is given the parameter ``timeout`` to become so, and must stay so for a
    few looks.
    """
    title = "storage is healthy"
    left = int(context.params.timeout / _TURN) if context.params.mode == "apply" else 0
    well = 0
    while left > 0 and well < _STEADY:
        well = well + 1 if not _problems(context) else 0
        left -= 1
        pause(_TURN if left and well < _STEADY else 0)
    yield from _storage(context, title, "healthy")


def _storage(context: Context, title: str, id_: str) -> Iterator[Outcome]:
    found = _problems(context)
    csi = any("CSI" in one for one in found)
    early = csi and _is_annotated(context)
    yield judge(
        f"longhorn-{id_}",
        title,
        not found,
        expected="managers, driver deployer, CSI driver and nodes ready",
        seen=few(found) or "managers, driver deployer, CSI driver and nodes are",
        why="its manager was meshed before the CSI driver was deployed: the driver deployer cannot "
        "reach it, or takes the proxy's mounts for the manager's"
        if early
        else "it is still starting, or it was not well before",
        fix="take it out of the mesh: kubectl -n "
        f"{context.params.longhorn_namespace} patch daemonset longhorn-manager --type=json -p "
        """'[{"op":"remove","path":"/spec/template/metadata/annotations/linkerd.io~1inject"}]'"""
        ", wait for the CSI driver, then run this notebook"
        if early
        else f"kubectl -n {context.params.longhorn_namespace} get pods",
        see="https://github.com/longhorn/longhorn/issues/3809" if early else SEE,
    )


def _problems(context: Context) -> list[str]:
    """Give what is not as it should be, in words."""
    return [*_driver(context), *_workloads(context), *_nodes(context)]


def _workloads(context: Context) -> Iterator[str]:
    home = context.params.longhorn_namespace
    wanted = (_MANAGER, _DEPLOYER, _PLUGIN, *(f"deployment/{name}" for name in _SIDECARS))
    found = {one.title: one for one in named(context, home, wanted)}
    for title in wanted:
        kind = "CSI: " if "csi" in title else ""
        if title not in found:
            yield f"{kind}{title} is missing"
            continue
        obj = dict(found[title].obj)
        rule = readiness("apps/v1", obj["kind"])
        if not rule.met(obj):
            yield f"{kind}{title}: {rule.seen(obj)}"


def _driver(context: Context) -> Iterator[str]:
    cluster = context.cluster
    if cluster.find("storage.k8s.io/v1", "CSIDriver", _DRIVER) is None:
        yield f"CSI: CSIDriver {_DRIVER} is missing"
        return
    managers = named(context, context.params.longhorn_namespace, (_MANAGER,))
    nodes = {str(pod["spec"].get("nodeName")) for one in managers for pod in one.pods}
    having = {
        str(one["metadata"]["name"])
        for one in cluster.list("storage.k8s.io/v1", "CSINode")
        if any(d["name"] == _DRIVER for d in (one.get("spec") or {}).get("drivers") or [])
    }
    if lost := sorted(nodes - having - {"None"}):
        yield f"CSI: nodes without the driver: {few(lost)}"


def _nodes(context: Context) -> Iterator[str]:
    home = context.params.longhorn_namespace
    for one in context.cluster.list("longhorn.io/v1beta2", "Node", home):
        found = condition(one, "Ready")
        if found.get("status") != "True":
            reason = found.get("reason") or "unknown"
            yield f"Longhorn node {one['metadata']['name']} is not ready: {reason}"


def _is_annotated(context: Context) -> bool:
    home = context.params.longhorn_namespace
    found = named(context, home, (_MANAGER,))
    notes: Object = found[0].template["metadata"].get("annotations") or {} if found else {}
    live = context.cluster.find("v1", "Namespace", home) or {"metadata": {}}
    outer = live["metadata"].get("annotations") or {}
    return "enabled" in (notes.get("linkerd.io/inject"), outer.get("linkerd.io/inject"))
