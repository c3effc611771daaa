"""Checks of the API server and the nodes, before anything is installed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from runbook import releases
from runbook.certs import span
from runbook.checks import Context, Outcome
from runbook.errors import LineError
from runbook.linkerd.outcomes import Object, anchor_link, condition, few, judge
from runbook.linkerd.quantities import quantity

__all__ = [
    "api_answers",
    "api_authentication",
    "clocks",
    "container_runtime",
    "kernels",
    "node_architecture",
    "node_resources",
    "nodes_ready",
    "server_version",
]

_SMALL_MEMORY = 2**30  # a 1 GB Pi evicts the control plane, which requests no memory
_CLOCK_SLACK = timedelta(seconds=20)  # identity's clockSkewAllowance
_LEASE_AGE = timedelta(seconds=60)  # kubelets renew every 10 s; a busy one may miss a few
_CLOCK_STOP = timedelta(minutes=5, seconds=10)  # Linkerd's own limit


def api_answers(context: Context) -> Iterator[Outcome]:
    """The API server answers."""
    yield judge(
        "api-answers",
        "the API server answers",
        True,
        expected="an answer to /version",
        seen=f"Kubernetes {context.cluster.version}, context {context.cluster.name}",
        linkerd="can query the Kubernetes API",
    )


def server_version(context: Context) -> Iterator[Outcome]:
    """The server's version fits the release line."""
    line, version = context.line, context.cluster.version
    title = f"Kubernetes {version} runs {line.name}"
    try:
        releases.require(line, version)
    except LineError as error:
        yield judge(
            "server-version",
            title,
            False,
            expected=line.kube_range,
            seen=error.what,
            why=error.why,
            fix=error.fix,
            see=error.see,
            linkerd="is running the minimum Kubernetes API version",
        )
        return
    untested = releases.parse_version(version) > line.kube_max
    yield judge(
        "server-version",
        title,
        "warn" if untested else "pass",
        expected=line.kube_range,
        seen=version,
        why=f"newer than what Linkerd documents for {line.version}; its charts accept it",
        fix="go on, and look closer at notebook 16; or take a newer line when there is one",
        see=releases.SEE_VERSIONS,
        linkerd="is running the minimum Kubernetes API version",
    )


def api_authentication(context: Context) -> Iterator[Outcome]:
    """Aggregated APIs can authenticate the API server."""
    found = context.cluster.find(
        "v1", "ConfigMap", "extension-apiserver-authentication", "kube-system"
    )
    key = "requestheader-client-ca-file"
    good = bool(((found or {}).get("data") or {}).get(key, "").strip())
    yield judge(
        "api-authentication",
        "aggregated APIs can authenticate the API server",
        "pass" if good else "warn",
        expected=f"ConfigMap kube-system/extension-apiserver-authentication with {key}",
        seen=key if good else "no such key" if found else "no such ConfigMap",
        why="the API server runs without a request-header CA; only the tap API of viz needs it",
        fix="start the API server with --requestheader-client-ca-file (K3s does)",
        see=anchor_link("pre-k8s"),
        linkerd="can read extension-apiserver-authentication configmap",
    )


def nodes_ready(context: Context) -> Iterator[Outcome]:
    """Every node is Ready."""
    nodes = _nodes(context)
    sick = [
        f"{_name(node)}: {_ready(node).get('reason') or 'no Ready condition'}"
        for node in nodes
        if _ready(node).get("status") != "True"
    ]
    cordoned = [_name(node) for node in nodes if node.get("spec", {}).get("unschedulable")]
    good = bool(nodes) and not sick
    yield judge(
        "nodes-ready",
        "every node is Ready",
        ("warn" if cordoned else "pass") if good else "fail",
        expected="Ready, schedulable",
        seen=few(sick)
        or (f"cordoned: {few(cordoned)}" if cordoned else f"{len(nodes)} nodes Ready")
        if nodes
        else "no nodes",
        why="a node that is not Ready runs no new pods; a cordoned one takes none",
        fix="kubectl describe node NAME; kubectl uncordon NAME",
    )


def node_architecture(context: Context) -> Iterator[Outcome]:
    """Every node's architecture has images."""
    line = context.line
    found = {_name(node): _info(node, "architecture") for node in _nodes(context)}
    wrong = [f"{name}: {arch}" for name, arch in found.items() if arch not in line.architectures]
    yield judge(
        "node-architecture",
        f"{line.name} has images for every node",
        not wrong,
        expected=" or ".join(line.architectures),
        seen=few(wrong) or ", ".join(sorted(set(found.values()))),
        why="Linkerd dropped 32-bit ARM in edge-25.8.1 (2.19)",
        fix="install a 64-bit system on those nodes, or take line stable-2.14",
        see="https://linkerd.io/2-edge/reference/k8s-versions/",
    )


