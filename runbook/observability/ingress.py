"""The Viz dashboard at the ingress: certificate, Middleware, Ingress (seed, Viz step 4)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from runbook.certs import parse_bundle
from runbook.checks import Context, Outcome
from runbook.errors import CertificateError, RunbookError
from runbook.linkerd.material import read_secret
from runbook.linkerd.outcomes import Object, absent, judge
from runbook.manifests import issuer_ref, private_key

__all__ = [
    "GROUPS",
    "MIDDLEWARES",
    "NAME",
    "dashboard_certificate",
    "dashboard_ingress",
    "dashboard_reached",
    "ingress_controller",
    "middleware_version",
]

NAME = "linkerd-viz"
"""Name of the Ingress, the Middleware and the Certificate, in the namespace of Viz."""

GROUPS = ("traefik.io/v1alpha1", "traefik.containo.us/v1alpha1")
"""API groups of Traefik's Middleware: since 2.10, and before; 3 has the first one only."""

MIDDLEWARES = "traefik.ingress.kubernetes.io/router.middlewares"
"""Annotation of an Ingress: the Middlewares its requests pass, with commas between them."""

_NOTEBOOK = "22-viz-ingress"
_TRAEFIK = "app.kubernetes.io/name=traefik"  # label of its Service
_ATTEMPTS = 5
_USERS = "users"  # key of a basicAuth Secret (Traefik, middlewares/http/basicauth)
_TLS = f"{NAME}-tls"
SEE = "https://linkerd.io/2-edge/tasks/exposing-dashboard/"
_USERS_FIX = (
    "htpasswd -nB NAME | kubectl -n {namespace} create secret generic {name} "
    "--from-file=users=/dev/stdin"
)


def middleware_version(context: Context) -> str:
    """Give the API version of Traefik's Middleware here, empty if there is none."""
    served = (version for version in GROUPS if context.cluster.serves(version, "Middleware"))
    return next(served, "")


def dashboard_ingress(context: Context) -> list[Object]:
    """Give what exposes the dashboard: nothing without ``viz_host``.

    A Certificate of cert-manager, the Ingress over HTTPS alone, and with ``viz_users_secret`` a
    Middleware that asks for a name and a password. They are compared by Traefik with the htpasswd
    lines of that Secret, which this runbook neither makes nor reads out.

    Erratum: the page that the seed points to shows annotations of Traefik 1, which 2 and 3 ignore:
    the dashboard, which has no login of its own, would have been open to everybody.
    """
    params = context.params
    if not params.viz_host:
        return []
    meta = {"name": NAME, "namespace": params.viz_namespace}
    objects = [_certificate(context, meta)]
    annotations = {
        "traefik.ingress.kubernetes.io/router.entrypoints": "websecure",
        "traefik.ingress.kubernetes.io/router.tls": "true",
    }
    if params.viz_users_secret:
        objects.append(
            {
                "apiVersion": middleware_version(context) or GROUPS[0],
                "kind": "Middleware",
                "metadata": meta,
                "spec": {"basicAuth": {"secret": params.viz_users_secret, "removeHeader": True}},
            }
        )
        annotations[MIDDLEWARES] = _chain(context, f"{params.viz_namespace}-{NAME}@kubernetescrd")
    return [*objects, _ingress(context, {**meta, "annotations": annotations})]


def _chain(context: Context, own: str) -> str:
    """Give the Middlewares of the Ingress: the password first, then those added since (51)."""
    live = context.cluster.find(
        "networking.k8s.io/v1", "Ingress", NAME, context.params.viz_namespace
    ) or {"metadata": {}}
    before = (live["metadata"].get("annotations") or {}).get(MIDDLEWARES, "")
    return ",".join(dict.fromkeys([own, *filter(None, before.split(","))]))


