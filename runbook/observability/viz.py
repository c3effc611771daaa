"""Linkerd Viz with the Prometheus and Grafana that are there: namespace, values, release.

Implements "Linkerd Viz extension installation", steps 1 to 3, of the seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from runbook.checks import Context, Outcome
from runbook.errors import ParameterError
from runbook.helm import Release
from runbook.linkerd.install import Planner, chart_outcome, own_values, release_of
from runbook.manifests import extension_namespace
from runbook.monitoring import find_grafana, prometheus_url
from runbook.observability.hosts import host_regexp
from runbook.params import Params, merge_values
from runbook.releases import Chart, Line, at_version

__all__ = ["EXTERNAL", "grafana_values", "viz_chart", "viz_namespace", "viz_release", "viz_values"]

Object = dict[str, Any]

EXTERNAL = "viz.linkerd.io/external-prometheus"
"""Annotation of the namespace: where Prometheus is, so that nobody looks for a bundled one."""


def viz_namespace(context: Context) -> Object:
    """Give the namespace of Viz (seed, Viz step 1).

    Errata: from 2.12 on the chart neither creates the namespace nor needs ``inject`` on it, since
    every Deployment of Viz asks for the proxy itself; a Job of the chart labels it afterwards. On
    no line does the seed say where Prometheus is, so ``linkerd viz check`` looks for a bundled
    one. Here the labels and the annotation stand from the start, and the Job is left out.

    Raises:
        ParameterError: ``prometheus_url`` holds a password, which would be written there.
    """
    annotations: dict[str, str] = {}
    if context.line.install_namespace:
        annotations = {"linkerd.io/inject": "enabled", "config.linkerd.io/proxy-await": "enabled"}
    if url := _address(context):
        annotations[EXTERNAL] = url
    name = context.params.viz_namespace
    return extension_namespace(context.line, name, "viz", annotations)


def viz_values(
    line: Line, params: Params, *, prometheus: str, grafana: str, extra: Mapping[str, Any]
) -> Object:
    """Give the Helm values of ``linkerd-viz`` (seed, Viz step 2).

    Errata: ``dahsboard`` is ``dashboard``; ``installNamespace``, ``grafana.enabled`` and
    ``grafanaUrl`` exist on 2.11 only.

    Args:
        line: The release line.
        params: Namespaces and the hosts of the dashboard.
        prometheus: Address of Prometheus in the cluster.
        grafana: Address of Grafana, see :func:`grafana_values`; empty for no links to it.
        extra: The user's own values, references resolved; they win over these.
    """
    values: Object = {
        "linkerdNamespace": params.linkerd_namespace,
        "prometheus": {"enabled": False},
        "prometheusUrl": prometheus,
        **grafana_values(line, grafana),
    }
    if line.install_namespace:
        values |= {"installNamespace": False, "namespace": params.viz_namespace}
    elif line.namespace_job_optional:
        values["createNamespaceMetadataJob"] = False
    if params.trust_domain != "cluster.local":
        values["identityTrustDomain"] = params.trust_domain
    if regexp := host_regexp(params):
        values["dashboard"] = {"enforcedHostRegexp": regexp}
    return merge_values(values, extra)


def grafana_values(line: Line, address: str) -> Object:
    """Give the values that make the dashboard link to Grafana.

    Args:
        line: Its charts know one kind of value or another.
        address: ``host:port`` of a Service that serves Grafana under ``/grafana/``, or the address
            a browser reaches Grafana at, beginning with ``http``. Empty for no links.
    """
    outside = address.startswith(("http://", "https://"))
    if not line.grafana_values:
        host = address.partition("://")[2].rstrip("/") if outside else address
        return {"grafana": {"enabled": False}, **({"grafanaUrl": host} if host else {})}
    if not address:
        return {}
    return {"grafana": {"externalUrl" if outside else "url": address}}


def viz_release(context: Planner) -> Release:
    """Give the Helm release of Viz.

    Erratum: the seed's ``helm install`` names no chart.

    Raises:
        ParameterError: A reference in ``viz_values`` leads nowhere, or ``prometheus_url`` holds a
            password.
    """
    params, service = context.params, find_grafana(context)
    values = viz_values(
        context.line,
        params,
        prometheus=_address(context),
        grafana=params.grafana_url or (service.address if service else ""),
        extra=own_values(context, params.viz_values),
    )
    return release_of(context, _chart(context), params.viz_namespace, values)


def viz_chart(context: Context) -> Iterator[Outcome]:
    """The chart linkerd-viz of the line is to be had and accepts this Kubernetes."""
    yield chart_outcome(context, _chart(context))


def _address(context: Context) -> str:
    """Give the address that Viz shall ask, which everybody who may read its objects will see."""
    url = prometheus_url(context)
    if "@" in urlsplit(url).netloc:
        raise ParameterError(
            "prometheus_url holds a user and a password, and Viz' namespace would show them",
            why="the address becomes an annotation and a Helm value",
            fix="leave them out of it, put them into a Secret of viz_namespace with the keys user "
            "and password, and set viz_values: {prometheusCredsSecret: NAME} (from 2.17 on)",
            see="https://linkerd.io/2-edge/tasks/external-prometheus/",
        )
    return url


def _chart(context: Context) -> Chart:
    return at_version(context.line, context.line.viz, context.params.chart_version)
