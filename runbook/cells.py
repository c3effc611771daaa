"""The parameters a notebook's cells have set: the declared ones and those injected by papermill."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from runbook.errors import ParameterError, UsageError
from runbook.notebooks import NOTEBOOKS, Notebook
from runbook.params import Params

__all__ = ["declared", "given", "injected"]

_MARK = "# Parameters"  # first line of the cell that papermill puts in


def declared(name: str) -> Notebook:
    """Find a notebook by name.

    Raises:
        UsageError: There is none of that name.
    """
    for notebook in NOTEBOOKS:
        if notebook.name == name:
            return notebook
    names = [notebook.name for notebook in NOTEBOOKS]
    near = difflib.get_close_matches(name, names, n=1)
    raise UsageError(
        f"there is no notebook {name!r}",
        fix=f"did you mean {near[0]}?" if near else "`runbook list` shows all of them",
    )


def given(notebook: Notebook, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Give the parameters that a notebook's cells have set.

    Those that the notebook declares, and those of the whole schema that papermill injected: one
    parameter file serves all notebooks.

    Args:
        notebook: Which one.
        variables: The notebook's variables, ``globals()``.

    Raises:
        ParameterError: Papermill injected a name that is no parameter at all.
    """
    names = dict.fromkeys(notebook.parameters)
    for name in injected(variables):
        if name not in Params.model_fields:
            near = difflib.get_close_matches(name, Params.model_fields, n=1)
            raise ParameterError(
                f"there is no parameter {name!r}",
                why="it was given on the command line or in a parameter file",
                fix=f"did you mean {near[0]}?"
                if near
                else f"`runbook show {notebook.name}` lists the parameters",
            )
        names[name] = None
    return {name: variables[name] for name in names if name in variables}


def injected(variables: Mapping[str, Any]) -> list[str]:
    """Give the names set in cells that begin with papermill's mark.

    Args:
        variables: The notebook's variables; IPython keeps the source of executed cells in
            ``In``.
    """
    return [name for cell in _sources(variables) for name in _assigned(cell)]


def _sources(variables: Mapping[str, Any]) -> Iterable[str]:
    cells = variables.get("In")
    if not isinstance(cells, list):
        return ()
    return (cell for cell in cells if isinstance(cell, str) and cell.lstrip().startswith(_MARK))


def _assigned(source: str) -> list[str]:
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a cell with a magic is not papermill's
        return []
    return [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
