"""States a cluster gets into without anybody's help, brought about through the API.

Each function leaves the cluster as it would be found after the mishap. Where cert-manager would
repair the damage within a moment, it is scaled to zero first, as it was when the damage lasted.
"""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from runbook.rehearsal.client import Client, Object, Resource
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.certmanager.kinds import decoded
from runbook.rehearsal.controllers.certmanager.x509 import KeyPair, load_key
from runbook.rehearsal.controllers.prometheusoperator.kinds import PROMETHEUSES

__all__ = [
    "break_webhook",
    "delete_prometheus_pod",
    "downgrade_traefik",
    "empty_trust_roots",
    "expire_issuer",
    "mislabel_monitors",
    "mismatch_issuer",
    "remove_dashboard_sidecar",
    "remove_definition",
    "remove_middlewares",
    "remove_monitoring",
    "restricted_kubeconfig",
    "stop_cert_manager",
    "stop_prometheus",
]

_ISSUER = "linkerd-identity-issuer"
_ROOTS = "linkerd-identity-trust-roots"
_MONITORING, _PROMETHEUS = "k3s-monitoring", "kube-prometheus-stack-prometheus"
_GRAFANA = "kube-prometheus-stack-grafana"
_TRAEFIK, _TRAEFIK_2 = "traefik.io", "traefik.containo.us"
_COMMON_NAME = "identity.linkerd.cluster.local"
_HOOKS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    namespaced=False,
)
_BINDINGS = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False
)


def stop_cert_manager(client: Client) -> None:
    """Scale cert-manager to zero: nothing is issued or renewed any more."""
    patch = {"spec": {"replicas": 0}}
    client.patch(kinds.DEPLOYMENTS, "cert-manager", patch, "cert-manager")


def expire_issuer(client: Client, *, namespace: str = "linkerd", root: str = "root-secret") -> None:
    """Let Linkerd's issuer have expired an hour ago, signed by the right root.

    Args:
        client: Where.
        namespace: Namespace of the control plane.
        root: Secret of the root in namespace cert-manager.
    """
    stop_cert_manager(client)
    secret = client.get(kinds.SECRETS, root, "cert-manager")
    chain = x509.load_pem_x509_certificates(decoded(secret, "tls.crt"))
    signer = KeyPair(chain, load_key(decoded(secret, "tls.key")))
    end = datetime.now(UTC) - timedelta(hours=1)
    _replace_issuer(client, namespace, signer, end)


def mismatch_issuer(client: Client, *, namespace: str = "linkerd") -> None:
    """Let Linkerd's issuer be signed by a root nobody trusts, as after a renewed root.

    Args:
        client: Where.
        namespace: Namespace of the control plane.
    """
    stop_cert_manager(client)
    key = ec.generate_private_key(ec.SECP256R1())
    end = datetime.now(UTC) + timedelta(days=365)
    certificate = _certificate("another-root", key, None, end)
    _replace_issuer(client, namespace, KeyPair([certificate], key), end - timedelta(days=300))


def empty_trust_roots(client: Client, *, namespace: str = "linkerd") -> None:
    """Empty the bundle of trust anchors: identity will not survive its next start.

    Args:
        client: Where.
        namespace: Namespace of the control plane.
    """
    client.patch(kinds.CONFIGMAPS, _ROOTS, {"data": {"ca-bundle.crt": ""}}, namespace)


