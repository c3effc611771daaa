"""The design of a campaign: its order, its name, its length."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from runbook.bench.design import LEAST, Arm, Cell, Design

CELL = Cell(node="node2", client="node3", rps=200, protocol="http1", payload=1024)
OTHER = Cell(node="node3", client="node2", rps=20, protocol="grpc", payload=128)
DESIGN = Design(cells=(CELL, OTHER), seconds=15, warmup=3, image="fortio/fortio:1.75.2")
THREE: tuple[Arm, ...] = ("baseline", "meshed", "skipped")


def changed(**fields: Any) -> Design:
    return Design.model_validate({**dict(DESIGN), **fields})


@given(number=st.integers(0, 10_000), three=st.booleans())
def test_a_block_is_a_palindrome_with_each_arm_twice(number: int, three: bool) -> None:
    design = changed(arms=THREE) if three else DESIGN
    order = design.order(number)
    assert order == order[::-1]
    assert Counter(order) == dict.fromkeys(design.arms, 2)
    assert len(order) == design.runs


def test_a_steady_drift_weighs_the_same_on_every_arm() -> None:
    for number in range(20):
        order = changed(arms=THREE).order(number)
        places = {arm: sum(i for i, one in enumerate(order) if one == arm) for arm in THREE}
        assert len(set(places.values())) == 1


def test_both_orders_occur_about_equally_often() -> None:
    seen = Counter(DESIGN.order(number) for number in range(400))
    assert set(seen) == {
        ("baseline", "meshed", "meshed", "baseline"),
        ("meshed", "baseline", "baseline", "meshed"),
    }
    assert min(seen.values()) > 150  # of 400: chance alone gives fewer once in a million


def test_the_order_is_drawn_anew_for_another_campaign() -> None:
    other = changed(seconds=16)
    assert [DESIGN.order(n) for n in range(40)] != [other.order(n) for n in range(40)]


def test_whoever_goes_on_draws_the_same() -> None:
    read = Design.model_validate_json(DESIGN.model_dump_json())
    later = read.model_copy(update={"budget_minutes": 5.0, "pilot": 6, "half_width_ms": 1.0})
    for number in range(40):
        assert later.order(number) == DESIGN.order(number)
        assert later.round(number, range(9)) == DESIGN.round(number, range(9))


def test_a_round_is_each_cell_once_in_an_order_by_lot() -> None:
    rounds = [tuple(DESIGN.round(number, [4, 1, 7])) for number in range(60)]
    assert set(map(frozenset, rounds)) == {frozenset({1, 4, 7})}
    assert len(set(rounds)) == 6, "all orders of three"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("budget_minutes", 5.0),
        ("half_width_ms", 1.0),
        ("pilot", 6),
        ("most", 10),
        ("equivalence_ms", 1.0),
    ],
)
def test_how_long_and_how_precisely_is_no_other_campaign(field: str, value: float) -> None:
    assert changed(**{field: value}).digest == DESIGN.digest


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cells", (CELL,)),
        ("cells", (OTHER, CELL)),
        ("arms", THREE),
        ("seconds", 16),
        ("warmup", 2),
        ("generators", 2),
        ("image", "fortio/fortio:1.68.0"),
        ("quantile", 0.9),
    ],
)
def test_whatever_is_measured_is_another_campaign(field: str, value: Any) -> None:
    other = changed(**{field: value})
    assert other.digest != DESIGN.digest
    assert len(other.digest) == 8
    int(other.digest, 16)


def test_a_changed_copy_has_a_name_of_its_own() -> None:
    assert DESIGN.digest != DESIGN.model_copy(update={"seconds": 16.0}).digest


@pytest.mark.parametrize("field", ["node", "client", "rps", "protocol", "payload"])
def test_every_factor_of_a_cell_counts(field: str) -> None:
    other = CELL.model_copy(update={field: getattr(OTHER, field)})
    assert changed(cells=(other,)).digest != changed(cells=(CELL,)).digest


def test_every_field_is_either_measured_or_not() -> None:
    """A new field of the design has to be put on one side in the tests above."""
    assert set(Design.model_fields) == {
        *("cells", "arms", "seconds", "warmup", "generators", "image", "quantile"),
        *("budget_minutes", "half_width_ms", "pilot", "most", "equivalence_ms"),
    }


def test_the_length_of_a_block_and_what_the_budget_allows() -> None:
    assert DESIGN.block_seconds(6) == 4 * (3 + 15 + 6)
    assert changed(arms=THREE).block_seconds(6) == 6 * 24
    hour = changed(budget_minutes=60)
    assert hour.affordable(6) == 3600 // (96 * 2) == 18
    assert changed(budget_minutes=1).affordable(6) == 0
    assert changed(budget_minutes=96 * 2 * LEAST / 60).affordable(6) == LEAST


@pytest.mark.parametrize(
    ("rps", "connections"), [(1, 4), (200, 4), (201, 5), (250, 5), (251, 6), (2000, 40)]
)
def test_connections_have_20_ms_a_request(rps: int, connections: int) -> None:
    cell = CELL.model_copy(update={"rps": rps})
    assert cell.connections == connections
    assert rps / cell.connections <= 50


@pytest.mark.parametrize(
    ("payload", "title"),
    [(128, "128 B"), (1024, "1 KiB"), (1500, "1500 B"), (65536, "64 KiB"), (1025, "1025 B")],
)
def test_titles_say_exactly_what_is_sent(payload: int, title: str) -> None:
    cell = OTHER.model_copy(update={"payload": payload})
    assert cell.title == f"node3 · 20 RPS · gRPC · {title}"


def test_unknown_arms_and_fields_are_refused() -> None:
    with pytest.raises(ValidationError, match="arms"):
        changed(arms=("baseline", "ambient"))
    with pytest.raises(ValidationError, match="Extra inputs"):
        changed(duration=15)
