"""The state of a whole cluster's mesh, read page by page: no pod is kept, only counts.

Memory is that of one page and a small record for each workload, however many pods there are. One
request for each page of Namespaces, Jobs and pods; none for a single workload. Which workload a pod
belongs to is told by the pod itself.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from runbook.checks import Context
from runbook.errors import ForbiddenError
from runbook.linkerd.installed import read_config
from runbook.linkerd.outcomes import Object
from runbook.linkerd.pods import PROXY, containers
from runbook.meshing.decision import INJECT, REASONS, decide
from runbook.meshing.injector import Injector, of_line, read_injector
from runbook.meshing.jobs import is_stuck
from runbook.meshing.workloads import owner, template

__all__ = ["Mesh", "Space", "Tally", "read_mesh"]

_OVER = ("Succeeded", "Failed")
_VERSION, _TRUST = "linkerd.io/proxy-version", "linkerd.io/trust-root-sha256"
_ROOTS_KEY = "ca-bundle.crt"
_EXAMPLES = 3  # names kept of the pods that something is wrong with
_PAGE = 100  # pods a request: some 10 MB of memory
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

WRONG: Mapping[str, str] = {
    "unready": "its proxy is not ready",
    "missing": "it asks for a proxy and has none",
    "left over": "it has a proxy and asks for none",
    "old proxy": "its proxy is of another version than the control plane",
    "old anchors": "it was made with other trust anchors",
    "hanging": "its Job has ended, its proxy has not",
}
"""What can be wrong with a pod; all but the first and the last are mended by a restart."""


@dataclass
class Tally:
    """What was counted of one workload.

    Attributes:
        kind: Of the workload.
        name: Its name.
        pods: Its pods that have not ended.
        meshed: Those with a proxy.
        reasons: Why the others have none, by the injector's own names.
        wrong: What is wrong with its pods, by the keys of :data:`WRONG`.
        examples: A few of those pods.
        restarts: Of their proxies.
    """

    kind: str
    name: str
    pods: int = 0
    meshed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    restarts: int = 0

    @property
    def state(self) -> str:
        """Give ``meshed``, ``partly`` or ``not``."""
        return "meshed" if self.meshed == self.pods else "partly" if self.meshed else "not"

    @property
    def why(self) -> str:
        """Say in words why pods have no proxy, and what is wrong with any."""
        reasons = [REASONS[reason] for reason in self.reasons]
        return "; ".join([*reasons, *(WRONG[wrong] for wrong in self.wrong)])


@dataclass
class Space:
    """What was counted of one namespace.

    Attributes:
        name: Its name.
        inject: Its annotation ``linkerd.io/inject``.
        selected: Whether the webhook is asked about its pods.
        workloads: By kind and name.
    """

    name: str
    inject: str
    selected: bool
    workloads: dict[tuple[str, str], Tally] = field(default_factory=dict)

    @property
    def pods(self) -> int:
        """Give how many pods it has."""
        return sum(one.pods for one in self.workloads.values())

    @property
    def meshed(self) -> int:
        """Give how many of them have a proxy."""
        return sum(one.meshed for one in self.workloads.values())

    @property
    def idle(self) -> bool:
        """Whether its annotation has no effect."""
        return self.inject in ("enabled", "ingress") and not self.selected


@dataclass
class Mesh:
    """What was counted of a cluster.

    Attributes:
        injector: Its injector.
        running: Version of the control plane, empty if there is none.
        anchors: Checksums that a pod made with the present trust anchors may carry.
        spaces: By name of the namespace.
        versions: How many proxies there are of each version.
        unread: What could not be read, and why.
    """

    injector: Injector
    running: str = ""
    anchors: frozenset[str] = frozenset()
    spaces: dict[str, Space] = field(default_factory=dict)
    versions: Counter[str] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)

    @property
    def pods(self) -> int:
        """Give how many pods there are."""
        return sum(one.pods for one in self.spaces.values())

    @property
    def meshed(self) -> int:
        """Give how many of them have a proxy."""
        return sum(one.meshed for one in self.spaces.values())


def read_mesh(context: Context, namespace: str = "") -> Mesh:
    """Read the state of the mesh. Only lists and gets; what is forbidden is told in the result.

    Args:
        context: The cluster and where the control plane is.
        namespace: Only this one; empty for all.
    """
    mesh = Mesh(of_line(context.line))
    with _told(mesh, "the injector"):
        mesh.injector = read_injector(context)
        mesh.running = str((read_config(context) or {}).get("linkerdVersion") or "")
    with _told(mesh, "the trust anchors"):
        mesh.anchors = _anchors(context)
    homes: dict[str, Object] = {}
    for one in _tried(mesh, "namespaces", _namespaces(context, namespace)):
        name = str(one["metadata"]["name"])
        homes[name] = {"metadata": _kept(one["metadata"])}
        notes = homes[name]["metadata"]["annotations"]
        mesh.spaces[name] = Space(name, notes.get(INJECT, ""), mesh.injector.selects(homes[name]))
    scheduled = dict(_tried(mesh, "jobs", _scheduled(context, namespace)))
    for pod in _tried(mesh, "pods", _pods(context, namespace)):
        space = mesh.spaces.get(str(pod["metadata"]["namespace"]))
        if space is None or _is_over(pod):
            continue
        kind, name = owner(pod, scheduled.get(space.name, {}))
        tally = space.workloads.setdefault((kind, name), Tally(kind, name))
        _count(mesh, tally, pod, homes[space.name])
    return mesh


def _count(mesh: Mesh, tally: Tally, pod: Object, home: Object) -> None:
    """Add one pod to what was counted of its workload."""
    tally.pods += 1
    wanted = decide(template("Pod", pod), home, mesh.injector, automounts=_has_token(pod))
    proxy = _proxy(pod)
    if proxy is None:
        tally.reasons.update(wanted.reasons)
        wrong = "missing" if wanted.meshed else ""
    else:
        tally.meshed += 1
        tally.restarts += int(proxy.get("restartCount", 0))
        notes = pod["metadata"].get("annotations") or {}
        mesh.versions[str(notes.get(_VERSION) or "unknown")] += 1
        asked = not any(reason.startswith("injection_") for reason in wanted.reasons)
        wrong = _wrong(mesh, pod, proxy, asked=asked)
    if wrong:
        tally.wrong[wrong] += 1
        if len(tally.examples) < _EXAMPLES:
            tally.examples.append(str(pod["metadata"]["name"]))


def _wrong(mesh: Mesh, pod: Object, proxy: Object, *, asked: bool) -> str:
    """Say what is wrong with a pod that has a proxy, by the keys of :data:`WRONG`."""
    notes = pod["metadata"].get("annotations") or {}
    version, trust = notes.get(_VERSION), notes.get(_TRUST)
    control_plane = "linkerd.io/control-plane-component" in (pod["metadata"].get("labels") or {})
    found = {
        "hanging": is_stuck(pod),
        "left over": not asked and not control_plane,
        "old proxy": bool(mesh.running and version) and version != mesh.running,
        "old anchors": bool(mesh.anchors and trust) and trust not in mesh.anchors,
        "unready": not proxy.get("ready"),
    }
    return next((name for name, holds in found.items() if holds), "")


def _namespaces(context: Context, namespace: str) -> Iterator[Object]:
    fields = f"metadata.name={namespace}" if namespace else ""
    return context.cluster.list("v1", "Namespace", fields=fields)


def _pods(context: Context, namespace: str) -> Iterator[Object]:
    return context.cluster.list("v1", "Pod", namespace, limit=_PAGE)


def _scheduled(context: Context, namespace: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Give the CronJob of each Job that has one, by namespace."""
    found: dict[str, dict[str, str]] = {}
    for job in context.cluster.list("batch/v1", "Job", namespace):
        meta = job["metadata"]
        for one in meta.get("ownerReferences") or []:
            if one.get("controller") and one["kind"] == "CronJob":
                found.setdefault(str(meta["namespace"]), {})[str(meta["name"])] = str(one["name"])
    yield from found.items()


