"""Elasticsearch and Kibana of ECK, and Fluent Bit.

Implements "EFK" of "Meshing cluster services" of the seed. Errata: the pods need their service
account's token only where the injector does, up to 2.11; since 2.12 the proxy has a token of its
own. Whether ECK's own TLS is on is left alone and told.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace

from runbook import show
from runbook.checks import Context, Outcome
from runbook.linkerd.outcomes import Object, few, judge
from runbook.linkerd.pods import ready
from runbook.meshing import service
from runbook.meshing.annotate import namespace_patch
from runbook.meshing.asked import injector_asked
from runbook.meshing.decision import INJECT
from runbook.meshing.forecast import Fate, Forecast
from runbook.meshing.injector import read_injector
from runbook.meshing.restart import restart_table, restarts
from runbook.meshing.state import meshed
from runbook.meshing.workloads import Workload, find_workloads
from runbook.patches import Patch, edit

__all__ = [
    "forecast_logging",
    "logging_healthy",
    "logging_meshed",
    "logging_namespaces",
    "logging_restarts",
    "logging_there",
    "logging_to_restart",
    "logging_tokens",
]

_KINDS = {
    "Elasticsearch": "elasticsearch.k8s.elastic.co/v1",
    "Kibana": "kibana.k8s.elastic.co/v1",
}
_WANTED: dict[str, str | None] = {INJECT: "enabled"}
_TOKEN = "automountServiceAccountToken"  # noqa: S105 - the name of a field
SEE = "https://www.elastic.co/guide/en/cloud-on-k8s/current/k8s-service-mesh-linkerd.html"


def logging_there(context: Context) -> Iterator[Outcome]:
    """ECK and what it made are there, and their pods can be meshed."""
    params = context.params
    yield from service.there(
        context, "ECK", params.elastic_namespace, ("statefulset/elastic-operator",)
    )
    found = _objects(context)
    yield judge(
        "there-logging",
        "Elasticsearch and Kibana are there",
        bool(found),
        expected=f"in {params.logging_namespace}",
        seen=few(f"{one['kind']} {one['metadata']['name']}" for one in found) or "neither",
        why="they are in another namespace, or were not made by ECK",
        fix="kubectl get elasticsearch,kibana -A, and set logging_namespace",
    )
    for space in _namespaces(context):
        yield from injector_asked(context, space)
    yield _tokens(context, found)
    yield _tls(found)


def forecast_logging(context: Context) -> Forecast:
    """Give the table of every pod of both namespaces, as it will be."""
    return service.table(context, _future(context))


def logging_tokens(context: Context) -> list[Patch]:
    """Give the patches by which the pods get the token that the proxy of an old line needs."""
    if read_injector(context).token_projection:
        return []
    return [
        edit(one, _ask_for_token, "ECK then replaces the pods, one by one")
        for one in _objects(context)
    ]


def logging_namespaces(context: Context) -> list[Patch]:
    """Give the patches of both namespaces."""
    spaces = (context.cluster.find("v1", "Namespace", one) for one in _namespaces(context))
    return [namespace_patch(one, _WANTED) for one in spaces if one is not None]


def logging_to_restart(context: Context) -> show.Table:
    """Give the table of what must be restarted, in its order."""
    return restart_table(context, _future(context))


def logging_restarts(context: Context) -> list[Patch]:
    """Give the patches that restart it, with ``mesh_restart``."""
    return restarts(context, _future(context)) if context.params.mesh_restart else []


def logging_meshed(context: Context) -> Iterator[Outcome]:
    """The pods of both namespaces are meshed."""
    replaced = context.params.mesh_restart or not read_injector(context).token_projection
    yield from meshed(context, _members, replaced=replaced)
    yield _tokens(context, _objects(context))


def logging_healthy(context: Context) -> Iterator[Outcome]:
    """Elasticsearch and Kibana are healthy."""
    found = _objects(context)
    ill = [
        f"{one['kind']} {one['metadata']['name']}: {_health(one)}"
        for one in found
        if _health(one) != "green"
    ]
    yield judge(
        "logging-health",
        "Elasticsearch and Kibana are healthy",
        "warn" if ill else "pass",
        expected="green",
        seen=few(ill) or f"{len(found)} green",
        why="ECK is still replacing pods, or the nodes cannot reach each other",
        fix=f"kubectl -n {context.params.logging_namespace} get elasticsearch,kibana,pods",
        see=SEE,
    )
    operators = find_workloads(
        context.cluster, context.params.elastic_namespace, ("StatefulSet", "Deployment")
    )
    down = [one.title for one in operators if not any(ready(pod) for pod in one.pods)]
    yield judge(
        "eck-ready",
        "ECK's operator runs",
        not down,
        expected="a ready pod",
        seen=few(down) or few(one.title for one in operators),
        why="without it nothing is replaced or mended",
        fix=f"kubectl -n {context.params.elastic_namespace} get pods",
    )


def _tokens(context: Context, found: Sequence[Object]) -> Outcome:
    needed = not read_injector(context).token_projection
    without = [f"{one['kind']} {one['metadata']['name']}" for one in found if not _has_token(one)]
    return judge(
        "logging-tokens",
        "their pods have the token that the proxy needs",
        "skip" if not needed else "warn" if without else "pass",
        expected=f"podTemplate.spec.{_TOKEN}: true",
        seen=f"the proxies of {context.line.name} bring a token of their own"
        if not needed
        else f"{_TOKEN} is not true: {few(without)}"
        if without
        else "every podTemplate",
        why="ECK turns it off, and the injector of this Linkerd then leaves the pods out, silently",
        fix="this notebook sets it",
        see=SEE,
    )


def _tls(found: Sequence[Object]) -> Outcome:
    on = [
        f"{one['kind']} {one['metadata']['name']}"
        for one in found
        if not _self_signed(one).get("disabled")
    ]
    return judge(
        "logging-tls",
        "ECK's own TLS is off, so that Linkerd sees requests",
        "warn" if on else "pass",
        expected="http.tls.selfSignedCertificate.disabled: true",
        seen=f"on: {few(on)}" if on else "off",
        why="with it Linkerd sees encrypted bytes at port 9200: mTLS twice, and no metrics by "
        "request. Without it only Linkerd encrypts, and clients outside the mesh speak plain text",
        fix="your choice: set it in the objects, and http instead of https in every client",
        see=SEE,
    )


def _self_signed(one: Object) -> Object:
    tls = ((one.get("spec") or {}).get("http") or {}).get("tls") or {}
    found: Object = tls.get("selfSignedCertificate") or {}
    return found


def _has_token(one: Object) -> bool:
    return all((t.get("spec") or {}).get(_TOKEN) is True for t in _templates(one))


def _templates(one: Object) -> list[Object]:
    spec = one["spec"]
    holders = spec.get("nodeSets") or [] if one["kind"] == "Elasticsearch" else [spec]
    return [holder.get("podTemplate") or {} for holder in holders]


def _ask_for_token(one: Object) -> None:
    spec = one["spec"]
    for holder in spec["nodeSets"] if one["kind"] == "Elasticsearch" else [spec]:
        holder.setdefault("podTemplate", {}).setdefault("spec", {})[_TOKEN] = True


def _health(one: Object) -> str:
    return str((one.get("status") or {}).get("health") or "unknown")


def _objects(context: Context) -> list[Object]:
    space = context.params.logging_namespace
    return [
        obj
        for kind, version in _KINDS.items()
        for obj in context.cluster.list(version, kind, space)
    ]


def _namespaces(context: Context) -> tuple[str, ...]:
    params = context.params
    return tuple(dict.fromkeys((params.elastic_namespace, params.logging_namespace)))


def _future(context: Context) -> list[Fate]:
    needed = not read_injector(context).token_projection
    change = _with_token if needed else None
    return [
        fate
        for space in _namespaces(context)
        for fate in service.forecast_of(context, space, {}, _WANTED, change)
    ]


def _with_token(one: Workload) -> Workload:
    """Give a workload of ECK's as it will be once its object asks for the token."""
    if one.owner.partition("/")[0] not in _KINDS:
        return one
    obj = copy.deepcopy(dict(one.obj))
    obj["spec"]["template"]["spec"][_TOKEN] = True
    return replace(one, obj=obj)


def _members(context: Context) -> Sequence[Workload]:
    return [one for s in _namespaces(context) for one in find_workloads(context.cluster, s)]
