"""An existing Prometheus, asked with a time limit, directly or through the API server."""

from __future__ import annotations

from runbook.prometheus.answers import Growth, Series, Target, Targets
from runbook.prometheus.server import Prometheus, connect_prometheus

__all__ = ["Growth", "Prometheus", "Series", "Target", "Targets", "connect_prometheus"]
