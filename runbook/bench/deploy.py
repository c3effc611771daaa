"""What the benchmark puts into the cluster: servers in two arms, and a probe on each node.

Both arms are there at the same time, on the same node, and idle while the other is measured, so
that a comparison never crosses a redeployment. State of a campaign is kept in ConfigMaps of the
same namespace, see :mod:`runbook.bench.store`.
"""

from __future__ import annotations

from typing import Any

from runbook.bench.design import Arm
from runbook.bench.fortio import GRPC_PORT, HTTP_PORT, server_args
from runbook.bench.targets import Targets
from runbook.params import Params

__all__ = [
    "PART_OF",
    "injection",
    "namespace",
    "objects",
    "probe",
    "server_host",
    "server_name",
    "servers",
]

Object = dict[str, Any]

PART_OF = {"app.kubernetes.io/part-of": "linkerd-runbook-benchmark"}
"""Label of everything the benchmark creates; nothing without it is ever deleted."""

_PORTS = f"{GRPC_PORT},{HTTP_PORT}"

_PROBE = r"""
read_file() { cat "$1" 2>/dev/null; }
while :; do
  temp=$(read_file /host/sys/class/thermal/thermal_zone0/temp)
  khz=$(read_file /host/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq)
  governor=$(read_file /host/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor)
  throttled=$(read_file /host/sys/devices/platform/soc/soc:firmware/get_throttled)
  model=$(read_file /host/sys/firmware/devicetree/base/model | tr -d '\000')
  read -r stat < /proc/stat
  read -r up idle < /proc/uptime
  echo "{\"t\": $(date +%s), \"up\": $up, \"temp_mc\": ${temp:-null}, \"khz\": ${khz:-null}," \
    "\"governor\": \"$governor\", \"throttled\": \"$throttled\"," \
    "\"model\": \"$model\", \"stat\": \"$stat\"}"
  sleep 2
done
"""
"""Reads what the kernel says of the machine; a file that a node lacks is left empty."""


def objects(params: Params, targets: Targets) -> list[Object]:
    """Give everything of the benchmark for these nodes."""
    made = [namespace(params), *servers(params, targets)]
    return [*made, probe(params, targets)]


def namespace(params: Params) -> Object:
    """Give the namespace.

    It injects nothing by itself: each pod says in which arm it is. The Pod Security level is
    ``privileged`` because ``linkerd-init`` needs capabilities, and the probe reads ``/sys`` of its
    node.
    """
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": params.bench_namespace,
            "labels": {**PART_OF, "pod-security.kubernetes.io/enforce": "privileged"},
        },
    }


def probe(params: Params, targets: Targets) -> Object:
    """Give the probe: a shell on each node that reads, every other second, what throttles a Pi.

    Its mounts are read-only. It asks for next to no CPU: a few processes every two seconds.
    """
    labels = {**PART_OF, "app.kubernetes.io/name": "probe"}
    hostnames = sorted(targets.hostnames[node] for node in targets.nodes)
    term = {
        "matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": hostnames}
        ]
    }
    container = {
        "name": "probe",
        "image": params.bench_probe_image,
        "command": ["sh", "-c", _PROBE],
        "resources": {"requests": {"cpu": "5m", "memory": "4Mi"}},
        "securityContext": {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False},
        "volumeMounts": [{"name": "sys", "mountPath": "/host/sys", "readOnly": True}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "probe", "namespace": params.bench_namespace, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": {"linkerd.io/inject": "disabled"}},
                "spec": {
                    "affinity": {
                        "nodeAffinity": {
                            "requiredDuringSchedulingIgnoredDuringExecution": {
                                "nodeSelectorTerms": [term]
                            }
                        }
                    },
                    "automountServiceAccountToken": False,
                    "containers": [container],
                    "volumes": [{"name": "sys", "hostPath": {"path": "/sys"}}],
                },
            },
        },
    }


def server_name(arm: Arm | str, node: str) -> str:
    """Give the name of an arm's Deployment and Service on a node.

    >>> server_name("meshed", "node2.lan")
    'echo-meshed-node2-lan'
    """
    return f"echo-{arm}-{node.replace('.', '-')}"


def server_host(arm: Arm | str, node: str, namespace_: str) -> str:
    """Give the name by which generators reach an arm's server on a node."""
    return f"{server_name(arm, node)}.{namespace_}.svc.cluster.local"


def injection(arm: str, side: str) -> dict[str, str]:
    """Give the annotations that put a pod into its arm.

    Args:
        arm: ``baseline``, ``meshed``, or ``skipped``: with the proxy, but past it.
        side: ``inbound`` for a server, ``outbound`` for a generator.
    """
    if arm == "baseline":
        return {"linkerd.io/inject": "disabled"}
    skipped = {f"config.linkerd.io/skip-{side}-ports": _PORTS} if arm == "skipped" else {}
    return {"linkerd.io/inject": "enabled", **skipped}


def servers(params: Params, targets: Targets) -> list[Object]:
    """Give a Deployment and a Service for each node and arm."""
    made = []
    for node in targets.servers:
        for arm in targets.arms:
            hostname = targets.hostnames[node]
            made += [_deployment(params, node, hostname, arm), _service(params, node, arm)]
    return made


def _deployment(params: Params, node: str, hostname: str, arm: Arm) -> Object:
    name = server_name(arm, node)
    labels = {**PART_OF, "app.kubernetes.io/name": name}
    container = {
        "name": "fortio",
        "image": params.bench_image,
        "args": server_args(),
        "ports": [
            {"name": "http", "containerPort": HTTP_PORT},
            {"name": "grpc", "containerPort": GRPC_PORT},
        ],
        # Requests only: a CPU limit would throttle in steps of 100 ms.
        "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}},
        "readinessProbe": {"tcpSocket": {"port": HTTP_PORT}, "periodSeconds": 2},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": params.bench_namespace, "labels": labels},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": injection(arm, "inbound")},
                "spec": {
                    "nodeSelector": {"kubernetes.io/hostname": hostname},
                    "containers": [container],
                },
            },
        },
    }


def _service(params: Params, node: str, arm: Arm) -> Object:
    name = server_name(arm, node)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": params.bench_namespace, "labels": PART_OF},
        "spec": {
            "selector": {**PART_OF, "app.kubernetes.io/name": name},
            "ports": [
                {"name": "http", "port": HTTP_PORT},
                {"name": "grpc", "port": GRPC_PORT, "appProtocol": "kubernetes.io/h2c"},
            ],
        },
    }
