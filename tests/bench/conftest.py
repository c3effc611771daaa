"""The rehearsal cluster of the tests that measure, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bench_place import Place, opened


@pytest.fixture(scope="session")
def place() -> Iterator[Place]:
    with opened() as made:
        yield made


@pytest.fixture
def space(place: Place, request: pytest.FixtureRequest) -> Iterator[str]:
    """Make a namespace for one test."""
    name = f"t-{abs(hash(request.node.nodeid)) % 10**8}"
    place.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    place.cluster.delete("v1", "Namespace", name)
