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

__all__ = [
    "forecast_namespace",
    "forecast_workloads",
    "namespace_meshable",
    "namespace_meshed",
    "namespace_patches",
    "namespace_restarts",
    "namespace_to_restart",
    "workload_patches",
    "workloads_chosen",
    "workloads_meshable",
    "workloads_meshed",
]
