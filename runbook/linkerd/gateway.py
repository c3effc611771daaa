"""Checks and choices about the Gateway API's CustomResourceDefinitions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runbook.checks import Context, Outcome, Verdict
from runbook.linkerd.outcomes import Object, anchor_link, judge

__all__ = ["gateway_api", "wants_gateway_api"]

ROUTES = ("httproutes.gateway.networking.k8s.io", "grpcroutes.gateway.networking.k8s.io")
_OWNED = "linkerd.io/created-by"  # annotation on the copy that linkerd-crds installs
_BUNDLE = "gateway.networking.k8s.io/bundle-version"
SEE = "https://linkerd.io/2-edge/features/gateway-api/"
TITLE = "the Gateway API CRDs fit the release line"
LINKERD = "Gateway API CRDs are installed"


def wants_gateway_api(context: Context) -> bool:
    """Tell whether linkerd-crds should install its own copy of the Gateway API CRDs.

    When asked to; and on lines whose policy controller needs HTTPRoute to become ready (2.14),
    unless somebody else has installed it.
    """
    if context.params.install_gateway_api:
        return True
    if context.line.gateway_api != "bundled":
        return False
    found = _routes(context)[0]
    return found is None or _linkerd_owns(found)


def gateway_api(context: Context) -> Iterator[Outcome]:
    """The Gateway API CRDs fit the release line."""
    line = context.line
    if line.gateway_api == "unused":
        yield judge("gateway-api", TITLE, "skip", seen=f"{line.name} does not use it")
        return
    present = [crd for crd in _routes(context) if crd is not None]
    if not present:
        yield _missing(context)
        return
    foreign = [crd for crd in present if not _linkerd_owns(crd)]
    if foreign and context.params.install_gateway_api:
        owner = _owner(foreign[0])
        yield judge(
            "gateway-api",
            TITLE,
            False,
            expected="no Gateway API CRDs, since install_gateway_api is true",
            seen=f"installed by {owner}",
            why="Helm refuses to take over objects that it did not create",
            fix="set install_gateway_api: false and use the ones that are there",
            see=SEE,
            linkerd=LINKERD,
        )
        return
    yield _versions(context, present)


def _missing(context: Context) -> Outcome:
    line = context.line
    if wants_gateway_api(context):
        return judge("gateway-api", TITLE, True, seen="none yet: notebook 14 installs them")
    return judge(
        "gateway-api",
        TITLE,
        "warn",
        expected=f"Gateway API {line.gateway_range[0]} to {line.gateway_range[1]}",
        seen="none installed",
        why=f"Linkerd {line.version} runs without them, but Gateway API routes do nothing; newer "
        "versions of linkerd check call this an error. K3s brings them with its Traefik from 1.34",
        fix=f"apply standard-install.yaml of Gateway API v{line.gateway_range[0]}, "
        "or set install_gateway_api: true",
        see=SEE,
        linkerd=LINKERD,
    )


def _versions(context: Context, present: list[Object]) -> Outcome:
    line = context.line
    served = "v1beta1" if line.gateway_api == "bundled" else "v1"
    lacking = [
        crd["metadata"]["name"]
        for crd in present
        if not any(v["name"] == served and v.get("served") for v in crd["spec"]["versions"])
        and not (served == "v1beta1" and crd["metadata"]["name"].startswith("grpc"))
    ]
    bundle = _annotation(present[0], _BUNDLE) or "unknown"
    verdict, why = _fit(bundle, line.gateway_range)
    owner = "Linkerd" if _linkerd_owns(present[0]) else _owner(present[0])
    return judge(
        "gateway-api",
        TITLE,
        "fail" if lacking else verdict,
        expected=f"serving {served}"
        + (f", bundle {' to '.join(line.gateway_range)}" if line.gateway_range[0] else ""),
        seen=f"bundle {bundle}, installed by {owner}"
        + (f"; {', '.join(lacking)} does not serve {served}" if lacking else ""),
        why=f"Linkerd {line.version} watches {served}" if lacking else why,
        fix="upgrade the Gateway API CRDs"
        if lacking
        else "go on: Linkerd ignores resources that use fields it does not know",
        see=SEE if not lacking else anchor_link("gateway-api"),
        linkerd=LINKERD,
    )


def _fit(bundle: str, allowed: tuple[str, str]) -> tuple[Verdict, str]:
    """Compare a bundle version with the range a line documents."""
    version = _numbers(bundle)
    if not allowed[0] or not version:
        return "pass", ""
    if version < _numbers(allowed[0]):
        return "warn", f"older than the {allowed[0]} that Linkerd documents"
    if version > _numbers(allowed[1]):
        return "warn", f"newer than the {allowed[1]} that Linkerd documents"
    return "pass", ""


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    return tuple(map(int, found.groups())) if found else ()


def _routes(context: Context) -> list[Object | None]:
    return [
        context.cluster.find("apiextensions.k8s.io/v1", "CustomResourceDefinition", name)
        for name in ROUTES
    ]


def _annotation(crd: Object, name: str) -> str:
    return str((crd["metadata"].get("annotations") or {}).get(name, ""))


def _linkerd_owns(crd: Object) -> bool:
    return bool(_annotation(crd, _OWNED))


def _owner(crd: Object) -> str:
    release = _annotation(crd, "meta.helm.sh/release-name")
    return f"Helm release {release}" if release else "somebody else"
