"""Linkerd's Grafana dashboards as grafana.com gives them out: stand-ins for them.

Ids, revisions, uids and titles are Linkerd's own, and their panels query the metrics that Linkerd's
query; there are only a few of them, and they say that this is a rehearsal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["PUBLISHED", "Published", "download"]

_INPUT = "DS_PROMETHEUS"
_RATE = "[$__rate_interval]"
_WORKLOADS: Mapping[str, tuple[int, int, str]] = {
    "deployment": (15475, 6, "Deployment"),
    "pod": (15477, 3, "Pod"),
    "cronjob": (15483, 3, "CronJob"),
    "daemonset": (15484, 3, "DaemonSet"),
    "job": (15487, 3, "Job"),
    "replicaset": (15491, 3, "ReplicaSet"),
    "replicationcontroller": (15492, 4, "ReplicationController"),
    "statefulset": (15493, 3, "StatefulSet"),
}
"""Id, revision and title of those about one workload; their key is the label it has."""


@dataclass(frozen=True)
class Published:
    """One dashboard of grafana.com.

    Args:
        id: Its number there.
        revision: Its revision.
        uid: Its uid.
        title: Its title.
        queries: What its panels show.
    """

    id: int
    revision: int
    uid: str
    title: str
    queries: Mapping[str, str]


def _traffic(labels: str, prefix: str = "") -> dict[str, str]:
    """Give the queries for success rate, requests and latency of what some labels select."""
    total, seconds = f"{prefix}response_total", f"{prefix}response_latency_ms_bucket"
    good = f'classification="success", {labels}' if labels else 'classification="success"'
    return {
        "Success rate": f"sum(irate({total}{{{good}}}{_RATE})) "
        f"/ sum(irate({total}{{{labels}}}{_RATE}))",
        "Request rate": f"sum(irate({prefix}request_total{{{labels}}}{_RATE}))",
        "P95 latency": "histogram_quantile(0.95, "
        f"sum(irate({seconds}{{{labels}}}{_RATE})) by (le))",
    }


def _workload(label: str) -> dict[str, str]:
    labels = f'namespace="$namespace", {label}="${label}", direction="inbound"'
    tcp = labels.replace('"inbound"', '"inbound", peer="src"')
    opened = {"TCP connections": f"sum(tcp_open_connections{{{tcp}}}) by (namespace, {label})"}
    return _traffic(labels) | opened


def _plain(*names: str) -> dict[str, str]:
    return {name: f"sum({name})" for name in names}


PUBLISHED: tuple[Published, ...] = (
    Published(
        15474, 4, "linkerd-top-line", "Linkerd Top Line", _traffic('namespace=~"$namespace"')
    ),
    *(
        Published(number, revision, f"linkerd-{label}", f"Linkerd {title}", _workload(label))
        for label, (number, revision, title) in _WORKLOADS.items()
    ),
    Published(
        15478, 3, "linkerd-namespace", "Linkerd Namespace", _traffic('namespace=~"$namespace"')
    ),
    Published(
        15479,
        2,
        "k8s",
        "Kubernetes cluster monitoring (via Prometheus)",
        _plain("container_cpu_usage_seconds_total", "container_memory_working_set_bytes"),
    ),
    Published(
        15480,
        3,
        "linkerd-service",
        "Linkerd Service",
        _traffic('namespace="$namespace", dst_service="$service", direction="outbound"'),
    ),
    Published(
        15481,
        3,
        "route",
        "Linkerd Route",
        _traffic('namespace="$namespace", rt_route="$rt_route", direction="inbound"', "route_"),
    ),
    Published(
        15482,
        3,
        "linkerd-authority",
        "Linkerd Authority",
        _traffic('namespace="$namespace", authority="$authority", direction="inbound"'),
    ),
    Published(
        15486,
        3,
        "linkerd-health",
        "Linkerd Health",
        {
            "Proxy memory": 'process_resident_memory_bytes{job="linkerd-proxy"}',
            "Proxy CPU": f'sum(irate(process_cpu_seconds_total{{job="linkerd-proxy"}}{_RATE})) '
            "by (namespace, pod)",
            "Controller memory": 'process_resident_memory_bytes{job="linkerd-controller"}',
        },
    ),
    Published(
        15488,
        3,
        "linkerd-multicluster",
        "Linkerd Multicluster",
        _traffic('dst_target_cluster="$cluster", direction="outbound"'),
    ),
    Published(
        15489,
        2,
        "prometheus",
        "Prometheus 2 Stats",
        _plain("prometheus_tsdb_head_samples_appended_total", "scrape_duration_seconds"),
    ),
    Published(
        15490,
        2,
        "prometheus-benchmark",
        "Prometheus Benchmark - 2.7.x",
        _plain("prometheus_build_info", "prometheus_tsdb_head_series"),
    ),
)


def download(path: str) -> bytes | None:
    """Give what is at a path of grafana.com; None when there is nothing.

    Args:
        path: ``/api/dashboards/ID/revisions/REVISION/download``.
    """
    for one in PUBLISHED:
        if path == f"/api/dashboards/{one.id}/revisions/{one.revision}/download":
            return json.dumps(_export(one), indent=2).encode()
    return None


def _export(one: Published) -> dict[str, Any]:
    """Make a dashboard as Grafana exports it for sharing: it asks for its data source."""
    source = {
        "name": _INPUT,
        "label": "Prometheus",
        "description": "",
        "type": "datasource",
        "pluginId": "prometheus",
        "pluginName": "Prometheus",
    }
    needed = [
        {"type": "grafana", "id": "grafana", "name": "Grafana", "version": "8.3.3"},
        {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
        {"type": "panel", "id": "timeseries", "name": "Time series", "version": ""},
    ]
    return {
        "__inputs": [source],
        "__requires": needed,
        "gnetId": one.id,
        "id": None,
        "uid": one.uid,
        "title": one.title,
        "description": "REHEARSAL: a stand-in for the dashboard of that name",
        "tags": ["linkerd", "rehearsal"],
        "schemaVersion": 30,
        "time": {"from": "now-15m", "to": "now"},
        "templating": {"list": []},
        "panels": [
            _panel(number, title, query)
            for number, (title, query) in enumerate(one.queries.items())
        ],
    }


def _panel(number: int, title: str, query: str) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": f"${{{_INPUT}}}"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": source,
        "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
        "targets": [{"refId": "A", "datasource": source, "expr": query}],
    }
