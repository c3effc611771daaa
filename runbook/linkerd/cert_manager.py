"""Checks of cert-manager, the root CA and its ClusterIssuer (notebooks 00, 10 and 12)."""

from __future__ import annotations

from collections.abc import Iterator

from runbook.checks import Context, Outcome
from runbook.errors import CertificateError, ForbiddenError
from runbook.linkerd.material import read_secret
from runbook.linkerd.outcomes import Object, absent, condition, few, from_proof, judge
from runbook.manifests import root_ca
from runbook.proofs import anchor_proofs

__all__ = [
    "cert_manager_crds",
    "cert_manager_running",
    "cluster_issuer",
    "root_certificate",
    "root_unclaimed",
]

API = "cert-manager.io/v1"
NOTEBOOK = "10-cert-manager-ca"
INSTALL = (
    "helm install cert-manager jetstack/cert-manager -n cert-manager "
    "--create-namespace --set crds.enabled=true"
)
SEE = "https://cert-manager.io/docs/installation/helm/"
_ROLES = ("cert-manager", "webhook", "cainjector")  # app.kubernetes.io/name in its chart


def cert_manager_crds(context: Context) -> Iterator[Outcome]:
    """cert-manager's CRDs are installed."""
    kinds = ("Certificate", "Issuer", "ClusterIssuer")
    missing = [kind for kind in kinds if not context.cluster.serves(API, kind)]
    yield judge(
        "cert-manager-crds",
        "cert-manager's CRDs are installed",
        not missing,
        expected=f"{API}: {', '.join(kinds)}",
        seen=f"not served: {', '.join(missing)}" if missing else "served",
        why="cert-manager is not installed, or was installed without its CRDs",
        fix=INSTALL,
        see=SEE,
    )


def cert_manager_running(context: Context) -> Iterator[Outcome]:
    """cert-manager's deployments are available."""
    namespace = context.params.cert_manager_namespace
    found = {
        role: deployment
        for deployment in context.cluster.list("apps/v1", "Deployment", namespace)
        if (role := _role(deployment))
    }
    missing = [role for role in _ROLES if role not in found]
    down = [
        f"{deployment['metadata']['name']}: {_reason(deployment)}"
        for deployment in found.values()
        if condition(deployment, "Available").get("status") != "True"
    ]
    versions = sorted({_version(deployment) for deployment in found.values()} - {""})
    yield judge(
        "cert-manager-running",
        "cert-manager's deployments are available",
        not missing and not down,
        expected=f"controller, webhook and cainjector available in {namespace}",
        seen=few([*(f"no {role} deployment" for role in missing), *down])
        or f"available{', ' + ', '.join(versions) if versions else ''}",
        why=f"cert-manager is not installed in {namespace}"
        if missing
        else "it cannot issue while its pods are down",
        fix=f"set cert_manager_namespace to where it is, or: {INSTALL}"
        if missing
        else f"kubectl -n {namespace} get pods; kubectl -n {namespace} describe pod NAME",
        see=SEE,
    )


def root_unclaimed(context: Context) -> Iterator[Outcome]:
    """Nothing else owns the Secret of the root CA."""
    params, title = context.params, "creating the root CA takes nothing over"
    if not params.create_ca:
        yield judge("root-unclaimed", title, "skip", seen="create_ca is false: nothing is created")
        return
    ours = root_ca(params)[1]["metadata"]["name"]
    writers = [
        certificate["metadata"]["name"]
        for certificate in context.cluster.list(API, "Certificate", params.cert_manager_namespace)
        if certificate["spec"].get("secretName") == params.ca_secret
    ]
    others = [name for name in writers if name != ours]
    orphan = not writers and read_secret(context, params.ca_secret, params.cert_manager_namespace)
    yield judge(
        "root-unclaimed",
        title,
        not others and not orphan,
        expected=f"Secret {params.cert_manager_namespace}/{params.ca_secret} is free, or written "
        f"by Certificate {ours}",
        seen=f"written by Certificate {few(others)}"
        if others
        else "it exists, and no Certificate writes it"
        if orphan
        else f"written by Certificate {ours}"
        if writers
        else "free",
        why="a second Certificate for the same Secret would replace the root and its key, and "
        "everything it signed would stop being trusted",
        fix="set create_ca: false to use the CA that is there, or choose another ca_secret",
    )


def cluster_issuer(context: Context) -> Iterator[Outcome]:
    """The ClusterIssuer is Ready."""
    name = context.params.cluster_issuer
    title = f"ClusterIssuer {name} is Ready"
    issuer = context.cluster.find(API, "ClusterIssuer", name)
    if issuer is None:
        yield _no_ca(context, "cluster-issuer", title, f"ClusterIssuer {name}")
        return
    ready = condition(issuer, "Ready")
    good = ready.get("status") == "True"
    kind = next(iter(issuer.get("spec") or {}), "none")
    yield judge(
        "cluster-issuer",
        title,
        ("pass" if kind == "ca" else "warn") if good else "fail",
        expected="Ready, of type ca",
        seen=f"type {kind}, {ready.get('reason') or 'no Ready condition yet'}"
        + (f": {ready.get('message')}" if ready.get("message") else ""),
        why=_issuer_reason(context, str(ready.get("message", "")))
        if not good
        else f"an issuer of type {kind} may leave ca.crt out of the Secret, and that is the "
        "trust anchor",
        fix=f"kubectl describe clusterissuer {name}"
        if not good
        else "use a ClusterIssuer of type ca, or give the anchor by other means",
        see="https://cert-manager.io/docs/configuration/ca/",
    )


