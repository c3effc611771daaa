"""Subresources and proxies, with a stand-in for what runs the pods."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from bare import APPLY, JSON_PATCH, MERGE, PODS, Api, pod

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
SERVICES = "/api/v1/namespaces/default/services"


class Nodes:
    """Runs the pods: their logs, and one HTTP server for all their ports."""

    def __init__(self) -> None:
        self.log = ""
        self.ran = True

        class Echo(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = f"{self.command} {self.path}".encode()
                if self.path == "/host":
                    body = f"{self.headers['Host']} {self.headers['Authorization']}".encode()
                self.send_response(418 if "teapot" in self.path else 200)
                self.send_header("Content-Type", "text/x-echo")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815 - the name http.server calls

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def logs(
        self, namespace: str, pod: str, container: str, *, previous: bool, tail: int | None
    ) -> str | None:
        lines = self.log.splitlines(keepends=True)
        return "".join(lines[-tail:] if tail else lines) if self.ran and not previous else None

    def endpoint(self, namespace: str, pod: str, port: int) -> tuple[str, int] | None:
        return ("127.0.0.1", self.server.server_address[1]) if port == 8080 else None

    def page(self, namespace: str, pod: str, port: int, path: str) -> str | None:
        return None

    def stats(self, node: str) -> dict[str, Any]:
        return {"node": {"nodeName": node, "cpu": {"usageNanoCores": 1}}, "pods": []}


@pytest.fixture(scope="module")
def nodes(api: Api) -> Iterator[Nodes]:
    nodes = Nodes()
    api.twin.backend.to = nodes
    api("POST", "/api/v1/nodes", {"metadata": {"name": "node1"}})
    yield nodes
    nodes.server.shutdown()
    nodes.server.server_close()


def deployment(name: str) -> dict[str, Any]:
    labels = {"app": name}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "c", "image": "x"}]},
    }
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


class TestScale:
    def test_scaling_changes_the_deployment(self, api: Api) -> None:
        api("POST", DEPLOYMENTS, deployment("web"))
        path = f"{DEPLOYMENTS}/web/scale"
        scale = api("GET", path).body
        assert (scale["spec"], scale["status"]["selector"]) == ({"replicas": 2}, "app=web")
        scale["spec"]["replicas"] = 5
        assert api("PUT", path, scale).body["spec"] == {"replicas": 5}
        operation = [{"op": "replace", "path": "/spec/replicas", "value": 3}]
        assert api("PATCH", path, operation, JSON_PATCH).body["spec"] == {"replicas": 3}
        found = api("GET", f"{DEPLOYMENTS}/web").body
        assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (3, 3)
        owners = [e.get("subresource") for e in found["metadata"]["managedFields"]]
        assert "scale" in owners

    def test_nobody_scales_below_nothing(self, api: Api) -> None:
        api("POST", DEPLOYMENTS, deployment("less"))
        answer = api("PATCH", f"{DEPLOYMENTS}/less/scale", {"spec": {"replicas": -1}}, MERGE)
        assert answer.status == 422
        assert "must be greater than or equal to 0" in answer.message

    def test_what_cannot_be_scaled(self, api: Api) -> None:
        assert api("GET", f"{PODS}/x/scale").status == 404
        assert api("GET", f"{DEPLOYMENTS}/none/scale").status == 404


class TestStatus:
    def test_status_and_the_rest_are_written_apart(self, api: Api) -> None:
        api("POST", DEPLOYMENTS, deployment("apart"))
        path = f"{DEPLOYMENTS}/apart"
        both = {"spec": {"replicas": 9}, "status": {"replicas": 4}}
        assert "replicas" not in api("PATCH", path, both, MERGE).body["status"]
        found = api("PATCH", f"{path}/status", {**both, "spec": {"replicas": 1}}, MERGE).body
        assert (found["spec"]["replicas"], found["status"]["replicas"]) == (9, 4)
        assert found["metadata"]["generation"] == 2

    def test_applying_a_status(self, api: Api) -> None:
        api("POST", DEPLOYMENTS, deployment("applied"))
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "applied"},
            "status": {"replicas": 7},
        }
        answer = api("PATCH", f"{DEPLOYMENTS}/applied/status?fieldManager=m", body, APPLY)
        assert answer.body["status"]["replicas"] == 7
        gone = api("PATCH", f"{DEPLOYMENTS}/none/status?fieldManager=m", body, APPLY)
        assert gone.status in (400, 404)


class TestLogs:
    @pytest.fixture(autouse=True)
    def running(self, api: Api, nodes: Nodes) -> Iterator[None]:
        nodes.log, nodes.ran = "2026-01-01T00:00:00Z one\n2026-01-01T00:00:01Z two\n", True
        api("POST", PODS, pod("logs", nodeName="node1"))
        yield
        api("DELETE", f"{PODS}/logs?gracePeriodSeconds=0")

    def test_a_log(self, api: Api) -> None:
        assert api("GET", f"{PODS}/logs/log").raw == b"one\ntwo\n"
        assert api("GET", f"{PODS}/logs/log?tailLines=1").raw == b"two\n"
        assert api("GET", f"{PODS}/logs/log?limitBytes=2").raw == b"on"
        stamped = api("GET", f"{PODS}/logs/log?timestamps=true&tailLines=1")
        assert stamped.raw == b"2026-01-01T00:00:01Z two\n"

    def test_a_log_that_goes_on(self, api: Api, nodes: Nodes) -> None:
        with api.open("GET", f"{PODS}/logs/log?follow=true") as answer:
            assert answer.readline() + answer.readline() == b"one\ntwo\n"
            nodes.log += "2026-01-01T00:00:02Z three\n"
            assert answer.readline() == b"three\n"
            api("DELETE", f"{PODS}/logs?gracePeriodSeconds=0")
            assert answer.read() == b""

    def test_a_container_that_has_not_started(self, api: Api, nodes: Nodes) -> None:
        nodes.ran = False
        answer = api("GET", f"{PODS}/logs/log")
        assert answer.status == 400
        assert (
            answer.message == 'container "c" in pod "logs" is waiting to start: ContainerCreating'
        )

    def test_a_pod_without_a_node_has_none(self, api: Api) -> None:
        api("POST", PODS, pod("unscheduled"))
        answer = api("GET", f"{PODS}/unscheduled/log")
        assert (answer.status, answer.raw) == (204, b"")

    def test_which_container(self, api: Api) -> None:
        containers = [{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]
        api("POST", PODS, pod("two", nodeName="node1", containers=containers))
        answer = api("GET", f"{PODS}/two/log")
        assert answer.message == (
            "a container name must be specified for pod two, choose one of: [a b]"
        )
        answer = api("GET", f"{PODS}/two/log?container=c")
        assert answer.message == "container c is not valid for pod two"
        assert api("GET", f"{PODS}/two/log?container=b").status == 200


class TestEvictionAndBinding:
    def test_an_eviction_deletes(self, api: Api) -> None:
        api("POST", PODS, pod("evicted", nodeName="node1"))
        answer = api("POST", f"{PODS}/evicted/eviction", {"metadata": {"name": "evicted"}})
        assert (answer.status, answer.body["status"]) == (201, "Success")
        assert "deletionTimestamp" in api("GET", f"{PODS}/evicted").body["metadata"]

    def test_a_disruption_budget_protects(self, api: Api) -> None:
        guarded = pod("guarded")
        guarded["metadata"]["labels"] = {"app": "guarded"}
        api("POST", PODS, guarded)
        budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
        spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "guarded"}}}
        api("POST", budgets, {"metadata": {"name": "b"}, "spec": spec})
        answer = api("POST", f"{PODS}/guarded/eviction", {"metadata": {"name": "guarded"}})
        assert (answer.status, answer.body["reason"]) == (429, "TooManyRequests")
        assert answer.body["details"]["causes"][0]["reason"] == "DisruptionBudget"

    def test_a_binding_names_the_node(self, api: Api) -> None:
        api("POST", PODS, pod("bound"))
        target = {"metadata": {"name": "bound"}, "target": {"kind": "Node", "name": "node1"}}
        assert api("POST", f"{PODS}/bound/binding", target).status == 201
        found = api("GET", f"{PODS}/bound").body
        assert found["spec"]["nodeName"] == "node1"
        assert found["status"]["conditions"][0]["type"] == "PodScheduled"
        again = api("POST", "/api/v1/namespaces/default/bindings", target)
        assert again.status == 409
        assert 'already assigned to node "node1"' in again.message


class TestProxies:
    def test_a_nodes_statistics(self, api: Api, nodes: Nodes) -> None:
        found = api("GET", "/api/v1/nodes/node1/proxy/stats/summary").body
        assert found["node"]["nodeName"] == "node1"

    def test_a_pods_port(self, api: Api, nodes: Nodes) -> None:
        api("POST", PODS, pod("served", nodeName="node1"))
        answer = api("GET", f"{PODS}/served:8080/proxy/a/b?c=d")
        assert (answer.status, answer.raw) == (200, b"GET /a/b?c=d")
        assert answer.headers["Content-Type"] == "text/x-echo"
        assert api("GET", f"{PODS}/served:8080/proxy/teapot").status == 418
        assert api("GET", f"{PODS}/served:9/proxy/").status == 503

    def test_the_clients_host_goes_on_and_its_credentials_do_not(
        self, api: Api, nodes: Nodes
    ) -> None:
        api("POST", PODS, pod("asked", nodeName="node1"))
        path = f"{PODS}/asked:8080/proxy/host"
        assert api("GET", path, Host="linkerd.example:80").raw == b"linkerd.example:80 None"
        own = api.twin.url.removeprefix("https://")
        assert api("GET", path).raw.decode() == f"{own} None"

    def test_a_services_port(self, api: Api, nodes: Nodes) -> None:
        spec = {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
        api("POST", SERVICES, {"metadata": {"name": "svc"}, "spec": spec})
        empty = api("GET", f"{SERVICES}/svc:http/proxy/")
        assert (empty.status, empty.message) == (503, 'no endpoints available for service "svc"')
        endpoints = {
            "metadata": {"name": "svc"},
            "subsets": [
                {
                    "addresses": [
                        {"ip": "10.42.0.5", "targetRef": {"kind": "Pod", "name": "served"}}
                    ],
                    "ports": [{"name": "http", "port": 8080}],
                }
            ],
        }
        api("POST", "/api/v1/namespaces/default/endpoints", endpoints)
        for name in ("svc:http", "svc:80", "svc", "http:svc:80"):
            assert api("GET", f"{SERVICES}/{name}/proxy/x").raw == b"GET /x", name
        assert api("POST", f"{SERVICES}/svc/proxy/x", {"a": 1}).raw == b"POST /x"


def test_what_needs_a_terminal_is_refused(api: Api) -> None:
    api("POST", PODS, pod("shell"))
    answer = api("POST", f"{PODS}/shell/exec?command=sh")
    assert (answer.status, answer.message) == (400, "Upgrade request required")
