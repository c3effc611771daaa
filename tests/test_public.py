"""What the package promises: its public names, and that using it is quick."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

import runbook

HEAVY = {
    *("kubernetes", "nbformat", "nbconvert", "papermill", "pandas", "matplotlib"),
    *("helm_python", "cryptography", "tornado", "IPython", "jinja2", "kubernetes_validate"),
}


@pytest.mark.parametrize("name", runbook.__all__)
def test_public_name_is_there(name: str) -> None:
    assert getattr(runbook, name)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = runbook.nonsense


def modules() -> list[str]:
    found = pkgutil.iter_modules(runbook.__path__, "runbook.")
    return [module.name for module in found if not module.ispkg]


@pytest.mark.parametrize("name", modules())
def test_all_is_sorted_and_exists(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} does not say what it is for"
    missing = [public for public in getattr(module, "__all__", ()) if not hasattr(module, public)]
    assert not missing


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list"],
        ["show", "12"],
        ["params", "schema"],
        ["run", "--help"],
        ["export", "--help"],
    ],
)
def test_quick_commands_import_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys; from runbook.cli import _status; status = _status(sys.argv[1:]);"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr);"
        "sys.exit(status)"
    )
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert not HEAVY & set(done.stderr.split())
