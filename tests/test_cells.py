"""Which parameters a notebook's cells have set."""

from __future__ import annotations

from typing import Any

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


PARAMETERS = """cluster: str = "rehearsal"  # Cluster to work on
mode: str = "apply"  # plan, apply
timeout: int = 600  # Longest wait
linkerd_namespace: str = "linkerd"
trust_domain: str = "cluster.local"
kubeconfig: str = ""
cluster_uid: str = ""
cluster_issuer: str = "ca-issuer"
issuer_duration: str = "48h"
issuer_renew_before: str = "25h\""""


def run(source: str) -> dict[str, Any]:
    """Give the variables of a notebook after a cell, as IPython keeps them."""
    variables: dict[str, Any] = {"In": ["", source]}
    exec(source, variables)
    return variables


def test_lines_added_to_the_cell_of_parameters_count() -> None:
    found = cells.given(ISSUER, run(f"{PARAMETERS}\nhelm = 'cli'\nca_secret: str = 'root'"))
    assert found["helm"] == "cli"
    assert found["ca_secret"] == "root"
    assert set(ISSUER.parameters) < set(found)


def test_an_added_line_that_is_no_parameter_is_refused() -> None:
    with pytest.raises(ParameterError, match="tiemout") as caught:
        cells.given(ISSUER, run(f"{PARAMETERS}\ntiemout: int = 5"))
    assert caught.value.fix == "did you mean timeout?"


def test_the_cell_of_parameters_counts_as_it_was_run_last() -> None:
    variables = run(PARAMETERS)
    variables["In"].insert(1, f"{PARAMETERS}\ntiemout: int = 5")
    variables["In"].append("x: int = 1")
    assert set(cells.given(ISSUER, variables)) == set(ISSUER.parameters)


@pytest.mark.parametrize(
    "values",
    [
        {"cluster": "pi"},
        {"timeout": 60, "mode": "plan"},
        {"cluster": 'a "quoted"\\ name', "kubeconfig": "/home/ünïcode/config"},
        {"values": {"proxy": {"cores": 1}, "deep": [True, None, "x = 1  # no comment"]}},
        {"create_ca": True, "ca_secret": "root"},
        {},
    ],
)
def test_filled_cells_say_exactly_what_was_given(values: dict[str, Any]) -> None:
    source = cells.filled(PARAMETERS, values)
    before, after = run(PARAMETERS), run(source)
    assert cells.given(ISSUER, after) == cells.given(ISSUER, before) | values
    kept = [line for line in source.splitlines() if "  # " in line]
    assert kept[0].endswith("  # Cluster to work on"), "comments stay"
    assert len(source.splitlines()) == 10 + len(set(values) - set(ISSUER.parameters))


def test_what_is_replaced_may_hold_any_letters() -> None:
    source = PARAMETERS.replace('"apply"', '"äöü"')
    assert cells.filled(source, {"mode": "plan"}) == PARAMETERS.replace('"apply"', '"plan"')
