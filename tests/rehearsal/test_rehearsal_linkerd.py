"""Linkerd in the rehearsal cluster: its webhooks, its identity, its rules of injection."""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterator
from typing import Any

import helm_python as helm
import pytest
import yaml
from controllers_help import condition, deployment, events, namespace, pods, rolled_out, until
from cryptography import x509

from runbook.errors import ApiError
from runbook.rehearsal import Twin, charts, mishaps
from runbook.rehearsal.client import Client, Resource
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.certmanager.kinds import CERTIFICATES, CLUSTER_ISSUERS
from runbook.rehearsal.images import injection, proxyspec, validator
from runbook.rehearsal.images.identity import Identity
from runbook.rehearsal.images.kinds import Situation

ROOTS = "/var/run/linkerd/identity/trust-roots/ca-bundle.crt"
ISSUER = "/var/run/linkerd/identity/issuer"
LABELS = {"config.linkerd.io/admission-webhooks": "disabled"}


@pytest.fixture(scope="module")
def client(twin: Twin) -> Client:
    """Give a client of a cluster with Linkerd 2.20 on it."""
    client = Client.from_kubeconfig(twin.kubeconfig)
    issue(client)
    anchors = secret(client)["ca.crt"].decode()
    for obj in rendered("edge-2.20", anchors):
        create(client, obj)
    for name in ("linkerd-identity", "linkerd-destination", "linkerd-proxy-injector"):
        until(lambda name=name: rolled_out(client, "linkerd", name))
    return client


def issue(client: Client) -> None:
    reference = {"kind": "ClusterIssuer", "group": "cert-manager.io"}
    private = {"algorithm": "ECDSA"}
    client.create(kinds.NAMESPACES, {"metadata": {"name": "linkerd", "labels": LABELS}})
    client.create(CLUSTER_ISSUERS, {"metadata": {"name": "self"}, "spec": {"selfSigned": {}}})
    spec = {"ca": {"secretName": "root-secret"}}
    client.create(CLUSTER_ISSUERS, {"metadata": {"name": "ca-issuer"}, "spec": spec})
    root = {
        "secretName": "root-secret",
        "commonName": "picluster-ca",
        "duration": "87600h",
        "issuerRef": {**reference, "name": "self"},
    }
    leaf = {
        "secretName": "linkerd-identity-issuer",
        "commonName": "identity.linkerd.cluster.local",
        "duration": "48h",
        "renewBefore": "25h",
        "issuerRef": {**reference, "name": "ca-issuer"},
    }
    for name, space, body in (
        ("root", "cert-manager", root),
        ("linkerd-identity-issuer", "linkerd", leaf),
    ):
        meta = {"name": name, "namespace": space}
        full = {**body, "isCA": True, "privateKey": private}
        client.create(CERTIFICATES, {"metadata": meta, "spec": full})
    until(lambda: client.find(kinds.SECRETS, "linkerd-identity-issuer", "linkerd"))


def secret(client: Client, name: str = "linkerd-identity-issuer") -> dict[str, bytes]:
    data = client.get(kinds.SECRETS, name, "linkerd")["data"]
    return {key: base64.b64decode(value) for key, value in data.items()}


def rendered(line: str, anchors: str) -> Iterator[dict[str, Any]]:
    values = {
        "identityTrustAnchorsPEM": anchors,
        "identity": {"issuer": {"scheme": "kubernetes.io/tls"}},
        "installNamespace": False,
    }
    for package in charts.packages():
        if package.line != line or package.metadata["name"] == "linkerd-viz":
            continue
        with helm.Chart.load_archive(package.archive()) as chart:
            texts = chart.render(values, name=package.metadata["name"], namespace="linkerd")
        for path, text in texts.items():
            if not path.endswith(".txt"):
                yield from filter(None, yaml.safe_load_all(text))


def create(client: Client, obj: dict[str, Any]) -> None:
    resource = client.served(obj["apiVersion"])[obj["kind"]]
    if resource.namespaced:
        obj["metadata"].setdefault("namespace", "linkerd")
    client.create(resource, obj)


