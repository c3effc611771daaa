"""Before anything is changed: every pod concerned, whether it will be meshed, and why not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runbook import show
from runbook.checks import Context
from runbook.linkerd.pods import PROXY, containers, has_proxy, name
from runbook.mesh_options import OPTIONS, PREFIX
from runbook.meshing.decision import Decision, Mode, decide
from runbook.meshing.injector import Injector
from runbook.meshing.workloads import Workload

__all__ = ["Fate", "Forecast", "becomes", "fates", "now"]

_OVER = ("Succeeded", "Failed")
_INGRESS_MODE = "LINKERD2_PROXY_INGRESS_MODE"  # charts/partials/templates/_proxy.tpl


@dataclass(frozen=True)
class Fate:
    """What is to become of one pod.

    Attributes:
        workload: Whose pod it is, as it will be.
        pod: Its name; empty for the next pod of a workload that has none now.
        now: ``meshed, sidecar``, ``meshed, native sidecar``, either with ``, ingress``, or
            ``not meshed``; empty for none.
        decision: What the injector will make of it.
        current: Whether the pod that runs is as the next one would be.
        over: Whether it has run to its end, so that nothing will become of it.
    """

    workload: Workload
    pod: str
    now: str
    decision: Decision
    current: bool
    over: bool = False

    @property
    def becomes(self) -> str:
        """Say what it will be."""
        return becomes(self.decision)


@dataclass(frozen=True)
class Forecast:
    """The pods concerned, as a table.

    Attributes:
        fates: One for each pod.
        title: What the table is about.
        badge: ``REHEARSAL`` when the cluster is one.
    """

    fates: Sequence[Fate]
    title: str = "Pods concerned"
    badge: str = ""

    def summary(self) -> str:
        """Give the counts in words."""
        coming = [fate for fate in self.fates if not fate.over]
        meshed = sum(fate.decision.meshed for fate in coming)
        restarts = sum(not fate.current for fate in coming)
        return f"{meshed} of {len(coming)} meshed, {restarts} to be replaced"

    def data(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {
            "type": "forecast",
            "title": self.title,
            "rehearsal": self.badge == show.REHEARSAL,
            "pods": [
                {
                    "namespace": fate.workload.namespace,
                    "workload": fate.workload.title,
                    "pod": fate.pod,
                    "now": fate.now,
                    "becomes": fate.becomes,
                    "reasons": list(fate.decision.reasons),
                    "replaced": not fate.current and not fate.over,
                }
                for fate in self.fates
            ],
        }

    def table(self) -> show.Table:
        """Give the table itself."""
        return show.Table(
            title=f"{self.title}: {self.summary()}",
            columns=("namespace", "workload", "pod", "now", "will be", "because"),
            rows=[_row(fate) for fate in self.fates],
            badge=self.badge,
        )

    def __str__(self) -> str:
        return self.table().text()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        table = self.table()
        return show.bundle(table.html(), table.text(), self.data())


def fates(
    context: Context,
    workloads: Iterable[Workload],
    namespace: Mapping[str, Any],
    injector: Injector,
) -> Iterator[Fate]:
    """Say what is to become of every pod of some workloads.

    Args:
        context: The cluster; ServiceAccounts are read where the line needs their token.
        workloads: As they will be, of one namespace.
        namespace: As it will be.
        injector: The cluster's injector.
    """
    for workload in workloads:
        pod = workload.template
        automounts = injector.token_projection or _automounts(context, workload, pod)
        decision = decide(pod, namespace, injector, automounts=automounts)
        if not workload.pods:
            yield Fate(workload, "", "", decision, current=True)
        for one in workload.pods:
            over = (one.get("status") or {}).get("phase") in _OVER
            seen = now(one)
            current = seen == becomes(decision) and _has_options(one, pod, namespace)
            yield Fate(workload, name(one), seen, decision, current, over)


def becomes(decision: Decision) -> str:
    """Say what a decision makes of a pod, in the words of :func:`now`."""
    if not decision.meshed:
        return "not meshed"
    return f"meshed, {decision.mode}" + (", ingress" if decision.ingress else "")


def now(pod: Mapping[str, Any]) -> str:
    """Say whether a pod is meshed, and how."""
    for spec, _, _ in containers(dict(pod)):
        if spec["name"] == PROXY:
            mode: Mode = "native sidecar" if spec.get("restartPolicy") == "Always" else "sidecar"
            on = {entry["name"] for entry in spec.get("env") or () if entry.get("value") == "true"}
            return becomes(Decision(mode=mode, ingress=_INGRESS_MODE in on))
    return "not meshed"


def _has_options(
    pod: Mapping[str, Any], wanted: Mapping[str, Any], namespace: Mapping[str, Any]
) -> bool:
    """Tell whether a meshed pod was made with the options its namespace has now.

    The injector copies those that a pod does not set itself (``AppendNamespaceAnnotations``).
    """
    has, own = _notes(pod), _notes(wanted)
    return not has_proxy(dict(pod)) or all(
        has.get(key) == value
        for key, value in _notes(namespace).items()
        if key.startswith(PREFIX) and key not in own and _is_inherited(key)
    )


def _is_inherited(key: str) -> bool:
    option = OPTIONS.get(key.removeprefix(PREFIX))
    return option is not None and option.inherited


def _notes(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return obj["metadata"].get("annotations") or {}


def _automounts(context: Context, workload: Workload, pod: Mapping[str, Any]) -> bool:
    account = str(pod["spec"].get("serviceAccountName") or "default")
    found = context.cluster.find("v1", "ServiceAccount", account, workload.namespace) or {}
    return found.get("automountServiceAccountToken") is not False


def _row(fate: Fate) -> tuple[show.Cell | str, ...]:
    tone = "skip" if fate.over else "pass" if fate.decision.meshed else "none"
    return (
        fate.workload.namespace,
        fate.workload.title,
        fate.pod or "(its next pod)",
        fate.now,
        show.Cell("finished" if fate.over else fate.becomes, tone=tone),
        "" if fate.over else fate.decision.why,
    )
