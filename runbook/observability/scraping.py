"""Checks that Prometheus scrapes Linkerd: who is selected, what is up, what the series say."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing

from runbook.checks import Context, Outcome
from runbook.fields import seconds
from runbook.helm import Release
from runbook.linkerd.install import Planner, control_plane_release
from runbook.linkerd.outcomes import Object, absent, few, judge
from runbook.linkerd.pods import containers, has_proxy
from runbook.monitoring import (
    API_VERSION,
    Monitoring,
    find_monitoring,
    monitor_labels,
    prometheus_url,
    selects_namespace,
)
from runbook.observability import monitors
from runbook.prometheus import Prometheus, Target, connect_prometheus
from runbook.prometheus.address import parse, service_of
from runbook.selectors import selects

__all__ = [
    "monitors_possible",
    "monitors_selected",
    "prometheus_answers",
    "scrape_objects",
    "scrape_targets",
    "series",
]

_NOTEBOOK = "23-prometheus-scrape"
_PATIENCE = 60.0  # seconds until new targets are scraped: operator, mounted file, reload, a scrape
_LEAST = 4  # scrapes to wait for, however rare they are
SEE = "https://linkerd.io/2-edge/tasks/external-prometheus/"

DASHBOARD_SERIES: Mapping[str, tuple[str, ...]] = {
    "request_total": ("namespace", "pod", "direction", "tls"),
    "response_total": ("namespace", "pod", "direction", "classification"),
    "response_latency_ms_bucket": ("namespace", "pod", "direction", "le"),
    "tcp_open_connections": ("namespace", "pod", "direction", "peer"),
    "process_start_time_seconds": ("namespace", "pod"),
}
"""What the panels of Linkerd's dashboards and the Viz API query, and the labels they group by
(linkerd2 ``grafana/dashboards/*.json``, ``viz/metrics-api/prometheus.go``)."""


def scrape_objects(context: Planner) -> list[Object | Release]:
    """Give what makes Prometheus scrape Linkerd, in the way that was chosen.

    Three PodMonitors, or the release of the control plane with the values ``podMonitor``.
    """
    if context.params.pod_monitors == "chart":
        return [control_plane_release(context)]
    labels = monitor_labels(find_monitoring(context))
    return [*monitors.pod_monitors(context.line, context.params, labels)]


def prometheus_answers(context: Context) -> Iterator[Outcome]:
    """Prometheus answers, as Viz and this runbook will ask it."""
    title = "Prometheus answers"
    url = prometheus_url(context)
    if not url:
        yield judge(
            "prometheus-answers",
            title,
            False,
            expected="an address",
            seen="no Service leads to a Prometheus object, and prometheus_url is empty",
            fix="set prometheus_url",
        )
        return
    with closing(connect_prometheus(context.cluster, url)) as prometheus:
        version = prometheus.version()
    yield judge("prometheus-answers", title, True, expected=url, seen=f"version {version}")


def monitors_possible(context: Context) -> Iterator[Outcome]:
    """The chosen way of scraping is possible on this line and this cluster."""
    served = context.cluster.serves(API_VERSION, "PodMonitor")
    chart = context.params.pod_monitors == "chart"
    maker = "the control plane's chart" if chart else "this runbook"
    title = f"{maker} can make the PodMonitors"
    impossible = chart and not context.line.pod_monitors
    yield judge(
        "monitors-possible",
        title,
        served and not impossible,
        expected="the PodMonitor CRD" + (", and a chart that makes them" if chart else ""),
        seen=f"{context.line.name}'s chart has no podMonitor values"
        if impossible
        else "there"
        if served
        else "no CRD podmonitors.monitoring.coreos.com",
        why="the chart makes PodMonitors from 2.12.6 on"
        if impossible
        else "prometheus-operator is not installed",
        fix="set pod_monitors: own"
        if impossible
        else "install kube-prometheus-stack, or scrape by a scrape_config of your own",
        see=SEE,
    )
    if chart and not impossible:
        yield _chart_limits(context)


def monitors_selected(context: Context) -> Iterator[Outcome]:
    """A Prometheus object selects each PodMonitor of Linkerd."""
    if told := _none_yet(context, "monitors-selected", "Prometheus selects the PodMonitors"):
        yield told
        return
    live, found = _live(context), find_monitoring(context)
    for monitor in live:
        yield _selected(context, monitor, found)
    twice = _twice(live)
    yield judge(
        "monitors-once",
        "nothing is scraped twice",
        "warn" if twice else "pass",
        expected="one PodMonitor of each kind",
        seen=few(twice) or few(f"{_space(m)}/{_name(m)}" for m in live),
        why="both the chart's PodMonitors and others of the same name are there: sums would double",
        fix="kubectl delete podmonitor the ones that are not wanted, or set pod_monitors to match",
        see=SEE,
    )


def scrape_targets(
    context: Context, *, pause: Callable[[float], None] = time.sleep
) -> Iterator[Outcome]:
    """Every proxy and every controller of Linkerd is a target that is up.

    Prometheus takes up new PodMonitors within a minute: after they have been applied it is asked a
    few times, an interval apart.
    """
    if told := _none_yet(context, "targets", "every target of Linkerd is up"):
        yield told
        return
    url = prometheus_url(context)
    interval = seconds(context.params.scrape_interval)
    rounds = max(_LEAST, math.ceil(_PATIENCE / interval)) if context.params.mode == "apply" else 1
    wanted = _expected(context)
    with closing(connect_prometheus(context.cluster, url)) as prometheus:
        for attempt in range(rounds):
            if attempt:
                pause(interval)
            by_job = _by_monitor(prometheus.targets().active)
            if all(_complete(by_job.get(name, []), pods) for name, pods in wanted.items()):
                break
    for name, pods in wanted.items():
        yield _job(context, name, by_job.get(name, []), pods)


def series(context: Context) -> Iterator[Outcome]:
    """The series that dashboards and the Viz API query exist, with their labels."""
    if told := _none_yet(context, "series", "the series of the dashboards are there"):
        yield told
        return
    url = prometheus_url(context)
    with closing(connect_prometheus(context.cluster, url)) as prometheus:
        for name, labels in DASHBOARD_SERIES.items():
            yield _one_series(context, prometheus, name, labels)


def _one_series(
    context: Context, prometheus: Prometheus, name: str, labels: Sequence[str]
) -> Outcome:
    selector = f'{name}{{control_plane_ns="{context.params.linkerd_namespace}"}}'
    found = prometheus.at(selector)
    pods = {(one.labels.get("namespace"), one.labels.get("pod")) for one in found}
    lacking = [label for label in labels if not any(label in one.labels for one in found)]
    return judge(
        f"series-{name}",
        f"{name} is there for the dashboards",
        "pass" if found and not lacking else "fail" if not found else "warn",
        expected=f"series with {few(labels)}",
        seen=prometheus.explain_empty(selector)
        if not found
        else f"{len(found)} series of {len(pods)} pods"
        + (f", without {few(lacking)}" if lacking else ""),
        why="the relabelings do not put the pods' labels on them"
        if lacking
        else "no proxy has reported it yet, or its targets are not scraped",
        fix=f"run notebook {_NOTEBOOK}; a proxy reports requests once it has had one",
        see=SEE,
    )


def _selected(context: Context, monitor: Object, found: Sequence[Monitoring]) -> Outcome:
    name, namespace = _name(monitor), _space(monitor)
    labels = monitor["metadata"].get("labels") or {}
    by = [
        one.name
        for one in found
        if selects(one.spec.get("podMonitorSelector"), labels)
        and selects_namespace(context, one, namespace)
    ]
    wanted = monitor_labels(found)
    there = {key: labels.get(key, "absent") for key in wanted}
    return judge(
        f"selected-{namespace}-{name}",
        f"Prometheus selects PodMonitor {namespace}/{name}",
        bool(by),
        expected=few(f"{key}: {value}" for key, value in wanted.items()) or "any label",
        seen=f"by {few(by)}"
        if by
        else few(f"{k}: {v}" for k, v in there.items()) or "not selected",
        why="no Prometheus object selects it by label and namespace, so nobody scrapes for it",
        fix=f"run notebook {_NOTEBOOK} again: it takes the labels from the Prometheus object",
        see=SEE,
    )


def _job(context: Context, name: str, targets: Sequence[Target], pods: frozenset[str]) -> Outcome:
    up = [one for one in targets if one.health == "up"]
    down = [f"{_pod(one)}: {one.error or one.health}" for one in targets if one.health != "up"]
    missing = sorted(pods - {_pod(one) for one in targets})
    return judge(
        f"targets-{name}",
        f"every target of {name} is up",
        bool(up) and not down and not missing,
        expected=f"targets in {len(pods)} pods" if pods else "some",
        seen=few(down, 2)
        or (f"{len(missing)} pods are no targets: {few(missing, 3)}" if missing else "")
        or (f"{len(up)} targets, all up" if up else "no targets"),
        why=_target_reason(context, bool(targets), bool(down)),
        fix=_look(context),
        see=SEE,
    )


def _target_reason(context: Context, some: bool, down: bool) -> str:
    if down:
        return (
            "Prometheus does not reach the admin port: a NetworkPolicy, a policy, or a proxy that "
            "is not ready"
        )
    if some:
        return (
            "the pods started moments ago, or their ports have other names than the line's: "
            + few(monitors.admin_ports(context.line))
        )
    return "no Prometheus has taken up the PodMonitor: is it selected?"


def _chart_limits(context: Context) -> Outcome:
    misses = context.line.viz_admin_port == "admin"
    return judge(
        "monitors-chart-limits",
        "the chart's PodMonitors give the dashboards what they need",
        "warn",
        expected="label job: linkerd-proxy, linkerd-controller; Viz scraped as well",
        seen="job is called namespace/podmonitor"
        + (", and Viz' ports (admin) are not kept by its rule `.*-admin$`" if misses else ""),
        why="the chart has no values for it; of the dashboards, Health selects by job",
        fix="set pod_monitors: own for a full Health dashboard; the others work",
        see=SEE,
    )


def _none_yet(context: Context, id_: str, title: str) -> Outcome | None:
    """Say that there is no PodMonitor of Linkerd yet; ``None`` when there is one."""
    if _live(context):
        return None
    return absent(context, id_, title, "PodMonitors of Linkerd", _NOTEBOOK)


def _live(context: Context) -> list[Object]:
    """Give the PodMonitors about Linkerd, whoever made them."""
    wanted = {*monitors.NAMES, "linkerd-multicluster-controller"}
    every = context.cluster.list(API_VERSION, "PodMonitor")
    return [one for one in every if _name(one) in wanted]


def _twice(live: Sequence[Object]) -> list[str]:
    spaces: dict[str, list[str]] = {}
    for one in live:
        spaces.setdefault(_name(one), []).append(_space(one))
    return [
        f"{name} in {' and '.join(sorted(where))}"
        for name, where in spaces.items()
        if len(where) > 1
    ]


def _expected(context: Context) -> dict[str, frozenset[str]]:
    """Give the pods that a PodMonitor must find, ``namespace/name``, by the PodMonitor's name."""
    params = context.params
    running = [
        pod
        for pod in context.cluster.list("v1", "Pod", fields="status.phase=Running")
        if not pod["metadata"].get("deletionTimestamp")
    ]
    spaces = {params.linkerd_namespace}
    if params.pod_monitors == "own" or context.line.viz_admin_port == "admin-http":
        spaces.add(params.viz_namespace)
    ports = set(monitors.admin_ports(context.line))
    controllers = (p for p in running if _space(p) in spaces and ports & _ports(p))
    return {
        monitors.CONTROLLER: frozenset(map(_path, controllers)),
        monitors.PROXY: frozenset(_path(pod) for pod in running if has_proxy(pod)),
    }


def _ports(pod: Object) -> set[str]:
    return {
        str(port.get("name")) for spec, _, _ in containers(pod) for port in spec.get("ports") or []
    }


def _by_monitor(targets: Sequence[Target]) -> dict[str, list[Target]]:
    """Group targets by PodMonitor: the operator calls their pool ``podMonitor/NS/NAME/INDEX``."""
    found: dict[str, list[Target]] = {}
    for one in targets:
        parts = one.pool.split("/")
        name = parts[2] if len(parts) == 4 else one.labels.get("job", "")
        found.setdefault(name, []).append(one)
    return found


def _complete(targets: Sequence[Target], pods: frozenset[str]) -> bool:
    """Tell whether each pod is a target, and each target up; a new one is not known for a while."""
    return (
        bool(targets) and all(t.health == "up" for t in targets) and pods <= set(map(_pod, targets))
    )


def _pod(target: Target) -> str:
    labels = target.labels
    return f"{labels.get('namespace', '')}/{labels.get('pod', labels.get('instance', ''))}"


def _path(pod: Object) -> str:
    return f"{_space(pod)}/{_name(pod)}"


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def _space(obj: Object) -> str:
    return str(obj["metadata"].get("namespace", ""))


def _look(context: Context) -> str:
    """Say where the targets can be seen."""
    address = parse(prometheus_url(context))
    service = service_of(address)
    if service is None:
        return f"open {address.plain}/targets"
    name = f"{'https:' if service.tls else ''}{service.name}:{service.port}"
    return (
        f"kubectl get --raw /api/v1/namespaces/{service.namespace}/services/{name}/proxy"
        f"{address.prefix}/api/v1/targets"
    )
