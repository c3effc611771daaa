"""`runbook audit`: the state of a cluster's mesh, read only."""

# ruff: noqa: PLC0415 - help and lists must be instant: commands import what they need
from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook.cli.options import FILES, PAIRS, pairs_of
from runbook.cli.render import near
from runbook.cli.tables import clip, plain, table

if TYPE_CHECKING:
    from runbook.cluster import Cluster
    from runbook.helm import Helm
    from runbook.meshing.audit_report import Audit
    from runbook.params import Params
    from runbook.releases import Line
    from runbook.secrets import Redactor

__all__ = ["audit"]

NEEDED = 1  # exit status when something needs attention
_STANDARD = "-"


@dataclass(frozen=True)
class _Context:
    """What the package's functions look at; a step without its notebook."""

    cluster: Cluster
    params: Params
    line: Line
    helm: Helm
    redactor: Redactor


@click.command()
@FILES
@PAIRS
@click.option("--cluster", metavar="NAME", help="'rehearsal' or the name of a kubeconfig context.")
@click.option("-n", "--namespace", default="", metavar="NAME", help="Only this namespace.")
@click.option("--all", "every", is_flag=True, help="Show every workload, not only what is partly.")
@click.option("--json", "as_json", metavar="FILE", help="Write it as JSON; - for standard output.")
@click.option("--html", "as_html", metavar="FILE", help="Write it as a page; - likewise.")
def audit(
    *,
    files: tuple[Path, ...],
    pairs: tuple[str, ...],
    cluster: str | None,
    namespace: str,
    every: bool,
    as_json: str | None,
    as_html: str | None,
) -> int:
    """Say which workloads are meshed, partly or not, and why; changes nothing.

    Exit status 0 when nothing needs attention, 1 when something does.
    """
    found, redact = _look(files, {**pairs_of(pairs), **_named(cluster)}, namespace)
    data: dict[str, Any] = redact.data(found.data())
    if as_json:
        _write(as_json, json.dumps(data, indent=1) + "\n")
    if as_html:
        from runbook import page

        _write(as_html, page.audit(data))
    if _STANDARD not in (as_json, as_html):
        for line in _report(found, every=every):
            click.echo(redact.text(line))
    return NEEDED if found.attention else 0


def _named(cluster: str | None) -> dict[str, str]:
    return {"cluster": cluster} if cluster else {}


def _look(files: tuple[Path, ...], given: dict[str, Any], namespace: str) -> tuple[Audit, Redactor]:
    from runbook import releases
    from runbook.cluster import connect
    from runbook.helm import open_helm
    from runbook.kubeconfig import credentials
    from runbook.meshing.audit import read_mesh
    from runbook.meshing.audit_report import audit as judge
    from runbook.params import Params, load
    from runbook.secrets import Redactor

    params = Params.parse({**load(files, given), "mode": "verify"})
    cluster = connect(params)
    redactor = Redactor()
    redactor.add(*credentials(params.cluster, params.kubeconfig))
    line, helm = releases.find(params.line), open_helm(cluster, params.helm)
    context = _Context(cluster, params, line, helm, redactor)
    try:
        return judge(context, read_mesh(context, namespace)), redactor
    finally:
        cluster.close()


def _write(target: str, text: str) -> None:
    if target == _STANDARD:
        click.echo(text, nl=False)
        return
    from runbook.archive.files import write_atomic

    write_atomic(Path(target), text)
    click.echo(f"wrote {near(Path(target).resolve())}", err=True)


def _report(found: Audit, *, every: bool) -> Iterator[str]:
    """Give the lines of the terminal."""
    badge = click.style("REHEARSAL ", fg="magenta") if found.rehearsal else ""
    yield badge + click.style(found.summary(), bold=True)
    running = found.version or "not installed"
    ends = ", ".join(f"{one.title} until {one.until}" for one in found.lifetimes)
    yield plain(f"control plane {running}; {ends or 'no certificates'}")
    yield ""
    rows = []
    for space in found.spaces:
        inject = f"{space.inject} (no effect)" if space.idle else space.inject
        count = f"{space.meshed}/{space.pods}"
        rows.append((click.style(plain(space.name), bold=True), inject, count, "", ""))
        for _, one in sorted(space.workloads.items()):
            if every or one.wrong or one.state == "partly":
                name = "  " + clip(plain(f"{one.kind.lower()}/{one.name}"), 42)
                count = f"{one.meshed}/{one.pods}"
                rows.append((name, "", count, one.state, clip(one.why, 60)))
    yield from table(("NAMESPACE", "INJECT", "MESHED", "STATE", "WHY"), rows, right="MESHED")
    if found.attention:
        yield ""
    for told in found.attention:
        yield f"{click.style(plain(told.where), fg='yellow')}: {plain(told.what)}"
        yield f"  {plain(told.fix)}"
