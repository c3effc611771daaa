"""Keeping secrets out of what is shown and kept, and reading them from where they are.

Two nets: values known to be secret are replaced wherever they occur, as they are and as base64 (the
form in which Kubernetes shows them); and what looks like a credential is replaced even when nobody
said that it is one.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from runbook.errors import ParameterError

__all__ = ["REDACTED", "ReadSecret", "Redactor", "is_reference", "resolve", "resolve_all"]

REDACTED = "[redacted]"

_SHORTEST = 6  # a shorter value would blot out ordinary words
_KEY = r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----"
_KEY_END = r"-----END (?:[A-Z0-9]+ )*PRIVATE KEY-----"
_NAMED = (
    r"[\"']?\b(?:client-key-data|id-token|refresh-token|access-token|token|password|"
    r"client-secret)\b[\"']?"
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"{_KEY}(?:(?!-----BEGIN).)*?{_KEY_END}", re.DOTALL), REDACTED),
    # a key whose end was cut off, up to the first line that is no base64
    (re.compile(rf"{_KEY}(?:(?:\s|\\n)*[A-Za-z0-9+/=:, -]{{16,}})*"), REDACTED),
    # the same key as base64 text: every PEM begins with five hyphens and BEGIN
    (re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/]{8,}={0,2}"), ""),  # decided by _pem_base64
    (re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/-]{8,}=*"), rf"\1{REDACTED}"),
    (re.compile(r"(?i)\b(authorization\W+basic\s+)[A-Za-z0-9+/]{4,}=*"), rf"\1{REDACTED}"),
    (re.compile(r"\bey[A-Za-z0-9_-]{8,}\.ey[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+"), REDACTED),
    (re.compile(r"\b([a-z][a-z0-9+.-]*://)[^\s/@:'\"]*:[^\s/@'\"]+@"), rf"\1{REDACTED}@"),
    (re.compile(rf"(?i)({_NAMED}\s*[:=]\s*)([\"'])(?:(?!\2)[^\n])+\2"), rf"\1\2{REDACTED}\2"),
    (re.compile(rf"(?i)({_NAMED}\s*[:=]\s*)(?!\[redacted\])[^\s\"',}}]{{8,}}"), rf"\1{REDACTED}"),
)
_SECRET_NAMES = re.compile(
    r"(?i)^(?:password|passwd|token|bearertoken|secret|client-key-data|client-secret|id-token|"
    r"refresh-token|access-token|keypem|.*\.key|key\.pem|privatekey)$"
)
_REFERENCE = re.compile(r"(env|file|secret):(?!//)(.+)", re.DOTALL)

ReadSecret = Callable[[str, str, str], str]
"""Reads one key of a Secret: namespace, name, key."""


class Redactor:
    """Replaces secrets in text and in JSON-like data.

    Args:
        values: Values known to be secret, such as resolved references. Values of fewer than six
            characters are ignored: replacing them would hide ordinary words.

    >>> Redactor(["s3cret-token"]).text("password is s3cret-token")
    'password is [redacted]'
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.add(*values)

    def __repr__(self) -> str:
        return f"Redactor({len(self._known)} forms)"

    def add(self, *values: str) -> None:
        """Make more values known as secret."""
        for value in values:
            for form in _forms(value):
                if len(form) >= _SHORTEST:
                    self._known.add(form)
        longest_first = sorted(self._known, key=len, reverse=True)
        joined = "|".join(map(re.escape, longest_first))
        self._pattern = re.compile(joined) if joined else None

    def text(self, text: str) -> str:
        """Replace every secret in a text."""
        if self._pattern is not None:
            text = self._pattern.sub(REDACTED, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement or _pem_base64, text)
        return text

    def data(self, data: Any) -> Any:
        """Replace every secret in nested mappings, lists and texts; gives a copy.

        The values of a Kubernetes Secret (``data`` and ``stringData``) are replaced except for
        certificates, which are public and worth seeing.
        """
        if isinstance(data, str):
            return self.text(data)
        if isinstance(data, Mapping):
            hidden = ("data", "stringData") if data.get("kind") == "Secret" else ()
            return {key: self._entry(str(key), value, hidden) for key, value in data.items()}
        if isinstance(data, list | tuple):
            return [self.data(item) for item in data]
        return data

    def _entry(self, key: str, value: Any, hidden: tuple[str, ...]) -> Any:
        if key in hidden and isinstance(value, Mapping):
            return {
                name: self.data(item) if str(name).endswith(".crt") else REDACTED
                for name, item in value.items()
            }
        secret = isinstance(value, str) and value and _SECRET_NAMES.match(key)
        if secret and not is_reference(value):
            return REDACTED
        return self.data(value)


