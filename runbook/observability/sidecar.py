"""Grafana's sidecar: what it looks for, and whether it has taken up the dashboards."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from runbook.checks import Context, Outcome
from runbook.errors import RunbookError
from runbook.linkerd.outcomes import Object, absent, few, judge
from runbook.linkerd.pods import ready

__all__ = ["Sidecar", "dashboard_sidecar", "dashboards_provisioned", "find_sidecar"]

_NOTEBOOK = "24-grafana-dashboards"
_ROUNDS, _PAUSE = 15, 2.0  # seconds: a sidecar that watches sees a ConfigMap at once
_COMPLAINT = re.compile(
    r"failed to (load|save) dashboard|same UID is used more than once|title is not unique",
    re.IGNORECASE,
)
SEE = "https://github.com/prometheus-community/helm-charts/tree/main/charts/kube-prometheus-stack"


@dataclass(frozen=True)
class Sidecar:
    """A container of kiwigrid/k8s-sidecar that writes dashboards, as its environment says.

    Attributes:
        deployment: The Deployment it belongs to; empty for the defaults of kube-prometheus-stack.
        namespace: Its namespace.
        container: Its name.
        label: Label of the ConfigMaps it takes.
        value: Value that label must have; empty for any.
        namespaces: Where it looks: ``ALL``, a list with commas, or empty for its own.
        folder: Annotation that names a folder in Grafana; empty if it knows none.
        pods: Labels of its pods.
    """

    deployment: str = ""
    namespace: str = ""
    container: str = "grafana-sc-dashboard"
    label: str = "grafana_dashboard"
    value: str = "1"
    namespaces: str = "ALL"
    folder: str = ""
    pods: tuple[tuple[str, str], ...] = ()

    def looks_in(self, namespace: str) -> bool:
        """Tell whether it takes ConfigMaps of a namespace."""
        listed = [part.strip() for part in (self.namespaces or self.namespace).split(",")]
        return "ALL" in listed or namespace in listed


def find_sidecar(context: Context) -> Sidecar | None:
    """Find the sidecar of the Grafana in ``monitoring_namespace``; ``None`` if it has none."""
    namespace = context.params.monitoring_namespace
    for kind in ("Deployment", "StatefulSet"):
        for workload in context.cluster.list("apps/v1", kind, namespace):
            for container in workload["spec"]["template"]["spec"].get("containers") or []:
                env = {one["name"]: str(one.get("value", "")) for one in container.get("env") or []}
                if "dashboard" in container["name"] and env.get("LABEL"):
                    return _sidecar(workload, container["name"], env)
    return None


def dashboard_sidecar(context: Context) -> Iterator[Outcome]:
    """Grafana has a sidecar that takes dashboards from ConfigMaps."""
    namespace = context.params.monitoring_namespace
    found = find_sidecar(context)
    looks = found is not None and found.looks_in(namespace)
    yield judge(
        "dashboard-sidecar",
        "Grafana's sidecar takes dashboards from ConfigMaps",
        looks,
        expected=f"a dashboard sidecar in namespace {namespace}",
        seen="none"
        if found is None
        else f"{found.container} of {found.deployment}: label {found.label}: {found.value or 'any'}"
        f", namespaces {found.namespaces or 'its own'}",
        why="Grafana was installed without it (value grafana.sidecar.dashboards.enabled)"
        if found is None
        else f"it does not look in namespace {namespace}",
        fix="set grafana.sidecar.dashboards.enabled: true in kube-prometheus-stack"
        if found is None
        else "set grafana.sidecar.dashboards.searchNamespace: ALL",
        see=SEE,
    )


def dashboards_provisioned(
    context: Context, *, pause: Callable[[float], None] = time.sleep
) -> Iterator[Outcome]:
    """The sidecar has written each dashboard, and Grafana has refused none.

    Their own logs say so, which needs no password of Grafana's.
    """
    title = "Grafana's sidecar has written the dashboards"
    sidecar = find_sidecar(context)
    files = _files(context, sidecar)
    if sidecar is None or not files:
        what = "ConfigMaps with Linkerd's dashboards" if sidecar else "a dashboard sidecar"
        yield absent(context, "dashboards-written", title, what, _NOTEBOOK)
        return
    rounds = _ROUNDS if context.params.mode == "apply" else 1
    missing = set(files)
    for attempt in range(rounds):
        if attempt:
            pause(_PAUSE)
        text = _log(context, sidecar, sidecar.container)
        missing = {name for name in files if name not in text}
        if not missing:
            break
    yield _written(sidecar, files, missing)
    yield _refused(context, sidecar, files)


def _sidecar(workload: Object, container: str, env: dict[str, str]) -> Sidecar:
    meta = workload["metadata"]
    labels = (workload["spec"]["selector"].get("matchLabels") or {}).items()
    return Sidecar(
        deployment=meta["name"],
        namespace=meta["namespace"],
        container=container,
        label=env["LABEL"],
        value=env.get("LABEL_VALUE", ""),
        namespaces=env.get("NAMESPACE", ""),
        folder=env.get("FOLDER_ANNOTATION", ""),
        pods=tuple(sorted(labels)),
    )


def _files(context: Context, sidecar: Sidecar | None) -> dict[str, tuple[str, ...]]:
    """Give the files that our ConfigMaps hold for the sidecar, each with its uid and title."""
    if sidecar is None:
        return {}
    wanted = f"{sidecar.label}={sidecar.value}" if sidecar.value else sidecar.label
    maps = context.cluster.list(
        "v1", "ConfigMap", context.params.monitoring_namespace, selector=wanted
    )
    return {
        key: _named(text)
        for one in maps
        if one["metadata"]["name"].startswith("linkerd-dashboard-")
        for key, text in (one.get("data") or {}).items()
    }


def _named(text: str) -> tuple[str, ...]:
    """Give a dashboard's uid and title; none if somebody has broken its JSON."""
    try:
        data = json.loads(text)
        return tuple(str(data[key]) for key in ("uid", "title") if data.get(key))
    except (ValueError, AttributeError, TypeError):
        return ()


