"""Rehearsal clusters with services and Linkerd, and what a test compares before and after."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from mesh_place import manifest

from runbook.rehearsal import Twin
from runbook.rehearsal.client import Client, Resource
from runbook.rehearsal.controllers import kinds

WORKLOADS = (kinds.DEPLOYMENTS, kinds.DAEMON_SETS, kinds.STATEFUL_SETS, kinds.CRON_JOBS)

Kept = Callable[..., str]


@pytest.fixture(scope="module")
def client(twin: Twin) -> Client:
    return Client.from_kubeconfig(twin.kubeconfig)


@pytest.fixture
def kept(client: Client) -> Iterator[Kept]:
    """Give the manifests of namespaces, their workloads, and whatever else is named."""

    def text(*spaces: str, more: tuple[Resource, ...] = ()) -> str:
        objects = []
        for space in spaces:
            objects.append(manifest(client, kinds.NAMESPACES, space))
            for resource in (*WORKLOADS, *more):
                names = sorted(one["metadata"]["name"] for one in client.list(resource, space))
                objects += [manifest(client, resource, name, space) for name in names]
        for obj in objects:
            notes = obj["metadata"].get("annotations") or {}
            notes.pop("deployment.kubernetes.io/revision", None)  # counts on, as it should
            notes.pop("deprecated.daemonset.template.generation", None)
        return json.dumps(objects, indent=1)

    yield text
