"""Faults on demand: what shall go wrong in the rehearsal cluster, and how often.

In process they are set through ``Twin.faults``; a detached twin takes them over HTTP from its
administrator: ``POST /faults`` with the JSON of a ``Fault``, ``GET`` to list, ``DELETE`` to clear.

What a real cluster would suffer without anybody's help (an expired issuer, a missing CRD) needs
no fault: ``runbook.rehearsal.mishaps`` brings such states about through the API.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from runbook.errors import RehearsalError
from runbook.rehearsal.apiserver.requests import Request, Response, Target, target
from runbook.rehearsal.apiserver.statuses import Refusal
from runbook.rehearsal.client import Object

__all__ = ["Fault", "Faults"]

Kind = Literal[
    "api", "drop-watches", "crash", "slow", "unschedulable", "never-ready", "throttled",
    "cadvisor-labels", "targets-down",
]  # fmt: skip
_KINDS = get_args(Kind)
_SYSTEM = (
    "kube-controller-manager", "kubelet", "kube-scheduler", "cert-manager", "linkerd-", "traefik",
    "k8s-sidecar",
)  # fmt: skip
"""User agents of the cluster's own parts: they are spared unless a fault says otherwise."""
_REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass(frozen=True)
class Fault:
    """One thing that shall go wrong.

    Args:
        kind: ``api`` (a request is refused or delayed), ``drop-watches`` (once), ``crash``,
            ``slow`` and ``unschedulable`` (pods), ``never-ready`` (a Certificate), ``throttled``
            (a node is too hot: its probe says so), ``cadvisor-labels`` (a node's cAdvisor metrics
            do not name containers, as K3s has it), ``targets-down`` (nobody answers when the
            metrics of a namespace's pods are asked for).
        verb: For ``api``: ``get``, ``list``, ``watch``, ``create``, ``update``, ``patch``,
            ``delete``; empty for any.
        resource: For ``api`` and ``drop-watches``: plural name; empty for any.
        namespace: Only there; empty for everywhere.
        name: Only this object, for ``throttled`` and ``cadvisor-labels`` this node; empty for any.
        labels: For pods: only those with these labels.
        container: For ``crash``: only this container; empty for the pod's own ones.
        status: For ``api``: HTTP status to answer; 0 to only delay.
        retry_after: For ``api``: seconds in a ``Retry-After`` header; 0 for none.
        seconds: For ``api``: delay of the answer; for ``slow``: time until pods are ready.
        message: What is said: in the Status, as the last words of a crashing container, as the
            scheduler's reason, in the Certificate's condition.
        times: How often; 0 for always.
        system: Whether the cluster's own controllers are hit as well.
    """

    kind: Kind
    verb: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    container: str = ""
    status: int = 500
    retry_after: int = 0
    seconds: float = 0.0
    message: str = ""
    times: int = 0
    system: bool = False

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise RehearsalError(
                f"there is no fault of kind {self.kind!r}", fix=f"use one of {', '.join(_KINDS)}"
            )


