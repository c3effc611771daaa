"""Names in the cluster, and who really listens behind them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.cache import Cache
from runbook.rehearsal.kubelet.containers import Container
from runbook.rehearsal.kubelet.network import Network, UnreachableError
from runbook.rehearsal.kubelet.sandbox import Sandbox

NAME = "default.bench.serviceaccount.identity.linkerd.cluster.local"


def pod(name: str, address: str, *, ready: bool = True) -> Any:
    condition = {"type": "Ready", "status": str(ready)}
    meta = {"name": name, "namespace": "bench", "uid": name, "resourceVersion": "1"}
    port = {"name": "http", "containerPort": 8080}
    return {
        "metadata": {**meta, "labels": {"app": "echo"}},
        "spec": {"containers": [{"name": "fortio", "ports": [port]}]},
        "status": {"podIP": address, "conditions": [condition]},
    }


def sandbox(
    name: str, address: str, tmp_path: Path, listeners: dict[str, dict[int, int]]
) -> Sandbox:
    made = Sandbox(name, ("bench", name), tmp_path / name, address, "10.0.0.11", "", [], [])
    for container, addresses in listeners.items():
        entry = Container({"name": container, "image": ""}, False, "Always", tmp_path)
        entry.process = cast(Any, SimpleNamespace(addresses=addresses))
        if container == "linkerd-proxy":
            entry.leaf = cast(Any, object())
            env = {"LINKERD2_PROXY_IDENTITY_LOCAL_NAME": NAME}
            entry.situation = cast(Any, SimpleNamespace(env=env))
        made.main.append(entry)
    return made


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """Give a network with a Service of three pods: unready, meshed, and not meshed."""
    cache = Cache(lambda _: None)
    for resource in (kinds.PODS, kinds.SERVICES):
        cache.follows(resource)
    for made in (
        pod("a-unready", "10.42.1.2", ready=False),
        pod("b-meshed", "10.42.1.3"),
        pod("c-plain", "10.42.1.4"),
    ):
        cache.put(kinds.PODS, made)
    ports = [{"name": "http", "port": 80, "targetPort": "http"}, {"name": "none", "port": 81}]
    for name, selector in (("echo", {"app": "echo"}), ("empty", {"app": "nobody"})):
        meta = {"name": name, "namespace": "bench", "uid": name, "resourceVersion": "1"}
        spec = {"clusterIP": f"10.43.0.{len(name)}", "selector": selector, "ports": ports}
        cache.put(kinds.SERVICES, {"metadata": meta, "spec": spec})
    known = [
        sandbox("b-meshed", "10.42.1.3", tmp_path, {
            "fortio": {8080: 1001}, "linkerd-proxy": {4191: 1002, 8080: 1003}}),
        sandbox("c-plain", "10.42.1.4", tmp_path, {"fortio": {8080: 1004}}),
    ]  # fmt: skip
    return Network(cache, lambda: known)


@pytest.mark.parametrize(
    ("host", "namespace"),
    [
        ("echo", "bench"),
        ("echo.bench", "other"),
        ("echo.bench.svc", "other"),
        ("echo.bench.svc.cluster.local", "other"),
        ("echo.bench.svc.cluster.local.", "other"),
        ("10.43.0.4", "other"),
    ],
)
def test_a_service_leads_to_the_proxy_of_its_first_ready_pod(
    network: Network, host: str, namespace: str
) -> None:
    place = network.resolve(f"{host}:80", namespace)
    assert (place.port, place.address, place.name) == (1003, "10.42.1.3:8080", NAME)
    assert place.labels == {
        "dst_namespace": "bench",
        "dst_pod": "b-meshed",
        "dst_service": "echo",
    }


def test_an_address_leads_to_its_pod(network: Network) -> None:
    assert network.resolve("10.42.1.3:8080", "other").port == 1003
    plain = network.resolve("10.42.1.4:8080", "other")
    assert (plain.port, plain.name) == (1004, "")


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("echo:80", "lookup echo on"),  # in another namespace
        ("nobody.bench:80", "no such host"),
        ("echo.bench.svc.example.org:80", "no such host"),
        ("echo.bench:82", "no such port"),
        ("empty.bench:80", "no ready pod"),
        ("echo.bench:81", "no ready pod"),  # nobody listens on its target
        ("10.42.1.3:9000", "no route to host"),
        ("10.42.7.7:8080", "no route to host"),
    ],
)
def test_a_name_that_leads_nowhere(network: Network, target: str, why: str) -> None:
    with pytest.raises(UnreachableError, match=why):
        network.resolve(target, "other")


def test_routes_name_the_listeners_of_the_others(tmp_path: Path) -> None:
    made = sandbox("p", "10.42.1.5", tmp_path, {
        "linkerd-proxy": {4191: 1, 8080: 2}, "fortio": {8080: 3, 8079: 4}})  # fmt: skip
    for container in made.main:
        made.connect(container)
    assert made.routes == {"inbound": {"8080": {"port": 3}, "8079": {"port": 4}}, "outbound": {}}
    assert made.routes_file.exists()
    assert made.listener(8080) == (made.main[0], 2)
    assert made.listener(8079) == (made.main[1], 4)
    assert made.listener(80) is None
    plain = sandbox("q", "10.42.1.6", tmp_path, {"fortio": {8080: 3}})
    plain.connect(plain.main[0])
    assert not plain.routes_file.exists()
