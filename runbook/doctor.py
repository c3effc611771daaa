"""What this machine has and lacks for the runbook; asks no cluster and shows no secret."""

# ruff: noqa: PLC0415 - each finding imports what it looks at
from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Finding", "look"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    title: str
    verdict: Literal["pass", "warn", "fail"]
    seen: str
    fix: str = ""


def look() -> list[Finding]:
    """Look at Python, packages, kernel, programs, rehearsal cluster and kubeconfig."""
    return [
        _python(),
        _packages(),
        _kernel(),
        _program("kubectl", "the notebooks do without it"),
        _program("helm", "the notebooks use Helm as a library unless `helm: cli` is set"),
        _rehearsal(),
        _kubeconfig(),
    ]


def _python() -> Finding:
    seen = f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores"
    fix = "" if sys.version_info >= (3, 11) else "Python 3.11 or later is needed."
    return Finding("Python", "fail" if fix else "pass", seen, fix)


def _packages() -> Finding:
    """Compare what the package requires with what is installed, by name."""
    missing = []
    required = importlib.metadata.requires("linkerd-runbook") or []
    names = [
        line.split(";")[0].split(">")[0].split("=")[0].strip()
        for line in required
        if "extra ==" not in line
    ]
    for name in names:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        seen = f"missing: {', '.join(missing)}"
        return Finding("packages", "fail", seen, "`pip install -e .` installs them.")
    return Finding("packages", "pass", f"all {len(names)} installed")


def _kernel() -> Finding:
    """Look for the kernel the runner will start: that of this interpreter."""
    try:
        from ipykernel.kernelspec import get_kernel_dict
    except ImportError as error:
        return Finding("kernel", "fail", str(error), "`pip install ipykernel` into this Python.")
    language = get_kernel_dict()["display_name"]
    return Finding("kernel", "pass", f"python3 of this environment ({language})")


def _program(name: str, without: str) -> Finding:
    path = shutil.which(name)
    return Finding(name, "pass" if path else "warn", path or f"not on the PATH; {without}")


def _rehearsal() -> Finding:
    from runbook import rehearsal

    try:
        kubeconfig = rehearsal.active()
    except OSError as error:
        return Finding(
            "rehearsal cluster", "fail", str(error), "`runbook rehearsal down`, then up."
        )
    seen = f"up, {kubeconfig}" if kubeconfig else "down; `runbook run` starts one while it runs"
    return Finding("rehearsal cluster", "pass", seen)


def _kubeconfig() -> Finding:
    """Name the contexts, and nothing else, of the user's kubeconfig files."""
    import yaml

    listed = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    contexts: list[str] = []
    for path in (Path(item) for item in listed.split(os.pathsep) if item):
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            contexts += [str(context["name"]) for context in content.get("contexts") or ()]
        except FileNotFoundError:
            continue
        except (OSError, yaml.YAMLError, UnicodeDecodeError, AttributeError, KeyError, TypeError):
            return Finding("kubeconfig", "fail", f"{path} cannot be read as a kubeconfig")
    if not contexts:
        return Finding("kubeconfig", "warn", "no contexts; only the rehearsal cluster can be used")
    return Finding("kubeconfig", "pass", f"contexts: {', '.join(contexts)}")
