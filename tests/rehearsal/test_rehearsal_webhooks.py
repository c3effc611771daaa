"""Admission webhooks are really called, over HTTPS, and believed."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from bare import CONFIGMAPS, MERGE, Api, config_map
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOOKS = "/apis/admissionregistration.k8s.io/v1"
HOST = "hook.default.svc"
Review = dict[str, Any]


def certificate(name: str, *, expired: bool = False) -> tuple[bytes, bytes]:
    """Make a self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    end = now - timedelta(hours=1) if expired else now + timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made.public_bytes(serialization.Encoding.PEM), private


class Hook:
    """A webhook server on loopback; answers what ``answer`` gives and keeps what it was asked."""

    def __init__(self, directory: Path, name: str = HOST, *, expired: bool = False) -> None:
        self.asked: list[Review] = []
        self.answer: Callable[[Review], Review] = lambda review: {"allowed": True}
        self.status = 200
        public, private = certificate(name, expired=expired)
        self.bundle = base64.b64encode(public).decode()
        (directory / "tls.pem").write_bytes(public + private)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "tls.pem")
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                request = json.loads(raw)["request"]
                hook.asked.append({**request, "path": self.path})
                response = {"uid": request["uid"], **hook.answer(request)}
                body = json.dumps({"kind": "AdmissionReview", "response": response}).encode()
                self.send_response(hook.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign,assignment]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Backend:
    """Says that the pod ``hook`` listens where the test's server does."""

    def __init__(self, port: int) -> None:
        self.port = port

    def endpoint(self, namespace: str, pod: str, port: int) -> tuple[str, int] | None:
        return ("127.0.0.1", self.port) if (pod, port) == ("hook", 8443) else None


@pytest.fixture
def hook(api: Api, tmp_path: Path) -> Iterator[Hook]:
    server = Hook(tmp_path)
    yield server
    server.close()
    for kind in ("mutating", "validating"):
        api("DELETE", f"{HOOKS}/{kind}webhookconfigurations")


def serve(api: Api, hook: Hook) -> None:
    """Put the webhook behind a service with a ready endpoint."""
    api.twin.backend.to = Backend(hook.port)
    services = "/api/v1/namespaces/default/services"
    spec = {"ports": [{"name": "https", "port": 443, "targetPort": 8443}]}
    api("POST", services, {"metadata": {"name": "hook"}, "spec": spec})
    slice_ = {
        "metadata": {"name": "hook", "labels": {"kubernetes.io/service-name": "hook"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.42.0.9"], "targetRef": {"kind": "Pod", "name": "hook"}}],
        "ports": [{"name": "https", "port": 8443}],
    }
    api("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice_)


def register(api: Api, hook: Hook, kind: str = "mutating", **fields: Any) -> None:
    """Register the webhook for ConfigMaps."""
    serve(api, hook)
    service = {"namespace": "default", "name": "hook", "path": "/admit"}
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["configmaps"],
    }
    entry = {
        "name": "h.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 2,
        "clientConfig": {"service": service, "caBundle": hook.bundle},
        "rules": [rule],
        **fields,
    }
    body = {"metadata": {"name": f"hook-{kind}"}, "webhooks": [entry]}
    assert api("POST", f"{HOOKS}/{kind}webhookconfigurations", body).status == 201


def patch(*operations: Review) -> Review:
    encoded = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": encoded}


def test_a_mutating_webhook_changes_what_is_stored(api: Api, hook: Hook) -> None:
    register(api, hook)
    change = {"op": "add", "path": "/data", "value": {"added": "yes"}}
    hook.answer = lambda review: patch(change)
    made = api("POST", CONFIGMAPS, config_map("mutated"))
    assert made.status == 201
    assert made.body["data"] == {"added": "yes"}
    (asked,) = hook.asked
    assert asked["path"] == "/admit?timeout=2s"
    assert asked["operation"] == "CREATE"
    assert asked["object"]["metadata"]["name"] == "mutated"
    assert asked["oldObject"] is None
    assert asked["userInfo"]["username"] == "system:admin"
    assert asked["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    owned = [e["fieldsV1"] for e in made.body["metadata"].get("managedFields", [])]
    assert all("f:data" not in fields for fields in owned), "nobody owns what a webhook added"


def test_a_validating_webhook_denies(api: Api, hook: Hook) -> None:
    register(api, hook, "validating")
    status = {"code": 422, "message": "no red ones", "reason": "Invalid"}
    hook.answer = lambda review: {"allowed": False, "status": status}
    answer = api("POST", CONFIGMAPS, config_map("denied"))
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert answer.message == 'admission webhook "h.example.com" denied the request: no red ones'
    assert api("GET", f"{CONFIGMAPS}/denied").status == 404


def test_a_denial_without_words(api: Api, hook: Hook) -> None:
    register(api, hook, "validating")
    hook.answer = lambda review: {"allowed": False}
    answer = api("POST", CONFIGMAPS, config_map("denied"))
    assert answer.status == 400
    assert answer.message.endswith("denied the request without explanation")


def test_updates_show_both_objects_and_warnings_are_passed_on(api: Api, hook: Hook) -> None:
    api("POST", CONFIGMAPS, config_map("updated", data={"a": "1"}))
    register(api, hook, "validating")
    hook.answer = lambda review: {"allowed": True, "warnings": ["think twice"]}
    answer = api("PATCH", f"{CONFIGMAPS}/updated", {"data": {"a": "2"}}, MERGE)
    assert answer.headers["Warning"] == '299 - "think twice"'
    (asked,) = hook.asked
    assert (asked["oldObject"]["data"], asked["object"]["data"]) == ({"a": "1"}, {"a": "2"})


@pytest.mark.parametrize(
    ("fields", "labels", "called"),
    [
        ({"objectSelector": {"matchLabels": {"mesh": "yes"}}}, {"mesh": "yes"}, True),
        ({"objectSelector": {"matchLabels": {"mesh": "yes"}}}, {}, False),
        (
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}},
            {},
            True,
        ),
        (
            {
                "namespaceSelector": {
                    "matchExpressions": [
                        {
                            "key": "kubernetes.io/metadata.name",
                            "operator": "NotIn",
                            "values": ["default"],
                        }
                    ]
                }
            },
            {},
            False,
        ),
        (
            {
                "rules": [
                    {
                        "apiGroups": ["*"],
                        "apiVersions": ["*"],
                        "operations": ["*"],
                        "resources": ["*"],
                    }
                ]
            },
            {},
            True,
        ),
        (
            {
                "rules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["DELETE"],
                        "resources": ["configmaps"],
                    }
                ]
            },
            {},
            False,
        ),
        (
            {
                "rules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["configmaps"],
                        "scope": "Cluster",
                    }
                ]
            },
            {},
            False,
        ),
    ],
)
def test_who_is_called(
    api: Api, hook: Hook, fields: Review, labels: dict[str, str], called: bool
) -> None:
    register(api, hook, **fields)
    api("POST", CONFIGMAPS, config_map("matched", metadata={"labels": labels}))
    api("DELETE", f"{CONFIGMAPS}/matched")
    assert bool([a for a in hook.asked if a["operation"] == "CREATE"]) is called


