"""Signs that something will not get ready: in a workload's pods, in a certificate's issuer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from runbook.errors import ApiError
from runbook.readiness import condition, is_observed

__all__ = ["Reader", "Symptom", "look"]

Object = dict[str, Any]

_LOG_LINES = 12
_IMAGE = ("ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_CONFIG = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
# Seconds a sign must last before it ends a wait: what often passes by itself gets some.
_SCHEDULING_GRACE = 5.0  # a volume being bound, a node just coming back
_CONFIG_GRACE = 15.0  # a Secret or ConfigMap about to be created
_ISSUER_GRACE = 5.0  # cert-manager looking at a new issuer


class Reader(Protocol):
    """What is needed to look around."""

    def find(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        """Read an object, ``None`` if absent."""

    def list(
        self,
        api_version: str,
        kind: str,
        namespace: str = "",
        *,
        selector: str = "",
        fields: str = "",
    ) -> Iterable[Object]:
        """Read objects."""

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str = "",
        *,
        previous: bool = False,
        tail: int = 0,
    ) -> str:
        """Read a container's log."""


@dataclass(frozen=True)
class Symptom:
    """A sign of failure.

    Attributes:
        reason: What is wrong.
        fix: What to do or where to look.
        log: Last lines of the container's log.
        grace: Seconds it must last before it counts.
    """

    reason: str
    fix: str = ""
    log: str = ""
    grace: float = 0.0


def look(cluster: Reader, kind: str, obj: Object) -> Iterator[Symptom]:
    """Look for signs that an object will not get ready.

    Args:
        cluster: Where to look.
        kind: Kind of the object.
        obj: The object as last read.
    """
    if kind in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
        for pod in _pods(cluster, kind, obj):
            yield from _pod_symptoms(cluster, pod)
    elif kind == "Pod":
        yield from _pod_symptoms(cluster, obj)
    elif kind == "Certificate":
        yield from _issuer_symptoms(cluster, obj)


def _pods(cluster: Reader, kind: str, obj: Object) -> Iterator[Object]:
    """Give the pods of a workload's newest revision; earlier ones may fail without harm."""
    namespace = obj["metadata"]["namespace"]
    labels = ((obj.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    if not labels or not is_observed(obj):  # the revision it names may be the one before
        return
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    newest = _newest(cluster, kind, obj, selector)
    for pod in cluster.list("v1", "Pod", namespace, selector=selector):
        owners = {o.get("uid") for o in pod["metadata"].get("ownerReferences") or []}
        if pod["metadata"].get("deletionTimestamp") or not newest(pod, owners):
            continue
        yield pod


def _newest(cluster: Reader, kind: str, obj: Object, selector: str) -> Any:
    """Give a test of whether a pod belongs to the newest revision of a workload."""
    uid, status = obj["metadata"]["uid"], obj.get("status") or {}
    if kind == "Deployment":
        key = "deployment.kubernetes.io/revision"
        revision = (obj["metadata"].get("annotations") or {}).get(key)
        sets = cluster.list(
            "apps/v1", "ReplicaSet", obj["metadata"]["namespace"], selector=selector
        )
        current = {
            rs["metadata"]["uid"]
            for rs in sets
            if revision and (rs["metadata"].get("annotations") or {}).get(key) == revision
        }
        return lambda pod, owners: bool(owners & current)
    if kind == "StatefulSet":
        revision = status.get("updateRevision")
        return lambda pod, owners: (
            uid in owners
            and pod["metadata"].get("labels", {}).get("controller-revision-hash") == revision
        )
    return lambda pod, owners: uid in owners


def _pod_symptoms(cluster: Reader, pod: Object) -> Iterator[Symptom]:
    meta, status = pod["metadata"], pod.get("status") or {}
    where = f"kubectl -n {meta['namespace']} describe pod {meta['name']}"
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        message = f"pod {meta['name']} fits no node: {scheduled.get('message')}"
        yield Symptom(message, where, grace=_SCHEDULING_GRACE)
    for container in [
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
    ]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        named = f"container {container['name']} of pod {meta['name']}"
        if reason == "CrashLoopBackOff":
            yield _crash(cluster, pod, container, named)
        elif reason in _IMAGE:
            text = f"{named} cannot get its image {container.get('image', '')}: {reason} {message}"
            yield Symptom(text.strip(), f"check the name of the image and the network; {where}")
        elif reason in _CONFIG:
            yield Symptom(f"{named}: {reason}: {message}", where, grace=_CONFIG_GRACE)


def _crash(cluster: Reader, pod: Object, container: Object, named: str) -> Symptom:
    last = (container.get("lastState") or {}).get("terminated") or {}
    detail = f"exit code {last.get('exitCode')}" if "exitCode" in last else "no exit code"
    if last.get("reason") not in (None, "Error"):
        detail = f"{last['reason']}, {detail}"  # OOMKilled
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    return Symptom(
        f"{named} crashes again and again ({detail})",
        f"kubectl -n {namespace} logs {name} -c {container['name']} --previous",
        log=_last_words(cluster, namespace, name, container["name"]),
    )


def _last_words(cluster: Reader, namespace: str, pod: str, container: str) -> str:
    """Give the end of a crashed container's log; the log may be gone already."""
    for previous in (True, False):
        try:
            text = cluster.logs(namespace, pod, container, previous=previous, tail=_LOG_LINES)
        except ApiError:
            continue
        if text.strip():
            return "\n".join(f"| {line}" for line in text.rstrip().splitlines())
    return ""


def _issuer_symptoms(cluster: Reader, certificate: Object) -> Iterator[Symptom]:
    ref = certificate["spec"].get("issuerRef") or {}
    group, kind = ref.get("group") or "cert-manager.io", ref.get("kind") or "Issuer"
    if group != "cert-manager.io":
        return
    namespace = certificate["metadata"]["namespace"] if kind == "Issuer" else ""
    issuer = cluster.find("cert-manager.io/v1", kind, ref["name"], namespace)
    scope = f"-n {namespace} " if namespace else ""
    fix = f"kubectl {scope}describe {kind.lower()} {ref['name']}"
    if issuer is None:
        yield Symptom(f"its {kind} {ref['name']} does not exist", fix, grace=_ISSUER_GRACE)
        return
    ready = condition(issuer, "Ready")
    if ready.get("status") == "False":
        detail = ": ".join(str(ready[key]) for key in ("reason", "message") if ready.get(key))
        text = f"its {kind} {ref['name']} is not ready: {detail}"
        yield Symptom(text, fix, grace=_ISSUER_GRACE)
