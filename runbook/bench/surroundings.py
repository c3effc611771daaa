"""Where a campaign runs: versions, nodes and their models, read before its first block."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from runbook.bench.campaign import Environment
from runbook.errors import ApiError
from runbook.linkerd import pods as pod_facts
from runbook.linkerd.installed import CONFIG, parse_config

if TYPE_CHECKING:
    from runbook.bench.pods import Pods
    from runbook.bench.targets import Targets
    from runbook.cluster import Cluster
    from runbook.params import Params

__all__ = ["differences", "read_environment"]


def read_environment(cluster: Cluster, params: Params, targets: Targets, pods: Pods) -> Environment:
    """Read what the numbers of a campaign depend on.

    The model of a Raspberry Pi is not known to Kubernetes; the probe reads it from the device
    tree. It is empty on machines without one.
    """
    config = cluster.find("v1", "ConfigMap", CONFIG, params.linkerd_namespace)
    values = (parse_config(config) if config else None) or {}
    meshed = [pod for name, pod in pods.servers.items() if name.startswith("echo-meshed-")]
    return Environment(
        cluster={"name": cluster.name, "uid": cluster.uid, "version": cluster.version},
        rehearsal=cluster.rehearsal,
        linkerd=str(values.get("linkerdVersion") or ""),
        proxy=pod_facts.image_tag(meshed[0], pod_facts.PROXY) if meshed else "",
        nodes={name: _node(cluster, name, pods) for name in targets.nodes},
        generator=params.bench_image,
        runbook=importlib.metadata.version("linkerd-runbook"),
    )


def differences(before: Environment, now: Environment) -> tuple[str, ...]:
    """Say what has become another since a campaign began: its blocks would not be of one kind.

    What is not known on either side, such as the model before a probe has spoken, is no difference.
    """
    return tuple(
        f"{title} was {old} and is {new}"
        for title, old, new in _compared(before, now)
        if old and new and old != new
    )


def _compared(before: Environment, now: Environment) -> Iterator[tuple[str, str, str]]:
    yield "Linkerd", before.linkerd, now.linkerd
    yield "the proxy", before.proxy, now.proxy
    for name in sorted(before.nodes.keys() & now.nodes.keys()):
        for fact in ("model", "kernel", "os", "kubelet"):
            old, new = (there.nodes[name].get(fact, "") for there in (before, now))
            yield f"{fact} of {name}", old, new


def _node(cluster: Cluster, name: str, pods: Pods) -> dict[str, str]:
    node = cluster.get("v1", "Node", name)
    info: Mapping[str, Any] = (node.get("status") or {}).get("nodeInfo") or {}
    return {
        "model": _model(cluster, pods, name),
        "arch": str(info.get("architecture", "")),
        "kernel": str(info.get("kernelVersion", "")),
        "os": str(info.get("osImage", "")),
        "kubelet": str(info.get("kubeletVersion", "")),
    }


def _model(cluster: Cluster, pods: Pods, node: str) -> str:
    path = pods.probe_paths().get(node, "")
    namespace, _, pod = path.partition("/")
    try:
        line = cluster.logs(namespace, pod, "probe", tail=1) if pod else ""
        return str(json.loads(line or "{}").get("model") or "")
    except (ApiError, ValueError):  # the probe has not spoken yet: the model stays unknown
        return ""
