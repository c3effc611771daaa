"""Letting Linkerd choose the pod for each request that comes in by Traefik.

Implements "Meshing Traefik", step 2, of the seed: a Middleware that sets ``l5d-dst-override``, and
an annotation of the Ingress. Errata: the header is spelled so; it holds the Service's full name
*and* its port; there is one Middleware for each Service and port, not for each host; the API group
is ``traefik.io`` since 2.10.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from runbook.checks import Context, Outcome
from runbook.errors import RunbookError
from runbook.fields import words
from runbook.linkerd.installed import read_config
from runbook.linkerd.outcomes import Object, few, judge
from runbook.linkerd.pods import has_proxy
from runbook.observability.ingress import GROUPS, MIDDLEWARES, middleware_version
from runbook.patches import Patch, edit
from runbook.selectors import selects

__all__ = ["Route", "find_routes", "routes_possible", "routes_serve", "routing_objects"]

_NETWORKING = "networking.k8s.io/v1"
_CLASS, _DEFAULT = (
    "kubernetes.io/ingress.class",
    "ingressclass.kubernetes.io/is-default-class",
)
_ENTRYPOINTS = "traefik.ingress.kubernetes.io/router.entrypoints"
HEADER = "l5d-dst-override"
SEE = "https://linkerd.io/2-edge/tasks/using-ingress/"


@dataclass(frozen=True)
class Route:
    """An Ingress of Traefik's and what is behind it.

    Attributes:
        ingress: The Ingress.
        backends: Services and port numbers behind it.
        problem: Why it cannot be routed through the mesh, empty if it can.
    """

    ingress: Object = field(repr=False)
    backends: tuple[tuple[str, int], ...] = ()
    problem: str = ""

    @property
    def namespace(self) -> str:
        """Give its namespace."""
        return str(self.ingress["metadata"]["namespace"])

    @property
    def title(self) -> str:
        """As in messages: ``linkerd-viz/linkerd-viz``."""
        return f"{self.namespace}/{self.ingress['metadata']['name']}"

    @property
    def middleware(self) -> str:
        """Give the name of its Middleware."""
        service, port = self.backends[0]
        return f"l5d-{service}-{port}"

    @property
    def reference(self) -> str:
        """Give the name by which Traefik finds its Middleware."""
        return f"{self.namespace}-{self.middleware}@kubernetescrd"

    @property
    def chain(self) -> list[str]:
        """Give the Middlewares it has."""
        notes = self.ingress["metadata"].get("annotations") or {}
        return [one.strip() for one in notes.get(MIDDLEWARES, "").split(",") if one.strip()]

    @property
    def routed(self) -> bool:
        """Whether it has its Middleware."""
        return not self.problem and self.reference in self.chain


def find_routes(context: Context) -> list[Route]:
    """Find the chosen Ingresses that are Traefik's."""
    classes = list(context.cluster.list(_NETWORKING, "IngressClass"))
    ours = {one["metadata"]["name"]: one for one in classes if _is_traefik(one)}
    default = any(_is_default(one) for one in ours.values())
    named = words(context.params.route_ingresses)
    return [
        _route(context, one)
        for one in context.cluster.list(_NETWORKING, "Ingress", context.params.route_namespace)
        if (not named or one["metadata"]["name"] in named) and _takes(one, ours, default=default)
    ]


def routing_objects(context: Context) -> list[Object | Patch]:
    """Give a Middleware for each Service and port, then the annotation of each Ingress."""
    routes = [one for one in find_routes(context) if not one.problem]
    version = middleware_version(context) or GROUPS[0]
    domain = str((read_config(context) or {}).get("clusterDomain") or "cluster.local")
    made = {one.reference: _middleware(one, version, domain) for one in routes}
    return [*made.values(), *(_annotated(one) for one in routes)]


