"""JupyterLab on a working copy of the notebooks.

The notebooks of the clone are templates and stay clean; what an operator runs by hand is a dated
copy, and so a record of its own. The copy is set to the chosen cluster: its cells of parameters
say what was given, and are to be read and edited there.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from runbook.cells import filled
from runbook.errors import ParameterError
from runbook.notebooks import INDEX, NOTEBOOKS, home, source
from runbook.params import Params
from runbook.secrets import Redactor

__all__ = ["command", "copy", "settings"]


def settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Give what the notebooks of a working copy are to be set to.

    On any cluster but the rehearsal the mode is ``plan`` unless one was given: who runs all cells
    of a notebook has then changed nothing yet. Relative paths are made absolute, since notebooks
    run where they are.

    Args:
        given: Parameters, from :func:`runbook.params.load`.

    Raises:
        ParameterError: One is wrong, or is a secret itself; it would be written to files.
    """
    params = Params.parse(given)
    exposed = [
        name for name, value in given.items() if Redactor().data({name: value})[name] != value
    ]
    if exposed:
        raise ParameterError(
            f"{exposed[0]} holds a secret, and would be written into the notebooks",
            fix="keep it elsewhere and write a reference: env:NAME, file:PATH or "
            "secret:NAMESPACE/NAME/KEY",
        )
    chosen = dict(given)
    if params.cluster != "rehearsal":
        chosen.setdefault("mode", "plan")
    if params.kubeconfig:
        paths = params.kubeconfig.split(os.pathsep)
        chosen["kubeconfig"] = os.pathsep.join(_absolute(path) for path in paths)
    if Path(params.chart_source).expanduser().exists() and params.chart_source:
        chosen["chart_source"] = _absolute(params.chart_source)
    return chosen


def copy(output: Path | None = None, chosen: Mapping[str, Any] | None = None) -> Path:
    """Copy the notebooks into a new dated directory and give it.

    Args:
        output: Directory of all records and working copies; by default that of the clone.
        chosen: What their cells of parameters are set to, from :func:`settings`.
    """
    folder = (output or home() / "outputs") / f"{datetime.now():%Y%m%d-%H%M%S}-lab"
    folder.mkdir(parents=True)
    for book in (INDEX, *NOTEBOOKS):
        values = dict(chosen or {})
        if book is INDEX:
            values.pop("mode", "")  # it only looks
        if values:
            _fill(source(book), folder / source(book).name, values)
        else:
            shutil.copyfile(source(book), folder / source(book).name)
    return folder


def command(folder: Path, options: Sequence[str] = ()) -> list[str]:
    """Give the command line that opens JupyterLab on a folder, with this interpreter."""
    return [
        *(sys.executable, "-m", "jupyterlab"),
        f"--ServerApp.root_dir={folder}",
        # A workspace of its own: the tabs of other projects stay where they are.
        f"--LabApp.default_url=/lab/workspaces/runbook/tree/{INDEX.name}.ipynb",
        *options,
    ]


def _fill(template: Path, path: Path, values: Mapping[str, Any]) -> None:
    notebook = json.loads(template.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if "parameters" in cell["metadata"].get("tags", ()):
            cell["source"] = filled("".join(cell["source"]), values).splitlines(keepends=True)
    text = json.dumps(notebook, indent=1, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())