def ingress_controller(context: Context) -> Iterator[Outcome]:
    """The ingress class is there, and Traefik's Middleware and its users where they are needed."""
    params = context.params
    title = f"IngressClass {params.ingress_class} is there"
    if not params.viz_host:
        yield judge("ingress-class", title, "skip", seen=_not_asked(context))
        return
    found = context.cluster.find("networking.k8s.io/v1", "IngressClass", params.ingress_class)
    controller = str(((found or {}).get("spec") or {}).get("controller", ""))
    traefik = controller.startswith("traefik.io/")
    yield judge(
        "ingress-class",
        title,
        "fail" if found is None else "pass" if traefik else "warn",
        expected="an IngressClass of Traefik",
        seen=controller or "not found",
        why="no ingress controller has been installed, or its class has another name"
        if found is None
        else "the annotations of this notebook are Traefik's; another controller ignores them, "
        "and with them the password",
        fix="kubectl get ingressclass, and set ingress_class",
        see=SEE,
    )
    if params.viz_users_secret:
        yield _middlewares(context)
        yield _users(context)
    else:
        yield judge(
            "viz-users",
            "the dashboard asks for a password",
            "warn",
            expected="viz_users_secret: a Secret with htpasswd lines",
            seen="anyone who reaches the ingress sees the dashboard",
            why="the dashboard has no login of its own; it shows every workload, and taps requests",
            fix=_USERS_FIX.format(namespace=params.viz_namespace, name="viz-users")
            + ", then viz_users_secret: viz-users",
            see=SEE,
        )


def dashboard_certificate(context: Context) -> Iterator[Outcome]:
    """The ingress has a certificate for the dashboard's host."""
    params = context.params
    title = "the certificate is for the dashboard's host"
    if not params.viz_host:
        yield judge("viz-certificate", title, "skip", seen=_not_asked(context))
        return
    material = read_secret(context, _TLS, params.viz_namespace)
    if material is None or not material.has("tls.crt"):
        what = f"Secret {params.viz_namespace}/{_TLS}"
        yield absent(context, "viz-certificate", title, what, _NOTEBOOK)
        return
    try:
        own = parse_bundle(material.texts["tls.crt"], source=material.source)[0]
    except CertificateError as error:
        yield judge("viz-certificate", title, False, seen=error.what, why=error.why)
        return
    now = context.cluster.now()
    named = params.viz_host in own.dns_names
    yield judge(
        "viz-certificate",
        title,
        named and own.not_before <= now <= own.not_after,
        expected=f"{params.viz_host}, valid now",
        seen=f"{', '.join(own.dns_names) or 'no names'}, until {own.not_after:%Y-%m-%d}",
        why="the host has changed and cert-manager has not issued anew, or it cannot renew",
        fix=f"kubectl -n {params.viz_namespace} describe certificate {NAME}",
    )


def dashboard_reached(
    context: Context, *, pause: Callable[[float], None] = time.sleep
) -> Iterator[Outcome]:
    """The dashboard answers under its own host, refuses another one, and the ingress leads to it.

    Asked are its Service and Traefik's, through the API server, with the Host header a browser
    would send. Traefik may take some seconds to see a new Ingress: it is tried a few times.
    """
    params = context.params
    title = "the dashboard answers under its host"
    if not params.viz_host:
        yield judge("viz-dashboard", title, "skip", seen=_not_asked(context))
        return
    if context.cluster.find("v1", "Service", "web", params.viz_namespace) is None:
        what = f"Service {params.viz_namespace}/web"
        yield absent(context, "viz-dashboard", title, what, "21-viz-install")
        return
    yield _asked(context, params.viz_host, "viz-dashboard", title, wanted=200)
    other = f"{params.viz_host}.attacker.example"
    refuses = "the dashboard refuses a foreign host"
    yield _asked(context, other, "viz-dashboard-foreign", refuses, wanted=400)
    yield _through_ingress(context, pause)


def _through_ingress(context: Context, pause: Callable[[float], None]) -> Outcome:
    params = context.params
    title = "the ingress leads to the dashboard"
    wanted = 401 if params.viz_users_secret else 200
    service = next(context.cluster.list("v1", "Service", selector=_TRAEFIK), None)
    if service is None:
        seen = "no Service of Traefik with that label: not asked"
        return judge("viz-ingress", title, "skip", expected=_TRAEFIK, seen=seen)
    meta = service["metadata"]
    where = meta["namespace"], meta["name"], "websecure"
    status, why = 0, ""
    for attempt in range(_ATTEMPTS if params.mode == "apply" else 1):
        if attempt:
            pause(2)
        try:
            status = context.cluster.page(*where, tls=True, host=params.viz_host).status
        except RunbookError as error:
            status, why = 0, f"{error.what}: {error.why}"
        if status == wanted:
            break
    open_to_all = wanted == 401 and 200 <= status < 300
    return judge(
        "viz-ingress",
        title,
        "pass" if status == wanted else "fail" if open_to_all or status in (404, 500) else "warn",
        expected=f"{wanted} to https://{params.viz_host}/"
        + (" without a password" if wanted == 401 else ""),
        seen=str(status) if status else why,
        why="it lets everybody in: the Middleware is not in effect"
        if open_to_all
        else "Traefik has not taken up the route: its log says why",
        fix=f"kubectl -n {meta['namespace']} logs deploy/{meta['name']} | grep {NAME}",
        see=SEE,
    )


