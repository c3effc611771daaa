"""The values of Secret objects, as they are shown in YAML, diffs, JSON and Python literals."""

from __future__ import annotations

import re

from runbook.redaction.scan import BREAK, MARK, QUOTE, closing, indentation, line_end

__all__ = ["TYPES", "hide", "is_public"]

TYPES = frozenset(
    {
        "Opaque",
        "helm.sh/release.v1",
        "bootstrap.kubernetes.io/token",
        *(
            f"kubernetes.io/{kind}"
            for kind in (
                *("tls", "basic-auth", "ssh-auth", "service-account-token"),
                *("dockerconfigjson", "dockercfg"),
            )
        ),
    }
)
"""Types of Secrets: what has one and says no kind, as in a list, is a Secret all the same."""

_START = r"(?:(?<![A-Za-z])|(?<=\\[nrt]))"
_TYPE = "|".join(map(re.escape, sorted(TYPES)))
_IS_SECRET = (
    rf"{_START}(?:kind{QUOTE}?\s{{0,20}}:\s{{0,20}}{QUOTE}?Secret{QUOTE}?(?![\w.-])"
    rf"|stringData{QUOTE}?\s{{0,20}}:|string_data{QUOTE}\s{{0,20}}:"
    rf"|type{QUOTE}?\s{{0,20}}:\s{{0,20}}{QUOTE}?(?:{_TYPE}){QUOTE}?(?![\w.-]))"
)
_SECRET = re.compile(_IS_SECRET)
_DATA = rf"{_START}(?:data|stringData|string_data){QUOTE}?"
_BRACES = re.compile(
    rf"(?P<data>{_DATA}\s{{0,20}}:\s{{0,20}}\{{)|(?P<secret>{_IS_SECRET})|(?P<open>\{{)|(?P<close>\}})"
)
_ENTRY = re.compile(rf"(?P<q>{QUOTE})?(?P<name>[\w.-]{{1,253}})(?(q){QUOTE})\s{{0,20}}:\s{{0,80}}")
_QUOTE = re.compile(QUOTE)
# YAML inside a quoted text begins after the quote.
_LINES = re.compile(rf"({BREAK}|(?<=[\"';])(?=(?:apiVersion|kind|data|stringData):(?:\s|\\)))")
_KEY = re.compile(rf"{QUOTE}?(?P<name>[\w./-]{{1,253}}){QUOTE}?[ \t]*:(?:[ \t]+|$)")
_KIND = re.compile(  # only Secrets have stringData
    rf"{QUOTE}?(?:kind{QUOTE}?[ \t]*:[ \t]*{QUOTE}?Secret{QUOTE}?[ \t]*,?(?:$|<|[\"'])"
    rf"|stringData{QUOTE}?[ \t]*:)"
)
_SEPARATOR = re.compile(r"[ +-]?(?:---|\.\.\.)\s*$|@@ ")
_BLOCK = re.compile(r"[|>][-+0-9]{0,3}[ \t]*$")


def hide(text: str) -> str:
    """Replace the values of every Secret that the text shows whole, or cut off at its end."""
    if "ata" not in text or not _SECRET.search(text):
        return text
    return _in_lines(_in_braces(text))


def is_public(name: str) -> bool:
    """Tell whether an entry of a Secret is a certificate by its name, which may be seen."""
    return name.endswith(".crt")


def _in_braces(text: str) -> str:
    """Replace the values of Secrets written with braces."""
    out: list[str] = []
    at = 0
    for start, end in sorted(_spans(text)):
        if start >= at:
            out += [text[at:start], MARK]
            at = end
    return "".join([*out, text[at:]]) if out else text


def _spans(text: str) -> list[tuple[int, int]]:
    """Give where the values of Secrets are, those of Secrets in a text in a value as well."""
    spans: list[tuple[int, int]] = []
    open_: list[_Frame] = [_Frame()]
    at = 0
    while found := _BRACES.search(text, at):
        at = found.end()
        if found["data"]:
            open_[-1].secret |= found["data"].startswith("string")
            values, at = _entries(text, at)
            open_[-1].values += [(start, end) for start, end, public in values if not public]
            for start, end, _ in values:
                inner = _spans(text[start:end]) if "{" in text[start:end] else ()
                spans += [(start + first, start + last) for first, last in inner]
            if text.startswith("}", at):
                at += 1
            else:  # something else than texts is in it
                open_.append(_Frame())
        elif found["secret"]:
            open_[-1].secret = True
        elif found["open"]:
            open_.append(_Frame())
        elif len(open_) > 1:
            spans += open_.pop().known()
        else:
            spans += open_[-1].known()
    return spans + [span for frame in open_ for span in frame.known()]


