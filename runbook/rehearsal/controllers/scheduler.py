"""The scheduler: a node for every pod, or the reason why there is none."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds, pods
from runbook.rehearsal.controllers.manager import Cluster, Key
from runbook.rehearsal.controllers.quantities import amount

__all__ = ["Refusals", "Scheduler", "requests", "suits"]

_SOURCE = "default-scheduler"
_HARD = "requiredDuringSchedulingIgnoredDuringExecution"


class Refusals(Protocol):
    """Who may keep a pod from being scheduled: the faults."""

    def unschedulable(self, pod: Object) -> str | None:
        """Give the reason why no node takes this pod, or None."""


class Scheduler:
    """Bind pods without a node to the least loaded node that suits them."""

    name = "scheduler"

    def __init__(self, cluster: Cluster, refusals: Refusals | None = None) -> None:
        self._cluster = cluster.acting_as("kube-scheduler")
        self._refusals = refusals
        self._assumed: dict[str, str] = {}
        self._lock = threading.Lock()

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Look at pods without a node when they, the nodes or the occupants change."""
        return {kinds.PODS: self._pods, kinds.NODES: lambda _: self._waiting()}

    def reconcile(self, key: Key) -> float | None:
        """Bind one pod, or say on it why it waits."""
        namespace, name = key
        pod = self._cluster.cache.get(kinds.PODS, name, namespace)
        if pod is None or not _waits(pod):
            return None
        with self._lock:
            return self._place(pod)

    def _place(self, pod: Object) -> float | None:
        nodes = self._cluster.cache.all(kinds.NODES)
        refused: Counter[str] = Counter()
        suitable = []
        reason = self._refusals.unschedulable(pod) if self._refusals is not None else None
        load = self._load()
        for node in nodes:
            why = reason or suits(pod, node) or self._full(pod, node, load)
            if why is None:
                why = self._repelled(pod, node)
            if why is None:
                suitable.append(node)
            else:
                refused[why] += 1
        if not suitable:
            self._refuse(pod, len(nodes), refused)
            return 1.0 if reason else None
        self._bind(pod, min(suitable, key=lambda node: _rank(pod, node, load)))
        return None

    def _pods(self, pod: Object) -> Iterable[Key]:
        if _waits(pod):
            return [kinds.key(pod)]
        return self._waiting() if not pods.active(pod) else []

    def _waiting(self) -> list[Key]:
        return [kinds.key(pod) for pod in self._cluster.cache.all(kinds.PODS) if _waits(pod)]

    def _load(self) -> dict[str, list[Object]]:
        """Give the pods of each node, those included whose binding is not in the cache yet."""
        load: dict[str, list[Object]] = {}
        assumed, self._assumed = self._assumed, {}
        for pod in self._cluster.cache.all(kinds.PODS):
            uid = pod["metadata"]["uid"]
            node = pod["spec"].get("nodeName")
            if not node and uid in assumed:
                node = self._assumed[uid] = assumed[uid]
            if node and not pods.terminal(pod):
                load.setdefault(node, []).append(pod)
        return load

    def _full(self, pod: Object, node: Object, load: Mapping[str, list[Object]]) -> str | None:
        room = (node.get("status") or {}).get("allocatable") or {}
        present = load.get(node["metadata"]["name"], [])
        if len(present) >= int(room.get("pods", 110)):
            return "Too many pods"
        for name in ("cpu", "memory"):
            wanted = requests(pod, name)
            used = sum((requests(other, name) for other in present), Decimal(0))
            if name in room and wanted and used + wanted > amount(room[name]):
                return f"Insufficient {name}"
        taken = {port for other in present for port in _host_ports(other)}
        if taken & set(_host_ports(pod)):
            return "node(s) didn't have free ports for the requested pod ports"
        return None

    def _repelled(self, pod: Object, node: Object) -> str | None:
        """Honour required pod anti-affinity, by any topology label."""
        rules = ((pod["spec"].get("affinity") or {}).get("podAntiAffinity") or {}).get(_HARD) or []
        by_name = {n["metadata"]["name"]: n for n in self._cluster.cache.all(kinds.NODES)}
        for rule in rules:
            label = rule["topologyKey"]
            here = (node["metadata"].get("labels") or {}).get(label)
            for other in self._cluster.cache.all(kinds.PODS, pod["metadata"]["namespace"]):
                host = by_name.get(other["spec"].get("nodeName", ""))
                if host is None or pods.terminal(other):
                    continue
                same = (host["metadata"].get("labels") or {}).get(label) == here
                labels = other["metadata"].get("labels")
                if same and kinds.matches(rule.get("labelSelector"), labels):
                    return "node(s) didn't match pod anti-affinity rules"
        return None

    def _bind(self, pod: Object, node: Object) -> None:
        namespace, name = kinds.key(pod)
        target = {"apiVersion": "v1", "kind": "Node", "name": node["metadata"]["name"]}
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": pod["metadata"]["uid"]},
            "target": target,
        }
        self._cluster.client.create(kinds.PODS, binding, "binding")
        self._assumed[pod["metadata"]["uid"]] = node["metadata"]["name"]
        text = f"Successfully assigned {namespace}/{name} to {target['name']}"
        self._cluster.record.normal(kinds.PODS, pod, _SOURCE, "Scheduled", text)

    def _refuse(self, pod: Object, total: int, refused: Mapping[str, int]) -> None:
        reasons = ", ".join(sorted(f"{count} {why}" for why, count in refused.items()))
        text = "no nodes available to schedule pods"
        if total:
            text = (
                f"0/{total} nodes are available: {reasons}. no new claims to deallocate, "
                f"preemption: 0/{total} nodes are available: "
                f"{total} Preemption is not helpful for scheduling."
            )
        before = kinds.condition(pod, "PodScheduled")
        if before is not None and before.get("message") == text:
            return
        new = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": text,
            "lastProbeTime": None,
        }
        status = dict(pod.get("status") or {})
        status["conditions"] = kinds.with_condition(status.get("conditions"), new)
        self._cluster.set_status(kinds.PODS, pod, status)
        self._cluster.record.warning(kinds.PODS, pod, _SOURCE, "FailedScheduling", text)


