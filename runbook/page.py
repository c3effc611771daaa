"""The pages of the archive: an executed notebook, a run, all runs. They work offline.

Whatever came from a cluster is escaped. A page loads nothing from elsewhere and runs no script but
the archive's own, and its Content-Security-Policy holds the browser to that, should an output hold
HTML of another making.
"""

# ruff: noqa: PLC0415 - the record is imported by commands that render nothing
from __future__ import annotations

import base64
import hashlib
import json
import posixpath
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from runbook.show import duration

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["archive", "index", "notebook"]

_TEMPLATES = Path(__file__).parent / "templates"
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
_IN_SCRIPT = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})
"""What would end a script element or a line of it, as JSON escapes."""


def index(result: Mapping[str, Any]) -> str:
    """Render the page of a run from its ``result.json``."""
    return _encodable(_environment().get_template("index.html.j2").render(run=result))


def notebook(executed: Mapping[str, Any], *, run: Mapping[str, Any], name: str) -> str:
    """Render an executed notebook: text and results in full, code folded away.

    Args:
        executed: The notebook, already without secrets.
        run: The ``result.json`` of its run, for title, badge and links. The page is meant for
            the place that ``files`` of its step names; links are relative to it.
        name: The notebook's name, such as ``12-identity-issuer``.
    """
    from runbook.rendering import Rendering

    steps = run["steps"]
    step = next(step for step in steps if step["notebook"] == name)
    here = posixpath.dirname(step["files"].get("html", "")) or "."
    pages = {
        other["notebook"]: posixpath.relpath(other["files"]["html"], here)
        if other["files"]
        else f"{other['notebook']}.html"
        for other in steps
    }
    before = steps[: steps.index(step)]
    rendering = Rendering(links=pages)
    cells = [rendering.cell(cell) for cell in executed["cells"]]
    html = (
        _environment()
        .get_template("notebook.html.j2")
        .render(
            run=run,
            step=step,
            cells=[cell for cell in cells if cell is not None],
            styles=rendering.styles,
            top=posixpath.relpath(".", here),
            previous=next((s["notebook"] for s in reversed(before) if s["files"]), ""),
            pages=pages,
            earlier=[
                (e, posixpath.relpath(e["files"]["html"], here) if e["files"] else "")
                for e in step.get("earlier", ())
            ],
        )
    )
    return _encodable(html)


def archive(summaries: Sequence[Mapping[str, Any]]) -> str:
    """Render the page of all runs: newest first, with search and filters.

    Needs no template engine, so that commands that only look into the archive stay quick.

    Args:
        summaries: One a run: ``run`` (its directory), ``status``, ``mode``, ``line``,
            ``cluster``, ``rehearsal``, ``started``, ``seconds``, ``changed``, ``checks`` (a count
            for each verdict), ``steps`` (``notebook`` and ``status``), ``text`` (what a search
            looks through, in lower case) and ``readable``. All but ``run`` may be missing.
    """
    newest_first = sorted(summaries, key=lambda summary: str(summary["run"]), reverse=True)
    rows = json.dumps([_row(summary) for summary in newest_first], separators=(",", ":"))
    script = _text("archive.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Template(_text("archive.html")).substitute(
        policy=f"{_POLICY}; script-src 'sha256-{digest}'",
        style=_text("style.css"),
        runs=rows.translate(_IN_SCRIPT),
        script=script,
    )


def _row(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Give what the archive's script shows and searches of a run."""
    words = ("run", "status", "mode", "line", "cluster")
    row = {name: str(summary.get(name) or "") for name in words}
    if not summary.get("readable", True):
        row["status"] = "unreadable"
    ended = (s for s in summary.get("steps") or () if s["status"] not in ("ok", "not-run"))
    return row | {
        "at": next((str(step["notebook"]) for step in ended), ""),
        "rehearsal": bool(summary.get("rehearsal")),
        "started": str(summary.get("started") or "")[:16].replace("T", " "),
        "took": duration(summary["seconds"]) if summary.get("seconds") else "",
        "changed": summary.get("changed") or 0,
        "checks": summary.get("checks") or {},
        "text": " ".join([*(row[name].lower() for name in words), summary.get("text") or ""]),
    }


@cache
def _environment() -> Environment:
    """Make the template engine; templates are compiled once."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["policy"] = _POLICY
    environment.globals["style"] = Markup(_text("style.css"))  # noqa: S704 - a file of ours
    environment.filters["duration"] = duration
    return environment


@cache
def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _encodable(html: str) -> str:
    """Replace what no file can hold: halves of surrogate pairs, as broken JSON may carry them."""
    return html.encode("utf-8", "replace").decode("utf-8")
