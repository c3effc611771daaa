"""Rehearsal clusters: one for the tests of its clients, others for a module each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from bare import Api
from kubernetes import client, config

from runbook.rehearsal import Twin

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def pi_cluster() -> Iterator[Twin]:
    """Run the Pi cluster with controllers, kubelet and charts."""
    with Twin() as twin:
        yield twin


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    """Run the Pi cluster for one test module, which may change it."""
    with Twin() as running:
        yield running


@pytest.fixture(scope="session")
def api_client(pi_cluster: Twin) -> Iterator[client.ApiClient]:
    """Connect the Python client with the rehearsal's kubeconfig."""
    with config.new_client_from_config(str(pi_cluster.kubeconfig), "rehearsal") as connected:
        yield connected


@pytest.fixture
def namespace(api_client: client.ApiClient) -> Iterator[str]:
    """Make a namespace for one test."""
    name = f"work-{next(_numbers)}"
    core = client.CoreV1Api(api_client)
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name)))
    yield name
    core.delete_namespace(name)


@pytest.fixture(scope="module")
def bare_cluster() -> Iterator[Twin]:
    """Run an API server without controllers, nodes or content, for one test module."""
    with Twin(content=False, controllers=False, kubelet=False) as twin:
        yield twin


@pytest.fixture(scope="module")
def api(bare_cluster: Twin) -> Api:
    """Send requests to the bare API server; it has the default service account."""
    api = Api(bare_cluster)
    account = {"metadata": {"name": "default"}}
    api("POST", "/api/v1/namespaces/default/serviceaccounts", account)
    return api
