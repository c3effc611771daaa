"""What the API server demands of built-in objects beyond their schema.

Names, labels, pods and their templates, and per kind what must hold and what must not change.
The wording is that of Kubernetes' validation packages (``pkg/apis/*/validation``), checked against
recordings of a 1.35 server where there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from runbook.rehearsal.objects import workloads
from runbook.rehearsal.objects.access import binding, role, webhooks
from runbook.rehearsal.objects.crd import causes as crd_causes
from runbook.rehearsal.objects.kinds import (
    autoscaler,
    config_map,
    disruption_budget,
    ingress,
    namespace,
    node,
    secret,
    service,
    volume_claim,
)
from runbook.rehearsal.objects.metadata import check_metadata
from runbook.rehearsal.objects.pods import check_pod
from runbook.rehearsal.objects.validation import Cause

__all__ = ["causes"]

Object = Mapping[str, Any]
Rule = Callable[[Object, Object | None], Iterable[Cause]]


def causes(resource: str, obj: Object, old: Object | None = None) -> list[Cause]:
    """Validate an object, and its change if there is an old one.

    Args:
        resource: Qualified plural such as ``pods`` or ``deployments.apps``; for custom resources
            only the metadata is checked here.
        obj: The object with its defaults filled in.
        old: The stored object when it is updated.
    """
    found = list(check_metadata(resource, obj, old))
    rule = _RULES.get(resource)
    if rule is not None:
        found += rule(obj, old)
    return list(dict.fromkeys(found))


def _definition(obj: Object, old: Object | None) -> Iterable[Cause]:
    return crd_causes(obj, old)


_RULES: Mapping[str, Rule] = {
    "clusterrolebindings.rbac.authorization.k8s.io": binding,
    "clusterroles.rbac.authorization.k8s.io": role,
    "configmaps": config_map,
    "cronjobs.batch": workloads.cron_job,
    "customresourcedefinitions.apiextensions.k8s.io": _definition,
    "daemonsets.apps": workloads.daemon_set,
    "deployments.apps": workloads.deployment,
    "horizontalpodautoscalers.autoscaling": autoscaler,
    "ingresses.networking.k8s.io": ingress,
    "jobs.batch": workloads.job,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": webhooks,
    "namespaces": namespace,
    "nodes": node,
    "persistentvolumeclaims": volume_claim,
    "poddisruptionbudgets.policy": disruption_budget,
    "pods": check_pod,
    "replicasets.apps": workloads.replica_set,
    "rolebindings.rbac.authorization.k8s.io": binding,
    "roles.rbac.authorization.k8s.io": role,
    "secrets": secret,
    "services": service,
    "statefulsets.apps": workloads.stateful_set,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": webhooks,
}
