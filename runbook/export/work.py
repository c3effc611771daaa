"""What is to be run in a cluster: targets turned into work for pods, or refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runbook.errors import ParameterError, UsageError
from runbook.fleet import Target
from runbook.kubeconfig import IN_CLUSTER, REHEARSAL
from runbook.params import load
from runbook.secrets import Redactor, is_reference

__all__ = ["KUBECONFIG", "NAME", "Setup", "Work", "prepare"]

NAME = "linkerd-runbook"
"""Name of what there is one of, and the beginning of the other names."""

KUBECONFIG = "/kubeconfig/config"
"""Where a pod finds the kubeconfig."""


@dataclass(frozen=True)
class Setup:
    """What the manifests need beside the parameters.

    Attributes:
        image: An image that holds the clone, with ``runbook`` on its PATH.
        namespace: Where all of it goes; it must exist.
        claim: PersistentVolumeClaim for the records.
        copy_to: Address to which a record is copied instead, such as ``s3://bucket/records``.
        kubeconfig_secret: Secret whose key ``config`` is a kubeconfig, for other clusters.
        environment_secret: Secret whose keys become variables: for ``env:`` references and for
            the credentials of ``copy_to``.
        cluster_role: ClusterRole for the cluster the pods run in.
        parallel: How many targets at the same time; Argo only.
        options: Further options of ``runbook run``.
    """

    image: str
    namespace: str = NAME
    claim: str = ""
    copy_to: str = ""
    kubeconfig_secret: str = ""
    environment_secret: str = ""
    cluster_role: str = ""
    parallel: int = 1
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Work:
    """What one pod has to do.

    Attributes:
        name: Of the target, fit for names of objects.
        parameters: As they are written for the pod.
    """

    name: str
    parameters: Mapping[str, Any] = field(repr=False)

    @property
    def cluster(self) -> str:
        """Name of the cluster, as in the parameters."""
        return str(self.parameters.get("cluster", REHEARSAL))

    @property
    def in_cluster(self) -> bool:
        """Whether the cluster is the one the pod runs in."""
        return self.cluster == IN_CLUSTER and not self.by_kubeconfig

    @property
    def by_kubeconfig(self) -> bool:
        """Whether a kubeconfig is needed to reach the cluster."""
        named = bool(self.parameters.get("kubeconfig"))
        return named or self.cluster not in (IN_CLUSTER, REHEARSAL)


def prepare(
    targets: Sequence[Target], setup: Setup, overrides: Mapping[str, Any] | None = None
) -> tuple[Work, ...]:
    """Turn targets into work for pods.

    Args:
        targets: See :func:`runbook.fleet.targets`, which has validated their parameters.
        setup: What there is in the cluster.
        overrides: Parameters of the command line.

    Raises:
        ParameterError: A parameter looks secret, or means something of this machine.
        UsageError: Something is missing in the setup, or has no use.
    """
    slugs = _slugs([target.name for target in targets])
    given = [load(target.files, overrides) for target in targets]
    works = tuple(map(Work, slugs, given))
    for work in works:
        _refuse_secrets(work)
        _refuse_local(work, setup)
    _check(works, setup)
    return tuple(
        Work(work.name, {**work.parameters, "kubeconfig": KUBECONFIG})
        if work.by_kubeconfig
        else Work(work.name, {k: v for k, v in work.parameters.items() if k != "kubeconfig"})
        for work in works
    )


def _refuse_secrets(work: Work) -> None:
    redact = Redactor().data
    for name, value in work.parameters.items():
        if redact({name: value}) != {name: value}:
            raise ParameterError(
                f"{work.name}: the parameter {name} holds what looks like a secret",
                why="a ConfigMap is no place for one: whoever reads the namespace reads it",
                fix="write a reference instead: secret:NAMESPACE/NAME/KEY, or env:NAME with "
                "--environment-secret",
            )


def _refuse_local(work: Work, setup: Setup) -> None:
    """Refuse what a parameter means on this machine and would not mean in a pod."""
    source = str(work.parameters.get("chart_source", ""))
    if source and not re.match(r"(https?|oci)://", source):
        raise ParameterError(
            f"{work.name}: chart_source is a directory of this machine",
            fix="name a Helm repository or an OCI registry that the pods can reach",
        )
    for reference in _references(work.parameters):
        if reference.startswith("file:"):
            raise ParameterError(
                f"{work.name}: {reference} is a file of this machine",
                fix="write secret:NAMESPACE/NAME/KEY instead",
            )
        if reference.startswith("env:") and not setup.environment_secret:
            raise UsageError(
                f"{work.name}: {reference} needs a variable in the pod",
                fix="name the Secret that holds it: --environment-secret NAME",
            )


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, str) and is_reference(value):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _check(works: Sequence[Work], setup: Setup) -> None:
    """Refuse a setup that cannot work, or in which something has no use."""
    if bool(setup.claim) == bool(setup.copy_to):
        raise UsageError(
            "where are the records to be kept?",
            why="a pod's own files end with it",
            fix="name a PersistentVolumeClaim (--claim) or an address to copy to (--copy-to)",
        )
    if Redactor().text(setup.copy_to) != setup.copy_to:
        raise UsageError(
            "the address to copy to holds a password",
            fix="put credentials into a Secret and name it: --environment-secret NAME",
        )
    inside = [work.name for work in works if work.in_cluster]
    if inside and not setup.cluster_role:
        raise UsageError(
            f"what may {', '.join(inside)} do in the cluster it runs in?",
            why="its service account has no rights of its own",
            fix="name a ClusterRole with what the notebooks need: --cluster-role NAME (notebook 00 "
            "lists the permissions)",
        )
    if setup.cluster_role and not inside:
        raise UsageError(f"no target is {IN_CLUSTER!r}, so --cluster-role has no use")
    outside = [work for work in works if work.by_kubeconfig]
    if outside and not setup.kubeconfig_secret:
        raise UsageError(
            f"how are {', '.join(work.cluster for work in outside)} reached?",
            fix="put a kubeconfig with these contexts into a Secret, under the key config, and "
            f"name it: --kubeconfig-secret NAME; or write cluster: {IN_CLUSTER}",
        )
    if len({work.cluster for work in outside}) < len(outside):
        raise UsageError(
            "several targets have the same context",
            why="in a cluster they all use one kubeconfig",
            fix="give the contexts different names (kubectl config rename-context)",
        )


def _slugs(names: Sequence[str]) -> list[str]:
    """Make names fit for labels and names of objects, and keep them different."""
    slugs: list[str] = []
    for name in names:
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower())[:40].strip("-") or "cluster"
        taken = sum(1 for other in slugs if other == slug or other.startswith(f"{slug}-x"))
        slugs.append(f"{slug}-x{taken + 1}" if taken else slug)
    return slugs
