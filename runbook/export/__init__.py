"""Manifests that run a batch in a cluster: Kubernetes Jobs, or a Workflow of Argo.

Each target becomes one pod that does what `runbook run` does on a machine, in an image that holds
the clone. Nothing secret is written into a manifest: parameters that look secret are refused, and
a kubeconfig or credentials come from Secrets that exist already.
"""

from runbook.export.manifests import Manifest, argo, kubernetes_jobs, render
from runbook.export.work import Setup, Work, prepare

__all__ = ["Manifest", "Setup", "Work", "argo", "kubernetes_jobs", "prepare", "render"]
