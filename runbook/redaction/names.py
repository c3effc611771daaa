"""Values whose name says that they are secret: ``password: ...``, ``--token ...``, ``KEY=...``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from runbook.redaction.scan import (
    ANSI,
    BLANK,
    BREAK,
    MARK,
    QUOTE,
    block,
    closing,
    indentation,
    line_end,
    line_start,
)

__all__ = ["hide", "is_ordinary", "is_secret", "values"]

# What the name of a secret ends with. `tokenRef`, `passwordKey`, `secretName` only point at one.
_WORDS = (
    r"(?:pass(?:word|wd|phrase|code)|[_-]p(?:ass|wd)|(?<!ServiceAccount)token|client-key-data"
    r"|(?:secret|api|account|private|encryption|signing|master)[_-]?(?:access[_-]?)?key"
    r"|shared[_-]?access[_-]?(?:key|signature)|x-amz-signature"
    r"|(?:client|shared|jwt|session|cookie|signing|app|api|hmac|consumer|webhook|token)"
    r"[_-]?secret)"
)
_ENDINGS = (
    *("word", "wd", "phrase", "code", "pass", "token", "data", "key", "signature", "secret"),
)
_AT_END = re.compile(rf"(?ai)(?:{_WORDS})$")
_VALUE = rf"{QUOTE}?{BLANK}*(?::=|=>|[:=]|%3[ad]|&\#61;){BLANK}*(?:[bru](?=['\"]))?"
_ASSIGNED = re.compile(rf"(?ai){_VALUE}")
_IN_PAIR = re.compile(  # an environment variable of a container: its name, then its value
    rf"(?ai){QUOTE}?(?:\s|,|[+-]|\\{{1,8}}[nr]|</?[^<>]{{0,300}}>){{0,80}}{QUOTE}?value{_VALUE}"
)
_NAME = re.compile(rf"(?ai)\b(?:name|key|path){QUOTE}?{BLANK}*[:=]{BLANK}*{QUOTE}?[\w./-]*$")
_AFTER_FLAG = re.compile(
    rf"(?:{QUOTE}\s{{0,80}},\s{{0,80}}(?={QUOTE})|(?:{BLANK}|%20|\+)+)(?![-\s])"
)
_FLAG = re.compile(r"(?<![\w-])--?[\w-]*$")
_SECRET = re.compile(
    rf"(?ai)(?:.*{_WORDS}|secret|key_?pem|.*\.key|key\.pem|privatekey|identitytoken)", re.DOTALL
)
_QUOTE = re.compile(QUOTE)
_BLOCK = re.compile(rf"(?:[|>]|&gt;)[-+0-9]{{0,3}}[ \t]*(?:{BREAK})")
_ALONE = re.compile(
    rf"(?:{BLANK}|[+\->|#*$]|<[^<>]*>)*(?:{QUOTE}|(?:export|set|env)[ \t]+|-[ \t]+)?[\w./$-]*", re.I
)
_QUOTED = re.compile(rf"{QUOTE}(?P<name>[\w./$-]*)$")
_TOKEN = re.compile(
    rf"(?:(?!{ANSI}|&(?:quot|apos|#|lt|gt))[^\s\"'<>,;&)}}\]\\]|\\(?![nrt\"'\\u]))+"
)
_WORD = re.compile(r"[A-Za-z]+[.!?:]?")
_PROSE = frozenset(
    {
        *("a", "an", "are", "does", "expected", "expired", "for", "from", "has", "have", "in"),
        *("invalid", "is", "malformed", "missing", "must", "no", "not", "of", "or", "rejected"),
        *("required", "revoked", "the", "to", "unexpected", "unknown", "was", "with"),
    }
)
_ORDINARY = re.compile(
    rf"(?ai)\s*(?:|true|false|null|none|nil|undefined|yes|no|on|off|~|-+|\*+|\d{{1,3}}|<[^<>]*>"
    rf"|\$[({{].*|\{{\{{.*|(?:env|file|secret):(?!//).*|{MARK}.*)\s*",
    re.DOTALL,
)


@lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Tell whether a name says that its value is secret.

    >>> is_secret("adminPassword"), is_secret("passwordSecretRef")
    (True, False)
    """
    return _SECRET.fullmatch(name) is not None


def is_ordinary(value: str) -> bool:
    """Tell whether a value is none: empty, a boolean, a reference, or replaced already."""
    return _ORDINARY.fullmatch(value) is not None


def hide(text: str) -> str:
    """Replace every value that has such a name."""
    out: list[str] = []
    at = 0
    for start, end in _spans(text):
        out += [text[at:start], MARK]
        at = end
    return "".join([*out, text[at:]]) if out else text


def values(text: str) -> list[str]:
    """Give the secret values in a text, such as those of a file with credentials."""
    return [text[start:end] for start, end in _spans(text)]


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Give where secret values are, in order and apart from each other."""
    lower = _lower(text)
    found = sorted(start for ending in _ENDINGS for start in _starts(text, lower, ending))
    at = 0
    for start, name, assigned in found:
        for span in _value(text, start, name, assigned) if start >= at else ():
            if not is_ordinary(text[span[0] : span[1]]):
                yield span
                at = span[1]


def _starts(text: str, lower: str, ending: str) -> Iterator[tuple[int, int, bool]]:
    """Give where values may start whose name ends so: start, end of the name, whether by : or =.

    Names are found by their last letters: that takes a tenth of the time of one pattern for all.
    """
    name = lower.find(ending)
    while name >= 0:
        name += len(ending)
        assigned = _ASSIGNED.match(text, name)
        pair = _IN_PAIR.match(text, name)
        after = _AFTER_FLAG.match(text, name)
        if (assigned or pair or after) and _AT_END.search(text, max(0, name - 32), name):
            if assigned:
                yield assigned.end(), name, True
            elif pair and _NAME.search(text, max(0, name - 120), name):
                yield pair.end(), name, True
            elif after and _FLAG.search(text, max(0, name - 80), name):
                yield after.end(), name, False
        name = lower.find(ending, name)


def _lower(text: str) -> str:
    """Give a text in lower case, every letter where it was."""
    lower = text.lower()
    return lower if len(lower) == len(text) else re.sub("[A-Z]", lambda at: at[0].lower(), text)


def _value(text: str, start: int, name: int, assigned: bool) -> Iterable[tuple[int, int]]:
    """Give where the value that begins at ``start`` is, in pieces; nothing if it is prose."""
    quote = _QUOTE.match(text, start)
    if quote is not None:
        return [(quote.end(), closing(text, quote.end(), quote[0]))]
    begin = line_start(text, name)
    quoted = _QUOTED.search(text, max(0, name - 80), name)
    header = _BLOCK.match(text, start) if assigned else None
    if header is not None:
        first = quoted.start("name") if quoted else begin or 0
        return block(text, header.end(), indentation(text[first:name])[0])
    alone = begin is not None and _ALONE.fullmatch(text, begin, name) is not None
    if _QUOTE.match(text, name) is None:  # in "password: ..." the quotes are the sentence's
        alone = alone or quoted is not None
    if alone and assigned:
        return [(start, line_end(text, start))] if text[start : start + 1] not in "{[" else []
    token = _TOKEN.match(text, start)
    if token is None or text[start] in "{[(":
        return []
    if _WORD.fullmatch(token[0]) and not text[:start].endswith("="):
        sentence = re.match(r"[ \t]+\w", text[token.end() : token.end() + 9])
        if sentence or not assigned or token[0].rstrip(".!?:").lower() in _PROSE:
            return []
    return [(start, token.end())]
