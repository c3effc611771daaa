"""Helm: releases in, releases out. The SDK as a library, or the ``helm`` program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from runbook.cluster import Cluster

__all__ = ["ChartInfo", "Helm", "Installed", "Release", "Revision", "open_helm"]


@dataclass(frozen=True)
class Release:
    """A Helm release as it should be.

    Attributes:
        name: Release name.
        namespace: Namespace of the release.
        chart: Chart name, such as ``linkerd-control-plane``.
        version: Exact chart version.
        source: Where the chart is: address of a Helm repository (``https://``), of an OCI
            registry (``oci://``), or a local path: a chart directory, a ``.tgz``, or a directory
            that holds either.
        values: Values given by the user of the chart, on top of the chart's own.
    """

    name: str
    namespace: str
    chart: str
    version: str
    source: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ChartInfo:
    """What a chart says of itself (``Chart.yaml``)."""

    name: str
    version: str
    app_version: str = ""
    kube_version: str = ""


@dataclass(frozen=True)
class Revision:
    """One line of a release's history."""

    revision: int
    status: str
    chart: str
    version: str
    description: str = ""
    updated: str = ""


@dataclass(frozen=True)
class Installed:
    """A release as it is stored in the cluster.

    Attributes:
        name: Release name.
        namespace: Its namespace.
        revision: Newest revision.
        status: ``deployed``, ``failed``, ``pending-install``, ``uninstalled``, ...
        chart: Chart name.
        version: Chart version.
        app_version: Version of what the chart installs.
        values: Values given by the user of the chart.
        objects: The objects of its stored manifest.
    """

    name: str
    namespace: str
    revision: int
    status: str
    chart: str
    version: str
    app_version: str
    values: Mapping[str, Any]
    objects: tuple[dict[str, Any], ...]


class Helm(Protocol):
    """What the runbook asks of Helm. Every method raises ``HelmError``."""

    def pull(self, chart: str, version: str, source: str) -> Path:
        """Get a chart as a local file or directory; pulled once per process."""

    def info(self, chart: str, version: str, source: str) -> ChartInfo:
        """Read a chart's own description."""

    def render(self, release: Release) -> list[dict[str, Any]]:
        """Render a release's objects for this cluster without changing anything."""

    def release(self, name: str, namespace: str) -> Installed | None:
        """Give the newest revision of a release, ``None`` if there is none."""

    def releases(self, namespace: str = "") -> list[Revision]: ...

    def history(self, name: str, namespace: str) -> list[Revision]:
        """Give a release's revisions, oldest first; empty if there is none."""

    def install(self, release: Release, *, timeout: float) -> Installed:
        """Install a release; does not wait for its workloads."""

    def upgrade(self, release: Release, *, timeout: float) -> Installed:
        """Upgrade a release; does not wait for its workloads."""

    def rollback(self, name: str, namespace: str, revision: int, *, timeout: float) -> Installed:
        """Go back to an earlier revision, as a new one."""

    def uninstall(self, name: str, namespace: str, *, timeout: float) -> None:
        """Remove a release and its objects."""


def open_helm(cluster: Cluster, kind: str = "sdk") -> Helm: ...
