"""Carrying out a plan, and the tables that say what was done and what was waited for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runbook import show
from runbook.changes import Change, Plan
from runbook.cluster import Cluster, Object
from runbook.errors import NotFoundError, RunbookError, WaitError
from runbook.helm import Helm, Release
from runbook.patches import Patch
from runbook.readiness import has_rule
from runbook.wait import Waited

__all__ = ["Applied", "WaitTable", "carry_out", "settle", "take_back", "workloads"]

After = Callable[[Object], None]
"""What is done after each object of a plan."""

_DONE = {"create": "created", "update": "updated", "delete": "deleted"}


@dataclass
class Applied:
    """What has been done of a plan; grows while it is carried out.

    Attributes:
        title: What the plan is about.
        done: The changes carried out so far.
        note: Why nothing, or not everything, was done.
        badge: ``REHEARSAL`` when the cluster is one.
    """

    title: str
    done: list[Change] = field(default_factory=list)
    note: str = ""
    badge: str = ""

    @property
    def changed(self) -> int:
        """How many objects were changed."""
        return len(self.done)

    def table(self) -> show.Table:
        """Give the table."""
        count = f"{self.changed} changed" if self.done else "nothing changed"
        return show.Table(
            title=f"{self.title}: {count}",
            columns=("", "kind", "namespace", "name"),
            rows=[
                (show.Cell(_DONE[c.action], tone=c.action), c.kind, c.namespace, c.name)
                for c in self.done
            ],
            badge=self.badge,
            note=self.note,
        )

    def __str__(self) -> str:
        return self.table().text()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        data = {
            "type": "applied",
            "changed": self.changed,
            "changes": [change.data() for change in self.done],
            "note": self.note,
            "rehearsal": self.badge == show.REHEARSAL,
        }
        table = self.table()
        return show.bundle(table.html(), table.text(), data)


@dataclass(frozen=True)
class WaitTable:
    """What was waited for, as a table."""

    waited: Sequence[Waited]
    note: str = ""
    badge: str = ""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        ready = f"{len(self.waited)} ready" if self.waited else "nothing to wait for"
        table = show.Table(
            title=f"Wait: {ready}",
            columns=("", "kind", "namespace", "name", "seen", "after"),
            rows=[
                (
                    show.Cell("ready", tone="pass"),
                    w.kind,
                    w.namespace,
                    w.name,
                    w.seen,
                    show.duration(w.seconds),
                )
                for w in self.waited
            ],
            badge=self.badge,
            note=self.note,
        )
        data = {
            "type": "waited",
            "objects": [
                {"kind": w.kind, "namespace": w.namespace, "name": w.name, "seconds": w.seconds}
                for w in self.waited
            ],
            "note": self.note,
        }
        return show.bundle(table.html(), table.text(), data)


def carry_out(
    plan: Plan,
    cluster: Cluster,
    helm: Helm,
    applied: Applied,
    *,
    timeout: float,
    after: After | None = None,
) -> None:
    """Carry out a plan, object by object in its order.

    Args:
        plan: What to do.
        cluster: Where.
        helm: For a plan about a release.
        applied: Filled as things are done, so that an interruption leaves a true account.
        timeout: Seconds for Helm.
        after: Called with a reference to each object that was changed, before the next one.
    """
    if plan.release is None:
        for change, obj in zip(plan.changes, plan.objects, strict=True):
            if change.action == "none":
                continue
            if isinstance(obj, Patch):
                _patch(cluster, obj)
            else:
                cluster.apply(obj)
            applied.done.append(change)
            if after is not None:
                after(reference(obj))
        return
    release = plan.release
    if plan.interrupted:
        cluster.delete("v1", "Secret", plan.interrupted, release.namespace)
    stored = helm.release(release.name, release.namespace)
    if stored is None or stored.status == "uninstalled":
        helm.install(release, timeout=timeout)
    else:
        helm.upgrade(release, timeout=timeout)
    applied.done.extend(plan.pending)


def take_back(
    plan: Plan,
    done: Sequence[Change],
    cluster: Cluster,
    helm: Helm,
    undone: Applied,
    *,
    timeout: float,
) -> set[str]:
    """Take back what was done of a plan, in the reverse order.

    Args:
        plan: The plan.
        done: The changes that were carried out.
        cluster: Where.
        helm: For a plan about a release.
        undone: Filled as things are taken back; what only a person can take back is noted.
        timeout: Seconds for Helm.

    Returns:
        The commands that are no longer needed to undo it.
    """
    left = []
    for change in [None] if plan.release else reversed(done):
        try:
            if change is None:
                _roll_back(plan, helm, timeout)
                undone.done.extend(done)
            elif _reverse(change, cluster):
                undone.done.append(change)
            else:
                left.append(f"left for you: {change.undo}")
        except RunbookError as error:  # the others are taken back all the same
            left.append(f"not taken back: {error.what}; {change.undo if change else plan.undo[0]}")
    undone.note = "\n".join(filter(None, [undone.note, *left]))
    back = [change for change in done if change in undone.done]
    return {change.undo for change in back} | (set(plan.undo) if plan.release and back else set())


def settle(cluster: Cluster, undone: Applied, *, timeout: float) -> None:
    """Wait until the workloads that were taken back are ready again; if not, that is noted."""
    touched = [reference(change.inverse) for change in undone.done if change.inverse is not None]
    try:
        cluster.wait_ready(
            [obj for obj in touched if has_rule(obj["apiVersion"], obj["kind"])], timeout
        )
    except WaitError as error:
        late = f"taken back, but {error.what}: {error.why}"
        undone.note = "\n".join(filter(None, [undone.note, late]))


def _roll_back(plan: Plan, helm: Helm, timeout: float) -> None:
    if plan.release is None:
        return
    name, namespace = plan.release.name, plan.release.namespace
    if plan.revision:
        helm.rollback(name, namespace, plan.revision, timeout=timeout)
    else:
        helm.uninstall(name, namespace, timeout=timeout)


def _reverse(change: Change, cluster: Cluster) -> bool:
    """Take one change back; tell whether that was possible."""
    if change.inverse is not None:
        _patch(cluster, change.inverse)
    elif change.action == "create":
        cluster.delete(change.api_version, change.kind, change.name, change.namespace)
    else:
        return False
    return True


def reference(obj: Mapping[str, Any] | Patch) -> Object:
    """Name an object by a manifest that can be waited for."""
    return obj.reference if isinstance(obj, Patch) else dict(obj)


def _patch(cluster: Cluster, patch: Patch) -> None:
    cluster.patch(
        patch.api_version,
        patch.kind,
        patch.name,
        patch.namespace,
        operations=patch.operations,
    )


def workloads(cluster: Cluster, helm: Helm, release: Release) -> list[Object]:
    """Give the objects of a stored release that can be waited for, each with its namespace."""
    stored = helm.release(release.name, release.namespace)
    found = []
    for obj in stored.objects if stored else ():
        if not has_rule(obj["apiVersion"], obj["kind"]):
            continue
        namespace = obj["metadata"].get("namespace") or release.namespace
        try:
            scoped = cluster.namespaced(obj["apiVersion"], obj["kind"])
        except NotFoundError:
            scoped = True
        meta = {"name": obj["metadata"]["name"], **({"namespace": namespace} if scoped else {})}
        found.append({"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": meta})
    return found
