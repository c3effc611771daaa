"""The parameters of the observability notebooks, part of the one flat schema."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, model_validator

from runbook.fields import (
    Duration,
    Label,
    Names,
    OptionalSubdomain,
    Subdomain,
    Text,
    field,
    seconds,
)

__all__ = ["VizParams"]

DASHBOARDS = "top-line,health,namespace,deployment,pod,service"


class VizParams(BaseModel):
    """Linkerd Viz, its dashboard, and the Prometheus and Grafana that are there already."""

    viz_namespace: Label = field("linkerd-viz", "Namespace of the Viz extension")
    viz_values: dict[str, Any] = field(
        {}, "Extra Helm values of linkerd-viz; its texts may be references, as in 'values'"
    )
    monitoring_namespace: Label = field(
        "k3s-monitoring",
        "Namespace of the Prometheus object and of Grafana; PodMonitors and dashboards go there",
    )
    prometheus_url: Text = field(
        "",
        "Address of Prometheus, in the cluster or outside; empty: the Service of the Prometheus "
        "object (20-24), none (62)",
    )
    grafana_url: Text = field(
        "",
        "Where the Viz dashboard links to: host:port of Grafana in the cluster, or its https:// "
        "address for browsers; empty: the Service in monitoring_namespace",
    )

    viz_host: OptionalSubdomain = field(
        "", "Host name of the Viz dashboard at the ingress; empty does not expose it"
    )
    viz_host_regexp: Text = field(
        "",
        "Host headers the dashboard accepts, a regular expression; empty: viz_host and the "
        "addresses of the chart's own default",
    )
    viz_users_secret: OptionalSubdomain = field(
        "",
        "Secret in viz_namespace whose key 'users' has htpasswd lines: the ingress asks for one of "
        "them; empty asks for none",
    )
    viz_issuer: OptionalSubdomain = field(
        "", "ClusterIssuer of the dashboard's certificate; empty: cluster_issuer"
    )
    ingress_class: Subdomain = field("traefik", "IngressClass of the dashboard's Ingress")

    pod_monitors: Literal["own", "chart"] = field(
        "own",
        "Who makes the PodMonitors: own, three of this runbook; chart, the values podMonitor of "
        "the control plane's chart (2.14 and later)",
    )
    scrape_interval: Duration = field("10s", "Time between two scrapes", unit="duration")

    dashboards: Names = field(
        DASHBOARDS, "Dashboards of Linkerd to provision, with commas between them"
    )
    dashboard_source: Text = field(
        "",
        "Where they come from: empty (grafana.com), another server of that layout, or a local "
        "directory of NAME.json",
    )

    tracing: bool = field(
        False, "Install the Jaeger extension in notebook 25, on lines that have one (to 2.18)"
    )

    @model_validator(mode="after")
    def _observability_fits(self) -> VizParams:
        """The regular expression is one, and scrapes are neither too dense nor too rare."""
        _host_regexp(self.viz_host_regexp)
        if not 1 <= seconds(self.scrape_interval) <= 120:
            raise ValueError(
                "scrape_interval must be between 1s and 2m: dashboards show the last minutes"
            )
        if self.viz_users_secret and not self.viz_host:
            raise ValueError("viz_users_secret needs viz_host: it is asked for at the ingress")
        return self


def _host_regexp(text: str) -> None:
    """Refuse what the dashboard, which is written in Go, could not start with."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"viz_host_regexp is not a regular expression: {error}") from None
    if re.search(r"\(\?[=!<]|\\[1-9]", text):
        raise ValueError(
            "viz_host_regexp must do without look-around and back-references: the dashboard's "
            "regular expressions (RE2) have none"
        )
