"""An embedded Kubernetes cluster to rehearse on.

``Twin`` runs it in this process; ``up``, ``down`` and ``active`` run it in the background.
Importing this package is cheap: the server is loaded when one is started.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runbook.rehearsal.twin import Twin

__all__ = ["Twin"]


def __getattr__(name: str) -> Any:
    """Load ``Twin`` when it is first asked for."""
    if name == "Twin":
        from runbook.rehearsal.twin import Twin

        return Twin
    raise AttributeError(name)
