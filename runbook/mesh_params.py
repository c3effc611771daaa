"""The parameters of the meshing notebooks, part of the one flat schema."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, model_validator

from runbook.fields import Label, OptionalLabel, Text, field, words
from runbook.mesh_options import as_annotations, problem

__all__ = ["MeshParams"]

_WORKLOAD = re.compile(
    r"(deployment|daemonset|statefulset|cronjob|job)/[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
)


class MeshParams(BaseModel):
    """What to mesh, and how; the services of the cluster; the ingress."""

    mesh_namespace: OptionalLabel = field("", "Namespace to mesh in notebooks 30 to 32")
    mesh_workloads: Text = field(
        "",
        "Workloads of it that notebook 30 meshes, with commas between them: deployment/NAME, "
        "daemonset/NAME, statefulset/NAME, cronjob/NAME; empty means all of them",
    )
    mesh_inject: Literal["enabled", "disabled", "ingress"] = field(
        "enabled", "Value of the annotation linkerd.io/inject in notebooks 30 and 31"
    )
    mesh_options: dict[str, Any] = field(
        {},
        "Options of the proxy in notebooks 30 and 31: names of config.linkerd.io annotations "
        'without the prefix, such as {skip-outbound-ports: "443", proxy-memory-limit: 64Mi}',
    )
    mesh_restart: bool = field(
        False, "Restart in notebook 31, one by one, what runs without what was asked for"
    )
    mesh_jobs: Literal["auto", "disable", "await", "native"] = field(
        "auto",
        "How Jobs come to their end in notebook 32: disable meshes them not, await wraps their "
        "command in linkerd-await, native makes the proxy a native sidecar; auto chooses",
    )
    mesh_by: Literal["values", "patch"] = field(
        "values",
        "How notebooks 40 to 50 change what Helm installed: values upgrades the release, patch "
        "changes the workloads themselves",
    )

    service_charts: Text = field(
        "",
        "Where the charts of Longhorn, kube-prometheus-stack and Velero are: empty (the "
        "repositories of their projects), the address of a Helm repository, or a local directory",
    )

    longhorn_namespace: Label = field("longhorn-system", "Namespace of Longhorn")
    elastic_namespace: Label = field("elastic-system", "Namespace of the ECK operator")
    logging_namespace: Label = field(
        "k3s-logging", "Namespace of Elasticsearch, Kibana and Fluent Bit"
    )
    velero_namespace: Label = field("velero", "Namespace of Velero")

    traefik_namespace: Label = field("kube-system", "Namespace of Traefik")
    inject_kube_system: bool = field(
        False,
        "Let the injector look at kube-system, which it skips from 2.12 on: K3s' Traefik is there",
    )
    route_namespace: OptionalLabel = field(
        "", "Namespace whose Ingresses notebook 51 changes; empty means every namespace"
    )
    route_ingresses: Text = field(
        "", "Ingresses that notebook 51 changes, with commas between them; empty means all"
    )

    @model_validator(mode="after")
    def _meshing_fits(self) -> MeshParams:
        """Workloads are named as kubectl does, and the options exist and have their form."""
        for workload in words(self.mesh_workloads):
            if not _WORKLOAD.fullmatch(workload):
                raise ValueError(
                    f"mesh_workloads: {workload!r} must be a kind and a name, such as "
                    "deployment/podinfo"
                )
        for name, value in self.mesh_options.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if told := problem(name, text):
                raise ValueError(f"mesh_options: {told}")
        return self

    @property
    def mesh_annotations(self) -> dict[str, str]:
        """Give the annotations of ``mesh_options``."""
        given = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in self.mesh_options.items()
        }
        return as_annotations(given)