@pytest.fixture
def space(client: Client, request: pytest.FixtureRequest) -> str:
    name = request.node.name.removeprefix("test_").replace("_", "-")[:50]
    return namespace(client, name, **{"linkerd__io/inject": "enabled"})


def only(client: Client, space: str, app: str) -> Any:
    until(lambda: rolled_out(client, space, app))
    (pod,) = pods(client, space, app)
    return pod


def names(pod: Any) -> tuple[list[str], list[str]]:
    init = [container["name"] for container in pod["spec"].get("initContainers") or []]
    return init, [container["name"] for container in pod["spec"]["containers"]]


def test_pod_of_an_enabled_namespace_is_meshed(client: Client, space: str) -> None:
    deployment(client, space, "web")
    pod = only(client, space, "web")
    assert names(pod) == (["linkerd-init", "linkerd-proxy"], ["c"])
    proxy = pod["spec"]["initContainers"][1]
    assert proxy["restartPolicy"] == "Always"
    bundle = client.get(kinds.CONFIGMAPS, "linkerd-identity-trust-roots", "linkerd")
    anchors = proxyspec.anchors_env(proxy)
    assert anchors.strip() == bundle["data"]["ca-bundle.crt"].strip()
    labels = pod["metadata"]["labels"]
    assert labels["linkerd.io/control-plane-ns"] == "linkerd"
    assert labels["linkerd.io/workload-ns"] == space
    assert labels["linkerd.io/proxy-deployment"] == "web"
    notes = pod["metadata"]["annotations"]
    assert notes["linkerd.io/created-by"].startswith("linkerd/proxy-injector edge-26.6")
    assert len(notes["linkerd.io/trust-root-sha256"]) == 64
    statuses = pod["status"]["initContainerStatuses"]
    assert [list(entry["state"]) for entry in statuses] == [["terminated"], ["running"]]
    text = ["Linkerd sidecar proxy injected"]
    until(lambda: events(client, space, "web", "Injected") == text)


def test_pods_that_are_skipped_say_why(client: Client, space: str) -> None:
    deployment(client, space, "off", annotations={"linkerd.io/inject": "disabled"})
    deployment(client, space, "typo", annotations={"linkerd.io/inject": "true"})
    deployment(client, space, "host", hostNetwork=True)
    for app, reason in (
        ("off", 'pod has the annotation "linkerd.io/inject:disabled"'),
        ("typo", 'invalid value for annotation "linkerd.io/inject" at workload'),
        ("host", "hostNetwork is enabled"),
    ):
        assert names(only(client, space, app)) == ([], ["c"])
        text = f"Linkerd sidecar proxy injection skipped: {reason}"
        until(lambda app=app, text=text: events(client, space, app, "InjectionSkipped") == [text])


def test_annotations_change_the_proxy(client: Client, space: str) -> None:
    notes = {
        "linkerd.io/inject": "ingress",
        "config.linkerd.io/skip-outbound-ports": "443",
        "config.linkerd.io/proxy-enable-native-sidecar": "false",
        "config.linkerd.io/proxy-cpu-request": "50m",
    }
    deployment(client, space, "edge", annotations=notes)
    pod = only(client, space, "edge")
    assert names(pod) == (["linkerd-init"], ["linkerd-proxy", "c"])
    args = pod["spec"]["initContainers"][0]["args"]
    assert args[args.index("--outbound-ports-to-ignore") + 1] == "443"
    proxy = pod["spec"]["containers"][0]
    env = {entry["name"]: entry.get("value") for entry in proxy["env"]}
    assert env["LINKERD2_PROXY_INGRESS_MODE"] == "true"
    assert proxy["resources"]["requests"] == {"cpu": "50m"}
    assert "linkerd-await" in proxy["lifecycle"]["postStart"]["exec"]["command"][0]