def _tried(mesh: Mesh, what: str, items: Iterator[Any]) -> Iterator[Any]:
    """Give items until one may not be read; that is told."""
    with _told(mesh, what):
        yield from items


@contextmanager
def _told(mesh: Mesh, what: str) -> Iterator[None]:
    """Note that something may not be read, and go on."""
    try:
        yield
    except ForbiddenError as error:
        mesh.unread.append(f"{what}: {error.what}")


def _anchors(context: Context) -> frozenset[str]:
    """Give the checksums that a pod made with the present trust anchors may carry."""
    home = context.params.linkerd_namespace
    roots = context.cluster.find("v1", "ConfigMap", context.line.trust_roots, home) or {}
    text = str((roots.get("data") or {}).get(_ROOTS_KEY, ""))
    forms = {text, text.strip(), f"{text.strip()}\n"} if text.strip() else set()
    return frozenset(hashlib.sha256(form.encode()).hexdigest() for form in forms)


def _is_over(pod: Object) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return phase in _OVER or bool(pod["metadata"].get("deletionTimestamp"))


def _proxy(pod: Object) -> Object | None:
    """Give the status of a pod's proxy, ``None`` if it has none."""
    return next((status for spec, status, _ in containers(pod) if spec["name"] == PROXY), None)


def _has_token(pod: Object) -> bool:
    first = (pod["spec"].get("containers") or [{}])[-1]
    return any(one["mountPath"] == _ACCOUNT for one in first.get("volumeMounts") or [])


def _kept(meta: Mapping[str, Any]) -> Object:
    """Keep of a namespace's metadata what decides about its pods."""
    notes = meta.get("annotations") or {}
    return {
        "name": meta["name"],
        "labels": dict(meta.get("labels") or {}),
        "annotations": {key: value for key, value in notes.items() if "linkerd.io/" in key},
    }
