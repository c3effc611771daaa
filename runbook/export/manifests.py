"""The objects that run work in a cluster, by Kubernetes alone or by Argo Workflows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from runbook.export import pod
from runbook.export.work import NAME, Setup, Work

__all__ = ["Manifest", "argo", "kubernetes_jobs", "render"]

Object = dict[str, Any]
_NUMBERS = tuple("0123456789+-.")  # what a number may begin with
_RBAC = "rbac.authorization.k8s.io"

_ABOUT = {
    "ConfigMap": "The parameters of each target, validated; there is no secret among them.",
    "ClusterRoleBinding": (
        "What the notebooks may do in this cluster is in the ClusterRole {role}. Look at it: they\n"
        "write Namespaces, Secrets, CustomResourceDefinitions, webhooks and roles, so whoever may\n"
        "create pods in {namespace} may do as much."
    ),
    "Job": (
        "Runs once, is not tried again, and stays. To run it again: kubectl replace --force -f FILE"
    ),
    "Role": "What Argo's executor needs to tell how a task ended.",
    "Workflow": (
        "Runs as soon as it is there, `parallelism` targets at a time, once, and stays.\n"
        "To run it again: kubectl replace --force -f FILE"
    ),
}


@dataclass(frozen=True)
class Manifest:
    """An object, and what is said of it above it."""

    about: str
    object: Object


def kubernetes_jobs(works: Sequence[Work], setup: Setup) -> list[Manifest]:
    """Give the manifests of one Job for each target; all of them start at once."""
    jobs = [_job(work, setup) for work in works]
    return [*_common(works, setup), *(Manifest(_ABOUT["Job"], job) for job in jobs)]


def argo(works: Sequence[Work], setup: Setup) -> list[Manifest]:
    """Give the manifests of a Workflow with one task for each target."""
    role, binding = _reporter(setup)
    workflow = _object("argoproj.io/v1alpha1", "Workflow", NAME, setup.namespace)
    workflow["spec"] = {
        "entrypoint": "fleet",
        "serviceAccountName": NAME,
        "parallelism": setup.parallel,
        "templates": [_tasks(works), *(_template(work, setup) for work in works)],
    }
    return [
        *_common(works, setup),
        Manifest(_ABOUT["Role"], role),
        Manifest("", binding),
        Manifest(_ABOUT["Workflow"], workflow),
    ]


def render(manifests: Iterable[Manifest]) -> str:
    """Write manifests as YAML, each below what is said of it."""
    texts = []
    for manifest in manifests:
        about = "".join(f"# {line}\n" for line in manifest.about.splitlines())
        texts.append(about + yaml.dump(manifest.object, Dumper=_Dumper, sort_keys=False, width=100))
    return "---\n".join(texts)


def _object(api_version: str, kind: str, name: str, namespace: str = "") -> Object:
    metadata: Object = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    metadata["labels"] = {"app.kubernetes.io/name": NAME}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _common(works: Sequence[Work], setup: Setup) -> list[Manifest]:
    """Give what the pods need: a service account, its rights and the parameters."""
    account = _object("v1", "ServiceAccount", NAME, setup.namespace)
    account["automountServiceAccountToken"] = False  # pods that need it say so
    parameters = _object("v1", "ConfigMap", NAME, setup.namespace)
    parameters["data"] = {
        f"{work.name}.yaml": yaml.dump(dict(work.parameters), Dumper=_Dumper, sort_keys=False)
        for work in works
    }
    found = [Manifest("", account), Manifest(_ABOUT["ConfigMap"], parameters)]
    if setup.cluster_role:
        binding = _object(f"{_RBAC}/v1", "ClusterRoleBinding", f"{setup.namespace}-{NAME}")
        binding |= _bound("ClusterRole", setup.cluster_role, setup.namespace)
        about = _ABOUT["ClusterRoleBinding"]
        about = about.format(role=setup.cluster_role, namespace=setup.namespace)
        found.append(Manifest(about, binding))
    return found


def _bound(kind: str, role: str, namespace: str) -> Object:
    return {
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}],
    }


def _job(work: Work, setup: Setup) -> Object:
    job = _object("batch/v1", "Job", f"{NAME}-{work.name}", setup.namespace)
    job["spec"] = {
        "backoffLimit": 0,
        "template": {
            "metadata": pod.metadata(work),
            "spec": {
                "restartPolicy": "Never",
                "serviceAccountName": NAME,
                "automountServiceAccountToken": work.in_cluster,
                "terminationGracePeriodSeconds": pod.GRACE,
                "securityContext": pod.security(),
                "containers": [{"name": "runbook", **pod.container(work, setup)}],
                "volumes": pod.volumes(work, setup),
            },
        },
    }
    return job


def _tasks(works: Sequence[Work]) -> Object:
    tasks = [{"name": work.name, "template": work.name} for work in works]
    return {"name": "fleet", "dag": {"failFast": False, "tasks": tasks}}


def _template(work: Work, setup: Setup) -> Object:
    return {
        "name": work.name,
        "metadata": pod.metadata(work),
        "automountServiceAccountToken": True,  # for Argo's executor
        "podSpecPatch": json.dumps({"terminationGracePeriodSeconds": pod.GRACE}),
        "securityContext": pod.security(),
        "container": pod.container(work, setup),
        "volumes": pod.volumes(work, setup),
    }


def _reporter(setup: Setup) -> tuple[Object, Object]:
    """Give a Role for Argo's executor (workflow-rbac of its documentation), and its binding."""
    name = f"{NAME}-executor"
    role = _object(f"{_RBAC}/v1", "Role", name, setup.namespace)
    results = {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"]}
    role["rules"] = [{**results, "verbs": ["create", "patch"]}]
    binding = _object(f"{_RBAC}/v1", "RoleBinding", name, setup.namespace)
    return role, binding | _bound("Role", name, setup.namespace)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and shares nothing by anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    if text[:1] in _NUMBERS:
        style = "'"  # 1e3 is a text to this dumper, of YAML 1.1, and a number to our reader
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