def test_kube_system_is_left_alone(client: Client) -> None:
    notes = {"linkerd.io/inject": "enabled"}
    deployment(client, "kube-system", "asked", annotations=notes)
    assert names(only(client, "kube-system", "asked")) == ([], ["c"])


def test_service_gets_its_opaque_ports(client: Client, space: str) -> None:
    spec = {"ports": [{"name": "a", "port": 3306}, {"name": "b", "port": 80}]}
    body = {"metadata": {"name": "db", "namespace": space}, "spec": spec}
    made = client.create(kinds.SERVICES, body)
    assert made["metadata"]["annotations"] == {"config.linkerd.io/opaque-ports": "3306"}


def test_validators_refuse_what_linkerd_would(client: Client, space: str) -> None:
    profiles = Resource("linkerd.io", "v1alpha2", "serviceprofiles", "ServiceProfile")
    route = {"name": "all", "condition": {"method": "GET", "pathRegex": "("}}
    body = {"metadata": {"name": "web", "namespace": space}, "spec": {"routes": [route]}}
    with pytest.raises(ApiError, match="denied the request: error parsing regexp"):
        client.create(profiles, body)
    route["condition"]["pathRegex"] = "/.*"
    client.create(profiles, body)
    assert validator.problem("Server", {"podSelector": {}, "externalWorkloadSelector": {}})
    assert not validator.problem("Server", {"podSelector": {}})


def test_injector_serves_its_log_and_measures_itself(client: Client, space: str) -> None:
    deployment(client, space, "web")
    only(client, space, "web")
    (pod,) = [p for p in pods(client, "linkerd") if "injector" in p["metadata"]["name"]]
    path = f"/api/v1/namespaces/linkerd/pods/{pod['metadata']['name']}/log"
    log = client.request("GET", path, query={"container": "proxy-injector"})
    assert "injection patch generated for: deployment/web" in log
    node = pod["spec"]["nodeName"]
    summary = client.request("GET", f"/api/v1/nodes/{node}/proxy/stats/summary")
    mine = [e for e in summary["pods"] if e["podRef"]["name"] == pod["metadata"]["name"]]
    sizes = {c["name"]: c["memory"]["workingSetBytes"] for c in mine[0]["containers"]}
    assert sizes["proxy-injector"] != sizes["linkerd-proxy"]


def test_issuer_is_reloaded_and_a_wrong_one_skipped(client: Client) -> None:
    def said(reason: str) -> list[str]:
        return events(client, "linkerd", "linkerd-identity", reason)

    client.delete(kinds.SECRETS, "linkerd-identity-issuer", "linkerd")
    until(lambda: said("IssuerUpdated") == ["Updated identity issuer"])
    good = client.get(kinds.SECRETS, "linkerd-identity-issuer", "linkerd")["data"]
    mishaps.mismatch_issuer(client)
    until(lambda: said("IssuerUpdateSkipped"))
    assert "certificate signed by unknown authority" in said("IssuerUpdateSkipped")[0]
    (before,) = [p for p in pods(client, "linkerd") if "identity" in p["metadata"]["name"]]
    client.delete(kinds.PODS, before["metadata"]["name"], "linkerd")

    def looping() -> Any:
        for pod in pods(client, "linkerd"):
            if "identity" in pod["metadata"]["name"] and pod["metadata"]["name"] != shown:
                for entry in (pod.get("status") or {}).get("containerStatuses") or []:
                    waiting = entry["state"].get("waiting") or {}
                    if waiting.get("reason") == "CrashLoopBackOff":
                        return pod
        return None

    shown = before["metadata"]["name"]
    pod = until(looping)
    path = f"/api/v1/namespaces/linkerd/pods/{pod['metadata']['name']}/log"
    query = {"container": "identity", "previous": "true"}
    text = client.request("GET", path, query=query)
    assert "Failed to initialize identity service: failed to verify issuer credentials" in text
    assert condition(pod, "Ready")[0] == "False"
    client.patch(kinds.SECRETS, "linkerd-identity-issuer", {"data": good}, "linkerd")
    client.delete(kinds.PODS, pod["metadata"]["name"], "linkerd")
    until(lambda: rolled_out(client, "linkerd", "linkerd-identity"))
    replicas = {"spec": {"replicas": 1}}
    client.patch(kinds.DEPLOYMENTS, "cert-manager", replicas, "cert-manager")


