"""Certificates: a key, a request and a Secret, renewed in time."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

from cryptography import x509 as crypto

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds, pods
from runbook.rehearsal.controllers.certmanager import x509
from runbook.rehearsal.controllers.certmanager.kinds import (
    CERTIFICATES,
    NAMESPACE,
    REQUESTS,
    decoded,
    running,
    stated,
)
from runbook.rehearsal.controllers.manager import Cluster, Key

__all__ = ["CertificateFaults", "Certificates"]

_NAME = "cert-manager.io/certificate-name"
_REVISION = "cert-manager.io/certificate-revision"
_PRIVATE_KEY = "cert-manager.io/private-key-secret-name"
_ISSUER_NAME = "cert-manager.io/issuer-name"
_ISSUER_KIND = "cert-manager.io/issuer-kind"
_ISSUER_GROUP = "cert-manager.io/issuer-group"
_NEXT_KEY = "cert-manager.io/next-private-key"
_OBSERVED = {"controller.cert-manager.io/fao": "true"}
_SOURCES = {
    "Issuing": "cert-manager-certificates-issuing",
    "Generated": "cert-manager-certificates-key-manager",
    "Requested": "cert-manager-certificates-request-manager",
    "Trigger": "cert-manager-certificates-trigger",
}
_UP_TO_DATE = "Certificate is up to date and has not expired"


class CertificateFaults(Protocol):
    """What shall go wrong with Certificates."""

    def never_ready(self, certificate: Object) -> str | None:
        """Give what a Certificate that shall not become ready says, or None."""


class Certificates:
    """Issue, store and renew certificates."""

    name = "cert-manager-certificates"

    def __init__(self, cluster: Cluster, faults: CertificateFaults) -> None:
        self._cluster = cluster.acting_as("cert-manager-certificates-issuing")
        self._faults = faults

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Look at Certificates when they, their requests or their Secrets change."""
        return {
            CERTIFICATES: lambda obj: [kinds.key(obj)],
            REQUESTS: pods.owner_keys("Certificate"),
            kinds.SECRETS: self._of_secret,
            kinds.DEPLOYMENTS: self._of_deployment,
        }

    def reconcile(self, key: Key) -> float | None:
        """Take one Certificate a step further; wait for its renewal when it is done."""
        namespace, name = key
        certificate = self._cluster.cache.get(CERTIFICATES, name, namespace)
        if certificate is None or kinds.deleted(certificate):
            return None
        if not running(self._cluster.cache):
            return None
        secret = self._cluster.cache.get(
            kinds.SECRETS, certificate["spec"]["secretName"], namespace
        )
        if not kinds.holds(certificate, "Issuing"):
            why = _reissue(certificate, secret)
            if why is None:
                return self._rest(certificate, secret)
            certificate = self._trigger(certificate, *why)
        return self._issue(certificate, secret)

    def _trigger(self, certificate: Object, reason: str, message: str) -> Object:
        """Start issuing: set the condition that ``cmctl renew`` sets as well."""
        text = message if reason == "Renewing" else f"Issuing certificate as {message}"
        self._say(certificate, "Trigger", "Issuing", text)
        conditions = stated(certificate, "Issuing", True, reason, text)
        if kinds.condition(certificate, "Ready") is None or reason != "Renewing":
            shown = {**certificate, "status": {"conditions": conditions}}
            conditions = stated(shown, "Ready", False, reason, text)
        return self._status(certificate, {"conditions": conditions})

    def _issue(self, certificate: Object, secret: Object | None) -> float | None:
        fault = self._faults.never_ready(certificate)
        if fault is not None:
            conditions = stated(certificate, "Ready", False, "Failed", fault)
            self._status(certificate, {"conditions": conditions})
            return 1.0
        revision = int((certificate.get("status") or {}).get("revision", 0)) + 1
        request = self._request(certificate, revision)
        if request is not None and not self._same(certificate, request):
            self._cluster.client.delete(REQUESTS, *reversed(kinds.key(request)))
            request = None
        if request is None:
            self._ask(certificate, secret, revision)
            return None
        ready = kinds.condition(request, "Ready") or {}
        if ready.get("reason") == "Issued":
            self._store(certificate, secret, request, revision)
        elif ready.get("reason") == "Pending" and ready.get("message"):
            self._pending(certificate, ready["message"])
        return None

    def _pending(self, certificate: Object, message: str) -> None:
        """Keep Ready as it is: cert-manager tells the reason on the request only."""
        if kinds.condition(certificate, "Ready") is None:
            conditions = stated(certificate, "Ready", False, "DoesNotExist", message)
            self._status(certificate, {"conditions": conditions})

    def _ask(self, certificate: Object, secret: Object | None, revision: int) -> None:
        """Make the next private key and the request for it."""
        namespace, name = kinds.key(certificate)
        spec = certificate["spec"]
        next_key = self._next_key(certificate, secret)
        key = x509.load_key(decoded(next_key, "tls.key"))
        csr = x509.request(spec, key)
        notes = {
            _NAME: name,
            _REVISION: str(revision),
            _PRIVATE_KEY: next_key["metadata"]["name"],
        }
        wanted: Object = {"request": b64encode(csr).decode(), "issuerRef": spec["issuerRef"]}
        for field in ("duration", "isCA", "usages"):
            if spec.get(field):
                wanted[field] = spec[field]
        meta = {
            "name": f"{name}-{revision}",
            "namespace": namespace,
            "annotations": notes,
            "ownerReferences": [kinds.owner_reference(CERTIFICATES, certificate)],
        }
        created = self._cluster.client.create(REQUESTS, {"metadata": meta, "spec": wanted})
        shown = created["metadata"]["name"]
        text = f'Created new CertificateRequest resource "{shown}"'
        self._say(certificate, "Requested", "Requested", text)

    def _next_key(self, certificate: Object, secret: Object | None) -> Object:
        """Find or make the temporary Secret with the key that is to be certified."""
        namespace, name = kinds.key(certificate)
        held = (certificate.get("status") or {}).get("nextPrivateKeySecretName")
        found = self._cluster.cache.get(kinds.SECRETS, held or "", namespace)
        if found is not None:
            return found
        spec = certificate["spec"]
        policy = (spec.get("privateKey") or {}).get("rotationPolicy", "Always")
        pem = decoded(secret, "tls.key") if policy == "Never" else b""
        if not pem or not x509.fits(x509.load_key(pem), spec):
            pem = x509.encode_key(x509.new_key(spec), spec)
        meta = {
            "generateName": f"{name}-",
            "namespace": namespace,
            "labels": {_NEXT_KEY: "true", **_OBSERVED},
            "ownerReferences": [kinds.owner_reference(CERTIFICATES, certificate)],
        }
        body = {"metadata": meta, "type": "Opaque", "data": {"tls.key": b64encode(pem).decode()}}
        made = self._cluster.client.create(kinds.SECRETS, body)
        self._status(certificate, {"nextPrivateKeySecretName": made["metadata"]["name"]})
        text = f'Stored new private key in temporary Secret resource "{made["metadata"]["name"]}"'
        self._say(certificate, "Generated", "Generated", text)
        return made

    def _store(
        self, certificate: Object, secret: Object | None, request: Object, revision: int
    ) -> None:
        """Put key and certificate into the Secret, then say that all is well."""
        namespace, _ = kinds.key(certificate)
        notes = request["metadata"].get("annotations") or {}
        temporary = self._cluster.cache.get(kinds.SECRETS, notes[_PRIVATE_KEY], namespace)
        if temporary is None:  # lost: start over with a new key
            self._cluster.client.delete(REQUESTS, *reversed(kinds.key(request)))
            self._status(certificate, {"nextPrivateKeySecretName": None})
            return
        data = {
            "tls.crt": request["status"]["certificate"],
            "tls.key": temporary["data"]["tls.key"],
            "ca.crt": request["status"].get("ca"),
        }
        self._write(certificate, secret, {k: v for k, v in data.items() if v})
        issued = crypto.load_pem_x509_certificates(b64decode(data["tls.crt"]))[0]
        first, last = x509.describe(issued)
        conditions = [
            entry
            for entry in stated(certificate, "Ready", True, "Ready", _UP_TO_DATE)
            if entry["type"] != "Issuing"
        ]
        status = {
            "conditions": conditions,
            "notBefore": first,
            "notAfter": last,
            "renewalTime": _renewal(certificate["spec"], issued),
            "revision": revision,
            "nextPrivateKeySecretName": None,
        }
        self._status(certificate, status)
        self._cluster.client.delete(kinds.SECRETS, temporary["metadata"]["name"], namespace)
        text = "The certificate has been successfully issued"
        self._say(certificate, "Issuing", "Issuing", text)
        self._forget(certificate, revision)

    def _write(self, certificate: Object, secret: Object | None, data: dict[str, str]) -> None:
        spec = certificate["spec"]
        namespace = certificate["metadata"]["namespace"]
        template = spec.get("secretTemplate") or {}
        notes = {**(template.get("annotations") or {}), **_notes(certificate)}
        labels = {**(template.get("labels") or {}), **_OBSERVED}
        meta: Object = {"labels": labels, "annotations": notes}
        if secret is not None:
            patch = {"metadata": meta, "data": data}
            self._cluster.client.patch(kinds.SECRETS, spec["secretName"], patch, namespace)
            return
        meta |= {"name": spec["secretName"], "namespace": namespace}
        body = {"metadata": meta, "type": "kubernetes.io/tls", "data": data}
        self._cluster.client.create(kinds.SECRETS, body)

    def _rest(self, certificate: Object, secret: Object | None) -> float | None:
        """Keep the status of an issued certificate right until it is renewed."""
        issued = crypto.load_pem_x509_certificates(decoded(secret, "tls.crt"))[0]
        first, last = x509.describe(issued)
        renewal = _renewal(certificate["spec"], issued)
        status = {
            "conditions": stated(certificate, "Ready", True, "Ready", _UP_TO_DATE),
            "notBefore": first,
            "notAfter": last,
            "renewalTime": renewal,
            "revision": (certificate.get("status") or {}).get("revision") or 1,
        }
        self._status(certificate, status)
        return max(1.0, -kinds.age(renewal))

    def _forget(self, certificate: Object, revision: int) -> None:
        """Delete old requests beyond ``revisionHistoryLimit``, 1 since cert-manager 1.18."""
        keep = certificate["spec"].get("revisionHistoryLimit", 1)
        for request in self._cluster.cache.owned(certificate["metadata"]["uid"], REQUESTS):
            if int(request["metadata"]["annotations"].get(_REVISION, 0)) <= revision - keep:
                self._cluster.client.delete(REQUESTS, *reversed(kinds.key(request)))

    def _request(self, certificate: Object, revision: int) -> Object | None:
        for request in self._cluster.cache.owned(certificate["metadata"]["uid"], REQUESTS):
            notes = request["metadata"].get("annotations") or {}
            if notes.get(_REVISION) == str(revision) and not kinds.deleted(request):
                return request
        return None

    def _same(self, certificate: Object, request: Object) -> bool:
        """Tell whether a request still asks for what the Certificate wants."""
        spec, asked = certificate["spec"], request["spec"]
        for field, default in (("duration", None), ("isCA", False), ("usages", None)):
            if (spec.get(field) or default) != (asked.get(field) or default):
                return False
        return bool(spec["issuerRef"] == asked["issuerRef"])

    def _status(self, certificate: Object, changes: Object) -> Object:
        live = self._cluster.cache.get(CERTIFICATES, *reversed(kinds.key(certificate)))
        live = live or certificate
        self._cluster.set_status(CERTIFICATES, live, {**(live.get("status") or {}), **changes})
        fresh = self._cluster.cache.get(CERTIFICATES, *reversed(kinds.key(certificate)))
        return fresh or certificate

    def _say(self, certificate: Object, source: str, reason: str, text: str) -> None:
        record = self._cluster.record
        record.normal(CERTIFICATES, certificate, _SOURCES[source], reason, text)

    def _of_secret(self, secret: Object) -> Iterable[Key]:
        namespace, name = kinds.key(secret)
        for certificate in self._cluster.cache.all(CERTIFICATES, namespace):
            if certificate["spec"].get("secretName") == name:
                yield kinds.key(certificate)

    def _of_deployment(self, deployment: Object) -> Iterable[Key]:
        if kinds.key(deployment) == (NAMESPACE, "cert-manager"):
            yield from map(kinds.key, self._cluster.cache.all(CERTIFICATES))


