"""Containers of images nobody here knows: they start, say so, and run on or complete."""

from __future__ import annotations

from runbook.rehearsal.images.kinds import Behaviour, Notice, Situation

__all__ = ["Simulated"]


class Simulated:
    """A container that does nothing but be there."""

    def start(self, situation: Situation) -> Behaviour:
        """Run on; in a Job, or as an init container, complete."""
        name = situation.container["name"]
        init = situation.pod["spec"].get("initContainers") or []
        step = any(c["name"] == name and c.get("restartPolicy") != "Always" for c in init)
        image = situation.container.get("image", "")
        first = f"rehearsal: simulating container {name} of image {image}"
        if step or situation.one_shot:
            return Behaviour(exit_code=0, log=(first, "rehearsal: done"))
        return Behaviour(log=(first, "rehearsal: running"))

    def changed(self, before: Situation, after: Situation) -> Notice | None:
        """Do nothing."""
        return None
