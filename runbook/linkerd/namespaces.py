"""Checks of the control plane's namespace (notebook 11)."""

from __future__ import annotations

from collections.abc import Iterator

from runbook import manifests
from runbook.checks import Context, Outcome
from runbook.linkerd.outcomes import absent, few, judge

__all__ = ["linkerd_namespace"]

NAMESPACE_NOTEBOOK = "11-linkerd-namespace"


def linkerd_namespace(context: Context) -> Iterator[Outcome]:
    """The linkerd namespace has the labels and annotations of the line."""
    name = context.params.linkerd_namespace
    title = f"namespace {name} has the labels and annotations of {context.line.name}"
    live = context.cluster.find("v1", "Namespace", name)
    if live is None:
        yield absent(
            context,
            "linkerd-namespace",
            title,
            f"namespace {name}",
            NAMESPACE_NOTEBOOK,
            linkerd="control plane Namespace exists",
        )
        return
    wanted = manifests.namespace(context.line, context.params)["metadata"]
    differing = [
        f"{key}: {(live['metadata'].get(part) or {}).get(key, 'absent')}"
        for part in ("labels", "annotations")
        for key, value in wanted[part].items()
        if (live["metadata"].get(part) or {}).get(key) != value
    ]
    ending = (live.get("status") or {}).get("phase") == "Terminating"
    yield judge(
        "linkerd-namespace",
        title,
        not differing and not ending,
        expected=few(f"{k}: {v}" for p in ("labels", "annotations") for k, v in wanted[p].items()),
        seen="it is being deleted" if ending else few(differing) or "all there",
        why="a finalizer may be holding it"
        if ending
        else "it was made by hand, or for another line",
        fix=f"kubectl describe namespace {name}"
        if ending
        else f"run notebook {NAMESPACE_NOTEBOOK}",
        linkerd="control plane Namespace exists",
    )
