"""cert-manager: issuers, certificates, renewal, and every way they fail."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from controllers_help import condition, events, namespace, until
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from runbook.rehearsal import Twin
from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.certmanager.kinds import (
    CERTIFICATES,
    CLUSTER_ISSUERS,
    ISSUERS,
    REQUESTS,
)
from runbook.rehearsal.controllers.certmanager.x509 import duration
from runbook.rehearsal.faults import Fault

CA = {"name": "ca-issuer", "kind": "ClusterIssuer", "group": "cert-manager.io"}
SELF = {"name": "self", "kind": "ClusterIssuer", "group": "cert-manager.io"}


@pytest.fixture(scope="module")
def client(twin: Twin) -> Client:
    client = Client.from_kubeconfig(twin.kubeconfig)
    client.create(CLUSTER_ISSUERS, {"metadata": {"name": "self"}, "spec": {"selfSigned": {}}})
    certificate(
        client,
        "cert-manager",
        "picluster-ca",
        secretName="root-secret",
        commonName="picluster-ca",
        isCA=True,
        duration="87600h",
        issuerRef=SELF,
        privateKey={"algorithm": "ECDSA"},
    )
    spec = {"ca": {"secretName": "root-secret"}}
    client.create(CLUSTER_ISSUERS, {"metadata": {"name": "ca-issuer"}, "spec": spec})
    until(lambda: kinds.holds(client.get(CLUSTER_ISSUERS, "ca-issuer"), "Ready"))
    return client


@pytest.fixture
def space(client: Client, request: pytest.FixtureRequest) -> str:
    name = request.node.name.removeprefix("test_").replace("_", "-").replace("[", "-")
    return namespace(client, name.rstrip("]").lower()[:60])


def certificate(client: Client, space: str, name: str, **spec: Any) -> None:
    spec.setdefault("secretName", name)
    spec.setdefault("issuerRef", CA)
    spec.setdefault("commonName", name)
    client.create(CERTIFICATES, {"metadata": {"name": name, "namespace": space}, "spec": spec})


def issued(client: Client, space: str, name: str, revision: int = 1) -> Any:
    found = client.get(CERTIFICATES, name, space)
    status = found.get("status") or {}
    done = kinds.holds(found, "Ready") and kinds.condition(found, "Issuing") is None
    return found if done and status.get("revision") == revision else None


def secret(client: Client, space: str, name: str) -> dict[str, bytes]:
    data = client.get(kinds.SECRETS, name, space)["data"]
    return {key: base64.b64decode(value) for key, value in data.items()}


def loaded(client: Client, space: str, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(secret(client, space, name)["tls.crt"])


def test_issuer_of_the_seed(client: Client, space: str) -> None:
    certificate(
        client,
        space,
        "linkerd-identity-issuer",
        commonName="identity.linkerd.cluster.local",
        dnsNames=["identity.linkerd.cluster.local"],
        duration="48h",
        renewBefore="25h",
        isCA=True,
        privateKey={"algorithm": "ECDSA"},
        usages=["cert sign", "crl sign", "server auth", "client auth"],
    )
    found = until(lambda: issued(client, space, "linkerd-identity-issuer"))
    status = found["status"]
    first, last = (kinds.parse_time(status[name]) for name in ("notBefore", "notAfter"))
    assert last - first == timedelta(hours=48)
    assert last - kinds.parse_time(status["renewalTime"]) == timedelta(hours=25)
    assert "nextPrivateKeySecretName" not in status
    parts = secret(client, space, "linkerd-identity-issuer")
    assert set(parts) == {"tls.crt", "tls.key", "ca.crt"}
    issuer = x509.load_pem_x509_certificate(parts["tls.crt"])
    root = x509.load_pem_x509_certificate(parts["ca.crt"])
    issuer.verify_directly_issued_by(root)
    key = issuer.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    private = serialization.load_pem_private_key(parts["tls.key"], None)
    assert private.public_key() == key
    assert parts["tls.key"].startswith(b"-----BEGIN EC PRIVATE")
    constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value.ca
    usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert usage.crl_sign
    names = issuer.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["identity.linkerd.cluster.local"]
    aki = issuer.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    ski = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert aki.key_identifier == ski.digest
    kept = client.get(kinds.SECRETS, "linkerd-identity-issuer", space)
    assert kept["type"] == "kubernetes.io/tls"
    assert kept["metadata"]["annotations"]["cert-manager.io/issuer-name"] == "ca-issuer"
    assert kept["metadata"]["labels"] == {"controller.cert-manager.io/fao": "true"}
    (request,) = client.list(REQUESTS, space)
    assert request["metadata"]["name"] == "linkerd-identity-issuer-1"
    assert condition(request, "Approved") == ("True", "cert-manager.io")
    assert condition(request, "Ready") == ("True", "Issued")
    text = "The certificate has been successfully issued"
    until(lambda: text in events(client, space, "linkerd-identity-issuer", "Issuing"))
    until(lambda: len(list(client.list(kinds.SECRETS, space))) == 1)


def test_defaults_are_those_of_cert_manager(client: Client, space: str) -> None:
    certificate(client, space, "plain", dnsNames=["a.example"])
    until(lambda: issued(client, space, "plain"))
    made = loaded(client, space, "plain")
    key = made.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 2048
    assert made.not_valid_after_utc - made.not_valid_before_utc == timedelta(days=90)
    status = client.get(CERTIFICATES, "plain", space)["status"]
    left = kinds.parse_time(status["notAfter"]) - kinds.parse_time(status["renewalTime"])
    assert left == timedelta(days=30)


def test_nothing_is_touched_without_need(client: Client, space: str) -> None:
    certificate(client, space, "calm")
    until(lambda: issued(client, space, "calm"))
    before = client.get(kinds.SECRETS, "calm", space)
    labels = {"metadata": {"labels": {"touched": "yes"}}}
    client.patch(CERTIFICATES, "calm", labels, space)
    client.patch(CLUSTER_ISSUERS, "ca-issuer", labels)
    certificate(client, space, "other")
    until(lambda: issued(client, space, "other"))
    after = client.get(kinds.SECRETS, "calm", space)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


@pytest.mark.parametrize("policy", ["Always", "Never"])
def test_renewal_on_request_rotates_the_key_by_policy(
    client: Client, space: str, policy: str
) -> None:
    private = {"algorithm": "ECDSA", "rotationPolicy": policy}
    certificate(client, space, "c", privateKey=private)
    found = until(lambda: issued(client, space, "c"))
    before, serial = secret(client, space, "c"), loaded(client, space, "c").serial_number
    issuing = {"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": ""}
    issuing["lastTransitionTime"] = kinds.now()
    conditions = kinds.with_condition(found["status"]["conditions"], issuing)
    client.patch(
        CERTIFICATES, "c", {"status": {"conditions": conditions}}, space, subresource="status"
    )
    until(lambda: issued(client, space, "c", 2))
    assert loaded(client, space, "c").serial_number != serial
    assert (secret(client, space, "c")["tls.key"] == before["tls.key"]) is (policy == "Never")
    until(lambda: [r["metadata"]["name"] for r in client.list(REQUESTS, space)] == ["c-2"])


def test_renewal_at_its_time(client: Client, space: str) -> None:
    certificate(client, space, "short", duration="1h", renewBefore="59m58s")
    until(lambda: issued(client, space, "short"))
    serial = loaded(client, space, "short").serial_number
    until(lambda: issued(client, space, "short", 2))
    assert loaded(client, space, "short").serial_number != serial
    message = events(client, space, "short", "Issuing")
    assert any("renewal was scheduled at" in text for text in message)
    client.delete(CERTIFICATES, "short", space)


def test_reissue_when_the_spec_changes_or_the_secret_goes(client: Client, space: str) -> None:
    certificate(client, space, "c", dnsNames=["a.example"])
    until(lambda: issued(client, space, "c"))
    client.patch(CERTIFICATES, "c", {"spec": {"dnsNames": ["b.example"]}}, space)
    until(lambda: issued(client, space, "c", 2))
    names = loaded(client, space, "c").extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["b.example"]
    client.delete(kinds.SECRETS, "c", space)
    until(lambda: issued(client, space, "c", 3))
    assert secret(client, space, "c")["tls.crt"]


def test_cluster_issuer_says_what_its_secret_lacks(client: Client) -> None:
    def ready(name: str) -> tuple[str, str, str]:
        found = kinds.condition(client.get(CLUSTER_ISSUERS, name), "Ready") or {}
        return found.get("status", ""), found.get("reason", ""), found.get("message", "")

    spec = {"ca": {"secretName": "nowhere"}}
    client.create(CLUSTER_ISSUERS, {"metadata": {"name": "empty"}, "spec": spec})
    start = "Error getting keypair for CA issuer: "
    missing = ("False", "ErrGetKeyPair", f'{start}secret "nowhere" not found')
    until(lambda: ready("empty") == missing)
    meta = {"name": "nowhere", "namespace": "default"}
    client.create(kinds.SECRETS, {"metadata": meta})
    meta = {"name": "nowhere", "namespace": "cert-manager"}
    client.create(kinds.SECRETS, {"metadata": meta})
    text = f"{start}no data for \"tls.crt\" in secret 'cert-manager/nowhere'"
    until(lambda: ready("empty") == ("False", "ErrGetKeyPair", text))
    certificate(client, "cert-manager", "leaf")
    until(lambda: issued(client, "cert-manager", "leaf"))
    leaf = {"ca": {"secretName": "leaf"}}
    client.patch(CLUSTER_ISSUERS, "empty", {"spec": leaf})
    until(lambda: ready("empty")[1] == "ErrInvalidKeyPair")


def test_certificate_waits_for_its_issuer(client: Client, space: str) -> None:
    certificate(client, space, "c", issuerRef={"name": "local", "kind": "Issuer"})

    def pending() -> Any:
        found = client.find(REQUESTS, "c-1", space)
        return kinds.condition(found, "Ready") if found else None

    text = 'Referenced "Issuer" not found: issuer.cert-manager.io "local" not found'
    assert until(pending)["message"] == text
    assert condition(client.get(CERTIFICATES, "c", space), "Ready") == ("False", "DoesNotExist")
    spec = {"selfSigned": {}}
    client.create(ISSUERS, {"metadata": {"name": "local", "namespace": space}, "spec": spec})
    until(lambda: issued(client, space, "c"))
    made = loaded(client, space, "c")
    assert made.issuer == made.subject


def test_certificate_told_never_to_be_ready(twin: Twin, client: Client, space: str) -> None:
    number = twin.faults.set(Fault("never-ready", namespace=space, message="no luck today"))
    certificate(client, space, "c")

    def failed() -> bool:
        found = kinds.condition(client.get(CERTIFICATES, "c", space), "Ready") or {}
        return found.get("message") == "no luck today"

    until(failed)
    twin.faults.clear(number)
    until(lambda: issued(client, space, "c"))


def test_nothing_is_issued_while_cert_manager_is_down(client: Client, space: str) -> None:
    replicas = {"spec": {"replicas": 0}}
    client.patch(kinds.DEPLOYMENTS, "cert-manager", replicas, "cert-manager")

    def gone() -> bool:
        return not client.get(kinds.DEPLOYMENTS, "cert-manager", "cert-manager")["status"].get(
            "replicas"
        )

    until(gone)
    certificate(client, space, "c")
    replicas = {"spec": {"replicas": 1}}
    assert not client.get(CERTIFICATES, "c", space).get("status")
    client.patch(kinds.DEPLOYMENTS, "cert-manager", replicas, "cert-manager")
    until(lambda: issued(client, space, "c"))


def test_durations() -> None:
    assert duration("1.5h", 0) == 5400
    assert duration("", 7) == 7
