"""Steps of the meshing notebooks on a rehearsal cluster with its services and Linkerd."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from runbook import checks, linkerd, manifests
from runbook.checks import Outcome
from runbook.rehearsal import Twin
from runbook.rehearsal.client import Client, Object, Resource
from runbook.step import Step, open_step

KUBERNETES = {
    "stable-2.11": "1.24",
    "stable-2.14": "1.28",
    "edge-2.19": "1.35",
    "edge-2.20": "1.35",
}
"""A Kubernetes that each line runs on."""


def opened(twin: Twin, notebook: str, shown: list[Any] | None = None, **given: Any) -> Step:
    """Open a step; what it shows is gathered in ``shown``."""
    common = {"timeout": 60, "create_ca": True}
    variables = {"cluster": "rehearsal", "kubeconfig": str(twin.kubeconfig), **common, **given}
    variables["In"] = ["# Parameters\n" + "\n".join(f"{name} = 0" for name in variables)]
    gathered = shown if shown is not None else []
    return open_step(notebook, variables, display=gathered.append)


def carry(step: Step, *wanted: Any, one_by_one: bool = False) -> int:
    """Plan, apply, wait; give how many changes there were."""
    plan = step.plan(*wanted)
    step.apply(plan, one_by_one=one_by_one)
    step.wait(plan)
    return len(plan.pending)


def install_linkerd(twin: Twin, line: str = "edge-2.20", **given: Any) -> None:
    """Do what notebooks 10 to 15 do."""
    step = opened(twin, "15-control-plane", line=line, **given)
    carry(step, *linkerd.root_ca(step))
    carry(step, manifests.namespace(step.line, step.params))
    carry(step, manifests.identity_issuer(step.params))
    carry(step, linkerd.crds_release(step))
    carry(step, linkerd.control_plane_release(step))
    step.cluster.close()


def found(step: Step, *wanted: checks.Check) -> dict[str, Outcome]:
    """Give what is not well, as the table of a notebook would have it."""
    verdicts = checks.run(wanted, step)
    return {o.id: o for o in verdicts.outcomes if o.verdict in ("fail", "warn")}


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Ask again until it is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def manifest(client: Client, resource: Resource, name: str, namespace: str = "") -> Object:
    """Give an object without what the API server keeps, to be compared byte by byte."""
    obj = client.get(resource, name, namespace)
    obj.pop("status", None)
    for key in ("managedFields", "resourceVersion", "generation"):
        obj["metadata"].pop(key, None)
    return obj


def undo(step: Step) -> None:
    """Take back what a step did, in the reverse order, as its commands would."""
    for plan in reversed(step.result().plans):
        if plan.release is not None and not plan.empty:
            name, namespace = plan.release.name, plan.release.namespace
            step.helm.rollback(name, namespace, plan.revision, timeout=60)
            continue
        for change in reversed(plan.changes):
            if change.inverse is not None:
                patch = change.inverse
                place = (patch.api_version, patch.kind, patch.name, patch.namespace)
                step.cluster.patch(*place, operations=patch.operations)
            elif change.action == "create":
                step.cluster.delete(change.api_version, change.kind, change.name, change.namespace)
