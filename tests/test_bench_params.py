"""The benchmark's parameters: defaults that hold together, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from runbook.bench.design import LEAST
from runbook.bench.targets import overhead
from runbook.bench_params import BenchParams
from runbook.errors import ParameterError
from runbook.fields import seconds, words
from runbook.notebooks import NOTEBOOKS
from runbook.params import Params

GIVEN = {name for book in NOTEBOOKS if book.asked for name in book.parameters}


def test_they_are_part_of_the_one_schema() -> None:
    assert BenchParams.model_fields.keys() < Params.model_fields.keys()
    for name, field in BenchParams.model_fields.items():
        assert name.startswith(("bench_", "prometheus_")), name
        assert field.description, name


def test_notebooks_declare_what_is_changed_most() -> None:
    assert {"bench_nodes", "bench_rps", "bench_budget", "bench_data", "bench_image"} < GIVEN


def test_the_defaults_fit_into_the_default_budget() -> None:
    p = Params.parse({})
    run = seconds(p.bench_warmup) + seconds(p.bench_seconds) + overhead(rehearsal=False)
    cells = 4 * len(words(p.bench_rps))  # the four workers of the cluster of the documentation
    assert LEAST * 4 * run * cells <= seconds(p.bench_budget), "or the first check always fails"
    assert seconds(p.bench_warmup) < seconds(p.bench_seconds)


@pytest.mark.parametrize("value", ["http1", "grpc", "http1,http2,grpc", "grpc, http1"])
def test_protocols(value: str) -> None:
    assert Params.parse({"bench_protocols": value}).bench_protocols == value


@pytest.mark.parametrize(
    ("name", "value", "words_of_it"),
    [
        ("bench_protocols", "", "some of http1, http2, grpc"),
        ("bench_protocols", "http3", "some of http1, http2, grpc"),
        ("bench_protocols", "http1,http1", "each once"),
        ("bench_budget", "59s", "1m or more"),
        ("bench_budget", "an hour", "must be a duration"),
        ("bench_rps", "0", "whole numbers above zero"),
        ("bench_payloads", "1KiB", "whole numbers above zero"),
        ("bench_nodes", "node1,node1", "twice"),
        ("bench_percentile", 100, "less than or equal to 99"),
        ("bench_percentile", 49, "greater than or equal to 50"),
        ("bench_generators", 0, "greater than or equal to 1"),
        ("bench_equivalence", "0s", "longer than zero"),
        ("bench_namespace", "Bench", "DNS-1123"),
        ("bench_image", "", "at least 1 character"),
    ],
)
def test_what_is_refused_and_why(name: str, value: str | int, words_of_it: str) -> None:
    with pytest.raises(ValidationError, match=words_of_it):
        BenchParams.model_validate({name: value})
    with pytest.raises(ParameterError):
        Params.parse({name: value})