def routes_possible(context: Context) -> Iterator[Outcome]:
    """The Ingresses can be routed through the mesh."""
    version = middleware_version(context)
    yield judge(
        "middlewares",
        "Traefik's Middleware is served",
        bool(version),
        expected=" or ".join(GROUPS),
        seen=version or "neither",
        why="without its CRDs Traefik knows no Middleware",
        fix="install Traefik's CRDs (K3s: the HelmChart traefik-crd)",
        see=SEE,
    )
    yield _ingress_mode(context)
    routes = find_routes(context)
    refused = [f"{one.title}: {one.problem}" for one in routes if one.problem]
    yield judge(
        "routes",
        "each Ingress leads to one Service",
        "warn" if refused or not routes else "pass",
        expected="Ingresses of Traefik, one Service and port behind each",
        seen=few(refused) or few(one.title for one in routes) or "no Ingress of Traefik",
        why="an Ingress has one list of Middlewares for all of its paths, and so one destination",
        fix="an Ingress for each Service; or, without ingress mode, let Traefik use the Service's "
        'address: annotation traefik.ingress.kubernetes.io/service.nativelb: "true"',
        see=SEE,
    )
    yield _backends(context, [one for one in routes if not one.problem])
    yield _routes_of_its_own(context)


def routes_serve(context: Context) -> Iterator[Outcome]:
    """Each Ingress is routed through the mesh, and answers."""
    routes = find_routes(context)
    open_ = [one.title for one in routes if not one.routed]
    yield judge(
        "routed",
        "each Ingress sets the destination itself",
        "warn" if open_ else "pass",
        expected=f"a Middleware with {HEADER}",
        seen=few(open_) or f"{len(routes)} of {len(routes)}",
        why=f"a client may send {HEADER} itself, and so choose any Service of the cluster",
        fix="run this notebook for them, or give them a Middleware that sets the header to nothing",
        see=SEE,
    )
    for one in routes:
        if one.routed:
            yield from _answers(context, one)


def _answers(context: Context, route: Route) -> Iterator[Outcome]:
    service = _traefik_service(context)
    rules = route.ingress["spec"].get("rules") or []
    host = next((str(rule["host"]) for rule in rules if rule.get("host")), "")
    if service is None or not host or host.startswith("*"):
        return
    tls = _is_tls(route.ingress)
    path = next((str(p.get("path", "/")) for r in rules for p in r["http"]["paths"]), "/")
    try:
        where = (service["metadata"]["namespace"], service["metadata"]["name"])
        port = "websecure" if tls else "web"
        status, told = context.cluster.page(*where, port, path, tls=tls, host=host).status, ""
    except RunbookError as error:
        status, told = 0, f"{error.what}: {error.why}"
    bad = status in (0, 404, 502, 503, 504)
    yield judge(
        f"route-{route.namespace}-{route.ingress['metadata']['name']}",
        f"Ingress {route.title} answers",
        "warn" if bad else "pass",
        expected="an answer of its Service",
        seen=told or str(status),
        why="Traefik has not taken up the Middleware, or the proxy finds no such Service and port",
        fix=f"kubectl -n {route.namespace} describe ingress; the log of Traefik, "
        "and that of its linkerd-proxy",
        see=SEE,
    )


def _route(context: Context, ingress: Object) -> Route:
    found: dict[tuple[str, int], None] = {}
    namespace = ingress["metadata"]["namespace"]
    for backend in _wanted(ingress):
        if "service" not in backend:
            return Route(ingress, problem="its backend is no Service")
        name, port = backend["service"]["name"], backend["service"].get("port") or {}
        live = context.cluster.find("v1", "Service", name, namespace)
        if live is None:
            return Route(ingress, problem=f"there is no Service {name}")
        if live["spec"].get("type") == "ExternalName":
            return Route(ingress, problem=f"Service {name} is an ExternalName")
        number = _number(live, port)
        if number is None:
            return Route(ingress, problem=f"Service {name} has no port {port.get('name')}")
        found[(str(name), number)] = None
    backends = tuple(found)
    if len(backends) != 1:
        shown = few(f"{name}:{port}" for name, port in backends) or "none"
        return Route(ingress, backends, f"it leads to {len(backends)} Services: {shown}")
    return Route(ingress, backends)


def _wanted(ingress: Object) -> Iterator[Object]:
    spec = ingress.get("spec") or {}
    if spec.get("defaultBackend"):
        yield spec["defaultBackend"]
    for rule in spec.get("rules") or []:
        for path in (rule.get("http") or {}).get("paths") or []:
            yield path["backend"]


def _number(service: Object, port: Mapping[str, object]) -> int | None:
    """Give the number of a Service's port; the header knows numbers only."""
    if isinstance(port.get("number"), int):
        return int(str(port["number"]))
    ports = service["spec"].get("ports") or []
    return next((int(p["port"]) for p in ports if p.get("name") == port.get("name")), None)