def container_runtime(context: Context) -> Iterator[Outcome]:
    """linkerd-init may run as the user it runs as."""
    given = context.params.values.get("proxyInit") or {}
    as_root = bool(given.get("runAsRoot", context.line.run_as_root))
    docker = [
        _name(node)
        for node in _nodes(context)
        if _info(node, "containerRuntimeVersion").startswith("docker:")
    ]
    runtimes = {_info(node, "containerRuntimeVersion") for node in _nodes(context)}
    yield judge(
        "container-runtime",
        "linkerd-init can set up iptables on every node",
        as_root or not docker,
        expected="containerd, or proxyInit.runAsRoot: true",
        seen=f"docker on {few(docker)}" if docker else ", ".join(sorted(runtimes)),
        why="under docker linkerd-init must run as root",
        fix="add to values: {proxyInit: {runAsRoot: true}}",
        see=anchor_link("l5d-proxy-init-run-as-root"),
        linkerd="proxy-init container runs as root user if docker container runtime is used",
    )


def node_resources(context: Context) -> Iterator[Outcome]:
    """The nodes have room for the control plane."""
    small, pressed = [], []
    for node in _nodes(context):
        memory = quantity(str(_allocatable(node, "memory"))) or 0
        cores = quantity(str(_allocatable(node, "cpu"))) or 0
        if memory < _SMALL_MEMORY or cores < 1:
            small.append(f"{_name(node)}: {memory / 2**20:.0f} Mi, {cores:g} cores")
        pressed += [
            f"{_name(node)}: {kind}"
            for kind in ("MemoryPressure", "DiskPressure", "PIDPressure")
            if condition(node, kind).get("status") == "True"
        ]
    yield judge(
        "node-resources",
        "the nodes have room for the control plane",
        "warn" if small or pressed else "pass",
        expected="1 GiB and 1 core allocatable on each node, no pressure",
        seen=few(pressed + small) or "enough on every node",
        why="the control plane requests no memory by default, so a full node evicts it first",
        fix="set proxy.resources and controller resources in values, or keep it off those nodes",
    )


def clocks(context: Context) -> Iterator[Outcome]:
    """The nodes' clocks agree with the API server's."""
    now = context.cluster.now()
    leases = {
        lease["metadata"]["name"]: (lease.get("spec") or {}).get("renewTime")
        for lease in context.cluster.list("coordination.k8s.io/v1", "Lease", "kube-node-lease")
    }
    skews: dict[str, timedelta] = {}
    for node in _nodes(context):
        if _ready(node).get("status") != "True":
            continue  # a node that is down renews nothing; nodes_ready tells
        renewed, slack = leases.get(_name(node)), _LEASE_AGE
        if not renewed:
            renewed, slack = _ready(node).get("lastHeartbeatTime"), _CLOCK_STOP
        if renewed:
            skews[_name(node)] = _skew(now - _time(renewed), slack)
    worst = max(map(abs, skews.values()), default=timedelta(0))
    off = [f"{name}: {_direction(skew)}" for name, skew in skews.items() if skew]
    yield judge(
        "clocks",
        "the nodes' clocks agree with the API server's",
        "pass" if not off else "fail" if worst > _CLOCK_STOP else "warn",
        expected=f"within {span(_CLOCK_SLACK)} (identity allows 20 s)",
        seen=few(off) or f"{len(skews)} nodes agree at {now:%H:%M:%S} UTC",
        why="a Pi has no clock of its own: after a boot it is wrong until NTP has set it, and "
        "certificates are then not valid yet",
        fix="timedatectl on each node; enable systemd-timesyncd or chrony",
        see=anchor_link("pre-k8s-clock-skew"),
        linkerd="no clock skew detected",
    )


def kernels(context: Context) -> Iterator[Outcome]:
    """Kernel modules of iptables cannot be seen through the API."""
    nodes = _nodes(context)
    seen = {f"{_info(node, 'osImage')} {_info(node, 'kernelVersion')}" for node in nodes}
    ubuntu = any("raspi" in text for text in seen)
    yield judge(
        "kernels",
        f"linkerd-init finds its kernel modules (iptables mode {context.line.iptables_mode})",
        "skip",
        seen=f"{few(sorted(seen))}; cannot be seen through the API: if linkerd-init crashes, "
        + (
            "install linux-modules-extra-raspi"
            if ubuntu
            else "look for xt_multiport, xt_owner, nf_nat"
        )
        + " or change proxyInit.iptablesMode",
    )


def _nodes(context: Context) -> list[Object]:
    return list(context.cluster.list("v1", "Node"))


def _name(node: Object) -> str:
    return str(node["metadata"]["name"])


def _ready(node: Object) -> Object:
    return dict(condition(node, "Ready"))


def _info(node: Object, key: str) -> str:
    return str(((node.get("status") or {}).get("nodeInfo") or {}).get(key, "unknown"))


def _allocatable(node: Object, resource: str) -> str:
    return str(((node.get("status") or {}).get("allocatable") or {}).get(resource, "0"))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _skew(age: timedelta, slack: timedelta) -> timedelta:
    """Give how far a clock is off: positive when behind, zero inside the slack."""
    if age < -_CLOCK_SLACK:
        return age
    return age if age > slack else timedelta(0)


def _direction(skew: timedelta) -> str:
    return f"{span(abs(skew))} {'behind' if skew > timedelta(0) else 'ahead'}"
