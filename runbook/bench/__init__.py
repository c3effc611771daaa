"""The benchmark: design, load, latency, footprint, statistics, charts.

The names here are the checks that notebooks name; what they do is :mod:`runbook.benchmark`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = [
    "access",
    "budget",
    "campaign_checks",
    "footprint_checks",
    "latency_checks",
    "node_health",
    "nodes",
    "quiet",
    "servers",
]


def __getattr__(name: str) -> Any:
    """Load the checks when one is first used: they bring numpy and scipy."""
    if name not in __all__:
        raise AttributeError(f"module 'runbook.bench' has no attribute {name!r}")
    return getattr(import_module("runbook.bench.checks"), name)
