"""Deployments, stateful sets, daemon sets, replica sets, jobs and cron jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from runbook.rehearsal.objects.metadata import check_labels, check_selector, one_of
from runbook.rehearsal.objects.pods import check_pod_spec
from runbook.rehearsal.objects.validation import Cause, forbidden, invalid, not_supported, required

__all__ = ["cron_job", "daemon_set", "deployment", "job", "replica_set", "stateful_set"]

Object = Mapping[str, Any]

_IMMUTABLE = "field is immutable"
_NEGATIVE = "must be greater than or equal to 0"
_CRON_NAME = re.compile(r"@(yearly|annually|monthly|weekly|daily|midnight|hourly|every .+)")
_CRON_FIELD = re.compile(r"[0-9A-Za-z*/,?#-]+")


def deployment(obj: Object, old: Object | None) -> Iterator[Cause]:
    """Check a Deployment."""
    spec = obj.get("spec") or {}
    yield from _counts(spec, "replicas", "minReadySeconds", "revisionHistoryLimit")
    yield from _selected(spec)
    strategy = spec.get("strategy") or {}
    kind = strategy.get("type")
    yield from one_of("spec.strategy.type", kind, ("Recreate", "RollingUpdate"))
    if kind == "Recreate" and strategy.get("rollingUpdate") is not None:
        detail = "may not be specified when strategy `type` is 'Recreate'"
        yield forbidden("spec.strategy.rollingUpdate", detail)
    deadline, ready = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds") or 0
    if deadline is not None and deadline <= ready:
        detail = "must be greater than minReadySeconds"
        yield invalid("spec.progressDeadlineSeconds", deadline, detail)
    yield from _same_selector(spec, old)


def replica_set(obj: Object, old: Object | None) -> Iterator[Cause]:
    """Check a ReplicaSet."""
    spec = obj.get("spec") or {}
    yield from _counts(spec, "replicas", "minReadySeconds")
    yield from _selected(spec)
    yield from _same_selector(spec, old)


def daemon_set(obj: Object, old: Object | None) -> Iterator[Cause]:
    """Check a DaemonSet."""
    spec = obj.get("spec") or {}
    yield from _selected(spec, "daemonset")
    yield from _counts(spec, "minReadySeconds", "revisionHistoryLimit")
    kind = (spec.get("updateStrategy") or {}).get("type")
    yield from one_of("spec.updateStrategy.type", kind, ("OnDelete", "RollingUpdate"))
    yield from _same_selector(spec, old)


_STATEFUL_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def stateful_set(obj: Object, old: Object | None) -> Iterator[Cause]:
    """Check a StatefulSet."""
    spec = obj.get("spec") or {}
    yield from _counts(spec, "replicas", "minReadySeconds")
    yield from _selected(spec, "statefulset")
    policy = spec.get("podManagementPolicy")
    if policy not in (None, "OrderedReady", "Parallel"):
        yield invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    if old is not None and _without(spec, _STATEFUL_MUTABLE) != _without(
        old.get("spec") or {}, _STATEFUL_MUTABLE
    ):
        yield forbidden(
            "spec",
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
            "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
            "'minReadySeconds' are forbidden",
        )


def _without(spec: Object, names: tuple[str, ...]) -> Object:
    return {key: value for key, value in spec.items() if key not in names}


def _counts(spec: Object, *names: str) -> Iterator[Cause]:
    for name in names:
        value = spec.get(name)
        if value is not None and value < 0:
            yield invalid(f"spec.{name}", value, _NEGATIVE)


def _selected(spec: Object, owner: str = "deployment") -> Iterator[Cause]:
    """Check selector and template of a workload whose pods restart always."""
    selector = spec.get("selector")
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    if selector is None:
        yield required("spec.selector")
    else:
        yield from check_selector(selector, "spec.selector")
        if not selector:
            yield invalid("spec.selector", {}, f"empty selector is invalid for {owner}")
    if selector is None or not _matches(selector, labels or {}):
        yield invalid(
            "spec.template.metadata.labels", labels, "`selector` does not match template `labels`"
        )
    yield from _template(template, "spec.template", ("Always",))


def _matches(selector: Object, labels: Object) -> bool:
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for wanted in selector.get("matchExpressions") or ():
        key, values = wanted.get("key"), wanted.get("values") or ()
        found = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not found.get(wanted.get("operator"), True):
            return False
    return True


def _template(template: Object, path: str, restart: tuple[str, ...]) -> Iterator[Cause]:
    metadata = template.get("metadata") or {}
    yield from check_labels(metadata.get("labels"), f"{path}.labels")
    spec = template.get("spec") or {}
    yield from check_pod_spec(spec, f"{path}.spec", restart=restart)
    policy = spec.get("restartPolicy")
    if policy not in restart:
        if restart == ("Always",):
            yield not_supported(f"{path}.spec.restartPolicy", policy, restart)
        elif policy == "Always":
            detail = 'valid values: "OnFailure", "Never"'
            yield required(f"{path}.spec.restartPolicy", detail)
        else:
            yield not_supported(f"{path}.spec.restartPolicy", policy, restart)


def _same_selector(spec: Object, old: Object | None) -> Iterator[Cause]:
    if old is not None and spec.get("selector") != (old.get("spec") or {}).get("selector"):
        yield invalid("spec.selector", spec.get("selector"), _IMMUTABLE)


_JOB_RESTART = ("OnFailure", "Never")


def job(obj: Object, old: Object | None) -> Iterator[Cause]:
    """Check a Job."""
    spec = obj.get("spec") or {}
    yield from _job_spec(spec, "spec")
    if old is None:
        return
    before = old.get("spec") or {}
    suspended = bool(before.get("suspend")) and not (old.get("status") or {}).get("startTime")
    for name in ("completions", "selector", "template", "completionMode"):
        if name == "completions" and spec.get("completionMode") == "Indexed":
            continue
        if name == "template" and suspended:
            continue
        if spec.get(name) != before.get(name):
            yield invalid(f"spec.{name}", spec.get(name), _IMMUTABLE)


def _job_spec(spec: Object, path: str) -> Iterator[Cause]:
    for name in (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
    ):
        value = spec.get(name)
        if value is not None and value < 0:
            yield invalid(f"{path}.{name}", value, _NEGATIVE)
    mode = spec.get("completionMode")
    yield from one_of(f"{path}.completionMode", mode, ("Indexed", "NonIndexed"))
    if mode == "Indexed" and spec.get("completions") is None:
        detail = "when completion mode is Indexed"
        yield required(f"{path}.completions", detail)
    yield from _template(spec.get("template") or {}, f"{path}.template", _JOB_RESTART)


def cron_job(obj: Object, old: Object | None) -> Iterator[Cause]:
    """Check a CronJob."""
    del old
    spec = obj.get("spec") or {}
    schedule = spec.get("schedule") or ""
    if not schedule:
        yield required("spec.schedule")
    elif not _is_cron(schedule):
        count = len(schedule.split())
        detail = (
            f"expected exactly 5 fields, found {count}: {schedule.split()}"
            if count != 5
            else "failed to parse the schedule"
        )
        yield invalid("spec.schedule", schedule, detail)
    yield from one_of(
        "spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace")
    )
    name = (obj.get("metadata") or {}).get("name") or ""
    if len(name) > 52:
        yield invalid("metadata.name", name, "must be no more than 52 characters")
    job_spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    yield from _job_spec(job_spec, "spec.jobTemplate.spec")


def _is_cron(schedule: str) -> bool:
    if schedule.startswith("@"):
        return _CRON_NAME.fullmatch(schedule) is not None
    fields = schedule.split()
    return len(fields) == 5 and all(_CRON_FIELD.fullmatch(field) for field in fields)
