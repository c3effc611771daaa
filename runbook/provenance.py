"""What a run was made with: versions of the packages that matter, and the commit of the clone."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["commit", "versions"]

_PACKAGES = (
    "linkerd-runbook",
    "kubernetes",
    "helm-python-sdk",
    "papermill",
    "jupyterlab",
    "cryptography",
    "pydantic",
    *("numpy", "scipy", "matplotlib", "pillow"),
)


def versions() -> dict[str, str]:
    """Give the versions that decide what a run does."""
    versions = {"python": platform.python_version(), "machine": platform.machine()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def commit() -> dict[str, Any] | None:
    """Give the git commit of the clone the package runs from, or None outside a clone."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"id": head, "changed": bool(changed)}


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.strip()