def test_broken_webhook_lets_pods_through_uninjected(client: Client, space: str) -> None:
    hooks = Resource(
        "admissionregistration.k8s.io",
        "v1",
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
        namespaced=False,
    )
    name = "linkerd-proxy-injector-webhook-config"
    good = client.get(hooks, name)["webhooks"][0]["clientConfig"]["caBundle"]
    mishaps.break_webhook(client)
    deployment(client, space, "web")
    assert names(only(client, space, "web")) == ([], ["c"])
    path = "/webhooks/0/clientConfig/caBundle"
    client.patch(hooks, name, [{"op": "replace", "path": path, "value": good}])
    deployment(client, space, "again")
    assert names(only(client, space, "again")) == (["linkerd-init", "linkerd-proxy"], ["c"])


def situation(**files: bytes) -> Situation:
    paths = {ROOTS: files.pop("roots", b"")}
    paths |= {f"{ISSUER}/{name.replace('_', '.')}": data for name, data in files.items()}
    return Situation({"spec": {}}, {"name": "identity"}, {}, paths)


def last(given: Situation) -> str:
    behaviour = Identity().start(given)
    assert behaviour.exit_code == 1
    return behaviour.log[-1]


def test_identity_refuses_what_does_not_prove(client: Client) -> None:
    parts = secret(client)
    good = {"roots": parts["ca.crt"], "tls_crt": parts["tls.crt"], "tls_key": parts["tls.key"]}
    assert Identity().start(situation(**good)).exit_code is None
    assert "Failed to read trust anchors: not a PEM certificate" in last(situation())
    assert "Failed to read trust anchors" in last(situation(**{**good, "roots": b"nonsense"}))
    wrong = {**good, "roots": secret(client, "linkerd-proxy-injector-k8s-tls")["tls.crt"]}
    assert "certificate signed by unknown authority" in last(situation(**wrong))
    leaf = secret(client, "linkerd-proxy-injector-k8s-tls")
    mixed = {**good, "tls_key": leaf["tls.key"]}
    assert "Public and private key do not match" in last(situation(**mixed))
    assert "no such file" in last(situation(roots=parts["ca.crt"]))
    secrets = f"{parts['tls.key'].decode()}"
    assert secrets not in repr(situation(**good))
    assert x509.load_pem_x509_certificate(parts["ca.crt"])


VALUES: dict[str, Any] = {
    "clusterDomain": "cluster.local",
    "linkerdVersion": "edge-26.6.3",
    "identity": {"serviceAccountTokenProjection": True},
    "proxy": {
        "image": {"name": "cr.l5d.io/linkerd/proxy", "version": ""},
        "ports": {"admin": 4191, "control": 4190, "inbound": 4143, "outbound": 4140},
        "uid": 2102,
        "nativeSidecar": True,
        "opaquePorts": "25,587,3306",
        "control": {},
    },
    "proxyInit": {"ignoreInboundPorts": "4567,4568"},
}


def injected(
    pod: dict[str, Any], space: dict[str, str] | None = None, values: dict[str, Any] = VALUES
) -> injection.Injection:
    outer = {"metadata": {"name": "x", "annotations": space or {}}}
    pod = {"metadata": {"namespace": "x", **pod.get("metadata", {})}, "spec": pod["spec"]}
    owner = ("Deployment", "web")
    return injection.pod_injection(
        pod,
        outer,
        values,
        anchors="PEM",
        owner=owner,
        control_namespace="linkerd",
        created_by="v1",
    )


def plain(**notes: str) -> dict[str, Any]:
    keys = {key.replace("__", "/").replace("_", "."): value for key, value in notes.items()}
    return {"metadata": {"annotations": keys}, "spec": {"containers": [{"name": "c"}]}}


