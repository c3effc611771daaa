"""The conda environment asks for what pyproject.toml asks for, and CI builds its own."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))

CONDA_NAMES = {"kubernetes": "python-kubernetes", "matplotlib": "matplotlib-base"}
ONLY_PIP = {"helm-python-sdk", "prometheus-api-client", "kubernetes-validate"}


def requirements(lines: list[str]) -> dict[str, str]:
    found = {}
    for line in lines:
        name, bound = re.fullmatch(r"([A-Za-z0-9_.-]+)(>=[0-9.]+)?", line).groups()
        found[name] = bound or ""
    return found


def test_conda_asks_for_the_same_packages() -> None:
    wanted = requirements(PROJECT["project"]["dependencies"])
    plain = [line for line in ENVIRONMENT["dependencies"] if isinstance(line, str)]
    (nested,) = [entry["pip"] for entry in ENVIRONMENT["dependencies"] if isinstance(entry, dict)]
    conda = requirements(plain)
    pip = requirements([line for line in nested if not line.startswith("--")])
    assert conda.pop("python") == PROJECT["project"]["requires-python"]
    conda.pop("pip")
    assert pip == {name: bound for name, bound in wanted.items() if name in ONLY_PIP}
    assert conda == {
        CONDA_NAMES.get(name, name): bound for name, bound in wanted.items() if name not in ONLY_PIP
    }
    assert "--editable ." in nested


def test_conda_uses_conda_forge_only() -> None:
    assert ENVIRONMENT["channels"] == ["conda-forge", "nodefaults"]


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", readme)) <= targets
    assert {"rehearse", "test", "lint", "lab"} <= targets


def test_ci_lints_and_tests_in_its_own_environment() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert script.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in script
    assert 'make lint VENV="$venv"' in script
    assert 'make test VENV="$venv"' in script
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
