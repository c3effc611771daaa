"""What every notebook uses, loaded ahead of it: imported by the process that kernels fork from.

Nothing here may start a thread or load Helm, whose runtime does not survive a fork.
"""

from __future__ import annotations

import importlib
import sys

from runbook.imports import quick_jsonschema

__all__ = ["MODULES", "load"]

MODULES = (
    *("runbook.step", "runbook.linkerd", "kubernetes.client", "kubernetes.config"),
    *("ipykernel.kernelapp", "ipykernel.ipkernel", "IPython.core.completerlib"),
    *("IPython.core.debugger", "IPython.extensions.storemagic", "ipykernel.debugger"),
    *("psutil", "sqlite3", "tornado.platform.asyncio"),
)


def load() -> None:
    """Import the modules."""
    modules: dict[str, object] = sys.modules  # type: ignore[assignment] # None means: not there
    modules.setdefault("debugpy", None)  # loading the debugger takes longer than all of a start
    with quick_jsonschema():
        for name in MODULES:
            importlib.import_module(name)


load()