def root_certificate(context: Context) -> Iterator[Outcome]:
    """The root CA can be a trust anchor."""
    params = context.params
    issuer = context.cluster.find(API, "ClusterIssuer", params.cluster_issuer)
    name = ((issuer or {}).get("spec", {}).get("ca") or {}).get("secretName")
    if issuer is not None and not name:
        yield judge(
            "root-secret", "the root CA's Secret exists", "skip", seen="the issuer has no CA Secret"
        )
        return
    name = str(name or params.ca_secret)
    namespace = params.cert_manager_namespace
    title = "the root CA's Secret exists where a ClusterIssuer reads it"
    material = read_secret(context, name, namespace)
    if material is None:
        yield _no_ca(context, "root-secret", title, f"Secret {namespace}/{name}")
        return
    yield judge("root-secret", title, True, seen=f"{namespace}/{name}")
    try:
        root, *_ = material.certificates("tls.crt")
    except CertificateError as error:
        yield judge("root-readable", "the root CA can be read", False, seen=error.what)
        return
    now = context.cluster.now()
    yield from (from_proof(proof, prefix="root-") for proof in anchor_proofs([root], now=now))
    yield judge(
        "root-key",
        "the root CA's key belongs to it",
        material.key_matches(root),
        expected="tls.key of the same pair",
        seen=root.describe(),
        why="tls.crt and tls.key are of two different issues",
        fix="delete the Secret; cert-manager issues both anew",
    )
    yield _rotation(context, name)


def _no_ca(context: Context, id_: str, title: str, what: str) -> Outcome:
    """Say that a part of the CA is missing: a plan may count on it only if it will be created."""
    create = context.params.create_ca
    notebook = NOTEBOOK if create else f"{NOTEBOOK} with create_ca: true"
    return absent(context, id_, title, what, notebook, comes=create)


def _rotation(context: Context, secret: str) -> Outcome:
    namespace = context.params.cert_manager_namespace
    writers = [
        certificate
        for certificate in context.cluster.list(API, "Certificate", namespace)
        if certificate["spec"].get("secretName") == secret
    ]
    policies = [(one["spec"].get("privateKey") or {}).get("rotationPolicy", "") for one in writers]
    policy = policies[0] if policies else ""
    return judge(
        "root-rotation",
        "whether the root CA's key changes at renewal is written down",
        "pass" if policy == "Never" or not writers else "warn",
        expected="rotationPolicy: Never",
        seen=(policy or "not written") if writers else "no Certificate renews it",
        why="renewed with a new key, the root signs issuers that the anchor given to Helm does "
        "not verify; cert-manager's default became Always in 1.18",
        fix="set privateKey.rotationPolicy: Never on the root's Certificate",
        see="https://cert-manager.io/docs/releases/release-notes/release-notes-1.18/",
    )


def _issuer_reason(context: Context, message: str) -> str:
    name = context.params.ca_secret
    try:
        found = list(context.cluster.list("v1", "Secret", fields=f"metadata.name={name}"))
    except ForbiddenError:
        found = []  # only a hint: the user may not list Secrets everywhere
    places = {str(secret["metadata"]["namespace"]) for secret in found}
    elsewhere = sorted(places - {context.params.cert_manager_namespace})
    if elsewhere:
        return (
            f"Secret {name} is in {few(elsewhere)}, but a ClusterIssuer reads it from "
            "cert-manager's own namespace"
        )
    if "not found" in message or "no data" in message:
        return "its CA Secret does not exist or is empty"
    return "cert-manager has not accepted it (see the message)"


def _role(deployment: Object) -> str:
    """Tell which of cert-manager's three deployments this is, empty for others."""
    labels = deployment["metadata"].get("labels") or {}
    role = str(labels.get("app.kubernetes.io/name", ""))
    if role in _ROLES:
        return role
    name = str(deployment["metadata"]["name"])
    by_name = {"cert-manager": "cert-manager", "cert-manager-webhook": "webhook"}
    return by_name.get(name, "cainjector" if name == "cert-manager-cainjector" else "")


def _reason(deployment: Object) -> str:
    found = condition(deployment, "Available")
    return str(found.get("message") or found.get("reason") or "no Available condition yet")


def _version(deployment: Object) -> str:
    labels = deployment["metadata"].get("labels") or {}
    return str(labels.get("app.kubernetes.io/version", ""))
