"""Private keys between PEM's BEGIN and END, whole or cut off, in whatever they are quoted.

Certificates are public and stay.
"""

from __future__ import annotations

import re

from runbook.redaction.scan import MARK

__all__ = ["hide"]

_SPACE = r"(?:[ +]|%20)"  # as in a URL, too
_EDGE = re.compile(
    rf"-{{4,5}} ?(?P<edge>BEGIN|END)(?P<label>(?:{_SPACE}[A-Z0-9]{{1,20}}){{1,6}}) ?-{{4,5}}"
)
_PRIVATE = re.compile(rf"PRIVATE{_SPACE}KEY(?:{_SPACE}BLOCK)?$|ENCRYPTED{_SPACE}KEY$")
_PLAIN = re.compile(r"(?:[\w+/=\s:.,-]|\\{1,8}[nrt/]|%[0-9A-Fa-f]{2})*")
_PARTS = re.compile(
    r"(?P<markup><[^<>]{0,300}>|&[#\w]{1,8};|\\{1,8}u[0-9a-fA-F]{4}|\\{1,8}[nrt](?=[A-Za-z0-9+/]|$)|\\{1,8})"
    r"|(?P<run>(?:[A-Za-z0-9+/]|%2[BbFf])+(?:=|%3[Dd]){0,2})"
)
_REACH = 4096  # characters that a key without its other end may take
_GAP = 120  # characters of a log's prefix, or of markup, between two lines of a key
_LINE = 60  # a line of PEM has 64 characters, so one this long has a next one
_RUN = 24  # what is shorter than this may be a word


def hide(text: str) -> str:
    """Replace every private key."""
    if "PRIVATE" not in text and "ENCRYPTED" not in text:
        return text
    edges = list(_EDGE.finditer(text))
    out: list[str] = []
    at = 0
    for number, edge in enumerate(edges):
        if edge.start() < at or not _PRIVATE.search(edge["label"]):
            continue
        following = edges[number + 1] if number + 1 < len(edges) else None
        if edge["edge"] == "END":  # its beginning is gone
            start = max(at, edge.start() - _REACH, edges[number - 1].end() if number else 0)
            out += [text[at:start], _tail(text[start : edge.start()]), MARK]
            at = edge.end()
        elif following and following["edge"] == "END" and _PRIVATE.search(following["label"]):
            inner = text[edge.end() : following.start()]
            whole = _PLAIN.fullmatch(inner) is not None
            out += [text[at : edge.start()], MARK if whole else MARK + _between(inner) + MARK]
            at = following.end()
        else:  # its end is gone
            stop = min(following.start() if following else len(text), edge.end() + _REACH)
            out += [text[at : edge.start()], MARK, _head(text[edge.end() : stop])]
            at = stop
    return "".join([*out, text[at:]])


def _between(text: str) -> str:
    """Replace the base64 between two ends, and nothing that is around its lines."""
    runs = [found for found in _PARTS.finditer(text) if found["run"]]
    chosen = [found for found in runs if len(found["run"]) >= 16]
    if runs and not re.search(r"\w", _stripped(text[runs[-1].end() :])):
        last = runs[-1]  # may be short, but is more than the sign of a diff
        chosen += [last] if last not in chosen and len(last["run"]) >= 4 else []
    return _replaced(text, chosen)


def _head(text: str) -> str:
    """Replace the lines of a key from its beginning on."""
    chosen: list[re.Match[str]] = []
    end, long = 0, True
    for found in _PARTS.finditer(text):
        if not found["run"]:
            continue
        gap = text[end : found.start()]
        directly = long and not re.search(r"\w", _stripped(gap))
        if len(gap) > _GAP and not directly:
            break
        if directly or len(found["run"]) >= _RUN:
            chosen.append(found)
            end, long = found.end(), len(found["run"]) >= _LINE
    return _replaced(text, chosen)


def _tail(text: str) -> str:
    """Replace the lines of a key up to its end."""
    chosen: list[re.Match[str]] = []
    start = len(text)
    for found in reversed([found for found in _PARTS.finditer(text) if found["run"]]):
        gap = text[found.end() : start]
        directly = not chosen and not re.search(r"\w", _stripped(gap))
        if len(gap) > _GAP:
            break
        if directly or len(found["run"]) >= _RUN:
            chosen.insert(0, found)
            start = found.start()
    return _replaced(text, chosen)


def _stripped(text: str) -> str:
    return _PARTS.sub(lambda found: found["run"] or "", text)


def _replaced(text: str, runs: list[re.Match[str]]) -> str:
    out: list[str] = []
    at = 0
    for run in runs:
        out += [text[at : run.start()], MARK]
        at = run.end()
    return "".join([*out, text[at:]])
