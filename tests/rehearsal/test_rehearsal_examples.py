from __future__ import annotations

import doctest
from importlib import import_module

import pytest

MODULES = ("columns", "parsing", "paths", "requests", "resources", "selectors")


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_hold(name: str) -> None:
    result = doctest.testmod(
        import_module(f"runbook.rehearsal.{name}"), optionflags=doctest.ELLIPSIS
    )
    assert result.attempted > 0
    assert result.failed == 0