def is_reference(value: str) -> bool:
    """Tell whether a text refers to a secret kept elsewhere."""
    return _REFERENCE.fullmatch(value) is not None


def resolve(reference: str, *, read_secret: ReadSecret | None = None) -> str:
    """Read what a reference refers to.

    Args:
        reference: ``env:NAME``, ``file:PATH`` or ``secret:NAMESPACE/NAME/KEY``.
        read_secret: Reads a key of a Secret; needed for ``secret:`` only.

    Returns:
        The value, without a final newline.

    Raises:
        ParameterError: The reference is malformed or leads nowhere; the message names the
            reference, never a value.
    """
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise ParameterError(
            "this is not a reference", fix="write env:NAME, file:PATH or secret:NAMESPACE/NAME/KEY"
        )
    kind, target = found[1], found[2]
    if kind == "env":
        value = os.environ.get(target)
        if value is None:
            raise ParameterError(
                f"{reference}: the environment has no variable {target}", fix=f"export {target}=..."
            )
        return value
    if kind == "file":
        try:
            return Path(target).expanduser().read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not text"
            raise ParameterError(f"{reference}: the file cannot be read", why=why) from None
    parts = target.split("/")
    if len(parts) != 3 or not all(parts):
        raise ParameterError(f"{reference} is malformed", fix="write secret:NAMESPACE/NAME/KEY")
    if read_secret is None:
        raise ParameterError(f"{reference} cannot be read here", why="there is no cluster to ask")
    return read_secret(*parts)


def resolve_all(data: Any, *, read_secret: ReadSecret | None = None) -> tuple[Any, list[str]]:
    """Resolve every reference in nested data.

    Returns:
        A copy with the values in place, and the list of those values for a :class:`Redactor`.

    Raises:
        ParameterError: A reference cannot be resolved.
    """
    secrets: list[str] = []

    def walk(item: Any) -> Any:
        if isinstance(item, Mapping):
            return {key: walk(value) for key, value in item.items()}
        if isinstance(item, list):
            return [walk(value) for value in item]
        if isinstance(item, str) and is_reference(item):
            secrets.append(resolve(item, read_secret=read_secret))
            return secrets[-1]
        return item

    return walk(data), secrets


def _forms(value: str) -> list[str]:
    """Give a value as it may be met: as it is, stripped, by line, as base64 and in a JSON text."""
    stripped = value.strip()
    if not stripped:
        return []
    raw = [value, stripped, stripped + "\n"]
    encoded = [base64.b64encode(form.encode()).decode() for form in raw]
    escaped = stripped.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    lines = [line for line in stripped.splitlines() if len(line) >= 24 and "-----" not in line]
    return [stripped, escaped, *encoded, *(form.rstrip("=") for form in encoded), *lines]


def _pem_base64(found: re.Match[str]) -> str:
    """Keep the base64 of a certificate, replace that of a private key."""
    text = found[0].rstrip("=")
    start = base64.b64decode(text[: len(text) // 4 * 4])
    public = b"-----BEGIN CERTIFICATE-----" in start and b"PRIVATE KEY" not in start
    return found[0] if public else REDACTED
