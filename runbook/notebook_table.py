"""What each notebook is, as data: no import, so that ``runbook list`` is instant."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["INDEX", "NOTEBOOKS", "Notebook"]

_TARGET = ("cluster", "kubeconfig", "cluster_uid", "mode")


@dataclass(frozen=True)
class Notebook:
    """One notebook of the runbook.

    Attributes:
        name: File name without suffix.
        title: Title as in its first cell.
        summary: What it does, one line.
        changes: What it changes in the cluster; empty when it only reads.
        minutes: How long it takes on a Pi cluster, roughly.
        needs: Notebooks whose result it needs.
        parameters: Names it declares in its ``parameters`` cell, at most ten. Any other
            parameter can still be given by file or on the command line.
        asked: Whether it runs only when it is asked for by name.
    """

    name: str
    title: str
    summary: str
    changes: str
    minutes: int
    needs: tuple[str, ...]
    parameters: tuple[str, ...]
    asked: bool = False


def _own(names: str) -> tuple[str, ...]:
    """Give the parameters of a notebook: those of every one, and its own."""
    return (*_TARGET, *names.split())


NOTEBOOKS: tuple[Notebook, ...] = (
    Notebook(
        "00-preflight",
        "Preflight",
        "Look at the cluster before anything is changed: versions, nodes, clocks, permissions",
        changes="",
        minutes=1,
        needs=(),
        parameters=_own("line linkerd_namespace cert_manager_namespace"),
    ),
    Notebook(
        "10-cert-manager-ca",
        "Configure cert-manager",
        "Check cert-manager, the root CA and its ClusterIssuer; create them when asked",
        changes="with create_ca: two ClusterIssuers and the root Certificate",
        minutes=1,
        needs=("00-preflight",),
        parameters=_own(
            "cert_manager_namespace cluster_issuer create_ca ca_secret ca_common_name ca_duration",
        ),
    ),
    Notebook(
        "11-linkerd-namespace",
        "Create the linkerd namespace",
        "Create the control plane's namespace with the labels and annotations of the line",
        changes="the linkerd namespace",
        minutes=1,
        needs=("00-preflight",),
        parameters=_own("line linkerd_namespace"),
    ),
    Notebook(
        "12-identity-issuer",
        "Issue the identity issuer certificate",
        "Have cert-manager issue linkerd-identity-issuer and prove its chain",
        changes="Certificate linkerd-identity-issuer; cert-manager writes its Secret",
        minutes=1,
        needs=("10-cert-manager-ca", "11-linkerd-namespace"),
        parameters=_own(
            "timeout linkerd_namespace trust_domain "
            "cluster_issuer issuer_duration issuer_renew_before",
        ),
    ),
    Notebook(
        "13-trust-anchor",
        "Read the trust anchor",
        "Read ca.crt, prove that it signs the issuer, show what Helm will be given",
        changes="",
        minutes=1,
        needs=("12-identity-issuer",),
        parameters=_own("line linkerd_namespace trust_domain"),
    ),
    Notebook(
        "14-linkerd-crds",
        "Install Linkerd's CRDs",
        "Install the chart linkerd-crds and check the Gateway API (nothing to do on 2.11)",
        changes="Helm release linkerd-crds",
        minutes=1,
        needs=("11-linkerd-namespace",),
        parameters=_own(
            "line timeout linkerd_namespace chart_source chart_version install_gateway_api",
        ),
    ),
    Notebook(
        "15-control-plane",
        "Install the control plane",
        "Install Linkerd with the trust anchor of 13 and the issuer of 12",
        changes="Helm release of the control plane",
        minutes=4,
        needs=("13-trust-anchor", "14-linkerd-crds"),
        parameters=_own("line linkerd_namespace trust_domain chart_source chart_version values"),
    ),
    Notebook(
        "16-verify-control-plane",
        "Verify the control plane",
        "Check pods, configuration, trust anchors and webhooks, beside linkerd check's list",
        changes="",
        minutes=1,
        needs=("15-control-plane",),
        parameters=_own("line timeout linkerd_namespace trust_domain"),
    ),
    Notebook(
        "20-viz-namespace",
        "Create the linkerd-viz namespace",
        "Create the namespace of Viz, which says which Prometheus it uses",
        changes="the linkerd-viz namespace",
        minutes=1,
        needs=("16-verify-control-plane",),
        parameters=_own("line viz_namespace monitoring_namespace prometheus_url"),
    ),
    Notebook(
        "21-viz-install",
        "Install Linkerd Viz",
        "Install the dashboard, the metrics API and tap, on the Prometheus that is there",
        changes="Helm release linkerd-viz",
        minutes=3,
        needs=("20-viz-namespace",),
        parameters=_own("line viz_namespace prometheus_url grafana_url viz_host viz_values"),
    ),
    Notebook(
        "22-viz-ingress",
        "Expose the Viz dashboard",
        "Lead a host name to the dashboard, over HTTPS, behind a password",
        changes="Certificate, Ingress and Middleware linkerd-viz",
        minutes=1,
        needs=("21-viz-install",),
        parameters=_own("line viz_namespace viz_host viz_users_secret viz_issuer ingress_class"),
    ),
    Notebook(
        "23-prometheus-scrape",
        "Scrape Linkerd with Prometheus",
        "Have Prometheus scrape control plane, Viz and proxies; prove it by targets and series",
        changes="three PodMonitors, or the control plane's release",
        minutes=2,
        needs=("15-control-plane",),
        parameters=_own(
            "line linkerd_namespace monitoring_namespace "
            "prometheus_url pod_monitors scrape_interval",
        ),
    ),
    Notebook(
        "24-grafana-dashboards",
        "Provision Linkerd's Grafana dashboards",
        "Give Linkerd's published dashboards to Grafana's sidecar, and see it take them",
        changes="a ConfigMap for each dashboard",
        minutes=1,
        needs=("23-prometheus-scrape",),
        parameters=_own("line monitoring_namespace dashboards dashboard_source"),
    ),
    Notebook(
        "25-tracing",
        "Trace requests",
        "Install the Jaeger extension where a line has one; else look at the proxies' settings",
        changes="with tracing, on lines to 2.18: Helm release linkerd-jaeger",
        minutes=1,
        needs=("16-verify-control-plane",),
        parameters=_own("line linkerd_namespace tracing chart_source"),
    ),
    Notebook(
        "30-mesh-explicit",
        "Mesh workloads",
        "Annotate the pod templates of workloads, as linkerd inject does; see their proxies ready",
        changes="pod templates of the workloads of mesh_namespace",
        minutes=2,
        needs=("16-verify-control-plane",),
        parameters=_own("line timeout mesh_namespace mesh_workloads mesh_inject mesh_options"),
        asked=True,
    ),
    Notebook(
        "31-mesh-implicit",
        "Mesh a namespace",
        "Annotate a namespace, say what must be restarted, and restart it one by one when asked",
        changes="annotations of mesh_namespace; with mesh_restart its workloads are restarted",
        minutes=5,
        needs=("16-verify-control-plane",),
        parameters=_own("line timeout mesh_namespace mesh_inject mesh_options mesh_restart"),
        asked=True,
    ),
    Notebook(
        "32-jobs",
        "Let Jobs come to their end",
        "Find Jobs and CronJobs that never finish when meshed, and change how they are meshed",
        changes="pod templates of CronJobs of mesh_namespace",
        minutes=1,
        needs=("16-verify-control-plane",),
        parameters=_own("line mesh_namespace mesh_jobs"),
        asked=True,
    ),
    Notebook(
        "40-longhorn",
        "Mesh Longhorn",
        "Mesh Longhorn's manager and UI once Longhorn is complete; taken back if storage suffers",
        changes="DaemonSet longhorn-manager and Deployment longhorn-ui, or Helm release longhorn",
        minutes=5,
        needs=("16-verify-control-plane",),
        parameters=_own("line timeout longhorn_namespace mesh_by service_charts"),
        asked=True,
    ),
    Notebook(
        "41-prometheus-stack",
        "Mesh kube-prometheus-stack",
        "Mesh the monitoring stack's namespace without hanging its operator",
        changes="the monitoring namespace, and Helm release kube-prometheus-stack",
        minutes=8,
        needs=("16-verify-control-plane",),
        parameters=_own("line timeout monitoring_namespace mesh_by mesh_restart service_charts"),
        asked=True,
    ),
    Notebook(
        "42-logging-efk",
        "Mesh Elasticsearch, Fluent Bit and Kibana",
        "Mesh the ECK operator's and the logging namespace, and what ECK makes in it",
        changes="both namespaces, and on 2.11 the Elasticsearch and Kibana objects",
        minutes=10,
        needs=("16-verify-control-plane",),
        parameters=_own("line timeout elastic_namespace logging_namespace mesh_restart"),
        asked=True,
    ),
    Notebook(
        "43-velero",
        "Mesh Velero",
        "Annotate the pods of Velero and of its node agents",
        changes="Helm release velero, or its Deployment and DaemonSet",
        minutes=3,
        needs=("16-verify-control-plane",),
        parameters=_own("line timeout velero_namespace mesh_by service_charts"),
        asked=True,
    ),
    Notebook(
        "50-traefik-ingress",
        "Mesh Traefik",
        "Mesh the ingress controller in ingress mode, in the namespace where K3s has it",
        changes="HelmChartConfig traefik, or its Deployment; with inject_kube_system the injector",
        minutes=3,
        needs=("16-verify-control-plane",),
        parameters=_own(
            "line timeout linkerd_namespace traefik_namespace inject_kube_system mesh_by",
        ),
        asked=True,
    ),
    Notebook(
        "51-ingress-routing",
        "Route through the mesh",
        "Have Linkerd choose the pod for each request that comes in by the ingress",
        changes="a Middleware for each Service behind an Ingress, and annotations of Ingresses",
        minutes=1,
        needs=("50-traefik-ingress",),
        parameters=_own("line trust_domain traefik_namespace route_namespace route_ingresses"),
        asked=True,
    ),
    Notebook(
        "60-bench-deploy",
        "Deploy the benchmark",
        "Put servers with and without the proxy, and a probe, on the nodes to measure",
        changes="namespace linkerd-bench: Deployments, Services, DaemonSet probe",
        minutes=2,
        needs=("16-verify-control-plane",),
        parameters=_own(
            "timeout bench_namespace bench_nodes bench_skipped bench_image bench_probe_image",
        ),
        asked=True,
    ),
    Notebook(
        "61-bench-latency",
        "Measure latency",
        "Measure what the proxy adds to latency, in random blocks, until it is precise enough",
        changes="Jobs while it measures; ConfigMaps with what was measured",
        minutes=120,
        needs=("60-bench-deploy",),
        parameters=_own(
            "bench_namespace bench_nodes bench_rps bench_protocols bench_payloads bench_budget",
        ),
        asked=True,
    ),
    Notebook(
        "62-bench-footprint",
        "Measure the footprint",
        "Say what proxies, nodes and the control plane used in CPU and memory meanwhile",
        changes="",
        minutes=1,
        needs=("61-bench-latency",),
        parameters=_own("bench_namespace bench_data prometheus_url"),
        asked=True,
    ),
    Notebook(
        "63-bench-report",
        "Report",
        "Draw the charts of a campaign and keep its data in the record",
        changes="",
        minutes=1,
        needs=("61-bench-latency",),
        parameters=_own("bench_namespace bench_data"),
        asked=True,
    ),
    Notebook(
        "64-bench-history",
        "Compare with earlier campaigns",
        "Set this campaign beside those of earlier records, and flag what has become worse",
        changes="",
        minutes=1,
        needs=("63-bench-report",),
        parameters=_own("bench_namespace bench_data"),
        asked=True,
    ),
)
"""Every notebook, in the order they run."""

INDEX = Notebook(
    "index",
    "The runbook",
    "Look at the state of every step on a cluster",
    changes="",
    minutes=1,
    needs=(),
    parameters=("cluster", "kubeconfig", "cluster_uid", "line"),
)
"""Where JupyterLab begins. It is no step and no part of a run."""
