"""What the tests of the load path share: servers, Jobs that put load on them, what came of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from controllers_help import deployment, rolled_out, until

from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds

Object = dict[str, Any]
IMAGE = "fortio/fortio:1.68.0"
LOAD = ("load", "-qps", "500", "-c", "4", "-t", "200ms", "-uniform", "-r", "0.0001", "-json", "-",
        "-access-log-file", "/dev/stdout", "-log-errors=false", "-timeout", "10s")  # fmt: skip
SENT = 100
"""Requests of one load besides one per connection for the warm-up, when time suffices."""
WARMUP = 4


@dataclass(frozen=True)
class Load:
    """One load that is over: its pod, its log, and what the log holds."""

    pod: Object
    log: str

    @property
    def exit_code(self) -> int:
        (state,) = [
            s["state"]["terminated"]
            for s in self.pod["status"]["containerStatuses"]
            if s["name"] == "fortio"
        ]
        return int(state["exitCode"])

    @property
    def access(self) -> list[Object]:
        lines = self.log.splitlines()
        return [json.loads(line) for line in lines if line.startswith('{"latency"')]

    @property
    def sent(self) -> int:
        """Give the requests it says it made, warm-up included.

        A few of the last may be missing on a busy machine: fortio stops when its time is over.
        """
        found = re.search(r"All done (\d+) calls \(plus (\d+) warmup\)", self.log)
        assert found is not None
        return int(found[1]) + int(found[2])

    @property
    def result(self) -> Object:
        start = self.log.index("\n{\n") + 1
        found: Object = json.JSONDecoder().raw_decode(self.log[start:])[0]
        return found


def server(client: Client, space: str, name: str, **notes: str) -> None:
    """Start a server with a Service of the same name; double underscores are dots."""
    args = ["server", "-http-port", "8080", "-grpc-port", "8079"]
    args += ["-tcp-port", "disabled", "-udp-port", "disabled", "-redirect-port", "disabled"]
    ports = [
        {"name": "http", "containerPort": 8080},
        {"name": "grpc", "containerPort": 8079},
    ]
    container = {"name": "fortio", "image": IMAGE, "args": args, "ports": ports}
    deployment(client, space, name, containers=[container], annotations=notes)
    services = [{"name": p["name"], "port": p["containerPort"]} for p in ports]
    client.create(
        kinds.SERVICES,
        {
            "metadata": {"name": name, "namespace": space},
            "spec": {"selector": {"app": name}, "ports": services},
        },
    )


def ready(client: Client, space: str, *names: str) -> None:
    for name in names:
        until(lambda name=name: rolled_out(client, space, name))


def start(client: Client, space: str, name: str, args: list[str], **more: Any) -> None:
    """Create a Job with one load container."""
    notes = more.pop("notes", {})
    container = {"name": "fortio", "image": IMAGE, "args": args}
    pod = {"restartPolicy": "Never", "containers": [container]}
    template = {"metadata": {"annotations": notes}, "spec": pod}
    spec = {"backoffLimit": 0, "template": template, **more}
    client.create(kinds.JOBS, {"metadata": {"name": name, "namespace": space}, "spec": spec})


def pods_of(client: Client, space: str, job: str) -> list[Object]:
    return list(client.list(kinds.PODS, space, selector=f"job-name={job}"))


def over(client: Client, space: str, job: str) -> Load:
    """Wait until the load container of a Job's pod has ended."""

    def look() -> Object | None:
        for pod in pods_of(client, space, job):
            for status in (pod.get("status") or {}).get("containerStatuses") or []:
                if status["name"] == "fortio" and "terminated" in status["state"]:
                    return pod
        return None

    pod = until(look)
    return Load(pod, log_of(client, pod, "fortio"))


def run(client: Client, space: str, name: str, url: str, *flags: str, **notes: str) -> Load:
    start(client, space, name, [*LOAD, *flags, url], notes=notes)
    return over(client, space, name)


def log_of(client: Client, pod: Object, container: str, **query: str) -> str:
    meta = pod["metadata"]
    path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/log"
    return str(client.request("GET", path, query={"container": container, **query}))


def pod_of(client: Client, space: str, app: str) -> Object:
    (found,) = client.list(kinds.PODS, space, selector=f"app={app}")
    return found


def metrics(client: Client, pod: Object) -> str:
    meta = pod["metadata"]
    path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}:4191/proxy/metrics"
    return str(client.request("GET", path))


def total(text: str, name: str, **labels: str) -> float:
    """Add up a metric over the label sets that have all these labels."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return sum(float(value) for inner, value in found if all(w in inner for w in wanted))
