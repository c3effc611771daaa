"""Meshing Traefik in ingress mode, in the namespace where K3s has it.

Implements "Meshing Traefik", step 1, of the seed. Errata: since 2.12 the injector is not asked
about pods of kube-system, so the annotation alone does nothing; a patch of the Deployment is lost
when K3s installs its Traefik anew, a HelmChartConfig is not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import yaml

from runbook.checks import Context, Outcome
from runbook.errors import RunbookError
from runbook.helm import Release
from runbook.linkerd.install import Planner, control_plane_release
from runbook.linkerd.outcomes import Object, few, judge
from runbook.manifests import injector_selector
from runbook.meshing import service
from runbook.meshing.annotate import annotate, annotated
from runbook.meshing.asked import KUBE_SYSTEM
from runbook.meshing.decision import INJECT
from runbook.meshing.forecast import Forecast, fates
from runbook.meshing.injector import Injector, read_injector
from runbook.meshing.release import TRAEFIK, installed_by_helm, service_release
from runbook.meshing.state import meshed
from runbook.meshing.workloads import Workload, find_workloads
from runbook.params import merge_values
from runbook.patches import Patch, edit

__all__ = [
    "forecast_traefik",
    "injector_release",
    "traefik_changes",
    "traefik_limits",
    "traefik_meshed",
    "traefik_serves",
    "traefik_there",
    "traefik_workloads",
]

_HELM, _NAME = "helm.cattle.io/v1", "traefik"
_SKIP = "config.linkerd.io/skip-outbound-ports"
_API = ("443",)
"""Port of Service kubernetes: what iptables sees before it becomes the endpoint's (#7387)."""
_TURN = 2.0  # seconds between two looks
_LABEL = {"app.kubernetes.io/name": "traefik"}
SEE = "https://linkerd.io/2-edge/tasks/using-ingress/"


def traefik_there(context: Context) -> Iterator[Outcome]:
    """Traefik is there, and the injector will look at it."""
    home = context.params.traefik_namespace
    found = _workloads(context)
    images = [_image(one) for one in found]
    old = [image for image in images if image.rpartition(":")[2].lstrip("v").startswith("1.")]
    yield judge(
        "there-traefik",
        "Traefik is there",
        bool(found) and not old,
        expected=f"Traefik 2 or 3 in {home}",
        seen=few(f"{o.title} {i.rpartition(':')[2]}" for o, i in zip(found, images, strict=True))
        or "none",
        why="Traefik 1 knows no Middlewares" if old else "it is in another namespace, or disabled",
        fix="kubectl get pods -A -l app.kubernetes.io/name=traefik, and set traefik_namespace",
    )
    yield _asked(context, found)
    if not _packaged(context):
        yield from installed_by_helm(context, TRAEFIK, home)


def traefik_limits(context: Context) -> Iterator[Outcome]:
    """Nothing behind Traefik needs what ingress mode cannot carry."""
    cluster = context.cluster
    raw = [
        f"IngressRouteTCP {one['metadata']['namespace']}/{one['metadata']['name']}"
        for group in ("traefik.io/v1alpha1", "traefik.containo.us/v1alpha1")
        for one in cluster.list(group, "IngressRouteTCP")
    ]
    encrypted = [
        f"Service {one['metadata']['namespace']}/{one['metadata']['name']}"
        for one in cluster.list("v1", "Service")
        if (one["metadata"].get("annotations") or {}).get(
            "traefik.ingress.kubernetes.io/service.serversscheme"
        )
        == "https"
    ]
    yield judge(
        "ingress-limits",
        "nothing behind Traefik needs more than HTTP",
        "warn" if raw or encrypted else "pass",
        expected="plain HTTP from Traefik to every backend",
        seen=few([*raw, *encrypted]) or "nothing known to the contrary",
        why="a proxy in ingress mode routes by HTTP headers: other traffic has no way through",
        fix="let those backends speak HTTP, or leave their ports out: skip-outbound-ports",
        see=SEE,
    )


def forecast_traefik(context: Context) -> Forecast:
    """Give the table of Traefik's pods, as they will be."""
    home = context.params.traefik_namespace
    found = _workloads(context)
    live = context.cluster.find("v1", "Namespace", home)
    if live is None:
        return service.table(context, [])
    future = [annotated(one, _wanted(one)) for one in found]
    return service.table(context, list(fates(context, future, live, _injector_to_be(context))))


def injector_release(context: Planner) -> list[Release]:
    """Give the control plane with an injector that looks at kube-system, where it does not."""
    if not context.params.inject_kube_system or not context.line.injector_skips:
        return []
    return [control_plane_release(context)]


def traefik_changes(context: Context) -> list[Object | Patch | Release]:
    """Give what annotates Traefik's pods: K3s' HelmChartConfig, its Helm release, or a patch."""
    found = _workloads(context)
    if context.params.mesh_by == "patch":
        return [annotate(one, _wanted(one), "lost when it is installed anew") for one in found]
    if not found:
        return []
    values = {"deployment": {"podAnnotations": _wanted(found[0])}}
    if not _packaged(context):
        release = service_release(context, TRAEFIK, context.params.traefik_namespace, values)
        return [release] if release else []
    live = context.cluster.find(_HELM, "HelmChartConfig", _NAME, context.params.traefik_namespace)
    if live is None:
        return [_config(context, yaml.safe_dump(values, sort_keys=False))]
    return [_extended(live, values)]


def traefik_workloads(context: Context) -> list[Mapping[str, Any]]:
    """Give Traefik's workloads, to be waited for: K3s changes them when its objects change."""
    return [one.obj for one in _workloads(context)]


