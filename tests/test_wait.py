"""Waiting: success at once, failure at once, and what a timeout says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from runbook import progress
from runbook.errors import ApiError, ForbiddenError, NotFoundError, UnreachableError, WaitError
from runbook.wait import wait_for, wait_until

Object = dict[str, Any]


class FakeTime:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class FakeCluster:
    """Objects in memory; ``then`` changes them as time goes by."""

    def __init__(self) -> None:
        self.clock = FakeTime()
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.log = ""
        self.events: list[tuple[float, Callable[[], None]]] = []
        self.trouble: list[Exception] = []

    def put(self, *objects: Object) -> None:
        for obj in objects:
            meta = obj["metadata"]
            self.objects[obj["kind"], meta.get("namespace", ""), meta["name"]] = obj

    def then(self, seconds: float, *objects: Object) -> None:
        self.events.append((seconds, lambda: self.put(*objects)))

    def _turn(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        due = [event for event in self.events if event[0] <= self.clock.seconds]
        for event in due:
            self.events.remove(event)
            event[1]()

    def find(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        return self.objects.get((kind, namespace, name))

    def list(
        self,
        api_version: str,
        kind: str,
        namespace: str = "",
        *,
        selector: str = "",
        fields: str = "",
    ) -> Iterator[Object]:
        app = selector.removeprefix("app=")  # in these tests, how the name begins
        for (of_kind, where, name), obj in list(self.objects.items()):
            if (of_kind, where) == (kind, namespace) and name.startswith(app):
                yield obj

    def logs(self, *_: Any, previous: bool = False, tail: int = 0) -> str:
        if not previous:
            raise ApiError("no such container")
        return self.log

    def snapshot(
        self, api_version: str, kind: str, namespace: str = "", *, fields: str = ""
    ) -> Any:
        if self.trouble:
            raise self.trouble.pop(0)
        found = self.find(api_version, kind, fields.removeprefix("metadata.name="), namespace)
        return ([found] if found else []), "7"

    @contextmanager
    def watch(self, *where: str, fields: str = "", since: str, seconds: float) -> Any:
        assert since == "7"
        self._turn(seconds)
        found = self.find(where[0], where[1], fields.removeprefix("metadata.name="), where[2])
        yield iter([{"type": "MODIFIED", "object": found}] if found else [])


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


def wait(cluster: FakeCluster, *objects: Object, timeout: float = 60) -> Any:
    return wait_for(cluster, objects, timeout, clock=cluster.clock)  # type: ignore[arg-type]


def deployment(available: int, *, name: str = "web", **status: Any) -> Object:
    counts = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": available}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": "l5d",
            "uid": f"d-{name}",
            "generation": 2,
            "annotations": {"deployment.kubernetes.io/revision": "2"},
        },
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}},
        "status": {"observedGeneration": 2, **counts, **status},
    }


def replica_set(revision: str, *, name: str = "web") -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name}-{revision}",
            "namespace": "l5d",
            "uid": f"rs-{name}-{revision}",
            "annotations": {"deployment.kubernetes.io/revision": revision},
        },
    }


def pod(waiting: Object | None = None, *, revision: str = "2", **status: Any) -> Object:
    container = {"name": "identity", "image": "cr.l5d.io/x:1", "state": {"waiting": waiting or {}}}
    container["lastState"] = {"terminated": {"exitCode": 1, "reason": "Error"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"web-{revision}-x",
            "namespace": "l5d",
            "uid": f"p-{revision}",
            "ownerReferences": [{"uid": f"rs-web-{revision}"}],
        },
        "status": {"containerStatuses": [container], **status},
    }


def crash(revision: str = "2") -> Object:
    return pod({"reason": "CrashLoopBackOff", "message": "back-off"}, revision=revision)


def certificate(*conditions: Object, issuer: str = "ca-issuer") -> Object:
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": "c", "namespace": "l5d", "uid": "c", "generation": 1},
        "spec": {"issuerRef": {"kind": "ClusterIssuer", "name": issuer}},
        "status": {"conditions": list(conditions)},
    }


def issuer(ready: str, message: str = "") -> Object:
    ready_condition = {"type": "Ready", "status": ready, "reason": "R", "message": message}
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "ClusterIssuer",
        "metadata": {"name": "ca-issuer"},
        "status": {"conditions": [ready_condition]},
    }


# --- success ----------------------------------------------------------------------------------


def test_ready_already(cluster: FakeCluster) -> None:
    cluster.put(deployment(1))
    (done,) = wait(cluster, deployment(0))
    assert (done.kind, done.name, done.seconds) == ("Deployment", "web", 0.0)
    assert done.seen == "1 of 1 replicas available"


def test_becomes_ready(cluster: FakeCluster) -> None:
    cluster.put(deployment(0))
    cluster.then(4, deployment(1))
    (done,) = wait(cluster, deployment(0))
    assert done.seconds == 4


def test_appears_later(cluster: FakeCluster) -> None:
    cluster.then(3, deployment(1))
    assert wait(cluster, deployment(0))[0].seconds == 3


def test_several_together_take_as_long_as_the_slowest(cluster: FakeCluster) -> None:
    cluster.put(deployment(0, name="a"), deployment(0, name="b"))
    cluster.then(5, deployment(1, name="a"))
    cluster.then(3, deployment(1, name="b"))
    done = wait(cluster, deployment(0, name="a"), deployment(0, name="b"))
    assert {w.name: w.seconds for w in done} == {"a": 5, "b": 3}


@pytest.mark.parametrize(
    "status",
    [{"observedGeneration": 1}, {"updatedReplicas": 0}, {"replicas": 2}],
    ids=["not observed", "not updated", "old pods left"],
)
def test_a_rollout_is_not_over_before_it_is(cluster: FakeCluster, status: Object) -> None:
    cluster.put(deployment(1, **status))
    with pytest.raises(WaitError, match="did not become available"):
        wait(cluster, deployment(0), timeout=3)


def test_a_condition_of_ones_own(cluster: FakeCluster) -> None:
    cluster.put({"kind": "Secret", "metadata": {"name": "s", "namespace": "l5d"}, "data": {}})
    full = {"kind": "Secret", "metadata": {"name": "s", "namespace": "l5d"}, "data": {"ca.crt": ""}}
    cluster.then(2, full)
    found = wait_until(
        cluster,  # type: ignore[arg-type]
        *("v1", "Secret", "s", "l5d"),
        until=lambda obj: "ca.crt" in obj["data"],
        timeout=9,
        clock=cluster.clock,  # type: ignore[arg-type]
    )
    assert found == full


# --- failure ----------------------------------------------------------------------------------


def test_crash_loop_ends_it_with_the_last_words(cluster: FakeCluster) -> None:
    cluster.put(deployment(0), replica_set("1"), replica_set("2"))
    cluster.then(3, crash())
    cluster.log = "time=x level=fatal\nFailed to read trust anchors: not a PEM certificate\n"
    with pytest.raises(WaitError, match="will not become available") as caught:
        wait(cluster, deployment(0), timeout=600)
    assert cluster.clock.seconds < 6
    assert "container identity of pod web-2-x crashes again and again (exit code 1)" in str(
        caught.value
    )
    assert "| Failed to read trust anchors" in caught.value.why
    assert caught.value.fix == "kubectl -n l5d logs web-2-x -c identity --previous"


def test_pods_of_an_earlier_revision_may_crash(cluster: FakeCluster) -> None:
    cluster.put(deployment(0), replica_set("1"), replica_set("2"), crash("1"), pod())
    cluster.then(3, deployment(1))
    assert wait(cluster, deployment(0))[0].seconds == 3


def test_a_new_version_is_not_judged_by_the_pods_before_it(cluster: FakeCluster) -> None:
    cluster.put(deployment(0, observedGeneration=1), replica_set("2"), crash("2"))
    cluster.then(2, deployment(1))
    assert wait(cluster, deployment(0))[0].seconds == 2


def test_the_failure_of_a_later_one_ends_the_wait_for_the_first(cluster: FakeCluster) -> None:
    cluster.put(deployment(0, name="a"), deployment(0), replica_set("2"), crash())
    with pytest.raises(WaitError, match="Deployment l5d/web will not"):
        wait(cluster, deployment(0, name="a"), deployment(0), timeout=600)
    assert cluster.clock.seconds == 0


def test_image_that_cannot_be_pulled(cluster: FakeCluster) -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "not found"}
    cluster.put(deployment(0), replica_set("2"), pod(waiting))
    with pytest.raises(WaitError, match=r"cannot get its image cr\.l5d\.io/x:1") as caught:
        wait(cluster, deployment(0), timeout=600)
    assert cluster.clock.seconds == 0
    assert "describe pod web-2-x" in caught.value.fix


def test_unschedulable_after_a_moment(cluster: FakeCluster) -> None:
    message = "0/5 nodes are available: 5 Insufficient memory."
    unscheduled = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
    }
    cluster.put(deployment(0), replica_set("2"), pod(conditions=[unscheduled]))
    with pytest.raises(WaitError, match="5 Insufficient memory"):
        wait(cluster, deployment(0), timeout=600)
    assert 0 < cluster.clock.seconds < 10


def test_a_missing_secret_has_some_grace(cluster: FakeCluster) -> None:
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "x" not found'}
    cluster.put(deployment(0), replica_set("2"), pod(waiting))
    cluster.then(8, pod())
    cluster.then(9, deployment(1))
    assert wait(cluster, deployment(0))[0].seconds == 9
    cluster.put(deployment(0), pod(waiting))
    with pytest.raises(WaitError, match='secret "x" not found'):
        wait(cluster, deployment(0), timeout=600)


def test_grace_starts_anew_when_a_sign_comes_back(cluster: FakeCluster) -> None:
    waiting = {"reason": "CreateContainerConfigError", "message": "m"}
    cluster.put(deployment(0), replica_set("2"), pod(waiting))
    cluster.then(10, pod())
    cluster.then(12, pod(waiting))
    cluster.then(20, deployment(1))
    assert wait(cluster, deployment(0))[0].seconds == 20


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
            "progress deadline",
        ),
        (
            {"type": "ReplicaFailure", "status": "True", "message": "quota exceeded"},
            "pods cannot be created: quota exceeded",
        ),
    ],
)
def test_a_deployment_that_says_so_itself(cluster: FakeCluster, found: Object, words: str) -> None:
    cluster.put(deployment(0, conditions=[found]))
    with pytest.raises(WaitError, match=words):
        wait(cluster, deployment(0), timeout=600)


@pytest.mark.parametrize("kind", ["Issuing", "Ready"])
def test_failed_issuance(cluster: FakeCluster, kind: str) -> None:
    failed = {"type": kind, "status": "False", "reason": "Failed", "message": "not permitted"}
    cluster.put(certificate(failed), issuer("True"))
    with pytest.raises(WaitError, match=r"could not issue it \(1 failed\): not permitted"):
        wait(cluster, certificate(), timeout=600)
    assert cluster.clock.seconds == 0


def test_failure_of_an_earlier_certificate_spec_does_not_count(cluster: FakeCluster) -> None:
    failed = {"type": "Issuing", "status": "False", "reason": "Failed", "observedGeneration": 0}
    ready = {"type": "Ready", "status": "True", "observedGeneration": 1}
    cluster.put(certificate(failed), issuer("True"))
    cluster.then(2, certificate(failed, ready))
    assert wait(cluster, certificate())[0].seconds == 2


def test_certificate_ready_for_an_earlier_spec_is_not_ready(cluster: FakeCluster) -> None:
    stale = {"type": "Ready", "status": "True", "observedGeneration": 0}
    cluster.put(certificate(stale), issuer("True"))
    with pytest.raises(WaitError, match="did not become ready"):
        wait(cluster, certificate(), timeout=3)


def test_issuer_not_ready(cluster: FakeCluster) -> None:
    cluster.put(certificate(), issuer("False", 'secret "root-secret" not found'))
    with pytest.raises(WaitError, match="ClusterIssuer ca-issuer is not ready") as caught:
        wait(cluster, certificate(), timeout=600)
    assert cluster.clock.seconds < 10
    assert "root-secret" in caught.value.why
    assert caught.value.fix == "kubectl describe clusterissuer ca-issuer"


def test_issuer_that_does_not_exist(cluster: FakeCluster) -> None:
    cluster.put(certificate())
    with pytest.raises(WaitError, match="its ClusterIssuer ca-issuer does not exist"):
        wait(cluster, certificate(), timeout=600)


def test_names_of_a_crd_not_accepted(cluster: FakeCluster) -> None:
    names = {"type": "NamesAccepted", "status": "False", "message": "taken"}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "x"},
        "status": {"conditions": [names]},
    }
    cluster.put(crd)
    with pytest.raises(WaitError, match="names are not accepted: taken"):
        wait(cluster, crd, timeout=600)


def test_failed_job(cluster: FakeCluster) -> None:
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "namespace": "l5d", "uid": "j"},
        "status": {"conditions": [failed]},
    }
    cluster.put(job)
    with pytest.raises(WaitError, match="BackoffLimitExceeded"):
        wait(cluster, job, timeout=600)


# --- time and trouble -------------------------------------------------------------------------


def test_timeout_says_what_was_last_seen(cluster: FakeCluster) -> None:
    pending = {"type": "Ready", "status": "False", "reason": "Issuing", "message": "in progress"}
    cluster.put(certificate(pending), issuer("True"))
    with pytest.raises(WaitError, match="did not become ready within 5 s") as caught:
        wait(cluster, certificate(), timeout=5)
    assert "Ready is False (Issuing: in progress)" in caught.value.why
    assert "raise the parameter timeout" in caught.value.fix
    assert cluster.clock.seconds == 5


def test_timeout_of_what_never_appeared(cluster: FakeCluster) -> None:
    with pytest.raises(WaitError, match="it does not exist"):
        wait(cluster, deployment(0), timeout=2)


def test_an_outage_is_sat_out(cluster: FakeCluster) -> None:
    gone = UnreachableError("gone")
    cluster.trouble = [gone, gone, ApiError("starting", code=503)]
    cluster.put(deployment(1))
    assert wait(cluster, deployment(0))[0].seconds == 3


def test_a_long_outage_is_reported(cluster: FakeCluster) -> None:
    cluster.trouble = [UnreachableError("gone")] * 1000
    with pytest.raises(UnreachableError):
        wait(cluster, deployment(0), timeout=600)
    assert cluster.clock.seconds < 70


def test_refusals_are_raised_at_once(cluster: FakeCluster) -> None:
    cluster.trouble = [ApiError("forbidden", code=403)]
    with pytest.raises(ApiError, match="forbidden"):
        wait(cluster, deployment(0))


def test_who_may_not_look_at_pods_can_still_wait(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any, **__: Any) -> Any:
        raise ForbiddenError("cannot list pods", code=403)

    monkeypatch.setattr(cluster, "list", forbidden)
    cluster.put(deployment(0))
    cluster.then(2, deployment(1))
    assert wait(cluster, deployment(0))[0].seconds == 2


def test_a_kind_that_is_not_served_yet(cluster: FakeCluster) -> None:
    cluster.trouble = [NotFoundError("no such kind", code=404)] * 2
    ready = {"type": "Ready", "status": "True"}
    cluster.put(certificate(ready), issuer("True"))
    assert wait(cluster, certificate())[0].seconds == 2


def test_whoever_watches_is_told_what_is_waited_for(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(progress, "_screen", lambda: lines.append)
    cluster.put(deployment(1, name="a"), deployment(0, name="b"))
    cluster.then(4, deployment(1, name="b"))
    wait(cluster, deployment(0, name="a"), deployment(0, name="b"))
    assert len(lines) == 4, "after 1, 2 and 3 seconds, and the end of it"
    assert lines[0].startswith("ready: 1 of 2 |")
    assert lines[-2].endswith("00:03 waiting for Deployment l5d/b: 0 of 1 replicas available")
    assert lines[-1] == ""
