"""What each notebook is, for listing: no heavy import, so that ``runbook list`` is instant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runbook.errors import InfrastructureError, UsageError

__all__ = ["INDEX", "NOTEBOOKS", "Notebook", "find", "home", "outputs", "select", "source"]

_RANGE = re.compile(r"\d\d-\d\d")
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


NOTEBOOKS: tuple[Notebook, ...] = (
    Notebook(
        "00-preflight",
        "Preflight",
        "Look at the cluster before anything is changed: versions, nodes, clocks, permissions",
        changes="",
        minutes=1,
        needs=(),
        parameters=(*_TARGET, "line", "linkerd_namespace", "cert_manager_namespace"),
    ),
    Notebook(
        "10-cert-manager-ca",
        "Configure cert-manager",
        "Check cert-manager, the root CA and its ClusterIssuer; create them when asked",
        changes="with create_ca: two ClusterIssuers and the root Certificate",
        minutes=1,
        needs=("00-preflight",),
        parameters=(
            *_TARGET,
            "cert_manager_namespace",
            "cluster_issuer",
            "create_ca",
            "ca_secret",
            "ca_common_name",
            "ca_duration",
        ),
    ),
    Notebook(
        "11-linkerd-namespace",
        "Create the linkerd namespace",
        "Create the control plane's namespace with the labels and annotations of the line",
        changes="the linkerd namespace",
        minutes=1,
        needs=("00-preflight",),
        parameters=(*_TARGET, "line", "linkerd_namespace"),
    ),
    Notebook(
        "12-identity-issuer",
        "Issue the identity issuer certificate",
        "Have cert-manager issue linkerd-identity-issuer and prove its chain",
        changes="Certificate linkerd-identity-issuer; cert-manager writes its Secret",
        minutes=1,
        needs=("10-cert-manager-ca", "11-linkerd-namespace"),
        parameters=(
            *_TARGET,
            "timeout",
            "linkerd_namespace",
            "trust_domain",
            "cluster_issuer",
            "issuer_duration",
            "issuer_renew_before",
        ),
    ),
    Notebook(
        "13-trust-anchor",
        "Read the trust anchor",
        "Read ca.crt, prove that it signs the issuer, show what Helm will be given",
        changes="",
        minutes=1,
        needs=("12-identity-issuer",),
        parameters=(*_TARGET, "line", "linkerd_namespace", "trust_domain"),
    ),
    Notebook(
        "14-linkerd-crds",
        "Install Linkerd's CRDs",
        "Install the chart linkerd-crds and check the Gateway API (nothing to do on 2.11)",
        changes="Helm release linkerd-crds",
        minutes=1,
        needs=("11-linkerd-namespace",),
        parameters=(
            *_TARGET,
            "line",
            "timeout",
            "linkerd_namespace",
            "chart_source",
            "chart_version",
            "install_gateway_api",
        ),
    ),
    Notebook(
        "15-control-plane",
        "Install the control plane",
        "Install Linkerd with the trust anchor of 13 and the issuer of 12",
        changes="Helm release of the control plane",
        minutes=4,
        needs=("13-trust-anchor", "14-linkerd-crds"),
        parameters=(
            *_TARGET,
            "line",
            "linkerd_namespace",
            "trust_domain",
            "chart_source",
            "chart_version",
            "values",
        ),
    ),
    Notebook(
        "16-verify-control-plane",
        "Verify the control plane",
        "Check pods, configuration, trust anchors and webhooks, beside linkerd check's list",
        changes="",
        minutes=1,
        needs=("15-control-plane",),
        parameters=(*_TARGET, "line", "timeout", "linkerd_namespace", "trust_domain"),
    ),
    Notebook(
        "20-viz-namespace",
        "Create the linkerd-viz namespace",
        "Create the namespace of Viz, which says which Prometheus it uses",
        changes="the linkerd-viz namespace",
        minutes=1,
        needs=("16-verify-control-plane",),
        parameters=(*_TARGET, "line", "viz_namespace", "monitoring_namespace", "prometheus_url"),
    ),
    Notebook(
        "21-viz-install",
        "Install Linkerd Viz",
        "Install the dashboard, the metrics API and tap, on the Prometheus that is there",
        changes="Helm release linkerd-viz",
        minutes=3,
        needs=("20-viz-namespace",),
        parameters=(
            *_TARGET,
            "line",
            "viz_namespace",
            "prometheus_url",
            "grafana_url",
            "viz_host",
            "viz_values",
        ),
    ),
    Notebook(
        "22-viz-ingress",
        "Expose the Viz dashboard",
        "Lead a host name to the dashboard, over HTTPS, behind a password",
        changes="Certificate, Ingress and Middleware linkerd-viz",
        minutes=1,
        needs=("21-viz-install",),
        parameters=(
            *_TARGET,
            "line",
            "viz_namespace",
            "viz_host",
            "viz_users_secret",
            "viz_issuer",
            "ingress_class",
        ),
    ),
    Notebook(
        "23-prometheus-scrape",
        "Scrape Linkerd with Prometheus",
        "Have Prometheus scrape control plane, Viz and proxies; prove it by targets and series",
        changes="three PodMonitors, or the control plane's release",
        minutes=2,
        needs=("15-control-plane",),
        parameters=(
            *_TARGET,
            "line",
            "linkerd_namespace",
            "monitoring_namespace",
            "prometheus_url",
            "pod_monitors",
            "scrape_interval",
        ),
    ),
    Notebook(
        "24-grafana-dashboards",
        "Provision Linkerd's Grafana dashboards",
        "Give Linkerd's published dashboards to Grafana's sidecar, and see it take them",
        changes="a ConfigMap for each dashboard",
        minutes=1,
        needs=("23-prometheus-scrape",),
        parameters=(*_TARGET, "line", "monitoring_namespace", "dashboards", "dashboard_source"),
    ),
    Notebook(
        "25-tracing",
        "Trace requests",
        "Install the Jaeger extension where a line has one; else look at the proxies' settings",
        changes="with tracing, on lines to 2.18: Helm release linkerd-jaeger",
        minutes=1,
        needs=("16-verify-control-plane",),
        parameters=(*_TARGET, "line", "linkerd_namespace", "tracing", "chart_source"),
    ),
    Notebook(
        "60-bench-deploy",
        "Deploy the benchmark",
        "Put servers with and without the proxy, and a probe, on the nodes to measure",
        changes="namespace linkerd-bench: Deployments, Services, DaemonSet probe",
        minutes=2,
        needs=("16-verify-control-plane",),
        parameters=(
            *_TARGET,
            "timeout",
            "bench_namespace",
            "bench_nodes",
            "bench_skipped",
            "bench_image",
            "bench_probe_image",
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
        parameters=(
            *_TARGET,
            "bench_namespace",
            "bench_nodes",
            "bench_rps",
            "bench_protocols",
            "bench_payloads",
            "bench_budget",
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
        parameters=(*_TARGET, "bench_namespace", "bench_data", "prometheus_url"),
        asked=True,
    ),
    Notebook(
        "63-bench-report",
        "Report",
        "Draw the charts of a campaign and keep its data in the record",
        changes="",
        minutes=1,
        needs=("61-bench-latency",),
        parameters=(*_TARGET, "bench_namespace", "bench_data"),
        asked=True,
    ),
    Notebook(
        "64-bench-history",
        "Compare with earlier campaigns",
        "Set this campaign beside those of earlier records, and flag what has become worse",
        changes="",
        minutes=1,
        needs=("63-bench-report",),
        parameters=(*_TARGET, "bench_namespace", "bench_data"),
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


def home() -> Path:
    """Give the clone this package runs from: it holds ``notebooks/`` and ``outputs/``.

    Raises:
        InfrastructureError: The package was installed without its notebooks.
    """
    root = Path(__file__).resolve().parent.parent
    if not (root / "notebooks").is_dir():
        raise InfrastructureError(
            "there are no notebooks beside the package",
            why=f"{root} is not a clone of linkerd-runbook",
            fix="clone the repository and run `make rehearse` or `pip install -e .` in it.",
        )
    return root


def outputs() -> Path:
    """Give the directory of all runs, unless another one is named."""
    return home() / "outputs"


def source(notebook: Notebook) -> Path:
    """Give the file of a notebook."""
    return home() / "notebooks" / f"{notebook.name}.ipynb"


def select(
    first: str = "", last: str = "", only: Sequence[str] = (), also: Sequence[str] = ()
) -> tuple[Notebook, ...]:
    """Choose the notebooks of a run, in their order.

    Args:
        first: Number or name of the first to run; empty for the first there is.
        last: Number or name of the last to run; empty for the last there is.
        only: Numbers, ranges of numbers (``60-64``) or names to run, and no others.
        also: The same, of those that run only when they are asked for.

    Raises:
        UsageError: There is no such notebook, or none is left to run.

    >>> [book.name[:2] for book in select(first="12", last="13-trust-anchor")]
    ['12', '13']
    >>> [book.name[:2] for book in select(first="25", also=["60-62"])]
    ['25', '60', '61', '62']
    """
    begin = NOTEBOOKS.index(find(first)) if first else 0
    end = NOTEBOOKS.index(find(last)) if last else len(NOTEBOOKS) - 1
    added = _named(also)
    wanted = _named(only) or [book for book in NOTEBOOKS if not book.asked]
    within = NOTEBOOKS[begin : end + 1]
    chosen = tuple(
        book for book in NOTEBOOKS if book in added or (book in wanted and book in within)
    )
    if not chosen:
        asked = [book.name[:2] for book in within if book.asked]
        hint = f"some run only when asked for: --only {asked[0]}-{asked[-1]}. " if asked else ""
        raise UsageError(
            "no notebook is left to run",
            why=f"--from {first or '(first)'}, --until {last or '(last)'} and --only exclude all",
            fix=hint + "`runbook list` shows them in order.",
        )
    return chosen


def _named(names: Sequence[str]) -> list[Notebook]:
    """Find notebooks by numbers, ranges of numbers or names.

    Raises:
        UsageError: There is none of a name, or none in a range.
    """
    found = []
    for name in names:
        if _RANGE.fullmatch(name):
            low, high = name.split("-")
            within = [book for book in NOTEBOOKS if low <= book.name[:2] <= high]
            if not within:  # or nothing named would mean all of them
                raise UsageError(f"there is no notebook in {name}", fix="`runbook list` shows all.")
            found += within
        else:
            found.append(find(name))
    return found


def find(name: str) -> Notebook:
    """Find a notebook by its number, name or file name.

    Raises:
        UsageError: There is no such notebook; the nearest name is suggested.
    """
    stem = Path(name).name.removesuffix(".ipynb")
    for book in NOTEBOOKS:
        if stem in (book.name, book.name.partition("-")[0]):
            return book
    near = difflib.get_close_matches(stem, [book.name for book in NOTEBOOKS], n=1, cutoff=0.4)
    raise UsageError(
        f"there is no notebook {name!r}",
        fix="".join(f"did you mean {name}? " for name in near) + "`runbook list` shows all.",
    )
