"""Traefik in the rehearsal: routes, certificates, passwords, and what it says of broken routes."""

from __future__ import annotations

import http.client
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from bare import Answer, Api
from controllers_help import deployment, namespace, rolled_out, until
from cryptography import x509
from make_certs import issue

from runbook.rehearsal import Twin, mishaps
from runbook.rehearsal.client import Client, Resource
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.faults import Fault
from runbook.rehearsal.ingress.middlewares import Request, UnusableError, middleware
from runbook.rehearsal.ingress.passwords import UnknownSchemeError, matches
from runbook.rehearsal.ingress.routes import Asked, Router, routers

Object = dict[str, Any]

MIDDLEWARES = Resource("traefik.io", "v1alpha1", "middlewares", "Middleware")
OLD_MIDDLEWARES = Resource("traefik.containo.us", "v1alpha1", "middlewares", "Middleware")
CLASSES = Resource("networking.k8s.io", "v1", "ingressclasses", "IngressClass", namespaced=False)
ROUTER = "traefik.ingress.kubernetes.io/router."
SPACE = "apps"
HOST = "dashboard.example"
WEB = "/api/v1/namespaces/kube-system/services/traefik:web/proxy"
WEBSECURE = "/api/v1/namespaces/kube-system/services/https:traefik:websecure/proxy"


@pytest.fixture(scope="module")
def api(twin: Twin) -> Api:
    return Api(twin)


@pytest.fixture(scope="module")
def client(twin: Twin) -> Client:
    """Connect, and run a dashboard that tells by which hosts it is reached."""
    client = Client.from_kubeconfig(twin.kubeconfig)
    namespace(client, SPACE)
    container = {
        "name": "web",
        "image": "cr.l5d.io/linkerd/web:edge-26.6.3",
        "args": ["-linkerd-metrics-api-addr=none", rf"-enforced-host=^{HOST}$"],
        "ports": [{"name": "http", "containerPort": 8084}],
    }
    deployment(client, SPACE, "web", containers=[container])
    for name, app in (("web", "web"), ("empty", "nobody")):
        spec = {
            "selector": {"app": app},
            "ports": [{"name": "http", "port": 80, "targetPort": 8084}],
        }
        client.create(
            kinds.SERVICES, {"metadata": {"name": name, "namespace": SPACE}, "spec": spec}
        )
    until(lambda: rolled_out(client, SPACE, "web"))
    return client


