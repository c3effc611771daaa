"""Jobs: pods that run to their end, as often as asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds, pods
from runbook.rehearsal.controllers.manager import Cluster, Key

__all__ = ["Jobs"]

_SOURCE = "job-controller"
_TRACKING = "batch.kubernetes.io/job-tracking"
_INDEX = "batch.kubernetes.io/job-completion-index"
_BACKOFF = 10.0
"""Seconds before the first replacement of a failed pod; doubles with each failure."""


@dataclass
class _Run:
    """A Job, its pods, and what has been counted of them."""

    job: Object
    owned: list[Object]
    succeeded: int
    failed: int
    done_indexes: set[int] = field(default_factory=set)

    @property
    def indexed(self) -> bool:
        return bool(self.job["spec"].get("completionMode") == "Indexed")

    @property
    def living(self) -> list[Object]:
        return [pod for pod in self.owned if pods.active(pod)]


class Jobs:
    """Run the pods of a Job, count them exactly once, and tell when it is over."""

    name = "job"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Look after Jobs when they or their pods change."""
        return {
            kinds.JOBS: lambda obj: [kinds.key(obj)],
            kinds.PODS: self._of_pod,
        }

    def reconcile(self, key: Key) -> float | None:
        """Start, count or stop pods and report on them."""
        namespace, name = key
        job = self._cluster.cache.get(kinds.JOBS, name, namespace)
        self._release_orphans(key, job)
        if job is None:
            return None
        owned = self._cluster.cache.owned(job["metadata"]["uid"], kinds.PODS)
        if _finished(job) or kinds.deleted(job):
            self._release(owned)
            return self._expire(job)
        run = self._count(job, owned)
        verdict = self._verdict(run)
        if verdict is not None:
            self._stop(run)
            self._report(run, verdict)
            return self._expire(job)
        wait = self._start(run)
        self._report(run, None)
        return self._next_look(run, wait)

    def _of_pod(self, pod: Object) -> Iterable[Key]:
        return pods.owner_keys("Job")(pod)

    def _count(self, job: Object, owned: list[Object]) -> _Run:
        """Count finished pods: first note them as uncounted, then release, then add them up.

        A crash between any two steps loses or doubles no pod, as in the real controller.
        """
        status = job.get("status") or {}
        noted = status.get("uncountedTerminatedPods") or {}
        ended = [pod for pod in owned if _TRACKING in (pod["metadata"].get("finalizers") or [])]
        ended = [pod for pod in ended if pods.terminal(pod) or kinds.deleted(pod)]
        won = {p["metadata"]["uid"] for p in ended if p["status"].get("phase") == "Succeeded"}
        lost = {p["metadata"]["uid"] for p in ended} - won
        won |= set(noted.get("succeeded") or ())
        lost |= set(noted.get("failed") or ())
        indexes = _read_indexes(status.get("completedIndexes", ""))
        if won or lost:
            uncounted = {"succeeded": sorted(won), "failed": sorted(lost)}
            if uncounted != {k: noted.get(k) or [] for k in uncounted}:
                new = {**status, "uncountedTerminatedPods": uncounted}
                self._cluster.set_status(kinds.JOBS, job, new)
            for pod in owned:
                if pod["status"].get("phase") == "Succeeded" and _INDEX in _notes(pod):
                    indexes.add(int(_notes(pod)[_INDEX]))
            self._release(ended)
        if job["spec"].get("completionMode") == "Indexed":
            succeeded = len(indexes)
        else:
            succeeded = int(status.get("succeeded", 0)) + len(won)
        failed = int(status.get("failed", 0)) + len(lost)
        return _Run(job, owned, succeeded, failed, indexes)

    def _release(self, owned: list[Object]) -> None:
        for pod in owned:
            finalizers = pod["metadata"].get("finalizers") or []
            if _TRACKING in finalizers:
                namespace, name = kinds.key(pod)
                rest = [entry for entry in finalizers if entry != _TRACKING]
                patch = {"metadata": {"uid": pod["metadata"]["uid"], "finalizers": rest}}
                self._cluster.client.patch(kinds.PODS, name, patch, namespace)

    def _release_orphans(self, key: Key, job: Object | None) -> None:
        """Let go of pods whose Job is gone, also when another has its name by now."""
        namespace, name = key
        uid = job["metadata"]["uid"] if job else ""
        pods_there = self._cluster.cache.all(kinds.PODS, namespace)
        owned = ((pod, kinds.controller_of(pod)) for pod in pods_there)
        self._release(
            [
                pod
                for pod, owner in owned
                if owner and (owner["kind"], owner["name"]) == ("Job", name) and owner["uid"] != uid
            ]
        )

    def _verdict(self, run: _Run) -> tuple[str, str, str] | None:
        spec = run.job["spec"]
        completions = spec.get("completions")
        started = (run.job.get("status") or {}).get("startTime")
        limit = spec.get("activeDeadlineSeconds")
        if run.failed > spec.get("backoffLimit", 6):
            text = "Job has reached the specified backoff limit"
            return "Failed", "BackoffLimitExceeded", text
        if limit is not None and started and kinds.age(started) >= limit:
            return "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
        enough = run.succeeded >= (completions if completions is not None else 1)
        if enough and (completions is not None or not run.living):
            text = "Reached expected number of succeeded pods"
            return "Complete", "CompletionsReached", text
        return None

    def _start(self, run: _Run) -> float | None:
        """Start the pods that are missing; after a failure not before the backoff is over."""
        spec = run.job["spec"]
        if spec.get("suspend"):
            self._stop(run)
            return None
        completions = spec.get("completions")
        parallel = spec.get("parallelism", 1)
        if completions is not None:
            parallel = min(parallel, completions - run.succeeded)
        elif run.succeeded:
            parallel = len(run.living)
        missing = parallel - len(run.living)
        wait = _backoff(run)
        if missing > 0 and wait:
            return wait
        busy = {int(_notes(pod)[_INDEX]) for pod in run.living if _INDEX in _notes(pod)}
        free = [n for n in range(completions or 0) if n not in run.done_indexes | busy]
        for number in range(missing):
            run.owned.append(self._create(run.job, free[number] if run.indexed else None))
        return None

    def _create(self, job: Object, index: int | None) -> Object:
        notes: dict[str, str] = {}
        labels: dict[str, str] = {}
        if index is not None:
            notes = {_INDEX: str(index)}
            labels = {_INDEX: str(index)}

        def number(pod: Object) -> None:
            if index is None:
                return
            pod["metadata"]["generateName"] = f"{job['metadata']['name']}-{index}-"
            for container in pod["spec"]["containers"]:
                env = container.setdefault("env", [])
                field = {"apiVersion": "v1", "fieldPath": f"metadata.labels['{_INDEX}']"}
                env.append({"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": field}})
            pod["spec"].setdefault("hostname", f"{job['metadata']['name']}-{index}")

        pod = pods.create(
            self._cluster,
            kinds.JOBS,
            job,
            job["spec"]["template"],
            labels=labels,
            annotations=notes,
            finalizers=[_TRACKING],
            change=number,
        )
        text = f"Created pod: {pod['metadata']['name']}"
        self._cluster.record.normal(kinds.JOBS, job, _SOURCE, "SuccessfulCreate", text)
        return pod

    def _stop(self, run: _Run) -> None:
        for pod in run.living:
            namespace, name = kinds.key(pod)
            if self._cluster.client.delete(kinds.PODS, name, namespace):
                text = f"Deleted pod: {name}"
                self._cluster.record.normal(kinds.JOBS, run.job, _SOURCE, "SuccessfulDelete", text)

    def _report(self, run: _Run, verdict: tuple[str, str, str] | None) -> None:
        job = run.job
        before = job.get("status") or {}
        living = run.living if verdict is None else []
        status: Object = {
            "startTime": before.get("startTime") or kinds.now(),
            "active": len(living) or None,
            "ready": sum(pods.ready(pod) for pod in living),
            "terminating": sum(kinds.deleted(pod) for pod in run.owned),
            "succeeded": run.succeeded or None,
            "failed": run.failed or None,
            "uncountedTerminatedPods": {},
            "completedIndexes": _write_indexes(run.done_indexes) if run.indexed else None,
            "conditions": before.get("conditions"),
        }
        if verdict is not None:
            self._finish(job, status, verdict)
        live = (self._cluster.cache.get(kinds.JOBS, *reversed(kinds.key(job)))) or job
        if (live.get("status") or {}).get("uncountedTerminatedPods"):
            # A merge patch with {} changes nothing: name what has to go.
            status["uncountedTerminatedPods"] = {"succeeded": None, "failed": None}
        self._cluster.set_status(kinds.JOBS, live, status)

    def _finish(self, job: Object, status: Object, verdict: tuple[str, str, str]) -> None:
        kind, reason, text = verdict
        first = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
        conditions = status["conditions"]
        for name in (first, kind):
            entry = {"type": name, "status": "True", "reason": reason, "message": text}
            conditions = kinds.with_condition(conditions, {**entry, "lastProbeTime": kinds.now()})
        status["conditions"] = conditions
        if kind == "Complete":
            status["completionTime"] = kinds.now()
            self._cluster.record.normal(kinds.JOBS, job, _SOURCE, "Completed", "Job completed")
        else:
            self._cluster.record.warning(kinds.JOBS, job, _SOURCE, reason, text)

    def _next_look(self, run: _Run, wait: float | None) -> float | None:
        limit = run.job["spec"].get("activeDeadlineSeconds")
        started = (run.job.get("status") or {}).get("startTime")
        if limit is not None:
            left = limit - (kinds.age(started) if started else 0)
            wait = min(wait or left, left)
        return max(wait, 0.05) if wait is not None else None

    def _expire(self, job: Object) -> float | None:
        """Delete a finished Job ``ttlSecondsAfterFinished`` seconds after its end."""
        keep = job["spec"].get("ttlSecondsAfterFinished")
        if keep is None or not _finished(job) or kinds.deleted(job):
            return None
        ended = kinds.condition(job, "Complete") or kinds.condition(job, "Failed") or {}
        left = keep - kinds.age(ended["lastTransitionTime"])
        if left > 0:
            return float(left)
        namespace, name = kinds.key(job)
        self._cluster.client.delete(kinds.JOBS, name, namespace)
        return None


