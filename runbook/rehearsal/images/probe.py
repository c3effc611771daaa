"""The benchmark's probe of a node: the host's CPU counters, and a Pi's sensors, simulated."""

from __future__ import annotations

from runbook.rehearsal.images.kinds import Behaviour, Notice, Situation

__all__ = ["Probe"]


class Probe:
    """The container ``probe``."""

    def start(self, situation: Situation) -> Behaviour:
        """Run it as a process."""
        return Behaviour(module="runbook.rehearsal.traffic.probe")

    def changed(self, before: Situation, after: Situation) -> Notice | None:
        """Do nothing."""
        return None
