"""What the parameters ask for: which annotations, and whether this injector would heed them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from runbook import releases
from runbook.checks import Context, Outcome
from runbook.linkerd.outcomes import few, judge
from runbook.mesh_options import OPTIONS, PREFIX
from runbook.meshing.decision import INJECT
from runbook.meshing.injector import Injector, read_injector
from runbook.meshing.workloads import Workload
from runbook.releases import Line

__all__ = ["KUBE_SYSTEM", "injector_asked", "options_known", "traffic", "wanted_annotations"]

_NATIVE = "proxy-enable-native-sidecar"
# Protocols whose server speaks first, beyond the default of opaque-ports of every line
# (25,587,3306,4444,5432,6379,9300,11211).
_OTHERS = {21: "FTP", 110: "POP3", 143: "IMAP", 1433: "SQL Server", 1521: "Oracle", 5672: "AMQP",
           27017: "MongoDB", 33060: "MySQL X"}  # fmt: skip
SEE = "https://linkerd.io/2-edge/reference/proxy-configuration/"

KUBE_SYSTEM = (
    "set inject_kube_system: true and run notebooks 15 and 50; or install it in a namespace of its "
    "own, which is cleanest; linkerd inject --manual is undone by whoever installs it again"
)
"""The ways out where the injector does not look at a namespace (linkerd2, values.yaml 2.12)."""


def wanted_annotations(context: Context) -> dict[str, str]:
    """Give the annotations of the parameters ``mesh_inject`` and ``mesh_options``.

    Native sidecars are asked for by the name that the line knows.
    """
    params = context.params
    if params.mesh_inject == "disabled":
        return {INJECT: "disabled"}
    options = dict(params.mesh_annotations)
    staged = context.line.native_annotations
    if PREFIX + _NATIVE in options and staged:
        options[staged[0]] = options.pop(PREFIX + _NATIVE)
    return {INJECT: params.mesh_inject, **options}


def options_known(context: Context, *, at_namespace: bool = False) -> Iterator[Outcome]:
    """The options of the proxy are known to the line, and heeded where they are set."""
    wanted = [name.removeprefix(PREFIX) for name in context.params.mesh_annotations]
    title = f"{context.line.name} knows the options"
    if not wanted:
        yield judge("mesh-options", title, "skip", seen="no mesh_options")
        return
    unknown = [f"{name} (from {_since(name)} on)" for name in wanted if not _known(context, name)]
    lost = [name for name in wanted if at_namespace and not OPTIONS[name].inherited]
    yield judge(
        "mesh-options",
        title,
        not unknown and not lost,
        expected=few(wanted),
        seen=f"unknown: {few(unknown)}"
        if unknown
        else f"not taken from a namespace: {few(lost)}"
        if lost
        else "all of them",
        why="its injector would ignore them without a word",
        fix="leave them out, or choose a newer line"
        if unknown
        else "set them at the workloads, with notebook 30",
        see=SEE,
    )


def injector_asked(context: Context, namespace: str) -> Iterator[Outcome]:
    """The injector is asked about pods of the namespace."""
    title = f"the injector is asked about pods of {namespace or 'the namespace'}"
    home = context.cluster.find("v1", "Namespace", namespace) if namespace else None
    if home is None:
        yield judge(
            "injector-asked",
            title,
            "fail" if namespace else "skip",
            expected="a namespace",
            seen=f"there is no namespace {namespace}" if namespace else "mesh_namespace is empty",
            fix="kubectl get namespaces, and set mesh_namespace",
        )
        return
    injector = read_injector(context)
    asked = injector.selects(home)
    yield judge(
        "injector-asked",
        title,
        asked,
        expected="selected by the webhook",
        seen="selected" if asked else "nothing would happen: the webhook leaves this namespace out",
        why=_left_out(injector, namespace),
        fix=KUBE_SYSTEM
        if namespace == "kube-system"
        else f"kubectl get namespace {namespace} --show-labels, and compare with the webhook "
        "linkerd-proxy-injector-webhook-config",
        see="https://linkerd.io/2-edge/features/proxy-injection/",
    )


def traffic(context: Context, found: Sequence[Workload]) -> Iterator[Outcome]:
    """The traffic of the workloads is of a kind that proxies can carry."""
    ingress = context.params.mesh_inject == "ingress"
    opaque = str(context.params.mesh_annotations.get(PREFIX + "opaque-ports", ""))
    skipped = str(context.params.mesh_annotations.get(PREFIX + "skip-inbound-ports", ""))
    waiting, udp = [], []
    for one in found:
        for port, protocol in _ports(one):
            named = str(port) in f"{opaque},{skipped}".split(",")
            if protocol == "UDP":
                udp.append(f"{one.title} {port}/UDP")
            elif port in _OTHERS and not named:
                waiting.append(f"{one.title} {port} ({_OTHERS[port]})")
    told = [
        *(["ingress mode carries HTTP only, and needs l5d-dst-override (51)"] if ingress else []),
        *([f"the server may speak first: {few(waiting)}"] if waiting else []),
        *([f"not carried: {few(udp)}"] if udp else []),
    ]
    yield judge(
        "traffic",
        "their traffic is of a kind that proxies can carry",
        "warn" if waiting or ingress else "pass",
        expected="HTTP, gRPC, or TCP where the client speaks first",
        seen="; ".join(told) or "nothing known to the contrary",
        why="a proxy waits 10 s for the client to speak before it gives up looking for HTTP",
        fix="name those ports in mesh_options: {opaque-ports: ...}",
        see="https://linkerd.io/2-edge/features/protocol-detection/",
    )


def _known(context: Context, name: str) -> bool:
    if name == _NATIVE:
        return bool(context.line.native_annotations)
    return _position(OPTIONS[name].since) <= _position(context.line.version)


def _since(name: str) -> str:
    lines: Sequence[Line] = releases.LINES
    if name == _NATIVE:
        return next(line.name for line in lines if line.native_annotations)
    return next(line.name for line in lines if line.version == OPTIONS[name].since)


def _position(version: str) -> int:
    return [line.version for line in releases.LINES].index(version)


def _left_out(injector: Injector, namespace: str) -> str:
    if namespace in ("kube-system", "cert-manager"):
        return "since 2.12 the webhook's namespaceSelector leaves out kube-system and cert-manager"
    selector: Mapping[str, object] = injector.namespace_selector
    return f"its namespaceSelector does not select the labels of {namespace}: {dict(selector)}"


def _ports(workload: Workload) -> Iterator[tuple[int, str]]:
    for container in workload.template["spec"].get("containers") or []:
        for port in container.get("ports") or []:
            yield int(port["containerPort"]), str(port.get("protocol", "TCP"))
