"""What simulated containers of Linkerd answer at their admin ports: ``/metrics``, and no more.

Start, CPU and memory are those of the account that the kubelet keeps of a container. A proxy also
counts what a simulated pod gets in truth: the probes of the kubelet, as many as its age allows.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from runbook.rehearsal.client import Object
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.images.proxy import build, ignores, minor
from runbook.rehearsal.kubelet.containers import PROXY, Container
from runbook.rehearsal.kubelet.sandbox import Sandbox
from runbook.rehearsal.traffic.metrics import Metrics, inbound, process

__all__ = ["page"]

_HEAD = "# rehearsal: simulated\n"
_LIFE = timedelta(hours=24).total_seconds()
_RENEWED = _LIFE * 0.7
"""Seconds after which a proxy asks for its next certificate, as relays do."""
_OWN = ("linkerd.io/control-plane-component", "linkerd.io/extension")
"""Labels of the pods of the control plane and of its extensions."""
_PROBES = ("readinessProbe", "livenessProbe")
_PERIOD = 10
_REQUEST, _ANSWER = 110, 75
"""Bytes of a probe's request and of the answer, or thereabouts."""


def page(sandbox: Sandbox, pod: Object, port: int, path: str) -> str | None:
    """Answer in the place of a simulated container.

    Args:
        sandbox: The pod as it runs.
        pod: The same, as the API has it.
        port: Port that is asked.
        path: Path that is asked for, without a slash before it.

    Returns:
        The text; None where there is nobody, or somebody who answers for himself.
    """
    found = _listening(sandbox, port) if path == "metrics" else None
    if found is None:
        return None
    container, name = found
    if not container.running_since or container.process is not None:
        return None
    if container.name == PROXY and name == "linkerd-admin":
        return _HEAD + _proxy(sandbox, pod, container)
    labels = pod["metadata"].get("labels") or {}
    if any(label in labels for label in _OWN) and _administers(name):
        return _HEAD + "".join(f"{line}\n" for line in process(_figures(container)))
    return None


def _listening(sandbox: Sandbox, port: int) -> tuple[Container, str] | None:
    """Find the container that declares a port, and what the port is called."""
    for container in sandbox.all():
        for entry in container.spec.get("ports") or []:
            if entry["containerPort"] == port:
                return container, entry.get("name", "")
    return None


def _administers(name: str) -> bool:
    return name in ("admin", "admin-http") or name.endswith("-admin")


def _figures(container: Container) -> dict[str, float]:
    account = container.account()
    begun = kinds.parse_time(account.since).timestamp() if account.since else 0.0
    return {
        "process_cpu_seconds_total": account.cpu / 1e9,
        "process_resident_memory_bytes": account.resident,
        "process_virtual_memory_bytes": account.resident * 4,
        "process_start_time_seconds": begun,
        "process_open_fds": 16,
    }


def _proxy(sandbox: Sandbox, pod: Object, container: Container) -> str:
    image = str(container.spec.get("image", "")).rpartition(":")[2]
    age = max(kinds.age(container.running_since), 0.0)
    line = minor(pod)

    def figures() -> dict[str, float]:
        known = _figures(container)
        return known | ({"process_uptime_seconds_total": age} if line >= 12 else {})

    metrics = Metrics(build(image), line, figures)
    for port, count in _probed(sandbox, pod):
        labels = inbound(sandbox.address, port, None)
        if line >= 12:  # from then on the policy controller knows probes by name
            labels |= {"route_name": "probe", "authz_name": "probe"}
        series = metrics.series(labels)
        series.requests += count
        series.responses[200] += count
        series.buckets[0] += count
        series.milliseconds += count
        for peer, read, written in (("src", _REQUEST, _ANSWER), ("dst", _ANSWER, _REQUEST)):
            series.opened[peer] += count
            series.closed[peer] += count
            series.read[peer] += read * count
            series.written[peer] += written * count
    if container.env().get("LINKERD2_PROXY_IDENTITY_LOCAL_NAME"):
        renewals = int(age // _RENEWED)
        begun = kinds.parse_time(container.running_since).timestamp()
        metrics.refreshed = int(begun + renewals * _RENEWED)
        metrics.expires = int(metrics.refreshed + _LIFE)
        metrics.refreshes = renewals + 1
    return metrics.text()


def _probed(sandbox: Sandbox, pod: Object) -> Iterator[tuple[int, int]]:
    """Give port and number of the probes that have come through the proxy so far."""
    for container in sandbox.main:
        if container.name == PROXY or not container.running_since:
            continue
        for kind in _PROBES:
            probe = container.spec.get(kind) or {}
            port = _port(container, (probe.get("httpGet") or {}).get("port"))
            if not port or ignores(pod, port, inbound=True):
                continue
            age = kinds.age(container.running_since) - probe.get("initialDelaySeconds", 0)
            count = int(age // probe.get("periodSeconds", _PERIOD)) + 1
            if age >= 0:
                yield port, count


def _port(container: Container, wanted: int | str | None) -> int:
    """Give the number of a probe's port, which may be a name; 0 when there is none."""
    if isinstance(wanted, int):
        return wanted
    named = {p.get("name"): p["containerPort"] for p in container.spec.get("ports") or []}
    return int(named.get(wanted, 0))
