"""Checks that the user may do what the notebooks do, asked with SelfSubjectAccessReviews."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runbook.checks import Context, Outcome
from runbook.linkerd.outcomes import anchor_link, few, judge

__all__ = ["permissions"]


@dataclass(frozen=True)
class _Need:
    """Verbs on a resource; an empty ``where`` means cluster-wide."""

    resource: str
    group: str = ""
    where: str = ""
    verbs: tuple[str, ...] = ("get", "create", "patch")


@dataclass(frozen=True)
class _Group:
    """Needs that belong to one row of the table."""

    id: str
    title: str
    needs: tuple[_Need, ...]
    linkerd: str = ""


_RBAC = "rbac.authorization.k8s.io"
_HOOKS = "admissionregistration.k8s.io"
_READ = ("get", "list")
_WATCH = ("get", "list", "watch")


def permissions(context: Context) -> Iterator[Outcome]:
    """The user may do what the notebooks do."""
    params = context.params
    everything = context.cluster.can("*", "*", group="*")
    for group in _groups(params.linkerd_namespace, params.cert_manager_namespace):
        wanted = [(need, verb) for need in group.needs for verb in need.verbs]
        missing = [] if everything else [w for w in wanted if not _may(context, *w)]
        first = missing[0] if missing else None
        yield judge(
            f"may-{group.id}",
            f"the user may {group.title}",
            not missing,
            expected=few((f"{'/'.join(need.verbs)} {_full(need)}" for need in group.needs), 3),
            seen=f"not allowed: {few(f'{verb} {_where(need)}' for need, verb in missing)}"
            if missing
            else "allowed",
            why="no Role or ClusterRole bound to this user grants it",
            fix=f"ask for it, then check with: {_command(*first)}" if first else "",
            see=anchor_link("pre-k8s"),
            linkerd=group.linkerd,
        )


def _groups(linkerd: str, cert_manager: str) -> tuple[_Group, ...]:
    return (
        _Group(
            "look",
            "look at nodes, leases, pods and events",
            (
                _Need("nodes", verbs=_READ),
                _Need("leases", "coordination.k8s.io", "kube-node-lease", _READ),
                _Need("pods", verbs=_WATCH),
                _Need("services", verbs=_READ),
                _Need("configmaps", verbs=_READ),
            ),
        ),
        _Group("namespace", "create the namespace", (_Need("namespaces"),)),
        _Group(
            "certificates",
            "create the root CA, its issuers and the issuer certificate",
            (
                _Need(
                    "certificates", "cert-manager.io", linkerd, ("get", "create", "patch", "watch")
                ),
                _Need("certificates", "cert-manager.io", cert_manager),
                _Need("clusterissuers", "cert-manager.io"),
                _Need("secrets", "", cert_manager, ("get",)),
            ),
        ),
        _Group(
            "cluster-wide",
            "create CRDs, cluster roles and webhooks",
            (
                _Need("customresourcedefinitions", "apiextensions.k8s.io"),
                _Need("clusterroles", _RBAC),
                _Need("clusterrolebindings", _RBAC),
                _Need("mutatingwebhookconfigurations", _HOOKS),
                _Need("validatingwebhookconfigurations", _HOOKS),
            ),
            linkerd="can create non-namespaced resources",
        ),
        *(_kind(linkerd, kind, *rest) for kind, *rest in _KINDS),
        _Group(
            "read-secrets",
            "read Secrets",
            (_Need("secrets", "", linkerd, _READ),),
            linkerd="can read Secrets",
        ),
        _Group(
            "roles",
            "create Roles and RoleBindings",
            (_Need("roles", _RBAC, linkerd), _Need("rolebindings", _RBAC, linkerd)),
        ),
        _Group(
            "probe",
            "try the injector with a dry run",
            (_Need("pods", "", "default", ("create",)),),
        ),
    )


_KINDS = (
    ("ServiceAccounts", "serviceaccounts", ""),
    ("Services", "services", ""),
    ("Deployments", "deployments", "apps"),
    ("CronJobs", "cronjobs", "batch"),
    ("ConfigMaps", "configmaps", ""),
    ("Secrets", "secrets", ""),  # Helm keeps its releases in Secrets too
)


def _kind(namespace: str, kind: str, resource: str, group: str) -> _Group:
    return _Group(
        f"create-{resource}",
        f"create {kind}",
        (_Need(resource, group, namespace),),
        linkerd=f"can create {kind}",
    )


def _may(context: Context, need: _Need, verb: str) -> bool:
    return context.cluster.can(verb, need.resource, group=need.group, namespace=need.where)


def _full(need: _Need) -> str:
    return f"{need.resource}.{need.group}" if need.group else need.resource


def _where(need: _Need) -> str:
    return f"{_full(need)} in {need.where}" if need.where else f"{_full(need)} (cluster-wide)"


def _command(need: _Need, verb: str) -> str:
    place = f"-n {need.where}" if need.where else "-A"
    return f"kubectl auth can-i {verb} {_full(need)} {place}"
