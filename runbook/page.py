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

__all__ = ["archive", "audit", "index", "notebook"]

_TEMPLATES = Path(__file__).parent / "templates"
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)


def index(result: Mapping[str, Any]) -> str:
    """Render the page of a run from its ``result.json``."""
    return _encodable(_environment().get_template("index.html.j2").render(run=result))


def audit(found: Mapping[str, Any]) -> str:
    """Render the page of an audit from its JSON form."""
    return _encodable(_environment().get_template("audit.html.j2").render(audit=found))


def notebook(executed: Mapping[str, Any], *, run: Mapping[str, Any], name: str) -> str:
    """Render an executed notebook: text and results in full, code folded away.

    Args:
        executed: The notebook, already without secrets.
        run: The ``result.json`` of its run, for title, badge and links. The page is that of the
            run's last attempt and meant for the place its files have; links are relative to it.
        name: The notebook's name, such as ``12-identity-issuer``.
    """
    from runbook.rendering import Rendering

    steps = run["steps"]
    step = next(step for step in steps if step["notebook"] == name)
    shown = _shown(step, run["attempts"][-1]["number"])
    here = posixpath.dirname(shown["files"].get("html", "")) or "."
    pages = {other["notebook"]: _link(other, here) for other in steps}
    before = [s["notebook"] for s in steps[: steps.index(step)] if s["files"].get("html")]
    rendering = Rendering(links={name: page or f"{name}.html" for name, page in pages.items()})
    cells = [rendering.cell(cell) for cell in executed["cells"]]
    template = _environment().get_template("notebook.html.j2")
    html = template.render(
        run=run,
        step=step,
        shown=shown,
        cells=[cell for cell in cells if cell is not None],
        styles=rendering.styles,
        top=posixpath.relpath("index.html", here),
        previous=(before[-1], pages[before[-1]]) if before else None,
        done=_link(step, here) if shown is not step else "",
        earlier=[(entry, _link(entry, here)) for entry in step["earlier"]],
    )
    return _encodable(html)


def _shown(step: Mapping[str, Any], attempt: int) -> Mapping[str, Any]:
    """Give what an attempt has of a step: the step itself, or the proof that it is still done."""
    proofs = [proof for proof in step["proofs"] if proof["attempt"] == attempt]
    return proofs[-1] if proofs and step["attempt"] != attempt else step


def _link(step: Mapping[str, Any], here: str) -> str:
    """Give the address of a step's page seen from a directory of the run; empty without a page."""
    file = step["files"].get("html")
    return posixpath.relpath(file, here) if file else ""


def archive(summaries: Sequence[Mapping[str, Any]]) -> str:
    """Render the page of all runs: newest first, with search and filters.

    Needs no template engine, so that commands that only look into the archive stay quick.

    Args:
        summaries: One a run: ``run`` (its directory), ``status``, ``mode``, ``line``,
            ``cluster``, ``rehearsal``, ``started``, ``seconds``, ``changed``, ``checks`` (a count
            for each verdict), ``steps`` (``notebook`` and ``status``), ``problem`` (its first
            error in one line), ``text`` (what a search looks through, in lower case) and
            ``readable``. All but ``run`` may be missing.
    """
    newest_first = sorted(summaries, key=lambda summary: str(summary["run"]), reverse=True)
    # ASCII only: that takes care of what JSON and JavaScript do not agree about
    rows = json.dumps([_row(summary) for summary in newest_first], separators=(",", ":"))
    script = _text("archive.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Template(_text("archive.html")).substitute(
        policy=f"{_POLICY}; script-src 'sha256-{digest}'",
        style=_text("style.css"),
        runs=rows.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"),
        script=script,
    )


def _row(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Give what the archive's script shows and searches of a run."""
    words = ("run", "status", "mode", "line", "cluster")
    row = {name: str(summary.get(name) or "") for name in words}
    if not summary.get("readable", True):
        row["status"] = "unreadable"
    text = [*(row[name].lower() for name in words), *(summary.get("text") or "").split()]
    ended = (s for s in summary.get("steps") or () if s["status"] not in ("ok", "not-run"))
    return row | {
        "at": next((str(step["notebook"]) for step in ended), ""),
        "rehearsal": bool(summary.get("rehearsal")),
        "started": _utc(str(summary["started"]))[:16] if summary.get("started") else "",
        "took": duration(summary["seconds"]) if summary.get("seconds") else "",
        "changed": summary.get("changed") or 0,
        "checks": summary.get("checks") or {},
        "problem": str(summary.get("problem") or ""),
        "text": " ".join(dict.fromkeys(text)),  # each word once: a fourth of the text
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
    environment.filters |= {"duration": duration, "utc": _utc, "number": _number}
    return environment


def _utc(time: str) -> str:
    """Give a time as people write it; those of a record are in UTC.

    >>> _utc("2026-11-24T20:17:03+00:00")
    '2026-11-24 20:17:03 UTC'
    """
    return f"{time[:19].replace('T', ' ')} UTC"


def _number(value: float) -> str:
    """Give four digits, and all of what stands before the point.

    >>> _number(12.3456), _number(4194304), _number(0.000012)
    ('12.35', '4,194,304', '1.2e-05')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


@cache
def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _encodable(html: str) -> str:
    """Replace what no file can hold: halves of surrogate pairs, as broken JSON may carry them."""
    return html.encode("utf-8", "replace").decode("utf-8")
