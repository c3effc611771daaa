"""The kubelets of all nodes in one: pods become running, ready and gone."""

from runbook.rehearsal.kubelet.node import Kubelet

__all__ = ["Kubelet"]
