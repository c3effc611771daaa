"""What the cells of an executed notebook become on its page.

Three kinds of content, three ways: HTML of :mod:`runbook.show` is escaped by its maker and kept;
HTML and Markdown of other libraries go through a sanitizer; everything else is text. Text that is
too long for a page keeps its first and its last part and says what is missing.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import mistune
from markupsafe import Markup

from runbook.show import MEDIA_TYPE

__all__ = ["Cell", "Output", "Rendering"]

_FIRST, _LAST = 20_000, 10_000
"""How many characters of a long text are kept of its start and of its end: some 400 lines."""

_HTML_LIMIT = 500_000
"""Longest HTML of one output, in characters; a longer one is shown as text."""

_IMAGES = ("image/svg+xml", "image/png", "image/jpeg", "image/gif")
_ESCAPE_CODES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours and cursor moves
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # window titles, links
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_STYLE = re.compile(r' style="([^"]*)"')
_DATA_FILE = re.compile(r"data/[a-z0-9][a-z0-9.-]*")
_LINK = re.compile(r'<a (?P<more>[^>]*?)href="(?P<name>\d\d-[a-z0-9-]+)\.ipynb(?P<at>#[^"]*)?"')
_TAGS = (
    *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "div", "span", "p", "br"),
    *("hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "pre", "code"),
    *("b", "strong", "i", "em", "u", "s", "sub", "sup", "small", "blockquote", "a"),
)


@dataclass(frozen=True)
class Output:
    """One output, ready for the page.

    Attributes:
        kind: ``html``, ``image``, ``text``, ``stream``, ``stderr`` or ``error``.
        content: Safe HTML, the address of an image, or text that is still to be escaped.
        rest: The end of a text whose middle is left out.
        left_out: How much that is, in words; empty if nothing is.
        alt: What an image shows.
    """

    kind: str
    content: str
    rest: str = ""
    left_out: str = ""
    alt: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell, ready for the page.

    Attributes:
        id: The cell's id, for links.
        text: A Markdown cell as safe HTML.
        summary: What the folded code of a code cell is called.
        source: The code.
        outputs: What it gave.
    """

    id: str
    text: str = ""
    summary: str = ""
    source: str = ""
    outputs: tuple[Output, ...] = ()


@dataclass(frozen=True)
class Rendering:
    """Renders the cells of one page.

    Args:
        links: Where the page of each notebook is, seen from this one.

    Attributes:
        styles: Fills with the inline styles that were met and the class that stands for each:
            spelled out, they are three quarters of a page.
    """

    links: Mapping[str, str]
    styles: dict[str, str] = field(default_factory=dict)

    def cell(self, cell: Mapping[str, Any]) -> Cell | None:
        """Render a cell; None for one that says nothing on a page."""
        name = str(cell.get("id", ""))
        tags = cell.get("metadata", {}).get("tags", ())
        source = _joined(cell.get("source", ""))
        if cell["cell_type"] == "markdown":
            if "papermill-error-cell-tag" in tags:  # the page has the error on top
                return None
            return Cell(name, text=self._linked(_from_markdown(source)))
        if cell["cell_type"] != "code":
            return None
        summary = "code"
        if "injected-parameters" in tags:
            summary = "parameters given to this run"
        elif "parameters" in tags:
            summary = "parameters"
        outputs = (self._output(output) for output in _merged(cell.get("outputs", ())))
        shown = tuple(output for output in outputs if output is not None)
        return Cell(name, summary=summary, source=source, outputs=shown)

    def _output(self, output: Mapping[str, Any]) -> Output | None:
        match output["output_type"]:
            case "stream":
                kind = "stderr" if output.get("name") == "stderr" else "stream"
                return _cut(kind, _joined(output["text"]))
            case "error":
                return _cut("error", "\n".join(output["traceback"]))
        data = output.get("data", {})
        return _file(data) or self._display(data, output.get("metadata", {}))

    def _display(self, data: Mapping[str, Any], metadata: Mapping[str, Any]) -> Output | None:
        """Render the best form of a value; its HTML is trusted only if it is the runbook's."""
        html = _joined(data.get("text/html", ""))
        if MEDIA_TYPE in data and html and len(html) <= _HTML_LIMIT:
            return Output("html", self._linked(_STYLE.sub(self._style, html)))
        for kind in _IMAGES:
            if kind in data:
                alt = metadata.get(kind, {}).get("alt") or _about(data).get("alt") or "chart"
                return Output("image", _address(kind, _joined(data[kind])), alt=str(alt))
        if MEDIA_TYPE not in data and html and len(html) <= _HTML_LIMIT:
            return Output("html", _sanitized(html))
        if "text/markdown" in data:
            return Output("html", _from_markdown(_joined(data["text/markdown"])))
        if "text/plain" in data:
            return _cut("text", _joined(data["text/plain"]))
        others = ", ".join(kind for kind in data if kind != MEDIA_TYPE)
        return Output("text", f"(an output this page cannot show: {others})") if others else None

    def _style(self, found: re.Match[str]) -> str:
        name = self.styles.setdefault(found[1], f"s{len(self.styles)}")
        return f' class="{name}"'

    def _linked(self, html: str) -> Markup:
        """Lead links between notebooks to the pages of this run, or nowhere if there is none."""

        def link(found: re.Match[str]) -> str:
            there = self.links.get(found["name"])
            start = f"<a {found['more']}".rstrip()
            return f'{start} href="{there}{found["at"] or ""}"' if there else start

        return Markup(_LINK.sub(link, html))  # noqa: S704 - escaped by Markdown or by show