def _log(context: Context, sidecar: Sidecar, container: str) -> str:
    """Give the log of a container of the running pods; empty where it cannot be read."""
    selector = ",".join(f"{key}={value}" for key, value in sidecar.pods)
    texts = []
    for pod in context.cluster.list("v1", "Pod", sidecar.namespace, selector=selector):
        if not ready(pod):
            continue
        try:
            texts.append(
                context.cluster.logs(sidecar.namespace, pod["metadata"]["name"], container)
            )
        except RunbookError:
            continue  # a pod that has just gone
    return "\n".join(texts)


def _written(sidecar: Sidecar, files: Collection[str], missing: set[str]) -> Outcome:
    return judge(
        "dashboards-written",
        "Grafana's sidecar has written the dashboards",
        "pass" if not missing else "warn" if len(missing) < len(files) else "fail",
        expected=f"{len(files)} files in the log of {sidecar.container}",
        seen=f"not in its log: {few(sorted(missing), 3)}" if missing else f"all {len(files)}",
        why="it has not seen them, or its log of that time has been rotated away",
        fix=f"kubectl -n {sidecar.namespace} logs deploy/{sidecar.deployment} "
        f"-c {sidecar.container}",
        see=SEE,
    )


def _refused(context: Context, sidecar: Sidecar, files: Mapping[str, tuple[str, ...]]) -> Outcome:
    """Look in Grafana's own log for dashboards of ours that it did not take.

    A file it cannot load is named; of two with one uid or title that uid or title is (Grafana,
    ``pkg/services/provisioning/dashboards``).
    """
    named = [*files, *(text for texts in files.values() for text in texts)]
    lines = [
        line.strip()
        for line in _log(context, sidecar, "grafana").splitlines()
        if _COMPLAINT.search(line) and any(name in line for name in named)
    ]
    return judge(
        "dashboards-accepted",
        "Grafana has refused none of them",
        "warn" if lines else "pass",
        expected="no such line in its log",
        seen=lines[-1][:200] if lines else "none",
        why="the JSON is broken, or another dashboard has the same uid or title",
        fix=f"kubectl -n {sidecar.namespace} logs deploy/{sidecar.deployment} -c grafana",
        see=SEE,
    )
