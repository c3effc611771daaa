r"""Reading text that is YAML, JSON, a Python literal, a diff or HTML, or one inside another.

A line break may be written ``\n`` or ``<br>``, a quote ``\"`` or ``&quot;``, depending on what
the text went through on its way here. The fragments below know these forms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = [
    "ANSI",
    "BLANK",
    "BREAK",
    "MARK",
    "QUOTE",
    "REDACTED",
    "block",
    "closing",
    "indentation",
    "line_end",
    "line_start",
]

REDACTED = "[redacted]"
"""What stands in place of a secret."""

MARK = "\uffff"
"""Stands for :data:`REDACTED` while a text is worked on: one character, and one that Unicode keeps
for such internal use, so that no pattern can match half of it."""

ANSI = r"(?:(?:\x1b|\\u001b|\\x1b)\[[\d;]{0,20}m)"
"""A colour of a terminal, as tracebacks have between any two words."""

QUOTE = r"""(?:\\{0,8}(?:["']|&(?:quot|apos|\#0{0,3}3[49]|\#[xX]0{0,3}2[27]);))"""
BLANK = rf"(?:[ \t\xa0]|&nbsp;|{ANSI})"
BREAK = (
    r"(?:\r?\n|\\{1,8}r\\{1,8}n|\\{1,8}[nr]|<br\s{0,3}/?>"
    r"|</(?:div|p|li|tr|pre)>(?:\s{0,9}<[^<>]{0,300}>){0,9})"
)

_FAR = 20_000  # characters: no value is longer
_BREAK = re.compile(BREAK)
_LEAD = re.compile(rf"(?:{BLANK}|[+>|-]|<[^<>]{{0,300}}>)*")
_TAG = re.compile(rf"<[^<>]*>|{ANSI}")
_QUOTES = {kind: re.compile(rf"\\{{0,16}}{kind}") for kind in "\"'"}
_LINE_END = re.compile(rf"{BREAK}|<(?=[/a-zA-Z!])|{ANSI}|{QUOTE}(?=\s{{0,9}}[,;:\])}}]|\s|$|[<\\])")


def closing(text: str, start: int, quote: str) -> int:
    r"""Give where a quoted value ends, however deep its quotes are escaped.

    Args:
        text: The text.
        start: Where the value begins, after its opening quote.
        quote: The opening quote as written, such as ``\"``.

    >>> closing(r'{\"a\": \"b\\\"c\"}', 10, r'\"')
    16
    """
    if quote.endswith(";"):
        end = text.find(quote, start, start + _FAR)
        return end if end >= 0 else line_end(text, start)
    depth, doubled = len(quote) - 1, -1
    for found in _QUOTES[quote[-1]].finditer(text, start, start + _FAR):
        if found.start() == doubled:
            continue
        level = (len(found[0]) - 1) % (2 * depth + 2)
        if level == 2 * depth + 1:  # escaped: part of the value
            continue
        end = found.end()
        if quote == "'" and end - 1 > start and text.startswith("'", end):  # YAML's '' is one '
            doubled = end
            continue
        # Another level than the value's own is the end of a text around it.
        return end - 1 - (depth if level == depth else 0)
    return line_end(text, start)


def line_end(text: str, start: int) -> int:
    """Give where the rest of a line ends, or the string or HTML element that holds it."""
    found = _LINE_END.search(text, start)
    end = found.start() if found else len(text)
    return start + len(text[start:end].rstrip())


def line_start(text: str, position: int) -> int | None:
    """Give where the line of a position begins, nothing if that is far away."""
    near = max(0, position - 200)
    found = [
        at + len(mark)
        for mark in ("\n", "\\n", "\\r", ">")
        if (at := text.rfind(mark, near, position)) >= 0
    ]
    return max(found) if found else (None if near else 0)


def indentation(line: str) -> tuple[int, int]:
    """Give the columns before a line's first word and the characters they take.

    The sign of a diff and the dash of a list count as columns, HTML tags do not.
    """
    found = _LEAD.match(line)
    lead = found[0] if found else ""
    return len(_TAG.sub("", lead).replace("&nbsp;", " ")), len(lead)


def block(text: str, start: int, columns: int) -> Iterator[tuple[int, int]]:
    """Give where the words of the lines are that are indented by more than ``columns``."""
    at = start
    while at < len(text):
        found = _BREAK.search(text, at)
        end, following = (found.start(), found.end()) if found else (len(text), len(text))
        line = text[at:end]
        if line.strip():
            here, lead = indentation(line)
            if here <= columns:
                return
            first, last = at + lead, line_end(text[:end], at + lead)
            if last > first:
                yield first, last
        at = following
