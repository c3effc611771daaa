"""The controllers of the rehearsal cluster.

They work through the public API alone, as the real ones do. ``start`` runs them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers.apiservices import ApiServices
from runbook.rehearsal.controllers.certmanager import Certificates, Issuers, Requests
from runbook.rehearsal.controllers.cronjobs import CronJobs
from runbook.rehearsal.controllers.daemonsets import DaemonSets
from runbook.rehearsal.controllers.deployments import Deployments
from runbook.rehearsal.controllers.disruption import Budgets
from runbook.rehearsal.controllers.eck import Elasticsearches, Kibanas
from runbook.rehearsal.controllers.garbage import GarbageCollector
from runbook.rehearsal.controllers.helmcharts import HelmCharts
from runbook.rehearsal.controllers.jobs import Jobs
from runbook.rehearsal.controllers.longhorn import Longhorn
from runbook.rehearsal.controllers.manager import Key, Manager
from runbook.rehearsal.controllers.namespaces import Namespaces
from runbook.rehearsal.controllers.nodes import Nodes
from runbook.rehearsal.controllers.prometheusoperator import Prometheuses
from runbook.rehearsal.controllers.replicasets import ReplicaSets
from runbook.rehearsal.controllers.scheduler import Scheduler
from runbook.rehearsal.controllers.services import Services
from runbook.rehearsal.controllers.statefulsets import StatefulSets
from runbook.rehearsal.faults import Faults

if TYPE_CHECKING:
    from runbook.rehearsal.kubelet import Kubelet

__all__ = ["Handle", "start"]

_AGENT = "kube-controller-manager"


@dataclass(frozen=True)
class Handle:
    """The running controllers.

    Args:
        manager: What runs them.
        kubelet: What runs the pods; None when there are only controllers.
    """

    manager: Manager
    kubelet: Kubelet | None

    def settled(self, timeout: float = 30) -> bool:
        """Wait until the controllers have nothing left to do.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether they came to rest in time.
        """
        return self.manager.settled(timeout)

    def stop(self) -> None:
        """Stop the controllers, then the pods' processes."""
        self.manager.stop()
        if self.kubelet is not None:
            self.kubelet.stop()


def start(
    client: Client,
    *,
    kubelet: bool = True,
    faults: Faults | None = None,
    directory: Path | None = None,
) -> Handle:
    """Run the controllers against an API server.

    Args:
        client: How to reach it, with all rights.
        kubelet: Also schedule pods and run those of every node.
        faults: What shall go wrong; nothing by default.
        directory: Where the files of the pods are kept while they run; emptied at start and end;
            a temporary one by default.
    """
    from runbook.rehearsal.kubelet import Kubelet  # noqa: PLC0415  # it builds on this package

    manager = Manager(client.acting_as(_AGENT))
    cluster = manager.cluster
    faults = faults or Faults()
    garbage = GarbageCollector(cluster, lambda key: manager.look("garbage", key))
    spaces = Namespaces(cluster, lambda key: manager.look("namespace", key))
    runner = None
    if kubelet:

        def look(key: Key, after: float) -> None:
            manager.look("kubelet", key, after)

        runner = Kubelet(cluster, look, faults, directory)
        manager.add(runner)
        manager.add(Scheduler(cluster, faults))
    for controller in (
        garbage,
        spaces,
        Deployments(cluster),
        ReplicaSets(cluster),
        DaemonSets(cluster),
        StatefulSets(cluster),
        Jobs(cluster),
        CronJobs(cluster),
        Services(cluster),
        ApiServices(cluster),
        Budgets(cluster),
        Nodes(cluster),
        Issuers(cluster),
        Requests(cluster),
        Certificates(cluster, faults),
        Prometheuses(cluster),
        Longhorn(cluster, faults),
        Elasticsearches(cluster),
        Kibanas(cluster),
        HelmCharts(cluster),
    ):
        manager.add(controller)
    manager.observe(garbage.changed)
    manager.observe(spaces.changed)
    manager.start()
    return Handle(manager, runner)
