"""One load on the rehearsal cluster: what comes of it, how it fails, and what is left of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bench_place import NAMESPACE, Place

from runbook.bench.deploy import PART_OF
from runbook.bench.design import Protocol
from runbook.bench.load import LOAD, Loader, LoadError, load_job
from runbook.errors import ApiError, StepError, WaitError
from runbook.rehearsal.faults import Fault

Object = dict[str, Any]


@pytest.fixture(autouse=True)
def no_job_is_left(place: Place) -> Any:
    yield
    assert place.jobs() == []


def pods_of(place: Place, name: str) -> list[Object]:
    return list(place.cluster.list("v1", "Pod", NAMESPACE, selector=f"{LOAD}={name}"))


# --- the Job --------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["http1", "http2", "grpc"])
@pytest.mark.parametrize("arm", ["baseline", "meshed", "skipped"])
def test_the_api_server_takes_the_job(place: Place, arm: str, protocol: Protocol) -> None:
    cell, design = place.cell(protocol=protocol), place.design(generators=3)
    job = load_job(design, cell, arm, name="x", namespace=NAMESPACE, hostname="node1")
    made = place.cluster.apply(job, dry_run=True)
    assert (made["spec"]["completions"], made["spec"]["parallelism"]) == (3, 3)


def test_a_generator_is_pinned_to_its_node_unlimited_and_ends_by_itself(place: Place) -> None:
    design = place.design(seconds=15, warmup=3)
    job = load_job(
        design, place.cell(), "skipped", name="x", namespace=NAMESPACE, hostname="pi-one"
    )
    pod = job["spec"]["template"]
    assert pod["spec"]["nodeSelector"] == {"kubernetes.io/hostname": "pi-one"}
    assert pod["metadata"]["annotations"]["config.linkerd.io/skip-outbound-ports"] == "8079,8080"
    (container,) = pod["spec"]["containers"]
    assert "limits" not in container["resources"]
    assert container["image"] == design.image
    assert job["spec"]["backoffLimit"] == 0, "a load is never made twice"
    assert 18 < job["spec"]["activeDeadlineSeconds"] < 600
    assert job["spec"]["ttlSecondsAfterFinished"] > 0


@pytest.mark.parametrize("generators", [1, 3])
def test_generators_share_the_rate_and_the_connections(place: Place, generators: int) -> None:
    design = place.design(seconds=15, warmup=3, generators=generators)
    cell = place.cell(rps=600)
    job = load_job(design, cell, "baseline", name="x", namespace=NAMESPACE, hostname="node1")
    args = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert float(args[args.index("-qps") + 1]) * generators == pytest.approx(600)
    assert int(args[args.index("-c") + 1]) * generators == cell.connections == 12


# --- a load ---------------------------------------------------------------------------------------


def test_a_load_is_made_and_measured(place: Place) -> None:
    design = place.design()
    found = place.loader(design).run(design.cells[0], "baseline", "load-plain")
    assert found.errors == 0
    assert found.sent >= 40
    assert 0 < found.requests < found.sent, "the warm-up does not count"
    assert found.response.count == found.requests
    assert 0 < found.response.quantile(0.5) < 1
    assert place.jobs() == []


def test_several_generators_are_one_load(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    design = place.design(generators=3, cells=(place.cell(rps=150),), seconds=0.5, warmup=0.1)
    read: list[str] = []
    logs = type(place.cluster).logs

    def noted(*args: Any, **options: Any) -> str:
        read.append(args[2])
        return logs(*args, **options)

    monkeypatch.setattr(type(place.cluster), "logs", noted)
    found = place.loader(design).run(design.cells[0], "meshed", "load-three")
    assert [name.rpartition("-")[0] for name in read] == [f"load-three-{n}" for n in range(3)]
    assert found.sent >= 300
    assert found.requested_rps == pytest.approx(150, rel=0.2)
    assert found.errors == 0


def test_pods_of_an_earlier_load_of_the_name_are_not_taken_for_its_own(place: Place) -> None:
    design = place.design()
    name = "load-again"
    earlier = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{name}-0-left",
            "namespace": NAMESPACE,
            "labels": {**PART_OF, LOAD: name},
        },
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": "nowhere"},
            "containers": [{"name": "fortio", "image": design.image}],
        },
    }
    place.cluster.create(earlier)
    try:
        found = place.loader(design).run(design.cells[0], "baseline", name)
    finally:
        place.cluster.delete("v1", "Pod", f"{name}-0-left", NAMESPACE)
    assert found.sent >= 40


# --- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("generators", [1, 3])
def test_a_generator_that_fails_says_its_last_words(place: Place, generators: int) -> None:
    design = place.design(generators=generators)
    nobody = place.cell(node="node4")
    with pytest.raises(LoadError) as caught:
        place.loader(design).run(nobody, "baseline", f"load-nobody-{generators}")
    assert caught.value.what.startswith("the load generator of load-nobody-")
    assert "failed: Error, exit code " in caught.value.what
    assert "echo-baseline-node4" in caught.value.why
    assert place.jobs() == []


def test_a_log_without_a_result_is_a_failed_load(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(place.cluster), "logs", lambda *_, **__: "Killed\n")
    design = place.design()
    with pytest.raises(LoadError, match="fortio gave no result") as caught:
        place.loader(design).run(design.cells[0], "baseline", "load-mute")
    assert isinstance(caught.value, StepError)
    assert caught.value.why == "Killed"


def test_a_pod_that_never_starts_ends_the_wait(place: Place) -> None:
    number = place.twin.faults.set(
        Fault("unschedulable", labels={LOAD: "load-big"}, message="Insufficient cpu")
    )
    design = place.design()
    loader = Loader(place.cluster, NAMESPACE, design, place.targets.hostnames, 0.1)
    try:
        with pytest.raises(WaitError):
            loader.run(design.cells[0], "baseline", "load-big")
    finally:
        place.twin.faults.clear(number)


def test_a_job_that_the_cluster_ended_says_why(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = {
        "metadata": {"uid": "1"},
        "status": {
            "conditions": [
                {
                    "type": "Failed",
                    "status": "True",
                    "reason": "DeadlineExceeded",
                    "message": "Job was active longer than specified deadline",
                }
            ]
        },
    }

    def wait(*_: Any, until: Callable[[Object], bool], **__: Any) -> Object:
        assert until(ended)
        return ended

    monkeypatch.setattr(type(place.cluster), "wait", wait)
    design = place.design()
    with pytest.raises(LoadError, match="load-long was not made") as caught:
        place.loader(design).run(design.cells[0], "baseline", "load-long")
    assert caught.value.why.startswith("DeadlineExceeded: Job was active longer")


def test_an_evicted_generator_has_no_words_but_a_reason(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    evicted = {
        "metadata": {"name": "load-out-0-x", "ownerReferences": [{"uid": "1", "controller": True}]},
        "status": {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory"},
    }
    job = {"metadata": {"uid": "1"}}

    def refuses(*_: Any, **__: Any) -> str:
        raise ApiError("no log", code=400)

    def wait(*_: Any, until: Callable[[Object], bool], **__: Any) -> Object:
        assert until(job)
        return job

    monkeypatch.setattr(type(place.cluster), "list", lambda *_, **__: iter([evicted]))
    monkeypatch.setattr(type(place.cluster), "wait", wait)
    monkeypatch.setattr(type(place.cluster), "logs", refuses)
    design = place.design()
    with pytest.raises(LoadError, match="load-out-0-x failed: Evicted") as caught:
        place.loader(design).run(design.cells[0], "baseline", "load-out")
    assert caught.value.why == "The node was low on memory"
    monkeypatch.undo()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ApiError("the API server is gone")])
@pytest.mark.parametrize("where", ["apply", "wait", "logs"])
def test_whatever_ends_it_the_job_is_gone(
    place: Place, monkeypatch: pytest.MonkeyPatch, where: str, error: Any
) -> None:
    honest = getattr(type(place.cluster), where)
    seen: list[list[str]] = []

    def ends(*args: Any, **options: Any) -> None:
        if where == "apply":  # it was stored, and the answer did not arrive
            honest(*args, **options)
        seen.append(place.jobs())
        raise error

    monkeypatch.setattr(type(place.cluster), where, ends)
    design = place.design()
    kind = error if isinstance(error, type) else type(error)
    with pytest.raises(kind):
        place.loader(design).run(design.cells[0], "baseline", "load-ends")
    assert seen == [["load-ends"]]
    assert place.jobs() == []


def test_sweeping_ends_what_a_killed_campaign_left_and_nothing_else(place: Place) -> None:
    design = place.design(seconds=60)
    job = load_job(
        design, design.cells[0], "baseline", name="load-left", namespace=NAMESPACE, hostname="node1"
    )
    place.cluster.apply(job)
    unlike = {**job, "metadata": {**job["metadata"], "name": "mine", "labels": PART_OF}}
    unlike["spec"] = {**job["spec"], "suspend": True}
    place.cluster.apply(unlike)
    place.cluster.wait(
        "batch/v1", "Job", "load-left", NAMESPACE, until=lambda job: job["status"].get("active"),
        timeout=30,
    )  # fmt: skip
    (pod,) = pods_of(place, "load-left")
    place.cluster.wait(
        "v1", "Pod", pod["metadata"]["name"], NAMESPACE, timeout=30,
        until=lambda pod: pod["status"].get("phase") == "Running",
    )  # fmt: skip
    try:
        assert place.loader(design).sweep() == 1
        assert place.jobs() == ["mine"]
        running = [
            pod for pod in pods_of(place, "load-left") if pod["status"].get("phase") == "Running"
        ]
        assert running == [], "its generator has ended, not only its Job"
    finally:
        place.cluster.delete("batch/v1", "Job", "mine", NAMESPACE)
    assert place.loader(design).sweep() == 0
