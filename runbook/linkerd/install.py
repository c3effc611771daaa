"""What the notebooks create: the root CA (10) and the Helm releases of Linkerd (14, 15)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, cast

from runbook import manifests, monitoring, releases
from runbook.checks import Context, Outcome
from runbook.helm import Release
from runbook.linkerd.gateway import wants_gateway_api
from runbook.linkerd.identity import TrustAnchor, read_trust_anchor
from runbook.linkerd.material import secret_reader
from runbook.linkerd.outcomes import Object, judge
from runbook.releases import Chart
from runbook.secrets import Redactor, resolve_all

__all__ = [
    "Planner",
    "chart_outcome",
    "chart_source",
    "charts",
    "control_plane_release",
    "crds_release",
    "own_values",
    "release_of",
    "root_ca",
]

PENDING = (
    "-----BEGIN CERTIFICATE-----\n(not there yet: notebook 12 creates it)\n"
    "-----END CERTIFICATE-----"
)
"""What plan mode shows in place of a trust anchor that does not exist yet."""


class Planner(Context, Protocol):
    """A context that also keeps secrets out of what it shows, as a step does."""

    redactor: Redactor


def chart_source(context: Context) -> str:
    """Give where the charts are: the parameter, the rehearsal's repository, or the line's."""
    if context.params.chart_source:
        return context.params.chart_source
    return context.cluster.chart_repository or context.line.repository


def charts(context: Context) -> Iterator[Outcome]:
    """The charts of the line are to be had and accept this Kubernetes."""
    for chart in releases.charts(context.line, context.params.chart_version):
        yield chart_outcome(context, chart)


def chart_outcome(context: Context, chart: Chart) -> Outcome:
    """Judge whether a chart is to be had and accepts this Kubernetes.

    Raises:
        HelmError: It is not to be had.
    """
    have = releases.parse_version(context.cluster.version)
    info = context.helm.info(chart.name, chart.version, chart_source(context))
    lowest = re.match(r"[>=^~ ]*v?(\d+)\.(\d+)", info.kube_version)
    refused = lowest is not None and have < (int(lowest[1]), int(lowest[2]))
    same = info.version == chart.version
    return judge(
        f"chart-{chart.name}",
        f"chart {chart.name} is to be had and accepts Kubernetes {context.cluster.version}",
        "fail" if refused else "pass" if same else "warn",
        expected=f"{chart.name} {chart.version}",
        seen=f"{info.name} {info.version}, Linkerd {info.app_version or 'unknown'}, "
        f"Kubernetes {info.kube_version or 'any'}",
        why=f"the chart wants Kubernetes {info.kube_version}"
        if refused
        else "a local chart of another version than the line's was given",
        fix="choose an older line" if refused else "set line and chart_version to match it",
    )


def root_ca(context: Context) -> list[Object]:
    """Give the root CA's objects when ``create_ca`` asks for them; else your own CA stays."""
    return manifests.root_ca(context.params) if context.params.create_ca else []


def crds_release(context: Context) -> Release | None:
    """Give the release of ``linkerd-crds``; ``None`` on 2.11, whose one chart brings the CRDs."""
    if context.line.crds_chart is None:
        return None
    chart = releases.charts(context.line, context.params.chart_version)[0]
    values = manifests.crds_values(context.line, gateway_api=wants_gateway_api(context))
    return release_of(context, chart, context.params.linkerd_namespace, values)


def control_plane_release(context: Planner, anchor: TrustAnchor | None = None) -> Release:
    """Give the release of the control plane, with the trust anchor of notebook 13.

    References inside the user's own values are resolved here, at the last moment.

    Args:
        context: Parameters, line and cluster.
        anchor: The trust anchor; read from the cluster when not given.

    Raises:
        CertificateError: There is no trust anchor, and this is not a plan.
        ParameterError: A reference in ``values`` leads nowhere.
    """
    anchor = anchor or read_trust_anchor(context)
    chart = releases.charts(context.line, context.params.chart_version)[-1]
    values = manifests.control_plane_values(
        context.line,
        context.params,
        anchor.pem or PENDING,
        own_values(context, context.params.values),
        _chart_monitors(context),
    )
    return release_of(context, chart, context.params.linkerd_namespace, values)


def own_values(context: Planner, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Resolve the references in the user's own Helm values; what they lead to is kept hidden.

    Raises:
        ParameterError: A reference leads nowhere.
    """
    found, secrets = resolve_all(given, read_secret=secret_reader(context.cluster))
    context.redactor.add(*secrets)
    return cast("Mapping[str, Any]", found)


def release_of(
    context: Context, chart: Chart, namespace: str, values: Mapping[str, Any]
) -> Release:
    """Give the Helm release of a chart, taken from where the charts are."""
    return Release(
        name=chart.release,
        namespace=namespace,
        chart=chart.name,
        version=chart.version,
        source=chart_source(context),
        values=values,
    )


def _chart_monitors(context: Context) -> dict[str, str] | None:
    """Give the labels of the PodMonitors that the chart shall make, ``None`` if it shall not.

    Notebook 15 gives them as well as 23, so that running it again does not take them away; before
    prometheus-operator is there the chart could not be installed with them.
    """
    wanted = context.params.pod_monitors == "chart" and context.line.pod_monitors
    if not wanted or not context.cluster.serves(monitoring.API_VERSION, "PodMonitor"):
        return None
    return monitoring.monitor_labels(monitoring.find_monitoring(context))
