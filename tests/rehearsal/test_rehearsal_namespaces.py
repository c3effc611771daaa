"""A namespace that took the name of one that has just gone."""

from __future__ import annotations

from typing import Any

from runbook.rehearsal import Twin
from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.cache import Cache
from runbook.rehearsal.controllers.manager import Cluster
from runbook.rehearsal.controllers.namespaces import Namespaces


class Reported(Cluster):
    """A cluster in which the end of a namespace has been reported in its status already."""

    def set_status(self, *_: Any) -> None:
        """Find nothing to write."""


def test_the_successor_of_a_deleted_namespace_keeps_its_finalizer_and_content(
    bare_cluster: Twin,
) -> None:
    client = Client.from_kubeconfig(bare_cluster.kubeconfig)
    live = client.create(kinds.NAMESPACES, {"metadata": {"name": "again"}})
    secret = client.create(kinds.SECRETS, {"metadata": {"name": "s", "namespace": "again"}})
    ended = {"uid": "of-the-one-before", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    cache = Cache(changed=lambda change: None)
    for resource in (kinds.NAMESPACES, kinds.SECRETS):
        cache.follows(resource)
    cache.put(kinds.NAMESPACES, {**live, "metadata": {**live["metadata"], **ended}})
    cluster: Any = Reported(client, cache, lambda *_: None)  # type: ignore[arg-type]
    controller = Namespaces(cluster, look=lambda key: None)

    assert controller.reconcile(("", "again")) is None
    cache.put(kinds.SECRETS, secret)
    assert controller.reconcile(("", "again")) is None
    assert client.get(kinds.NAMESPACES, "again")["spec"]["finalizers"] == ["kubernetes"]
    assert client.get(kinds.SECRETS, "s", "again")
