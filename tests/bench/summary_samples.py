"""Answers of a kubelet's Summary API, written from ``k8s.io/kubelet/pkg/apis/stats/v1alpha1``."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

SAMPLED = "2026-11-24T23:00:07Z"
STARTED = "2026-11-24T22:00:00Z"
SERVER = "echo-meshed-node2-6d5f7c9b8d-x2x4z"


def cpu(nanoseconds: int, time: str = SAMPLED) -> Object:
    return {"time": time, "usageNanoCores": 1234567, "usageCoreNanoSeconds": nanoseconds}


def memory(working_set: int, rss: int, time: str = SAMPLED) -> Object:
    return {
        "time": time,
        "usageBytes": working_set + 4096,
        "workingSetBytes": working_set,
        "rssBytes": rss,
        "pageFaults": 4321,
        "majorPageFaults": 0,
    }


def container(
    name: str, nanoseconds: int, working_set: int, rss: int, time: str = SAMPLED
) -> Object:
    return {
        "name": name,
        "startTime": STARTED,
        "cpu": cpu(nanoseconds, time),
        "memory": memory(working_set, rss, time),
    }


def pod(namespace: str, name: str, *containers: Object) -> Object:
    return {
        "podRef": {"name": name, "namespace": namespace, "uid": f"uid-of-{name}"},
        "startTime": "2026-11-24T21:59:58Z",
        "containers": list(containers),
        "cpu": cpu(sum(c["cpu"]["usageCoreNanoSeconds"] for c in containers) + 30_000_000),
        "memory": memory(
            sum(c["memory"]["workingSetBytes"] for c in containers) + 300_000,
            sum(c["memory"]["rssBytes"] for c in containers) + 50_000,
        ),
    }


def server() -> Object:
    """A meshed server; the proxy is a native sidecar, which stands among the containers."""
    return pod(
        "linkerd-bench",
        SERVER,
        container("fortio", 5_000_000_000, 9_000_000, 8_000_000),
        container("linkerd-proxy", 2_500_000_000, 7_000_000, 6_000_000),
    )


def summary(*pods: Object) -> Object:
    """The whole answer of a K3s agent, with ``only_cpu_and_memory``."""
    return {
        "node": {
            "nodeName": "node2",
            "systemContainers": [
                {
                    "name": "pods",
                    "startTime": "2026-11-20T09:00:00Z",
                    "cpu": cpu(900_000_000_000),
                    "memory": memory(400_000_000, 350_000_000),
                }
            ],
            "startTime": "2026-11-20T08:59:30Z",
            "cpu": cpu(4_200_000_000_000),
            "memory": {**memory(900_000_000, 500_000_000), "availableBytes": 3_000_000_000},
        },
        "pods": [
            *(pods or (server(),)),
            pod("kube-system", "coredns-64fd4b4794-8tq9v", container("coredns", 1, 2, 3)),
        ],
    }


def strip(answer: Object, field: str) -> Object:
    """Leave a field out everywhere, as a kubelet does that has no figures for it."""
    if isinstance(answer, dict):
        return {key: strip(value, field) for key, value in answer.items() if key != field}
    if isinstance(answer, list):
        return [strip(value, field) for value in answer]
    return answer
