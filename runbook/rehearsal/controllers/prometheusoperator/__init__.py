"""prometheus-operator: from Prometheus objects and PodMonitors to a server and its configuration.

PodMonitors only; ServiceMonitors, rules and Alertmanager are not looked at.
"""

from runbook.rehearsal.controllers.prometheusoperator.operator import Prometheuses

__all__ = ["Prometheuses"]
