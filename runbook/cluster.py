"""A Kubernetes cluster: objects in and out as plain dicts, in kubectl's words.

>>> from runbook.cluster import connect
>>> cluster = connect(params)                                        # doctest: +SKIP
>>> cluster.get("v1", "Namespace", "kube-system")["metadata"]["uid"] # doctest: +SKIP
'0b4b7e5c-...'
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

__all__ = ["MANAGER", "Cluster", "Object", "Target", "connect"]

Object = dict[str, Any]
MANAGER = "linkerd-runbook"


class Target(Protocol):
    """The parameters that name a cluster."""

    @property
    def cluster(self) -> str: ...
    @property
    def kubeconfig(self) -> str: ...
    @property
    def cluster_uid(self) -> str: ...


class Cluster:
    name: str
    context: str
    kubeconfig: str
    server: str
    uid: str
    version: str
    rehearsal: bool
    chart_repository: str | None

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object: ...
    def find(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None: ...
    def list(
        self, api_version: str, kind: str, namespace: str = "", *, selector: str = "", fields: str = ""
    ) -> Iterator[Object]: ...
    def apply(self, obj: Mapping[str, Any], *, dry_run: bool = False, force: bool = False) -> Object: ...
    def create(self, obj: Mapping[str, Any], *, dry_run: bool = False) -> Object: ...
    def delete(self, api_version: str, kind: str, name: str, namespace: str = "") -> None: ...
    def logs(
        self, namespace: str, pod: str, container: str = "", *, previous: bool = False, tail: int = 0
    ) -> str: ...
    def can(self, verb: str, resource: str, *, group: str = "", namespace: str = "", name: str = "") -> bool: ...
    def serves(self, api_version: str, kind: str) -> bool: ...
    def now(self) -> datetime: ...
    def read(self, path: str) -> Any: ...


def connect(target: Target) -> Cluster: ...
