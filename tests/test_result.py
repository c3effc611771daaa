"""Measures and data: what a step hands to the record besides its verdicts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from runbook.errors import UsageError
from runbook.notebooks import NOTEBOOKS
from runbook.result import Data, Measure, Result
from runbook.show import MEDIA_TYPE


def result(*measures: Measure) -> Result:
    now = datetime.now(UTC)
    facts: dict[str, Any] = {"params": {}, "cluster": {}, "failed": "", "changed": 0}
    lists: dict[str, Any] = {"outcomes": (), "plans": (), "timings": (), "undo": ()}
    book = NOTEBOOKS[0]
    return Result(notebook=book, started=now, finished=now, measures=measures, **facts, **lists)


@pytest.mark.parametrize(
    ("numbers", "why"),
    [
        ({"value": float("nan")}, "not all finite"),
        ({"value": float("inf")}, "not all finite"),
        ({"value": 1.0, "low": float("-inf"), "high": 2.0}, "not all finite"),
        ({"value": 1.0, "low": 0.5}, "two ends"),
        ({"value": 1.0, "high": 1.5}, "two ends"),
        ({"value": 1.0, "low": 1.1, "high": 2.0}, "not within"),
        ({"value": 1.0, "low": 0.0, "high": 0.9}, "not within"),
        ({"value": 1.0, "low": 2.0, "high": 0.0}, "not within"),
        ({"value": 1.0, "n": -1}, "negative"),
        ({"value": 1.0, "name": " "}, "no name"),
    ],
)
def test_what_is_no_measure(numbers: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError) as caught:
        Measure(**{"name": "p99", "unit": "ms", **numbers})
    assert why in caught.value.why
    assert "is no measure: value" in caught.value.what


@pytest.mark.parametrize(
    ("measure", "said"),
    [
        (Measure("p99", 2.1, "ms", 1.9, 2.3), "2.1 ms (1.9 to 2.3)"),
        (Measure("p99", 2.0, "ms", 2.0, 2.0), "2 ms (2 to 2)"),
        (Measure("memory", 12.34567, "MiB"), "12.35 MiB"),
        (Measure("share", 0, ""), "0"),
        (Measure("change", -1.5, "ms", -2, 0), "-1.5 ms (-2 to 0)"),
    ],
)
def test_a_measure_in_words(measure: Measure, said: str) -> None:
    assert str(measure) == said


def test_numbers_of_numpy_become_json() -> None:
    numbers: list[Any] = [np.float32(2.5), "ms", np.float64(2), np.int64(3), np.int64(40)]
    made = Measure("p99", *numbers)
    data = {"name": "p99", "value": 2.5, "unit": "ms", "low": 2.0, "high": 3.0, "n": 40}
    assert json.loads(json.dumps(made.data())) == data
    bare = Measure("p99", 2, "ms").data()
    assert (bare["low"], bare["high"], bare["n"]) == (None, None, None)


def test_a_result_names_the_first_measures_and_counts_the_others() -> None:
    measures = [Measure(f"m{number}", number, "ms", 0, 9) for number in range(6)]
    assert "measured" not in str(result())
    assert "m3: 3 ms (0 to 9)\n" in str(result(*measures[:4])) + "\n"
    assert "more" not in str(result(*measures[:4]))
    text = str(result(*measures))
    assert "m3: 3 ms (0 to 9)" in text
    assert "and 2 more, all of them in the record" in text
    assert "m4" not in text
    data = result(*measures)._repr_mimebundle_()[MEDIA_TYPE]
    assert [one["name"] for one in data["measures"]] == [f"m{number}" for number in range(6)]


@pytest.mark.parametrize(
    ("text", "said"),
    [("é", "2 bytes"), ("x" * 999, "999 bytes"), ("x" * 512_345, "512 kB"), ("\ud800", "1 bytes")],
)
def test_data_says_how_large_it_is(text: str, said: str) -> None:
    forms = Data("campaign.json", text)._repr_mimebundle_()
    assert forms["text/plain"] == f"campaign.json, {said}"
    assert forms[MEDIA_TYPE] == {
        "type": "data",
        "name": "campaign.json",
        "media": "application/json",
        "text": text,
    }
