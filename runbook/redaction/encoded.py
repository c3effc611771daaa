"""What base64 or a URL hides: it is decoded, and replaced if something secret comes to light."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from urllib.parse import unquote_plus

from runbook.redaction.scan import BREAK, MARK

__all__ = ["hide"]

_SHORTEST = 16
_LEAST_ARCHIVE = 40  # characters: shorter than a compressed file can be
# A line that goes on with something else is not one of them.
_LINES = rf"(?:[ \t]*(?:{BREAK})[ \t+>|-]*[A-Za-z0-9+/]++(?=[=\\\"'<,}}\]&]|[ \t]*(?:\r?\n|$)))*"
_BASE64 = re.compile(
    rf"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{{{_SHORTEST},}}+{_LINES}(?:=|\\u003d){{0,2}}"
)
_RUN = re.compile(r"[A-Za-z0-9+/]+")
_PIECE = re.compile(rf"[A-Za-z0-9+/]+|{BREAK}")
_UPPER = re.compile("[A-Z]")
_PLAIN = r"[A-Za-z0-9_.~+*!()-]"
_PERCENT = re.compile(rf"(?<!{_PLAIN}){_PLAIN}*+(?:%[0-9A-Fa-f]{{2}}{_PLAIN}*+)++")
# DER: a sequence that begins with version 0, 1 or 3 is a private key or a PKCS #12 store;
# a certificate is a sequence that begins with a sequence. Then keys of OpenSSH and Java.
_KEYS = re.compile(
    rb"\x30(?:[\x02-\x7f]|\x81.|\x82..|\x83...)\x02\x01[\x00\x01\x03]"
    rb"|openssh-key-v1|\xfe\xed\xfe\xed|\xce\xce\xce\xce",
    re.DOTALL,
)
_ARCHIVE = b"\x1f\x8b\x08"  # gzip: a Helm release with its values, most of all


def hide(text: str, telling: Callable[[str], bool]) -> str:
    """Replace what decodes to a secret.

    Args:
        text: The text.
        telling: Tells whether a decoded text has a secret in it.
    """

    def base64_of(found: re.Match[str]) -> str:
        if not _UPPER.search(found[0]):  # words, paths, hexadecimal digests
            return found[0]
        whole = "".join(piece for piece in _PIECE.findall(found[0]) if _RUN.fullmatch(piece))
        # The n of a line break, or the sign of a diff, may stand before it.
        escaped = found.start() > 0 and text[found.start() - 1] == "\\" and whole[0] in "nrt"
        if not escaped and _decodes(whole, telling):
            return MARK
        if (escaped or whole[0] == "+") and _decodes(whole[1:], telling):
            return whole[0] + MARK
        first = _RUN.match(found[0])
        if first and first[0] != whole and _decodes(first[0], telling):
            return MARK + found[0][first.end() :]
        return found[0]

    def url_of(found: re.Match[str]) -> str:
        plain = unquote_plus(found[0], errors="replace")
        return MARK if plain != found[0] and telling(plain) else found[0]

    if len(text) >= _SHORTEST:
        text = _BASE64.sub(base64_of, text)
    return _PERCENT.sub(url_of, text) if "%" in text else text


def _decodes(run: str, telling: Callable[[str], bool]) -> bool:
    run = run[: len(run) // 4 * 4] if len(run) % 4 == 1 else run
    content = base64.b64decode(run + "=" * (-len(run) % 4))
    if _KEYS.match(content):
        return True
    if content.startswith(_ARCHIVE):
        return len(run) >= _LEAST_ARCHIVE
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        if error.start < _SHORTEST:
            return False
        text = content[: error.start].decode()
    return telling(text)
