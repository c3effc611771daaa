"""Grafana and the sidecar that brings it dashboards: stand-ins that share a directory."""

from __future__ import annotations

from runbook.rehearsal.client import Object
from runbook.rehearsal.images.kinds import Behaviour, Notice, Situation

__all__ = ["DashboardSidecar", "Grafana", "is_grafana", "is_sidecar"]


class DashboardSidecar:
    """The container ``grafana-sc-dashboard``: kiwigrid/k8s-sidecar."""

    def start(self, situation: Situation) -> Behaviour:
        """Run it as a process."""
        return Behaviour(module="runbook.rehearsal.monitoring.sidecar")

    def changed(self, before: Situation, after: Situation) -> Notice | None:
        """Do nothing: nothing is mounted but the directory it writes to."""
        return None


class Grafana:
    """The container ``grafana``."""

    def start(self, situation: Situation) -> Behaviour:
        """Run it as a process."""
        ports = [port["containerPort"] for port in situation.container.get("ports") or []]
        version = situation.container["image"].rpartition(":")[2]
        return Behaviour(
            module="runbook.rehearsal.monitoring.grafana",
            ports=tuple(ports),
            extra={"version": version},
        )

    def changed(self, before: Situation, after: Situation) -> Notice | None:
        """Do nothing: the process looks for dashboards itself."""
        return None


def is_grafana(container: Object) -> bool:
    """Tell whether a container is Grafana; the one that Viz brought along up to 2.11 is not."""
    return container["name"] == "grafana" and "grafana/grafana:" in container.get("image", "")


def is_sidecar(container: Object) -> bool:
    """Tell whether a container is a sidecar for dashboards."""
    return "sc-dashboard" in container["name"] and "k8s-sidecar:" in container.get("image", "")
