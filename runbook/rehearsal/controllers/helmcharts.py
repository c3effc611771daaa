"""K3s' Helm controller, for the Traefik that K3s packages.

The real one runs ``helm upgrade`` in a Job. Here the values that a chart of Traefik would make
something of are applied to the Deployment: annotations and labels of its pods, and replicas. As in
Helm's three-way merge, what the values no longer hold is taken away; what others have set stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import yaml

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.manager import Cluster, Key

__all__ = ["CHARTS", "CONFIGS", "HelmCharts"]

_GROUP = "helm.cattle.io"
CHARTS = Resource(_GROUP, "v1", "helmcharts", "HelmChart")
CONFIGS = Resource(_GROUP, "v1", "helmchartconfigs", "HelmChartConfig")
_TRAEFIK = "traefik"


class HelmCharts:
    """Apply a HelmChart, and the HelmChartConfig of the same name over it.

    Args:
        cluster: Where.
    """

    name = "helmchart"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster.acting_as("helm")
        self._applied: dict[Key, Object] = {}

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Look at a chart when it or its configuration changes."""
        return {
            CHARTS: lambda obj: [kinds.key(obj)],
            CONFIGS: lambda obj: [kinds.key(obj)],
        }

    def reconcile(self, key: Key) -> float | None:
        """Upgrade one chart to its values."""
        namespace, name = key
        chart = self._cluster.cache.get(CHARTS, name, namespace)
        if chart is None or kinds.deleted(chart):
            return None
        config = self._cluster.cache.get(CONFIGS, name, namespace)
        try:
            values = _merged(_values(chart), _values(config) if config else {})
        except yaml.YAMLError as error:
            self._report(chart, f"Failed to apply: invalid valuesContent: {error}")
            return None
        if name == _TRAEFIK and values != self._applied.get(key):
            self._upgrade(namespace, self._applied.get(key) or {}, values)
            self._applied[key] = values
        self._report(chart, "")
        return None

    def _upgrade(self, namespace: str, before: Object, values: Object) -> None:
        live = self._cluster.client.find(kinds.DEPLOYMENTS, _TRAEFIK, namespace)
        if live is None:
            return
        old, new = before.get("deployment") or {}, values.get("deployment") or {}
        meta: Object = {}
        for field, value in (("annotations", "podAnnotations"), ("labels", "podLabels")):
            gone = dict.fromkeys(set(old.get(value) or {}) - set(new.get(value) or {}))
            wanted = {**gone, **(new.get(value) or {})}
            if wanted:
                meta[field] = wanted
        spec: Object = {"template": {"metadata": meta}} if meta else {}
        if "replicas" in new:
            spec["replicas"] = new["replicas"]
        if spec:
            self._cluster.client.patch(kinds.DEPLOYMENTS, _TRAEFIK, {"spec": spec}, namespace)

    def _report(self, chart: Object, failure: str) -> None:
        failed = {"type": "Failed", "status": str(bool(failure))}
        conditions = [
            {"type": "JobCreated", "status": "True"},
            {**failed, "message": failure} if failure else failed,
        ]
        status = {
            "jobName": f"helm-install-{chart['metadata']['name']}",
            "conditions": conditions,
        }
        self._cluster.set_status(CHARTS, chart, status)


def _values(obj: Object) -> Object:
    found = yaml.safe_load(obj["spec"].get("valuesContent") or "") or {}
    if not isinstance(found, dict):
        raise yaml.YAMLError("the values are no mapping")
    return found


def _merged(before: Object, after: Object) -> Object:
    result = dict(before)
    for key, value in after.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            result[key] = _merged(old, value)
        else:
            result[key] = value
    return result