def _reissue(certificate: Object, secret: Object | None) -> tuple[str, str] | None:
    """Say why a certificate must be issued; None when what there is will do.

    Reasons and texts are those of cert-manager's trigger policies, in their order.
    """
    spec = certificate["spec"]
    if secret is None:
        return "DoesNotExist", "Secret does not exist"
    pem, key_pem = decoded(secret, "tls.crt"), decoded(secret, "tls.key")
    if not pem or not key_pem:
        missing = "a private key" if not key_pem else "a certificate"
        return "MissingData", f"Secret does not contain {missing}"
    try:
        issued = crypto.load_pem_x509_certificates(pem)[0]
        key = x509.load_key(key_pem)
    except ValueError:
        return "InvalidCertificate", "Secret contains an invalid certificate or key"
    if key.public_key() != issued.public_key():
        return "InvalidKeyPair", "Secret contains a private key that does not match the certificate"
    if not x509.fits(key, spec):
        text = "Existing private key is not up to date for spec: [spec.privateKey.algorithm]"
        return "SecretMismatch", text
    return _outdated(certificate, secret, issued)


def _outdated(
    certificate: Object, secret: Object, issued: crypto.Certificate
) -> tuple[str, str] | None:
    spec = certificate["spec"]
    notes = secret["metadata"].get("annotations") or {}
    wanted = _notes(certificate)
    if any(notes.get(n) != wanted[n] for n in (_ISSUER_NAME, _ISSUER_KIND)):
        shown = "/".join(notes.get(n, "") for n in (_ISSUER_KIND, _ISSUER_NAME))
        return "IncorrectIssuer", f'Secret was previously issued by "{shown}"'
    changed = x509.differences(spec, issued)
    life = (issued.not_valid_after_utc - issued.not_valid_before_utc).total_seconds()
    if abs(life - x509.duration(spec.get("duration"), x509.DEFAULT_DURATION)) > 1:
        changed.append("spec.duration")
    if changed:
        fields = " ".join(changed)
        return "SecretMismatch", f"Existing issued Secret is not up to date for spec: [{fields}]"
    renewal = _renewal(spec, issued)
    if kinds.age(renewal) >= 0:
        return "Renewing", f"Renewing certificate as renewal was scheduled at {renewal}"
    return None


