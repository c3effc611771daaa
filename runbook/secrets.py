"""Keeping secrets out of what is shown and kept, and reading them from where they are.

Two nets: values known to be secret are replaced wherever they occur, in every form in which they
may be met; and what looks like a credential is replaced even when nobody said that it is one.
What is looked for is in :mod:`runbook.redaction`.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from runbook.errors import ParameterError
from runbook.redaction import encoded, folded, names, objects, pem, shapes
from runbook.redaction.known import Known
from runbook.redaction.scan import MARK, REDACTED

__all__ = [
    "REDACTED",
    "ReadSecret",
    "Redactor",
    "is_reference",
    "resolve",
    "resolve_all",
    "secret_values",
]

_OFTEN = 2_000  # characters: longer texts do not come twice
_REMEMBERED = 20_000  # texts
_JSON = ("{}", "[]", '""')  # what it begins and ends with
_HIDDEN = ("data", "stringData", "string_data")
_STRUCTURE = ("output_type", "cell_type")  # words a notebook cannot be read without
# Words of records and objects: a secret that is one of them must not make the others unreadable.
_ORDINARY_KEY = re.compile(r"[a-z][a-z_]{0,30}|[a-z]+/[a-z0-9.+-]+")
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
        self._known = Known()
        self._seen: dict[str, str] = {}
        self.add(*values)

    def __repr__(self) -> str:
        return f"Redactor({len(self._known)} values)"

    def add(self, *values: str) -> None:
        """Make more values known as secret."""
        if self._known.add(values):
            self._seen.clear()

    def text(self, text: str) -> str:
        """Replace every secret in a text. What is JSON stays JSON."""
        if len(text) > _OFTEN:
            return self._redacted(text)
        if text not in self._seen:
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            self._seen[text] = self._redacted(text)
        return self._seen[text]

    def data(self, data: Any) -> Any:
        """Replace every secret in nested mappings, lists and texts; gives a copy.

        The values of a Kubernetes Secret (``data`` and ``stringData``) are replaced except for
        certificates, which are public and worth seeing. Stream outputs of a notebook's cell are
        put together, as a secret may begin in one and end in the next.
        """
        if isinstance(data, str):
            return self.text(data)
        if isinstance(data, Mapping):
            return self._mapping(data)
        if isinstance(data, list | tuple):
            return self._list(list(data))
        return data

    def _redacted(self, text: str) -> str:
        stripped = text.strip()
        if stripped[:1] + stripped[-1:] in _JSON:
            try:
                before = json.loads(stripped)
                after = self.data(before)
            except (ValueError, RecursionError):
                pass
            else:
                return text if after == before else _json_like(text, after)
        clean = self._fixed(text)
        whole = folded.joined(text)
        if whole != text and (found := self._fixed(whole)) != folded.joined(clean):
            return found  # more comes to light without the breaks
        return clean

    def _fixed(self, text: str) -> str:
        text = text.replace(REDACTED, MARK)
        while (less := self._pass(text)) != text:  # each pass leaves fewer other characters
            text = less
        return text.replace(MARK, REDACTED)

    def _pass(self, text: str) -> str:
        for hide in (self._known.hide, pem.hide, objects.hide, shapes.hide, names.hide):
            text = hide(text)
        text = encoded.hide(text, self._tells)
        return folded.single_quoted(text, self._marked)

    def _marked(self, text: str) -> str:
        return self.text(text.replace(MARK, REDACTED)).replace(REDACTED, MARK)

    def _tells(self, text: str) -> bool:
        """Tell whether a decoded text has a secret in it."""
        return self.text(text) != text

    def _mapping(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        kind, type_ = str(data.get("kind")), str(data.get("type"))
        hidden = _HIDDEN if kind == "Secret" or type_ in objects.TYPES else ()
        clean: dict[Any, Any] = {}
        for key, value in data.items():
            name = key
            if isinstance(key, str) and not _ORDINARY_KEY.fullmatch(key):
                name = self._free(self.text(key), clean)
            clean[name] = self._entry(str(key), value, hidden)
        named = data.get("name") or data.get("key") or data.get("path")
        if isinstance(named, str) and "value" in clean and names.is_secret(named):
            clean["value"] = self._secret(data["value"])
        return clean

    def _free(self, key: str, taken: Mapping[Any, Any]) -> str:
        """Give a name that is not taken: two secret names must not become one."""
        numbers = itertools.chain([""], (f" {n}" for n in itertools.count(2)))
        return next(name for number in numbers if (name := key + number) not in taken)

    def _entry(self, key: str, value: Any, hidden: tuple[str, ...]) -> Any:
        if key in _STRUCTURE:
            return value
        if key in hidden and isinstance(value, Mapping):
            return {
                name: self.data(item) if objects.is_public(str(name)) or not item else REDACTED
                for name, item in value.items()
            }
        if names.is_secret(key) or (key == "auth" and shapes.is_docker_auth(str(value))):
            return self._secret(value)
        if key.lower().endswith("authorization"):
            return self._authorization(value)
        return self.data(value)

    def _authorization(self, value: Any) -> Any:
        """Redact a header, whose scheme says what the rest is: ``Basic ...``."""
        if isinstance(value, list):
            return [self._authorization(item) for item in value]
        name = "authorization: "
        return self.text(name + value)[len(name) :] if isinstance(value, str) else self.data(value)

    def _secret(self, value: Any) -> Any:
        """Replace what has a secret's name, unless it says nothing or only refers to one."""
        if isinstance(value, list):
            return [self._secret(item) for item in value]
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return self.data(value)
        ordinary = names.is_ordinary(str(value).replace(REDACTED, MARK))
        return self.data(value) if ordinary else REDACTED

    def _list(self, data: list[Any]) -> list[Any]:
        if all(isinstance(item, str) for item in data):
            return self._texts(data)
        return [self.data(item) for item in _streams_joined(data)]

    def _texts(self, texts: list[str]) -> list[str]:
        """Redact texts; those that are the lines of one text as that."""
        if len(texts) > 1 and all(text.endswith("\n") for text in texts[:-1]):
            return self.text("".join(texts)).splitlines(keepends=True)
        clean = [self.text(text) for text in texts]
        for n, flag in enumerate(texts[:-1]):  # ["--password", "..."]
            if flag.startswith("-") and names.is_secret(flag) and not texts[n + 1].startswith("-"):
                clean[n + 1] = REDACTED
        return clean


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
        A copy with the values in place, and a list for a :class:`Redactor`: those values, and what
        the data says itself under the name of a secret.

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

    return walk(data), secrets + secret_values(data)


