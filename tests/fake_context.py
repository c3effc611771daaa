"""A cluster made of plain dicts, for the verdicts of checks."""

import base64
import copy
from datetime import timedelta
from types import SimpleNamespace

import yaml
from make_certs import NOW, YEAR, issue, issuer

from runbook.helm import Installed
from runbook.params import Params
from runbook.releases import CONTROL_PLANE, WEBHOOKS, find
from runbook.secrets import Redactor
from runbook.transport import Page


def b64(text):
    return base64.b64encode(text.encode()).decode()


class FakeCluster:
    """Holds objects; answers like ``runbook.cluster.Cluster``."""

    name = "fake"
    chart_repository = None
    dashboards = None
    rehearsal = False

    def __init__(self, objects=(), version="1.35.0+k3s1", now=NOW, allowed=lambda *_: True):
        self.objects = {}
        self.version = version
        self._now = now
        self._allowed = allowed
        self.created = []
        self.injects = True
        self.log = ""
        self.absent_kinds = set()
        self.pages = {}
        self.add(*objects)

    def add(self, *objects):
        for obj in objects:
            meta = obj["metadata"]
            key = (obj["apiVersion"], obj["kind"], meta.get("namespace", ""), meta["name"])
            self.objects[key] = copy.deepcopy(obj)

    def remove(self, kind, name):
        keys = [key for key in self.objects if (key[1], key[3]) == (kind, name)]
        assert keys, f"no {kind} {name} to remove"
        for key in keys:
            del self.objects[key]

    def edit(self, kind, name):
        """Give an object to be changed in place."""
        found = [obj for key, obj in self.objects.items() if (key[1], key[3]) == (kind, name)]
        assert len(found) == 1, f"{len(found)} objects {kind} {name}"
        return found[0]

    def find(self, api_version, kind, name, namespace=""):
        return copy.deepcopy(self.objects.get((api_version, kind, namespace, name)))

    def list(self, api_version, kind, namespace="", *, selector="", fields="", limit=500):
        for (version, its_kind, where, name), obj in list(self.objects.items()):
            labels = obj["metadata"].get("labels") or {}
            wanted = (version, its_kind) == (api_version, kind) and namespace in ("", where)
            phase = (obj.get("status") or {}).get("phase")
            named = not fields or fields in (f"metadata.name={name}", f"status.phase={phase}")
            if wanted and named and all(_has(labels, part) for part in selector.split(",")):
                yield copy.deepcopy(obj)

    def serves(self, api_version, kind):
        return kind not in self.absent_kinds and (api_version, kind) not in self.absent_kinds

    def page(self, namespace, service, port, path="/", *, tls=False, host="", timeout=60.0):
        """Answer with what ``pages`` has for a Service and a host: a status, or an error."""
        given = self.pages.get((service, host), self.pages.get(service, 404))
        if isinstance(given, Exception):
            raise given
        return Page(given, "", {})

    def can(self, verb, resource, *, group="", namespace="", name=""):
        return self._allowed(verb, resource, group, namespace)

    def logs(self, namespace, pod, container="", *, previous=False, tail=0):
        return self.log

    def now(self):
        return self._now

    def create(self, obj, *, dry_run=False):
        assert dry_run, "a check must not create anything"
        self.created.append(obj)
        made = copy.deepcopy(obj)
        if self.injects:
            made["spec"]["initContainers"] = [{"name": "linkerd-init"}, {"name": "linkerd-proxy"}]
        return made


def _has(labels, part):
    """Tell whether labels satisfy one part of a selector: ``key``, or ``key=value``."""
    key, equals, value = part.partition("=")
    return not key or (labels.get(key) == value if equals else key in labels)


class FakeHelm:
    """Gives releases by name."""

    def __init__(self, releases=()):
        self.releases = {release.name: release for release in releases}

    def release(self, name, namespace):
        return self.releases.get(name)


def context(cluster=None, helm=None, **params):
    parsed = Params.parse(params)
    return SimpleNamespace(
        cluster=cluster or FakeCluster(),
        params=parsed,
        line=find(parsed.line),
        helm=helm or FakeHelm(),
        redactor=Redactor(),
    )


def obj(api_version, kind, name, namespace="", labels=None, **rest):
    meta = {"name": name} | ({"namespace": namespace} if namespace else {})
    if labels:
        meta["labels"] = labels
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **rest}


def conditions(**given):
    return {"conditions": [{"type": kind, "status": status} for kind, status in given.items()]}


def node(name="node1", arch="arm64", runtime="containerd://1.7", **status):
    return obj(
        "v1",
        "Node",
        name,
        spec={"podCIDR": "10.42.0.0/24", "podCIDRs": ["10.42.0.0/24"]},
        status={
            **conditions(Ready="True", MemoryPressure="False"),
            "allocatable": {"memory": "3900Mi", "cpu": "4"},
            "nodeInfo": {
                "architecture": arch,
                "containerRuntimeVersion": runtime,
                "osImage": "Ubuntu 22.04",
                "kernelVersion": "5.15.0-1005-raspi",
            },
            **status,
        },
    )


def lease(name="node1", age=5):
    renewed = (NOW - timedelta(seconds=age)).isoformat().replace("+00:00", ".000000Z")
    return obj(
        "coordination.k8s.io/v1", "Lease", name, "kube-node-lease", spec={"renewTime": renewed}
    )


def secret(name, namespace, kind="kubernetes.io/tls", **texts):
    data = {key.replace("_", "."): b64(text) for key, text in texts.items()}
    return obj("v1", "Secret", name, namespace, type=kind, data=data)


ROOT = issue("picluster-ca")
ISSUER = issuer(ROOT)


