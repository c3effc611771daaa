"""Checks of the benchmark before anything is measured; :mod:`findings` looks at what came of it."""

from __future__ import annotations

from collections.abc import Iterator

from runbook.bench import hosts, kubelet, readings
from runbook.bench.deploy import server_name
from runbook.bench.design import LEAST
from runbook.bench.findings import campaign_checks, footprint_checks, latency_checks
from runbook.bench.pods import find_pods
from runbook.bench.targets import design, find_targets, overhead
from runbook.checks import Context, Outcome
from runbook.linkerd.outcomes import absent, few, judge
from runbook.linkerd.pods import PROXY, containers, problem
from runbook.show import duration

__all__ = [
    "access",
    "budget",
    "campaign_checks",
    "footprint_checks",
    "latency_checks",
    "node_health",
    "nodes",
    "quiet",
    "servers",
]

_NOTEBOOK = "60-bench-deploy"
_LOG_LINES = 80_000
"""Requests a generator's log may hold: a kubelet rotates logs at 10 MiB, a line has some 110 B."""


def nodes(context: Context) -> Iterator[Outcome]:
    """The nodes to measure are ready, and generators run elsewhere."""
    targets = find_targets(context.cluster, context.params)
    shared = [node for node, client in targets.clients.items() if node == client]
    pairs = [f"{node} from {client}" for node, client in targets.clients.items()]
    yield judge(
        "bench-nodes",
        "nodes to measure are ready, and the load comes from another node",
        "warn" if shared else "pass",
        expected="generators on another node than servers",
        seen=few(pairs, 8),
        why=f"on {few(shared)} both share one processor, so each disturbs the other",
        fix="measure a cluster with two ready workers or more",
    )


def access(context: Context) -> Iterator[Outcome]:
    """Kubelets may be asked for their Summary API, and account for memory."""
    title = "kubelets say what containers use"
    if not context.cluster.can("get", "nodes/proxy"):
        yield judge(
            "bench-kubelets",
            title,
            "warn",
            expected="get on nodes/proxy",
            seen="not allowed",
            why="the Summary API is read through the API server's node proxy",
            fix="latency can be measured without; for the footprint allow get on nodes/proxy",
        )
        return
    targets = find_targets(context.cluster, context.params)
    missing = [
        gap
        for node in targets.nodes
        for gap in kubelet.summary(context.cluster, node, namespaces=()).missing
    ]
    yield judge(
        "bench-kubelets",
        title,
        "warn" if missing else "pass",
        expected="CPU and memory of every node",
        seen=few(missing, 3) or f"{len(targets.nodes)} kubelets answered",
        why="Raspberry Pi OS turns the memory cgroup off unless the kernel is told otherwise",
        fix="append cgroup_memory=1 cgroup_enable=memory to cmdline.txt and reboot the node",
        see="https://docs.k3s.io/installation/requirements",
    )


def quiet(context: Context) -> Iterator[Outcome]:
    """Nothing of Linkerd's own puts load on the nodes meanwhile."""
    found = [
        str(one["metadata"]["name"])
        for one in context.cluster.list("v1", "Namespace", selector="linkerd.io/extension")
    ]
    yield judge(
        "bench-quiet",
        "no extension of Linkerd runs beside the benchmark",
        "warn" if found else "pass",
        expected="none",
        seen=few(found) or "none",
        why="on a Pi, Viz with its Prometheus is a load by itself, in both arms",
        fix=f"kubectl -n {found[0] if found else ''} scale deployment --all --replicas=0, and back "
        "to 1 afterwards",
    )


def servers(context: Context) -> Iterator[Outcome]:
    """Each arm's server runs on its node, with a proxy only where it should have one."""
    targets = find_targets(context.cluster, context.params)
    pods = find_pods(context.cluster, context.params.bench_namespace, targets)
    if not pods.servers:
        title = "the servers of the benchmark run"
        yield absent(context, "bench-servers", title, "their Deployments", _NOTEBOOK)
        return
    for node in targets.servers:
        wrong = [
            told for arm in targets.arms if (told := _wrong(pods.server(arm, node), arm, node))
        ]
        yield judge(
            f"bench-servers-{node}",
            f"{node} serves {' and '.join(targets.arms)}",
            not wrong,
            expected=f"{len(targets.arms)} ready pods, a proxy in all but baseline",
            seen="; ".join(wrong) or f"{len(targets.arms)} ready pods",
            why="without both arms nothing can be compared",
            fix=f"run notebook {_NOTEBOOK}; kubectl -n {context.params.bench_namespace} get pods "
            "-o wide",
        )


def node_health(context: Context) -> Iterator[Outcome]:
    """Processors of the nodes are cool, and their clocks not held back."""
    targets = find_targets(context.cluster, context.params)
    pods = find_pods(context.cluster, context.params.bench_namespace, targets)
    title = "temperature and clock of the nodes are known"
    if not pods.probes:
        yield absent(context, "bench-probe", title, "DaemonSet probe", _NOTEBOOK)
        return
    found = readings.take(context.cluster, nodes=(), proxies=(), probes=pods.probe_paths())
    yield from hosts.health(found.hosts)
    silent = [node for node in targets.nodes if node not in found.hosts]
    yield judge(
        "bench-probe",
        title,
        "warn" if silent else "pass",
        expected=f"a line of the probe on {len(targets.nodes)} nodes",
        seen=f"nothing from {few(silent)}" if silent else few(sorted(found.hosts), 8),
        why="without it, a Pi that is held back by heat or its power supply is not noticed",
        fix=f"kubectl -n {context.params.bench_namespace} logs daemonset/probe",
    )


def budget(context: Context) -> Iterator[Outcome]:
    """The time allows enough blocks, and no generator writes more than its log holds."""
    targets = find_targets(context.cluster, context.params)
    made = design(context.params, targets, rehearsal=context.cluster.rehearsal)
    start = overhead(rehearsal=context.cluster.rehearsal)
    needed = LEAST * len(made.cells) * made.block_seconds(start)
    yield judge(
        "bench-budget",
        f"bench_budget allows {LEAST} blocks of each of {len(made.cells)} cells",
        needed <= made.budget_minutes * 60,
        expected=f"{duration(needed)} or more",
        seen=duration(made.budget_minutes * 60),
        why=f"with fewer than {LEAST} blocks no 95 % interval of ranks exists",
        fix="raise bench_budget, or lower bench_seconds, or name fewer nodes or rates",
    )
    most = max(cell.rps for cell in made.cells) / made.generators
    lines = most * made.load_seconds
    yield judge(
        "bench-log",
        "a generator's log holds its requests",
        lines <= _LOG_LINES,
        expected=f"at most {_LOG_LINES} requests a generator and run",
        seen=f"{lines:.0f}",
        why="a kubelet rotates a container's log at 10 MiB, and latencies would be lost",
        fix="raise bench_generators, or lower bench_seconds",
    )


def _wrong(pod: dict[str, object] | None, arm: str, node: str) -> str:
    """Say what is wrong with a server; empty if nothing is."""
    name = server_name(arm, node)
    if pod is None:
        return f"{name} is not there"
    if told := problem(pod):
        return told
    meshed = any(spec["name"] == PROXY for spec, _, _ in containers(pod))
    if meshed != (arm != "baseline"):
        return f"{name} {'has a' if meshed else 'lacks its'} proxy"
    return ""