def _merged(outputs: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Join texts that a cell wrote to the same stream in one go."""
    merged: list[Mapping[str, Any]] = []
    for output in outputs:
        last = merged[-1] if merged else {}
        if output["output_type"] == last.get("output_type") == "stream" and (
            output.get("name") == last.get("name")
        ):
            merged[-1] = {**last, "text": _joined(last["text"]) + _joined(output["text"])}
        else:
            merged.append(output)
    return merged


def _cut(kind: str, text: str) -> Output:
    """Give a text as a terminal leaves it, without the middle if it is too long for a page."""
    text = _plain(text)
    if len(text) <= _FIRST + _LAST:
        return Output(kind, text)
    end = text.rfind("\n", 1, _FIRST) + 1 or _FIRST
    start = text.find("\n", len(text) - _LAST) + 1 or len(text) - _LAST
    lines = text.count("\n", end, start)
    left_out = f"{lines:,} lines" if lines else f"{start - end:,} characters"
    return Output(kind, text[:end], rest=text[start:], left_out=left_out)


def _plain(text: str) -> str:
    r"""Take out escape codes and what a progress bar wrote over; colours say nothing on paper.

    >>> _plain("\x1b[31mred\x1b[0m 10%\rred 100%")
    'red 100%'
    """
    text = _ESCAPE_CODES.sub("", text)
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return _CONTROLS.sub("", text)


def _address(kind: str, content: str) -> str:
    """Give an image as a data URL; as an image, an SVG is inert."""
    if kind == "image/svg+xml":
        content = base64.b64encode(content.encode("utf-8", "replace")).decode()
    return f"data:{kind};base64,{''.join(content.split())}"


def _about(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give what the runbook says of an output of its own."""
    found = data.get(MEDIA_TYPE)
    return found if isinstance(found, Mapping) else {}


def _file(data: Mapping[str, Any]) -> Output | None:
    """Give a link to data that is kept as a file beside the page; None for any other output."""
    path = str(_about(data).get("file", ""))
    if _about(data).get("type") != "data" or not _DATA_FILE.fullmatch(path):
        return None
    text = _joined(data.get("text/plain", "")) or path
    return Output("html", Markup('<p><a href="{}">{}</a></p>').format(path, text))


def _sanitized(html: str) -> Markup:
    """Keep the structure of HTML of other libraries, such as a pandas table, and nothing else."""
    import nh3  # noqa: PLC0415 - needed by few pages

    spans = {"colspan", "rowspan"}
    kept = nh3.clean(html, tags=set(_TAGS), attributes={"td": spans, "th": spans, "a": {"href"}})
    return Markup(kept)  # noqa: S704 - sanitized just now


def _from_markdown(text: str) -> Markup:
    """Render Markdown; HTML in it is escaped."""
    return Markup(_markdown()(text))  # noqa: S704 - nothing passes Markdown as it is


@cache
def _markdown() -> mistune.Markdown:
    return mistune.create_markdown(escape=True, plugins=["table", "strikethrough", "url"])


def _joined(text: str | list[str]) -> str:
    """Give a text that a notebook file may hold as a list of lines."""
    return text if isinstance(text, str) else "".join(text)
