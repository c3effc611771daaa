"""Meshing what runs on the cluster: workloads, namespaces, Jobs, services, the ingress (30-51).

Every check only reads. What is changed belongs to others, so it is changed by patches that can be
taken back, or by values of the Helm release that made it.
"""

from __future__ import annotations

from runbook.meshing.explicit import (
    forecast_workloads,
    workload_patches,
    workloads_chosen,
    workloads_meshable,
    workloads_meshed,
)
from runbook.meshing.implicit import (
    forecast_namespace,
    namespace_meshable,
    namespace_meshed,
    namespace_patches,
    namespace_restarts,
    namespace_to_restart,
)
from runbook.meshing.jobs import (
    job_endings,
    job_patches,
    jobs_changeable,
    jobs_end,
    stuck_jobs,
)
from runbook.meshing.logging_stack import (
    forecast_logging,
    logging_healthy,
    logging_meshed,
    logging_namespaces,
    logging_restarts,
    logging_there,
    logging_to_restart,
    logging_tokens,
)
from runbook.meshing.longhorn import (
    forecast_longhorn,
    longhorn_data_plane,
    longhorn_meshed,
    longhorn_patches,
    longhorn_there,
    longhorn_values,
)
from runbook.meshing.longhorn_storage import (
    longhorn_complete,
    longhorn_healthy,
)
from runbook.meshing.prometheus_stack import (
    forecast_stack,
    operator_not_hung,
    stack_meshed,
    stack_namespace,
    stack_restarts,
    stack_there,
    stack_to_restart,
    stack_values,
)
from runbook.meshing.routing import (
    routes_possible,
    routes_serve,
    routing_objects,
)
from runbook.meshing.traefik import (
    forecast_traefik,
    injector_release,
    traefik_changes,
    traefik_limits,
    traefik_meshed,
    traefik_serves,
    traefik_there,
    traefik_workloads,
)
from runbook.meshing.velero import (
    forecast_velero,
    velero_changes,
    velero_meshed,
    velero_there,
    velero_works,
)

__all__ = [
    "forecast_logging",
    "forecast_longhorn",
    "forecast_namespace",
    "forecast_stack",
    "forecast_traefik",
    "forecast_velero",
    "forecast_workloads",
    "injector_release",
    "job_endings",
    "job_patches",
    "jobs_changeable",
    "jobs_end",
    "logging_healthy",
    "logging_meshed",
    "logging_namespaces",
    "logging_restarts",
    "logging_there",
    "logging_to_restart",
    "logging_tokens",
    "longhorn_complete",
    "longhorn_data_plane",
    "longhorn_healthy",
    "longhorn_meshed",
    "longhorn_patches",
    "longhorn_there",
    "longhorn_values",
    "namespace_meshable",
    "namespace_meshed",
    "namespace_patches",
    "namespace_restarts",
    "namespace_to_restart",
    "operator_not_hung",
    "routes_possible",
    "routes_serve",
    "routing_objects",
    "stack_meshed",
    "stack_namespace",
    "stack_restarts",
    "stack_there",
    "stack_to_restart",
    "stack_values",
    "stuck_jobs",
    "traefik_changes",
    "traefik_limits",
    "traefik_meshed",
    "traefik_serves",
    "traefik_there",
    "traefik_workloads",
    "velero_changes",
    "velero_meshed",
    "velero_there",
    "velero_works",
    "workload_patches",
    "workloads_chosen",
    "workloads_meshable",
    "workloads_meshed",
]
