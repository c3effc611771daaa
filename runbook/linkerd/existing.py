"""Whether the objects of an install exist, one row of the table for those of one kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runbook.checks import Context, Outcome
from runbook.linkerd.outcomes import anchor_link, few, judge

__all__ = ["Existing", "existence"]


@dataclass(frozen=True)
class Existing:
    """Objects that must exist.

    Attributes:
        id: Of the outcome.
        title: Of the outcome, and the line of ``linkerd check``.
        api_version: Of the objects.
        kind: Of the objects.
        namespace: Of the objects, empty at the cluster scope.
        names: Theirs.
        hint: Anchor of Linkerd's own explanation.
        notebook: Which notebook makes them.
    """

    id: str
    title: str
    api_version: str
    kind: str
    namespace: str
    names: Sequence[str]
    hint: str
    notebook: str


def existence(context: Context, row: Existing) -> Outcome:
    """Judge whether all of some objects exist."""
    missing = [
        name
        for name in row.names
        if context.cluster.find(row.api_version, row.kind, name, row.namespace) is None
    ]
    return judge(
        row.id,
        row.title,
        not missing,
        expected=few(row.names),
        seen=f"missing: {few(missing)}" if missing else "all there",
        why="the install was cut short, or somebody deleted them",
        fix=f"run notebook {row.notebook}",
        see=anchor_link(row.hint),
        linkerd=row.title,
    )
