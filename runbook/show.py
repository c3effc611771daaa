"""One look for everything a notebook shows.

A value that can be shown gives three forms of itself at once: HTML for JupyterLab and exported
pages, plain text for terminals and logs, and JSON for the runner, which reads results from
executed notebooks. The HTML carries its styles inline and takes text and background colour from
the page, so that it reads on light and dark; a verdict is a word and a sign, never a colour
alone; and everything that came from a cluster is escaped.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol

__all__ = [
    "MEDIA_TYPE",
    "REHEARSAL",
    "Cell",
    "Display",
    "Showable",
    "Table",
    "bundle",
    "chip",
    "diff_html",
    "display",
    "duration",
    "silence",
    "verdict",
]

MEDIA_TYPE = "application/vnd.linkerd-runbook+json"
REHEARSAL = "REHEARSAL"

# Dark enough for white text (contrast at least 4.5) on any page.
_TONES = {
    "pass": "#1a7f37",
    "warn": "#8a5a00",
    "fail": "#c21f2b",
    "skip": "#59636e",
    "create": "#1a7f37",
    "update": "#8a5a00",
    "delete": "#c21f2b",
    "none": "#59636e",
    "badge": "#6639ba",
}
_SIGNS = {
    "pass": "✔",
    "warn": "▲",
    "fail": "✘",
    "skip": "–",  # noqa: RUF001 - a dash as a sign, not as a hyphen
    "create": "+",
    "update": "~",
    "delete": "-",  # the signs of a diff
    "none": "=",
}
_LINE = "1px solid rgba(128,128,128,.35)"
_FONT = "font-family:system-ui,sans-serif;font-size:13px;line-height:1.45"
_MONO = "font-family:ui-monospace,Menlo,Consolas,monospace;font-size:12px"
_SILENT: ContextVar[bool] = ContextVar("_SILENT", default=False)
_SHORT = 14  # characters of a cell that is never broken
_COLUMN = 46  # widest column of a plain-text table, in characters


class Showable(Protocol):
    """What :func:`display` can show: a value with all of its forms."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]: ...


Display = Callable[[Showable], None]


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: What it says; escaped when rendered as HTML. Lines are kept.
        tone: A verdict or an action, shown as a chip with its sign.
        code: Whether to use a fixed-width font.
        link: Where the text leads to, as a path beside the notebook.
    """

    text: str
    tone: str = ""
    code: bool = False
    link: str = ""

    def plain(self) -> str:
        """Give the text with its sign.

        >>> Cell("pass", tone="pass").plain()
        '✔ pass'
        """
        return f"{_SIGNS[self.tone]} {self.text}" if self.tone in _SIGNS else self.text

    def html(self) -> str:
        """Give the cell's content as HTML."""
        if self.tone:
            return chip(self.plain(), self.tone)
        if self.link:
            style = "color:inherit;text-decoration:underline"
            return f'<a style="{style}" href="{escape(self.link)}">{_lines(self.text)}</a>'
        style = f' style="{_MONO}"' if self.code else ""
        return f"<span{style}>{_lines(self.text)}</span>" if self.text else ""