class Faults:
    """The faults of one rehearsal cluster; safe to use from any thread.

    Args:
        drop: Ends the open watches of a resource, of all when it is empty.
    """

    def __init__(self, drop: Callable[[str], None] | None = None) -> None:
        self._drop = drop
        self._faults: dict[int, Fault] = {}
        self._left: dict[int, int] = {}
        self._next = 1
        self._lock = threading.Lock()
        self._watchers: list[Callable[[], None]] = []

    def observe(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher`` after every change."""
        self._watchers.append(watcher)

    def set(self, fault: Fault) -> int:
        """Set a fault.

        Returns:
            Its number, for ``clear``.
        """
        if fault.kind == "drop-watches":
            if self._drop is not None:
                self._drop(fault.resource)
            return 0
        with self._lock:
            number, self._next = self._next, self._next + 1
            self._faults[number] = fault
            self._left[number] = fault.times or -1
        self._changed()
        return number

    def clear(self, number: int | None = None) -> None:
        """Clear one fault, or all of them."""
        with self._lock:
            for key in list(self._faults) if number is None else [number]:
                self._faults.pop(key, None)
                self._left.pop(key, None)
        self._changed()

    def active(self) -> dict[int, Fault]:
        """Give the faults that are set, by number."""
        with self._lock:
            return dict(self._faults)

    def intercept(self, request: Request) -> Response | Awaitable[Response | None] | None:
        """Answer in place of the API server when a fault says so.

        Args:
            request: The request, its user known.

        Returns:
            The answer, one to wait for, or None to go on as usual.
        """
        if request.path == "/faults":
            return self._control(request)
        if not self._faults:
            return None
        fault = self._hit(request)
        if fault is None:
            return None
        answer = _refusal(fault) if fault.status else None
        return _later(fault.seconds, answer) if fault.seconds else answer

    def crash(self, pod: Object, container: str) -> str | None:
        """Give the last words of a container that shall crash, or None."""
        fault = self._of_pod("crash", pod)
        if fault is None:
            return None
        own = [
            entry["name"] for entry in pod["spec"]["containers"] if entry["name"][:7] != "linkerd"
        ]
        if container != fault.container and (fault.container or container not in own):
            return None
        return fault.message or "rehearsal: this container was told to crash"

    def delay(self, pod: Object) -> float:
        """Give the seconds until the containers of a pod become ready."""
        fault = self._of_pod("slow", pod)
        return fault.seconds if fault is not None else 0.0

    def unschedulable(self, pod: Object) -> str | None:
        """Give the reason why no node takes this pod, or None."""
        fault = self._of_pod("unschedulable", pod)
        return (fault.message or "Insufficient memory") if fault is not None else None

    def throttled(self, node: str) -> bool:
        """Tell whether a node is too hot."""
        return self._of_node("throttled", node)

    def unlabelled(self, node: str) -> bool:
        """Tell whether a node's cAdvisor metrics do not name containers."""
        return self._of_node("cadvisor-labels", node)

    def never_ready(self, certificate: Object) -> str | None:
        """Give what a Certificate that shall not become ready says, or None."""
        meta = certificate["metadata"]
        namespace, name = meta.get("namespace", ""), meta["name"]
        for fault in self.active().values():
            here = fault.namespace in ("", namespace) and fault.name in ("", name)
            if fault.kind == "never-ready" and here:
                return fault.message or "The certificate request has failed to complete"
        return None

    def _changed(self) -> None:
        for watcher in self._watchers:
            watcher()

    def _of_node(self, kind: Kind, node: str) -> bool:
        active = self.active().values()
        return any(fault.kind == kind and fault.name in ("", node) for fault in active)

    def _of_pod(self, kind: Kind, pod: Object) -> Fault | None:
        if not self._faults:
            return None
        meta = pod["metadata"]
        labels = (meta.get("labels") or {}).items()
        for fault in self.active().values():
            if fault.kind != kind or fault.namespace not in ("", meta.get("namespace")):
                continue
            if fault.name in ("", meta["name"]) and dict(fault.labels).items() <= labels:
                return fault
        return None

    def _hit(self, request: Request) -> Fault | None:
        wanted = target(request)
        own = request.headers.get("user-agent", "").startswith(_SYSTEM)
        with self._lock:
            for number, fault in list(self._faults.items()):
                if not _concerns(fault, wanted) or (own and not fault.system):
                    continue
                self._left[number] -= 1
                if not self._left[number]:
                    del self._faults[number], self._left[number]
                return fault
        return None

    def _control(self, request: Request) -> Response:
        if "system:masters" not in request.user.groups:
            message = f'User "{request.user.name}" cannot change faults'
            return Response.refuse(Refusal(403, message, "Forbidden"))
        if request.method == "POST":
            try:
                number = self.set(_parse(request.body))
            except (ValueError, TypeError, RehearsalError) as error:
                return Response.refuse(Refusal(400, str(error), "BadRequest"))
            return Response(201, {"number": number})
        if request.method == "DELETE":
            asked = request.query.get("number", "")
            self.clear(int(asked) if asked.isdigit() else None)
        return Response(200, {str(n): asdict(fault) for n, fault in self.active().items()})


def _parse(body: bytes) -> Fault:
    data: dict[str, Any] = json.loads(body)
    known = {entry.name for entry in fields(Fault)}
    unknown = sorted(set(data) - known)
    if unknown:
        raise RehearsalError(f"a fault has no {', '.join(unknown)}", fix=f"use {sorted(known)}")
    return Fault(**data)


def _concerns(fault: Fault, wanted: Target) -> bool:
    """Tell whether a fault is about a request."""
    pairs = [(fault.namespace, wanted.namespace)]
    if fault.kind == "targets-down":
        pairs += [("pods", wanted.resource), ("proxy", wanted.subresource)]
        pairs += [("metrics", wanted.rest), (fault.name, wanted.name.partition(":")[0])]
    else:
        pairs += [(fault.verb, wanted.verb), (fault.resource, wanted.resource)]
        pairs += [(fault.name, wanted.name)]
    known = fault.kind in ("api", "targets-down")
    return known and all(asked in ("", seen) for asked, seen in pairs)


def _refusal(fault: Fault) -> Response:
    if fault.kind == "targets-down":
        text = "error trying to reach service: dial tcp: connect: connection refused"
        fault = replace(fault, status=503, message=fault.message or text)
    reason = _REASONS.get(fault.status, "")
    message = fault.message or {
        429: "the server has received too many requests and has asked us to try again later",
        503: "the server is currently unable to handle the request",
    }.get(fault.status, f"rehearsal: this request was told to fail with {fault.status}")
    headers, details = {}, None
    if fault.retry_after:
        headers = {"Retry-After": str(fault.retry_after)}
        details = {"retryAfterSeconds": fault.retry_after}
    return Response.refuse(Refusal(fault.status, message, reason, details, headers))


async def _later(seconds: float, answer: Response | None) -> Response | None:
    await asyncio.sleep(seconds)
    return answer
