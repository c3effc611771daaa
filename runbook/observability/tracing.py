"""Tracing (notebook 25): the Jaeger extension where a line has one, else the proxies' own settings.

Linkerd removed its Jaeger extension in edge-25.10.1 (2.19): from then on proxies send spans by
themselves, with the values ``proxy.tracing`` of the control plane.
"""

from __future__ import annotations

from collections.abc import Iterator

from runbook.checks import Context, Outcome
from runbook.helm import Release
from runbook.linkerd.install import Planner, chart_outcome, release_of
from runbook.linkerd.installed import read_config
from runbook.linkerd.outcomes import Object, few, judge
from runbook.linkerd.pods import problem, ready
from runbook.manifests import extension_namespace

__all__ = ["jaeger_namespace", "jaeger_release", "tracing_possible", "tracing_state"]

_NAMESPACE = "linkerd-jaeger"
SEE = "https://linkerd.io/2-edge/tasks/distributed-tracing/"


def jaeger_namespace(context: Context) -> Object | None:
    """Give the namespace of the Jaeger extension; ``None`` where there is none to install."""
    if not _wanted(context):
        return None
    annotations = {"linkerd.io/inject": "enabled"} if context.line.install_namespace else {}
    return extension_namespace(context.line, _NAMESPACE, "jaeger", annotations)


def jaeger_release(context: Planner) -> Release | None:
    """Give the Helm release of the Jaeger extension; ``None`` where there is none to install."""
    chart = context.line.jaeger
    if chart is None or not _wanted(context):
        return None
    own = {"installNamespace": False} if context.line.install_namespace else {}
    values = {"linkerdNamespace": context.params.linkerd_namespace, **own}
    return release_of(context, chart, _NAMESPACE, values)


def tracing_possible(context: Context) -> Iterator[Outcome]:
    """What the line has for tracing, and whether it is asked for."""
    chart = context.line.jaeger
    if chart is None:
        yield judge(
            "tracing-way",
            "the line's way of tracing is the one asked for",
            "warn" if context.params.tracing else "pass",
            expected="values proxy.tracing of the control plane",
            seen=f"{context.line.name} has no Jaeger extension: it was removed in edge-25.10.1",
            why="tracing: true installs that extension, and there is none",
            fix="set tracing: false, and in 'values': proxy: {tracing: {enabled: true, collector: "
            "{endpoint: NAME.NAMESPACE:4317, meshIdentity: {serviceAccountName: NAME, namespace: "
            "NAMESPACE}}}}, then run notebook 15-control-plane",
            see=SEE,
        )
        return
    if not context.params.tracing:
        yield judge(
            "tracing-way",
            "the line's way of tracing is the one asked for",
            "skip",
            seen=f"{context.line.name} has the Jaeger extension; tracing: true installs it",
        )
        return
    yield chart_outcome(context, chart)


def tracing_state(context: Context) -> Iterator[Outcome]:
    """Whether proxies send spans, and where to."""
    if context.line.jaeger is not None:
        yield _extension(context)
        return
    title = "proxies send spans"
    config = read_config(context)
    tracing = ((config or {}).get("proxy") or {}).get("tracing") or {}
    endpoint = str((tracing.get("collector") or {}).get("endpoint") or "")
    if config is None or not tracing.get("enabled"):
        seen = "no control plane" if config is None else "off: proxy.tracing.enabled is false"
        yield judge("tracing", title, "skip", seen=seen)
        return
    identity = (tracing.get("collector") or {}).get("meshIdentity") or {}
    named = bool(identity.get("serviceAccountName"))
    yield judge(
        "tracing",
        title,
        "pass" if endpoint and named else "warn" if endpoint else "fail",
        expected="a collector, and the identity of its service account",
        seen=f"to {endpoint or 'nowhere'}, "
        f"{'as ' + str(identity.get('serviceAccountName')) if named else 'no meshIdentity'}",
        why="without an endpoint proxies have nowhere to send spans"
        if not endpoint
        else "without the collector's identity spans go to it unencrypted, or not at all when it "
        "takes meshed clients only",
        fix="set proxy.tracing.collector in 'values', run 15-control-plane, restart what is meshed",
        see=SEE,
    )


def _extension(context: Context) -> Outcome:
    title = "the Jaeger extension runs"
    pods = list(context.cluster.list("v1", "Pod", _NAMESPACE))
    if not pods and not context.params.tracing:
        return judge("tracing", title, "skip", seen="not installed, and not asked for")
    unwell = [told for pod in pods if (told := problem(pod))]
    return judge(
        "tracing",
        title,
        any(map(ready, pods)) and not unwell,
        expected="every pod ready",
        seen=few(unwell, 2) or f"{len(pods)} pods ready" if pods else "no pods",
        why="it may still be starting, or its images cannot be pulled",
        fix=f"kubectl -n {_NAMESPACE} get pods",
        see=SEE,
        linkerd="jaeger injector pods are running",
    )


def _wanted(context: Context) -> bool:
    return context.params.tracing and context.line.jaeger is not None
