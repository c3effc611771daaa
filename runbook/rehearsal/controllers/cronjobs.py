"""CronJobs: Jobs by the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds, pods
from runbook.rehearsal.controllers.manager import Cluster, Key

__all__ = ["CronJobs", "next_time"]

_SOURCE = "cronjob-controller"
_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_FARTHEST = 366


class CronJobs:
    """Create a Job whenever a CronJob's schedule says so."""

    name = "cronjob"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Look after CronJobs when they or their Jobs change."""
        return {
            kinds.CRON_JOBS: lambda obj: [kinds.key(obj)],
            kinds.JOBS: pods.owner_keys("CronJob"),
        }

    def reconcile(self, key: Key) -> float | None:
        """Report on the Jobs, start one that is due, and wait for the next."""
        namespace, name = key
        cron = self._cluster.cache.get(kinds.CRON_JOBS, name, namespace)
        if cron is None or kinds.deleted(cron):
            return None
        jobs = self._cluster.cache.owned(cron["metadata"]["uid"], kinds.JOBS)
        running = [job for job in jobs if not _over(job)]
        self._clean(cron, jobs)
        status = dict(cron.get("status") or {})
        wait = None
        if not cron["spec"].get("suspend"):
            now = datetime.now(UTC)
            last = status.get("lastScheduleTime") or cron["metadata"]["creationTimestamp"]
            due = next_time(cron["spec"]["schedule"], kinds.parse_time(last))
            if due is not None and due <= now:
                due = _latest(cron["spec"]["schedule"], due, now)
                running.extend(self._start(cron, running, due))
                status["lastScheduleTime"] = due.strftime("%Y-%m-%dT%H:%M:%SZ")
            upcoming = next_time(cron["spec"]["schedule"], now)
            wait = (upcoming - now).total_seconds() if upcoming is not None else None
        done = [_completed(job) for job in jobs if kinds.holds(job, "Complete")]
        if done:
            status["lastSuccessfulTime"] = max(done)
        status["active"] = [_reference(job) for job in running] or None
        self._cluster.set_status(kinds.CRON_JOBS, cron, status)
        return wait

    def _start(self, cron: Object, running: list[Object], due: datetime) -> list[Object]:
        policy = cron["spec"].get("concurrencyPolicy", "Allow")
        if running and policy == "Forbid":
            return []
        if policy == "Replace":
            for job in running:
                namespace, name = kinds.key(job)
                self._cluster.client.delete(kinds.JOBS, name, namespace)
            running.clear()
        template = cron["spec"]["jobTemplate"]
        meta = template.get("metadata") or {}
        job = {
            "metadata": {
                "name": f"{cron['metadata']['name']}-{int(due.timestamp()) // 60}",
                "namespace": cron["metadata"]["namespace"],
                "labels": meta.get("labels") or {},
                "annotations": {
                    **(meta.get("annotations") or {}),
                    "batch.kubernetes.io/cronjob-scheduled-timestamp": due.strftime(
                        "%Y-%m-%dT%H:%M:%SZ"
                    ),
                },
                "ownerReferences": [kinds.owner_reference(kinds.CRON_JOBS, cron)],
            },
            "spec": template["spec"],
        }
        created = self._cluster.client.create(kinds.JOBS, job)
        text = f"Created job {created['metadata']['name']}"
        self._cluster.record.normal(kinds.CRON_JOBS, cron, _SOURCE, "SuccessfulCreate", text)
        return [created]

    def _clean(self, cron: Object, jobs: list[Object]) -> None:
        limits = (
            ("Complete", cron["spec"].get("successfulJobsHistoryLimit", 3)),
            ("Failed", cron["spec"].get("failedJobsHistoryLimit", 1)),
        )
        for kind, keep in limits:
            ended = [job for job in jobs if kinds.holds(job, kind) and not kinds.deleted(job)]
            ended.sort(key=lambda job: str(job["metadata"]["creationTimestamp"]))
            for job in ended[: max(0, len(ended) - keep)]:
                namespace, name = kinds.key(job)
                self._cluster.client.delete(kinds.JOBS, name, namespace)


def next_time(schedule: str, after: datetime) -> datetime | None:
    """Give the first minute after a moment that a cron schedule names.

    Args:
        schedule: Five fields, or a macro such as ``@daily``; times are UTC.
        after: The moment.

    Returns:
        The time, or None when there is none within a year.

    >>> next_time("20 8 * * *", datetime(2026, 1, 1, 9, tzinfo=UTC)).isoformat()
    '2026-01-02T08:20:00+00:00'
    """
    fields = _MACROS.get(schedule, schedule).split()
    minutes, hours, days, months, weekdays = (
        _values(text, *bounds) for text, bounds in zip(fields, _RANGES, strict=True)
    )
    weekdays |= {0} if 7 in weekdays else set()
    either = not fields[2].startswith("*") and not fields[4].startswith("*")
    moment = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    for offset in range(_FARTHEST + 1):
        day = moment.date() + timedelta(days=offset)
        checks = (day.day in days, day.isoweekday() % 7 in weekdays)
        if day.month not in months or not (any(checks) if either else all(checks)):
            continue
        for hour in sorted(hours):
            for minute in sorted(minutes):
                found = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
                if found >= moment:
                    return found
    return None


def _latest(schedule: str, due: datetime, now: datetime) -> datetime:
    """Skip the runs that were missed: only the last one is made up for."""
    for _ in range(100):
        later = next_time(schedule, due)
        if later is None or later > now:
            break
        due = later
    return due


def _values(text: str, low: int, high: int) -> set[int]:
    result: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, last = low, high
        if span not in ("*", "?"):
            start, _, end = span.partition("-")
            first = int(start)
            last = int(end) if end else (high if step else first)
        result.update(range(first, last + 1, int(step or 1)))
    return result


def _over(job: Object) -> bool:
    return kinds.holds(job, "Complete") or kinds.holds(job, "Failed")


def _completed(job: Object) -> str:
    return str(job["status"].get("completionTime", ""))


def _reference(job: Object) -> Object:
    return {
        "kind": "Job",
        "namespace": job["metadata"]["namespace"],
        "name": job["metadata"]["name"],
        "uid": job["metadata"]["uid"],
        "apiVersion": "batch/v1",
        "resourceVersion": job["metadata"]["resourceVersion"],
    }
