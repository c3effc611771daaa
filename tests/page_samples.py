"""Small records to make pages of: the shapes that the runner and the archive hand over."""

from __future__ import annotations

from typing import Any

from runbook.show import MEDIA_TYPE, Cell, Table, verdict

BOOKS = {
    "00-preflight": "Is the cluster ready?",
    "10-cert-manager-ca": "cert-manager and the root CA",
    "11-linkerd-namespace": "Create the namespace",
    "12-identity-issuer": "Have cert-manager issue Linkerd's issuer",
    "13-trust-anchor": "Prove the trust anchor",
}


def check(title: str, verdict: str = "pass", **more: str) -> dict[str, str]:
    empty = dict.fromkeys(("expected", "seen", "why", "fix", "see", "linkerd"), "")
    return {**empty, "id": title, "title": title, "verdict": verdict, **more}


def error(what: str, name: str = "WaitError", **more: str) -> dict[str, str]:
    return {"name": name, "what": what, "why": "", "fix": "", "see": "", **more}


def files(name: str, attempt: int = 1) -> dict[str, str]:
    folder = "" if attempt == 1 else f"attempt-{attempt}/"
    return {"notebook": f"{folder}{name}.ipynb", "html": f"{folder}{name}.html"}


def step(name: str, status: str = "ok", *, attempt: int = 1, **more: Any) -> dict[str, Any]:
    ran = status != "not-run"
    return {
        "notebook": name,
        "title": BOOKS[name],
        "status": status,
        "attempt": attempt if ran else 0,
        "changed": 0,
        "planned": 0,
        "checks": [check("the API server answers")] * 3 if ran else [],
        "plans": [],
        "timings": [],
        "undo": [],
        "measures": [],
        "error": None,
        "started": "2026-11-24T20:17:03+00:00" if ran else "",
        "seconds": 1.7 if ran else 0.0,
        "files": files(name, attempt) if ran else {},
        "proofs": [],
        "earlier": [],
        **more,
    }


def attempt(number: int, status: str = "ok", seconds: float = 24.1) -> dict[str, Any]:
    started = f"2026-11-24T2{number - 1}:17:03+00:00"
    finished = None if status == "running" else f"2026-11-24T2{number - 1}:17:27+00:00"
    return {
        "number": number,
        "status": status,
        "started": started,
        "finished": finished,
        "seconds": seconds,
    }


def run(*steps: dict[str, Any], status: str = "ok", **more: Any) -> dict[str, Any]:
    codes = {"ok": 0, "check-failed": 1, "failed": 3, "interrupted": 130}
    attempts = [attempt(1, status)]
    return {
        "schema": 2,
        "run": "20261124-201703-pi-5118",
        "status": status,
        "exit_status": codes.get(status),
        "mode": "apply",
        "line": "edge-2.20",
        "cluster": {
            "name": "pi",
            "uid": "0b4b7e5c-1111-2222-3333-444455556666",
            "version": "v1.35.0+k3s1",
            "rehearsal": False,
        },
        "parameters": {"cluster": "pi", "mode": "apply", "linkerd_namespace": "linkerd"},
        "started": "2026-11-24T20:17:03+00:00",
        "finished": "2026-11-24T20:17:27+00:00",
        "seconds": 24.1,
        "changed": sum(step["changed"] for step in steps),
        "checks": {"pass": 3, "warn": 0, "fail": 0, "skip": 0},
        "commit": {"id": "ae42282aa0b1c2d3e4f5", "changed": False},
        "versions": {"python": "3.11.7", "linkerd-runbook": "0.1.0"},
        "attempts": attempts,
        "steps": list(steps),
        **more,
    }


def resumed() -> dict[str, Any]:
    """Give a run of two attempts: proved, done anew, run again, and not reached at first."""
    lost = error("Certificate linkerd-identity-issuer was not issued in 120 s", fix="mend the CA")
    return run(
        step(
            "10-cert-manager-ca",
            proofs=[{"attempt": 2, "status": "ok", "files": files("10-cert-manager-ca", 2)}],
        ),
        step(
            "11-linkerd-namespace",
            attempt=2,
            changed=2,
            proofs=[
                {"attempt": 2, "status": "check-failed", "files": files("11-linkerd-namespace", 2)}
            ],
            earlier=[earlier("11-linkerd-namespace", "ok", None)],
        ),
        step(
            "12-identity-issuer",
            attempt=2,
            changed=1,
            earlier=[earlier("12-identity-issuer", "failed", lost)],
        ),
        step("13-trust-anchor", attempt=2),
        attempts=[attempt(1, "failed", 131.0), attempt(2)],
    )


def earlier(name: str, status: str, error: dict[str, str] | None) -> dict[str, Any]:
    return {"attempt": 1, "status": status, "changed": 1, "error": error, "files": files(name)}


def summary(run: str, status: str = "ok", **more: Any) -> dict[str, Any]:
    return {
        "run": run,
        "status": status,
        "exit_status": 0,
        "mode": "apply",
        "line": "edge-2.20",
        "cluster": "pi",
        "uid": "0b4b7e5c-1111-2222-3333-444455556666",
        "kubernetes": "v1.35.0+k3s1",
        "rehearsal": False,
        "started": "2026-11-24T20:17:03+00:00",
        "finished": "2026-11-24T20:17:27+00:00",
        "seconds": 24.1,
        "changed": 3,
        "checks": {"pass": 156, "warn": 0, "fail": 0, "skip": 2},
        "steps": [{"notebook": "12-identity-issuer", "status": status}],
        "problem": "",
        "text": "",
        "readable": True,
        **more,
    }


def executed(*cells: dict[str, Any]) -> dict[str, Any]:
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(cells)}


def words(source: str, *, tags: tuple[str, ...] = (), name: str = "words") -> dict[str, Any]:
    metadata = {"tags": list(tags)}
    return {"cell_type": "markdown", "id": name, "metadata": metadata, "source": source}


def code(*outputs: dict[str, Any], source: str = "step.look()", tags: tuple[str, ...] = ()) -> Any:
    return {
        "cell_type": "code",
        "id": "code",
        "metadata": {"tags": list(tags)},
        "execution_count": 1,
        "source": source,
        "outputs": list(outputs),
    }


def stream(text: str | list[str], name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def shown(data: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"output_type": "display_data", "metadata": metadata, "data": data}


def traceback(*lines: str) -> dict[str, Any]:
    return {"output_type": "error", "ename": "E", "evalue": "e", "traceback": list(lines)}


def table(*rows: tuple[str, ...], title: str = "Verdicts") -> dict[str, Any]:
    """Give the output of a table as a notebook of the runbook shows it."""
    cells = [(verdict("pass"), *row, Cell("kubectl get pods", code=True)) for row in rows]
    columns = ("", *(f"Column {n}" for n, _ in enumerate(rows[0])), "Command")
    made = Table(title=title, columns=columns, rows=cells, badge="REHEARSAL")
    return shown({"text/html": made.html(), "text/plain": made.text(), MEDIA_TYPE: {"type": "x"}})