def test_dry_runs_call_only_webhooks_without_side_effects(api: Api, hook: Hook) -> None:
    register(api, hook)
    assert api("POST", f"{CONFIGMAPS}?dryRun=All", config_map("dry")).status == 201
    assert hook.asked[0]["dryRun"] is True
    api("DELETE", f"{HOOKS}/mutatingwebhookconfigurations/hook-mutating")
    register(api, hook, sideEffects="NoneOnDryRun")
    assert api("POST", f"{CONFIGMAPS}?dryRun=All", config_map("dry")).status == 201


def test_a_stale_certificate_is_not_believed(api: Api, tmp_path: Path) -> None:
    hook = Hook(tmp_path, expired=True)
    try:
        register(api, hook)
        answer = api("POST", CONFIGMAPS, config_map("expired"))
        assert answer.status == 500
        assert "x509: certificate has expired or is not yet valid" in answer.message
    finally:
        hook.close()
        api("DELETE", f"{HOOKS}/mutatingwebhookconfigurations")


@pytest.mark.parametrize("name", ["other.default.svc"])
def test_a_certificate_for_another_name_is_not_believed(
    api: Api, tmp_path: Path, name: str
) -> None:
    hook = Hook(tmp_path, name)
    try:
        register(api, hook)
        answer = api("POST", CONFIGMAPS, config_map("named"))
        assert answer.status == 500
        assert f"x509: certificate is not valid for {HOST}" in answer.message
    finally:
        hook.close()
        api("DELETE", f"{HOOKS}/mutatingwebhookconfigurations")


def test_an_unknown_authority_is_not_believed(api: Api, hook: Hook) -> None:
    other, _ = certificate("other")
    hook.bundle = base64.b64encode(other).decode()
    register(api, hook)
    answer = api("POST", CONFIGMAPS, config_map("untrusted"))
    assert "x509: certificate signed by unknown authority" in answer.message


@pytest.mark.parametrize(("policy", "status"), [("Fail", 500), ("Ignore", 201)])
def test_failures_follow_the_policy(api: Api, hook: Hook, policy: str, status: int) -> None:
    register(api, hook, failurePolicy=policy)
    hook.status = 503
    answer = api("POST", CONFIGMAPS, config_map(f"policy-{policy.lower()}"))
    assert answer.status == status
    if status == 500:
        called = 'failed calling webhook "h.example.com": failed to call webhook'
        assert answer.message.startswith(f"Internal error occurred: {called}")


def test_nothing_listening(api: Api, hook: Hook) -> None:
    register(api, hook)
    hook.close()
    api.twin.backend.to = Backend(1)
    answer = api("POST", CONFIGMAPS, config_map("refused"))
    assert "connection refused" in answer.message
    hook.server.socket.close()


def test_webhooks_by_url(api: Api, hook: Hook) -> None:
    config = {"url": f"https://{HOST}:{hook.port}/x", "caBundle": hook.bundle}
    register(api, hook, clientConfig=config)
    answer = api("POST", CONFIGMAPS, config_map("by-url"))
    assert answer.status == 500, "the name does not resolve here"


def test_a_patch_that_does_not_fit(api: Api, hook: Hook) -> None:
    register(api, hook)
    hook.answer = lambda review: patch({"op": "remove", "path": "/data/nope"})
    assert api("POST", CONFIGMAPS, config_map("misfit")).status == 500


def test_the_configurations_themselves_are_exempt(api: Api, hook: Hook) -> None:
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}
    register(api, hook, "validating", rules=[everything])
    hook.answer = lambda review: {"allowed": False}
    assert api("DELETE", f"{HOOKS}/validatingwebhookconfigurations/hook-validating").status == 200
