"""Values that are known to be secret, in every form in which they may be met."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from html import escape
from urllib.parse import quote

from runbook.redaction import names
from runbook.redaction.scan import BREAK, MARK

__all__ = ["SHORTEST", "Known"]

SHORTEST = 6
"""Characters that a value must have: a shorter one would blot out ordinary words and numbers, and
is no secret that redaction could protect."""

_LINE = 24  # characters of a line that is secret by itself, such as one of a key
_GAP = (  # between two words: folded as YAML, broken by a diff or HTML, escaped, or in a URL
    rf"(?:\s|&nbsp;|%20|%0[9AaDd]|\\?{BREAK}|\\(?=[\s\\])|\\{{1,8}}t|(?<=[\s>n])[+>|-](?=\s)"
    r"|(?<!\s)\+){1,200}+"
)
_SIGN = re.compile(r"[+>|-]")  # alone, it counts as a part of the gap
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_HIGH = re.compile("[\x80-\xff]")  # YAML writes these with capitals
_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")


class Known:
    """Secret values, found as they are, encoded and escaped."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._written: dict[str, str] = {}  # pattern of a value and what it cannot be without
        self._encoded: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._base64: re.Pattern[str] | None = None

    def __len__(self) -> int:
        return len(self._values)

    def add(self, values: Iterable[str]) -> bool:
        """Take more values; tell whether there were any new ones.

        Certificates in a value stay visible, and the passwords in one that is a file of
        credentials are found by themselves, too.
        """
        new = {part for value in values for part in _parts(value)} - self._values
        for value in new:
            pattern, core = _pattern(value)
            self._written[pattern] = core
            self._encoded.update(_base64(value))
        self._values |= new
        if new:
            ordered = sorted(self._written, key=len, reverse=True)
            self._pattern = re.compile("|".join(ordered))
            self._base64 = re.compile("|".join(map(re.escape, self._encoded)))
        return bool(new)

    def hide(self, text: str) -> str:
        """Replace every value."""
        if self._pattern and any(core in text for core in self._written.values()):
            text = self._pattern.sub(MARK, text)
        if self._base64 and any(core in text for core in self._encoded):
            text = self._without_base64(self._base64, text)
        return text

    def _without_base64(self, pattern: re.Pattern[str], text: str) -> str:
        """Replace the whole of a base64 text that has a value in it."""
        out: list[str] = []
        at = 0
        for found in pattern.finditer(text):
            start, end = found.span()
            if start < at:
                continue
            while start > at and text[start - 1] in _ALPHABET:
                start -= 1
            while end < len(text) and text[end] in _ALPHABET:
                end += 1
            if start > 0 and text[start - 1] == "\\":  # of \n, not of the base64
                start += 1
            end = end + 1 if text.startswith("=", end) else end
            end = end + 1 if text.startswith("=", end) else end
            out += [text[at:start], MARK]
            at = end
        return "".join([*out, text[at:]])


def _parts(value: str) -> Iterable[str]:
    """Give the value and the parts of it that are secret by themselves."""
    value = _CERTIFICATE.sub("", value).strip()
    lines = [line.strip() for line in value.splitlines()] if "\n" in value else []
    long = [line for line in lines if len(line) >= _LINE and "-----" not in line]
    for part in (value, *long, *names.values(value)):
        if len(part.strip()) >= SHORTEST:
            yield part.strip()


def _pattern(value: str) -> tuple[str, str]:
    """Give a pattern for a value in all its written forms, and a text all of them have in them."""
    words = [word for word in value.split() if not _SIGN.fullmatch(word)]
    alternatives = ["|".join(map(re.escape, _forms(word))) for word in words]
    pattern = _GAP.join(f"(?:{forms})" if "|" in forms else forms for forms in alternatives)
    core = max(re.findall(r"[A-Za-z0-9]+", value), key=len, default="")
    return pattern, core


def _forms(word: str) -> list[str]:
    """Give a word as JSON, Python, HTML, URLs and what is in one another of them write it."""
    forms = {word}
    for _ in range(2):
        for form in tuple(forms):
            html = escape(form)
            forms |= {
                json.dumps(form)[1:-1],
                json.dumps(form, ensure_ascii=False)[1:-1],
                repr(form)[1:-1],
                form.replace("'", "''"),
                form.replace("'", "\\'"),
                _HIGH.sub(lambda found: f"\\x{ord(found[0]):02X}", form),
                html,
                html.replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
                escape(form, quote=False),
                quote(form, safe=""),
                quote(form),
                form.replace("/", "\\/"),
            }
    return sorted(forms, key=len, reverse=True)


def _base64(value: str) -> set[str]:
    """Give the base64 that the value has at each of the three places in a longer text.

    What the bytes before and after it decide as well is left out.
    """
    content = value.encode("utf-8", "replace")
    found = set()
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + content)
        first, last = -(-shift * 8 // 6), (shift + len(content)) * 8 // 6
        core = encoded[first:last].decode()
        found |= {core, core.replace("+", "-").replace("/", "_")}
    return found
