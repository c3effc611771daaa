"""Checks of the monitoring that Viz relies on: its operator, its Prometheus, the way to Grafana."""

from __future__ import annotations

from collections.abc import Iterator

from runbook.checks import Context, Outcome
from runbook.linkerd.outcomes import few, judge
from runbook.monitoring import API_VERSION, find_grafana, find_monitoring

__all__ = ["grafana_links", "monitoring_stack"]

SEE = "https://github.com/prometheus-operator/prometheus-operator"


def monitoring_stack(context: Context) -> Iterator[Outcome]:
    """The cluster has a Prometheus of prometheus-operator, or an address was given for one."""
    title = "there is a Prometheus for Viz to use"
    namespace = context.params.monitoring_namespace
    if not context.cluster.serves(API_VERSION, "Prometheus"):
        given = context.params.prometheus_url
        yield judge(
            "monitoring-stack",
            title,
            "warn" if given else "fail",
            expected=f"a Prometheus object in namespace {namespace}",
            seen=f"prometheus-operator is not installed; given: {given}"
            if given
            else "prometheus-operator is not installed, and prometheus_url is empty",
            why="without its CRDs nobody turns PodMonitors into scrapes",
            fix="install kube-prometheus-stack, or give prometheus_url and scrape by other means",
            see=SEE,
        )
        return
    found = find_monitoring(context)
    unwell = [f"{one.title}: {one.problem}" for one in found if one.problem]
    usable = [one for one in found if one.url]
    yield judge(
        "monitoring-stack",
        title,
        "fail" if not found and not context.params.prometheus_url else "warn" if unwell else "pass",
        expected=f"a Prometheus object in namespace {namespace}, running",
        seen=few(unwell, 2)
        or few((f"{one.name}, {one.url or 'without a Service'}" for one in found), 2)
        or "no Prometheus object",
        why="its operator says so" if unwell else "it may live in another namespace",
        fix=f"kubectl -n {namespace} describe prometheus"
        if unwell
        else "set monitoring_namespace: kubectl get prometheus -A",
        see=SEE,
    )
    if len(usable) > 1 and not context.params.prometheus_url:
        yield judge(
            "monitoring-choice",
            "it is clear which Prometheus is meant",
            "warn",
            expected="one",
            seen=few(one.name for one in usable),
            why=f"the first is taken: {usable[0].name}",
            fix=f"set prometheus_url to the one you want, such as {usable[-1].url}",
        )


def grafana_links(context: Context) -> Iterator[Outcome]:
    """The links from the dashboard to Grafana will lead somewhere."""
    title = "the dashboard's links to Grafana lead somewhere"
    params = context.params
    outside = params.grafana_url.startswith(("http://", "https://"))
    service = find_grafana(context)
    if outside or (not params.grafana_url and service is None):
        yield judge(
            "grafana-links",
            title,
            "pass" if outside else "skip",
            seen=params.grafana_url or f"no Grafana in namespace {params.monitoring_namespace}",
        )
        return
    root = _root_url(context)
    right = root.rstrip("/").endswith("/grafana")
    yield judge(
        "grafana-links",
        title,
        "pass" if right else "warn",
        expected="Grafana's root_url ends with /grafana/",
        seen=root or "no root_url in its grafana.ini",
        why="the dashboard passes /grafana/ on to Grafana, which then must live at that path",
        fix="set grafana.ini server.root_url to %(protocol)s://%(domain)s:/grafana/, or set "
        "grafana_url to the https:// address of Grafana for browsers",
        see="https://linkerd.io/2-edge/tasks/grafana/",
    )


def _root_url(context: Context) -> str:
    """Give ``root_url`` of the grafana.ini that Grafana's chart keeps in a ConfigMap."""
    namespace, label = context.params.monitoring_namespace, "app.kubernetes.io/name=grafana"
    for one in context.cluster.list("v1", "ConfigMap", namespace, selector=label):
        for line in str((one.get("data") or {}).get("grafana.ini", "")).splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "root_url":
                return value.strip()
    return ""
