"""The pods as Prometheus' HTTP service discovery takes them: ``GET /rehearsal/pods``.

No real API server has this. It is here because many builds of Prometheus, those of Debian among
them, have no discovery of Kubernetes.
"""

from __future__ import annotations

from runbook.rehearsal.apiserver.requests import Request, Response
from runbook.rehearsal.apiserver.store import Store
from runbook.rehearsal.monitoring.discovery import targets

__all__ = ["PATH", "answer"]

PATH = "/rehearsal/pods"


def answer(store: Store, request: Request) -> Response:
    """List the targets of the namespaces that are asked for, of all when none is.

    Args:
        store: The pods.
        request: ``namespaces`` in its query has names between commas.
    """
    spaces = [name for name in request.query.get("namespaces", "").split(",") if name]
    pods = [pod for space in spaces or [""] for pod in store.list(("", "pods"), space)]
    groups = []
    for labels in targets(pods):
        address = labels.pop("__address__")
        groups.append({"targets": [address], "labels": labels})
    return Response(body=groups)
