"""Which PodMonitors a Prometheus object selects, and what is wrong with one.

Rules and words are those of prometheus-operator's ``pkg/prometheus``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from runbook.rehearsal.client import Object
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.cache import Cache
from runbook.rehearsal.controllers.prometheusoperator.kinds import POD_MONITORS
from runbook.rehearsal.monitoring.relabel import anchored, valid_name

__all__ = ["problem", "seconds", "selected"]

_NAMED = ("replace", "hashmod", "lowercase", "uppercase", "keepequal", "dropequal")
"""Actions that need a target label."""
_UNITS = {"y": 31536000, "w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
_DURATION = re.compile(r"(\d+)(ms|[ywdhms])")


def selected(prometheus: Object, cache: Cache) -> list[Object]:
    """Give the PodMonitors a Prometheus object selects, by namespace and name.

    A missing ``podMonitorSelector`` selects none, an empty one all; a missing
    ``podMonitorNamespaceSelector`` means the object's own namespace.
    """
    spec = prometheus["spec"]
    spaces = _namespaces(prometheus, cache)
    found = [
        monitor
        for monitor in cache.all(POD_MONITORS)
        if monitor["metadata"]["namespace"] in spaces
        and kinds.matches(spec.get("podMonitorSelector"), monitor["metadata"].get("labels"))
    ]
    return sorted(found, key=kinds.key)


def problem(monitor: Object, prometheus: Object) -> str:
    """Say why a PodMonitor cannot be used; empty when it can."""
    for number, endpoint in enumerate(monitor["spec"].get("podMetricsEndpoints") or []):
        found = _endpoint_problem(endpoint, prometheus["spec"])
        if found:
            return f"endpoint[{number}]: {found}"
    return ""


def seconds(duration: str) -> float:
    """Read a duration of Prometheus.

    >>> seconds("1m30s"), seconds("500ms")
    (90.0, 0.5)
    """
    return float(sum(int(count) * _UNITS[unit] for count, unit in _DURATION.findall(duration)))


def _namespaces(prometheus: Object, cache: Cache) -> set[str]:
    selector = prometheus["spec"].get("podMonitorNamespaceSelector")
    if selector is None:
        return {prometheus["metadata"]["namespace"]}
    return {
        space["metadata"]["name"]
        for space in cache.all(kinds.NAMESPACES)
        if kinds.matches(selector, space["metadata"].get("labels"))
    }


def _endpoint_problem(endpoint: Object, spec: Object) -> str:
    timeout = endpoint.get("scrapeTimeout")
    interval = endpoint.get("interval") or spec.get("scrapeInterval") or "30s"
    if timeout and seconds(timeout) > seconds(interval):
        return f'scrapeTimeout "{timeout}" greater than scrapeInterval "{interval}"'
    for field, name in (
        ("relabelings", "relabelConfigs"),
        ("metricRelabelings", "metricRelabelConfigs"),
    ):
        for number, rule in enumerate(endpoint.get(field) or []):
            for found in _relabeling_problems(rule):
                return f"{name}: [{number}]: {found}"
    return ""


def _relabeling_problems(rule: Object) -> Iterator[str]:
    action = str(rule.get("action") or "replace")
    kind, target = action.lower(), rule.get("targetLabel", "")
    try:
        anchored(rule.get("regex", ""))
    except ValueError as error:
        yield f"invalid regex {rule['regex']} for relabel configuration: {error}"
    if kind == "hashmod" and not rule.get("modulus"):
        yield "relabel configuration for hashmod requires non-zero modulus"
    if kind in _NAMED and not target:
        yield f"relabel configuration for {action} action needs targetLabel value"
    if kind in _NAMED and not valid_name(target) and "$" not in target:
        yield f"\"{target}\" is invalid 'target_label' for {action} action"
    used = {field for field in ("sourceLabels", "separator", "replacement") if rule.get(field)}
    if kind in ("keepequal", "dropequal") and used - {"sourceLabels"}:
        fields = "only 'source_labels' and `target_label`"
        yield f"{action} action requires {fields}, and no other fields"
    if kind in ("labeldrop", "labelkeep") and (used or target):
        yield f"{action} action requires only 'regex', and no other fields"
