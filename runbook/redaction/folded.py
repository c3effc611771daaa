"""Texts that a notation has broken up: they are put together, redacted, and written again.

Python's ``pprint`` writes a long text as several literals, YAML breaks one in double quotes with a
backslash, and in single quotes it folds lines and writes a quote as two.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from functools import partial

__all__ = ["joined", "single_quoted"]

_BREAK = r"(?:\r?\n|<br\s{0,3}/?>|</div>(?:<[^<>]{0,300}>){1,9})"
_INDENT = rf"{_BREAK}[+-]?[ \t]*"
_BROKEN = re.compile(rf"\\{_INDENT}(?:\\(?=[ \t]))?")
_LITERAL = r"""[bru]?(?:'(?:[^'\\\n]|\\.)*+'|"(?:[^"\\\n]|\\.)*+")"""
_LITERALS = re.compile(rf"{_LITERAL}(?:\r?\n[+-]?[ \t]+{_LITERAL})+")
_FOLD = re.compile(rf"[ \t]*(?P<more>(?:{_INDENT})+)")
_FOLDS = re.compile(_BREAK)
_QUOTED = {
    quote: re.compile(
        rf"(?<=[:,-] ){quote}(?P<text>(?:(?!{quote}).|(?:{quote}){{2}}){{1,20000}}+)"
        rf"{quote}(?!{quote})",
        re.DOTALL,
    )
    for quote in ("'", "&#x27;", "&#39;")
}


def joined(text: str) -> str:
    """Give a text without the breaks that pprint or YAML have put into its texts."""
    if "\\\n" in text or "\\\r" in text or "\\<" in text:
        text = _BROKEN.sub("", text)
    if "'\n" in text or '"\n' in text:
        text = _LITERALS.sub(_one_literal, text)
    return text


def single_quoted(text: str, redact: Callable[[str], str]) -> str:
    """Redact what stands in single quotes, in YAML's notation."""
    for quote, pattern in _QUOTED.items():
        if any(start + quote in text for start in (": ", "- ", ", ")):
            text = pattern.sub(partial(_rewritten, quote=quote, redact=redact), text)
    return text


def _rewritten(found: re.Match[str], *, quote: str, redact: Callable[[str], str]) -> str:
    if quote not in found["text"] and not _FOLDS.search(found["text"]):
        return found[0]  # nothing is written otherwise than it is
    before = _FOLD.sub(_unfolded, found["text"]).replace(quote * 2, quote)
    after = redact(before)
    return found[0] if after == before else quote + after.replace(quote, quote * 2) + quote


def _unfolded(found: re.Match[str]) -> str:
    """Give a blank for one break, and one break less than there are for several."""
    breaks = len(_FOLDS.findall(found["more"]))
    return " " if breaks == 1 else "\n" * (breaks - 1)


def _one_literal(found: re.Match[str]) -> str:
    try:
        return repr(ast.literal_eval(f"({re.sub(r'(?m)^[+-]', '', found[0])})"))
    except (ValueError, SyntaxError):
        return found[0]
