"""The workloads of a namespace and their pods: who made a pod, and from which template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runbook.cluster import Cluster
from runbook.linkerd.outcomes import Object

__all__ = ["KINDS", "Workload", "find_workloads", "owner", "template"]

KINDS: Mapping[str, str] = {
    "Deployment": "apps/v1",
    "DaemonSet": "apps/v1",
    "StatefulSet": "apps/v1",
    "CronJob": "batch/v1",
    "Job": "batch/v1",
}
"""Kinds with a pod template that meshing looks at, in the order of tables, and their version."""

_HASH = "pod-template-hash"
_INJECTED = ("linkerd-proxy", "linkerd-init", "linkerd-network-validator")


@dataclass(frozen=True)
class Workload:
    """Something that makes pods.

    Attributes:
        kind: ``Deployment``, ``DaemonSet``, ``StatefulSet``, ``CronJob``, ``Job``; for a pod that
            something else made, its kind; for one nobody made, ``Pod``.
        name: Its name.
        namespace: Its namespace.
        obj: The object itself; where its template is not known, a pod of it.
        pods: Its pods.
    """

    kind: str
    name: str
    namespace: str
    obj: Mapping[str, Any] = field(default_factory=dict, repr=False)
    pods: Sequence[Object] = field(default=(), repr=False)

    @property
    def title(self) -> str:
        """As kubectl names it: ``deployment/podinfo``."""
        return f"{self.kind.lower()}/{self.name}"

    @property
    def template(self) -> Object:
        """Give ``metadata`` and ``spec`` of its next pod, before injection."""
        return template(self.kind, self.obj)

    @property
    def owner(self) -> str:
        """Give who controls the workload itself, such as ``Prometheus/k8s``; empty for a user."""
        found = _controller(self.obj)
        return f"{found['kind']}/{found['name']}" if found else ""


def template(kind: str, obj: Mapping[str, Any]) -> Object:
    """Give the pod template of a workload: ``metadata`` and ``spec``, both always there.

    Of a pod it is what it was before the injector was at it.
    """
    if kind not in KINDS:
        return {"metadata": obj.get("metadata") or {}, "spec": _uninjected(obj.get("spec") or {})}
    found: Any = obj.get("spec") or {}
    if kind == "CronJob":
        found = (found.get("jobTemplate") or {}).get("spec") or {}
    found = found.get("template") or {}
    return {"metadata": found.get("metadata") or {}, "spec": found.get("spec") or {}}


def find_workloads(
    cluster: Cluster, namespace: str, kinds: Sequence[str] = (*KINDS, "Pod")
) -> list[Workload]:
    """Find the workloads of a namespace with their pods, in the order of their kinds and names.

    Jobs of a CronJob are not listed: their pods are the CronJob's. Pods that nobody made, or that
    something else did, come last.

    Args:
        cluster: Where.
        namespace: Which.
        kinds: Which kinds.
    """
    jobs = list(cluster.list("batch/v1", "Job", namespace))
    scheduled = {
        job["metadata"]["name"]: found["name"]
        for job in jobs
        if (found := _controller(job)) and found["kind"] == "CronJob"
    }
    pods: dict[tuple[str, str], list[Object]] = {}
    for pod in cluster.list("v1", "Pod", namespace):
        pods.setdefault(owner(pod, scheduled), []).append(pod)
    found_ = []
    for kind in (one for one in kinds if one in KINDS):
        objects = jobs if kind == "Job" else cluster.list(KINDS[kind], kind, namespace)
        for obj in sorted(objects, key=lambda one: str(one["metadata"]["name"])):
            name = str(obj["metadata"]["name"])
            if kind == "Job" and name in scheduled:
                continue
            found_.append(Workload(kind, name, namespace, obj, pods.get((kind, name), ())))
    others = _others(namespace, pods) if "Pod" in kinds else ()
    return [*found_, *others]


def owner(pod: Mapping[str, Any], scheduled: Mapping[str, str]) -> tuple[str, str]:
    """Give kind and name of the workload that a pod belongs to.

    A ReplicaSet of a Deployment is told by its name, which ends with the hash that its pods carry.

    Args:
        pod: The pod.
        scheduled: CronJob of each Job that has one, by the Job's name.
    """
    found = _controller(pod)
    meta = pod["metadata"]
    if found is None:
        return "Pod", str(meta["name"])
    kind, name = str(found["kind"]), str(found["name"])
    digest = (meta.get("labels") or {}).get(_HASH, "")
    if kind == "ReplicaSet" and digest and name.endswith(f"-{digest}"):
        return "Deployment", name.removesuffix(f"-{digest}")
    if kind == "Job" and name in scheduled:
        return "CronJob", scheduled[name]
    return kind, name


def _others(namespace: str, pods: Mapping[tuple[str, str], list[Object]]) -> Iterator[Workload]:
    for (kind, name), members in sorted(pods.items()):
        if kind not in KINDS:
            yield Workload(kind, name, namespace, members[0], members)


def _uninjected(spec: Mapping[str, Any]) -> Object:
    parts = ("containers", "initContainers")
    kept = {
        part: [one for one in spec.get(part) or [] if one["name"] not in _INJECTED]
        for part in parts
        if spec.get(part)
    }
    return {**spec, **kept}


def _controller(obj: Mapping[str, Any]) -> Object | None:
    owners = (obj.get("metadata") or {}).get("ownerReferences") or []
    return next((dict(one) for one in owners if one.get("controller")), None)
