"""What the control plane costs: each of its containers, idle and while a campaign ran."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from runbook.bench.campaign import Campaign
from runbook.bench.consumption import Memory, Used, memory, used
from runbook.bench.kubelet import seconds
from runbook.bench.snapshot import Snapshot

__all__ = ["Component", "components"]

_HASHES = re.compile(r"-[a-z0-9]{6,10}-[a-z0-9]{5}$")  # of a ReplicaSet and of its pod
_SERVERS = "echo-"  # begins the name of each server of the benchmark


@dataclass(frozen=True)
class Component:
    """One container of the control plane, all replicas together.

    Attributes:
        name: Of the Deployment, such as ``linkerd-destination``.
        container: Such as ``policy``.
        replicas: Pods that were seen.
        idle: Use while there was no load, in mcore; ``None`` if it was not measured.
        loaded: Use over the whole campaign, in mcore; the mesh carried load in a part of it.
        working_set: Memory that cannot be reclaimed, of all replicas.
        rss: Anonymous memory.
    """

    name: str
    container: str
    replicas: int
    idle: float | None
    loaded: float | None
    working_set: Memory | None
    rss: Memory | None


def components(campaign: Campaign) -> tuple[Component, ...]:
    """Give every container of the control plane, by component.

    Snapshots hold its namespace and that of the benchmark; the latter has the servers in it.
    """
    during = campaign.snapshots
    every = {key for snapshot in (*campaign.idle, *during) for key in snapshot.containers}
    own = {key.split("/")[0] for key in every if key.split("/")[1].startswith(_SERVERS)}
    groups: dict[tuple[str, str], set[str]] = {}
    for key in every:
        namespace, pod, container = key.split("/")
        if namespace not in own:
            groups.setdefault((_HASHES.sub("", pod), container), set()).add(key)
    return tuple(
        Component(
            name=name,
            container=container,
            replicas=len(keys),
            idle=_together(campaign.idle, keys),
            loaded=_together(during, keys),
            working_set=memory(_sums(during or campaign.idle, keys, "working_set")),
            rss=memory(_sums(during or campaign.idle, keys, "rss")),
        )
        for (name, container), keys in sorted(groups.items())
    )


def _together(snapshots: Sequence[Snapshot], keys: set[str]) -> float | None:
    """Add up the mean use of some containers, in mcore; ``None`` if one of them has no figure."""
    found = [_mean(snapshots, key) for key in keys]
    known = [use.mcore for use in found if use is not None]
    return sum(known) if len(known) == len(found) else None


def _mean(snapshots: Sequence[Snapshot], key: str) -> Used | None:
    """Give what a container used between the first and the last sample of it."""
    usages = [snapshot.containers[key] for snapshot in snapshots if key in snapshot.containers]
    usages.sort(key=lambda usage: seconds(usage.time) or 0.0)
    if len(usages) < 2 or len({usage.started for usage in usages}) > 1:
        return None
    found = used(usages[0], usages[-1])
    return None if isinstance(found, str) or not found.long else found


def _sums(snapshots: Sequence[Snapshot], keys: set[str], field: str) -> Iterator[int | None]:
    """Give the memory of all replicas in each snapshot that has all of them."""
    for snapshot in snapshots:
        values = [
            getattr(snapshot.containers[key], field) for key in keys if key in snapshot.containers
        ]
        if len(values) == len(keys):
            yield None if None in values else sum(values)