def _middleware(route: Route, version: str, domain: str) -> Object:
    service, port = route.backends[0]
    target = f"{service}.{route.namespace}.svc.{domain}:{port}"
    return {
        "apiVersion": version,
        "kind": "Middleware",
        "metadata": {"name": route.middleware, "namespace": route.namespace},
        "spec": {"headers": {"customRequestHeaders": {HEADER: target}}},
    }


def _annotated(route: Route) -> Patch:
    chain = ",".join(dict.fromkeys([*route.chain, route.reference]))

    def change(obj: Object) -> None:
        notes = dict(obj["metadata"].get("annotations") or {})
        notes[MIDDLEWARES] = chain
        obj["metadata"]["annotations"] = notes

    return edit(route.ingress, change, "its other Middlewares stay" if route.chain else "")


def _takes(ingress: Object, ours: Mapping[str, Object], *, default: bool) -> bool:
    named = (ingress.get("spec") or {}).get("ingressClassName")
    noted = (ingress["metadata"].get("annotations") or {}).get(_CLASS)
    if named or noted:
        return named in ours or noted in ours or noted == "traefik"
    return default


def _is_traefik(one: Object) -> bool:
    return str((one.get("spec") or {}).get("controller", "")).startswith("traefik.io/")


def _is_default(one: Object) -> bool:
    return (one["metadata"].get("annotations") or {}).get(_DEFAULT) == "true"


def _is_tls(ingress: Object) -> bool:
    entrypoints = (ingress["metadata"].get("annotations") or {}).get(_ENTRYPOINTS, "")
    return entrypoints == "websecure" or (not entrypoints and bool(ingress["spec"].get("tls")))


def _traefik_service(context: Context) -> Object | None:
    home = context.params.traefik_namespace
    selector = "app.kubernetes.io/name=traefik"
    return next(context.cluster.list("v1", "Service", home, selector=selector), None)


def _ingress_mode(context: Context) -> Outcome:
    """Say whether Traefik's pods run in ingress mode."""
    home = context.params.traefik_namespace
    selector = "app.kubernetes.io/name=traefik"
    pods = list(context.cluster.list("v1", "Pod", home, selector=selector))
    without = [str(pod["metadata"]["name"]) for pod in pods if not _in_ingress_mode(pod)]
    return judge(
        "ingress-mode",
        "Traefik runs in ingress mode",
        "warn" if without or not pods else "pass",
        expected="linkerd.io/inject: ingress",
        seen=few(without) or (f"{len(pods)} pods" if pods else f"no pod of Traefik in {home}"),
        why="without it nobody reads the header",
        fix="run notebook 50-traefik-ingress",
        see=SEE,
    )


def _in_ingress_mode(pod: Object) -> bool:
    notes = pod["metadata"].get("annotations") or {}
    return has_proxy(pod) and notes.get("linkerd.io/inject") == "ingress"


def _backends(context: Context, routes: Sequence[Route]) -> Outcome:
    """Say which backends are outside the mesh."""
    outside = []
    for route in routes:
        service, _ = route.backends[0]
        live = context.cluster.find("v1", "Service", service, route.namespace) or {"spec": {}}
        selector = {"matchLabels": live["spec"].get("selector") or {}}
        pods = [
            pod
            for pod in context.cluster.list("v1", "Pod", route.namespace)
            if selector["matchLabels"] and selects(selector, pod["metadata"].get("labels") or {})
        ]
        if not any(has_proxy(pod) for pod in pods):
            outside.append(f"{route.namespace}/{service}")
    return judge(
        "backends-meshed",
        "their backends are meshed",
        "warn" if outside else "pass",
        expected="a proxy in each",
        seen=f"outside: {few(dict.fromkeys(outside))}" if outside else "all of them",
        why="Linkerd balances requests to them all the same, but not over mTLS",
        fix="mesh them, with notebook 30 or 31",
    )


def _routes_of_its_own(context: Context) -> Outcome:
    """Tell of IngressRoutes, which are not changed."""
    found = [
        f"{one['metadata']['namespace']}/{one['metadata']['name']}"
        for group in GROUPS
        for one in context.cluster.list(group, "IngressRoute")
    ]
    return judge(
        "ingress-routes",
        "there are no IngressRoutes to look after",
        "warn" if found else "pass",
        expected="none",
        seen=few(found) or "none",
        why="these are Traefik's own objects, and left alone",
        fix=f"add a Middleware with {HEADER} to their routes, or nativeLB: true to their services",
        see=SEE,
    )
