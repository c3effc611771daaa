"""Digests of files: of the bytes, and of what JSON and notebooks say however they are written.

JupyterLab writes a notebook anew whenever it is saved: other blanks, other order, lines joined or
split, a kernel named in the metadata, marks of trust and of what is folded away. None of that is
what the notebook recorded, so the canonical digest leaves it out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Digest", "canonical", "digest"]

_NOTEBOOK = {"kernelspec", "language_info", "orig_nbformat", "orig_nbformat_minor", "signature"}
_CELL = {"trusted", "collapsed", "scrolled"}
_CELL_JUPYTER = {"source_hidden", "outputs_hidden"}


@dataclass(frozen=True)
class Digest:
    """What a file is known by.

    Attributes:
        sha256: SHA-256 of its bytes, in hexadecimal.
        size: Its length in bytes.
        canonical: SHA-256 of what it says, for JSON and notebooks; else empty.
    """

    sha256: str
    size: int
    canonical: str = ""


def digest(path: Path) -> Digest:
    """Read a file and give its digest.

    Raises:
        OSError: It could not be read.
    """
    if path.suffix in (".ipynb", ".json"):
        data = path.read_bytes()
        found = hashlib.sha256(data).hexdigest()
        return Digest(found, len(data), canonical(data, notebook=path.suffix == ".ipynb"))
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        return Digest(found, file.tell())


def canonical(data: bytes, *, notebook: bool) -> str:
    """Give the digest of what a JSON text says, or "" when it is no JSON or says a thing twice.

    Numbers are compared as JavaScript keeps them, in 64-bit floating point: JupyterLab writes
    ``1.0`` as ``1``, and whole numbers beyond 2**53 rounded.

    Args:
        data: The bytes of the file.
        notebook: Whether to leave out what saving a notebook changes.
    """
    try:
        value = json.loads(
            data.decode(), object_pairs_hook=_object, parse_int=_number, parse_float=_number
        )
        if notebook:
            value = _recorded(value)
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return ""
    return hashlib.sha256(text.encode()).hexdigest()


def _number(text: str) -> float:
    return float(text) + 0.0  # a negative zero becomes zero


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse repeated keys: which value counts would depend on the reader."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key is there twice")
    return made


def _recorded(notebook: Any) -> Any:
    """Leave out of a notebook what a mere save changes, and join lines as nbformat does."""
    if not isinstance(notebook, dict):
        return notebook
    cells = notebook.get("cells")
    return notebook | {
        "metadata": _without(notebook.get("metadata"), _NOTEBOOK),
        "cells": [_cell(cell) for cell in cells] if isinstance(cells, list) else cells,
    }


def _cell(cell: Any) -> Any:
    if not isinstance(cell, dict):
        return cell
    metadata = _without(cell.get("metadata"), _CELL)
    if isinstance(metadata, dict) and "jupyter" in metadata:
        metadata["jupyter"] = _without(metadata["jupyter"], _CELL_JUPYTER)
        if metadata["jupyter"] == {}:
            del metadata["jupyter"]
    clean = cell | {"metadata": metadata, "source": _joined(cell.get("source"))}
    if isinstance(attachments := cell.get("attachments"), dict):
        clean["attachments"] = {name: _bundle(data) for name, data in attachments.items()}
    if isinstance(outputs := cell.get("outputs"), list):
        clean["outputs"] = [_output(output) for output in outputs]
    return clean


def _output(output: Any) -> Any:
    if not isinstance(output, dict):
        return output
    if "data" in output:
        return output | {"data": _bundle(output["data"])}
    return output | {"text": _joined(output["text"])} if "text" in output else output


def _bundle(data: Any) -> Any:
    """Join the lines of each form of an output, but for JSON, where a list is a list."""
    if not isinstance(data, dict):
        return data
    return {mime: text if _is_json(mime) else _joined(text) for mime, text in data.items()}


def _is_json(mime: str) -> bool:
    application, _, kind = mime.partition("/")
    return application == "application" and (kind == "json" or kind.endswith("+json"))


def _joined(text: Any) -> Any:
    if isinstance(text, list) and all(isinstance(line, str) for line in text):
        return "".join(text)
    return text


def _without(mapping: Any, keys: set[str]) -> Any:
    if not isinstance(mapping, dict):
        return mapping
    return {key: value for key, value in mapping.items() if key not in keys}