def _finished(job: Object) -> bool:
    return kinds.holds(job, "Complete") or kinds.holds(job, "Failed")


def _notes(pod: Object) -> dict[str, str]:
    return pod["metadata"].get("annotations") or {}


def _backoff(run: _Run) -> float:
    """Give the seconds to wait before the next pod, after failed ones."""
    lost = [pod for pod in run.owned if (pod.get("status") or {}).get("phase") == "Failed"]
    if not lost:
        return 0.0
    last = max(pod["metadata"]["creationTimestamp"] for pod in lost)
    pause = min(_BACKOFF * 2 ** (len(lost) - 1), 360.0)
    return float(max(0.0, pause - kinds.age(last)))


def _read_indexes(text: str) -> set[int]:
    result: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        result.update(range(int(first), int(last or first) + 1))
    return result


def _write_indexes(indexes: Iterable[int]) -> str:
    """Write indexes as Kubernetes does: runs of three or more as ``a-b``."""
    parts: list[str] = []
    ordered = sorted(indexes)
    while ordered:
        size = 1
        while size < len(ordered) and ordered[size] == ordered[0] + size:
            size += 1
        span, ordered = ordered[:size], ordered[size:]
        parts.extend([f"{span[0]}-{span[-1]}"] if size > 2 else [str(n) for n in span])
    return ",".join(parts)
