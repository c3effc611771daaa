"""Notebooks 50 and 51 on rehearsal clusters: the trap of kube-system, ingress mode, routes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from conftest import Kept
from mesh_place import KUBERNETES, carry, found, install_linkerd, opened, undo, until

from runbook import linkerd, meshing
from runbook.errors import CheckError
from runbook.rehearsal import Twin
from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.helmcharts import CONFIGS

SYSTEM = "kube-system"
INGRESS = {
    "linkerd.io/inject": "ingress",
    "config.linkerd.io/skip-outbound-ports": "443",
}


@pytest.fixture(scope="module", params=["edge-2.20", "stable-2.11"])
def line(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def twin(line: str) -> Iterator[Twin]:
    with Twin(kubernetes_version=KUBERNETES[line]) as running:
        install_linkerd(running, line)
        yield running


def traefik(step: Any) -> int:
    step.look(meshing.traefik_there, meshing.traefik_limits)
    step.display(meshing.forecast_traefik(step))
    changed = carry(step, *meshing.injector_release(step))
    plan = step.plan(*meshing.traefik_changes(step))
    step.apply(plan)
    step.wait(plan, *meshing.traefik_workloads(step))
    step.verify(meshing.traefik_meshed, meshing.traefik_serves)
    return changed + len(plan.pending)


def test_in_kube_system_nothing_would_happen_and_it_says_so(
    twin: Twin, line: str, client: Client
) -> None:
    if line == "stable-2.11":
        pytest.skip("the injector of 2.11 looks at kube-system")
    step = opened(twin, "50-traefik-ingress", line=line)
    with pytest.raises(CheckError, match="the injector looks at Traefik's pods"):
        traefik(step)
    told = found(step, meshing.traefik_there)["traefik-asked"]
    assert "nothing would happen" in told.seen
    for way in ("inject_kube_system: true", "a namespace of its own", "inject --manual"):
        assert way in told.fix
    assert "not meshed" in str(meshing.forecast_traefik(step))
    # And where somebody has annotated it already:
    template = {"spec": {"template": {"metadata": {"annotations": INGRESS}}}}
    client.patch(kinds.DEPLOYMENTS, "traefik", template, SYSTEM)
    told = found(step, meshing.traefik_there)["traefik-asked"]
    assert told.seen == (
        "nothing will happen: annotated already, without effect: deployment/traefik"
    )
    gone = {"spec": {"template": {"metadata": {"annotations": dict.fromkeys(INGRESS)}}}}
    client.patch(kinds.DEPLOYMENTS, "traefik", gone, SYSTEM)


@pytest.mark.parametrize("way", ["values", "patch"])
def test_meshed_twice_and_taken_back(
    twin: Twin, line: str, client: Client, kept: Kept, way: str
) -> None:
    before = kept(SYSTEM, more=(CONFIGS,))
    given = {"line": line, "mesh_by": way, "inject_kube_system": True}
    step = opened(twin, "50-traefik-ingress", **given)
    assert traefik(step) >= 1
    assert {k: o.seen for k, o in found(step, meshing.traefik_meshed).items()} == {}
    assert found(step, meshing.traefik_serves) == {}
    (pod,) = (
        pod
        for pod in client.list(kinds.PODS, SYSTEM)
        if pod["metadata"]["name"].startswith("traefik-")
    )
    every = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
    (proxy,) = (one for one in every if one["name"] == "linkerd-proxy")
    assert {"name": "LINKERD2_PROXY_INGRESS_MODE", "value": "true"} in proxy["env"]
    assert traefik(opened(twin, "50-traefik-ingress", **given)) == 0
    again = opened(twin, "15-control-plane", **given)
    assert again.plan(linkerd.control_plane_release(again)).empty, "15 keeps the selector"
    undo(step)
    until(lambda: kept(SYSTEM, more=(CONFIGS,)) == before)


def test_values_of_the_owner_stay(twin: Twin, line: str, client: Client) -> None:
    own = {"logs": {"access": {"enabled": True}}, "deployment": {"podAnnotations": {"a": "b"}}}
    spec = {"valuesContent": yaml.safe_dump(own)}
    meta = {"name": "traefik", "namespace": SYSTEM}
    client.create(CONFIGS, {"metadata": meta, "spec": spec})
    step = opened(twin, "50-traefik-ingress", line=line)
    (change,) = step.plan(*meshing.traefik_changes(step)).changes
    assert change.action == "update"
    wanted = yaml.safe_load(change.desired["spec"]["valuesContent"])
    assert wanted["logs"] == own["logs"]
    assert wanted["deployment"]["podAnnotations"] == {"a": "b", **INGRESS}
    client.delete(CONFIGS, "traefik", SYSTEM)


def routing(step: Any) -> int:
    step.look(meshing.routes_possible)
    changed = carry(step, *meshing.routing_objects(step))
    step.verify(meshing.routes_serve)
    return changed


def app(client: Client, name: str, *services: str, notes: dict[str, str] | None = None) -> None:
    paths = [
        {
            "path": "/" if number == 0 else f"/{service}",
            "pathType": "Prefix",
            "backend": {"service": {"name": service, "port": {"name": "http"}}},
        }
        for number, service in enumerate(services)
    ]
    for service in services:
        meta = {"name": service, "namespace": "shop"}
        ports = [{"name": "http", "port": 8080, "targetPort": 80}]
        if client.find(kinds.SERVICES, service, "shop") is None:
            spec = {"selector": {"app": service}, "ports": ports}
            client.create(kinds.SERVICES, {"metadata": meta, "spec": spec})
    rules = [{"host": f"{name}.example.com", "http": {"paths": paths}}]
    meta = {"name": name, "namespace": "shop", "annotations": notes or {}}
    spec = {"ingressClassName": "traefik", "rules": rules}
    client.create(kinds.INGRESSES, {"metadata": meta, "spec": spec})


def test_routes(twin: Twin, line: str, client: Client, kept: Kept) -> None:
    client.create(kinds.NAMESPACES, {"metadata": {"name": "shop"}})
    chain = "traefik.ingress.kubernetes.io/router.middlewares"
    app(client, "plain", "web")
    app(client, "guarded", "web", notes={chain: "shop-login@kubernetescrd"})
    app(client, "several", "web", "api")
    app(client, "lost", "web")
    client.delete(kinds.SERVICES, "api", "shop")
    before = kept("shop", more=(kinds.INGRESSES,))
    step = opened(twin, "51-ingress-routing", line=line, route_namespace="shop")
    told = found(step, meshing.routes_possible)
    assert "shop/several: there is no Service api" in told["routes"].seen
    assert told["ingress-mode"].verdict == "warn", "Traefik is not meshed here"
    assert routing(step) == 4, "one Middleware for Service web, three Ingresses"
    made = step.cluster.get("traefik.io/v1alpha1", "Middleware", "l5d-web-8080", "shop")
    assert made["spec"]["headers"]["customRequestHeaders"] == {
        "l5d-dst-override": "web.shop.svc.cluster.local:8080"
    }
    notes = client.get(kinds.INGRESSES, "guarded", "shop")["metadata"]["annotations"]
    assert notes[chain] == "shop-login@kubernetescrd,shop-l5d-web-8080@kubernetescrd"
    wrong = found(step, meshing.routes_serve)
    assert wrong["routed"].seen == "shop/several"
    assert "a client may send l5d-dst-override itself" in wrong["routed"].why
    assert routing(opened(twin, "51-ingress-routing", line=line, route_namespace="shop")) == 0
    undo(step)
    assert kept("shop", more=(kinds.INGRESSES,)) == before
    assert step.cluster.find("traefik.io/v1alpha1", "Middleware", "l5d-web-8080", "shop") is None
    client.delete(kinds.NAMESPACES, "shop")
    assert json.loads(before)