@dataclass(frozen=True)
class Table:
    """A titled table.

    Attributes:
        title: What the table is about.
        columns: Column headings; empty headings are allowed.
        rows: Cells or plain strings, as many as there are columns.
        badge: A word to warn with before the title, such as ``REHEARSAL``.
        note: A closing line.
        folded: Whether a page shows the title alone until it is clicked.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    badge: str = ""
    note: str = ""
    folded: bool = False

    def html(self) -> str:
        """Render for JupyterLab and exported pages."""
        columns, rows = self._filled()
        head = "".join(f'<th style="{_cell_style(head=True)}">{escape(c)}</th>' for c in columns)
        body = "".join(
            '<tr style="background:transparent">'
            + "".join(f'<td style="{_cell_style(cell.text)}">{cell.html()}</td>' for cell in row)
            + "</tr>"
            for row in rows
        )
        heading = f"<thead><tr>{head}</tr></thead>" if any(columns) else ""
        table = (
            '<table style="border-collapse:collapse;margin:0;width:auto;'
            f'color:inherit;{_FONT}">{heading}<tbody>{body}</tbody></table>'
        )
        note = f'<div style="margin:4px 0 0;opacity:.8">{_lines(self.note)}</div>'
        body = (table if rows else "") + (note if self.note else "")
        if self.folded:
            return details_html(title_text(self.title, self.badge), body)
        return (
            f'<div style="{_FONT};margin:4px 0 10px;color:inherit">'
            f"{title_html(self.title, self.badge)}{body}</div>"
        )

    def text(self) -> str:
        """Render for a terminal or a log."""
        columns, rows = self._filled()
        lines = [title_text(self.title, self.badge)]
        grid = [[_wrap(cell) for cell in row] for row in rows]
        if any(columns) and rows:
            grid.insert(0, [[c.upper()] for c in columns])
        widths = [
            max((len(line) for row in grid for line in row[i]), default=0)
            for i in range(len(columns))
        ]
        for row in grid:
            for n in range(max((len(cell) for cell in row), default=0)):
                parts = [
                    (cell[n] if n < len(cell) else "").ljust(width)
                    for cell, width in zip(row, widths, strict=True)
                ]
                lines.append("  " + "  ".join(parts).rstrip())
        if self.note:
            lines.append("  " + self.note.replace("\n", "\n  "))
        return "\n".join(lines)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return bundle(self.html(), self.text(), {"type": "table", "title": self.title})

    def _filled(self) -> tuple[list[str], list[list[Cell]]]:
        """Give headings and cells without the columns that say nothing in any row."""
        cells = [[_cell(c) for c in row] for row in self.rows]
        kept = [i for i in range(len(self.columns)) if any(row[i].text for row in cells)]
        return [self.columns[i] for i in kept], [[row[i] for i in kept] for row in cells]


def verdict(name: str) -> Cell:
    """Give the cell for a verdict or an action: its sign and its word.

    >>> verdict("warn").plain()
    '▲ warn'
    """
    return Cell(name, tone=name)


def chip(text: str, tone: str) -> str:
    """Give a coloured label as HTML; the text must say it without the colour too."""
    return (
        f'<span style="background:{_TONES.get(tone, _TONES["skip"])};color:#fff;border-radius:4px;'
        f'padding:1px 7px;font-weight:600;white-space:nowrap">{escape(text)}</span>'
    )


def title_html(title: str, badge: str = "") -> str:
    """Give a heading with its badge as HTML."""
    mark = f"{chip(badge, 'badge')} " if badge else ""
    return f'<div style="font-weight:600;margin:0 0 4px">{mark}{escape(title)}</div>'


def title_text(title: str, badge: str = "") -> str:
    """Give a heading with its badge as text.

    >>> title_text("Plan", "REHEARSAL")
    '[REHEARSAL] Plan'
    """
    return f"[{badge}] {title}" if badge else title


def diff_html(diff: str) -> str:
    """Give a unified diff as HTML: its own signs stay, colour only helps."""
    tints = {"+": "rgba(46,160,67,.20)", "-": "rgba(248,81,73,.20)"}
    lines = []
    for line in diff.splitlines():
        tint = (
            tints.get(line[:1], "transparent") if line[:3] not in ("+++", "---") else "transparent"
        )
        lines.append(f'<div style="background:{tint}">{escape(line) or "&nbsp;"}</div>')
    return (
        f'<pre style="{_MONO};margin:2px 0 6px;padding:4px 8px;border:{_LINE};border-radius:4px;'
        f'background:transparent;color:inherit;overflow:auto;line-height:1.4">{"".join(lines)}</pre>'
    )


def details_html(summary: str, body: str, *, opened: bool = False) -> str:
    """Give a block that opens and closes on a click; ``body`` is HTML already."""
    attribute = " open" if opened else ""
    return (
        f'<details{attribute} style="margin:2px 0;color:inherit;{_FONT}">'
        f'<summary style="cursor:pointer">{escape(summary)}</summary>{body}</details>'
    )


def duration(seconds: float) -> str:
    """Give a length of time as a person says it.

    >>> duration(0.042), duration(3.2), duration(125), duration(7260)
    ('42 ms', '3.2 s', '2 min 5 s', '2 h 1 min')
    """
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def bundle(html: str, text: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Give the forms of a value by media type, as IPython's display protocol wants them."""
    return {"text/html": html, "text/plain": text, MEDIA_TYPE: dict(data)}


def display(value: Showable) -> None:
    """Show a value: as an output in a notebook, as text everywhere else."""
    if _SILENT.get():
        return
    forms = value._repr_mimebundle_()
    if _in_kernel():
        from IPython import display as ipython  # noqa: PLC0415 - heavy, kernels only

        publish: Any = ipython.publish_display_data  # it has no types
        publish(forms, _alternatives(forms))
    else:
        print(forms["text/plain"])


@contextmanager
def silence() -> Iterator[None]:
    """Show nothing meanwhile: what is made within is looked at by the program alone."""
    token = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(token)


def _alternatives(forms: Mapping[str, Any]) -> dict[str, Any]:
    """Give the text for who cannot see an image, as metadata of the image.

    >>> _alternatives({"image/png": "...", MEDIA_TYPE: {"alt": "one line, rising"}})
    {'image/png': {'alt': 'one line, rising'}}
    """
    alt = forms.get(MEDIA_TYPE, {}).get("alt")
    return {kind: {"alt": alt} for kind in forms if alt and kind.startswith("image/")}


def _in_kernel() -> bool:
    """Tell whether the process is a notebook's kernel; never imports IPython to find out."""
    import sys  # noqa: PLC0415

    shell = sys.modules.get("IPython")
    return shell is not None and "kernel" in type(shell.get_ipython()).__module__


def _cell(value: Cell | str) -> Cell:
    return value if isinstance(value, Cell) else Cell(value)


def _cell_style(text: str = "", *, head: bool = False) -> str:
    """Give the style of a cell; a short word or number stays whole, a long one breaks anywhere."""
    weight = ";font-weight:600;opacity:.75" if head else ""
    short = len(text) <= _SHORT and "\n" not in text
    wrap = "white-space:nowrap" if head or short else "white-space:normal;overflow-wrap:anywhere"
    return (
        f"text-align:left;vertical-align:top;padding:3px 10px 3px 0;border:0;border-bottom:{_LINE};"
        f"background:transparent;color:inherit;max-width:34em;{wrap}{weight}"
    )


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")


def _wrap(cell: Cell) -> list[str]:
    lines = cell.plain().splitlines() or [""]
    if cell.code:  # to be copied as it is
        return lines
    return [
        part
        for line in lines
        for part in textwrap.wrap(line, _COLUMN, break_long_words=False, break_on_hyphens=False)
        or [""]
    ]


def joined(parts: Iterable[str]) -> str:
    """Join the parts that say something, one a line."""
    return "\n".join(part for part in parts if part)