def _asked(context: Context, host: str, id_: str, title: str, *, wanted: int) -> Outcome:
    namespace = context.params.viz_namespace
    try:
        status = context.cluster.page(namespace, "web", 8084, "/", host=host).status
    except RunbookError as error:
        return judge(
            id_, title, "warn", seen=error.what, why=error.why or "it could not be asked",
            fix=error.fix or f"kubectl -n {namespace} get pods -l component=web",
        )  # fmt: skip
    foreign = wanted >= 400
    good = (status >= 400) == foreign
    return judge(
        id_,
        title,
        "pass" if good else "warn" if foreign else "fail",
        expected=f"{wanted} to Host: {host}",
        seen=str(status),
        why="viz_host_regexp lets foreign hosts in: DNS rebinding is possible"
        if foreign
        else "its enforcedHostRegexp does not have this host",
        fix="leave viz_host_regexp empty and run notebook 21-viz-install",
        see="https://linkerd.io/dns-rebinding",
    )


def _certificate(context: Context, meta: Object) -> Object:
    params = context.params
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": meta,
        "spec": {
            "secretName": _TLS,
            "dnsNames": [params.viz_host],
            "issuerRef": issuer_ref(params.viz_issuer or params.cluster_issuer),
            "privateKey": private_key("Always"),
        },
    }


def _ingress(context: Context, meta: Object) -> Object:
    params = context.params
    backend = {"service": {"name": "web", "port": {"number": 8084}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": meta,
        "spec": {
            "ingressClassName": params.ingress_class,
            "tls": [{"hosts": [params.viz_host], "secretName": _TLS}],
            "rules": [
                {
                    "host": params.viz_host,
                    "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
                }
            ],
        },
    }


def _middlewares(context: Context) -> Outcome:
    version = middleware_version(context)
    return judge(
        "traefik-middlewares",
        "Traefik's Middleware is served",
        bool(version),
        expected=" or ".join(GROUPS),
        seen=version or "neither",
        why="without its CRDs Traefik knows no Middleware, so it cannot ask for a password",
        fix="install Traefik's CRDs (K3s: the HelmChart traefik-crd), or leave viz_users_secret "
        "empty",
        see="https://doc.traefik.io/traefik/reference/install-configuration/providers/kubernetes/kubernetes-crd/",
    )


def _users(context: Context) -> Outcome:
    """Look whether the Secret has users, without keeping what it says."""
    params = context.params
    name = params.viz_users_secret
    title = f"Secret {name} has users"
    material = read_secret(context, name, params.viz_namespace)
    lines = material.texts.get(_USERS, "").splitlines() if material else []
    context.redactor.add(*(line for line in lines if line.strip()))
    broken = [line for line in lines if line.strip() and ":" not in line]
    users = sum(":" in line for line in lines)
    fix = _USERS_FIX.format(namespace=params.viz_namespace, name=name)
    return judge(
        "viz-users",
        title,
        users > 0 and not broken,
        expected=f"key {_USERS}: a line NAME:HASH for each",
        seen="not found"
        if material is None
        else f"{users} users, {len(broken)} lines that are no NAME:HASH"
        if broken
        else f"{users} users",
        why="Traefik refuses a Middleware whose Secret it cannot use, and with it the whole route",
        fix=fix,
    )


def _not_asked(context: Context) -> str:
    namespace = context.params.viz_namespace
    return (
        "viz_host is empty, so the dashboard is not exposed: "
        f"kubectl -n {namespace} port-forward svc/web 8084, then http://localhost:8084"
    )
