"""Seeing what the mesh does: Viz and its ingress, Prometheus, Grafana, tracing (notebooks 20-25).

Everything here uses the monitoring that is there already; nothing installs a second one. Checks
only read.
"""

from __future__ import annotations

from runbook.observability.dashboards import dashboard_maps, dashboards_to_be_had
from runbook.observability.hosts import dashboard_hosts
from runbook.observability.ingress import (
    dashboard_certificate,
    dashboard_ingress,
    dashboard_reached,
    ingress_controller,
)
from runbook.observability.scraping import (
    monitors_possible,
    monitors_selected,
    prometheus_answers,
    scrape_objects,
    scrape_targets,
    series,
)
from runbook.observability.sidecar import dashboard_sidecar, dashboards_provisioned
from runbook.observability.stack import grafana_links, monitoring_stack
from runbook.observability.tracing import (
    jaeger_namespace,
    jaeger_release,
    tracing_possible,
    tracing_state,
)
from runbook.observability.viz import viz_chart, viz_namespace, viz_release
from runbook.observability.viz_checks import (
    viz_namespace_ready,
    viz_objects,
    viz_pods,
    viz_prometheus,
    viz_tap,
)

__all__ = [
    "dashboard_certificate",
    "dashboard_hosts",
    "dashboard_ingress",
    "dashboard_maps",
    "dashboard_reached",
    "dashboard_sidecar",
    "dashboards_provisioned",
    "dashboards_to_be_had",
    "grafana_links",
    "ingress_controller",
    "jaeger_namespace",
    "jaeger_release",
    "monitoring_stack",
    "monitors_possible",
    "monitors_selected",
    "prometheus_answers",
    "scrape_objects",
    "scrape_targets",
    "series",
    "tracing_possible",
    "tracing_state",
    "viz_chart",
    "viz_namespace",
    "viz_namespace_ready",
    "viz_objects",
    "viz_pods",
    "viz_prometheus",
    "viz_release",
    "viz_tap",
]