def traefik_meshed(
    context: Context, *, pause: Callable[[float], None] = time.sleep
) -> Iterator[Outcome]:
    """Traefik's pods are meshed in ingress mode.

    K3s changes the Deployment in a Job of its own: in the mode ``apply`` it is given the parameter
    ``timeout`` for that.
    """
    home = context.params.traefik_namespace
    left = int(context.params.timeout / _TURN) if context.params.mode == "apply" else 0
    while left and (_silent(context) or not _workloads(context)):
        left -= 1
        pause(_TURN)
    silent = _silent(context)
    yield judge(
        "traefik-annotated",
        "Traefik's pod template asks for ingress mode",
        not silent,
        expected=f"{INJECT}: ingress",
        seen=few(silent) or "it does",
        why="K3s has not installed Traefik with the new values, or could not",
        fix=f"kubectl -n {home} logs job/helm-install-traefik; kubectl -n {home} describe "
        "helmchart traefik",
        see="https://docs.k3s.io/helm",
    )
    yield from meshed(context, _workloads, replaced=not silent)


def _silent(context: Context) -> list[str]:
    """Give the workloads of Traefik whose templates do not ask for ingress mode."""
    return [
        one.title
        for one in _workloads(context)
        if (one.template["metadata"].get("annotations") or {}).get(INJECT) != "ingress"
    ]


def traefik_serves(context: Context) -> Iterator[Outcome]:
    """Traefik still answers."""
    home = context.params.traefik_namespace
    seen, good = "no Service of Traefik with a port web", False
    for one in context.cluster.list(
        "v1", "Service", home, selector="app.kubernetes.io/name=traefik"
    ):
        if not any(port.get("name") == "web" for port in one["spec"].get("ports") or []):
            continue
        try:
            status = context.cluster.page(home, one["metadata"]["name"], "web").status
        except RunbookError as error:
            seen = f"{error.what}: {error.why}"
        else:
            seen, good = f"{status} at port web", status < 500
    yield judge(
        "traefik-serves",
        "Traefik still answers",
        good,
        expected="an answer, 404 without a route",
        seen=seen,
        why="it cannot reach the API server through its proxy, or its pods do not start",
        fix=f"kubectl -n {home} logs -l app.kubernetes.io/name=traefik -c traefik",
        see=SEE,
    )


def _asked(context: Context, found: list[Workload]) -> Outcome:
    """Say whether the annotation would have any effect where Traefik is."""
    home = context.params.traefik_namespace
    live = context.cluster.find("v1", "Namespace", home)
    injector = read_injector(context)
    looks = live is not None and injector.selects(live)
    opens = live is not None and _injector_to_be(context).selects(live)
    idle = [
        one.title for one in found if INJECT in (one.template["metadata"].get("annotations") or {})
    ]
    return judge(
        "traefik-asked",
        "the injector looks at Traefik's pods",
        looks or opens,
        expected=f"its webhook is asked about {home}",
        seen="it does"
        if looks
        else "it will: inject_kube_system is true"
        if opens
        else f"nothing will happen: annotated already, without effect: {few(idle)}"
        if idle
        else "nothing would happen: the webhook leaves this namespace out, without an error",
        why="since 2.12 its namespaceSelector leaves out kube-system and cert-manager",
        fix=KUBE_SYSTEM,
        see=SEE,
    )


def _injector_to_be(context: Context) -> Injector:
    """Give the injector as it will be after :func:`injector_release`."""
    found = read_injector(context)
    if not context.params.inject_kube_system or not context.line.injector_skips:
        return found
    return replace(found, namespace_selector=injector_selector())


def _workloads(context: Context) -> list[Workload]:
    home = context.params.traefik_namespace
    return [
        one
        for one in find_workloads(context.cluster, home, ("Deployment", "DaemonSet"))
        if _LABEL.items() <= (one.obj["metadata"].get("labels") or {}).items()
    ]


def _image(one: Workload) -> str:
    containers = one.template["spec"].get("containers") or []
    return next((str(c.get("image")) for c in containers if "traefik" in str(c.get("image"))), "")


def _packaged(context: Context) -> bool:
    """Tell whether Traefik is the one that K3s packages."""
    home = context.params.traefik_namespace
    return context.cluster.find(_HELM, "HelmChart", _NAME, home) is not None


def _wanted(one: Workload) -> dict[str, str]:
    """Give the annotations of its pods; ports that are skipped already stay so."""
    before = (one.template["metadata"].get("annotations") or {}).get(_SKIP, "")
    return {INJECT: "ingress", _SKIP: _ports(before)}


def _ports(before: str) -> str:
    have = [part.strip() for part in before.split(",") if part.strip()]
    return ",".join([*have, *(port for port in _API if port not in have)])


def _config(context: Context, values: str) -> Object:
    return {
        "apiVersion": _HELM,
        "kind": "HelmChartConfig",
        "metadata": {"name": _NAME, "namespace": context.params.traefik_namespace},
        "spec": {"valuesContent": values},
    }


def _extended(live: Object, values: Mapping[str, Any]) -> Patch:
    """Give the patch that merges values into those a HelmChartConfig has."""
    text = str((live.get("spec") or {}).get("valuesContent") or "")
    before = yaml.safe_load(text) or {}
    merged = merge_values(before, values)
    if merged == before:
        return edit(live, lambda _: None)
    note = "comments in its values are lost" if "#" in text else "its other values stay"

    def change(obj: Object) -> None:
        obj.setdefault("spec", {})["valuesContent"] = yaml.safe_dump(merged, sort_keys=False)

    return edit(live, change, note)
