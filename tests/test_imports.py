"""Importing without jsonschema's slow grammar, and only while it is asked for."""

from __future__ import annotations

import subprocess
import sys


def run(program: str) -> str:
    return subprocess.check_output([sys.executable, "-c", program], text=True).strip()


def test_kubernetes_and_nbformat_come_without_the_grammar() -> None:
    program = """
import sys
from runbook.imports import quick_jsonschema
with quick_jsonschema():
    import kubernetes.client, nbformat
print("lark" in sys.modules, "rfc3987_syntax" in sys.modules)
"""
    assert run(program) == "False False"


def test_grammar_can_be_imported_afterwards() -> None:
    program = """
from runbook.imports import quick_jsonschema
with quick_jsonschema():
    import jsonschema
import rfc3987_syntax
print(rfc3987_syntax.__name__)
"""
    assert run(program) == "rfc3987_syntax"


def test_grammar_that_is_there_stays() -> None:
    program = """
import sys, rfc3987_syntax
from runbook.imports import quick_jsonschema
with quick_jsonschema():
    assert sys.modules["rfc3987_syntax"] is rfc3987_syntax
print(sys.modules["rfc3987_syntax"] is rfc3987_syntax)
"""
    assert run(program) == "True"
