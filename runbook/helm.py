"""Helm: releases in, releases out. Helm as a library by default, or the ``helm`` program.

Neither waits for workloads: Helm's own wait ends a crash loop with its timeout, so the runbook
waits itself (:mod:`runbook.wait`), and ends at once with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import yaml

from runbook.chart_store import ChartInfo

if TYPE_CHECKING:
    from runbook.cluster import Cluster

__all__ = [
    "ChartInfo",
    "Helm",
    "Installed",
    "Release",
    "Revision",
    "open_helm",
    "parse_manifest",
    "record_name",
]

Object = dict[str, Any]


@dataclass(frozen=True)
class Release:
    """A Helm release as it should be.

    Attributes:
        name: Release name.
        namespace: Namespace of the release.
        chart: Chart name, such as ``linkerd-control-plane``.
        version: Chart version; a local chart is taken whatever its version.
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
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def title(self) -> str:
        """As in messages: ``linkerd/linkerd-crds``."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Revision:
    """One line of a release's history."""

    revision: int
    status: str
    chart: str
    version: str
    description: str = ""


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
    values: Mapping[str, Any] = field(repr=False)
    objects: tuple[Object, ...] = field(repr=False)


class Helm(Protocol):
    """What the runbook asks of Helm.

    Every method raises ``HelmError`` when Helm refuses or fails, ``UnreachableError`` when the
    API server does not answer and ``ForbiddenError`` when it does not permit.
    """

    def pull(self, chart: str, version: str, source: str) -> Path:
        """Get a chart as a local archive or directory; pulled once."""

    def info(self, chart: str, version: str, source: str) -> ChartInfo:
        """Read a chart's own description."""

    def render(self, release: Release) -> list[Object]:
        """Render a release's objects for this cluster; changes nothing."""

    def release(self, name: str, namespace: str) -> Installed | None:
        """Give the newest revision of a release, ``None`` if there is none."""

    def history(self, name: str, namespace: str) -> list[Revision]:
        """Give a release's revisions, oldest first; empty if there is none."""

    def install(self, release: Release, *, timeout: float) -> Installed:
        """Install a release."""

    def upgrade(self, release: Release, *, timeout: float) -> Installed:
        """Upgrade a release; its earlier user values are not kept."""

    def rollback(self, name: str, namespace: str, revision: int, *, timeout: float) -> None:
        """Go back to an earlier revision, as a new one."""

    def uninstall(self, name: str, namespace: str, *, timeout: float) -> None:
        """Remove a release and its objects."""


def open_helm(cluster: Cluster, kind: str = "sdk") -> Helm:
    """Give Helm for a cluster.

    Args:
        cluster: Its kubeconfig and context are what Helm uses too.
        kind: ``sdk`` for the library, ``cli`` for the program on the PATH.
    """
    if kind == "cli":
        from runbook.helm_cli import CliHelm  # noqa: PLC0415 - only when asked for

        return CliHelm(cluster.kubeconfig, cluster.context)
    from runbook.helm_sdk import SdkHelm  # noqa: PLC0415 - only when asked for

    return SdkHelm(cluster.kubeconfig, cluster.context)


def parse_manifest(text: str) -> list[Object]:
    """Read the objects of a rendered manifest; empty documents are left out."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # CRD charts have 20,000 lines
    documents: Iterable[Any] = yaml.load_all(text, Loader=loader)
    return [doc for doc in documents if isinstance(doc, dict) and doc.get("kind")]


def record_name(name: str, revision: int) -> str:
    """Give the name of the Secret in which Helm stores a revision.

    >>> record_name("linkerd-crds", 2)
    'sh.helm.release.v1.linkerd-crds.v2'
    """
    return f"sh.helm.release.v1.{name}.v{revision}"
