"""Jobs that never end because their proxy does not, and the ways to let them end.

Implements "Problems with Kubernetes Jobs" of the seed. Errata: the program is ``linkerd-await``,
the command goes after ``--``, and its ``--shutdown`` is refused by default since 2.16; native
sidecars, which end with the Job, solve it since 2.15, and are the default since 2.20.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runbook import releases, show
from runbook.checks import Context, Outcome
from runbook.linkerd.outcomes import Object, few, judge
from runbook.linkerd.pods import PROXY, name
from runbook.meshing.annotate import annotate
from runbook.meshing.decision import INJECT, Decision, decide
from runbook.meshing.injector import Injector, read_injector
from runbook.meshing.service import badge
from runbook.meshing.workloads import Workload, find_workloads
from runbook.patches import Patch, edit

__all__ = [
    "Endings",
    "is_stuck",
    "job_endings",
    "job_patches",
    "jobs_changeable",
    "jobs_end",
    "stuck_jobs",
    "stuck_pods",
]

_KINDS = ("CronJob", "Job")
_NATIVE_KUBERNETES = (1, 29)  # SidecarContainers is on by default
_SHUTDOWN = "config.linkerd.io/proxy-admin-shutdown"
_HOOK = "helm.sh/hook"
_AWAIT = ("linkerd-await", "--shutdown", "--")
SEE = "https://linkerd.io/2-edge/features/proxy-injection/"
_SEE_AWAIT = "https://github.com/linkerd/linkerd-await"


@dataclass(frozen=True)
class Ending:
    """How the pods of one Job or CronJob come to their end.

    Attributes:
        workload: Which.
        decision: What the injector makes of its pods.
        ends: Whether they end by themselves.
        because: Why, in words.
        way: What can be done, empty if nothing need be.
    """

    workload: Workload
    decision: Decision
    ends: bool
    because: str
    way: str = ""


@dataclass(frozen=True)
class Endings:
    """Jobs and CronJobs, as a table."""

    found: Sequence[Ending]
    badge: str = ""

    def table(self) -> show.Table:
        """Give the table itself."""
        never = sum(not one.ends for one in self.found)
        return show.Table(
            title=f"Jobs: {never} of {len(self.found)} would never end",
            columns=("", "namespace", "workload", "because", "way"),
            rows=[_row(one) for one in self.found],
            badge=self.badge,
        )

    def __str__(self) -> str:
        return self.table().text()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        table = self.table()
        data = {
            "type": "jobs",
            "rehearsal": self.badge == show.REHEARSAL,
            "jobs": [
                {
                    "namespace": one.workload.namespace,
                    "workload": one.workload.title,
                    "ends": one.ends,
                    "because": one.because,
                    "way": one.way,
                }
                for one in self.found
            ],
        }
        return show.bundle(table.html(), table.text(), data)


def job_endings(context: Context) -> Endings:
    """Give the table of every Job and CronJob of ``mesh_namespace``, or of the cluster."""
    return Endings(_endings(context), badge(context))


def jobs_changeable(context: Context) -> Iterator[Outcome]:
    """The way that was chosen is possible here."""
    way, line = context.params.mesh_jobs, context.line
    title = "the way that was chosen is possible"
    impossible = ""
    if way == "native" and not _native_possible(context):
        impossible = (
            f"{line.name} has no native sidecars"
            if not line.native_annotations
            else f"Kubernetes {context.cluster.version} is older than 1.29"
        )
    wrapped = [one for one in _endings(context) if way == "await" and not one.ends]
    silent = [one.workload.title for one in wrapped if not _commands(one.workload)]
    yield judge(
        "jobs-way",
        title,
        "fail" if impossible else "warn" if wrapped else "pass",
        expected=way,
        seen=impossible
        or (
            f"no command to wrap: {few(silent)}" if silent else "linkerd-await must be in the image"
        )
        if impossible or wrapped
        else f"{_way(context)}",
        why="an image without it cannot start"
        if not impossible
        else "native sidecars came with Linkerd 2.15, and are on in Kubernetes since 1.29",
        fix="set mesh_jobs: disable" if impossible else "see how the project builds it in",
        see=SEE if impossible else _SEE_AWAIT,
    )


def job_patches(context: Context) -> list[Patch]:
    """Give the patches of CronJobs that would never end; Jobs cannot be changed once made."""
    return [
        _changed(context, one.workload)
        for one in _endings(context)
        if not one.ends and one.workload.kind == "CronJob" and not one.workload.owner
    ]


def jobs_end(context: Context) -> Iterator[Outcome]:
    """Every Job comes to its end."""
    found = _endings(context)
    never = [one for one in found if not one.ends]
    yield judge(
        "jobs-end",
        "every Job comes to its end",
        "warn" if never else "pass",
        expected="outside the mesh, or with a proxy that ends with it",
        seen=few(f"{one.workload.namespace}/{one.workload.title}: {one.because}" for one in never)
        or f"{len(found)} Jobs and CronJobs",
        why="the proxy is a container like the others, and goes on when they have ended",
        fix="; ".join(dict.fromkeys(one.way for one in never)),
        see=SEE,
    )


def stuck_jobs(context: Context) -> Iterator[Outcome]:
    """No Job hangs because its proxy goes on."""
    pods = stuck_pods(context, context.params.mesh_namespace)
    yield judge(
        "jobs-stuck",
        "no Job hangs because its proxy goes on",
        not pods,
        expected="none",
        seen=few(_told(pod) for pod in pods) or "none",
        why="their containers have ended, and the pod stays NotReady for its proxy's sake; whoever "
        "waits for them, such as helm --wait, waits for ever",
        fix=f"run notebook 32, then: {few((_delete(pod) for pod in pods), 3)}",
        see=SEE,
    )


def stuck_pods(context: Context, namespace: str) -> list[Object]:
    """Give the pods of Jobs that hang because of their proxy."""
    running = context.cluster.list("v1", "Pod", namespace, fields="status.phase=Running")
    return [pod for pod in running if is_stuck(pod)]


def is_stuck(pod: Mapping[str, Any]) -> bool:
    """Tell whether only the proxy of a Job's pod still runs.

    A native sidecar is an init container and does not count: the kubelet ends it.
    """
    owners = pod["metadata"].get("ownerReferences") or []
    if not any(one["kind"] == "Job" and one.get("controller") for one in owners):
        return False
    states = {
        one["name"]: one.get("state") or {}
        for one in (pod.get("status") or {}).get("containerStatuses") or []
    }
    proxy = states.pop(PROXY, {})
    return "running" in proxy and bool(states) and all("terminated" in s for s in states.values())


def _endings(context: Context) -> list[Ending]:
    space = context.params.mesh_namespace
    spaces = [space] if space else [str(n["metadata"]["name"]) for n in _homes(context)]
    injector = read_injector(context)
    result = []
    for one in spaces:
        home = context.cluster.find("v1", "Namespace", one)
        if home is not None:
            found = find_workloads(context.cluster, one, _KINDS)
            result += [_ending(context, w, home, injector) for w in found if w.kind in _KINDS]
    return result


def _homes(context: Context) -> Iterator[Object]:
    return context.cluster.list("v1", "Namespace")


def _ending(
    context: Context, workload: Workload, home: Mapping[str, Any], injector: Injector
) -> Ending:
    pod = workload.template
    decision = decide(pod, home, injector)
    if not decision.meshed:
        return Ending(workload, decision, True, f"not meshed: {decision.why}")
    if decision.mode == "native sidecar":
        return Ending(workload, decision, True, "its proxy is a native sidecar, and ends with it")
    awaits = [
        _AWAIT[0] in " ".join(words) and "--shutdown" in words for words in _commands(workload)
    ]
    own = (pod["metadata"].get("annotations") or {}).get(_SHUTDOWN, "")
    on = own == "enabled" or (injector.shutdown and own != "disabled")
    if any(awaits) and on:
        return Ending(workload, decision, True, "linkerd-await ends its proxy")
    because = (
        "linkerd-await is refused: the shutdown endpoint is off"
        if any(awaits)
        else "its proxy goes on when it has ended"
    )
    return Ending(workload, decision, False, because, _advice(context, workload))


def _advice(context: Context, workload: Workload) -> str:
    notes = workload.obj["metadata"].get("annotations") or {}
    if _HOOK in notes:
        return f"linkerd.io/inject: disabled, by a value of its chart (hook {notes[_HOOK]})"
    if workload.owner:
        return f"by {workload.owner}, which made it"
    if workload.kind == "Job":
        return "a Job cannot be changed: delete it, and create it with linkerd.io/inject: disabled"
    return f"{_way(context)}: notebook 32 changes its template"


def _way(context: Context) -> str:
    chosen = context.params.mesh_jobs
    if chosen != "auto":
        return chosen
    return "native" if _native_possible(context) else "disable"


def _native_possible(context: Context) -> bool:
    version = releases.parse_version(context.cluster.version)
    return bool(context.line.native_annotations) and version >= _NATIVE_KUBERNETES


def _changed(context: Context, workload: Workload) -> Patch:
    way = _way(context)
    if way == "disable":
        return annotate(workload, {INJECT: "disabled"}, "stays outside the mesh")
    if way == "native":
        name_ = context.line.native_annotations[0]
        return annotate(workload, {name_: "true"}, "its proxy ends with it")
    return edit(
        workload.obj,
        lambda obj: _wrap(obj, shutdown=not context.line.shutdown_endpoint),
        "its image must contain linkerd-await",
    )


def _wrap(obj: Object, *, shutdown: bool) -> None:
    """Put the commands of a CronJob behind ``linkerd-await``."""
    template = obj["spec"]["jobTemplate"]["spec"]["template"]
    for container in template["spec"]["containers"]:
        words = list(container.get("command") or [])
        if words and _AWAIT[0] not in " ".join(words):
            container["command"] = [*_AWAIT, *words]
    if shutdown:
        notes = template.setdefault("metadata", {}).setdefault("annotations", {})
        notes[_SHUTDOWN] = "enabled"


def _commands(workload: Workload) -> list[list[str]]:
    containers = workload.template["spec"].get("containers") or []
    return [list(one["command"]) for one in containers if one.get("command")]


def _told(pod: Object) -> str:
    ended = [
        str(one["state"]["terminated"].get("finishedAt", ""))
        for one in pod["status"]["containerStatuses"]
        if "terminated" in (one.get("state") or {})
    ]
    where = f"{pod['metadata']['namespace']}/{name(pod)}"
    return f"{where} since {max(ended, default='some time')}"


def _delete(pod: Object) -> str:
    return f"kubectl -n {pod['metadata']['namespace']} delete pod {name(pod)}"


def _row(one: Ending) -> tuple[show.Cell | str, ...]:
    word = show.Cell("ends" if one.ends else "never ends", tone="pass" if one.ends else "warn")
    return (word, one.workload.namespace, one.workload.title, one.because, one.way)
