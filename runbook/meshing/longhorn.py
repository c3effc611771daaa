"""Longhorn: its manager and its UI, once it is complete; never what volumes are made of.

Implements "Longhorn" of "Meshing cluster services" of the seed. Errata, from longhorn-manager's
source: the manager listens on the address in ``POD_IP`` alone in every version up to 1.12
(``app/daemon.go``), so ``POD_IP=0.0.0.0`` is needed whenever it is meshed. What 1.5.4 and 1.6.0
fixed (longhorn/longhorn#3809) is another thing: until then the mount propagation of a node was
read off the pod's first container, which is the proxy, and no CSI driver was deployed. The instance
managers ``-e`` and ``-r`` have been one since 1.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from runbook.checks import Context, Outcome
from runbook.helm import Release
from runbook.linkerd.outcomes import Object, few, judge
from runbook.linkerd.pods import has_proxy, name
from runbook.meshing import service
from runbook.meshing.annotate import annotate
from runbook.meshing.asked import injector_asked
from runbook.meshing.decision import INJECT
from runbook.meshing.forecast import Forecast
from runbook.meshing.release import LONGHORN, installed_by_helm, service_release
from runbook.meshing.state import meshed
from runbook.meshing.workloads import Workload
from runbook.patches import Patch, edit

__all__ = [
    "forecast_longhorn",
    "longhorn_data_plane",
    "longhorn_meshed",
    "longhorn_patches",
    "longhorn_there",
    "longhorn_values",
    "manager_version",
]

_MANAGER, _UI = "daemonset/longhorn-manager", "deployment/longhorn-ui"
_CONTAINER, _POD_IP, _ANY = "longhorn-manager", "POD_IP", "0.0.0.0"  # noqa: S104 - of a pod
_WANTED = {INJECT: "enabled"}
FIXED = (1, 5, 4)
"""First version whose CSI driver is deployed although the manager is meshed."""
SEE = "https://github.com/longhorn/longhorn/issues/3809"


def manager_version(context: Context) -> tuple[int, ...]:
    """Give the version of Longhorn by its manager's image, empty if it does not say."""
    found = service.named(context, context.params.longhorn_namespace, (_MANAGER,))
    containers = found[0].template["spec"].get("containers") or [] if found else []
    image = next((str(c.get("image")) for c in containers if c["name"] == _CONTAINER), "")
    return tuple(int(part) for part in re.findall(r"\d+", image.rpartition(":")[2])[:3])


def longhorn_there(context: Context) -> Iterator[Outcome]:
    """Longhorn is there and can be meshed."""
    home = context.params.longhorn_namespace
    yield from service.there(context, "Longhorn", home, (_MANAGER, _UI))
    yield from injector_asked(context, home)
    yield from installed_by_helm(context, LONGHORN, home)
    version = manager_version(context)
    shown = ".".join(map(str, version)) or "unknown"
    yield judge(
        "longhorn-version",
        "its CSI driver does not mind a meshed manager",
        "warn" if version and version < FIXED else "pass",
        expected="1.5.4, or 1.6.0 and newer",
        seen=shown,
        why="an older driver deployer looks at the pod's first container, which is the proxy; what "
        "is deployed already stays, but a driver deployer that starts again cannot deploy it",
        fix="upgrade Longhorn first",
        see=SEE,
    )


def forecast_longhorn(context: Context) -> Forecast:
    """Give the table of every pod of the namespace: which will be meshed, and which never."""
    templates = dict.fromkeys((_MANAGER, _UI), _WANTED)
    found = service.forecast_of(context, context.params.longhorn_namespace, templates)
    return service.table(context, found)


def longhorn_values(context: Context) -> list[Release]:
    """Give the release with the annotations of the manager's pods, with ``mesh_by: values``.

    The chart has no value for the pods of its UI, nor for ``POD_IP``.
    """
    if context.params.mesh_by != "values":
        return []
    values = {"annotations": _WANTED}
    found = service_release(context, LONGHORN, context.params.longhorn_namespace, values)
    return [found] if found else []


def longhorn_patches(context: Context) -> list[Patch]:
    """Give the patches of manager and UI.

    The manager's brings ``POD_IP=0.0.0.0`` and the annotation at once, so that it does not run with
    a proxy in front of an address that nobody listens on. The next ``helm upgrade`` would fail on
    it: Helm puts ``valueFrom`` back beside the value, and a variable may not have both.
    """
    home = context.params.longhorn_namespace
    patches = []
    for one in service.named(context, home, (_MANAGER, _UI)):
        if one.title == _UI:
            patches.append(annotate(one, _WANTED))
        else:
            patches.append(edit(one.obj, _open_to_the_proxy, f"{_POD_IP}={_ANY}"))
    return patches


def longhorn_meshed(context: Context) -> Iterator[Outcome]:
    """Manager and UI are meshed."""
    yield from meshed(context, _meshed_workloads)


def longhorn_data_plane(context: Context) -> Iterator[Outcome]:
    """Nothing that volumes are made of is meshed, now or at its next restart."""
    home = context.params.longhorn_namespace
    pods = list(context.cluster.list("v1", "Pod", home))
    ours = {name(pod) for one in _meshed_workloads(context) for pod in one.pods}
    others = [pod for pod in pods if name(pod) not in ours]
    wrong = [name(pod) for pod in others if has_proxy(pod)]
    live = context.cluster.find("v1", "Namespace", home) or {"metadata": {}}
    asked = (live["metadata"].get("annotations") or {}).get(INJECT, "")
    whole = asked in ("enabled", "ingress")
    instances = sum(_is_instance_manager(pod) for pod in others)
    yield judge(
        "data-plane",
        "engines, replicas and instance managers are outside the mesh",
        not wrong and not whole,
        expected="none meshed, and the namespace not annotated",
        seen=f"the namespace is annotated {INJECT}: {asked}"
        if whole
        else few(wrong) or f"{len(others)} pods outside, {instances} instance managers among them",
        why="each read and write of a volume would go through two proxies",
        fix=f"kubectl annotate namespace {home} {INJECT}-; what is meshed already: restart it when "
        "its volumes are detached",
    )


def _meshed_workloads(context: Context) -> list[Workload]:
    return service.named(context, context.params.longhorn_namespace, (_MANAGER, _UI))


def _is_instance_manager(pod: Object) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return bool(labels.get("longhorn.io/component") == "instance-manager")


def _open_to_the_proxy(obj: Object) -> None:
    """Annotate the manager's template, and let it listen where its proxy passes things on to."""
    template = obj["spec"]["template"]
    notes = template["metadata"].setdefault("annotations", {})
    notes.update(_WANTED)
    for container in template["spec"]["containers"]:
        if container["name"] != _CONTAINER:
            continue
        env: list[Object] = container.setdefault("env", [])
        entry = next((one for one in env if one["name"] == _POD_IP), None)
        if entry is None:
            env.append({"name": _POD_IP, "value": _ANY})
        else:
            entry.pop("valueFrom", None)
            entry["value"] = _ANY
