"""What an executed notebook says of itself: verdicts, plans, changes, measures, its error.

And what it hands over as files: figures and data.
"""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Iterable, Mapping
from typing import Any

from runbook.show import MEDIA_TYPE

__all__ = ["UNFINISHED", "collect", "detach", "file_name", "read_error"]

UNFINISHED = "UnfinishedError"
"""Name of the error of a notebook that ended without its result, though no cell failed."""

_PNG = b"\x89PNG\r\n\x1a\n"
_LONGEST = 80  # characters of a file's name
_LISTS = ("checks", "plans", "timings", "undo", "measures")


def collect(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """Read what an executed notebook recorded about itself.

    The last ``result`` output wins. A notebook that failed before its end has none; then its
    verdicts, plans and applied changes are put together from the outputs it got to.

    Success means that the declared checks ran and passed. So a notebook that came to its end
    without an error, but without a result, without a check or with a failed one, has an error too.

    Returns:
        Fields of a step's record: checks, plans, changed, timings, undo, measures, error.
    """
    found: dict[str, Any] = {name: [] for name in _LISTS} | {"changed": 0}
    result: dict[str, Any] | None = None
    error: dict[str, str] | None = None
    for output in _outputs(notebook):
        if output.get("output_type") == "error":
            error = read_error(output.get("ename", ""), output.get("evalue", ""))
        data = output.get("data", {}).get(MEDIA_TYPE)
        if not isinstance(data, dict):
            continue
        match data.get("type"):
            case "verdicts":
                found["checks"] += data.get("checks") or data.get("outcomes") or []
            case "plan":
                found["plans"].append({k: data.get(k) for k in ("digest", "changes")})
            case "applied":
                found["changed"] += int(data.get("changed", 0))
            case "result":
                result = data
    if result is not None:
        found |= {name: result[name] for name in found if name in result}
    return found | {"error": error or _unproved(result, found["checks"])}


def _unproved(
    result: Mapping[str, Any] | None, checks: Iterable[Mapping[str, Any]]
) -> dict[str, str] | None:
    """Give the error of a notebook that ran through without having shown what it should."""
    if result is None:
        what = "the notebook ended without its result"
        why = "its last cell did not run, or is not there"
        return read_error(UNFINISHED, f"{what}\n  why: {why}\n  fix: run it again")
    failed = [str(check.get("title", "")) for check in checks if check.get("verdict") == "fail"]
    if failed:
        count = f"{len(failed)} check{'s' if len(failed) > 1 else ''} failed"
        return read_error("CheckError", f"{count}: {'; '.join(failed)}")
    if not checks:
        return read_error(UNFINISHED, "the notebook made no check\n  fix: run all of its cells")
    return None


def read_error(name: str, text: str) -> dict[str, str]:
    r"""Take the text of a :class:`~runbook.errors.RunbookError` apart again.

    >>> read_error("GuardError", "Another cluster answers.\n  fix: Mend cluster_uid.")["fix"]
    'Mend cluster_uid.'
    """
    parts = {"name": name, "what": "", "why": "", "fix": "", "see": ""}
    label = "what"
    for line in text.splitlines():
        start = re.match(r"  (why|fix|see): (.*)", line)
        label, more = (start[1], start[2]) if start else (label, line)
        parts[label] = f"{parts[label]}\n{more}".strip("\n")
    return parts


def _outputs(notebook: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """Give the outputs of every code cell in order."""
    for cell in notebook.get("cells", ()):
        if cell.get("cell_type") == "code":
            yield from cell.get("outputs", ())


def detach(notebook: Mapping[str, Any], number: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Take the files out of an executed notebook that it hands over: figures and data.

    A figure stays in the notebook as well, to be seen there. The text of data does not: in its
    place is ``file``, where it is from where the notebook is. A file whose name ends with ``.gz``
    is compressed, always to the same bytes.

    Args:
        notebook: Executed, already without secrets; it is left as it is.
        number: Of the notebook, such as ``63``; names of files begin with it.

    Returns:
        The notebook as it is to be kept, and the content of each file by its path beside it, such
        as ``figures/63-latency.png``. An output that is not laid out as a figure or as data stays
        as it is and gives no file.
    """
    files: dict[str, bytes] = {}

    def output(made: Mapping[str, Any]) -> Mapping[str, Any]:
        forms = made.get("data")
        data = forms.get(MEDIA_TYPE) if isinstance(forms, Mapping) else None
        if not isinstance(forms, Mapping) or not isinstance(data, Mapping):
            return made
        content = _content(data, forms)
        if content is None:
            return made
        path = _free(data, number, files)
        files[path] = content
        kept = {name: value for name, value in data.items() if name != "text"} | {"file": path}
        return {**made, "data": {**forms, MEDIA_TYPE: kept}}

    cells = [
        {**cell, "outputs": [output(made) for made in cell["outputs"]]}
        if cell.get("cell_type") == "code" and cell.get("outputs")
        else cell
        for cell in notebook.get("cells", ())
    ]
    return {**notebook, "cells": cells}, files


def file_name(name: str) -> str:
    """Give a name that is safe on any system.

    >>> file_name("../p99 of Node_1.JSON")
    'p99-of-node-1.json'
    """
    return re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.")[:_LONGEST]


def _content(data: Mapping[str, Any], forms: Mapping[str, Any]) -> bytes | None:
    """Give what is in the file of an output, nothing if it has none."""
    match data.get("type"):
        case "data":
            text = data.get("text")
            if not isinstance(text, str):
                return None
            content = text.encode("utf-8", "replace")
            packed = str(data.get("name", "")).endswith(".gz")
            return gzip.compress(content, mtime=0) if packed else content
        case "figure":
            lines = "".join(forms.get("image/png", ""))  # a notebook file may hold a list of them
            try:
                content = base64.b64decode("".join(lines.split()), validate=True)
            except ValueError:  # such as something the redactor replaced
                return None
            return content if content.startswith(_PNG) else None
    return None


def _free(data: Mapping[str, Any], number: str, taken: Iterable[str]) -> str:
    """Give the path of a file, one that is not taken."""
    folder, suffix = ("data", "") if data["type"] == "data" else ("figures", ".png")
    name = file_name(str(data.get("name", "")))
    stem, dot, ending = name.partition(".") if folder == "data" else (name, "", "")
    stem = stem or folder
    path, count = f"{folder}/{number}-{stem}{dot}{ending}{suffix}", 1
    while path in taken:
        count += 1
        path = f"{folder}/{number}-{stem}-{count}{dot}{ending}{suffix}"
    return path
