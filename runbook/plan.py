"""Desired against live: what would change, as a diff, with a digest and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from runbook.cluster import Cluster
from runbook.helm import Helm, Release

__all__ = ["Action", "Change", "Plan", "Release", "plan_objects", "plan_release"]

Action = Literal["create", "update", "delete", "none"]


@dataclass(frozen=True)
class Change:
    """What would happen to one object."""

    action: Action
    api_version: str
    kind: str
    name: str
    namespace: str = ""
    diff: str = ""
    undo: str = ""
    note: str = ""
    desired: Mapping[str, Any] = field(default_factory=dict)
    previous: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What would change. Falsy ``changes`` in effect: see :attr:`empty`."""

    changes: tuple[Change, ...]
    target: str
    digest: str
    objects: tuple[Mapping[str, Any], ...] = ()
    release: Release | None = None
    undo: tuple[str, ...] = ()
    badge: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return all(change.action == "none" for change in self.changes)


def plan_objects(cluster: Cluster, objects: Sequence[Mapping[str, Any]]) -> Plan: ...
def plan_release(helm: Helm, cluster: Cluster, release: Release) -> Plan: ...