def issuer_objects(root=ROOT, one=ISSUER):
    """What cert-manager leaves behind: the root, its issuer, the identity issuer."""
    manager = "cert-manager.io/v1"
    renewal = (one.cert.not_valid_after_utc - timedelta(hours=25)).isoformat()
    return [
        secret("root-secret", "cert-manager", tls_crt=root.pem, tls_key=root.key_pem),
        obj(
            manager,
            "Certificate",
            "root-secret",
            "cert-manager",
            spec={"secretName": "root-secret", "privateKey": {"rotationPolicy": "Never"}},
        ),
        obj(
            manager,
            "ClusterIssuer",
            "ca-issuer",
            spec={"ca": {"secretName": "root-secret"}},
            status=conditions(Ready="True"),
        ),
        obj(
            manager,
            "Certificate",
            "linkerd-identity-issuer",
            "linkerd",
            spec={
                "secretName": "linkerd-identity-issuer",
                "privateKey": {"rotationPolicy": "Always"},
            },
            status={**conditions(Ready="True"), "renewalTime": renewal},
        ),
        secret(
            "linkerd-identity-issuer",
            "linkerd",
            tls_crt=one.pem,
            tls_key=one.key_pem,
            ca_crt=root.pem,
        ),
    ]


def pod(component, name="", **status):
    every = [{"name": component, "image": f"cr.l5d.io/linkerd/controller:{VERSION}"}]
    proxy = {
        "name": "linkerd-proxy",
        "image": f"cr.l5d.io/linkerd/proxy:{VERSION}",
        "restartPolicy": "Always",
    }
    return obj(
        "v1",
        "Pod",
        name or f"linkerd-{component}-abc",
        "linkerd",
        {
            "linkerd.io/control-plane-component": component,
            "linkerd.io/control-plane-ns": "linkerd",
        },
        spec={"containers": every, "initContainers": [{"name": "linkerd-init"}, proxy]},
        status={
            "phase": "Running",
            "podIP": "10.42.0.7",
            "containerStatuses": [{"name": component, "ready": True}],
            "initContainerStatuses": [{"name": "linkerd-proxy", "ready": True}],
            **status,
        },
    )


VERSION = "edge-26.6.3"


def webhook_objects():
    """Each webhook with the certificate Helm makes for it."""
    made = []
    for webhook in WEBHOOKS:
        name = f"{webhook.service}.linkerd.svc"
        one = issue(name, ca=False, dns=(name,), lasts=YEAR)
        hook = {"name": webhook.title, "clientConfig": {"caBundle": b64(one.pem)}}
        made += [
            obj(
                "admissionregistration.k8s.io/v1",
                webhook.kind,
                webhook.configuration,
                webhooks=[hook],
            ),
            secret(webhook.secret, "linkerd", tls_crt=one.pem, tls_key=one.key_pem),
        ]
    return made


def config_values(root=ROOT):
    return {
        "linkerdVersion": VERSION,
        "identityTrustAnchorsPEM": root.pem,
        "identityTrustDomain": "cluster.local",
        "identity": {"externalCA": False, "issuer": {"scheme": "kubernetes.io/tls"}},
        "clusterNetworks": "10.0.0.0/8,fd00::/8",
    }


def control_plane_objects(line):
    """A control plane in good health."""
    rbac = "rbac.authorization.k8s.io/v1"
    roles = [f"linkerd-linkerd-{part}" for part in ("identity", "proxy-injector", "destination")]
    accounts = (*CONTROL_PLANE, "linkerd-heartbeat")
    crds = [
        obj(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            crd.name,
            spec={"versions": [{"name": crd.version, "served": True}]},
            status=conditions(Established="True"),
        )
        for crd in line.crds
    ]
    return [
        *crds,
        *(obj(rbac, "ClusterRole", name) for name in roles),
        *(obj(rbac, "ClusterRoleBinding", name) for name in roles),
        *(obj("v1", "ServiceAccount", name, "linkerd") for name in accounts),
        *(obj("apps/v1", "Deployment", name, "linkerd") for name in CONTROL_PLANE),
        *(pod(name.removeprefix("linkerd-")) for name in CONTROL_PLANE),
        obj(
            "v1",
            "ConfigMap",
            "linkerd-config",
            "linkerd",
            data={"values": yaml.safe_dump(config_values())},
        ),
        obj(
            "v1",
            "ConfigMap",
            "linkerd-identity-trust-roots",
            "linkerd",
            data={"ca-bundle.crt": ROOT.pem.replace("\n", "\r\n")},
        ),
        *webhook_objects(),
    ]


def release(name="linkerd-control-plane", status="deployed", revision=1, **values):
    return Installed(
        name=name,
        namespace="linkerd",
        revision=revision,
        status=status,
        chart=name,
        version="2026.6.3",
        app_version=VERSION,
        values=values or {"identityTrustAnchorsPEM": ROOT.pem.strip()},
        objects=(),
    )


def installed(**params):
    """A context with everything installed and well."""
    chosen = context(**params)
    chosen.cluster.add(
        node(),
        lease(),
        obj("v1", "Service", "kubernetes", "default", spec={"clusterIP": "10.43.0.1"}),
        *issuer_objects(),
        *control_plane_objects(chosen.line),
    )
    chosen.helm = FakeHelm([release("linkerd-crds"), release()])
    return chosen


def verdicts(check, chosen):
    """Give the verdicts of a check by id."""
    return {outcome.id: outcome.verdict for outcome in check(chosen)}


def bad(check, chosen):
    """Give only what is not well."""
    return {key: value for key, value in verdicts(check, chosen).items() if value != "pass"}
