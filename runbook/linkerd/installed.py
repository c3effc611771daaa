"""What is installed already: Linkerd's own configuration and its Helm releases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from runbook import holder, releases
from runbook.checks import Context, Outcome, Verdict
from runbook.helm import record_name
from runbook.linkerd.outcomes import Object, absent, few, judge

__all__ = [
    "existing_install",
    "helm_releases",
    "helm_values",
    "installed",
    "not_yet",
    "parse_config",
    "read_config",
    "wanted_version",
]

CONFIG = "linkerd-config"
_OURS = ("linkerd.io/control-plane-ns", "linkerd.io/control-plane-component")


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
    """No other Linkerd, and nothing else in its namespace, is in the way."""
    yield _occupants(context)
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
        expected=f"none, or {wanted_version(context)} in {home}",
        seen=here or "none installed",
        why="moving between releases has steps of its own: CRD ownership, restarts",
        fix=f"choose the line of {here}, or follow the upgrade guide, one version at a time",
        see="https://linkerd.io/2-edge/tasks/upgrade/",
    )


def _occupants(context: Context) -> Outcome:
    """Look for pods of others in the control plane's namespace."""
    name = context.params.linkerd_namespace
    title = f"nothing but Linkerd lives in namespace {name}"
    live = context.cluster.find("v1", "Namespace", name)
    if live is None:
        return judge(
            "namespace-free", title, True, expected="none, or Linkerd's own", seen="none yet"
        )
    ending = (live.get("status") or {}).get("phase") == "Terminating"
    strangers = [
        f"{pod['metadata']['name']}"
        for pod in context.cluster.list("v1", "Pod", name)
        if not any(label in (pod["metadata"].get("labels") or {}) for label in _OURS)
    ]
    return judge(
        "namespace-free",
        title,
        "fail" if ending else "warn" if strangers else "pass",
        expected="none, or Linkerd's own",
        seen="it is being deleted" if ending else few(strangers) or "there already, no other pods",
        why="nothing can be created in it until its finalizers are done"
        if ending
        else "admission webhooks of Linkerd are off for this namespace, and so for those pods",
        fix=f"kubectl describe namespace {name}"
        if ending
        else "move them, or set linkerd_namespace",
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
                title = f"Helm release {name} is not stuck"
                yield judge(f"helm-{name}", title, True, seen="not installed")
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


def installed(context: Context) -> bool:
    """Tell whether a control plane has been installed here, whatever its state."""
    found = context.cluster.find("v1", "ConfigMap", CONFIG, context.params.linkerd_namespace)
    return found is not None


def not_yet(context: Context, id_: str, title: str) -> Outcome | None:
    """Say that there is no control plane to look at: in plan mode that is no failure.

    Returns:
        The outcome to show in place of the check's own, ``None`` when there is something to check.
    """
    if installed(context):
        return None
    what = f"the control plane in namespace {context.params.linkerd_namespace}"
    return absent(context, id_, title, what, "15-control-plane")


def _stuck(context: Context, name: str, status: str, revision: int) -> Outcome:
    namespace = context.params.linkerd_namespace
    title = f"Helm release {name} is not stuck"
    seen = f"{status}, revision {revision}"
    if not status.startswith(("pending", "uninstalling")):
        return judge(
            f"helm-{name}",
            title,
            "pass" if status == "deployed" else "warn",
            expected="deployed",
            seen=seen,
            why="the last try failed; the next one goes on from there",
            fix="run its notebook again",
        )
    record = context.cluster.find("v1", "Secret", record_name(name, revision), namespace) or {}
    mark = ((record.get("metadata") or {}).get("labels") or {}).get(holder.LABEL, "")
    if holder.is_gone(mark):
        return judge(
            f"helm-{name}",
            title,
            "warn",
            expected="deployed",
            seen=seen,
            why="an earlier run of this runbook was killed in the middle of it",
            fix="go on: its notebook takes it up again",
        )
    way_out = f"rollback {name} {revision - 1}" if revision > 1 else f"uninstall {name}"
    return judge(
        f"helm-{name}",
        title,
        False,
        expected="deployed",
        seen=seen,
        why="an install or upgrade was interrupted, or another Helm is at work on it right now; "
        "Helm refuses every further operation",
        fix=f"make sure that no other Helm is running, then: helm -n {namespace} {way_out}",
        see="https://helm.sh/docs/helm/helm_history/",
    )


def wanted_version(context: Context) -> str:
    """Give the Linkerd version that the chosen chart version stands for."""
    version = context.params.chart_version
    if version and context.line.app_version.startswith("edge-"):
        return f"edge-{version.removeprefix('20')}"
    return context.line.app_version


def _compared(context: Context, here: str) -> Verdict:
    """Judge the version that is installed: the wanted one, another patch of it, another line."""
    if here in ("", wanted_version(context)):
        return "pass"
    known = next((line for line in releases.LINES if line.app_version == here), None)
    if known is not None:
        return "warn" if known is context.line else "fail"
    channel = here.partition("-")[0]
    other = channel in ("stable", "edge") and not context.line.app_version.startswith(channel)
    return "fail" if other else "warn"  # a patch we do not know, or a build of somebody's own
