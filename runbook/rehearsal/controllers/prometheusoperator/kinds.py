"""prometheus-operator's resources and names."""

from __future__ import annotations

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.cache import Cache

__all__ = ["CONFIG", "POD_MONITORS", "PROMETHEUSES", "prefixed", "running"]

_GROUP = "monitoring.coreos.com"
PROMETHEUSES = Resource(_GROUP, "v1", "prometheuses", "Prometheus")
POD_MONITORS = Resource(_GROUP, "v1", "podmonitors", "PodMonitor")

CONFIG = "prometheus.yaml.gz"
"""Key of the configuration in its Secret."""
_OPERATOR = {"app.kubernetes.io/component": "prometheus-operator"}


def prefixed(prometheus: Object) -> str:
    """Give the name of what belongs to a Prometheus object: its Secret and its StatefulSet."""
    return f"prometheus-{prometheus['metadata']['name']}"


def running(cache: Cache) -> bool:
    """Tell whether the operator is there to act: its Deployment has an available replica."""
    return any(
        (deployment.get("status") or {}).get("availableReplicas")
        for deployment in cache.all(kinds.DEPLOYMENTS)
        if is_operator(deployment)
    )


def is_operator(deployment: Object) -> bool:
    """Tell whether a Deployment is the operator's own, by the label its chart gives it."""
    return kinds.matches({"matchLabels": _OPERATOR}, deployment["metadata"].get("labels"))