def secret_values(data: Any) -> list[str]:
    """Give the texts in nested data whose names say that they are secret.

    >>> secret_values({"grafana": {"adminPassword": "correct-horse"}, "name": "x"})
    ['correct-horse']
    """
    if isinstance(data, list | tuple):
        return [value for item in data for value in secret_values(item)]
    if not isinstance(data, Mapping):
        return []
    named = [(str(name), value) for name, value in data.items()]
    if isinstance(data.get("name"), str) and "value" in data:  # as in a list of variables
        named.append((data["name"], data["value"]))
    own = [
        str(value)
        for name, value in named
        if names.is_secret(name)
        and isinstance(value, str | int)
        and not names.is_ordinary(str(value))
    ]
    return own + [value for item in data.values() for value in secret_values(item)]


def _streams_joined(items: list[Any]) -> list[Any]:
    """Put the stream outputs of one name together that follow each other in a cell's outputs."""
    joined: list[Any] = []
    open_: dict[str, int] = {}  # where the last output of each stream is
    for item in items:
        stream = isinstance(item, Mapping) and item.get("output_type") == "stream"
        if not stream:
            open_.clear()
        name = str(item.get("name")) if stream else ""
        if name in open_:
            before = joined[open_[name]]
            joined[open_[name]] = {**before, "text": _whole(before["text"]) + _whole(item["text"])}
            continue
        if stream:
            open_[name] = len(joined)
        joined.append(item)
    return joined


def _whole(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def _json_like(text: str, data: Any) -> str:
    """Write JSON about as a text was: indented or not, with blanks or without."""
    indent = 2 if "\n" in text.strip() else None
    separators = None if indent or '": ' in text else (",", ":")
    ascii_ = text.isascii()
    return json.dumps(data, indent=indent, separators=separators, ensure_ascii=ascii_)
