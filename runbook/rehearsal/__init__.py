"""An embedded Kubernetes cluster to rehearse on.

``Twin`` runs it in this process; ``up``, ``down``, ``active`` and ``status`` deal with one in the
background. Importing this package is cheap: the server is loaded when one is started.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runbook.rehearsal.daemon import Running, active, default_directory, down, status, up

if TYPE_CHECKING:
    from runbook.rehearsal.twin import Twin

__all__ = ["Running", "Twin", "active", "default_directory", "down", "status", "up"]


def __getattr__(name: str) -> Any:
    """Load ``Twin`` when it is first asked for."""
    if name == "Twin":
        from runbook.rehearsal.twin import Twin  # noqa: PLC0415 - the server takes time to load

        return Twin
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