def break_webhook(client: Client, name: str = "linkerd-proxy-injector-webhook-config") -> None:
    """Give a mutating webhook a CA bundle its server's certificate does not chain to.

    Args:
        client: Where.
        name: Name of the configuration.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    wrong = _certificate("wrong-ca", key, None, datetime.now(UTC) + timedelta(days=365))
    bundle = b64encode(wrong.public_bytes(serialization.Encoding.PEM)).decode()
    hooks = client.get(_HOOKS, name)["webhooks"]
    patch = [
        {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": bundle}
        for index in range(len(hooks))
    ]
    client.patch(_HOOKS, name, patch)


def remove_definition(client: Client, name: str) -> None:
    """Delete a CRD and all objects of its kind.

    Args:
        client: Where.
        name: Such as ``certificates.cert-manager.io``.
    """
    client.delete(kinds.CRDS, name)


def remove_monitoring(client: Client) -> None:
    """Delete the CRDs of prometheus-operator, and with them every Prometheus and PodMonitor.

    Args:
        client: Where.
    """
    for definition in _definitions(client, PROMETHEUSES.group):
        remove_definition(client, definition["metadata"]["name"])


def mislabel_monitors(client: Client, release: str = "another") -> None:
    """Let Prometheus look for PodMonitors of another Helm release: it finds none of Linkerd's.

    Args:
        client: Where.
        release: The release it looks for.
    """
    selector = {"matchLabels": {"release": release}}
    _change_prometheus(client, {"podMonitorSelector": selector})


def stop_prometheus(client: Client) -> None:
    """Scale Prometheus to zero: its Service leads nowhere.

    Args:
        client: Where.
    """
    _change_prometheus(client, {"replicas": 0})


def delete_prometheus_pod(client: Client) -> None:
    """Delete the pod of Prometheus: another one comes, without the samples of this one.

    Args:
        client: Where.
    """
    client.delete(kinds.PODS, f"prometheus-{_PROMETHEUS}-0", _MONITORING)


def restricted_kubeconfig(client: Client, *, name: str = "reader", role: str = "view") -> str:
    """Make a user who may only read, and give a kubeconfig for it.

    Args:
        client: Where, with all rights.
        name: Name of its ServiceAccount in namespace default, and of the context.
        role: ClusterRole it is bound to; empty for no rights at all.
    """
    if client.find(kinds.SERVICE_ACCOUNTS, name, "default") is None:
        client.create(kinds.SERVICE_ACCOUNTS, {"metadata": {"name": name, "namespace": "default"}})
    if role and client.find(_BINDINGS, f"{name}-{role}") is None:
        group = "rbac.authorization.k8s.io"
        binding: Object = {
            "metadata": {"name": f"{name}-{role}"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
        }
        client.create(_BINDINGS, binding)
    request: Object = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"expirationSeconds": 86400},
    }
    token = client.create(kinds.SERVICE_ACCOUNTS, request, "token")["status"]["token"]
    cluster = {
        "server": client.server,
        "certificate-authority-data": b64encode(client.ca.encode()).decode(),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    return json.dumps(config, indent=2)


def remove_middlewares(client: Client) -> None:
    """Delete Traefik's CRDs, and with them every Middleware: as K3s without HelmChart traefik-crd.

    Args:
        client: Where.
    """
    for group in (_TRAEFIK, _TRAEFIK_2):
        for definition in _definitions(client, group):
            remove_definition(client, definition["metadata"]["name"])


def downgrade_traefik(client: Client, version: str = "2.9.4") -> None:
    """Let K3s be as old as Traefik 2.9, which knows no other group than traefik.containo.us.

    Args:
        client: Where.
        version: The version of Traefik.
    """
    for definition in _definitions(client, _TRAEFIK):
        spec = {**definition["spec"], "group": _TRAEFIK_2}
        meta = {"name": f"{spec['names']['plural']}.{_TRAEFIK_2}"}
        client.create(kinds.CRDS, {"metadata": meta, "spec": spec})
        remove_definition(client, definition["metadata"]["name"])
    image = f"rancher/mirrored-library-traefik:{version}"
    pod = {"spec": {"containers": [{"name": "traefik", "image": image}]}}
    patch = {"spec": {"template": pod}}
    client.patch(kinds.DEPLOYMENTS, "traefik", patch, "kube-system", strategic=True)


def remove_dashboard_sidecar(client: Client) -> None:
    """Let Grafana have been installed without the sidecar that brings it dashboards.

    Args:
        client: Where.
    """
    pod = client.get(kinds.DEPLOYMENTS, _GRAFANA, _MONITORING)["spec"]["template"]["spec"]
    place = [container["name"] for container in pod["containers"]].index("grafana-sc-dashboard")
    patch = [{"op": "remove", "path": f"/spec/template/spec/containers/{place}"}]
    client.patch(kinds.DEPLOYMENTS, _GRAFANA, patch, _MONITORING)


def _definitions(client: Client, group: str) -> list[Object]:
    return [crd for crd in client.list(kinds.CRDS) if crd["spec"]["group"] == group]


def _change_prometheus(client: Client, spec: Object) -> None:
    client.patch(PROMETHEUSES, _PROMETHEUS, {"spec": spec}, _MONITORING)


def _replace_issuer(client: Client, namespace: str, root: KeyPair, end: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = _certificate(_COMMON_NAME, key, root, end)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    parts = {
        "tls.crt": issuer.public_bytes(serialization.Encoding.PEM),
        "tls.key": private,
        "ca.crt": root.chain[0].public_bytes(serialization.Encoding.PEM),
    }
    data = {name: b64encode(value).decode() for name, value in parts.items()}
    client.patch(kinds.SECRETS, _ISSUER, {"data": data}, namespace)


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, signer: KeyPair | None, end: datetime
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.chain[0].subject if signer is not None else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(hours=48))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .sign(signer.key if signer is not None else key, hashes.SHA256())
    )