@pytest.mark.parametrize(
    ("outer", "own", "reason"),
    [
        ("enabled", "enabled", ""),
        ("enabled", "", ""),
        ("ingress", "", ""),
        ("", "enabled", ""),
        ("disabled", "enabled", ""),
        ("", "ingress", ""),
        ("enabled", "disabled", "injection_disable_annotation_present"),
        ("disabled", "disabled", "injection_enable_annotation_absent"),
        ("", "", "injection_enable_annotation_absent"),
        ("on", "enabled", "invalid_inject_annotation_at_ns"),
        ("enabled", "yes", "invalid_inject_annotation_at_workload"),
    ],
)
def test_truth_table_of_the_annotation(outer: str, own: str, reason: str) -> None:
    pod = plain(**({"linkerd_io__inject": own} if own else {}))
    space = {"linkerd.io/inject": outer} if outer else {}
    assert injected(pod, space).reasons == ((reason,) if reason else ())


def test_other_reasons_not_to_inject() -> None:
    enabled = {"linkerd.io/inject": "enabled"}
    twice = plain()
    twice["spec"]["containers"].append({"name": "linkerd-proxy"})
    assert injected(twice, enabled).reasons == ("sidecar_already_exists",)
    istio = plain()
    istio["spec"]["initContainers"] = [{"name": "istio-init"}]
    istio["spec"]["hostNetwork"] = True
    reasons = ("host_network_enabled", "sidecar_already_exists")
    assert injected(istio, enabled).reasons == reasons
    old = copy.deepcopy(VALUES)
    old["identity"] = {}
    reason = "disabled_automount_service_account_token_account"
    assert injected(plain(), enabled, old).reasons == (reason,)
    account = {"name": "t", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    mounted = plain()
    mounted["spec"]["containers"][0]["volumeMounts"] = [account]
    assert injected(mounted, enabled, old).reasons == ()


def test_patch_follows_the_release_line() -> None:
    enabled = {"linkerd.io/inject": "enabled"}
    added = {op["path"]: op["value"] for op in injected(plain(), enabled).patch}
    assert added["/spec/initContainers/0"]["name"] == "linkerd-init"
    assert added["/spec/initContainers/0"]["command"] == ["/usr/lib/linkerd/linkerd2-proxy-init"]
    assert added["/spec/initContainers/1"]["restartPolicy"] == "Always"
    old = copy.deepcopy(VALUES)
    old["linkerdVersion"] = "stable-2.14.10"
    old["proxy"].pop("nativeSidecar")
    old["proxy"].pop("control")
    image = {"name": "cr.l5d.io/linkerd/proxy-init", "version": "v2.2.3"}
    old["proxyInit"]["image"] = image
    patch = injected(plain(), enabled, old).patch
    added = {op["path"]: op["value"] for op in patch}
    assert added["/spec/initContainers/-"]["image"] == "cr.l5d.io/linkerd/proxy-init:v2.2.3"
    assert added["/spec/containers/0"]["image"] == "cr.l5d.io/linkerd/proxy:stable-2.14.10"
    env = {entry["name"]: entry.get("value") for entry in added["/spec/containers/0"]["env"]}
    assert env["LINKERD2_PROXY_POLICY_WORKLOAD"] == "$(_pod_ns):$(_pod_name)"


def test_namespace_settings_are_inherited_but_for_some() -> None:
    space = {
        "linkerd.io/inject": "enabled",
        "config.linkerd.io/proxy-log-level": "debug",
        "config.beta.linkerd.io/proxy-enable-native-sidecar": "false",
    }
    added = {op["path"]: op["value"] for op in injected(plain(), space).patch}
    assert added["/metadata/annotations/config.linkerd.io~1proxy-log-level"] == "debug"
    env = {entry["name"]: entry.get("value") for entry in added["/spec/initContainers/1"]["env"]}
    assert env["LINKERD2_PROXY_LOG"] == "debug"
