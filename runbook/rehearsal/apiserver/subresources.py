"""Subresources other than status: scale, log, eviction, binding, finalize, token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from runbook.rehearsal.apiserver import columns, parsing, reads
from runbook.rehearsal.apiserver.backend import NodeBackend
from runbook.rehearsal.apiserver.bodies import Bodies
from runbook.rehearsal.apiserver.identities import Identities
from runbook.rehearsal.apiserver.lifecycle import Deletion
from runbook.rehearsal.apiserver.requests import Request, Response, Stream, stamp
from runbook.rehearsal.apiserver.resources import Resource
from runbook.rehearsal.apiserver.selectors import matches_labels
from runbook.rehearsal.apiserver.statuses import (
    Refusal,
    bad_request,
    conflict,
    invalid,
    method_not_allowed,
    missing,
    no_such_resource,
)
from runbook.rehearsal.apiserver.store import Object, Store
from runbook.rehearsal.apiserver.writes import Call, Writes
from runbook.rehearsal.objects.merge import json_merge, json_patch
from runbook.rehearsal.objects.schema import Cause

__all__ = ["Subresources"]

Answer = Response | Stream
_FOLLOW_SECONDS = 0.3


class Subresources:
    """Answers requests on subresources.

    Args:
        store: The objects.
        writes: Changes them.
        bodies: Decodes what is sent.
        identities: Signs tokens.
        backend: Has the logs.
    """

    def __init__(
        self,
        store: Store,
        writes: Writes,
        bodies: Bodies,
        identities: Identities,
        backend: NodeBackend,
    ) -> None:
        self._store = store
        self._writes = writes
        self._bodies = bodies
        self._identities = identities
        self._backend = backend

    async def answer(self, call: Call) -> Answer:
        """Answer a request on a subresource.

        Raises:
            Refusal: The object is missing, or does not have or allow this.
        """
        declared = call.resource.subresource(call.target.subresource)
        if declared is None:
            raise no_such_resource()
        if call.target.verb not in declared.verbs:
            raise method_not_allowed()
        answers: Mapping[str, Callable[[Call], Awaitable[Answer]]] = {
            "status": self._part,
            "approval": self._part,
            "ephemeralcontainers": self._part,
            "resize": self._part,
            "scale": self._scale,
            "log": self._log,
            "eviction": self._evict,
            "binding": self._bind_here,
            "finalize": self._finalize,
            "token": self._token,
        }
        answer = answers.get(declared.name)
        if answer is None:
            raise bad_request("Upgrade request required")
        return await answer(call)

    def _object(self, call: Call) -> Object:
        found = self._store.get(call.resource.key, *call.place)
        if found is None:
            raise missing(call.resource, call.target.name)
        return found

    async def _part(self, call: Call) -> Response:
        match call.target.verb:
            case "get":
                shown = reads.represent(call.resource, [self._object(call)], call.request, None)
                return Response(body=shown)
            case "update":
                return await self._writes.update(call)
        return await self._writes.patch(call)

    # scale

    async def _scale(self, call: Call) -> Response:
        paths = _scale_paths(call.resource)
        if call.target.verb == "get":
            return Response(body=_scale_of(self._object(call), paths))

        def change(old: Object) -> Object:
            wanted = self._wanted_scale(call, _scale_of(old, paths))
            return _with(old, paths["specReplicasPath"], wanted)

        stored = await self._writes.modify(call, change)
        return Response(body=_scale_of(stored, paths))

    def _wanted_scale(self, call: Call, scale: Object) -> int:
        request = call.request
        if request.method == "PUT":
            wanted = parsing.parse(request, "Scale")
        elif request.content_type == "application/json-patch+json":
            wanted = json_patch(scale, parsing.parse_patch(request.body))
        else:
            wanted = json_merge(scale, parsing.parse_yaml(request.body))
        replicas = (wanted.get("spec") or {}).get("replicas", 0)
        if not isinstance(replicas, int) or replicas < 0:
            message = f"Invalid value: {replicas}: must be greater than or equal to 0"
            cause = Cause("FieldValueInvalid", message, "spec.replicas")
            raise invalid("autoscaling", "Scale", call.target.name, [cause])
        return replicas

    # log

    async def _log(self, call: Call) -> Answer:
        pod = self._object(call)
        container = _container(pod, call.request.query.get("container", ""))
        if not (pod["spec"] or {}).get("nodeName"):
            return Response(204)
        request = call.request
        text = self._read_log(pod, container, request)
        if text is None:
            raise bad_request(_no_log(pod, container, previous=request.flag("previous")))
        stamped = request.flag("timestamps")
        if request.flag("follow"):
            return Stream(self._follow(call, container, text, stamped), "text/plain")
        text = text if stamped else _unstamped(text)
        if limit := request.number("limitBytes"):
            text = text.encode()[:limit].decode(errors="ignore")
        return Response(body=text, content_type="text/plain")

    def _read_log(self, pod: Object, container: str, request: Request) -> str | None:
        metadata = pod["metadata"]
        tail = request.number("tailLines") if request.query.get("tailLines") else None
        return self._backend.logs(
            metadata["namespace"],
            metadata["name"],
            container,
            previous=request.flag("previous"),
            tail=tail,
        )

    async def _follow(
        self, call: Call, container: str, text: str, stamped: bool
    ) -> AsyncIterator[bytes]:
        """Give a log and what is added to it until the container ends."""
        shown = (lambda lines: lines) if stamped else _unstamped

        def whole() -> str:
            return self._backend.logs(*call.place, container, previous=False, tail=None) or ""

        yield shown(text).encode()
        seen = len(whole())
        while (pod := self._store.get(call.resource.key, *call.place)) is not None:
            await asyncio.sleep(_FOLLOW_SECONDS)
            now = whole()
            if len(now) > seen:
                yield shown(now[seen:]).encode()
                seen = len(now)
            elif _ended(pod, container):
                return

    # eviction and binding

    async def _evict(self, call: Call) -> Response:
        pod = self._object(call)
        body = parsing.parse(call.request, "Eviction") if call.request.body else {}
        self._check_budgets(pod)
        wanted = body.get("deleteOptions") or {}
        grace = wanted.get("gracePeriodSeconds")
        if "All" in (wanted.get("dryRun") or ()) or call.options.dry_run:
            return Response(201, _success())
        self._writes.remove(call, pod, Deletion(grace=grace))
        return Response(201, _success())

    def _check_budgets(self, pod: Object) -> None:
        """Refuse an eviction a disruption budget does not allow."""
        metadata = pod["metadata"]
        budgets = self._store.list(("policy", "poddisruptionbudgets"), metadata["namespace"])
        for budget in budgets:
            if not matches_labels(budget["spec"].get("selector"), metadata.get("labels")):
                continue
            if (budget.get("status") or {}).get("disruptionsAllowed", 0) > 0:
                continue
            cause = {
                "reason": "DisruptionBudget",
                "message": f"The disruption budget {budget['metadata']['name']} does not allow "
                "evicting pods currently",
            }
            raise Refusal(
                429,
                "Cannot evict pod as it would violate the pod's disruption budget.",
                "TooManyRequests",
                {"causes": [cause]},
            )

    async def bind_named(self, call: Call, pods: Resource) -> Response:
        """Answer a Binding created by itself: it names the pod in its metadata."""
        body = parsing.parse(call.request, "Binding")
        name = (body.get("metadata") or {}).get("name", "")
        place = replace(call.target, resource="pods", name=name)
        return await self._bind(replace(call, resource=pods, target=place), body)

    async def _bind_here(self, call: Call) -> Response:
        return await self._bind(call, parsing.parse(call.request, "Binding"))

    async def _bind(self, call: Call, body: Object) -> Response:
        """Assign a pod to the node a Binding names."""
        name = call.target.name
        node = (body.get("target") or {}).get("name", "")

        def change(old: Object) -> Object:
            if assigned := old["spec"].get("nodeName"):
                why = f'pod {name} is already assigned to node "{assigned}"'
                raise conflict(call.resource, name, why)
            status = dict(old.get("status") or {})
            now = stamp()
            scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
            others = [c for c in status.get("conditions") or () if c["type"] != "PodScheduled"]
            status["conditions"] = [*others, {**scheduled, "lastTransitionTime": now}]
            return {**old, "spec": {**old["spec"], "nodeName": node}, "status": status}

        await self._writes.replace(call, change)
        return Response(201, _success())

    # namespaces and service accounts

    async def _finalize(self, call: Call) -> Response:
        body = parsing.parse(call.request, "Namespace")
        finalizers = (body.get("spec") or {}).get("finalizers") or []

        def change(old: Object) -> Object:
            spec = {k: v for k, v in (old.get("spec") or {}).items() if k != "finalizers"}
            if finalizers:
                spec["finalizers"] = finalizers
            return {**old, "spec": spec}

        return Response(body=await self._writes.replace(call, change))

    async def _token(self, call: Call) -> Response:
        account = self._object(call)
        body = parsing.parse(call.request, "TokenRequest")
        spec = dict(body.get("spec") or {})
        seconds = spec.get("expirationSeconds") or 3600
        bound = spec.get("boundObjectRef")
        token, expires = self._identities.issue(
            account, tuple(spec.get("audiences") or ()), seconds, bound
        )
        spec.setdefault("audiences", [self._identities.audience])
        spec["expirationSeconds"] = seconds
        metadata = account["metadata"]
        answer = {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "creationTimestamp": stamp(),
            },
            "spec": {"boundObjectRef": None, **spec},
            "status": {"token": token, "expirationTimestamp": stamp(expires)},
        }
        return Response(201, answer)


def _success() -> Object:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": 201,
    }


_BUILT_IN_PATHS: Mapping[str, str] = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
}


def _scale_paths(resource: Resource) -> Mapping[str, str]:
    if resource.crd is None:
        return _BUILT_IN_PATHS
    versions = resource.crd["spec"]["versions"]
    version = next(v for v in versions if v["name"] == resource.version)
    found: Mapping[str, str] = version["subresources"]["scale"]
    return found


def _scale_of(obj: Object, paths: Mapping[str, str]) -> Object:
    """Show an object as a Scale."""
    metadata = obj["metadata"]
    names = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    replicas = columns.json_path(obj, paths["specReplicasPath"])
    current = columns.json_path(obj, paths["statusReplicasPath"])
    status: dict[str, Any] = {"replicas": current[0] if current else 0}
    if selector := _selector(obj, paths):
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in names if name in metadata},
        "spec": {"replicas": replicas[0]} if replicas and replicas[0] else {},
        "status": status,
    }


def _selector(obj: Object, paths: Mapping[str, str]) -> str:
    if path := paths.get("labelSelectorPath"):
        found = columns.json_path(obj, path)
        return str(found[0]) if found else ""
    selector = (obj.get("spec") or {}).get("selector") or {}
    return columns.selector_text(selector if "matchLabels" in selector or "matchExpressions" in selector else {"matchLabels": selector})  # fmt: skip  # noqa: E501


def _with(obj: Object, path: str, value: int) -> Object:
    """Give an object with the value at a path of plain fields replaced."""
    first, _, rest = path.lstrip(".").partition(".")
    inner = _with(obj.get(first) or {}, rest, value) if rest else value
    return {**obj, first: inner}


def _container(pod: Object, wanted: str) -> str:
    """Give the container a log request means.

    Raises:
        Refusal: 400 when it names none of several, or one that does not exist.
    """
    spec, name = pod["spec"], pod["metadata"]["name"]
    main = [c["name"] for c in spec.get("containers") or ()]
    init = [c["name"] for c in spec.get("initContainers") or ()]
    if wanted in main + init:
        return wanted
    if wanted:
        raise bad_request(f"container {wanted} is not valid for pod {name}")
    if len(main) == 1 and not init:
        return str(main[0])
    chosen = (pod["metadata"].get("annotations") or {}).get(
        "kubectl.kubernetes.io/default-container"
    )
    if chosen in main:
        return str(chosen)
    text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(main)}]"
    if init:
        text += f" or one of the init containers: [{' '.join(init)}]"
    raise bad_request(text)


def _unstamped(text: str) -> str:
    """Drop the time each line of a backend's log starts with."""
    return "\n".join(line.partition(" ")[2] for line in text.split("\n"))


def _status_of(pod: Object, container: str) -> Mapping[str, Any]:
    status = pod.get("status") or {}
    every = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    found: Mapping[str, Any] = next((s for s in every if s["name"] == container), {})
    return found


def _no_log(pod: Object, container: str, *, previous: bool) -> str:
    """Say why there is no log, in the kubelet's words."""
    name = pod["metadata"]["name"]
    if previous:
        return f'previous terminated container "{container}" in pod "{name}" not found'
    state = _status_of(pod, container).get("state") or {}
    reason = (state.get("waiting") or {}).get("reason", "ContainerCreating")
    why = "trying and failing to pull image" if "Pull" in reason else reason
    return f'container "{container}" in pod "{name}" is waiting to start: {why}'


def _ended(pod: Object, container: str) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed") or "terminated" in (
        _status_of(pod, container).get("state") or {}
    )
