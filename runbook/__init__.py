"""Install, verify, mesh, operate and benchmark Linkerd on a Raspberry Pi K3s cluster.

The names here are what a notebook needs; importing this package loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = [
    "bench",
    "bench_history",
    "benchmark",
    "certs",
    "linkerd",
    "manifests",
    "meshing",
    "observability",
    "open_step",
    "show_steps",
]

_HOMES = {"open_step": "runbook.step", "show_steps": "runbook.overview"}


def __getattr__(name: str) -> Any:
    """Load public names when they are first used."""
    if name not in __all__:
        raise AttributeError(f"module 'runbook' has no attribute {name!r}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    return import_module(f"runbook.{name}")
