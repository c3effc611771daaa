"""Checks that everybody trusts the same anchors, and that the webhooks are trusted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from runbook import manifests
from runbook.certs import Certificate, parse_bundle, same
from runbook.checks import Context, Outcome, Verdict
from runbook.errors import ApiError, CertificateError
from runbook.linkerd.identity import anchor_outcomes, read_trust_anchor
from runbook.linkerd.installed import helm_values, installed, not_yet, read_config
from runbook.linkerd.material import from_config_map
from runbook.linkerd.outcomes import Object, anchor_link, few, judge
from runbook.linkerd.pods import PROXY
from runbook.linkerd.serving import Served, served, webhook_bundles
from runbook.releases import WEBHOOKS, Webhook

__all__ = ["injector", "trust_anchor", "trust_roots", "webhooks"]

NOTEBOOK = "15-control-plane"
_ROOTS_KEY = "ca-bundle.crt"
_PROBE = "linkerd-runbook-probe"


@dataclass(frozen=True)
class _Source:
    """One place that holds the trust anchors."""

    id: str
    title: str
    certificates: tuple[Certificate, ...]
    error: str = ""


def trust_roots(context: Context) -> Iterator[Outcome]:
    """The anchor Helm was given is the one in the cluster."""
    if told := not_yet(context, "trust-roots", "everybody trusts the anchor of ca.crt"):
        yield told
        return
    yield from _agreement(context)


def trust_anchor(context: Context) -> Iterator[Outcome]:
    """The trust anchor can be Linkerd's, and what is installed already trusts it."""
    yield from anchor_outcomes(context)
    if not installed(context):
        return
    for outcome in _agreement(context):
        # Before notebook 15 a difference is no failure: that notebook gives Helm the new anchor.
        mild: Verdict = "warn" if outcome.verdict == "fail" else outcome.verdict
        yield replace(outcome, id=f"installed-{outcome.id}", verdict=mild)


def _agreement(context: Context) -> Iterator[Outcome]:
    sources = list(_sources(context))
    secret = sources[0]
    for other in sources[1:]:
        title = f"{other.title} holds the trust anchor of ca.crt"
        agree = (
            not other.error and not secret.error and same(other.certificates, secret.certificates)
        )
        extra = not agree and _superset(other.certificates, secret.certificates)
        yield judge(
            f"trust-roots-{other.id}",
            title,
            "pass" if agree else "warn" if extra else "fail",
            expected=secret.error or _prints(secret.certificates),
            seen=other.error or _prints(other.certificates),
            why="the bundle holds further anchors, as it does during a rotation"
            if extra
            else "the anchor was changed after the control plane was installed: proxies trust one "
            "root while identity issues under another",
            fix="finish the rotation, then keep one anchor"
            if extra
            else f"run notebook {NOTEBOOK}, then restart what is meshed",
            see=anchor_link("l5d-identity-issuer-cert-issued-by-trust-anchor"),
        )


def webhooks(context: Context) -> Iterator[Outcome]:
    """Each webhook presents a certificate that the API server trusts."""
    if told := not_yet(context, "webhooks", "each webhook presents a certificate that is trusted"):
        yield told
        return
    for webhook in WEBHOOKS:
        yield from _webhook(context, webhook)


def injector(context: Context, *, pause: Callable[[float], None] = time.sleep) -> Iterator[Outcome]:
    """The injector really adds the proxy to a pod.

    A pod that asks for injection is created with a server-side dry run, so nothing is stored. A
    webhook that has just been installed may take a moment to be known to the API server: it is
    tried a few times.
    """
    title = "the injector adds the proxy to a pod that asks for it"
    if told := not_yet(context, "injector", title):
        yield told
        return
    pod = manifests.probe_pod(_PROBE, "default")
    got: Object = {}
    for attempt in range(5):
        if attempt:
            pause(2)
        try:
            got = context.cluster.create(pod, dry_run=True)
        except ApiError as error:
            yield judge(
                "injector",
                title,
                False,
                expected=f"container {PROXY}",
                seen=error.what,
                why=error.why or "the API server or a webhook refused the pod",
                fix=error.fix or _INJECTOR_FIX,
            )
            return
        if PROXY in _container_names(got):
            break
    names = _container_names(got)
    yield judge(
        "injector",
        title,
        PROXY in names,
        expected=f"container {PROXY} in a dry run in namespace default",
        seen=", ".join(names),
        why="the webhook was not called or did not answer, and failurePolicy Ignore lets the pod "
        "through without a proxy",
        fix=_INJECTOR_FIX,
        see="https://linkerd.io/2-edge/features/proxy-injection/",
    )


_INJECTOR_FIX = "kubectl -n linkerd logs deploy/linkerd-proxy-injector -c proxy-injector"


def _sources(context: Context) -> Iterator[_Source]:
    """Give every place that holds the anchors: first ca.crt, which the issuer came with."""
    namespace, line = context.params.linkerd_namespace, context.line
    try:
        anchor = read_trust_anchor(context)
        yield _Source("secret", anchor.source, anchor.certificates, anchor.pending)
    except CertificateError as error:
        yield _Source("secret", "the issuer's Secret", (), error.what)
    roots = context.cluster.find("v1", "ConfigMap", line.trust_roots, namespace)
    title = f"ConfigMap {line.trust_roots}"
    if roots is None:
        yield _Source("configmap", title, (), "not found")
    else:
        yield _read("configmap", title, from_config_map(roots).texts.get(_ROOTS_KEY, ""))
    config, given = read_config(context), helm_values(context)
    key = "identityTrustAnchorsPEM"
    if not _external(config) and not _external(given):
        text = str((config or {}).get(key, ""))
        yield _read("config", f"ConfigMap linkerd-config ({key})", text)
        if given is not None:
            yield _read("helm", f"the Helm release ({key})", str(given.get(key, "")))


def _external(values: dict[str, object] | None) -> bool:
    identity = (values or {}).get("identity")
    return isinstance(identity, dict) and bool(identity.get("externalCA"))


def _read(id_: str, title: str, text: str) -> _Source:
    try:
        return _Source(id_, title, parse_bundle(text, source=title))
    except CertificateError as error:
        return _Source(id_, title, (), error.what)


def _superset(more: Sequence[Certificate], less: Sequence[Certificate]) -> bool:
    return bool(less) and {c.fingerprint for c in less} < {c.fingerprint for c in more}


def _prints(certificates: Sequence[Certificate]) -> str:
    return few(f"{one.common_name} SHA-256 {one.short}..." for one in certificates)


def _webhook(context: Context, webhook: Webhook) -> Iterator[Outcome]:
    config = context.cluster.find(
        "admissionregistration.k8s.io/v1", webhook.kind, webhook.configuration
    )
    server = Served(
        id=f"webhook-{webhook.title}",
        subject=webhook.title,
        title=f"{webhook.title} webhook has valid cert",
        registration=f"{webhook.kind} {webhook.configuration}",
        secret=webhook.secret,
        namespace=context.params.linkerd_namespace,
        service=webhook.service,
        notebook=NOTEBOOK,
    )
    yield from served(context, server, webhook_bundles(config))


def _container_names(pod: Object) -> list[str]:
    spec = pod.get("spec") or {}
    every = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    return [str(one["name"]) for one in every]
