"""Run one of the image modules without loading the packages above it.

Started by path, so that a container's process is up in a fraction of the time that importing
the rehearsal cluster would take.
"""

from __future__ import annotations

import runpy
import sys
import types
from pathlib import Path

_HERE = Path(__file__).resolve().parent

if __name__ == "__main__":
    sys.path.pop(0)  # this directory: its modules are reached by their full names only
    for name, path in (
        ("runbook", _HERE.parent.parent),
        ("runbook.rehearsal", _HERE.parent),
        ("runbook.rehearsal.images", _HERE),
    ):
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    runpy.run_module(sys.argv[1], run_name="__main__")
