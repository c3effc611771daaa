"""The published results: complete, in their units, and never more than what was published."""

from __future__ import annotations

import pytest

from runbook.bench import published


def value(source: str, mesh: str, rps: int, metric: str) -> float:
    (row,) = published.select(metric, source=source, mesh=mesh, rps=rps)
    return row.value


def test_every_row_names_a_source_and_how_it_was_read() -> None:
    rows = published.load()
    assert len(rows) > 100
    assert {row.source for row in rows} == set(published.SOURCES)
    assert {row.how for row in rows} == {"text", "label", "chart", "secondary"}
    for row in rows:
        assert (row.error is not None) == (row.how in {"chart", "label"}), row
        assert row.value > 0
        assert row.unit in {"ms", "MB", "vcpu", "%", "% of a core"}


@pytest.mark.parametrize("source", published.SOURCES.values(), ids=lambda s: s.label)
def test_sources_can_be_looked_up(source: published.Source) -> None:
    assert source.url.startswith("https://")
    assert source.title
    assert source.setting
    assert source.date[:4].isdigit()


def test_no_number_is_there_twice() -> None:
    keys = [
        (row.source, row.mesh, row.version, row.rps, row.metric, row.note)
        for row in published.load()
    ]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("source", "meshes"),
    [
        ("linkerd-2021-05", {"baseline", "linkerd", "istio"}),
        ("linkerd-2021-11", {"baseline", "linkerd", "istio"}),
        ("linkerd-2025-04", {"baseline", "linkerd", "istio-sidecar", "istio-ambient"}),
    ],
)
@pytest.mark.parametrize("rps", [20, 200, 2000])
@pytest.mark.parametrize("quantile", ["p50", "p90", "p99"])
def test_posts_are_complete(source: str, meshes: set[str], rps: int, quantile: str) -> None:
    rows = published.select(f"latency_{quantile}", source=source, rps=rps)
    assert {row.mesh for row in rows} == meshes
    assert len(rows) == len(meshes)


def test_numbers_are_those_of_the_posts() -> None:
    assert value("linkerd-2021-05", "linkerd", 2000, "latency_p99") == 47.7
    assert value("linkerd-2021-05", "linkerd", 2000, "proxy_memory_max") == 17.8
    assert value("linkerd-2021-11", "istio", 200, "latency_p90") == 73.4
    assert value("linkerd-2025-04", "baseline", 20, "latency_p99") == 67.7
    assert [row.value for row in published.select(source="linkerd2-7610")] == [
        15.55,
        24.97,
        33.72,
        60.95,
    ]


def test_percentiles_ascend_but_where_the_source_itself_contradicts() -> None:
    wrong = []
    for source in ("linkerd-2021-05", "linkerd-2021-11", "linkerd-2025-04"):
        for rps in (20, 200, 2000):
            for mesh in {row.mesh for row in published.select(source=source)}:
                rows = [
                    row
                    for name in ("p50", "p90", "p99", "p999")
                    for row in published.select(
                        f"latency_{name}", source=source, mesh=mesh, rps=rps
                    )
                ]
                if [row.value for row in rows] != sorted(row.value for row in rows):
                    wrong.append((source, mesh, rps, [row.note for row in rows if row.note]))
    assert wrong == [
        ("linkerd-2025-04", "istio-sidecar", 2000, ["above the p90 printed for the same runs"])
    ]


def test_added_is_a_difference_with_its_errors() -> None:
    found = {(a.source, a.mesh, a.rps): a for a in published.added(0.99)}
    ours = found["linkerd-2021-05", "Linkerd 2.10.2", 200]
    assert ours.ms == pytest.approx(56.1 - 11.4)
    assert ours.sd == pytest.approx((0.3**2 + 0.7**2) ** 0.5)
    assert ours.error == 1.0
    faster = found["linkerd-2025-04", "Linkerd edge-25.3.1", 20]
    assert faster.ms == pytest.approx(-3.6)
    assert faster.sd is None
    given = found["istio-docs", "Istio sidecar 1.7.4", 1000]
    assert (given.ms, given.sd, given.error) == (2.88, None, 0.0)
    assert not any("baseline" in a.mesh for a in found.values())


def test_added_of_a_percentile_nobody_published_is_empty() -> None:
    assert published.added(0.42) == ()


def test_table_says_what_it_is_and_where_from() -> None:
    table = published.table(published.select("latency_p99", source="linkerd-2025-04"))
    text = table.text()
    assert published.REMARK in text
    assert "https://linkerd.io/2025/04/24/" in text
    assert "https://linkerd.io/2021" not in text
    assert "label ± 0.05" in text