def suits(pod: Object, node: Object) -> str | None:
    """Tell why a node cannot take a pod whatever its load is; None when it can.

    The reasons are worded as kube-scheduler words them.
    """
    spec = pod["spec"]
    if (node.get("spec") or {}).get("unschedulable") and not _tolerates(
        spec, {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    ):
        return "node(s) were unschedulable"
    for taint in (node.get("spec") or {}).get("taints") or []:
        if taint["effect"] != "PreferNoSchedule" and not _tolerates(spec, taint):
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    labels = node["metadata"].get("labels") or {}
    wanted = spec.get("nodeSelector") or {}
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(_HARD)
    fits = all(labels.get(name) == value for name, value in wanted.items())
    if affinity is not None:
        fits = fits and any(_matches(term, node) for term in affinity["nodeSelectorTerms"])
    return None if fits else "node(s) didn't match Pod's node affinity/selector"


def requests(pod: Object, resource: str) -> Decimal:
    """Give what a pod asks for: its containers and sidecars together, or its largest init step."""

    def of(container: Object) -> Decimal:
        asked = ((container.get("resources") or {}).get("requests") or {}).get(resource)
        return amount(asked) if asked is not None else Decimal(0)

    running = sum((of(container) for container in pod["spec"]["containers"]), Decimal(0))
    largest = Decimal(0)
    for container in pod["spec"].get("initContainers") or []:
        if container.get("restartPolicy") == "Always":
            running += of(container)
        else:
            largest = max(largest, of(container))
    return max(running, largest)


def _waits(pod: Object) -> bool:
    return not pod["spec"].get("nodeName") and pods.active(pod)


def _rank(pod: Object, node: Object, load: Mapping[str, Sequence[Object]]) -> tuple[int, int, str]:
    """Prefer nodes without pods of the same owner, then those with few pods."""
    name = node["metadata"]["name"]
    present = load.get(name, ())
    owner = kinds.controller_of(pod)
    siblings = 0
    if owner is not None:
        owners = [kinds.controller_of(other) for other in present]
        siblings = sum(other is not None and other["uid"] == owner["uid"] for other in owners)
    return siblings, len(present), name


def _tolerates(spec: Object, taint: Object) -> bool:
    for entry in spec.get("tolerations") or []:
        if entry.get("effect") not in (None, "", taint["effect"]):
            continue
        if entry.get("operator", "Equal") == "Exists":
            if entry.get("key") in (None, "", taint["key"]):
                return True
        elif entry.get("key") == taint["key"] and entry.get("value", "") == taint.get("value", ""):
            return True
    return False


def _matches(term: Object, node: Object) -> bool:
    fields = {"metadata.name": node["metadata"]["name"]}
    return kinds.matches(
        {"matchExpressions": term.get("matchExpressions") or []}, node["metadata"].get("labels")
    ) and kinds.matches({"matchExpressions": term.get("matchFields") or []}, fields)


def _host_ports(pod: Object) -> list[tuple[str, int]]:
    return [
        (port.get("protocol", "TCP"), port["hostPort"])
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or []
        if port.get("hostPort")
    ]