class _Frame:
    """One pair of braces: whether it is a Secret, and where the values of its data are."""

    def __init__(self) -> None:
        self.secret = False
        self.values: list[tuple[int, int]] = []

    def known(self) -> list[tuple[int, int]]:
        return self.values if self.secret else []


def _entries(text: str, at: int) -> tuple[list[tuple[int, int, bool]], int]:
    """Read the entries of a mapping from its opening brace on.

    Returns:
        Where each value begins and ends and whether it may be seen, and where the mapping ends.
    """
    values: list[tuple[int, int, bool]] = []
    gap = re.compile(rf"(?:\s|,|{BREAK})*")
    while True:
        at = _end(gap.match(text, at), at)
        entry = _ENTRY.match(text, at)
        if entry is None:
            return values, at
        at = entry.end()
        quote = _QUOTE.match(text, at)
        if quote is not None:
            start, end = quote.end(), closing(text, quote.end(), quote[0])
            at = _end(_QUOTE.match(text, end), end)
        else:
            bare = re.compile(rf"[^\s,{{}}\[\]]*?(?=[\s,{{}}\[\]]|{BREAK}|$)").match(text, at)
            start, end = at, _end(bare, at)
            at = end
        shown = text[start:end]
        empty = shown in ("", "null", "None") or shown.startswith(MARK)
        values.append((start, end, empty or is_public(entry["name"])))


def _end(found: re.Match[str] | None, otherwise: int) -> int:
    return found.end() if found else otherwise


def _in_lines(text: str) -> str:
    """Replace the values of Secrets written as indented lines, with a diff's signs or without."""
    parts = _LINES.split(text)
    lines = parts[::2]
    kinds = [n for n, line in enumerate(lines) if _is_kind(line)]
    if not kinds:
        return text
    seen: dict[int, int] = {}  # up to which line, for what begins at a column
    for number in kinds:
        columns = indentation(lines[number])[0]
        if number < seen.get(columns, 0):
            continue
        first, last = _document(lines, number, columns)
        seen[columns] = last
        inside = False
        for n in range(first, last):
            if not lines[n].strip():
                continue
            here, lead = indentation(lines[n])
            if here <= columns:
                name = _KEY.match(lines[n], lead)
                inside = name is not None and name["name"] in ("data", "stringData", "string_data")
            elif inside:
                _entry(lines, n, here, last)
    return "".join(part for pair in zip(lines, [*parts[1::2], ""], strict=True) for part in pair)


def _is_kind(line: str) -> bool:
    return _KIND.match(line, indentation(line)[1]) is not None


def _document(lines: list[str], number: int, columns: int) -> tuple[int, int]:
    """Give the first and behind the last of the lines of the object that ``number`` is in."""

    def begins(n: int) -> bool:
        here, lead = indentation(lines[n])
        return here == columns and lines[n][:lead].endswith("- ")

    def beyond(n: int) -> bool:
        if not lines[n].strip():
            return False
        return _SEPARATOR.match(lines[n]) is not None or indentation(lines[n])[0] < columns

    first = number
    while first > 0 and not begins(first) and not beyond(first - 1):
        first -= 1
    last = number + 1
    while last < len(lines) and not begins(last) and not beyond(last):
        last += 1
    return first, last


def _entry(lines: list[str], number: int, columns: int, last: int) -> None:
    """Replace the value of one entry, and the lines below it that belong to it."""
    lead = indentation(lines[number])[1]
    name = _KEY.match(lines[number], lead)
    if name is None:
        return
    below = number + 1
    while below < last and (not lines[below].strip() or indentation(lines[below])[0] > columns):
        below += 1
    if is_public(name["name"]):
        return
    line = lines[number]
    start = name.end()
    value = line[start : line_end(line, start)]
    if value and not _BLOCK.match(value) and not value.strip("\"'").startswith(MARK):
        quote = _QUOTE.match(line, start)
        first = quote.end() if quote else start
        end = closing(line, first, quote[0]) if quote else start + len(value)
        if end > first:
            lines[number] = line[:first] + MARK + line[end:]
    for n in range(number + 1, below):
        if lines[n].strip(f"{MARK} \t"):
            here = indentation(lines[n])[1]
            lines[n] = lines[n][:here] + MARK + lines[n][line_end(lines[n], here) :]
