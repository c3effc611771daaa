"""One load: a Job of the generator on its node, from its start to the numbers in its log.

The generator's own container decides when a load is over. Its pod need not complete: on the lines
without native sidecars a meshed Job's proxy runs on, and the Job is deleted with it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runbook.bench.deploy import PART_OF, injection, server_host
from runbook.bench.design import Cell, Design
from runbook.bench.fortio import load_args, parse_log, shape
from runbook.bench.schedule import Measured, measure
from runbook.errors import ApiError, StepError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.cluster import Cluster

__all__ = ["LOAD", "LoadError", "Loader", "load_job"]

Object = dict[str, Any]

LOAD = "linkerd-runbook/load"
"""Label with the name of its load; only loads carry it."""

_CONTAINER = "fortio"
_SPARE = 120.0  # seconds a load may take beyond its own time before the cluster ends it
_LAST_WORDS = 8  # lines
_TURN = 0.5  # seconds between two looks at pods that are to go


class LoadError(StepError):
    """A load did not come to its end."""


@dataclass(frozen=True)
class Loader:
    """Runs loads.

    Attributes:
        cluster: Where.
        namespace: Of the benchmark.
        design: How long, with which image, from how many pods.
        hostnames: Label ``kubernetes.io/hostname`` of each node.
        timeout: Longest wait for a pod to start, in seconds.
    """

    cluster: Cluster
    namespace: str
    design: Design
    hostnames: Mapping[str, str]
    timeout: float

    def run(self, cell: Cell, arm: str, name: str) -> Measured:
        """Put load on one arm and give what came of it.

        Args:
            cell: Where and how much.
            arm: On which servers.
            name: Of the Job.

        Raises:
            LoadError: The generator failed, or its log is not what it should be.
            WaitError: Its pod did not start, or did not end.
        """
        with self._job(cell, arm, name):
            pods = self._ended(name)
            logs = [self.cluster.logs(self.namespace, pod, _CONTAINER) for pod in pods]
        try:
            runs = [parse_log(text) for text in logs]
            return measure(runs, warmup=self.design.warmup, seconds=self.design.seconds)
        except StepError as error:
            raise LoadError(error.what, why=error.why, fix=error.fix, see=error.see) from error

    def sweep(self) -> int:
        """Delete the Jobs that a killed campaign has left, and give how many there were.

        Their generators have ended when it returns: they would disturb what is measured next.
        """
        left = list(self.cluster.list("batch/v1", "Job", self.namespace, selector=LOAD))
        for job in left:
            self.cluster.delete("batch/v1", "Job", job["metadata"]["name"], self.namespace)
        end = time.monotonic() + _SPARE
        while not all(map(_is_over, self._pods(LOAD))) and time.monotonic() < end:
            time.sleep(_TURN)
        return len(left)

    @contextmanager
    def _job(self, cell: Cell, arm: str, name: str) -> Iterator[None]:
        """Have a Job while its load runs; whatever happens, it is gone afterwards."""
        job = load_job(
            self.design,
            cell,
            arm,
            name=name,
            namespace=self.namespace,
            hostname=self.hostnames[cell.client],
        )
        try:
            self.cluster.apply(job)
            yield
        finally:
            self.cluster.delete("batch/v1", "Job", name, self.namespace)

    def _ended(self, name: str) -> list[str]:
        """Wait until every generator of a Job has ended, and give their pods.

        The first that fails ends it: the cluster then stops the others.
        """
        pods: list[Object] = []

        def over(job: Object) -> bool:
            uid = job["metadata"]["uid"]  # pods of an earlier Job of this name may still be there
            pods[:] = [pod for pod in self._pods(f"{LOAD}={name}") if _owner(pod) == uid]
            states = [_is_over(pod) for pod in pods]
            enough = len(pods) >= self.design.generators and all(states)
            return enough or any(map(_has_failed, pods)) or bool(_refused(job))

        longest = self.timeout + self.design.load_seconds
        job = self.cluster.wait(
            "batch/v1", "Job", name, self.namespace, until=over, timeout=longest
        )
        failed = sorted(filter(_has_failed, pods), key=_is_stopped)  # those stopped for it last
        if failed:
            raise self._failure(failed[0])
        if refused := _refused(job):
            raise LoadError(f"the load {name} was not made", why=refused)
        return sorted(str(pod["metadata"]["name"]) for pod in pods)

    def _pods(self, selector: str) -> Iterator[Object]:
        return self.cluster.list("v1", "Pod", self.namespace, selector=selector)

    def _failure(self, pod: Object) -> LoadError:
        state = _generator(pod)
        name = str(pod["metadata"]["name"])
        status = pod.get("status") or {}
        reason = state.get("reason") or status.get("reason") or "it did not run"
        code = f", exit code {state['exitCode']}" if state else ""
        try:
            words = self.cluster.logs(self.namespace, name, _CONTAINER, tail=_LAST_WORDS).strip()
        except ApiError:  # it never ran: the kubelet evicted the pod
            words = ""
        return LoadError(
            f"the load generator of {name} failed: {reason}{code}",
            why=words or str(status.get("message") or ""),
            fix="read its last words above; the servers are those of notebook 60-bench-deploy",
        )


def load_job(
    design: Design, cell: Cell, arm: str, *, name: str, namespace: str, hostname: str
) -> Object:
    """Give the Job of one load.

    Several generators are an Indexed Job, each with its share of the rate. The cluster ends a Job
    that nobody waits for any more, and deletes it ten minutes later.
    """
    labels = {**PART_OF, LOAD: name}
    rps = cell.rps / design.generators
    wanted = max(1, cell.connections // design.generators)
    connections, seconds = shape(rps, design.load_seconds, wanted)
    args = load_args(
        server_host(arm, cell.node, namespace),
        rps=rps,
        connections=connections,
        seconds=seconds,
        protocol=cell.protocol,
        payload=cell.payload,
        labels=name,
    )
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "completions": design.generators,
            "parallelism": design.generators,
            "completionMode": "Indexed",
            "backoffLimit": 0,
            "activeDeadlineSeconds": int(design.load_seconds + _SPARE),
            "ttlSecondsAfterFinished": 600,
            "template": {
                "metadata": {"labels": labels, "annotations": injection(arm, "outbound")},
                "spec": {
                    "restartPolicy": "Never",
                    "nodeSelector": {"kubernetes.io/hostname": hostname},
                    "containers": [
                        {
                            "name": _CONTAINER,
                            "image": design.image,
                            "args": args,
                            "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}},
                        }
                    ],
                },
            },
        },
    }


def _refused(job: Object) -> str:
    """Say why a Job has no pods and will have none."""
    for one in (job.get("status") or {}).get("conditions") or []:
        if one.get("type") == "Failed" and one.get("status") == "True":
            return f"{one.get('reason')}: {one.get('message')}"
    return ""


def _is_stopped(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _owner(pod: Object) -> str:
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), "")


def _generator(pod: Object) -> Mapping[str, Any]:
    """Give how the generator's container ended; empty while it has not."""
    statuses: Sequence[Object] = (pod.get("status") or {}).get("containerStatuses") or []
    states = (one.get("state") or {} for one in statuses if one["name"] == _CONTAINER)
    return next((state.get("terminated") or {} for state in states), {})


def _is_over(pod: Object) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return bool(_generator(pod)) or phase in ("Succeeded", "Failed")


def _has_failed(pod: Object) -> bool:
    return _is_over(pod) and _generator(pod).get("exitCode") != 0
