"""What Helm's messages mean and what to do about them.

Helm reports errors as text, the same whether it runs as a library or as a program. The patterns
were read off Helm v4.2 and hold for Helm 3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from runbook.errors import ForbiddenError, HelmError, RunbookError, UnreachableError
from runbook.secrets import Redactor

__all__ = ["explain", "is_not_found", "stuck"]

_CAP = 1200  # characters of Helm's own text in a message


@dataclass(frozen=True)
class _Meaning:
    pattern: re.Pattern[str]
    why: str
    fix: str


def _meaning(pattern: str, why: str, fix: str) -> _Meaning:
    return _Meaning(re.compile(pattern, re.DOTALL), why, fix)


_AIR_GAP = "or set chart_source to a local directory with the charts"
_MEANINGS = (
    _meaning(
        r"not a valid chart repository or cannot be reached: (?P<detail>.*)",
        "the chart repository cannot be read: {detail}",
        f"check the address and the network, {_AIR_GAP}",
    ),
    _meaning(
        r'chart "(?P<chart>[^"]+)" (?:version "(?P<version>[^"]*)" )?not found in (?P<where>\S+)',
        "the repository {where} has no chart {chart} {version}",
        "correct the parameters chart_version and chart_source, or line",
    ),
    _meaning(
        r'failed to perform "[^"]+" on (?:source|\S+): (?P<detail>.*)',
        "the registry does not give the chart: {detail}",
        f"check the oci:// address, the version and your login, {_AIR_GAP}",
    ),
    _meaning(
        r"requires kubeVersion: (?P<wanted>.*?) which is incompatible with Kubernetes (?P<has>\S+)",
        "the chart needs Kubernetes {wanted}, the cluster has {has}",
        "choose a release line that runs on this version (`runbook show 00-preflight`)",
    ),
    _meaning(
        r"another operation \(install/upgrade/rollback\) is in progress",
        "an earlier Helm operation on this release never ended",
        "see `helm history`; if no other Helm is at work, roll back or uninstall the release",
    ),
    _meaning(
        r"(?P<object>\S+ \"[^\"]+\"[^;]*?) exists and cannot be imported into the current release"
        r":? *(?P<detail>.*)",
        "{object} exists already and does not belong to this release: {detail}",
        "if it may go, delete it; if it is to stay, leave the chart's part that creates it out",
    ),
    _meaning(
        r'no matches for kind "(?P<kind>[^"]+)" in version "(?P<version>[^"]+)"',
        "the cluster does not know the kind {kind} of {version}: its CRD is not installed",
        "install the CRDs first (14-linkerd-crds)",
    ),
    _meaning(
        r'namespaces "(?P<name>[^"]+)" not found',
        "the namespace {name} does not exist",
        "create it first (11-linkerd-namespace)",
    ),
    _meaning(
        r'conflict with "(?P<manager>[^"]+)"(?: using [^:]+)?: *(?P<field>\S+)',
        "the field {field} is managed by {manager}",
        "let that manager give the field up, or set the same value",
    ),
    _meaning(
        r"values don't meet the specifications of the schema\(s\)(?P<detail>.*)",
        "the values do not fit the chart's schema: {detail}",
        "correct the parameter values",
    ),
    _meaning(
        r"cannot re-?use a name that is still in use",
        "the release name is taken",
        "see `helm list --all`; an uninstalled release with history keeps its name",
    ),
)
_UNREACHABLE = re.compile(r"cluster unreachable: (?P<detail>.*)", re.DOTALL)
_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]+)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" '
    r'in API group "(?P<group>[^"]*)"(?: in the namespace "(?P<namespace>[^"]+)")?'
)
_NOT_FOUND = re.compile(r"release:? not found|has no deployed releases")


def explain(doing: str, text: str) -> RunbookError:
    """Turn Helm's message into an error that says what to do.

    Args:
        doing: What was attempted, such as ``install release linkerd/linkerd-crds``.
        text: Helm's message.
    """
    text = Redactor().text(text).strip()
    what = f"Helm could not {doing}"
    unreachable = _UNREACHABLE.search(text)
    if unreachable:
        return UnreachableError(what, why=_tidy(unreachable["detail"]), fix="check the cluster")
    forbidden = _FORBIDDEN.search(text)
    if forbidden:
        return _forbidden(what, forbidden)
    for meaning in _MEANINGS:
        found = meaning.pattern.search(text)
        if found:
            parts = {key: _tidy(value or "") for key, value in found.groupdict().items()}
            return HelmError(what, why=meaning.why.format(**parts).strip(), fix=meaning.fix)
    return HelmError(what, why=_tidy(text))


def is_not_found(text: str) -> bool:
    """Tell whether Helm says that there is no such release."""
    return bool(_NOT_FOUND.search(text))


def stuck(name: str, namespace: str, status: str, revision: int, good: int) -> HelmError:
    """Describe a release that an interrupted Helm left behind.

    Args:
        name: Release name.
        namespace: Its namespace.
        status: Such as ``pending-install``.
        revision: The interrupted revision.
        good: The last revision that was deployed, 0 if there is none.
    """
    out = f"rollback {name} {good}" if good else f"uninstall {name}"
    return HelmError(
        f"release {namespace}/{name} is stuck in {status} (revision {revision})",
        why="an install or upgrade was interrupted, or another Helm is at work on it right now; "
        "Helm refuses every further operation",
        fix=f"make sure that no other Helm is running, then: helm -n {namespace} {out}",
        see="https://helm.sh/docs/helm/helm_history/",
    )


def _forbidden(what: str, found: re.Match[str]) -> ForbiddenError:
    group, namespace = found["group"], found["namespace"]
    resource = f"{found['resource']}.{group}" if group else found["resource"]
    scope = f"in namespace {namespace}" if namespace else "at the cluster scope"
    flag = f" -n {namespace}" if namespace else ""
    return ForbiddenError(
        f"{what}: cannot {found['verb']} {resource} {scope}",
        code=403,
        reason="Forbidden",
        why=f"user {found['user']} lacks the permission",
        fix="have the permission granted; "
        f"`kubectl auth can-i {found['verb']} {resource}{flag}` shows it",
    )


def _tidy(text: str) -> str:
    """Put a message on one line and cap it: the end, where the cause is, stays."""
    flat = re.sub(r"\s+", " ", text).strip()
    return flat if len(flat) <= _CAP else "… " + flat[-_CAP:]
