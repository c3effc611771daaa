"""What the notebooks of single services have in common: their workloads, forecasts, and state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from runbook import show
from runbook.checks import Context, Outcome
from runbook.linkerd.outcomes import few, judge
from runbook.meshing.annotate import annotated, annotated_namespace
from runbook.meshing.forecast import Fate, Forecast, fates
from runbook.meshing.injector import read_injector
from runbook.meshing.workloads import Workload, find_workloads

__all__ = ["badge", "forecast_of", "named", "table", "there"]

Wanted = Mapping[str, str | None]


def named(context: Context, namespace: str, titles: Sequence[str]) -> list[Workload]:
    """Give workloads of a namespace by their titles, such as ``daemonset/node-agent``."""
    return [one for one in find_workloads(context.cluster, namespace) if one.title in titles]


def there(
    context: Context, service: str, namespace: str, titles: Sequence[str]
) -> Iterator[Outcome]:
    """Judge whether a service is there at all.

    Args:
        context: The cluster.
        service: Its name.
        namespace: Where it should be.
        titles: Its workloads, of which one must be there.
    """
    found = named(context, namespace, titles)
    yield judge(
        f"there-{service.lower().replace(' ', '-')}",
        f"{service} is there",
        bool(found),
        expected=f"{few(titles)} in {namespace}",
        seen=few(one.title for one in found) or "none of them",
        why="it is not installed, or in another namespace",
        fix="kubectl get deployments,daemonsets,statefulsets -A, and set the namespace",
    )


def forecast_of(
    context: Context,
    namespace: str,
    templates: Mapping[str, Wanted],
    home: Wanted | None = None,
    change: Callable[[Workload], Workload] | None = None,
) -> list[Fate]:
    """Say what is to become of every pod of a namespace.

    Args:
        context: The cluster.
        namespace: Which.
        templates: Annotations to be, by the title of the workload.
        home: Annotations of the namespace to be.
        change: Gives a workload as others will have changed it by then.
    """
    live = context.cluster.find("v1", "Namespace", namespace)
    if live is None:
        return []
    future = [
        annotated(one, templates[one.title]) if one.title in templates else one
        for one in find_workloads(context.cluster, namespace)
    ]
    if change is not None:
        future = [change(one) for one in future]
    space = annotated_namespace(live, home or {})
    return list(fates(context, future, space, read_injector(context)))


def table(context: Context, found: Sequence[Fate]) -> Forecast:
    """Give the table of what is to become of pods."""
    return Forecast(found, badge=badge(context))


def badge(context: Context) -> str:
    """Give ``REHEARSAL`` on a rehearsal cluster, else nothing."""
    return show.REHEARSAL if context.cluster.rehearsal else ""
