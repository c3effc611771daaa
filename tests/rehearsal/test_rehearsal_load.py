"""Load in the rehearsal cluster: real processes from generator to server, through real proxies.

Each test runs with the real fortio, where there is one, and with the stand-ins.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from controllers_help import namespace, rolled_out, until
from load_help import (
    LOAD,
    SENT,
    WARMUP,
    Load,
    log_of,
    metrics,
    over,
    pod_of,
    pods_of,
    ready,
    run,
    server,
    start,
    total,
)
from test_rehearsal_linkerd import create, issue, rendered, secret

from runbook.errors import ApiError
from runbook.rehearsal import Twin
from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.faults import Fault

INJECT = "linkerd.io/inject"
NATIVE = "config.beta.linkerd.io/proxy-enable-native-sidecar"
DELAY = "rehearsal.linkerd-runbook/proxy-delay"
SKIP_IN = "config.linkerd.io/skip-inbound-ports"
SKIP_OUT = "config.linkerd.io/skip-outbound-ports"
MESHED = {INJECT: "enabled"}
ECHO = ":8080/echo?size=1024"


@pytest.fixture(scope="module")
def client(twin: Twin) -> Client:
    """Give a client of a cluster with Linkerd 2.20 on it."""
    client = Client.from_kubeconfig(twin.kubeconfig)
    issue(client)
    for obj in rendered("edge-2.20", secret(client)["ca.crt"].decode()):
        create(client, obj)
    for name in ("linkerd-identity", "linkerd-destination", "linkerd-proxy-injector"):
        until(lambda name=name: rolled_out(client, "linkerd", name))
    return client


@pytest.fixture(scope="module", params=["fortio", "stand-in"])
def space(
    client: Client, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Give a namespace with a server in each arm, run by the real program or by ours."""
    with pytest.MonkeyPatch.context() as patch:
        program = shutil.which("fortio")
        only = tmp_path_factory.mktemp("path")
        if request.param == "fortio":
            if program is None:
                pytest.skip("there is no fortio here")
            (only / "fortio").symlink_to(program)
        patch.setenv("PATH", str(only))
        name = namespace(client, f"load-{request.param}")
        server(client, name, "baseline")
        server(client, name, "meshed", **MESHED)
        server(client, name, "slow", **MESHED, **{DELAY: "5ms"})
        server(client, name, "skipped", **MESHED, **{SKIP_IN: "8079-8080"})
        ready(client, name, "baseline", "meshed", "slow", "skipped")
        yield name


def real(space: str) -> bool:
    return space.endswith("fortio")


def counted(client: Client, space: str, app: str, **labels: str) -> float:
    text = metrics(client, pod_of(client, space, app))
    return total(text, "request_total", direction="inbound", **labels)


