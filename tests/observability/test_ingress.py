"""The dashboard at the ingress: what is made, and what is found wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from fake_context import FakeCluster, bad, context, obj, secret, verdicts
from make_certs import NOW, YEAR, issue

from runbook import observability
from runbook.errors import ApiError
from runbook.observability.ingress import GROUPS, dashboard_ingress, middleware_version

HOST = "linkerd.example.com"
FOREIGN = f"{HOST}.attacker.example"
CLASS = obj(
    "networking.k8s.io/v1",
    "IngressClass",
    "traefik",
    spec={"controller": "traefik.io/ingress-controller"},
)
TRAEFIK = obj("v1", "Service", "traefik", "kube-system", {"app.kubernetes.io/name": "traefik"})
WEB = obj("v1", "Service", "web", "linkerd-viz")
USERS = "anna:$2y$05$abcdefghijklmnopqrstuv\n\nbert:{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=\n"


def test_without_a_host_nothing_is_made() -> None:
    assert dashboard_ingress(context()) == []
    for check in (
        observability.ingress_controller,
        observability.dashboard_certificate,
        observability.dashboard_reached,
    ):
        assert set(verdicts(check, context()).values()) == {"skip"}


def test_certificate_and_ingress() -> None:
    certificate, ingress = dashboard_ingress(context(viz_host=HOST))
    assert certificate["spec"]["dnsNames"] == [HOST]
    assert certificate["spec"]["issuerRef"]["name"] == "ca-issuer"
    assert ingress["spec"]["tls"] == [
        {"hosts": [HOST], "secretName": certificate["spec"]["secretName"]}
    ]
    annotations = ingress["metadata"]["annotations"]
    assert annotations["traefik.ingress.kubernetes.io/router.entrypoints"] == "websecure"
    assert not any("middlewares" in key for key in annotations)


def test_a_password_is_asked_for_by_reference() -> None:
    chosen = context(viz_host=HOST, viz_users_secret="users", viz_issuer="letsencrypt")
    certificate, middleware, ingress = dashboard_ingress(chosen)
    assert certificate["spec"]["issuerRef"]["name"] == "letsencrypt"
    assert middleware["apiVersion"] == GROUPS[0]
    assert middleware["spec"] == {"basicAuth": {"secret": "users", "removeHeader": True}}
    assert (
        ingress["metadata"]["annotations"]["traefik.ingress.kubernetes.io/router.middlewares"]
        == "linkerd-viz-linkerd-viz@kubernetescrd"
    )


@pytest.mark.parametrize(
    ("absent", "version"),
    [
        (set(), GROUPS[0]),
        ({(GROUPS[0], "Middleware")}, GROUPS[1]),
        ({"Middleware"}, ""),
    ],
)
def test_the_group_is_the_one_that_is_served(absent: set[Any], version: str) -> None:
    cluster = FakeCluster()
    cluster.absent_kinds = absent
    chosen = context(cluster, viz_host=HOST, viz_users_secret="users")
    assert middleware_version(chosen) == version
    made = dashboard_ingress(chosen)[1]
    assert made["apiVersion"] == (version or GROUPS[0])


def ready(**params: Any) -> Any:
    cluster = FakeCluster([CLASS, TRAEFIK, WEB, secret("users", "linkerd-viz", users=USERS)])
    return context(cluster, viz_host=HOST, **params)


def test_an_ingress_without_a_password_is_warned_of() -> None:
    (outcome,) = [o for o in observability.ingress_controller(ready()) if o.verdict != "pass"]
    assert (outcome.id, outcome.verdict) == ("viz-users", "warn")
    assert "htpasswd" in outcome.fix


def test_with_users_all_is_well_and_nothing_of_them_is_told() -> None:
    chosen = ready(viz_users_secret="users")
    outcomes = list(observability.ingress_controller(chosen))
    assert {o.verdict for o in outcomes} == {"pass"}
    assert "anna" not in str(outcomes)
    assert "anna" not in chosen.redactor.text("anna:$2y$05$abcdefghijklmnopqrstuv")


@pytest.mark.parametrize(
    ("users", "seen"),
    [
        (None, "not found"),
        ("", "0 users"),
        ("anna\n", "0 users, 1 lines that are no NAME:HASH"),
    ],
)
def test_broken_users(users: str | None, seen: str) -> None:
    chosen = ready(viz_users_secret="users")
    chosen.cluster.remove("Secret", "users")
    if users is not None:
        chosen.cluster.add(secret("users", "linkerd-viz", users=users))
    (outcome,) = [o for o in observability.ingress_controller(chosen) if o.verdict == "fail"]
    assert (outcome.id, outcome.seen) == ("viz-users", seen)


def test_crds_of_traefik_absent() -> None:
    chosen = ready(viz_users_secret="users")
    chosen.cluster.absent_kinds = {"Middleware"}
    assert bad(observability.ingress_controller, chosen) == {"traefik-middlewares": "fail"}


def test_another_controller_or_none() -> None:
    chosen = ready(viz_users_secret="users")
    chosen.cluster.edit("IngressClass", "traefik")["spec"]["controller"] = "k8s.io/ingress-nginx"
    assert bad(observability.ingress_controller, chosen) == {"ingress-class": "warn"}
    chosen.cluster.remove("IngressClass", "traefik")
    assert bad(observability.ingress_controller, chosen) == {"ingress-class": "fail"}


def test_the_certificate() -> None:
    chosen = ready()
    assert verdicts(observability.dashboard_certificate, chosen) == {"viz-certificate": "fail"}
    good = issue(HOST, ca=False, dns=(HOST,), lasts=YEAR)
    other = issue("x", ca=False, dns=("other.example.com",), lasts=YEAR)
    late = issue(HOST, ca=False, dns=(HOST,), start=NOW - YEAR, lasts=timedelta(days=1))
    for one, verdict in ((good, "pass"), (other, "fail"), (late, "fail")):
        chosen.cluster.add(secret("linkerd-viz-tls", "linkerd-viz", tls_crt=one.pem))
        found = verdicts(observability.dashboard_certificate, chosen)
        assert found == {"viz-certificate": verdict}


def reached(chosen: Any) -> dict[str, str]:
    found = observability.dashboard_reached(chosen, pause=lambda _: None)
    return {o.id: o.verdict for o in found}


WELL = {"viz-dashboard": "pass", "viz-dashboard-foreign": "pass", "viz-ingress": "pass"}
ASKED = ("web", HOST), ("web", FOREIGN), ("traefik", HOST)


@pytest.mark.parametrize(
    ("users", "pages", "differs"),
    [
        ("", (200, 400, 200), {}),
        ("users", (200, 400, 401), {}),
        ("users", (200, 400, 200), {"viz-ingress": "fail"}),  # lets everybody in
        ("users", (200, 400, 404), {"viz-ingress": "fail"}),  # the Middleware is broken
        ("", (200, 400, 404), {"viz-ingress": "fail"}),
        ("", (200, 200, 200), {"viz-dashboard-foreign": "warn"}),
        ("", (400, 400, 400), {"viz-dashboard": "fail", "viz-ingress": "warn"}),
    ],
)
def test_what_answers(users: str, pages: tuple[int, ...], differs: dict[str, str]) -> None:
    chosen = ready(viz_users_secret=users)
    chosen.cluster.pages = dict(zip(ASKED, pages, strict=True))
    assert reached(chosen) == WELL | differs


def test_what_cannot_be_asked_is_no_failure() -> None:
    chosen = ready()
    gone = ApiError("cannot get services/proxy", code=503, why="no endpoints available")
    chosen.cluster.pages = dict.fromkeys(ASKED, gone)
    assert set(reached(chosen).values()) == {"warn"}
    chosen.cluster.remove("Service", "traefik")
    assert reached(chosen)["viz-ingress"] == "skip"
    chosen.cluster.remove("Service", "web")
    assert reached(chosen) == {"viz-dashboard": "fail"}


def test_a_new_route_is_waited_for() -> None:
    chosen = ready()
    chosen.cluster.pages = {ASKED[0]: 200, ASKED[1]: 400, ASKED[2]: 404}
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        chosen.cluster.pages[ASKED[2]] = 200

    found = {o.id: o.verdict for o in observability.dashboard_reached(chosen, pause=pause)}
    assert found == WELL
    assert len(pauses) == 1
