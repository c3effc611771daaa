"""The HTML of a run: one page per executed notebook and an index. Self-contained, works offline."""

# ruff: noqa: PLC0415 - nbformat alone takes a second to import
from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["index", "notebook"]

_TEMPLATES = Path(__file__).parent / "templates"
_LINK = re.compile(r'<a href="(?P<name>\d\d-[a-z0-9-]+)\.ipynb"')


def index(result: Mapping[str, Any]) -> str:
    """Render the index page of a run from its ``result.json``."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(_TEMPLATES)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("index.html.j2").render(run=result, style=_style())


def notebook(executed: Mapping[str, Any], *, run: Mapping[str, Any], name: str) -> str:
    """Render an executed notebook: text and results in full, code folded away.

    Args:
        executed: The notebook, already without secrets.
        run: The ``result.json`` of its run, for title, badge and links.
        name: The notebook's name, such as ``12-identity-issuer``.
    """
    import nbformat
    from nbconvert import HTMLExporter

    names = [step["notebook"] for step in run["steps"] if step["files"] or step["notebook"] == name]
    at = names.index(name)
    step = next(step for step in run["steps"] if step["notebook"] == name)
    resources = {
        "runbook": {
            "run": run,
            "step": step,
            "style": _style(),
            "previous": names[at - 1] if at else "",
        }
    }
    make: Any = HTMLExporter  # nbconvert and nbformat carry no types
    exporter = make(template_name="notebook", extra_template_basedirs=[str(_TEMPLATES)])
    read: Any = nbformat.from_dict
    body, _ = exporter.from_notebook_node(read(executed), resources=resources)
    return _LINK.sub(lambda found: _linked(found, run), str(body))


def _linked(found: re.Match[str], run: Mapping[str, Any]) -> str:
    """Lead a link between notebooks to the page of this run, or nowhere if there is none."""
    there = any(step["notebook"] == found["name"] for step in run["steps"])
    return f'<a href="{found["name"]}.html"' if there else "<a"


def _style() -> str:
    return (_TEMPLATES / "style.css").read_text(encoding="utf-8")
