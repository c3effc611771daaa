"""Pods on their nodes: what they wait for, how they crash, what they say, how they end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from controllers_help import condition, deployment, events, namespace, pods, rolled_out, until

from runbook.rehearsal import Twin
from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.faults import Fault
from runbook.rehearsal.kubelet import processes, status
from runbook.rehearsal.kubelet.containers import Container


@pytest.fixture(scope="module")
def client(twin: Twin) -> Client:
    return Client.from_kubeconfig(twin.kubeconfig)


@pytest.fixture
def space(client: Client, request: pytest.FixtureRequest) -> str:
    return namespace(client, request.node.name.removeprefix("test_").replace("_", "-")[:60])


def pod(client: Client, space: str, name: str = "p", **spec: Any) -> None:
    spec.setdefault("containers", [{"name": "c", "image": "nginx"}])
    client.create(kinds.PODS, {"metadata": {"name": name, "namespace": space}, "spec": spec})


def state(client: Client, space: str, container: str = "c", name: str = "p") -> tuple[str, str]:
    """Give state and reason of a container."""
    found = client.get(kinds.PODS, name, space).get("status") or {}
    statuses = [
        *(found.get("initContainerStatuses") or []),
        *(found.get("containerStatuses") or []),
    ]
    for entry in statuses:
        if entry["name"] == container:
            ((kind, detail),) = entry["state"].items()
            return kind, detail.get("reason", "")
    return "", ""


def running(client: Client, space: str, name: str = "p") -> Any:
    found = client.get(kinds.PODS, name, space)
    return found if kinds.holds(found, "Ready") else None


def test_pod_runs_with_a_realistic_status(client: Client, space: str) -> None:
    resources = {"requests": {"cpu": "10m", "memory": "8Mi"}}
    limited = [{"name": "c", "image": "nginx", "resources": resources}]
    pod(client, space, containers=limited)
    found = until(lambda: running(client, space))["status"]
    assert found["phase"] == "Running"
    assert found["qosClass"] == "Burstable"
    assert found["podIP"].startswith("10.42.")
    assert found["podIPs"] == [{"ip": found["podIP"]}]
    assert found["hostIP"].startswith("10.0.0.")
    (container,) = found["containerStatuses"]
    assert (container["ready"], container["started"], container["restartCount"]) == (True, True, 0)
    assert container["containerID"].startswith("containerd://")
    assert {c["type"] for c in found["conditions"] if c["status"] == "True"} == {
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    }
    until(lambda: events(client, space, "p", "Started") == ["Started container c"])


def test_pod_waits_for_a_missing_secret(client: Client, space: str) -> None:
    mount = {"name": "tls", "mountPath": "/tls"}
    container = {"name": "c", "image": "nginx", "volumeMounts": [mount]}
    volume = {"name": "tls", "secret": {"secretName": "certificate"}}
    pod(client, space, containers=[container], volumes=[volume])
    text = 'MountVolume.SetUp failed for volume "tls" : secret "certificate" not found'
    until(lambda: text in events(client, space, "p", "FailedMount"))
    assert state(client, space) == ("waiting", "ContainerCreating")
    found = client.get(kinds.PODS, "p", space)
    assert found["status"]["phase"] == "Pending"
    assert "podIP" not in found["status"]
    client.create(kinds.SECRETS, {"metadata": {"name": "certificate", "namespace": space}})
    until(lambda: running(client, space))


def test_container_waits_for_a_missing_key(client: Client, space: str) -> None:
    client.create(kinds.CONFIGMAPS, {"metadata": {"name": "conf", "namespace": space}})
    reference = {"configMapKeyRef": {"name": "conf", "key": "color"}}
    env = [{"name": "COLOR", "valueFrom": reference}]
    pod(client, space, containers=[{"name": "c", "image": "nginx", "env": env}])
    until(lambda: state(client, space) == ("waiting", "CreateContainerConfigError"))
    found = client.get(kinds.PODS, "p", space)["status"]["containerStatuses"][0]
    text = f"couldn't find key color in ConfigMap {space}/conf"
    assert found["state"]["waiting"]["message"] == text
    client.patch(kinds.CONFIGMAPS, "conf", {"data": {"color": "red"}}, space)
    until(lambda: running(client, space))


def test_optional_references_are_not_waited_for(client: Client, space: str) -> None:
    reference = {"secretKeyRef": {"name": "none", "key": "x", "optional": True}}
    env = [{"name": "X", "valueFrom": reference}]
    volume = {"name": "v", "configMap": {"name": "none", "optional": True}}
    pod(client, space, containers=[{"name": "c", "image": "n", "env": env}], volumes=[volume])
    until(lambda: running(client, space))


def test_init_containers_come_first_and_a_sidecar_stays(client: Client, space: str) -> None:
    init = [
        {"name": "first", "image": "busybox"},
        {"name": "side", "image": "proxy", "restartPolicy": "Always"},
        {"name": "last", "image": "busybox"},
    ]
    pod(client, space, initContainers=init)
    found = until(lambda: running(client, space))["status"]
    states = {entry["name"]: list(entry["state"]) for entry in found["initContainerStatuses"]}
    assert states == {"first": ["terminated"], "side": ["running"], "last": ["terminated"]}


def test_failing_init_container_holds_up_the_pod(twin: Twin, client: Client, space: str) -> None:
    number = twin.faults.set(Fault("crash", namespace=space, container="migrate", message="no"))
    pod(client, space, initContainers=[{"name": "migrate", "image": "busybox"}])
    until(lambda: state(client, space, "migrate") == ("waiting", "CrashLoopBackOff"))
    twin.faults.clear(number)
    found = client.get(kinds.PODS, "p", space)
    assert condition(found, "Initialized") == ("False", "ContainersNotInitialized")
    assert state(client, space) == ("waiting", "PodInitializing")
    assert found["status"]["phase"] == "Pending"


def test_crash_loop_says_what_it_should(twin: Twin, client: Client, space: str) -> None:
    number = twin.faults.set(Fault("crash", labels={"app": "bad"}, message="out of cheese"))
    deployment(client, space, "bad")
    deployment(client, space, "good")
    until(lambda: rolled_out(client, space, "good"))

    def looping() -> Any:
        (found,) = pods(client, space, "bad") or [{}]
        entry = ((found.get("status") or {}).get("containerStatuses") or [{}])[0]
        waiting = (entry.get("state") or {}).get("waiting") or {}
        return (found, entry) if waiting.get("reason") == "CrashLoopBackOff" else None

    found, entry = until(looping)
    twin.faults.clear(number)
    assert entry["restartCount"] == 1
    assert entry["lastState"]["terminated"]["exitCode"] == 1
    meta = found["metadata"]
    shown = f"pod={meta['name']}_{space}({meta['uid']})"
    text = f"back-off 10s restarting failed container=c {shown}"
    assert entry["state"]["waiting"]["message"] == text
    path = f"/api/v1/namespaces/{space}/pods/{meta['name']}/log"
    assert client.request("GET", path, query={"previous": "true"}) == "out of cheese\n"
    until(lambda: events(client, space, meta["name"], "BackOff"))


def test_slow_pods_become_ready_late(twin: Twin, client: Client, space: str) -> None:
    number = twin.faults.set(Fault("slow", namespace=space, seconds=0.3))
    pod(client, space)
    until(lambda: state(client, space)[0] == "running")
    assert not kinds.holds(client.get(kinds.PODS, "p", space), "Ready")
    until(lambda: running(client, space))
    twin.faults.clear(number)


def test_logs_and_statistics(client: Client, space: str) -> None:
    pod(client, space)
    found = until(lambda: running(client, space))
    path = f"/api/v1/namespaces/{space}/pods/p/log"
    lines = client.request("GET", path).splitlines()
    assert lines == ["rehearsal: simulating container c of image nginx", "rehearsal: running"]
    assert client.request("GET", path, query={"tailLines": "1"}) == "rehearsal: running\n"
    node = found["spec"]["nodeName"]
    summary = client.request("GET", f"/api/v1/nodes/{node}/proxy/stats/summary")
    assert summary["node"]["nodeName"] == node
    mine = [e for e in summary["pods"] if e["podRef"]["uid"] == found["metadata"]["uid"]]
    assert mine[0]["containers"][0]["memory"]["workingSetBytes"] > 0
    assert summary["node"]["cpu"]["usageNanoCores"] > mine[0]["cpu"]["usageNanoCores"]


def test_statistics_wait_for_no_pod(twin: Twin, client: Client, space: str) -> None:
    """A kubelet that works on a pod waits for the API server, which must not wait for it."""
    pod(client, space)
    node = until(lambda: running(client, space))["spec"]["nodeName"]
    with contextlib.ExitStack() as held:
        for sandbox in list(twin.backend.to._pods.values()):  # type: ignore[attr-defined]
            held.enter_context(sandbox.lock)
        for path in ("stats/summary", "metrics/resource", "metrics/cadvisor"):
            assert client.request("GET", f"/api/v1/nodes/{node}/proxy/{path}")


def test_deleted_pod_goes_and_its_address_is_free_again(client: Client, space: str) -> None:
    pod(client, space)
    until(lambda: running(client, space))
    client.delete(kinds.PODS, "p", space)
    until(lambda: client.find(kinds.PODS, "p", space) is None)


def test_quality_of_service() -> None:
    def of(**resources: Any) -> str:
        return status.quality({"spec": {"containers": [{"name": "c", "resources": resources}]}})

    both = {"cpu": "1", "memory": "1Mi"}
    assert of() == "BestEffort"
    assert of(limits=both) == "Guaranteed"
    assert of(limits=both, requests={**both, "cpu": "500m"}) == "Burstable"


def test_backoff_doubles_up_to_five_minutes(tmp_path: Path) -> None:
    container = Container({"name": "c", "image": "x"}, False, "Always", tmp_path)
    waits = []
    for _ in range(8):
        container.run()
        container.end(1)
        container.restart()
        waits.append((container.waiting, container.backoff))
    assert waits[0] == ("ContainerCreating", 10.0)
    assert [seconds for _, seconds in waits[1:]] == [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]


def test_files_appear_whole_and_go(tmp_path: Path) -> None:
    processes.write_files(tmp_path / "m", {"a": b"1", "b": b"2"})
    processes.write_files(tmp_path / "m", {"a": b"3"})
    assert {p.name: p.read_bytes() for p in (tmp_path / "m").iterdir()} == {"a": b"3"}


def test_processes_die_with_their_parent(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import json, sys, threading
        from pathlib import Path
        from runbook.rehearsal.kubelet.processes import Process
        ready = threading.Event()
        settings = {"ports": {"admin": 9990}, "mounts": {}, "server": "https://127.0.0.1:1",
                    "ca": "", "token": "", "namespace": "x", "args": []}
        found = Process("runbook.rehearsal.images.validator", ports=(9990,), env={},
                        settings=settings, log=Path(sys.argv[1]), changed=ready.set)
        assert ready.wait(20)
        print(found.pid, flush=True)
        threading.Event().wait()
        """
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        until(lambda: not _alive(child))


def _alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.exists() and not stat.exists():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie is over: it only waits for its parent to look.
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def test_settings_of_a_process_hold_no_secret_on_the_command_line(twin: Twin) -> None:
    token = json.dumps(Client.from_kubeconfig(twin.kubeconfig).token)
    assert token not in repr(Client.from_kubeconfig(twin.kubeconfig))
