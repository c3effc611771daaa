"""Imports only go down: each module may import those of lower layers and of its own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "runbook"

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "yaml12", "notebooks", "notebook_table", "imports", "forsaken"}),
    frozenset(
        {
            "params",
            "bench_params",
            "mesh_options",
            "mesh_params",
            "viz_params",
            "fields",
            "releases",
            "secrets",
            "redaction",
            "show",
            "progress",
        }
    ),
    frozenset({"cluster", "kinds", "kubeconfig", "transport", "readiness", "symptoms", "wait"}),
    frozenset(
        {
            "plan",
            "changes",
            "patches",
            "diff",
            "checks",
            "manifests",
            "monitoring",
            "selectors",
            "certs",
            "proofs",
        }
    )
    | frozenset({"prometheus"})
    | frozenset(
        {"helm", "helm_cli", "helm_sdk", "helm_errors", "chart_store", "chart_values", "holder"}
    ),
    frozenset({"linkerd"}),
    frozenset({"observability"}),
    frozenset({"meshing"}),
    frozenset({"bench"}),
    frozenset({"step", "cells", "applied", "result"}),
    frozenset({"benchmark"}),
    frozenset({"executed", "scrub", "provenance", "page", "rendering", "archive", "ledger"})
    | frozenset({"kernel", "forked", "warm", "exclusive"}),
    frozenset({"engine", "papermill_engine", "record"})
    | frozenset({"campaigns", "redraw", "trend", "bench_history"}),
    frozenset({"batch", "runner", "fleet", "notify", "export", "lab", "overview"})
    | frozenset({"doctor", "temporary"}),
    frozenset({"cli"}),
    frozenset({"__main__"}),
)
"""From the lowest to the highest; a new module must be given its place here."""

REHEARSAL_GUESTS = {"cli", "doctor", "temporary", "kubeconfig"}
"""Who may look for a rehearsal cluster: commands, and the place that connects."""


def module_of(path: Path) -> str:
    """Give the top-level name of a module within the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Give every ``runbook`` module a file imports when it runs, at any depth of its code."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "runbook":
                found |= {f"runbook.{alias.name}" for alias in node.names}
            else:
                found.add(node.module or "")
    return {name for name in found if name.partition(".")[0] == "runbook"}


def sources() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def level(module: str) -> int:
    for number, names in enumerate(LAYERS):
        if module in names:
            return number
    pytest.fail(f"module {module!r} has no layer: give it one in {Path(__file__).name}")


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    module = module_of(path)
    imported = {name.split(".")[1] for name in imports(path) if "." in name} - {module}
    if module == "rehearsal":
        assert imported <= {"errors"}, "the rehearsal cluster stands alone"
        return
    if "rehearsal" in imported:
        assert module in REHEARSAL_GUESTS
    above = {name for name in imported - {"rehearsal"} if level(name) > level(module)}
    assert not above, f"{module} imports from above: {sorted(above)}"


def test_every_layer_is_real() -> None:
    there = {module_of(path) for path in sources()}
    gone = frozenset().union(*LAYERS) - there
    assert not gone, f"layers name modules that do not exist: {sorted(gone)}"


def test_import_from_above_is_found(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def f():\n    from runbook import cli\n    import runbook.step\n")
    assert imports(wrong) == {"runbook.cli", "runbook.step"}
