"""Conventions of the notebooks: they read alike, carry no results, and hold no logic."""

from __future__ import annotations

import ast
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import runbook
from runbook.notebooks import INDEX, NOTEBOOKS, Notebook
from runbook.params import Params

FOLDER = Path(__file__).parent.parent / "notebooks"
ORDER = ("look", "plan", "apply", "verify", "result")
BOOKS = pytest.mark.parametrize("book", NOTEBOOKS, ids=lambda book: book.name)
ALL = pytest.mark.parametrize("book", (*NOTEBOOKS, INDEX), ids=lambda book: book.name)

LOGIC = (
    *(ast.For, ast.While, ast.If, ast.Try, ast.With, ast.FunctionDef, ast.ClassDef, ast.Lambda),
    *(ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp, ast.Raise, ast.Assert),
)
FORBIDDEN_CALLS = {"print", "display", "exec", "eval", "open"}


def load(book: Notebook) -> dict[str, Any]:
    return json.loads((FOLDER / f"{book.name}.ipynb").read_text(encoding="utf-8"))


def cells(book: Notebook, kind: str = "") -> list[dict[str, Any]]:
    return [cell for cell in load(book)["cells"] if kind in ("", cell["cell_type"])]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def parts(book: Notebook) -> list[str]:
    """Give what each cell id says after its prefix: ``about``, ``open``, ``look-why``, ..."""
    return [cell["id"].partition("-")[2] for cell in cells(book)]


def parameters(book: Notebook) -> list[ast.AnnAssign]:
    (cell,) = [c for c in cells(book) if "parameters" in c["metadata"].get("tags", [])]
    nodes = ast.parse(source(cell)).body
    assert all(isinstance(node, ast.AnnAssign) for node in nodes)
    return nodes


def test_files_and_table_agree() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(
        book.name for book in (*NOTEBOOKS, INDEX)
    )


@ALL
def test_format_and_kernel(book: Notebook) -> None:
    notebook = load(book)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }


@ALL
def test_is_valid(book: Notebook) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(load(book))


@ALL
def test_carries_no_results(book: Notebook) -> None:
    for cell in cells(book, "code"):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        assert set(cell["metadata"]) <= {"tags"}


@ALL
def test_ids_are_unique_readable_and_share_a_prefix(book: Notebook) -> None:
    ids = [cell["id"] for cell in cells(book)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)+", name) for name in ids), ids
    assert len({name.partition("-")[0] for name in ids}) == 1


@BOOKS
def test_anatomy(book: Notebook) -> None:
    found = parts(book)
    assert found[:3] == ["about", "parameters", "open"]
    assert found[-2:] == ["result-why", "result"]
    steps = [part for part in found[3:] if not part.endswith("-why")]
    stages = [part.partition("-")[0] for part in steps]
    assert stages == sorted(stages, key=ORDER.index), "look, plan, apply, verify, result"
    assert {"look", "verify"} & set(stages)
    assert ({"plan", "apply"} <= set(stages)) == bool(book.changes)
    for before, part in pairwise(found[3:]):
        if not part.endswith("-why"):
            assert before.endswith("-why"), f"{part} is not explained"
    kinds = {part: cell["cell_type"] for part, cell in zip(found, cells(book), strict=True)}
    assert all((kinds[part] == "markdown") == part.endswith(("-why", "about")) for part in found)


@BOOKS
def test_says_what_a_reader_needs_first(book: Notebook) -> None:
    about = source(cells(book)[0])
    assert about.startswith(f"# {book.name[:2]} {book.title}\n")
    for label in ("Changes", "Needs", "Takes", "Undo", "Implements", "Corrects"):
        assert f"- **{label}**" in about, label


@ALL
def test_explanations_are_short(book: Notebook) -> None:
    for cell in cells(book, "markdown")[1:]:
        text = source(cell)
        assert text.startswith("## ")
        words = re.sub(r"```.*?```", "", text, flags=re.DOTALL).split()
        assert len(words) <= 110, f"{cell['id']} has {len(words)} words"


@ALL
def test_parameters_are_those_of_the_schema(book: Notebook) -> None:
    nodes = parameters(book)
    assert tuple(node.target.id for node in nodes) == book.parameters
    assert len(nodes) <= 10
    for node in nodes:
        field = Params.model_fields[node.target.id]
        default = ast.literal_eval(node.value)
        assert default == field.get_default(call_default_factory=True)
        assert ast.unparse(node.annotation) == type(default).__name__


@ALL
def test_each_parameter_says_what_it_means(book: Notebook) -> None:
    (cell,) = [c for c in cells(book) if "parameters" in c["metadata"].get("tags", [])]
    for line in source(cell).splitlines():
        name = line.partition(":")[0]
        code, mark, meaning = line.partition("  # ")
        assert mark, f"{name} is not explained"
        assert Params.model_fields[name].description.startswith(meaning)
        assert code.count("=") == 1, "papermill reads one equals sign"
        assert "=" not in meaning


def _is_guard(node: ast.AST) -> bool:
    """``with step.undo_on_failure():`` reads as a sentence, and decides nothing."""
    return isinstance(node, ast.With) and ast.unparse(node.items[0]) == "step.undo_on_failure()"


@ALL
def test_cells_are_sentences_not_programs(book: Notebook) -> None:
    for cell in cells(book, "code"):
        if "parameters" in cell["metadata"].get("tags", []):
            continue
        text = source(cell)
        written = [line for line in text.splitlines() if line.strip()]
        assert 1 <= len(written) <= 5, cell["id"]
        assert not re.search(r"^\s*[%!]", text, re.MULTILINE), "no magics"
        tree = ast.parse(text)
        logic = [
            type(node).__name__
            for node in ast.walk(tree)
            if isinstance(node, LOGIC) and not _is_guard(node)
        ]
        assert not logic, f"{cell['id']} has logic: {logic}"
        called = {
            node.func.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not called & FORBIDDEN_CALLS


@BOOKS
def test_imports_public_names_only(book: Notebook) -> None:
    imported: set[str] = set()
    for cell in cells(book, "code"):
        for node in ast.walk(ast.parse(source(cell))):
            assert not isinstance(node, ast.Import)
            if isinstance(node, ast.ImportFrom):
                assert node.module == "runbook"
                imported |= {alias.name for alias in node.names}
    assert "open_step" in imported
    assert imported <= set(runbook.__all__)


@BOOKS
def test_opens_the_step_of_its_own_name(book: Notebook) -> None:
    (opening,) = [cell for cell in cells(book) if cell["id"].endswith("-open")]
    assert f'step = open_step("{book.name}", globals())' in source(opening)


@ALL
def test_links_lead_somewhere(book: Notebook) -> None:
    known = {f"{other.name}.ipynb" for other in NOTEBOOKS}
    for cell in cells(book, "markdown"):
        for target in re.findall(r"\]\(([^)]+)\)", source(cell)):
            assert target.startswith("https://") or target in known, target


def test_the_index_looks_and_says_how_to_go_on() -> None:
    assert parts(INDEX) == ["about", "parameters", "look-why", "look", "use-why"]
    text = "\n".join(source(cell) for cell in cells(INDEX))
    assert text.startswith(f"# {INDEX.title}\n")
    assert "from runbook import show_steps\n\nshow_steps(globals())" in text
    for word in ("plan", "apply", "verify", "done", "not yet", "needs attention", "cannot tell"):
        assert word in text


def test_needs_come_before() -> None:
    names = [book.name for book in NOTEBOOKS]
    for book in NOTEBOOKS:
        assert all(names.index(need) < names.index(book.name) for need in book.needs)
