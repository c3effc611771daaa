"""Whom Prometheus scrapes in the rehearsal: simulated pods, by both servers on one cluster."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from controllers_help import namespace, until
from monitoring_help import NAME, SPACE, Server, control_plane, monitors, remove_monitors

from runbook.errors import ApiError, ForbiddenError
from runbook.rehearsal import Twin, mishaps
from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.prometheusoperator.kinds import POD_MONITORS, PROMETHEUSES
from runbook.rehearsal.faults import Fault
from runbook.rehearsal.monitoring import exposition

Object = dict[str, Any]
TARGETS = 4


@pytest.fixture(scope="module")
def client(twin: Twin) -> Client:
    found = Client.from_kubeconfig(twin.kubeconfig)
    namespace(found, "linkerd")
    return found


@pytest.fixture(scope="module")
def meshed(client: Client) -> Client:
    """Run two pods of a control plane, one of them of an old line."""
    control_plane(client, "identity", "linkerd/helm edge-26.6.3")
    control_plane(client, "destination", "linkerd/helm stable-2.11.5")
    return client


@pytest.fixture(scope="module")
def stand_in(meshed: Client) -> Server:
    """Run a second Prometheus on the same cluster, as if there were no real one."""
    which = shutil.which
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "which", lambda name: None if name == "prometheus" else which(name))
        namespace(meshed, "second")
        spec = {**meshed.get(PROMETHEUSES, NAME, SPACE)["spec"], "serviceAccountName": "default"}
        made = {"metadata": {"name": "second", "namespace": "second"}, "spec": spec}
        meshed.create(PROMETHEUSES, made)
        until(lambda: kinds.holds(meshed.get(PROMETHEUSES, "second", "second"), "Available"))
    return Server(meshed, "second", "prometheus-operated")


@pytest.fixture(scope="module")
def real(meshed: Client) -> Server:
    if shutil.which("prometheus") is None:
        pytest.skip("no prometheus on PATH")
    return Server(meshed, SPACE, NAME)


@pytest.fixture(params=["real", "stand_in"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


class TestPages:
    """What simulated containers answer."""

    def get(self, client: Client, component: str, rest: str) -> str:
        selector = f"linkerd.io/control-plane-component={component}"
        (pod,) = client.list(kinds.PODS, "linkerd", selector=selector)
        path = f"/api/v1/namespaces/linkerd/pods/{pod['metadata']['name']}:{rest}"
        return str(client.request("GET", path))

    @pytest.mark.parametrize("port", [4191, 9990])
    def test_admin_ports_have_metrics(self, meshed: Client, port: int) -> None:
        text = self.get(meshed, "identity", f"{port}/proxy/metrics")
        assert text.startswith("# rehearsal: simulated\n")
        found = {one.labels["__name__"] for one in exposition.parse(text)}
        process = ("cpu_seconds_total", "resident_memory_bytes", "start_time_seconds")
        assert found >= {f"process_{name}" for name in process}
        assert ("proxy_build_info" in found) == (port == 4191)

    @pytest.mark.parametrize("rest", ["8080/proxy/metrics", "4191/proxy/ready", "1/proxy/metrics"])
    def test_nobody_else_answers(self, meshed: Client, rest: str) -> None:
        with pytest.raises(ApiError, match="error trying to reach service") as caught:
            self.get(meshed, "identity", rest)
        assert caught.value.code == 503

    def test_the_list_of_pods_is_not_for_everybody(self, meshed: Client, tmp_path: Path) -> None:
        config = tmp_path / "config"
        config.write_text(mishaps.restricted_kubeconfig(meshed))
        with pytest.raises(ForbiddenError):
            Client.from_kubeconfig(config).request("GET", "/rehearsal/pods")


@pytest.fixture(scope="class")
def scraped(meshed: Client) -> Iterator[Client]:
    """Have the control plane scraped: its admin ports and its proxies."""
    for one in monitors():
        meshed.create(POD_MONITORS, one)
    yield meshed
    remove_monitors(meshed)


class TestServers:
    """The real Prometheus, where there is one, and the stand-in."""

    def test_targets_and_their_samples(self, scraped: Client, server: Server) -> None:
        found = until(server.healthy(TARGETS), 40)
        pools = [f"podMonitor/{SPACE}/{name}/0" for name in ("linkerd-controller", "linkerd-proxy")]
        assert sorted({one["scrapePool"] for one in found}) == pools
        labels = next(one["labels"] for one in found if "identity" in one["labels"]["pod"])
        pod = scraped.get(kinds.PODS, labels["pod"], "linkerd")
        assert labels == {
            "component": "identity",
            "container": "identity",
            "instance": f"{pod['status']['podIP']}:9990",
            "job": f"{SPACE}/linkerd-controller",
            "namespace": "linkerd",
            "pod": labels["pod"],
        }
        proxies = until(lambda: server.query('up{job="proxies"}') or None)
        assert {one["metric"]["deployment"] for one in proxies} == {"identity", "destination"}
        assert {one["value"][1] for one in proxies} == {"1"}
        (begun,) = server.query('process_start_time_seconds{component="identity"}')
        started = kinds.parse_time(pod["status"]["startTime"]).timestamp()
        assert abs(float(begun["value"][1]) - started) < 60

    def test_names_follow_the_line_of_the_pod(self, scraped: Client, server: Server) -> None:
        until(server.healthy(TARGETS), 40)
        expiry = "identity_cert_expiration_timestamp_seconds"
        found = server.query(f'{{__name__=~"(control_)?{expiry}"}}')
        named = {one["metric"]["deployment"]: one["metric"]["__name__"] for one in found}
        assert named == {"identity": f"control_{expiry}", "destination": expiry}
        probed = server.query('request_total{direction="inbound",deployment="identity"}')
        (labels,) = (one["metric"] for one in probed)
        assert (labels["tls"], labels["no_tls_reason"]) == ("no_identity", "no_tls_from_remote")
        assert (labels["target_port"], labels["route_name"]) == ("9990", "probe")

    def test_probes_are_counted_as_time_goes(self, scraped: Client, server: Server) -> None:
        until(server.healthy(TARGETS), 40)
        text = 'response_total{deployment="identity"}'
        (first,) = until(lambda: server.query(text))
        until(lambda: float(server.query(text)[0]["value"][1]) > float(first["value"][1]))
        (samples,) = server.query(f"{text}[1m]")
        values = [float(value) for _, value in samples["values"]]
        assert len(values) > 1
        assert values == sorted(values)
        query = {"match[]": text}
        (series,) = server.get("/api/v1/series", **query)["data"]
        assert series == samples["metric"]

    def test_targets_that_are_down(self, twin: Twin, scraped: Client, server: Server) -> None:
        until(server.healthy(TARGETS), 40)
        twin.faults.set(Fault("targets-down", namespace="linkerd"))
        found = until(server.healthy(TARGETS, "down"), 40)
        words = "server returned HTTP status 503 Service Unavailable"
        assert {one["lastError"] for one in found} == {words}
        assert {one["value"][1] for one in server.query('up{namespace="linkerd"}')} == {"0"}
        assert server.query("request_total") == []
        twin.faults.clear()
        until(server.healthy(TARGETS), 40)

    def test_what_it_says_of_itself(self, scraped: Client, server: Server) -> None:
        assert server.get("/-/ready").strip() == "Prometheus Server is Ready."
        assert server.get("/-/healthy").strip() == "Prometheus Server is Healthy."
        build = server.get("/api/v1/status/buildinfo")["data"]
        assert (build["version"] == "rehearsal") == (server.namespace == "second")
        assert set(build) >= {"version", "revision", "goVersion"}
        until(lambda: "linkerd-proxy" in server.get("/api/v1/status/config")["data"]["yaml"])

    def test_both_see_the_same(self, scraped: Client, real: Server, stand_in: Server) -> None:
        def ordered(found: list[Object]) -> list[str]:
            return sorted(json.dumps(one, sort_keys=True) for one in found)

        def meta(one: Object) -> Object:
            # Prometheus 2.42 shows relabelled labels as the discovered ones: these it leaves alone.
            return {k: v for k, v in one["discoveredLabels"].items() if k.startswith("__meta_")}

        def seen(server: Server) -> list[str]:
            found = until(server.healthy(TARGETS), 40)
            fields = ("labels", "scrapePool", "scrapeUrl", "scrapeInterval", "scrapeTimeout")
            return ordered([{field: one[field] for field in fields} | meta(one) for one in found])

        def dropped(server: Server) -> list[str]:
            left = server.get("/api/v1/targets")["data"]["droppedTargets"]
            return ordered([meta(one) for one in left])

        assert seen(real) == seen(stand_in)
        assert dropped(real) == dropped(stand_in) != []
        for text in ("up", "request_total", 'response_latency_ms_bucket{le="1"}'):
            names = [ordered([one["metric"] for one in s.query(text)]) for s in (real, stand_in)]
            assert names[0] == names[1] != []

    def test_a_pod_that_goes_is_a_target_no_more(self, scraped: Client, server: Server) -> None:
        until(server.healthy(TARGETS), 40)
        scraped.patch(kinds.DEPLOYMENTS, "identity", {"spec": {"replicas": 0}}, "linkerd")
        try:
            until(server.healthy(TARGETS - 2), 40)
            until(lambda: len(server.query('up{namespace="linkerd"}')) == TARGETS - 2)
        finally:
            scraped.patch(kinds.DEPLOYMENTS, "identity", {"spec": {"replicas": 1}}, "linkerd")
