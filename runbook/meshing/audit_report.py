"""What an audit comes to: what needs attention, as rows, as JSON, and as values for a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from runbook.certs import Certificate
from runbook.checks import Context
from runbook.errors import RunbookError
from runbook.linkerd.identity import read_trust_anchor
from runbook.linkerd.material import read_secret
from runbook.linkerd.outcomes import few
from runbook.manifests import ISSUER
from runbook.meshing.asked import KUBE_SYSTEM
from runbook.meshing.audit import WRONG, Mesh, Space, Tally

__all__ = ["Attention", "Audit", "Lifetime", "audit"]

SCHEMA = 1
"""Version of the JSON form."""

_SOON = 24 * 3600.0  # seconds; an issuer that is renewed in time never comes so near to its end
_ANCHOR_SOON = 60 * 24 * 3600.0  # as linkerd check has it


@dataclass(frozen=True)
class Attention:
    """Something that needs attention.

    Attributes:
        where: A namespace, a workload, or the cluster.
        what: What is wrong.
        fix: What to do about it.
    """

    where: str
    what: str
    fix: str


@dataclass(frozen=True)
class Lifetime:
    """A certificate of the mesh.

    Attributes:
        title: Which.
        until: When it ends.
        seconds: How long that is from now.
    """

    title: str
    until: str
    seconds: float


@dataclass(frozen=True)
class Audit:
    """The state of the mesh at one moment.

    Attributes:
        cluster: Name, UID and version of the cluster.
        rehearsal: Whether it is one.
        at: When it was looked at.
        version: Of the control plane, empty if there is none.
        mesh: What was counted.
        lifetimes: The certificates.
        attention: What needs attention.
    """

    cluster: dict[str, str]
    rehearsal: bool
    at: str
    version: str
    mesh: Mesh
    lifetimes: tuple[Lifetime, ...]
    attention: tuple[Attention, ...]

    @property
    def spaces(self) -> list[Space]:
        """Give the namespaces with pods, by name."""
        return [one for _, one in sorted(self.mesh.spaces.items()) if one.pods or one.idle]

    def summary(self) -> str:
        """Give it in one line."""
        spaces = len(self.spaces)
        attention = len(self.attention) or "nothing"
        verb = "needs" if len(self.attention) < 2 else "need"
        return (
            f"{self.mesh.meshed} of {self.mesh.pods} pods meshed in {spaces} namespaces; "
            f"{attention} {verb} attention"
        )

    def data(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {
            "schema": SCHEMA,
            "cluster": self.cluster,
            "rehearsal": self.rehearsal,
            "at": self.at,
            "control_plane": self.version,
            "pods": self.mesh.pods,
            "meshed": self.mesh.meshed,
            "proxies": dict(sorted(self.mesh.versions.items())),
            "certificates": [asdict(one) for one in self.lifetimes],
            "attention": [asdict(one) for one in self.attention],
            "namespaces": [_space(one) for one in self.spaces],
        }


def audit(context: Context, mesh: Mesh) -> Audit:
    """Judge what was counted.

    Args:
        context: The cluster.
        mesh: What was counted of it.
    """
    cluster = context.cluster
    lifetimes, unknown = _lifetimes(context)
    version = mesh.running
    found = [
        *_cluster(mesh, version),
        *(Attention("certificates", told, "runbook run --mode verify --only 12,16")
          for told in unknown),
        *_ending(lifetimes),
        *(one for space in sorted(mesh.spaces) for one in _of_space(mesh.spaces[space])),
    ]  # fmt: skip
    return Audit(
        cluster={"name": cluster.name, "uid": cluster.uid, "version": cluster.version},
        rehearsal=cluster.rehearsal,
        at=cluster.now().isoformat(timespec="seconds"),
        version=version,
        mesh=mesh,
        lifetimes=tuple(lifetimes),
        attention=tuple(found),
    )


def _cluster(mesh: Mesh, version: str) -> Iterator[Attention]:
    for told in mesh.unread:
        yield Attention("cluster", f"not allowed to read {told}", "use a user who may list them")
    if not mesh.injector.installed:
        yield Attention("cluster", "Linkerd's injector is not installed", "run notebooks 10 to 16")
    others = sorted(set(mesh.versions) - {version, "unknown"})
    if version and others:
        counts = few(f"{mesh.versions[one]} of {one}" for one in others)
        yield Attention(
            "cluster",
            f"proxies of other versions than the control plane's {version}: {counts}",
            "restart them; a proxy may be one version behind, and none ahead",
        )


def _of_space(space: Space) -> Iterator[Attention]:
    if space.idle:
        yield Attention(
            f"namespace {space.name}",
            f"linkerd.io/inject: {space.inject} has no effect: the injector is not asked about it",
            KUBE_SYSTEM if space.name == "kube-system" else "compare its labels with the webhook's",
        )
    for _, one in sorted(space.workloads.items()):
        for wrong, count in sorted(one.wrong.items()):
            told = f"{count} of {one.pods} pods: {WRONG[wrong]} ({few(one.examples)})"
            where = f"{space.name}/{one.kind.lower()}/{one.name}"
            yield Attention(where, told, _fix(space, one, wrong))
        for reason in one.reasons:
            if reason.startswith("invalid_"):
                where = f"{space.name}/{one.kind.lower()}/{one.name}"
                fix = "write enabled, disabled or ingress"
                yield Attention(where, one.why, fix)


def _fix(space: Space, one: Tally, wrong: str) -> str:
    scope = f"kubectl -n {space.name}"
    if wrong == "unready":
        return f"{scope} logs {one.examples[0]} -c linkerd-proxy"
    if wrong == "hanging":
        return f"{scope} delete pod {one.examples[0]}, and notebook 32"
    if one.kind in ("Deployment", "DaemonSet", "StatefulSet"):
        return f"{scope} rollout restart {one.kind.lower()} {one.name}"
    return "it stays until it is made anew"


def _lifetimes(context: Context) -> tuple[list[Lifetime], list[str]]:
    """Give the certificates of the mesh, and what could not be read of them."""
    found: list[tuple[str, Certificate]] = []
    unknown = []
    try:
        secret = read_secret(context, ISSUER, context.params.linkerd_namespace)
        if secret is None:
            unknown.append(f"there is no Secret {ISSUER}")
        else:
            found.append(("identity issuer", secret.certificates("tls.crt")[0]))
            anchors = read_trust_anchor(context).certificates
            found += [(f"trust anchor {one.common_name}", one) for one in anchors]
    except RunbookError as error:
        unknown.append(error.what)
    now = context.cluster.now()
    lifetimes = [
        Lifetime(title, one.not_after.isoformat(), (one.not_after - now).total_seconds())
        for title, one in found
    ]
    return lifetimes, unknown


def _ending(lifetimes: list[Lifetime]) -> Iterator[Attention]:
    for one in lifetimes:
        issuer = one.title == "identity issuer"
        if one.seconds >= (_SOON if issuer else _ANCHOR_SOON):
            continue
        left = "over" if one.seconds <= 0 else f"over in {one.seconds / 3600:.0f} h"
        fix = (
            f"cert-manager should have renewed it: kubectl -n linkerd describe certificate {ISSUER}"
            if issuer
            else "rotate the root before it ends"
        )
        yield Attention("certificates", f"the {one.title} is {left}", fix)


def _space(space: Space) -> dict[str, Any]:
    return {
        "name": space.name,
        "inject": space.inject,
        "without_effect": space.idle,
        "pods": space.pods,
        "meshed": space.meshed,
        "workloads": [
            {
                "kind": one.kind,
                "name": one.name,
                "state": one.state,
                "pods": one.pods,
                "meshed": one.meshed,
                "reasons": dict(one.reasons),
                "why": one.why,
                "wrong": dict(one.wrong),
                "proxy_restarts": one.restarts,
            }
            for _, one in sorted(space.workloads.items())
        ],
    }
