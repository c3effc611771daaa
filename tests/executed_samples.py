"""Executed notebooks, as small as can be."""

from __future__ import annotations

import base64
from typing import Any

from runbook.show import MEDIA_TYPE


def notebook(*outputs: dict[str, Any], text: str = "# Title") -> dict[str, Any]:
    code = {
        "cell_type": "code",
        "id": "issuer-plan",
        "metadata": {},
        "execution_count": 1,
        "source": "step.plan()",
        "outputs": list(outputs),
    }
    words = {"cell_type": "markdown", "id": "issuer-about", "metadata": {}, "source": text}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [words, code]}


def shown(data: dict[str, Any], **forms: str) -> dict[str, Any]:
    bundle: dict[str, Any] = {MEDIA_TYPE: data, **forms}
    return {"output_type": "display_data", "metadata": {}, "data": bundle}


def failed(error: Exception) -> dict[str, Any]:
    name, text = type(error).__name__, str(error)
    return {"output_type": "error", "ename": name, "evalue": text, "traceback": [text]}


def outcome(name: str, verdict: str) -> dict[str, str]:
    empty = dict.fromkeys(("expected", "seen", "why", "fix", "see", "linkerd"), "")
    return {**empty, "id": name, "title": name, "verdict": verdict}


def finished(*checks: dict[str, str], **more: Any) -> dict[str, Any]:
    """Give the output of a notebook's last cell."""
    wanted = list(checks) or [outcome("a", "pass")]
    facts = {"type": "result", "checks": wanted, "plans": [], "changed": 0, "timings": []}
    return shown({**facts, "undo": [], **more})


PNG = b"\x89PNG\r\n\x1a\n"
"""How a PNG begins."""


def figure(name: str, content: bytes = PNG + b"pixels", **more: str) -> dict[str, Any]:
    """Give the output of a chart."""
    about = {"type": "figure", "name": name, "title": "Latency", "alt": f"what {name} shows"}
    forms = {"image/png": base64.b64encode(content).decode(), "text/plain": name}
    return shown(about, **forms | more)


def data(name: str, text: str) -> dict[str, Any]:
    """Give the output of data that a notebook hands to the record."""
    about = {"type": "data", "name": name, "media": "application/json", "text": text}
    return shown(about, **{"text/plain": f"{name}, {len(text)} bytes"})
