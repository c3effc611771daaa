"""Which parameters a notebook's cells have set."""

from __future__ import annotations

import pytest

from runbook import cells
from runbook.errors import ParameterError, UsageError
from runbook.notebooks import NOTEBOOKS

ISSUER = next(n for n in NOTEBOOKS if n.name == "12-identity-issuer")


def test_declared_parameters_are_taken() -> None:
    found = cells.given(ISSUER, {"mode": "plan", "issuer_duration": "48h", "other": 1})
    assert found == {"mode": "plan", "issuer_duration": "48h"}


def test_injected_parameters_of_other_notebooks_are_taken_too() -> None:
    source = "# Parameters\nhelm = 'cli'\nmode = 'plan'\n"
    found = cells.given(ISSUER, {"In": ["", source], "helm": "cli", "mode": "plan"})
    assert found == {"helm": "cli", "mode": "plan"}


def test_shadowed_names_of_other_notebooks_are_not() -> None:
    assert cells.given(ISSUER, {"In": ["from runbook import helm"], "helm": object()}) == {}


def test_unknown_injected_name_is_refused_with_a_suggestion() -> None:
    source = "# Parameters\nissuer_durration = '48h'\n"
    with pytest.raises(ParameterError, match="issuer_durration") as caught:
        cells.given(ISSUER, {"In": [source], "issuer_durration": "48h"})
    assert caught.value.fix == "did you mean issuer_duration?"


def test_cells_without_the_mark_or_with_magics_are_passed_over() -> None:
    variables = {"In": ["nonsense = 1", "# Parameters\n%time x = 1", 3]}
    assert cells.injected(variables) == []
    assert cells.injected({}) == []


def test_unknown_notebook() -> None:
    with pytest.raises(UsageError) as caught:
        cells.declared("12-identity-isuer")
    assert caught.value.fix == "did you mean 12-identity-issuer?"
