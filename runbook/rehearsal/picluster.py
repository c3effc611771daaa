"""The Raspberry Pi K3s cluster of the seed document: one master, four workers, before Linkerd.

What K3s and cert-manager install is described in ``pi/*.yaml``, what was installed with Helm in
``charts/services``; nodes are made here.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64encode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from runbook.rehearsal.client import Object
from runbook.rehearsal.installed import MONITORING, RELEASES, read

__all__ = ["MARKER", "NODES", "definitions", "objects"]

MARKER = "runbook-rehearsal"
"""ConfigMap in kube-system that says this is a simulation."""

NODES = ("master", "node1", "node2", "node3", "node4")
"""The master, then the workers, as the seed's cluster names them."""

_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


def objects(kubernetes_version: str, *, services: bool = False) -> list[Object]:
    """Give the objects of the cluster, in the order to create them.

    Args:
        kubernetes_version: Such as ``1.35``.
        services: Also what its owner runs on it: exporters, Longhorn, Velero, Elasticsearch and
            Kibana, Fluent Bit, something of one's own; and Helm's records of its releases.
    """
    minor = int(kubernetes_version.split(".")[1])
    result: list[Object] = [_namespace("cert-manager")]
    result += definitions(minor)
    result += [_node(number, minor) for number in range(len(NODES))]
    result += [_storage_class(), _marker(), _authentication(), _traefik_class()]
    result += [_packaged(name) for name in ("traefik-crd", "traefik")]
    for entry in _read("workloads.yaml"):
        result += _workload(entry)
    result += [_namespace(MONITORING.namespace), _grafana_password()]
    if not services:
        return [*result, *read(MONITORING.directory / "templates" / "stack.yaml")]
    others = [one.namespace for one in RELEASES if one is not MONITORING]
    result += [_namespace(name) for name in others]
    for release in RELEASES:
        result += [*release.objects(), release.record()]
    return [*result, *_read("logging.yaml"), *_read("shop.yaml")]


def definitions(minor: int) -> list[Object]:
    """Give the CRDs of the cluster.

    Args:
        minor: Minor version of Kubernetes: from 1.34 on K3s brings the Gateway API.
    """
    return [
        _definition(group, entry)
        for group in _read("definitions.yaml")
        if minor >= group.get("since", 0)
        for entry in group["kinds"]
    ]


def _read(name: str) -> list[Object]:
    text = (files("runbook.rehearsal") / "pi" / name).read_text(encoding="utf-8")
    # The C parser where there is one: every rehearsal that starts waits for this.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: list[Object] = yaml.load(text, loader)  # noqa: S506 - both are safe loaders
    return found


def _definition(group: Object, entry: Object) -> Object:
    kind = entry["kind"]
    plural = entry.get("plural") or kind.lower() + "s"
    names = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
    }
    if entry.get("short"):
        names["shortNames"] = entry["short"]
    age = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
    columns = {"additionalPrinterColumns": [*(entry.get("columns") or []), age]}
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": entry.get("spec", free),
            "status": entry.get("status", free),
        },
    }
    versions = [
        {
            "name": version,
            "served": True,
            "storage": index == 0,
            "schema": {"openAPIV3Schema": schema},
            "subresources": {"status": {}},
            **columns,
        }
        for index, version in enumerate(entry["versions"])
    ]
    meta: Object = {"name": f"{plural}.{group['group']}"}
    for field in ("annotations", "labels"):
        if group.get(field):
            meta[field] = group[field]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": meta,
        "spec": {
            "group": group["group"],
            "names": names,
            "scope": "Cluster" if entry.get("cluster") else "Namespaced",
            "versions": versions,
        },
    }


def _namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _node(number: int, minor: int) -> Object:
    """Make a Raspberry Pi 4: 8 GiB for the master, 4 GiB for a worker."""
    name = NODES[number]
    master = number == 0
    address = f"10.0.0.{11 + number}"
    version = f"v1.{minor}.0+k3s1"
    labels = {
        "beta.kubernetes.io/arch": "arm64",
        "beta.kubernetes.io/instance-type": "k3s",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "arm64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "k3s",
    }
    if master:
        labels |= {_CONTROL_PLANE: "true", "node-role.kubernetes.io/master": "true"}
    annotations = {
        "alpha.kubernetes.io/provided-node-ip": address,
        "k3s.io/hostname": name,
        "k3s.io/internal-ip": address,
        "k3s.io/node-args": '["server"]' if master else '["agent"]',
        "node.alpha.kubernetes.io/ttl": "0",
    }
    memory = "8010168Ki" if master else "3884312Ki"
    capacity = {
        "cpu": "4",
        "ephemeral-storage": "30344Mi" if not master else "61255492Ki",
        "memory": memory,
        "pods": "110",
    }
    status = {
        "addresses": [
            {"type": "InternalIP", "address": address},
            {"type": "Hostname", "address": name},
        ],
        "capacity": capacity,
        "allocatable": capacity,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": _info(name, version),
    }
    spec = {
        "podCIDR": f"10.42.{number}.0/24",
        "podCIDRs": [f"10.42.{number}.0/24"],
        "providerID": f"k3s://{name}",
    }
    meta = {"name": name, "labels": labels, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": spec, "status": status}


def _info(name: str, version: str) -> Object:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return {
        "architecture": "arm64",
        "bootID": f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}",
        "containerRuntimeVersion": "containerd://2.1.5-k3s1",
        "kernelVersion": "6.8.0-1040-raspi",
        "kubeProxyVersion": "",
        "kubeletVersion": version,
        "machineID": digest[:32],
        "operatingSystem": "linux",
        "osImage": "Ubuntu 24.04.3 LTS",
        "systemUUID": digest[:32],
    }


