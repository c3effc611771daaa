"""The objects the operator makes for one Prometheus object."""

from __future__ import annotations

import gzip
from base64 import b64encode

import yaml

from runbook.rehearsal.client import Object
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.prometheusoperator.kinds import CONFIG, PROMETHEUSES, prefixed

__all__ = ["GOVERNING", "secret", "service", "stateful_set"]

GOVERNING = "prometheus-operated"
"""Headless Service of all Prometheus servers of a namespace."""
_MANAGED = {"app.kubernetes.io/managed-by": "prometheus-operator"}
_RELOADER = "quay.io/prometheus-operator/prometheus-config-reloader:v0.86.0"
_CONF, _OUT, _DATA = "/etc/prometheus/config", "/etc/prometheus/config_out", "/prometheus"


def secret(prometheus: Object, configuration: Object) -> Object:
    """Make the Secret that holds the configuration."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump(configuration, Dumper=dumper, sort_keys=False)
    packed = gzip.compress(text.encode(), mtime=0)  # the same text gives the same bytes
    return {
        "metadata": {**_meta(prometheus, prefixed(prometheus)), "labels": _MANAGED},
        "type": "Opaque",
        "data": {CONFIG: b64encode(packed).decode()},
    }


def service(prometheus: Object) -> Object:
    """Make the governing Service; as with the real operator it is shared in its namespace."""
    port = _port_name(prometheus)
    meta = _meta(prometheus, GOVERNING)
    for owner in meta["ownerReferences"]:
        owner |= {"controller": False, "blockOwnerDeletion": False}
    return {
        "metadata": {**meta, "labels": {**_MANAGED, "operated-prometheus": "true"}},
        "spec": {
            "clusterIP": "None",
            "selector": {"app.kubernetes.io/name": "prometheus"},
            "ports": [{"name": port, "port": 9090, "targetPort": port}],
        },
    }


def stateful_set(prometheus: Object) -> Object:
    """Make the StatefulSet of the server."""
    name, spec = prometheus["metadata"]["name"], prometheus["spec"]
    selector = {
        **_MANAGED,
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/name": "prometheus",
        "operator.prometheus.io/name": name,
        "operator.prometheus.io/shard": "0",
        "prometheus": name,
    }
    version = str(spec.get("version") or "").removeprefix("v")
    labels = {**selector, "app.kubernetes.io/version": version}
    own = prometheus["metadata"].get("labels") or {}
    mode = {"operator.prometheus.io/mode": "server"}
    given = spec.get("podMetadata") or {}
    notes = {
        "kubectl.kubernetes.io/default-container": "prometheus",
        **(given.get("annotations") or {}),
    }
    return {
        "metadata": {
            **_meta(prometheus, prefixed(prometheus)),
            "labels": {**own, **mode, **selector},
        },
        "spec": {
            "serviceName": GOVERNING,
            "replicas": spec.get("replicas", 1),
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {
                    "labels": {**(given.get("labels") or {}), **labels},
                    "annotations": notes,
                },
                "spec": _pod(prometheus),
            },
        },
    }


def _pod(prometheus: Object) -> Object:
    name = prefixed(prometheus)
    spec = prometheus["spec"]
    pod: Object = {
        "initContainers": [_reloader("init-config-reloader", "reloader-init", 8081)],
        "containers": [_server(prometheus), _reloader("config-reloader", "reloader-web", 8080)],
        "terminationGracePeriodSeconds": 600,
        "volumes": [
            {"name": "config", "secret": {"secretName": name}},
            {"name": "config-out", "emptyDir": {"medium": "Memory"}},
            {"name": f"{name}-db", "emptyDir": {}},
        ],
    }
    if spec.get("serviceAccountName"):
        pod["serviceAccountName"] = spec["serviceAccountName"]
    return pod


def _server(prometheus: Object) -> Object:
    spec, port = prometheus["spec"], _port_name(prometheus)
    version = spec.get("version") or "v3.6.0"
    mounts = [
        # Not with the real operator, whose config reloader passes it on by way of config-out.
        {"name": "config", "mountPath": _CONF, "readOnly": True},
        {"name": "config-out", "mountPath": _OUT, "readOnly": True},
        {"name": f"{prefixed(prometheus)}-db", "mountPath": _DATA},
    ]
    return {
        "name": "prometheus",
        "image": spec.get("image") or f"quay.io/prometheus/prometheus:{version}",
        "args": [
            f"--config.file={_OUT}/prometheus.env.yaml",
            "--web.enable-lifecycle",
            f"--web.external-url={spec.get('externalUrl') or ''}",
            f"--web.route-prefix={spec.get('routePrefix') or '/'}",
            f"--storage.tsdb.retention.time={spec.get('retention') or '24h'}",
            f"--storage.tsdb.path={_DATA}",
        ],
        "ports": [{"name": port, "containerPort": 9090}],
        "startupProbe": _probe("/-/ready", port, 15, 60),
        "readinessProbe": _probe("/-/ready", port, 5, 3),
        "livenessProbe": _probe("/-/healthy", port, 5, 6),
        "resources": spec.get("resources") or {},
        "volumeMounts": mounts,
    }


def _reloader(name: str, port: str, number: int) -> Object:
    reference = {"fieldRef": {"fieldPath": "metadata.name"}}
    return {
        "name": name,
        "image": _RELOADER,
        "command": ["/bin/prometheus-config-reloader"],
        "args": [
            *(["--watch-interval=0"] if port == "reloader-init" else []),
            f"--listen-address=:{number}",
            f"--config-file={_CONF}/{CONFIG}",
            f"--config-envsubst-file={_OUT}/prometheus.env.yaml",
        ],
        "env": [{"name": "POD_NAME", "valueFrom": reference}, {"name": "SHARD", "value": "0"}],
        "ports": [{"name": port, "containerPort": number}],
        "volumeMounts": [
            {"name": "config", "mountPath": _CONF},
            {"name": "config-out", "mountPath": _OUT},
        ],
    }


def _probe(path: str, port: str, period: int, failures: int) -> Object:
    return {
        "httpGet": {"path": path, "port": port},
        "timeoutSeconds": 3,
        "periodSeconds": period,
        "failureThreshold": failures,
    }


def _port_name(prometheus: Object) -> str:
    return str(prometheus["spec"].get("portName") or "web")


def _meta(prometheus: Object, name: str) -> Object:
    return {
        "name": name,
        "namespace": prometheus["metadata"]["namespace"],
        "ownerReferences": [kinds.owner_reference(PROMETHEUSES, prometheus)],
    }
