"""Digests: what saving a notebook again changes does not count, everything else does."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from archive_help import notebook
from hypothesis import given
from hypothesis import strategies as st
from jupyter_server.services.contents.filemanager import FileContentsManager

from runbook.archive.canonical import canonical, digest


def of(value: Any, **form: Any) -> str:
    return canonical(json.dumps(value, **form).encode("utf-8", "surrogatepass"), notebook=True)


def edited(edit: Callable[[dict[str, Any]], None]) -> str:
    changed = notebook()
    edit(changed)
    return of(changed)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON, st.sampled_from([None, 0, 3]), st.booleans())
def test_form_does_not_count(value: Any, indent: int | None, ascii_only: bool) -> None:
    plain = canonical(json.dumps(value).encode(), notebook=False)
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only, sort_keys=True)
    assert plain
    assert canonical(f" {text}\n".encode("utf-8", "surrogatepass"), notebook=False) in (
        plain,
        "",  # a lone surrogate, written as it is, is no UTF-8
    )


@given(JSON, JSON)
def test_content_counts(one: Any, other: Any) -> None:
    def javascript(value: Any) -> Any:
        """Give a value as JavaScript has it: all numbers floating."""
        if isinstance(value, dict):
            return {key: javascript(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [javascript(inner) for inner in value]
        return ("number", float(value)) if type(value) in (int, float) else value

    same = javascript(one) == javascript(other)
    digests = {canonical(json.dumps(value).encode(), notebook=False) for value in (one, other)}
    assert (len(digests) == 1) == same


@given(st.binary(max_size=60))
def test_any_bytes_have_a_digest_or_none(data: bytes) -> None:
    for kind in (True, False):
        assert len(canonical(data, notebook=kind)) in (0, 64)


@given(JSON)
def test_any_json_may_be_called_a_notebook(value: Any) -> None:
    assert of(value)
    assert of({"metadata": value, "cells": value})
    assert of({"cells": [value, {"metadata": value, "source": value, "attachments": value}]})
    assert of({"cells": [{"metadata": {"jupyter": value}, "outputs": [{"data": value}, value]}]})


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a": 1}', '{"a": {"b": 1, "b": 2}}', "", "[", "nonsense", "[" * 100_000, '"\udc80"'],
)
def test_what_is_no_json_or_ambiguous_has_none(text: str) -> None:
    assert canonical(text.encode("utf-8", "surrogateescape"), notebook=True) == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.0", "1"),
        ("-0.0", "0"),
        ("1e3", "1000"),
        ("12345678901234567890", "12345678901234567000"),
    ],
)
def test_numbers_are_those_of_javascript(one: str, other: str) -> None:
    assert canonical(one.encode(), notebook=False) == canonical(other.encode(), notebook=False)


@pytest.mark.parametrize(
    "edit",
    [
        lambda book: book["metadata"].pop("kernelspec"),
        lambda book: book["metadata"].update(language_info={"name": "python"}),
        lambda book: book["metadata"].update(orig_nbformat=4, signature="s"),
        lambda book: book["cells"][1]["metadata"].update(trusted=True, collapsed=True),
        lambda book: book["cells"][1]["metadata"].update(scrolled=True),
        lambda book: book["cells"][1]["metadata"].update(jupyter={"outputs_hidden": True}),
        lambda book: book["cells"][1].update(source=["plan = step.plan()\n", "plan"]),
        lambda book: book["cells"][1]["outputs"][0].update(text=["one\n", "two\n"]),
        lambda book: book["cells"][1]["outputs"][3]["data"].update({"text/plain": []}),
    ],
)
def test_what_saving_changes_does_not_count(edit: Callable[[dict[str, Any]], None]) -> None:
    assert edited(edit) == of(notebook())


@pytest.mark.parametrize(
    "edit",
    [
        lambda book: book["metadata"]["papermill"].update(x=1),
        lambda book: book.update(nbformat_minor=4),
        lambda book: book["cells"].reverse(),
        lambda book: book["cells"][1].update(id="other"),
        lambda book: book["cells"][1].update(execution_count=2),
        lambda book: book["cells"][1]["metadata"].update(tags=["parametersx"]),
        lambda book: book["cells"][1]["metadata"].update(jupyter={"other": True}),
        lambda book: book["cells"][1]["outputs"].pop(),
        lambda book: book["cells"][1]["outputs"][0].update(text="one\n two\n"),
        lambda book: book["cells"][1]["outputs"][2].update(traceback=["x\ny"]),
        lambda book: book["cells"][1]["outputs"][3]["data"].update(
            {"application/json": "keptapart"}
        ),
        lambda book: book["cells"][0]["attachments"]["a.png"].update({"image/png": "aGVsbG8"}),
    ],
)
def test_everything_else_counts(edit: Callable[[dict[str, Any]], None]) -> None:
    assert edited(edit) != of(notebook())


def test_lists_within_json_outputs_are_not_text() -> None:
    kind = "application/vnd.linkerd-runbook+json"

    def join(book: dict[str, Any]) -> None:
        book["cells"][1]["outputs"][1]["data"][kind]["lines"] = "a\nb"

    assert edited(join) != of(notebook())


def test_saved_by_nbformat(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(notebook()))
    before = digest(path)
    saver: Any = nbformat  # it has no types
    saver.write(saver.read(path, as_version=4), path)
    assert digest(path).sha256 != before.sha256
    assert digest(path).canonical == before.canonical


def test_saved_by_the_server_of_jupyterlab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook()))
    before = digest(tmp_path / "a.ipynb")
    contents: Any = FileContentsManager(root_dir=str(tmp_path))
    for trusted in (False, True):
        model = contents.get("a.ipynb")
        for cell in model["content"]["cells"]:
            if cell["cell_type"] == "code":  # as the browser sends it back
                cell["metadata"]["trusted"] = trusted
        contents.save(model, "a.ipynb")
        assert digest(tmp_path / "a.ipynb").sha256 != before.sha256
        assert digest(tmp_path / "a.ipynb").canonical == before.canonical


def test_bytes_of_other_files_count(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_bytes(random.Random(1).randbytes(3_000_000))
    found = digest(path)
    assert (found.size, found.canonical) == (3_000_000, "")
    path.write_bytes(path.read_bytes() + b"\n")
    assert digest(path).sha256 != found.sha256
