"""The parameters of a notebook's cells: reading those that are set, and setting others."""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from runbook.errors import ParameterError, UsageError
from runbook.notebooks import NOTEBOOKS, Notebook
from runbook.params import Params

__all__ = ["declared", "filled", "given", "injected"]

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

    Those that the notebook declares, and those of the whole schema that were added to its cell of
    parameters or injected by papermill: one parameter file serves all notebooks.

    Args:
        notebook: Which one.
        variables: The notebook's variables, ``globals()``.

    Raises:
        ParameterError: A name was added or injected that is no parameter at all.
    """
    names = dict.fromkeys(notebook.parameters)
    for name in [*_declaring(notebook, variables), *injected(variables)]:
        if name not in Params.model_fields:
            near = difflib.get_close_matches(name, Params.model_fields, n=1)
            raise ParameterError(
                f"there is no parameter {name!r}",
                why="it is set in the cell of parameters, on the command line or in a file",
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
    marked = (cell for cell in _sources(variables) if cell.lstrip().startswith(_MARK))
    return [name for cell in marked for name in _assigned(cell)]


def filled(source: str, values: Mapping[str, Any]) -> str:
    """Give the source of a cell of parameters with other values; those it lacks are added.

    >>> filled('mode: str = "apply"  # plan, apply or verify', {"mode": "plan"})
    'mode: str = "plan"  # plan, apply or verify'
    """
    lines = source.splitlines()
    left = dict(values)
    for node in ast.parse(source).body:
        if isinstance(node, ast.AnnAssign) and node.value and ast.unparse(node.target) in left:
            value, at = node.value, node.value.lineno - 1
            written = _literal(left.pop(ast.unparse(node.target)))
            lines[at] = _spliced(lines[at], value.col_offset, value.end_col_offset, written)
    for name, value in left.items():
        meaning = (Params.model_fields[name].description or "").partition(". ")[0]
        lines.append(f"{name}: {type(value).__name__} = {_literal(value)}  # {meaning}")
    return "\n".join(lines)


def _spliced(line: str, start: int, end: int | None, text: str) -> str:
    """Put a text in place of part of a line; positions count bytes, as :mod:`ast` does."""
    raw = line.encode()
    return (raw[:start] + text.encode() + raw[end:]).decode()


def _literal(value: Any) -> str:
    """Write a value as the notebooks do: text in double quotes."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _declaring(notebook: Notebook, variables: Mapping[str, Any]) -> list[str]:
    """Give the names set in the cell of parameters as it was run last."""
    for cell in reversed(list(_sources(variables))):
        names = _assigned(cell)
        if set(notebook.parameters) <= set(names):
            return names
    return []


def _sources(variables: Mapping[str, Any]) -> Iterable[str]:
    cells = variables.get("In")
    if not isinstance(cells, list):
        return ()
    return (cell for cell in cells if isinstance(cell, str))


def _assigned(source: str) -> list[str]:
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a cell with a magic is not papermill's
        return []
    found: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found += [target.id for target in targets if isinstance(target, ast.Name)]
    return found
