"""Check of Linkerd's CustomResourceDefinitions (notebook 14)."""

from __future__ import annotations

from collections.abc import Iterator

from runbook.checks import Context, Outcome
from runbook.linkerd.installed import installed
from runbook.linkerd.outcomes import Object, absent, anchor_link, condition, few, judge

__all__ = ["linkerd_crds"]

TITLE = "Linkerd's CRDs are established"
LINKERD = "control plane CustomResourceDefinitions exist"


def linkerd_crds(context: Context) -> Iterator[Outcome]:
    """Linkerd's CRDs are established and serve the versions of the line."""
    line = context.line
    notebook = "14-linkerd-crds" if line.crds_chart else "15-control-plane"
    live = {
        crd.name: context.cluster.find(
            "apiextensions.k8s.io/v1", "CustomResourceDefinition", crd.name
        )
        for crd in line.crds
    }
    if not any(live.values()) and line.crds_chart is None and not installed(context):
        seen = f"{line.name} brings them with its one chart: {notebook}"
        yield judge("linkerd-crds", TITLE, "skip", seen=seen, linkerd=LINKERD)
        return
    if not any(live.values()):
        what = f"the CRDs of {line.name}"
        yield absent(context, "linkerd-crds", TITLE, what, notebook, linkerd=LINKERD)
        return
    wrong = [
        f"{crd.name} {told}" for crd in line.crds if (told := _wrong(live[crd.name], crd.version))
    ]
    release = line.crds_chart or line.control_plane
    yield judge(
        "linkerd-crds",
        TITLE,
        not wrong,
        expected=f"{len(line.crds)} CRDs of {release.name} {release.version}",
        seen=few(wrong) or f"all {len(line.crds)} established",
        why="the CRDs are of another release line, or their install was cut short",
        fix=f"run notebook {notebook}",
        see=anchor_link("l5d-existence-crd"),
        linkerd=LINKERD,
    )


def _wrong(crd: Object | None, version: str) -> str:
    """Say what is wrong with a CRD, empty when nothing is."""
    if crd is None:
        return "is missing"
    served = [one["name"] for one in crd["spec"]["versions"] if one.get("served")]
    if version not in served:
        return f"serves {', '.join(served) or 'nothing'}, not {version}"
    if condition(crd, "Established").get("status") != "True":
        reason = condition(crd, "NamesAccepted").get("message")
        return f"is not established{': ' + reason if reason else ''}"
    return ""
