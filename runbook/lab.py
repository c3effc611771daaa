"""JupyterLab on a working copy of the notebooks.

The notebooks of the clone are templates and stay clean; what an operator runs by hand is a dated
copy, and so a record of its own.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from runbook.notebooks import NOTEBOOKS, home, source

__all__ = ["command", "copy"]


def copy(output: Path | None = None) -> Path:
    """Copy the notebooks into a new dated directory and give it."""
    folder = (output or home() / "outputs") / f"{datetime.now():%Y%m%d-%H%M%S}-lab"
    folder.mkdir(parents=True)
    for book in NOTEBOOKS:
        shutil.copyfile(source(book), folder / source(book).name)
    return folder


def command(folder: Path, options: Sequence[str] = ()) -> list[str]:
    """Give the command line that opens JupyterLab on a folder, with this interpreter."""
    first = f"{NOTEBOOKS[0].name}.ipynb"
    return [
        *(sys.executable, "-m", "jupyterlab"),
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.default_url=/lab/tree/{first}",
        *options,
    ]
