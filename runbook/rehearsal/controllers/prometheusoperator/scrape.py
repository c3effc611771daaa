"""What the operator makes of PodMonitors: Prometheus' configuration.

Rules, their order and the order of fields are those of prometheus-operator's
``pkg/prometheus/promcfg.go``. There is one shard, and its sharding rules are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from runbook.rehearsal.client import Object
from runbook.rehearsal.controllers import kinds

__all__ = ["configuration"]

_POD = "__meta_kubernetes_pod_"
_FIELDS = (
    ("interval", "scrape_interval"),
    ("scrapeTimeout", "scrape_timeout"),
    ("path", "metrics_path"),
    ("params", "params"),
    ("scheme", "scheme"),
    ("followRedirects", "follow_redirects"),
    ("enableHttp2", "enable_http2"),
)
_LIMITS = (
    ("sampleLimit", "sample_limit"),
    ("targetLimit", "target_limit"),
    ("labelLimit", "label_limit"),
    ("labelNameLengthLimit", "label_name_length_limit"),
    ("labelValueLengthLimit", "label_value_length_limit"),
)
_RELABELING = (
    ("sourceLabels", "source_labels"),
    ("separator", "separator"),
    ("targetLabel", "target_label"),
    ("regex", "regex"),
    ("modulus", "modulus"),
    ("replacement", "replacement"),
    ("action", "action"),
)


def configuration(prometheus: Object, monitors: Iterable[Object]) -> Object:
    """Give the configuration of a server.

    Args:
        prometheus: The Prometheus object.
        monitors: The PodMonitors it selects, valid ones only.
    """
    spec = prometheus["spec"]
    timing = {"scrape_interval": spec.get("scrapeInterval") or "30s"}
    if spec.get("scrapeTimeout"):
        timing["scrape_timeout"] = spec["scrapeTimeout"]
    place = "/".join(kinds.key(prometheus))
    return {
        "global": {
            **timing,
            "external_labels": {"prometheus": place, "prometheus_replica": "$(POD_NAME)"},
            "evaluation_interval": spec.get("evaluationInterval") or "30s",
        },
        "scrape_configs": [
            _job(monitor, number, endpoint, spec)
            for monitor in monitors
            for number, endpoint in enumerate(monitor["spec"].get("podMetricsEndpoints") or [])
        ],
    }


def _job(monitor: Object, number: int, endpoint: Object, prometheus: Object) -> Object:
    namespace, name = kinds.key(monitor)
    spec = monitor["spec"]
    job: Object = {
        "job_name": f"podMonitor/{namespace}/{name}/{number}",
        "honor_labels": bool(endpoint.get("honorLabels")),
    }
    for field, own in (
        ("honorTimestamps", "honor_timestamps"),
        ("trackTimestampsStaleness", "track_timestamps_staleness"),
    ):
        if field in endpoint:
            job[own] = endpoint[field]
    job["kubernetes_sd_configs"] = [_discovery(spec, namespace)]
    job |= {own: endpoint[field] for field, own in _FIELDS if field in endpoint}
    job["relabel_configs"] = list(_relabelings(monitor, endpoint, prometheus))
    job |= {own: spec[field] for field, own in _LIMITS if field in spec}
    if endpoint.get("metricRelabelings"):
        job["metric_relabel_configs"] = [_rule(rule) for rule in endpoint["metricRelabelings"]]
    return job


def _discovery(spec: Object, namespace: str) -> Object:
    selector = spec.get("namespaceSelector") or {}
    if selector.get("any"):
        return {"role": "pod"}
    return {"role": "pod", "namespaces": {"names": selector.get("matchNames") or [namespace]}}


def _relabelings(monitor: Object, endpoint: Object, prometheus: Object) -> Iterator[Object]:
    spec = monitor["spec"]
    yield {"source_labels": ["job"], "target_label": "__tmp_prometheus_job_name"}
    if endpoint.get("filterRunning", True):
        phase = [f"{_POD}phase"]
        yield {"action": "drop", "source_labels": phase, "regex": "(Failed|Succeeded)"}
    yield from _selection(spec.get("selector") or {})
    yield from _port(endpoint)
    for source, target in (
        ("__meta_kubernetes_namespace", "namespace"),
        (f"{_POD}container_name", "container"),
        (f"{_POD}name", "pod"),
    ):
        yield {"source_labels": [source], "target_label": target}
    wanted = [*(spec.get("podTargetLabels") or []), *(prometheus.get("podTargetLabels") or [])]
    yield from (_copied(label, _sanitized(label)) for label in wanted)
    yield {"target_label": "job", "replacement": "/".join(kinds.key(monitor))}
    if spec.get("jobLabel"):
        yield _copied(spec["jobLabel"], "job")
    named = endpoint.get("port") or endpoint.get("targetPort")
    if named:
        yield {"target_label": "endpoint", "replacement": str(named)}
    yield from (_rule(rule) for rule in endpoint.get("relabelings") or [])


def _selection(selector: Object) -> Iterator[Object]:
    """Keep the pods that the monitor selects."""
    for name, value in sorted((selector.get("matchLabels") or {}).items()):
        yield {"action": "keep", "source_labels": _label(name), "regex": f"({value});true"}
    for term in selector.get("matchExpressions") or []:
        operator, values = term["operator"], "|".join(term.get("values") or [])
        action = "keep" if operator in ("In", "Exists") else "drop"
        if operator in ("In", "NotIn"):
            sources = _label(term["key"])
            yield {"action": action, "source_labels": sources, "regex": f"({values});true"}
        else:
            sources = _label(term["key"])[1:]
            yield {"action": action, "source_labels": sources, "regex": "true"}


def _port(endpoint: Object) -> Iterator[Object]:
    """Keep the containers' ports that the endpoint names."""
    target = endpoint.get("targetPort")
    name = endpoint.get("port") or (target if isinstance(target, str) else "")
    number = endpoint.get("portNumber") or (target if isinstance(target, int) else 0)
    if name:
        yield {"action": "keep", "source_labels": [f"{_POD}container_port_name"], "regex": name}
    elif number:
        source = [f"{_POD}container_port_number"]
        yield {"action": "keep", "source_labels": source, "regex": number}


def _label(name: str) -> list[str]:
    own = _sanitized(name)
    return [f"{_POD}label_{own}", f"{_POD}labelpresent_{own}"]


def _copied(label: str, target: str) -> Object:
    return {
        "source_labels": [f"{_POD}label_{_sanitized(label)}"],
        "target_label": target,
        "regex": "(.+)",
        "replacement": "${1}",
    }


def _rule(rule: Object) -> Object:
    """Write a relabelling of a monitor as Prometheus spells it."""
    result = {own: rule[field] for field, own in _RELABELING if rule.get(field) is not None}
    if result.get("action"):
        result["action"] = result["action"].lower()
    return result


def _sanitized(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)