def _renewal(spec: Object, issued: crypto.Certificate) -> str:
    """Give when a certificate is due for renewal: by default after two thirds of its life."""
    life = issued.not_valid_after_utc - issued.not_valid_before_utc
    before = timedelta(seconds=x509.duration(spec.get("renewBefore"), 0))
    if spec.get("renewBeforePercentage"):
        before = life * spec["renewBeforePercentage"] / 100
    if not timedelta(0) < before < life:
        before = life / 3
    moment = (issued.not_valid_after_utc - before).astimezone(UTC)
    return datetime.strftime(moment, "%Y-%m-%dT%H:%M:%SZ")


def _notes(certificate: Object) -> dict[str, str]:
    """Give the annotations cert-manager puts on the Secret of a Certificate."""
    spec = certificate["spec"]
    issuer = spec["issuerRef"]
    return {
        "cert-manager.io/alt-names": ",".join(spec.get("dnsNames") or []),
        _NAME: certificate["metadata"]["name"],
        "cert-manager.io/common-name": spec.get("commonName", ""),
        "cert-manager.io/ip-sans": ",".join(spec.get("ipAddresses") or []),
        _ISSUER_GROUP: issuer.get("group", ""),
        _ISSUER_KIND: issuer.get("kind") or "Issuer",
        _ISSUER_NAME: issuer["name"],
        "cert-manager.io/uri-sans": ",".join(spec.get("uris") or []),
    }
