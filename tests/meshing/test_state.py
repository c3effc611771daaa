"""What is proved after a change: proxies, certificates, mTLS, restarts."""

from __future__ import annotations

from typing import Any

import pytest
from fake_context import NOW, FakeCluster, context
from test_workloads import HOME, pod, workload

from runbook.errors import ApiError
from runbook.meshing.annotate import annotated_namespace
from runbook.meshing.state import meshed
from runbook.meshing.workloads import Workload

INJECT = "linkerd.io/inject"


class Cluster(FakeCluster):
    metrics: dict[str, str]

    def read(self, path: str) -> Any:
        name = path.split("/pods/")[1].partition(":")[0]
        if name not in self.metrics:
            raise ApiError("the pod does not answer", code=503)
        return self.metrics[name]


def running(name: str, *, ready: bool = True, restarts: int = 0) -> dict[str, Any]:
    made = pod(name, "ReplicaSet", "web-5d", proxy="native", **{"pod-template-hash": "5d"})
    states = [{"name": "web", "ready": True, "state": {"running": {}}}]
    proxy: dict[str, Any] = {"name": "linkerd-proxy", "ready": ready, "restartCount": restarts}
    if restarts:
        proxy["lastState"] = {"terminated": {"reason": "OOMKilled"}}
    made["status"] |= {"containerStatuses": states, "initContainerStatuses": [proxy]}
    return made


def said(expires: float, secured: int = 0, plain: int = 0, old: bool = False) -> str:
    prefix = "" if old else "control_"
    return (
        f"{prefix}identity_cert_expiration_timestamp_seconds {expires}\n"
        f'request_total{{direction="inbound",tls="true"}} {secured}\n'
        f'request_total{{direction="inbound",tls="no_identity"}} {plain}\n'
        'request_total{direction="outbound",tls="true"} 99\n'
    )


LATER = NOW.timestamp() + 3600 * 24


def look(*pods: dict[str, Any], metrics: dict[str, str] | None = None, **given: Any) -> Any:
    cluster = Cluster([annotated_namespace(HOME, {INJECT: "enabled"})])
    cluster.metrics = metrics or {one["metadata"]["name"]: said(LATER, 3) for one in pods}
    asked = context(cluster, mode=given.pop("mode", "verify"), timeout=4)
    found = [Workload("Deployment", "web", "shop", workload("Deployment", "web"), pods)]
    return {o.id: o for o in meshed(asked, lambda _: found, **given)}


def test_all_is_well() -> None:
    outcomes = look(running("web-1"), running("web-2"))
    assert {key: one.verdict for key, one in outcomes.items()} == {
        "proxies": "pass",
        "outside": "skip",
        "identity": "pass",
        "mtls": "pass",
        "proxy-restarts": "pass",
    }
    assert outcomes["proxies"].seen == "2 meshed, native sidecar"
    assert outcomes["identity"].seen == "all 2; the first ends in 24.0 h"
    assert outcomes["mtls"].seen == "6 over mTLS"


def test_a_proxy_that_is_not_ready() -> None:
    outcome = look(running("web-1", ready=False))["proxies"]
    assert outcome.verdict == "fail"
    assert "logs web-1 -c linkerd-proxy" in outcome.fix


def test_a_pod_from_before() -> None:
    old = pod("web-0", "ReplicaSet", "web-5d", **{"pod-template-hash": "5d"})
    outcome = look(running("web-1"), old)["proxies"]
    assert (outcome.verdict, outcome.fix) == (
        "warn",
        "kubectl -n shop rollout restart deployment/web",
    )


@pytest.mark.parametrize("old", [True, False])
def test_a_certificate_that_is_over(old: bool) -> None:
    text = said(NOW.timestamp() - 1, old=old)
    outcome = look(running("web-1"), metrics={"web-1": text})["identity"]
    assert (outcome.verdict, outcome.seen) == ("fail", "none, or over: shop/web-1")


def test_metrics_that_cannot_be_read() -> None:
    outcome = look(running("web-1"), metrics={"another": ""})["identity"]
    assert outcome.verdict == "warn"
    assert "the pod does not answer" in outcome.seen


def test_no_traffic_is_no_failure() -> None:
    outcome = look(running("web-1"), metrics={"web-1": said(LATER, 0, 7)})["mtls"]
    assert outcome.verdict == "skip"
    assert outcome.seen.startswith("none yet: only meshed clients send any; 7 came without")


def test_a_proxy_that_has_restarted() -> None:
    outcome = look(running("web-1", restarts=2))["proxy-restarts"]
    assert (outcome.verdict, outcome.seen) == ("warn", "web-1: 2 times, last: OOMKilled")


def test_it_waits_in_the_mode_apply_alone() -> None:
    times = iter(range(100))
    paused: list[float] = []

    def clock() -> float:
        return float(next(times))

    look(running("web-1", ready=False), mode="apply", pause=paused.append, clock=clock)
    assert len(paused) == 3, "until its time is over"
    paused.clear()
    look(running("web-1", ready=False), mode="verify", pause=paused.append, clock=clock)
    assert paused == []


def test_many_are_sampled() -> None:
    outcome = look(*(running(f"web-{number}") for number in range(15)))["identity"]
    assert outcome.seen.startswith("10 of 15 asked")


def test_nothing_there() -> None:
    assert {one.verdict for one in look().values()} <= {"skip", "pass"}
