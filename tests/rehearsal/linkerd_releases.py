"""Linkerd's releases of each line, installed into a rehearsal cluster by Helm."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import helm_python as helm
from kubernetes import client
from linkerd_identity import Identity

from runbook.rehearsal import Twin

CHARTS = {
    "stable-2.11": [("linkerd2", "2.11.5")],
    "stable-2.14": [("linkerd-crds", "1.8.0"), ("linkerd-control-plane", "1.16.11")],
    "edge-2.19": [("linkerd-crds", "2025.10.7"), ("linkerd-control-plane", "2025.10.7")],
    "edge-2.20": [("linkerd-crds", "2026.6.3"), ("linkerd-control-plane", "2026.6.3")],
}


@contextmanager
def released(
    cluster: Twin, core: client.CoreV1Api, name: str, labels: dict[str, str]
) -> Iterator[helm.Config]:
    """Give a namespace to Helm; afterwards remove what it installed there."""
    core.create_namespace({"metadata": {"name": name, "labels": labels}})
    with helm.Config(kubeconfig_path=cluster.kubeconfig, namespace=name) as found:
        yield found
        for release in reversed(found.list(all_states=True)):
            found.uninstall(release["name"], wait="watcher", timeout=90)
    remove_namespace(core, name)


def remove_namespace(core: client.CoreV1Api, name: str) -> None:
    """Delete a namespace and wait until it is gone with all it held."""
    core.delete_namespace(name)
    until(lambda: name not in {found.metadata.name for found in core.list_namespace().items})


def until(condition: Callable[[], bool], seconds: float = 90) -> None:
    """Ask again until it is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def values(identity: Identity) -> dict[str, Any]:
    """Give the values of the control plane."""
    return {
        "identityTrustAnchorsPEM": identity.anchors,
        "identity": {"issuer": {"scheme": "kubernetes.io/tls"}},
        "installNamespace": False,
    }


def install(
    releases: helm.Config, cluster: Twin, line: str, given: dict[str, Any], timeout: int = 120
) -> None:
    """Install the control plane of a line and wait until it is ready."""
    for name, version in CHARTS[line]:
        crds = name == "linkerd-crds"
        releases.install(
            name,
            name,
            {"enableHttpRoutes": False} if crds else given,
            chart_repo_url=cluster.chart_repository,
            chart_version=version,
            wait="watcher",
            timeout=timeout,
        )
