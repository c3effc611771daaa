"""What the benchmark puts into the cluster: taken by a strict API server, pinned, in its arm."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench_place import Place

from runbook.bench import deploy, hosts
from runbook.bench.fortio import GRPC_PORT, HTTP_PORT
from runbook.bench.snapshot import Host
from runbook.bench.targets import Targets
from runbook.errors import RunbookError
from runbook.params import Params

TARGETS = Targets(
    servers=("node1", "node2.lan"),
    clients={"node1": "node2.lan", "node2.lan": "node1"},
    hostnames={"node1": "node1", "node2.lan": "pi-two"},
    arms=("baseline", "meshed", "skipped"),
)
PARAMS = Params.parse({})
OBJECTS = deploy.objects(PARAMS, TARGETS)
Object = dict[str, Any]


def of_kind(kind: str) -> dict[str, Object]:
    return {obj["metadata"]["name"]: obj for obj in OBJECTS if obj["kind"] == kind}


def pod_templates() -> Iterator[Object]:
    for obj in OBJECTS:
        if "template" in obj.get("spec", {}):
            yield obj["spec"]["template"]


@pytest.mark.parametrize("obj", OBJECTS, ids=lambda obj: f"{obj['kind']}-{obj['metadata']['name']}")
def test_the_api_server_takes_it(place: Place, obj: Object) -> None:
    made = place.cluster.apply(obj, dry_run=True)
    assert made["metadata"]["labels"].items() >= deploy.PART_OF.items()


def test_it_would_not_take_a_field_too_many(place: Place) -> None:
    pod = {**of_kind("DaemonSet")["probe"]["spec"]["template"]["spec"], "nodeName2": "x"}
    template = {**of_kind("DaemonSet")["probe"]["spec"]["template"], "spec": pod}
    wrong = {**of_kind("DaemonSet")["probe"]}
    wrong["spec"] = {**wrong["spec"], "template": template}
    with pytest.raises(RunbookError, match="nodeName2"):
        place.cluster.apply(wrong, dry_run=True)


def test_there_is_a_server_for_each_node_and_arm_and_the_namespace_comes_first() -> None:
    names = {f"echo-{arm}-{node}" for arm in TARGETS.arms for node in ("node1", "node2-lan")}
    assert set(of_kind("Deployment")) == set(of_kind("Service")) == names
    assert OBJECTS[0]["kind"] == "Namespace"
    assert set(of_kind("DaemonSet")) == {"probe"}


def test_servers_are_pinned_by_the_hostname_label() -> None:
    for name, obj in of_kind("Deployment").items():
        pinned = obj["spec"]["template"]["spec"]["nodeSelector"]
        wanted = "pi-two" if name.endswith("node2-lan") else "node1"
        assert pinned == {"kubernetes.io/hostname": wanted}
        assert obj["spec"]["replicas"] == 1


def test_the_probe_is_on_the_nodes_that_take_part_and_only_reads() -> None:
    pod = of_kind("DaemonSet")["probe"]["spec"]["template"]["spec"]
    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = required["nodeSelectorTerms"]
    (rule,) = term["matchExpressions"]
    assert rule["values"] == ["node1", "pi-two"]
    (container,) = pod["containers"]
    assert all(mount["readOnly"] for mount in container["volumeMounts"])
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["automountServiceAccountToken"] is False


def test_nothing_has_a_cpu_limit() -> None:
    containers = [one for pod in pod_templates() for one in pod["spec"]["containers"]]
    assert len(containers) == 7
    for container in containers:
        assert "limits" not in container["resources"]
        assert container["resources"]["requests"]["cpu"]


@pytest.mark.parametrize(
    ("arm", "annotations"),
    [
        ("baseline", {"linkerd.io/inject": "disabled"}),
        ("meshed", {"linkerd.io/inject": "enabled"}),
        (
            "skipped",
            {
                "linkerd.io/inject": "enabled",
                "config.linkerd.io/skip-inbound-ports": f"{GRPC_PORT},{HTTP_PORT}",
            },
        ),
    ],
)
def test_each_pod_says_in_which_arm_it_is(arm: str, annotations: dict[str, str]) -> None:
    for node in ("node1", "node2-lan"):
        template = of_kind("Deployment")[f"echo-{arm}-{node}"]["spec"]["template"]
        assert template["metadata"]["annotations"] == annotations
    namespace = of_kind("Namespace")[PARAMS.bench_namespace]["metadata"]
    assert "linkerd.io/inject" not in {**namespace["labels"], **namespace.get("annotations", {})}
    probe = of_kind("DaemonSet")["probe"]["spec"]["template"]["metadata"]
    assert probe["annotations"] == {"linkerd.io/inject": "disabled"}


def test_a_generator_skips_on_its_way_out() -> None:
    assert deploy.injection("skipped", "outbound") == {
        "linkerd.io/inject": "enabled",
        "config.linkerd.io/skip-outbound-ports": f"{GRPC_PORT},{HTTP_PORT}",
    }
    assert deploy.injection("meshed", "outbound") == {"linkerd.io/inject": "enabled"}


def test_a_service_reaches_its_own_server_and_no_other() -> None:
    for name, service in of_kind("Service").items():
        selector = service["spec"]["selector"].items()
        reached = [
            server
            for server, obj in of_kind("Deployment").items()
            if selector <= obj["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert reached == [name]
        assert {port["port"] for port in service["spec"]["ports"]} == {HTTP_PORT, GRPC_PORT}
    host = deploy.server_host("meshed", "node2.lan", "linkerd-bench")
    assert host == "echo-meshed-node2-lan.linkerd-bench.svc.cluster.local"


# --- the probe's script ---------------------------------------------------------------------------

PI = {
    "class/thermal/thermal_zone0/temp": b"48312\n",
    "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": b"1500000\n",
    "devices/system/cpu/cpu0/cpufreq/scaling_governor": b"ondemand\n",
    "devices/platform/soc/soc:firmware/get_throttled": b"50005\n",
    "firmware/devicetree/base/model": b"Raspberry Pi 4 Model B Rev 1.4\0",
}
STAT = "cpu  100 20 300 5000 40 5 60 7 0 0"
SHELLS = [shell for shell in ("sh", "dash", "bash", "busybox") if shutil.which(shell)]


def command(shell: str) -> list[str]:
    return ["busybox", "sh"] if shell == "busybox" else [shell]


def script(root: Path = Path("/host")) -> str:
    """Give the script as the pod has it, or for files of another place and one line."""
    container = of_kind("DaemonSet")["probe"]["spec"]["template"]["spec"]["containers"][0]
    assert container["command"][:2] == ["sh", "-c"]
    text = str(container["command"][2])
    if root != Path("/host"):
        for path in ("/host/sys", "/proc"):
            assert path in text
            text = text.replace(path, f"{root}/{Path(path).name}")
        text = text.replace("sleep 2", "exit")
    return text


def spoken(shell: str, root: Path) -> tuple[Host, str]:
    """Give what a probe says, and the model in it."""
    done = subprocess.run(
        [*command(shell), "-c", script(root)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    host = hosts.parse(line)
    assert host is not None, line
    return host, json.loads(line)["model"]


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "stat").write_text(f"{STAT}\ncpu0 1 2 3 4 5 6 7 8 0 0\n")
    (tmp_path / "proc" / "uptime").write_text("12345.67 45678.90\n")
    (tmp_path / "sys").mkdir()
    return tmp_path


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_a_shell_script(shell: str) -> None:
    subprocess.run([*command(shell), "-n", "-c", script()], check=True)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_probe_of_a_pi(shell: str, machine: Path) -> None:
    for name, content in PI.items():
        file = machine / "sys" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    host, model = spoken(shell, machine)
    assert model == "Raspberry Pi 4 Model B Rev 1.4"
    assert (host.temperature, host.mhz, host.governor) == (48.312, 1500.0, "ondemand")
    assert host.throttled == 0x50005
    assert host.uptime == 12345.67
    assert (host.busy, host.softirq) == (4.85, 0.6)
    assert not host.rehearsal


@pytest.mark.parametrize("shell", SHELLS)
def test_the_probe_of_a_machine_without_sensors(shell: str, machine: Path) -> None:
    host, model = spoken(shell, machine)
    assert model == ""
    assert (host.temperature, host.mhz, host.governor, host.throttled) == (None, None, "", None)
    assert host.busy == 4.85
