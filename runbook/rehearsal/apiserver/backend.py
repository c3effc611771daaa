"""What the API server asks of whoever runs the pods."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["NoNodes", "NodeBackend", "Switch"]


class NodeBackend(Protocol):
    """Runs pods; the API server fetches logs and statistics from it and connects to ports."""

    def logs(
        self, namespace: str, pod: str, container: str, *, previous: bool, tail: int | None
    ) -> str | None:
        """Give a container's log, its last ``tail`` lines if given; None if it has not run."""

    def endpoint(self, namespace: str, pod: str, port: int) -> tuple[str, int] | None:
        """Give host and port where a pod's port really listens; None if it does not."""

    def page(self, namespace: str, pod: str, port: int, path: str) -> str | None:
        """Give what a simulated container answers at a port of its own; None when it does not."""

    def stats(self, node: str) -> dict[str, Any]:
        """Give a node's statistics as the kubelet's Summary API does."""

    def metrics(self, node: str, kind: str) -> str:
        """Give what a node's kubelet answers at ``/metrics/KIND``: resource or cadvisor."""


class NoNodes:
    """Stands in where nothing runs pods."""

    def logs(
        self, namespace: str, pod: str, container: str, *, previous: bool, tail: int | None
    ) -> str | None:
        """Have no logs."""
        return None

    def endpoint(self, namespace: str, pod: str, port: int) -> tuple[str, int] | None:
        """Have no ports."""
        return None

    def page(self, namespace: str, pod: str, port: int, path: str) -> str | None:
        """Have no pages."""
        return None

    def stats(self, node: str) -> dict[str, Any]:
        """Have no statistics but the node's name."""
        return {"node": {"nodeName": node}, "pods": []}

    def metrics(self, node: str, kind: str) -> str:
        """Have no metrics."""
        return ""


class Switch:
    """A backend that is put in place after the API server has started.

    Attributes:
        to: What runs the pods; nothing at first.
    """

    def __init__(self) -> None:
        self.to: NodeBackend = NoNodes()

    def logs(
        self, namespace: str, pod: str, container: str, *, previous: bool, tail: int | None
    ) -> str | None:
        """Pass the question on."""
        return self.to.logs(namespace, pod, container, previous=previous, tail=tail)

    def endpoint(self, namespace: str, pod: str, port: int) -> tuple[str, int] | None:
        """Pass the question on."""
        return self.to.endpoint(namespace, pod, port)

    def page(self, namespace: str, pod: str, port: int, path: str) -> str | None:
        """Pass the question on."""
        return self.to.page(namespace, pod, port, path)

    def stats(self, node: str) -> dict[str, Any]:
        """Pass the question on."""
        return self.to.stats(node)

    def metrics(self, node: str, kind: str) -> str:
        """Pass the question on."""
        return self.to.metrics(node, kind)
