"""The real Prometheus server on loopback, and what it needs to scrape: pods with real endpoints."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import prometheus_server

Object = dict[str, Any]

PROXY_METRICS = """\
# TYPE request_total counter
request_total{direction="inbound",tls="true",client_id="x.y.serviceaccount.identity"} 7
# TYPE response_total counter
response_total{direction="inbound",classification="success",status_code="200"} 7
# TYPE response_latency_ms histogram
response_latency_ms_bucket{direction="inbound",le="1"} 6
response_latency_ms_bucket{direction="inbound",le="+Inf"} 7
# TYPE tcp_open_connections gauge
tcp_open_connections{direction="inbound",peer="src"} 1
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1795560000
"""

_FIELDS = {
    "sourceLabels": "source_labels",
    "targetLabel": "target_label",
    **{name: name for name in ("action", "regex", "replacement", "separator", "modulus")},
}
"""The fields of a relabeling in a PodMonitor, and what Prometheus calls them."""


class RealPrometheus:
    """Asks a server that runs."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path: str, **query: str) -> Any:
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def up(self, pool: str, count: int) -> list[dict[str, str]]:
        """Wait until a pool has so many targets, all up; give their labels."""
        deadline = time.monotonic() + 30
        while True:
            targets = [t for t in self.get("/api/v1/targets")["activeTargets"]]
            mine = [t for t in targets if t["scrapePool"] == pool]
            if len(mine) == count and all(t["health"] == "up" for t in mine):
                return [t["labels"] for t in mine]
            assert time.monotonic() < deadline, [(t["labels"], t["lastError"]) for t in mine]
            time.sleep(0.1)

    def series(self, query: str) -> list[dict[str, str]]:
        """Wait until a query gives something; give the labels."""
        deadline = time.monotonic() + 30
        while not (found := self.get("/api/v1/query", query=query)["result"]):
            assert time.monotonic() < deadline, f"nothing for {query}"
            time.sleep(0.1)
        return [one["metric"] for one in found]


@contextmanager
def running(directory: Path, jobs: Sequence[Object]) -> Iterator[RealPrometheus]:
    """Run the server with scrape jobs; skips where it is not installed."""
    with prometheus_server.running(directory, jobs) as port:
        yield RealPrometheus(port)


def endpoint(text: str = PROXY_METRICS) -> AbstractContextManager[int]:
    """Serve a text at /metrics; gives the port."""
    return prometheus_server.endpoint(lambda: text)


def discovered(pods: Sequence[Object], port: int) -> list[Object]:
    """Give the targets of pods as Prometheus' discovery of pods does, each at one real port.

    Debian's Prometheus is built without that discovery, so its labels are written here by the rules
    of its documentation (configuration, kubernetes_sd_config, role pod): one target for each port
    of each container, init containers too.
    """
    found = []
    for pod in pods:
        meta, spec = pod["metadata"], pod["spec"]
        common = {
            "__meta_kubernetes_namespace": meta["namespace"],
            "__meta_kubernetes_pod_name": meta["name"],
            "__meta_kubernetes_pod_ip": "10.42.1.7",
            "__meta_kubernetes_pod_phase": pod.get("phase", "Running"),
        }
        for key, value in meta["labels"].items():
            clean = re.sub(r"[^a-zA-Z0-9_]", "_", key)
            common[f"__meta_kubernetes_pod_label_{clean}"] = value
            common[f"__meta_kubernetes_pod_labelpresent_{clean}"] = "true"
        for init in (True, False):
            for one in spec.get("initContainers" if init else "containers") or []:
                for listed in one.get("ports") or []:
                    own = {
                        "__meta_kubernetes_pod_container_name": one["name"],
                        "__meta_kubernetes_pod_container_init": str(init).lower(),
                        "__meta_kubernetes_pod_container_port_name": listed["name"],
                        "__meta_kubernetes_pod_container_port_number": str(listed["containerPort"]),
                        "instance": f"10.42.1.7:{listed['containerPort']}",
                    }
                    labels = {**common, **own}
                    found.append({"targets": [f"127.0.0.1:{port}"], "labels": labels})
    return found


def scrape_job(monitor: Mapping[str, Any], targets: Sequence[Object]) -> Object:
    """Translate a PodMonitor as prometheus-operator does (pkg/prometheus/promcfg.go).

    The operator's own rules come first, then those of the monitor. Fields that a PodMonitor does
    not have never reach the operator: an API server refuses them, or drops them without a word.
    """
    meta, spec = monitor["metadata"], monitor["spec"]
    name = f"{meta['namespace']}/{meta['name']}"
    (endpoint,) = spec["podMetricsEndpoints"]
    spaces = spec["namespaceSelector"].get("matchNames")
    seen = [
        one
        for one in targets
        if spaces is None or one["labels"]["__meta_kubernetes_namespace"] in spaces
    ]
    own: list[Object] = [
        {"source_labels": ["job"], "target_label": "__tmp_prometheus_job_name"},
        {
            "source_labels": ["__meta_kubernetes_pod_phase"],
            "regex": "(Failed|Succeeded)",
            "action": "drop",
        },
        {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
        {"source_labels": ["__meta_kubernetes_pod_container_name"], "target_label": "container"},
        {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
        {"target_label": "job", "replacement": name},
    ]
    theirs = [
        {_FIELDS[key]: value for key, value in rule.items() if key in _FIELDS}
        for rule in endpoint["relabelings"]
    ]
    return {
        "job_name": f"podMonitor/{name}/0",
        "static_configs": seen,
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "relabel_configs": [*own, *theirs],
    }
