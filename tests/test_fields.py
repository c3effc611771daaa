"""Kinds of values: durations, lists and names, and what a wrong one is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from runbook import fields
from runbook.fields import numbers, seconds, words


class Sample(BaseModel):
    """One field of each kind."""

    duration: fields.Duration = "1s"
    spare: fields.OptionalDuration = ""
    label: fields.Label = "a"
    subdomain: fields.Subdomain = "a.b"
    text: fields.Text = ""
    rates: fields.Numbers = "1"
    names: fields.Names = ""
    line: fields.LineName = "edge-2.20"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("15s", 15.0),
        ("1h30m", 5400.0),
        ("1.5h", 5400.0),
        ("200us", 2e-4),
        ("200µs", 2e-4),
        ("2m500ms", 120.5),
        ("7ns", 7e-9),
        ("0s", 0.0),
    ],
)
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "5", "5 s", "s", "-5s", "1d", "5S", "1h,30m", "five s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        seconds(text)


@given(hours=st.integers(0, 999), minutes=st.integers(0, 999), millis=st.integers(0, 9999))
def test_parts_of_a_duration_add_up(hours: int, minutes: int, millis: int) -> None:
    expected = 3600 * hours + 60 * minutes + millis / 1000
    assert seconds(f"{hours}h{minutes}m{millis}ms") == pytest.approx(expected)


def test_lists_are_written_with_commas() -> None:
    assert words("") == words(" , ") == ()
    assert words("node1, node2,node3 ,") == ("node1", "node2", "node3")
    assert numbers("20, 200") == (20, 200)


@given(st.lists(st.from_regex(r"[a-z0-9.-]+", fullmatch=True)))
def test_words_come_back_as_they_were_given(parts: list[str]) -> None:
    assert words(", ".join(parts)) == tuple(parts)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("duration", "90m"),
        ("spare", ""),
        ("spare", "1ms"),
        ("label", "a" * 63),
        ("subdomain", "node2.example.org"),
        ("text", "https://example.org/environment:x"),
        ("text", "environment"),
        ("rates", "20,200, 1000"),
        ("names", "node1,node2.lan"),
        ("names", ""),
        ("line", "edge-2.20"),
    ],
)
def test_what_is_taken(field: str, value: str) -> None:
    assert getattr(Sample.model_validate({field: value}), field) == value


@pytest.mark.parametrize(
    ("field", "value", "words_of_it"),
    [
        ("duration", "0s", "longer than zero"),
        ("duration", "", "must be a duration"),
        ("spare", "0ms", "longer than zero"),
        ("label", "Node", "DNS-1123 label"),
        ("label", "a" * 64, "DNS-1123 label"),
        ("label", "-a", "DNS-1123 label"),
        ("label", "", "DNS-1123 label"),
        ("subdomain", "a..b", "DNS-1123 name"),
        ("subdomain", ".".join(["a" * 63] * 4), "DNS-1123 name"),
        ("text", "env:TOKEN", "references"),
        ("text", "secret:linkerd/extra/token", "references"),
        ("rates", "", "whole numbers above zero"),
        ("rates", "0", "whole numbers above zero"),
        ("rates", "20;200", "whole numbers above zero"),
        ("rates", "1e3", "whole numbers above zero"),
        ("rates", "1234567890", "whole numbers above zero"),
        ("rates", "20,20", "the same number twice"),
        ("names", "node 1", "DNS-1123 name"),
        ("names", "node1,Node2", "DNS-1123 name"),
        ("names", "node1,node1", "the same one twice"),
        ("line", "edge-2.2", "must be a release line"),
    ],
)
def test_what_is_refused(field: str, value: str, words_of_it: str) -> None:
    with pytest.raises(ValidationError, match=words_of_it):
        Sample.model_validate({field: value})


def test_a_field_says_its_unit_and_limits() -> None:
    class Described(BaseModel):
        length: int = fields.field(5, "How long", unit="s", ge=1)
        plain: int = fields.field(5, "Of no unit")
        tables: dict[str, Any] = fields.field({}, "A mapping of one's own")

    schema = Described.model_json_schema()["properties"]
    assert schema["length"] | {"title": ""} == {
        "default": 5,
        "description": "How long",
        "minimum": 1,
        "title": "",
        "type": "integer",
        "unit": "s",
    }
    assert "unit" not in schema["plain"]
    one, other = Described(), Described()
    one.tables["a"] = 1
    assert other.tables == {}
