"""Where a campaign is kept while it goes on: ConfigMaps in its namespace, one for each block.

State lives in the cluster, so a campaign that was killed goes on from any machine, and the
notebooks after it read what it measured. A block is written whole or not at all; the one that was
being measured is measured again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from runbook.bench.campaign import Block, Campaign, Environment
from runbook.bench.deploy import PART_OF
from runbook.bench.design import Design
from runbook.bench.snapshot import Snapshot

if TYPE_CHECKING:
    from runbook.cluster import Cluster

__all__ = ["CAMPAIGN", "Store"]

CAMPAIGN = "linkerd-runbook/campaign"
"""Label with the id of the campaign an object belongs to."""

_PART = "linkerd-runbook/part"
_KEPT = 2  # finished campaigns that stay in the cluster; records keep every one
_IDLE = TypeAdapter(tuple[Snapshot, ...])


@dataclass(frozen=True)
class Store:
    """The campaigns of one namespace.

    Attributes:
        cluster: Where.
        namespace: Of the benchmark.
    """

    cluster: Cluster
    namespace: str

    def ids(self) -> list[str]:
        """Give the campaigns there are, the oldest first."""
        return sorted(_label(found, CAMPAIGN) for found in self._list(f"{_PART}=begin"))

    def newest(self) -> Campaign | None:
        """Give the newest campaign, finished or not; ``None`` when there is none."""
        ids = self.ids()
        return self.read(ids[-1]) if ids else None

    def unfinished(self, design: Design) -> Campaign | None:
        """Give the campaign of a design that was begun and not finished."""
        ended = {_label(found, CAMPAIGN) for found in self._list(f"{_PART}=end")}
        for name in reversed(self.ids()):
            if name.endswith(design.digest) and name not in ended:
                found = self.read(name)
                return found.model_copy(update={"design": design})
        return None

    def read(self, name: str) -> Campaign:
        """Read a campaign.

        Args:
            name: Its id.
        """
        parts: dict[str, list[Mapping[str, str]]] = {}
        for found in self._list(f"{CAMPAIGN}={name}"):
            parts.setdefault(_label(found, _PART), []).append(found.get("data") or {})
        begin = parts["begin"][0]
        end = parts.get("end", [])
        blocks = (Block.model_validate_json(data["block.json"]) for data in parts.get("block", ()))
        idle = parts.get("idle", [])
        return Campaign(
            id=name,
            design=Design.model_validate_json(begin["design.json"]),
            environment=Environment.model_validate_json(begin["environment.json"]),
            blocks=tuple(sorted(blocks, key=lambda block: block.number)),
            idle=_IDLE.validate_json(idle[0]["idle.json"]) if idle else (),
            complete=bool(end),
            stop=json.loads(end[0]["stop.json"]) if end else {},
        )

    def begin(self, campaign: Campaign) -> None:
        """Write the beginning of a campaign, and forget the oldest finished ones."""
        data = {
            "design.json": campaign.design.model_dump_json(),
            "environment.json": campaign.environment.model_dump_json(),
        }
        self._forget(campaign.id)
        self._write(campaign.id, "begin", data)

    def keep(self, campaign: Campaign, block: Block) -> None:
        """Write a block that was measured."""
        data = {"block.json": block.model_dump_json()}
        self._write(campaign.id, "block", data, f"-{block.number:04}")

    def end(self, campaign: Campaign) -> None:
        """Write that a campaign has come to its end."""
        self._write(campaign.id, "end", {"stop.json": json.dumps(campaign.stop)})

    def rest(self, campaign: Campaign, idle: tuple[Snapshot, ...]) -> None:
        """Write the snapshots around a time without load; later ones replace earlier ones."""
        self._write(campaign.id, "idle", {"idle.json": _IDLE.dump_json(idle).decode()})

    def _forget(self, coming: str) -> None:
        """Delete the oldest finished campaigns; only what carries the benchmark's own label.

        Beginning and end go last: whoever is killed meanwhile leaves a campaign that is finished
        still, and forgotten the next time.
        """
        ended = sorted(_label(found, CAMPAIGN) for found in self._list(f"{_PART}=end"))
        for name in [name for name in ended if name != coming][:-_KEPT]:
            for found in sorted(self._list(f"{CAMPAIGN}={name}"), key=_outer):
                self.cluster.delete("v1", "ConfigMap", found["metadata"]["name"], self.namespace)

    def _list(self, selector: str) -> Iterator[dict[str, Any]]:
        own = ",".join(f"{key}={value}" for key, value in PART_OF.items())
        return self.cluster.list("v1", "ConfigMap", self.namespace, selector=f"{own},{selector}")

    def _write(self, name: str, part: str, data: Mapping[str, str], more: str = "") -> None:
        self.cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": f"campaign-{name}-{part}{more}",
                    "namespace": self.namespace,
                    "labels": {**PART_OF, CAMPAIGN: name, _PART: part},
                },
                "data": dict(data),
            }
        )


def _outer(obj: Mapping[str, Any]) -> int:
    return {"begin": 1, "end": 2}.get(_label(obj, _PART), 0)


def _label(obj: Mapping[str, Any], key: str) -> str:
    return str((obj["metadata"].get("labels") or {}).get(key, ""))
