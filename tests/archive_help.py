"""Records that no cluster was needed for: small, of every kind of file, as runs leave them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runbook.archive.manifest import reopen, seal

BOOKS = ("12-identity-issuer", "15-control-plane")


def check(name: str, verdict: str = "pass", **parts: str) -> dict[str, str]:
    empty = dict.fromkeys(("expected", "seen", "why", "fix", "see", "linkerd"), "")
    return {**empty, "id": name, "title": f"the {name} holds", "verdict": verdict, **parts}


def step(notebook: str, status: str = "ok", **parts: Any) -> dict[str, Any]:
    return {
        "notebook": notebook,
        "title": f"Title of {notebook}",
        "status": status,
        "attempt": 1,
        "changed": 1,
        "planned": 1,
        "checks": [check("issuer-key"), check("pods-ready", seen="3 of 3 pods")],
        "plans": [],
        "timings": [{"name": "wait", "seconds": 1.5}],
        "undo": [],
        "measures": [],
        "error": None,
        "started": "2026-11-24T20:00:00+00:00",
        "seconds": 2.5,
        "files": {"notebook": f"{notebook}.ipynb", "html": f"{notebook}.html"},
        "earlier": [],
        **parts,
    }


def result(run: str, **parts: Any) -> dict[str, Any]:
    return {
        "schema": 2,
        "run": run,
        "status": "ok",
        "exit_status": 0,
        "mode": "apply",
        "line": "edge-2.20",
        "cluster": {"name": "pi", "uid": "0b4b7e5c", "version": "1.35.0+k3s1", "rehearsal": False},
        "parameters": {"mode": "apply", "timeout": 600, "values": {"proxy": {"cores": 1}}},
        "started": "2026-11-24T20:00:00+00:00",
        "finished": "2026-11-24T20:01:05+00:00",
        "seconds": 65.0,
        "changed": 2,
        "checks": {"pass": 4, "warn": 0, "fail": 0, "skip": 0},
        "commit": {"id": "ae42282", "changed": False},
        "versions": {"python": "3.11.7", "papermill": "2.6.0"},
        "attempts": [{"number": 1, "status": "ok", "started": "", "finished": "", "seconds": 65.0}],
        "steps": [step(name) for name in BOOKS],
        **parts,
    }


def notebook(word: str = "") -> dict[str, Any]:
    """Give an executed notebook with outputs of every kind, as papermill leaves them."""
    table = {
        "application/vnd.linkerd-runbook+json": {
            "type": "verdicts",
            "lines": ["a\n", "b"],
            "n": 1.0,
        },
        "text/html": "<table>\n<tr><td>é</td></tr>\n</table>",
        "text/plain": f"verdict pass\n{word}\n",
        "image/svg+xml": "<svg>\n</svg>",
    }
    outputs: list[dict[str, Any]] = [
        {"output_type": "stream", "name": "stdout", "text": "one\ntwo\n"},
        {"output_type": "display_data", "metadata": {}, "data": table},
        {"output_type": "error", "ename": "E", "evalue": "x\ny", "traceback": ["x\n", "y"]},
        {
            "output_type": "execute_result",
            "execution_count": 1,
            "metadata": {},
            "data": {"text/plain": "", "application/json": ["kept", "apart"]},
        },
    ]
    code = {
        "cell_type": "code",
        "id": "issuer-plan",
        "metadata": {"tags": ["parameters", "x"], "execution": {"iopub.status.idle": "20:00"}},
        "execution_count": 1,
        "source": "plan = step.plan()\nplan",
        "outputs": outputs,
    }
    words = {
        "cell_type": "markdown",
        "id": "issuer-about",
        "metadata": {},
        "attachments": {"a.png": {"image/png": "aGVsbG8="}},
        "source": "# Title\n\nText — é\n",
    }
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "papermill": {"parameters": {"line": "edge-2.20"}}}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": [words, code]}


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        text = content if isinstance(content, str) else json.dumps(content, indent=1) + "\n"
        path.write_text(text, encoding="utf-8")


def make(output: Path, run: str, *, holder: str = "", **parts: Any) -> Path:
    """Write the files of a run; it is not sealed."""
    directory = output / run
    data = result(run, **parts)
    write(directory / "result.json", data)
    write(directory / "run.json", {"run": run, "attempt": 1, "holder": holder or "x.1.0"})
    write(directory / "index.html", f"<html>{run}</html>")
    for name in BOOKS:
        write(directory / f"{name}.ipynb", notebook(f"{run} {name}"))
        write(directory / f"{name}.html", f"<html>{run} {name}</html>")
    write(directory / "log" / "15-control-plane.log", f"a warning of {run}\n")
    write(directory / "figures" / "latency.png", b"\x89PNG" + run.encode())
    write(directory / ".ipynb_checkpoints" / "x-checkpoint.ipynb", notebook())
    return directory


def resumed(directory: Path) -> None:
    """Resume a sealed run: its first notebooks stay, its result is written anew."""
    reopen(directory)
    write(directory / "result.json", result(directory.name, changed=3))
    write(directory / "index.html", f"<html>{directory.name} again</html>")
    write(directory / "attempt-2" / f"{BOOKS[1]}.ipynb", notebook(f"{directory.name} second"))


def name(number: int, cluster: str = "pi") -> str:
    return f"20261124-20{number // 60:02}{number % 60:02}-{cluster}-{number:04x}"


def archive(output: Path) -> list[str]:
    """Make an archive of runs of every kind: sealed, resumed, being resumed, killed."""
    names = [name(number) for number in range(6)]
    for run in names:
        directory = make(output, run)
        if run != names[5]:
            seal(directory)
    resumed(output / names[1])
    seal(output / names[1])
    resumed(output / names[3])
    return names
