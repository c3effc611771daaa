"""Checks of namespaces: the control plane's (notebook 11), and those of extensions."""

from __future__ import annotations

from collections.abc import Iterator

from runbook import manifests
from runbook.checks import Context, Outcome
from runbook.linkerd.outcomes import Object, absent, few, judge

__all__ = ["linkerd_namespace", "namespace_outcome"]

NAMESPACE_NOTEBOOK = "11-linkerd-namespace"


def linkerd_namespace(context: Context) -> Iterator[Outcome]:
    """The linkerd namespace has the labels and annotations of the line."""
    yield namespace_outcome(
        context,
        manifests.namespace(context.line, context.params),
        id_="linkerd-namespace",
        notebook=NAMESPACE_NOTEBOOK,
        linkerd="control plane Namespace exists",
    )


def namespace_outcome(
    context: Context, wanted: Object, *, id_: str, notebook: str, linkerd: str
) -> Outcome:
    """Judge whether a namespace is there with the labels and annotations it should have.

    Args:
        context: The cluster and the release line.
        wanted: Manifest of the namespace; what it does not name may be anything.
        id_: Id of the outcome.
        notebook: The notebook that creates it.
        linkerd: The corresponding line of ``linkerd check``.
    """
    meta = wanted["metadata"]
    name = meta["name"]
    title = f"namespace {name} has the labels and annotations of {context.line.name}"
    live = context.cluster.find("v1", "Namespace", name)
    if live is None:
        return absent(context, id_, title, f"namespace {name}", notebook, linkerd=linkerd)
    parts = ("labels", "annotations")
    differing = [
        f"{key}: {(live['metadata'].get(part) or {}).get(key, 'absent')}"
        for part in parts
        for key, value in meta[part].items()
        if (live["metadata"].get(part) or {}).get(key) != value
    ]
    ending = (live.get("status") or {}).get("phase") == "Terminating"
    return judge(
        id_,
        title,
        not differing and not ending,
        expected=few(f"{k}: {v}" for part in parts for k, v in meta[part].items()),
        seen="it is being deleted" if ending else few(differing) or "all there",
        why="a finalizer may be holding it"
        if ending
        else "it was made by hand, or for another line",
        fix=f"kubectl describe namespace {name}" if ending else f"run notebook {notebook}",
        linkerd=linkerd,
    )
