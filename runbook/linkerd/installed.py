"""What is installed already: Linkerd's own configuration and its Helm releases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from runbook import releases
from runbook.checks import Context, Outcome, Verdict
from runbook.linkerd.outcomes import Object, few, judge

__all__ = ["existing_install", "helm_releases", "helm_values", "parse_config", "read_config"]

CONFIG = "linkerd-config"


def parse_config(config_map: Object) -> dict[str, Any] | None:
    """Read ``data.values`` of ConfigMap linkerd-config: the chart's effective values.

    Returns:
        The values, ``None`` when they cannot be read.
    """
    try:
        values = yaml.safe_load((config_map.get("data") or {}).get("values", ""))
    except yaml.YAMLError:
        return None
    return values if isinstance(values, dict) else None


def read_config(context: Context) -> dict[str, Any] | None:
    """Read the values Linkerd was installed with, ``None`` if it is not (or they are broken)."""
    found = context.cluster.find("v1", "ConfigMap", CONFIG, context.params.linkerd_namespace)
    return parse_config(found) if found else None


def helm_values(context: Context) -> dict[str, Any] | None:
    """Give the values the control plane's Helm release was given, ``None`` without a release."""
    chart = context.line.control_plane
    release = context.helm.release(chart.release, context.params.linkerd_namespace)
    return dict(release.values) if release else None


def existing_install(context: Context) -> Iterator[Outcome]:
    """No other Linkerd is in the way."""
    home = context.params.linkerd_namespace
    found = {
        config["metadata"]["namespace"]: str((parse_config(config) or {}).get("linkerdVersion"))
        for config in context.cluster.list("v1", "ConfigMap", fields=f"metadata.name={CONFIG}")
    }
    title = "no other Linkerd is in the way"
    elsewhere = {where: version for where, version in found.items() if where != home}
    if elsewhere:
        yield judge(
            "existing-install",
            title,
            False,
            expected="none outside " + home,
            seen=few(f"{version} in namespace {where}" for where, version in elsewhere.items()),
            why="CRDs, cluster roles and webhooks are cluster-wide: two installs overwrite each "
            "other's",
            fix="uninstall the other one first, or set linkerd_namespace to its namespace",
        )
        return
    here = found.get(home, "")
    yield judge(
        "existing-install",
        title,
        _compared(context, here),
        expected=f"none, or {_wanted_version(context)} in {home}",
        seen=here or "none installed",
        why="moving between releases has steps of its own: CRD ownership, restarts",
        fix=f"choose the line of {here}, or follow the upgrade guide, one version at a time",
        see="https://linkerd.io/2-edge/tasks/upgrade/",
    )


def helm_releases(context: Context) -> Iterator[Outcome]:
    """No Helm release of Linkerd is stuck or of another line."""
    namespace = context.params.linkerd_namespace
    ours = [chart.release for chart in context.line.charts]
    every = dict.fromkeys(chart.release for line in releases.LINES for chart in line.charts)
    for name in every:
        release = context.helm.release(name, namespace)
        if release is None:
            if name in ours:
                yield judge(
                    f"helm-{name}", f"Helm release {name} is not stuck", True, seen="not installed"
                )
            continue
        if name not in ours:
            yield judge(
                f"helm-{name}",
                f"Helm release {name} is of the chosen line",
                False,
                expected=f"releases {', '.join(ours)}",
                seen=f"{name}, {release.chart} {release.version}, {release.status}",
                why=f"it belongs to another release line than {context.line.name}",
                fix="choose its line, or migrate as Linkerd's upgrade guide says; never delete "
                "a release that owns CRDs",
                see="https://linkerd.io/2-edge/tasks/upgrade/",
            )
            continue
        yield _stuck(context, name, release.status, release.revision)


def _stuck(context: Context, name: str, status: str, revision: int) -> Outcome:
    namespace = context.params.linkerd_namespace
    pending = status.startswith(("pending", "uninstalling"))
    first = revision <= 1
    return judge(
        f"helm-{name}",
        f"Helm release {name} is not stuck",
        "fail" if pending else "pass" if status == "deployed" else "warn",
        expected="deployed",
        seen=f"{status}, revision {revision}",
        why="an earlier run was ended in the middle; Helm refuses to touch the release"
        if pending
        else "the last try failed; the next one goes on from there",
        fix=(
            f"helm uninstall {name} -n {namespace}"
            if first
            else f"helm rollback {name} {revision - 1} -n {namespace}"
        )
        if pending
        else "run the notebook again",
        see="https://helm.sh/docs/faq/troubleshooting/",
    )


def _wanted_version(context: Context) -> str:
    version = context.params.chart_version
    if version and context.line.app_version.startswith("edge-"):
        return f"edge-{version.removeprefix('20')}"
    return context.line.app_version


def _compared(context: Context, here: str) -> Verdict:
    """Judge the version that is installed: the wanted one, another patch of it, another line."""
    if here in ("", _wanted_version(context)):
        return "pass"
    known = next((line for line in releases.LINES if line.app_version == here), None)
    if known is None and here.partition("-")[0] == context.line.app_version.partition("-")[0]:
        return "warn"
    return "warn" if known is context.line else "fail"