def test_load_says_what_it_did(client: Client, space: str) -> None:
    told = ("-labels", "run one", "-runid", "7")
    found = run(client, space, "plain", f"http://baseline{ECHO}", *told)
    assert found.exit_code == 0
    made = found.sent - WARMUP
    assert SENT // 2 <= made <= SENT
    calls = {(line["thread"], line["iter"]) for line in found.access}
    assert len(found.access) == len(calls) == made
    assert calls <= {(thread, call) for thread in range(4) for call in range(SENT // 4)}
    result = found.result
    assert (result["Version"] == "rehearsal") is not real(space)
    assert result["RetCodes"] == {"200": made}
    assert result["DurationHistogram"]["Count"] == made
    assert (result["Labels"], result["RunID"], result["RequestedQPS"]) == ("run one", 7, "500")
    assert (result["SocketCount"], result["NumThreads"]) == (4, 4)
    assert result["Sizes"]["Min"] > 1024


def test_both_say_the_same_things(client: Client, space: str) -> None:
    """The keys are those of fortio 1.68."""
    keys = set(run(client, space, "keys", f"http://baseline{ECHO}").result)
    assert keys == set((Path(__file__).parent / "fortio-keys.txt").read_text().split())


def test_a_meshed_server_takes_plain_requests_and_says_so(client: Client, space: str) -> None:
    before = counted(client, space, "meshed", tls="no_identity")
    found = run(client, space, "outside", f"http://meshed.{space}.svc.cluster.local{ECHO}")
    assert found.exit_code == 0
    assert counted(client, space, "meshed", tls="no_identity") - before == found.sent


def test_nobody_there(client: Client, space: str) -> None:
    for name, url, why in (
        ("lost", "http://nobody:8080/", "lookup nobody on 10.43.0.10:53: no such host"),
        ("port", "http://baseline:81/", "no such port"),
        ("pod", "http://10.42.9.9:8080/", "no route to host"),
    ):
        found = run(client, space, name, url)
        assert found.exit_code == 1
        assert why in found.log
    until(lambda: kinds.holds(client.get(kinds.JOBS, "lost", space), "Failed"))


def test_every_meshed_request_is_counted_under_its_proven_identity(
    client: Client, space: str
) -> None:
    identity = f"default.{space}.serviceaccount.identity.linkerd.cluster.local"
    labels = {"tls": "true", "client_id": identity, "target_port": "8080"}
    before = counted(client, space, "meshed", **labels)
    found = run(client, space, "mutual", f"http://meshed{ECHO}", **MESHED)
    assert found.exit_code == 0
    assert counted(client, space, "meshed", **labels) - before == found.sent > WARMUP
    text = metrics(client, pod_of(client, space, "meshed"))
    assert total(text, "response_total", status_code="200", **labels) == total(
        text, "response_latency_ms_count", **labels
    )
    assert total(text, "tcp_open_total", peer="src", tls="true") >= WARMUP
    until(lambda: kinds.holds(client.get(kinds.JOBS, "mutual", space), "Complete"))


def test_posted_bodies_are_not_taken_for_requests(client: Client, space: str) -> None:
    before = counted(client, space, "meshed", tls="true")
    found = run(
        client, space, "posted", "http://meshed:8080/echo", "-payload-size", "3000", **MESHED
    )
    assert found.result["Sizes"]["Min"] > 3000
    assert counted(client, space, "meshed", tls="true") - before == found.sent


@pytest.mark.parametrize("flags", [("-h2",), ("-grpc", "-ping", "-s", "1")], ids=["h2", "grpc"])
def test_http2_is_for_the_real_program(client: Client, space: str, flags: tuple[str, ...]) -> None:
    url = "meshed:8079" if "-grpc" in flags else f"http://meshed{ECHO}"
    before = counted(client, space, "meshed", tls="true")
    found = run(client, space, f"two-{flags[0][1:]}", url, *flags, **MESHED)
    if not real(space):
        assert found.exit_code == 1
        assert f"{flags[0]} needs the real fortio" in found.log
        return
    assert found.exit_code == 0
    assert counted(client, space, "meshed", tls="true") - before == found.sent


def test_a_delay_on_purpose_is_what_it_says(client: Client, space: str) -> None:
    fast = run(client, space, "fast", f"http://meshed{ECHO}", **MESHED)
    late = run(client, space, "late", f"http://slow{ECHO}", **MESHED)
    least = [min(line["latency"] for line in found.access) for found in (fast, late)]
    assert 0.0045 < least[1] < 0.009  # however busy this machine is, somebody is fast
    assert median(line["latency"] for line in late.access) - least[0] > 0.0045
    text = metrics(client, pod_of(client, space, "slow"))
    held = total(text, "rehearsal_delay_seconds_count")
    assert held == late.sent
    assert total(text, "rehearsal_delay_seconds_sum") / held > 0.0048
    assert "rehearsal_delay" not in metrics(client, pod_of(client, space, "meshed"))


def test_skipped_ports_go_past_the_proxies(client: Client, space: str) -> None:
    assert run(client, space, "past", f"http://skipped{ECHO}", **MESHED).exit_code == 0
    text = metrics(client, pod_of(client, space, "skipped"))
    assert total(text, "request_total") == total(text, "tcp_open_total") == 0
    before = counted(client, space, "meshed", tls="no_identity")
    skip = {SKIP_OUT: "8079,8080"}
    found = run(client, space, "out", f"http://meshed{ECHO}", **MESHED, **skip)
    assert counted(client, space, "meshed", tls="no_identity") - before == found.sent


def test_a_plain_sidecar_keeps_its_job_from_completing(client: Client, space: str) -> None:
    found = run(client, space, "kept", f"http://meshed{ECHO}", **MESHED, **{NATIVE: "false"})
    assert found.exit_code == 0
    names = [container["name"] for container in found.pod["spec"]["containers"]]
    assert sorted(names) == ["fortio", "linkerd-proxy"]
    assert found.pod["status"]["phase"] == "Running"
    text = metrics(client, found.pod)
    sent = total(text, "request_total", direction="outbound", tls="true", dst_service="meshed")
    assert sent == found.sent
    assert not kinds.holds(client.get(kinds.JOBS, "kept", space), "Complete")


def test_a_plain_sidecar_can_be_told_to_end(client: Client, space: str) -> None:
    """``linkerd-await --shutdown`` ends it, where its admin server may be asked to."""
    notes = {**MESHED, NATIVE: "false", "config.linkerd.io/proxy-admin-shutdown": "enabled"}
    awaited = ["linkerd-await", "--shutdown", "--", "fortio", *LOAD, f"http://meshed{ECHO}"]
    start(client, space, "awaited", awaited, notes=notes)
    assert over(client, space, "awaited").exit_code == 0
    until(lambda: kinds.holds(client.get(kinds.JOBS, "awaited", space), "Complete"))


def test_generators_of_an_indexed_job_know_their_number(client: Client, space: str) -> None:
    more = {"completionMode": "Indexed", "completions": 2, "parallelism": 2}
    start(client, space, "both", [*LOAD, f"http://baseline{ECHO}"], **more)
    until(lambda: kinds.holds(client.get(kinds.JOBS, "both", space), "Complete"))
    both = sorted(pods_of(client, space, "both"), key=lambda pod: str(pod["metadata"]["name"]))
    assert [pod["metadata"]["name"][:7] for pod in both] == ["both-0-", "both-1-"]
    for number, pod in enumerate(both):
        note = pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]
        assert note == str(number)
        found = Load(pod, log_of(client, pod, "fortio"))
        assert len(found.access) == found.sent - WARMUP
        (env,) = [e["name"] for e in pod["spec"]["containers"][0]["env"]]
        assert env == "JOB_COMPLETION_INDEX"


def test_a_job_past_its_deadline_ends_and_goes(client: Client, space: str) -> None:
    long = [*LOAD[:6], "600s", *LOAD[7:], f"http://baseline{ECHO}"]
    start(client, space, "long", long, activeDeadlineSeconds=1, ttlSecondsAfterFinished=1)
    until(lambda: kinds.condition(client.get(kinds.JOBS, "long", space), "Failed"))
    until(lambda: not pods_of(client, space, "long"))
    until(lambda: client.find(kinds.JOBS, "long", space) is None)


def test_statistics_cover_sidecars_and_never_run_backwards(client: Client, space: str) -> None:
    pod = pod_of(client, space, "meshed")
    node = pod["spec"]["nodeName"]

    def read() -> tuple[dict[str, int], int]:
        answer = client.request("GET", f"/api/v1/nodes/{node}/proxy/stats/summary")
        (mine,) = [e for e in answer["pods"] if e["podRef"]["uid"] == pod["metadata"]["uid"]]
        used = {c["name"]: c["cpu"]["usageCoreNanoSeconds"] for c in mine["containers"]}
        assert all(c["memory"]["rssBytes"] > 1e6 for c in mine["containers"])
        return used, answer["node"]["cpu"]["usageCoreNanoSeconds"]

    before, whole_before = read()
    assert set(before) == {"fortio", "linkerd-proxy"}
    start(client, space, "busy", [*LOAD, f"http://meshed{ECHO}"],
          parallelism=1)  # fmt: skip
    over(client, space, "busy")
    client.delete(kinds.JOBS, "busy", space)
    until(lambda: not pods_of(client, space, "busy"))
    after, whole_after = read()
    for name in before:
        spent = after[name] - before[name]
        assert 0 < spent < 20e9
        assert spent % 10**7  # finer than the clock ticks of /proc
    assert whole_after - whole_before >= sum(after.values()) - sum(before.values())


def test_metrics_of_the_kubelet(twin: Twin, client: Client, space: str) -> None:
    node = pod_of(client, space, "meshed")["spec"]["nodeName"]
    path = f"/api/v1/nodes/{node}/proxy/metrics"
    text = client.request("GET", f"{path}/resource")
    assert "\nscrape_error 0\n" in text
    assert 'container_memory_working_set_bytes{container="linkerd-proxy"' in text
    text = client.request("GET", f"{path}/cadvisor")
    assert 'container="linkerd-proxy",cpu="total",id="/kubepods' in text
    number = twin.faults.set(Fault("cadvisor-labels", name=node))
    text = client.request("GET", f"{path}/cadvisor")
    assert "linkerd-proxy" not in text
    assert "/kubepods/besteffort/pod" in text
    twin.faults.clear(number)
    assert "linkerd-proxy" in client.request("GET", f"{path}/cadvisor")


def test_a_proxy_with_a_nonsense_delay_does_not_start(client: Client, space: str) -> None:
    server(client, space, "wrong", **MESHED, **{DELAY: "soon"})

    last = {"previous": "true"}

    def refuses() -> bool:
        for pod in client.list(kinds.PODS, space, selector="app=wrong"):
            try:
                return "'soon' is no duration" in log_of(client, pod, "linkerd-proxy", **last)
            except ApiError:
                continue  # it has not begun
        return False

    until(refuses)
    client.delete(kinds.DEPLOYMENTS, "wrong", space)


def test_a_node_gets_too_hot_on_demand(twin: Twin, client: Client) -> None:
    name = namespace(client, "heat")
    container = {"name": "probe", "image": "busybox:1.36", "command": ["sh", "-c", "true"]}
    spec = {"containers": [container], "nodeName": "node3"}
    client.create(kinds.PODS, {"metadata": {"name": "probe", "namespace": name}, "spec": spec})
    pod = until(lambda: (p := client.get(kinds.PODS, "probe", name))["spec"].get("nodeName") and p)

    def last() -> str:
        try:
            lines = log_of(client, pod, "probe", tailLines="1").splitlines()
        except ApiError:  # it has not begun
            return ""
        return json.loads(lines[0])["throttled"] if lines else ""

    until(lambda: last() == "0x0")
    elsewhere = twin.faults.set(Fault("throttled", name="node1"))
    here = twin.faults.set(Fault("throttled", name="node3"))
    until(lambda: last() == "0x60006")
    twin.faults.clear(here)
    until(lambda: last() == "0x60000")
    twin.faults.clear(elsewhere)