def _storage_class() -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "local-path",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "rancher.io/local-path",
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _marker() -> Object:
    text = (
        "This is a rehearsal: a simulated cluster in one process on this machine. Its workloads "
        "are stand-ins, and nothing measured here says anything about a real cluster."
    )
    meta = {"name": MARKER, "namespace": "kube-system"}
    data = {"rehearsal": "true", "about": text}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def _authentication() -> Object:
    """Make the ConfigMap that extension API servers such as Linkerd's tap read."""
    names = '["system:auth-proxy"]'
    data = {
        "client-ca-file": _authority("k3s-client-ca"),
        "requestheader-allowed-names": names,
        "requestheader-client-ca-file": _authority("k3s-request-header-ca"),
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-username-headers": '["X-Remote-User"]',
    }
    meta = {"name": "extension-apiserver-authentication", "namespace": "kube-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def _authority(name: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.now(UTC) - timedelta(days=30)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _grafana_password() -> Object:
    """Make the administrator of Grafana; the password is another one in each cluster."""
    found = {"admin-user": "admin", "admin-password": secrets.token_urlsafe(24), "ldap-toml": ""}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "kube-prometheus-stack-grafana",
            "namespace": "k3s-monitoring",
            "labels": {
                "app.kubernetes.io/instance": "kube-prometheus-stack",
                "app.kubernetes.io/managed-by": "Helm",
                "app.kubernetes.io/name": "grafana",
            },
        },
        "type": "Opaque",
        "data": {key: b64encode(value.encode()).decode() for key, value in found.items()},
    }


def _packaged(name: str) -> Object:
    """Make the HelmChart of something that K3s packages."""
    values = (
        'global:\n  systemDefaultRegistry: ""\n'
        "providers:\n  kubernetesIngress:\n    publishedService:\n      enabled: true\n"
        "priorityClassName: system-cluster-critical\n"
    )
    url = f"https://%{{KUBERNETES_API}}%/static/charts/{name}-37.1.1+up37.1.0.tgz"
    spec = {"chart": url, **({"valuesContent": values} if name == "traefik" else {})}
    return {
        "apiVersion": "helm.cattle.io/v1",
        "kind": "HelmChart",
        "metadata": {"name": name, "namespace": "kube-system"},
        "spec": spec,
    }


def _traefik_class() -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {
            "name": "traefik",
            "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"},
        },
        "spec": {"controller": "traefik.io/ingress-controller"},
    }


def _workload(entry: Object) -> Iterator[Object]:
    daemon = "daemon" in entry
    name, namespace = entry.get("daemon") or entry["deploy"], entry["namespace"]
    labels = dict(entry["labels"])
    own = (
        {**labels, "app.kubernetes.io/version": entry["version"]} if "version" in entry else labels
    )
    meta = {"name": name, "namespace": namespace}
    if not daemon:
        yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {**meta, "labels": own}}
    spec: Object = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": own}, "spec": _pod(entry, name, daemon)},
    }
    if not daemon:
        spec["replicas"] = 1
    yield {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet" if daemon else "Deployment",
        "metadata": {**meta, "labels": own},
        "spec": spec,
    }
    if entry.get("ports"):
        yield _service(entry, {**meta, "name": entry.get("service", name), "labels": own})


def _pod(entry: Object, name: str, daemon: bool) -> Object:
    udp = entry.get("udp", [])
    container: Object = {
        "name": entry.get("container", name),
        "image": entry["image"],
        "imagePullPolicy": "IfNotPresent",
    }
    if entry.get("args"):
        container["args"] = entry["args"]
        reference = {"fieldRef": {"fieldPath": "metadata.namespace"}}
        container["env"] = [{"name": "POD_NAMESPACE", "valueFrom": reference}]
    if entry.get("ports"):
        container["ports"] = [
            {"name": port, "containerPort": number, "protocol": "UDP" if port in udp else "TCP"}
            for port, number in entry["ports"].items()
        ]
    if entry.get("requests"):
        container["resources"] = {"requests": entry["requests"]}
    pod: Object = {"containers": [container]}
    if not daemon:
        pod["serviceAccountName"] = name
    tolerations: list[Mapping[str, str]] = [
        {"key": _CONTROL_PLANE, "operator": "Exists", "effect": "NoSchedule"}
    ]
    if entry["namespace"] == "kube-system" or entry.get("everywhere"):
        pod["tolerations"] = tolerations
    if entry.get("priorityClassName"):
        pod["priorityClassName"] = entry["priorityClassName"]
    return pod


def _service(entry: Object, meta: Object) -> Object:
    udp = entry.get("udp", [])
    ports = entry.get("service_ports") or entry["ports"]
    container_ports = entry["ports"]
    spec: Object = {
        "selector": entry["labels"],
        "ports": [
            {
                "name": port,
                "port": number,
                "protocol": "UDP" if port in udp else "TCP",
                "targetPort": port if port in container_ports else number,
            }
            for port, number in ports.items()
        ],
    }
    for field in ("clusterIP", "type"):
        if entry.get(field):
            spec[field] = entry[field]
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}
