"""`runbook export`: manifests that run a batch in a cluster."""

# ruff: noqa: PLC0415 - help and lists must be instant: commands import what they need
from __future__ import annotations

from pathlib import Path

import click

from runbook.cli.options import FILES, FIRST, LAST, ONLY, PAIRS, WITH, pairs_of
from runbook.errors import UsageError

__all__ = ["export"]


@click.command()
@click.argument("engine", type=click.Choice(["kubernetes-jobs", "argo"]))
@FILES
@PAIRS
@click.option("--mode", metavar="MODE", help="plan, apply (the default) or verify.")
@FIRST
@LAST
@ONLY
@WITH
@click.option("--image", required=True, help="Image that holds the clone.")
@click.option(
    "--namespace", default="linkerd-runbook", show_default=True, help="Where it all goes."
)
@click.option("--claim", default="", metavar="NAME", help="Keep records on this volume claim.")
@click.option("--copy-to", default="", metavar="URL", help="Or copy each record to this address.")
@click.option(
    "--kubeconfig-secret",
    default="",
    metavar="NAME",
    help="Secret whose key `config` is a kubeconfig, for clusters other than in-cluster.",
)
@click.option(
    "--environment-secret",
    default="",
    metavar="NAME",
    help="Secret that becomes environment: for env: references and credentials of --copy-to.",
)
@click.option(
    "--cluster-role",
    default="",
    metavar="NAME",
    help="ClusterRole with what the notebooks need, for in-cluster.",
)
@click.option(
    "--parallel",
    type=click.IntRange(min=1),
    default=None,
    help="Clusters at the same time (argo; 2 by default). Jobs all start at once.",
)
def export(  # noqa: PLR0917 - click passes by name
    engine: str,
    files: tuple[Path, ...],
    pairs: tuple[str, ...],
    mode: str | None,
    first: str,
    last: str,
    only: str,
    also: str,
    image: str,
    namespace: str,
    claim: str,
    copy_to: str,
    kubeconfig_secret: str,
    environment_secret: str,
    cluster_role: str,
    parallel: int | None,
) -> None:
    """Print manifests that run the notebooks in a cluster, one pod for each target.

    ENGINE is what runs the pods: Jobs of Kubernetes itself, or a Workflow of Argo Workflows.
    Nothing is sent anywhere; `kubectl apply -f` takes what is printed.
    """
    from runbook.export import Setup, argo, kubernetes_jobs, prepare, render
    from runbook.fields import words
    from runbook.fleet import targets
    from runbook.notebooks import select

    if parallel and engine != "argo":
        raise UsageError("--parallel is for argo", why="Jobs of Kubernetes all start at once")
    select(first, last, words(only), words(also))
    chosen = {"--from": first, "--until": last, "--only": only, "--with": also}
    setup = Setup(
        image=image,
        namespace=namespace,
        claim=claim,
        copy_to=copy_to,
        kubeconfig_secret=kubeconfig_secret,
        environment_secret=environment_secret,
        cluster_role=cluster_role,
        parallel=parallel or 2,
        options=tuple(f"{name}={value}" for name, value in chosen.items() if value),
    )
    overrides = pairs_of(pairs) | ({} if mode is None else {"mode": mode})
    works = prepare(targets(files, overrides), setup, overrides)
    make = argo if engine == "argo" else kubernetes_jobs
    click.echo(render(make(works, setup)), nl=False)
