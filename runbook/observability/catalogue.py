"""Every line of ``linkerd viz check`` and ``linkerd jaeger check``, and what answers to it here.

The descriptions are those of linkerd2 ``viz/pkg/healthcheck`` at edge-26.6.3 (2.20) and of
``jaeger/pkg/healthcheck`` at 2.18, the last line that had the extension.
"""

from __future__ import annotations

from runbook.linkerd.catalogue import Entry

__all__ = ["CATALOGUE"]

_VIZ, _DATA, _JAEGER = "linkerd-viz", "linkerd-viz-data-plane", "linkerd-jaeger"
_CLI = "about the linkerd program, which the runbook does not use"


def _one(category: str, description: str, *ids: str, note: str = "") -> Entry:
    return Entry(category, description, ids, note)


CATALOGUE: tuple[Entry, ...] = (
    _one(_VIZ, "linkerd-viz Namespace exists", "viz-namespace"),
    _one(
        _VIZ,
        "can initialize the client",
        note="that is a port-forward to metrics-api; the runbook asks Prometheus itself",
    ),
    _one(_VIZ, "linkerd-viz ClusterRoles exist", "viz-clusterroles"),
    _one(_VIZ, "linkerd-viz ClusterRoleBindings exist", "viz-clusterrolebindings"),
    _one(_VIZ, "tap API server has valid cert", "viz-tap-"),
    _one(_VIZ, "tap API server cert is valid for at least 60 days", "viz-tap-lifetime"),
    _one(_VIZ, "tap API service is running", "viz-tap-available"),
    _one(
        _VIZ,
        "linkerd-viz pods are injected",
        "viz-injected",
        note="its four Deployments; what a Job has left behind is not counted",
    ),
    _one(_VIZ, "viz extension pods are running", "viz-ready-"),
    _one(
        _VIZ,
        "viz extension proxies are healthy",
        "viz-ready-",
        note="a pod is ready when its proxy is",
    ),
    _one(_VIZ, "viz extension proxies are up-to-date", "viz-proxy-version"),
    _one(_VIZ, "viz extension proxies and cli versions match", note=_CLI),
    _one(
        _VIZ,
        "prometheus is installed and configured correctly",
        "viz-prometheus",
        note="with an external Prometheus Linkerd skips this; here its address is compared",
    ),
    _one(
        _VIZ,
        "viz extension self-check",
        "prometheus-answers",
        "series-",
        note="the same question, put to Prometheus directly",
    ),
    _one(_DATA, "data plane namespace exists", note="about one namespace, named by an option"),
    _one(
        _DATA,
        "prometheus is authorized to scrape data plane pods",
        "targets-linkerd-proxy",
        note="a policy that forbids it shows as a target that is down",
    ),
    _one(_DATA, "data plane proxy metrics are present in Prometheus", "targets-linkerd-proxy"),
    _one(_JAEGER, "linkerd-jaeger extension Namespace exists", "tracing"),
    _one(_JAEGER, "jaeger extension pods are injected", note="not looked at"),
    _one(_JAEGER, "jaeger injector pods are running", "tracing"),
    _one(_JAEGER, "jaeger extension proxies are healthy", "tracing"),
    _one(_JAEGER, "jaeger extension proxies are up-to-date", note="not looked at"),
    _one(_JAEGER, "jaeger extension proxies and cli versions match", note=_CLI),
)
"""The lines of both checks, in their order."""
