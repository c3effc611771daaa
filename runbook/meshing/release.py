"""Changing a service through the Helm release that installed it: same chart, same version.

The owner's own values stay, ours are merged over them, and nothing else changes: the chart is the
one that is installed, from the project's repository.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runbook.checks import Context, Outcome
from runbook.helm import Installed, Release
from runbook.linkerd.outcomes import few, judge
from runbook.params import merge_values

__all__ = [
    "LONGHORN",
    "PROMETHEUS_STACK",
    "TRAEFIK",
    "VELERO",
    "Service",
    "find_release",
    "installed_by_helm",
    "service_release",
]

_FLUX = "helm.toolkit.fluxcd.io/v2"
_OWNER = "owner=helm"  # label of Helm's records


@dataclass(frozen=True)
class Service:
    """A service of the cluster as its project publishes it.

    Attributes:
        title: Its name.
        chart: Name of its Helm chart.
        repository: Address of the project's Helm repository.
    """

    title: str
    chart: str
    repository: str


LONGHORN = Service("Longhorn", "longhorn", "https://charts.longhorn.io")
PROMETHEUS_STACK = Service(
    "kube-prometheus-stack",
    "kube-prometheus-stack",
    "https://prometheus-community.github.io/helm-charts",
)
VELERO = Service("Velero", "velero", "https://vmware-tanzu.github.io/helm-charts")
TRAEFIK = Service("Traefik", "traefik", "https://traefik.github.io/charts")


def find_release(context: Context, service: Service, namespace: str) -> Installed | None:
    """Find the Helm release that installed a service, whatever it is called."""
    records = context.cluster.list("v1", "Secret", namespace, selector=_OWNER)
    names = {str((one["metadata"].get("labels") or {}).get("name", "")) for one in records}
    for name in sorted(names - {""}):
        found = context.helm.release(name, namespace)
        if found is not None and found.chart == service.chart and found.status != "uninstalled":
            return found
    return None


def service_release(
    context: Context, service: Service, namespace: str, values: Mapping[str, Any]
) -> Release | None:
    """Give the release of a service with values merged over its own, ``None`` if there is none.

    Args:
        context: The cluster and the parameters.
        service: Which.
        namespace: Where it is.
        values: What shall be set.
    """
    found = find_release(context, service, namespace)
    if found is None:
        return None
    repository = context.cluster.chart_repository or service.repository
    return Release(
        name=found.name,
        namespace=namespace,
        chart=service.chart,
        version=found.version,
        source=context.params.service_charts or repository,
        values=merge_values(found.values, values),
    )


def installed_by_helm(context: Context, service: Service, namespace: str) -> Iterator[Outcome]:
    """The service can be changed through its Helm release."""
    id_ = f"release-{service.chart}"
    title = f"{service.title} can be changed through its Helm release"
    if context.params.mesh_by == "patch":
        yield judge(id_, title, "skip", seen="mesh_by is patch")
        return
    found = find_release(context, service, namespace)
    fix = "set mesh_by: patch, or service_charts to where its chart is"
    if found is None:
        yield judge(
            id_,
            title,
            False,
            expected=f"a release of chart {service.chart} in {namespace}",
            seen="none",
            why="it was installed in another way: by manifests, or by a tool that renders charts",
            fix=fix,
        )
        return
    owners = [
        one["metadata"]["name"]
        for one in context.cluster.list(_FLUX, "HelmRelease", namespace)
        if (one.get("spec") or {}).get("releaseName", one["metadata"]["name"]) == found.name
    ]
    stuck = found.status != "deployed"
    yield judge(
        id_,
        title,
        "fail" if stuck else "warn" if owners else "pass",
        expected="deployed",
        seen=f"release {found.name}, chart {found.chart} {found.version}, {found.status}"
        + (f", owned by HelmRelease {few(owners)}" if owners else ""),
        why="its last operation was cut short" if stuck else "Flux would take the values back",
        fix=f"helm -n {namespace} history {found.name}" if stuck else "set them in the HelmRelease",
    )