@dataclass(frozen=True)
class Door:
    """Traefik itself, without the API server's proxy before it."""

    twin: Twin
    client: Client

    def pod(self) -> str:
        selector = "app.kubernetes.io/name=traefik"
        for pod in self.client.list(kinds.PODS, "kube-system", selector=selector):
            statuses = pod["status"].get("containerStatuses") or []
            if not pod["metadata"].get("deletionTimestamp") and all(s["ready"] for s in statuses):
                return str(pod["metadata"]["name"])
        return ""

    def address(self, port: int) -> tuple[str, int]:
        found = self.twin.backend.endpoint("kube-system", self.pod(), port)
        assert found is not None
        return found

    def get(self, port: int = 8000, path: str = "/", **headers: str) -> Answer:
        connection = http.client.HTTPConnection(*self.address(port), timeout=30)
        sent = {"Host": HOST} | {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(headers.pop("method", "GET"), path, headers=sent)
        answer = connection.getresponse()
        found = Answer(answer.status, answer.headers, answer.read())
        connection.close()
        return found

    def certificate(self, name: str) -> x509.Certificate:
        """Give the certificate it shows to who asks for a name."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection(self.address(8443), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname=name) as secured,
        ):
            shown = secured.getpeercert(binary_form=True)
        assert shown is not None
        return x509.load_der_x509_certificate(shown)

    def log(self) -> str:
        path = f"/api/v1/namespaces/kube-system/pods/{self.pod()}/log"
        return str(self.client.request("GET", path))


@pytest.fixture(scope="module")
def door(twin: Twin, client: Client) -> Door:
    return Door(twin, client)


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> Iterator[None]:
    """Remove the Ingresses of a test that asks Traefik."""
    yield
    if "door" in request.fixturenames:
        client: Client = request.getfixturevalue("client")
        for found in list(client.list(kinds.INGRESSES, SPACE)):
            client.delete(kinds.INGRESSES, found["metadata"]["name"], SPACE)


def ingress(
    name: str = "web",
    *,
    host: str = HOST,
    path: str = "/",
    service: str = "web",
    secret: str = "",
    class_name: str = "traefik",
    **router: str,
) -> Object:
    backend = {"service": {"name": service, "port": {"number": 80}}}
    http_ = {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}
    spec: Object = {"ingressClassName": class_name, "rules": [{"host": host, "http": http_}]}
    if secret:
        spec["tls"] = [{"hosts": [host], "secretName": secret}]
    notes = {f"{ROUTER}{key}": value for key, value in router.items()}
    return {"metadata": {"name": name, "namespace": SPACE, "annotations": notes}, "spec": spec}


def secret(client: Client, name: str, kind: str = "Opaque", **data: str) -> None:
    encoded = {
        key.replace("_", "."): b64encode(text.encode()).decode() for key, text in data.items()
    }
    meta = {"name": name, "namespace": SPACE}
    client.create(kinds.SECRETS, {"metadata": meta, "type": kind, "data": encoded})


def specify(client: Client, name: str, resource: Resource = MIDDLEWARES, **spec: Object) -> str:
    client.create(resource, {"metadata": {"name": name, "namespace": SPACE}, "spec": spec})
    return f"{SPACE}-{name}@kubernetescrd"


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def test_unknown_hosts_are_not_found(api: Api, door: Door) -> None:
    for path in (f"{WEB}/", f"{WEBSECURE}/"):
        found = api("GET", path, Host="nobody.example")
        assert (found.status, found.raw) == (404, b"404 page not found\n")
    assert (door.get(8080, "/ping").raw, door.get(8080).status) == (b"OK", 404)
    assert 'traefik_entrypoint_requests_total{code="404",entrypoint="web"' in (
        door.get(9100, "/metrics").raw.decode()
    )
    lines = door.log().splitlines()
    assert "a stand-in for Traefik 3.5.1" in lines[0]
    assert all(line.endswith("rehearsal=true") for line in lines)


def test_a_host_leads_to_its_service(api: Api, client: Client, door: Door) -> None:
    client.create(kinds.INGRESSES, ingress())
    for path in (f"{WEB}/", f"{WEBSECURE}/"):
        until(lambda path=path: api("GET", path, Host=HOST).status == 200)
        assert b"Linkerd dashboard (rehearsal)" in api("GET", path, Host=HOST).raw
        assert api("GET", path, Host=f"not-{HOST}").status == 404
    assert door.get(8000, Host=f"{HOST.upper()}:80").status == 400  # the dashboard's word
    assert door.get(8000, "/nothing?here").status == 404
    assert door.get(8000, method="HEAD").raw == b""
    assert door.get(8443).status == 404  # TLS has routers of its own


def test_a_router_with_tls_is_not_served_without(api: Api, client: Client, door: Door) -> None:
    client.create(kinds.INGRESSES, ingress(entrypoints="websecure", tls="true"))
    until(lambda: api("GET", f"{WEB}/", Host=HOST).status == 404)  # no more from before
    until(lambda: api("GET", f"{WEBSECURE}/", Host=HOST).status == 200)
    assert api("GET", f"{WEB}/", Host=HOST).status == 404
    assert door.get(8443).status == 404
    plain = WEBSECURE.replace("https:", "")
    assert api("GET", f"{plain}/", Host=HOST).status == 404


def test_certificates_are_chosen_by_the_name_asked_for(client: Client, door: Door) -> None:
    def name(host: str) -> str:
        common = door.certificate(host).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return str(common[0].value)

    client.create(kinds.INGRESSES, ingress(secret="web-tls", tls="true"))
    until(lambda: 'error="secret apps/web-tls does not exist" ingress=web' in door.log())
    assert name(HOST) == "TRAEFIK DEFAULT CERT"
    for common in ("first", "renewed"):
        one = issue(common, ca=False, dns=(HOST,))
        client.delete(kinds.SECRETS, "web-tls", SPACE)
        secret(client, "web-tls", "kubernetes.io/tls", tls_crt=one.pem, tls_key=one.key_pem)
        until(lambda common=common: name(HOST) == common)
    assert name("other.example") == "TRAEFIK DEFAULT CERT"


def test_a_route_fails_without_its_middleware(api: Api, client: Client, door: Door) -> None:
    ours = f"{SPACE}-auth@kubernetescrd"
    client.create(kinds.INGRESSES, ingress(middlewares=ours))
    until(lambda: f'error="middleware \\"{ours}\\" does not exist"' in door.log())
    assert api("GET", f"{WEB}/", Host=HOST).status == 404
    specify(client, "auth", basicAuth={"secret": "users", "removeHeader": True})
    until(lambda: "secret 'apps/users' not found" in door.log())
    assert api("GET", f"{WEB}/", Host=HOST).status == 404
    users = f"jane:{SHA}\njohn:{APR1}\njack:$1$salt$hash\n\n"
    secret(client, "users", users=users)
    until(lambda: api("GET", f"{WEB}/", Host=HOST).status == 401)
    refused = api("GET", f"{WEB}/", Host=HOST)
    assert refused.raw == b"401 Unauthorized\n"
    assert refused.headers["WWW-Authenticate"] == 'Basic realm="traefik"'
    found = {
        pair: door.get(Authorization=basic(*pair)).status
        for pair in (("jane", "secret"), ("john", "secret"), ("jane", "wrong"), ("x", "secret"))
    }
    assert [*found.values()] == [200, 200, 401, 401]
    assert door.get(Authorization=basic("jack", "secret")).status == 401
    assert "the stand-in cannot check the password of a user" in door.log()


def test_headers_and_schemes_are_changed(api: Api, client: Client, door: Door) -> None:
    host = specify(client, "host", headers={"customRequestHeaders": {"Host": HOST, "X-Gone": ""}})
    secure = specify(client, "secure", redirectScheme={"scheme": "https", "permanent": True})
    client.create(kinds.INGRESSES, ingress("a", host="other.example", middlewares=host))
    client.create(kinds.INGRESSES, ingress("b", host="moved.example", middlewares=secure))
    until(lambda: door.get(Host="other.example").status == 200)
    until(lambda: door.get(Host="moved.example").status == 301)
    moved = api("GET", f"{WEB}/there?x=1", Host="moved.example:80")
    assert moved.headers["Location"] == "https://moved.example/there?x=1"
    assert door.get(Host="moved.example", method="POST").status == 308


def test_services_without_pods_and_no_services(api: Api, client: Client, door: Door) -> None:
    client.create(kinds.INGRESSES, ingress("a", host="empty.example", service="empty"))
    client.create(kinds.INGRESSES, ingress("b", host="none.example", service="none"))
    until(lambda: api("GET", f"{WEB}/", Host="empty.example").status == 503)
    assert door.get(Host="empty.example").raw == b"no available server\n"
    assert door.get(Host="none.example").status == 404
    assert 'error="service not found" service=apps/none:80' in door.log()


def test_ingresses_of_others_are_left_alone(client: Client, door: Door) -> None:
    spec = {"controller": "example.com/another"}
    client.create(CLASSES, {"metadata": {"name": "another"}, "spec": spec})
    client.create(kinds.INGRESSES, ingress("a", host="theirs.example", class_name="another"))
    client.create(kinds.INGRESSES, ingress("b"))
    until(lambda: door.get().status == 200)
    assert door.get(Host="theirs.example").status == 404


def test_a_lost_watch_is_taken_up_again(twin: Twin, client: Client, door: Door) -> None:
    client.create(kinds.INGRESSES, ingress("a", host="before.example", service="empty"))
    until(lambda: door.get(Host="before.example").status == 503)
    twin.faults.set(Fault("api", verb="list", resource="ingresses", times=2, system=True))
    twin.faults.set(Fault("drop-watches", resource="ingresses"))
    client.delete(kinds.INGRESSES, "a", SPACE)
    client.create(kinds.INGRESSES, ingress("b", host="after.example", service="empty"))
    until(lambda: door.get(Host="after.example").status == 503)
    until(lambda: door.get(Host="before.example").status == 404)


def test_an_old_traefik_reads_its_own_group_only(client: Client, door: Door) -> None:
    before = door.pod()
    mishaps.downgrade_traefik(client)
    until(lambda: rolled_out(client, "kube-system", "traefik") and door.pod() not in ("", before))
    group = client.request("GET", "/apis")["groups"]
    assert {g["name"] for g in group if "traefik" in g["name"]} == {"traefik.containo.us"}
    assert "Traefik 2.9.4" in door.log()
    name = specify(client, "moved", OLD_MIDDLEWARES, redirectScheme={"scheme": "https"})
    client.create(kinds.INGRESSES, ingress(middlewares=name))
    until(lambda: door.get().status == 302)
    mishaps.remove_middlewares(client)
    until(lambda: door.get().status == 404)
    assert f'"{name}\\" does not exist' in door.log()


SHA = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="
APR1 = "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/"
BCRYPT = "$2y$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"


def test_passwords_of_htpasswd() -> None:
    for kept in (SHA, APR1):
        assert matches("secret", kept)
        assert not matches("Secret", kept)
    for kept in ("secret", "$1$salt$hash", "$2x$06$If6bvum7DFjUnE9p2uDeDu"):
        with pytest.raises(UnknownSchemeError):
            matches("secret", kept)


def test_bcrypt_where_the_c_library_has_it() -> None:
    try:
        found = matches("abc", BCRYPT)
    except UnknownSchemeError:
        pytest.skip("the C library knows no bcrypt")
    assert found
    assert not matches("abd", BCRYPT)


def made(obj: Object, *classes: Object) -> list[Router]:
    return list(routers(obj, list(classes)))


OURS = {"metadata": {"name": "traefik"}, "spec": {"controller": "traefik.io/ingress-controller"}}


def test_rules_of_an_ingress() -> None:
    (one,) = made(ingress(path="/a", entrypoints="web, other", middlewares="x,y"), OURS)
    assert (one.name, one.middlewares) == ("apps-web-dashboard-example-a@kubernetes", ("x", "y"))
    assert one.backend.proxy == "/api/v1/namespaces/apps/services/web:80/proxy"
    taken = {
        (entry, path): one.takes(Asked(entry, False, HOST, path))
        for entry in ("web", "websecure")
        for path in ("/", "/a", "/a/b", "/ab")
    }
    assert {key for key, value in taken.items() if value} == {("web", "/a"), ("web", "/a/b")}
    assert not one.takes(Asked("web", True, HOST, "/a"))
    (any_name,) = made(ingress(host="*.example.com"), OURS)
    hosts = ("a.example.com:8000", "example.com", "a.b.example.com", "A.Example.com")
    found = [any_name.takes(Asked("web", False, host, "/")) for host in hosts]
    assert found == [True, False, False, True]
    assert one.priority > made(ingress(), OURS)[0].priority


def test_whose_an_ingress_is() -> None:
    assert made(ingress()) == []
    other = {"metadata": {"name": "traefik"}, "spec": {"controller": "example.com/another"}}
    assert made(ingress(), other) == []
    free = ingress()
    del free["spec"]["ingressClassName"]
    assert len(made(free)) == 1
    free["metadata"]["annotations"] = {"kubernetes.io/ingress.class": "nginx"}
    assert made(free) == []
    backend = {"service": {"name": "web", "port": {"name": "https"}}}
    (default,) = made({**free, "metadata": {"name": "d", "namespace": SPACE}, "spec": {
        "defaultBackend": backend}})  # fmt: skip
    assert default.takes(Asked("web", False, "any", "/where"))
    assert default.backend.proxy.endswith("/https:web:https/proxy")


def test_unknown_middlewares_are_refused() -> None:
    meta = {"name": "m", "namespace": SPACE}
    for spec in (
        {},
        {"compress": {}},
        {"headers": {"stsSeconds": 1}},
        {"headers": {}, "basicAuth": {}},
    ):
        with pytest.raises(UnusableError, match="the stand-in knows"):
            middleware({"metadata": meta, "spec": spec}, {}, print)
    two = {"data": {"a": "", "b": ""}}
    with pytest.raises(UnusableError, match="found 2 elements"):
        middleware(
            {"metadata": meta, "spec": {"basicAuth": {"secret": "s"}}}, {(SPACE, "s"): two}, print
        )


def test_who_is_let_in_is_told_to_the_service() -> None:
    spec = {"basicAuth": {"secret": "s", "headerField": "X-User", "removeHeader": True}}
    line = b64encode(f"# users\njane:{SHA}\n".encode()).decode()
    one = middleware(
        {"metadata": {"name": "m", "namespace": SPACE}, "spec": spec},
        {(SPACE, "s"): {"data": {"any": line}}},
        print,
    )
    request = Request("GET", "/", HOST, {"authorization": basic("jane", "secret")}, False)
    assert one.meet(request) is None
    assert request.headers == {"X-User": "jane"}
    for header in ("", "Bearer x", "Basic !!!", "Basic /w=="):
        answer = one.meet(Request("GET", "/", HOST, {"Authorization": header}, False))
        assert answer is not None
        assert answer.status == 401
