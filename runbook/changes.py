"""What would change: one :class:`Change` an object, gathered in a :class:`Plan` with a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from runbook import show
from runbook.helm import Release
from runbook.patches import Patch

__all__ = ["Action", "Change", "Plan", "digest"]

Action = Literal["create", "update", "delete", "none"]

_DONE = {"create": "created", "update": "updated", "delete": "deleted", "none": "unchanged"}


@dataclass(frozen=True)
class Change:
    """What would happen to one object.

    Attributes:
        action: ``create``, ``update``, ``delete`` or ``none``.
        api_version: Of the object; ``helm.sh/v1`` for a release itself.
        kind: Of the object; ``Release`` for a release itself.
        name: Its name.
        namespace: Its namespace, empty at the cluster scope.
        diff: Unified diff of its YAML, secrets hidden.
        undo: The command that takes the change back.
        note: What a reader should know, such as that its namespace is not there yet.
        desired: What it should be, for the digest; may hold secrets, never shown.
        live: What it is, for the digest; may hold secrets, never shown.
        previous: The manifest to go back to, secrets hidden; only for updates.
        inverse: The patch that takes the change back, for a change made by one.
    """

    action: Action
    api_version: str
    kind: str
    name: str
    namespace: str = ""
    diff: str = field(default="", repr=False)
    undo: str = ""
    note: str = ""
    desired: Mapping[str, Any] = field(default_factory=dict, repr=False)
    live: Mapping[str, Any] = field(default_factory=dict, repr=False)
    previous: Mapping[str, Any] = field(default_factory=dict, repr=False)
    inverse: Patch | None = field(default=None, repr=False)

    @property
    def title(self) -> str:
        """As in messages: ``Certificate linkerd/linkerd-identity-issuer``."""
        return f"{self.kind} " + "/".join(part for part in (self.namespace, self.name) if part)

    def data(self) -> dict[str, Any]:
        """Give the JSON form."""
        named = {
            "action": self.action,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
        }
        extra = {
            "apiVersion": self.api_version,
            "note": self.note,
            "undo": self.undo,
            "previous": dict(self.previous),
        }
        return named | {key: value for key, value in extra.items() if value}


@dataclass(frozen=True)
class Plan:
    """What would change in a cluster.

    Attributes:
        title: What the plan is about.
        changes: One for each object, in the order they are carried out.
        target: The cluster: its name and UID.
        digest: Identifies target, changes and the state they start from.
        objects: The manifests and patches to apply, as they were asked for.
        release: The Helm release to install or upgrade, if the plan is about one.
        revision: Its revision before, 0 if there is none.
        interrupted: Name of the Secret of a revision that a killed run of ours left behind, to
            be removed first.
        undo: Commands that take the whole plan back.
        badge: ``REHEARSAL`` when the cluster is one.
    """

    title: str
    changes: tuple[Change, ...]
    target: str
    digest: str
    objects: tuple[Mapping[str, Any] | Patch, ...] = field(default=(), repr=False)
    release: Release | None = None
    revision: int = 0
    interrupted: str = ""
    undo: tuple[str, ...] = ()
    badge: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return all(change.action == "none" for change in self.changes)

    @property
    def pending(self) -> list[Change]:
        """The changes that do something."""
        return [change for change in self.changes if change.action != "none"]

    def summary(self) -> str:
        """Give the counts in words, such as ``3 to create, 1 unchanged``."""
        if self.empty:
            return "nothing to do"
        counts = {action: sum(c.action == action for c in self.changes) for action in _DONE}
        texts = [f"{n} to {action}" for action, n in counts.items() if n and action != "none"]
        return ", ".join(texts + ([f"{counts['none']} unchanged"] if counts["none"] else []))

    def data(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {
            "type": "plan",
            "title": self.title,
            "rehearsal": self.badge == show.REHEARSAL,
            "target": self.target,
            "digest": self.digest,
            "empty": self.empty,
            "changes": [change.data() for change in self.changes],
            "undo": list(self.undo),
        }

    def table(self) -> show.Table:
        """Give the table of changes, without diffs."""
        return show.Table(
            title=f"{self.title}: {self.summary()}",
            columns=("", "kind", "namespace", "name", "note"),
            rows=[
                (show.verdict(c.action), c.kind, c.namespace, c.name, c.note) for c in self.changes
            ],
            badge=self.badge,
            note=f"digest {self.digest[:12]} of {self.target}",
        )

    def __str__(self) -> str:
        diffs = [f"--- {c.title}\n{c.diff}" for c in self.pending if c.diff]
        return "\n".join([self.table().text(), *diffs])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        diffs = "".join(
            show.details_html(c.title, show.diff_html(c.diff), opened=c.diff.count("\n") < 60)
            for c in self.pending
            if c.diff
        )
        return show.bundle(self.table().html() + diffs, str(self), self.data())


def digest(target: str, changes: Sequence[Change]) -> str:
    """Give the digest of a plan: sha256 over target, changes and the state they start from."""
    content = {
        "target": target,
        "changes": [
            [c.action, c.api_version, c.kind, c.namespace, c.name, c.desired, c.live]
            for c in changes
        ],
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
